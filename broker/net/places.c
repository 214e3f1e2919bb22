/* SPDX-License-Identifier: Apache-2.0 */

/* Who may connect when connections_max is reached (N8). Brokers cannot be told from clients before they have said
 * something: a few are let in until they have, and who comes last matters most. Else one client that keeps all places
 * taken keeps nodes out of their cluster. */
#include "net/connection.h"

enum { BROKERS_PART = 16, BROKERS_LEAST = 8, BROKERS_MOST = 256 };

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
    list_init(&c->unknown);
    c->place = PLACE_CLIENT;
    if (net->place_counts[PLACE_CLIENT] >= net->options.connections_max) {
        c->place = PLACE_UNKNOWN;
        if (net->place_counts[PLACE_UNKNOWN] >= net->options.brokers_max) {
            places_refused(net);
            connection_close(
                container_of(list_first(&net->unknown), struct net_connection, unknown));
        }
        list_append(&net->unknown, &c->unknown);
    }
    net->place_counts[c->place]++;
    assert(net->place_counts[c->place] <=
           (c->place == PLACE_CLIENT ? net->options.connections_max : net->options.brokers_max));
}

void place_leave(struct net_connection *c)
{
    assert(c->net->place_counts[c->place] > 0);
    c->net->place_counts[c->place]--;
    list_remove(&c->unknown);
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
    if (broker && net->place_counts[PLACE_BROKER] < net->options.brokers_max) {
        place = PLACE_BROKER;
    } else if (net->place_counts[PLACE_CLIENT] < net->options.connections_max) {
        place = PLACE_CLIENT;
    }
    if (place == PLACE_UNKNOWN) {
        places_refused(net);
        return false;
    }
    place_leave(c);
    c->place = place;
    net->place_counts[place]++;
    return true;
}
