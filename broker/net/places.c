/* SPDX-License-Identifier: Apache-2.0 */

/* Who may connect when connections_max is reached (N8). Brokers cannot be told from clients before they have said
 * something: a few are let in until they have, and who comes last matters most. Else one client that keeps all places
 * taken keeps nodes out of their cluster. */
#include "net/connection.h"

enum { BROKERS_PART = 16, BROKERS_LEAST = 8, BROKERS_MOST = 256 };

/* Brokers always have a question on its way, or ask more often than that. */
static const uint64_t idle_ns = 1000000000;

uint32_t places_default(uint32_t connections_max)
{
    uint32_t part = connections_max / BROKERS_PART;
    part = part < BROKERS_LEAST ? BROKERS_LEAST : part;
    return part > BROKERS_MOST ? BROKERS_MOST : part;
}

uint32_t places_of_all(const struct net_options *o)
{
    return o->connections_max + 2 * o->brokers_max;
}

void places_refused(struct net *net)
{
    net->status.refused++;
    if (net_may_log(net)) {
        log_warn(io_logger(net->io), "net", "connection refused: connections=%u limit=%u",
                 net->place_counts[PLACE_CLIENT], net->options.connections_max);
    }
}

void place_take(struct net_connection *c)
{
    struct net *net = c->net;
    list_init(&c->peers);
    c->place = PLACE_CLIENT;
    if (net->place_counts[PLACE_CLIENT] >= net->options.connections_max) {
        c->place = PLACE_UNKNOWN;
        if (net->place_counts[PLACE_UNKNOWN] >= net->options.brokers_max) {
            places_refused(net);
            connection_close(container_of(list_first(&net->unknown), struct net_connection, peers));
        }
        list_append(&net->unknown, &c->peers);
    }
    net->place_counts[c->place]++;
    assert(net->place_counts[c->place] <=
           (c->place == PLACE_CLIENT ? net->options.connections_max : net->options.brokers_max));
}

void place_leave(struct net_connection *c)
{
    assert(c->net->place_counts[c->place] > 0);
    c->net->place_counts[c->place]--;
    list_remove(&c->peers);
}

/* Anybody may say that he is a broker: who says so and is silent then makes room. */
static bool make_room(struct net *net)
{
    struct net_connection *idlest = NULL;
    list_each (node, &net->brokers) {
        struct net_connection *c = container_of(node, struct net_connection, peers);
        bool idle = c->request_count == 0 && io_now(net->io) > c->active_ns + idle_ns;
        idlest = idle && (!idlest || c->active_ns < idlest->active_ns) ? c : idlest;
    }
    if (idlest) {
        places_refused(net);
        connection_close(idlest);
    }
    return idlest != NULL;
}

bool net_admit(struct net_request *r, bool broker)
{
    struct net_connection *c = r->connection;
    struct net *net = r->net;
    assert(r->state == REQUEST_WORKING);
    if (!c || c->closing || c->place != PLACE_UNKNOWN) {
        return true;
    }
    enum net_place place = PLACE_UNKNOWN;
    if (broker && (net->place_counts[PLACE_BROKER] < net->options.brokers_max || make_room(net))) {
        place = PLACE_BROKER;
    } else if (net->place_counts[PLACE_CLIENT] < net->options.connections_max) {
        place = PLACE_CLIENT;
    }
    if (place == PLACE_UNKNOWN) {
        places_refused(net);
        return false;
    }
    place_leave(c);
    c->place = (uint8_t)place;
    net->place_counts[place]++;
    if (place == PLACE_BROKER) {
        list_append(&net->brokers, &c->peers);
    }
    return true;
}
