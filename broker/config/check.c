/* SPDX-License-Identifier: Apache-2.0 */

/* Listeners, and what concerns several keys at once. */
#include "config/load.h"

#include <stdio.h>
#include <strings.h>

bool config_split_address(struct bytes text, char host[static CONFIG_HOST_SIZE], uint16_t *port)
{
    const uint8_t *colon = text.size ? memrchr(text.data, ':', text.size) : NULL;
    if (!colon) {
        return false;
    }
    struct bytes name = bytes_of(text.data, (size_t)(colon - text.data));
    if (name.size >= 2 && name.data[0] == '[' && name.data[name.size - 1] == ']') {
        name = bytes_of(name.data + 1, name.size - 2);
    } else if (name.size > 0 && memchr(name.data, ':', name.size)) {
        return false; /* an IPv6 address stands in brackets */
    }
    if (name.size == 0 || name.size >= CONFIG_HOST_SIZE) {
        return false;
    }
    for (size_t i = 0; i < name.size; i++) {
        uint8_t c = name.data[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && !memchr(".-_:%", c, 5)) {
            return false;
        }
    }
    unsigned number = 0;
    const uint8_t *end = text.data + text.size;
    size_t digits = (size_t)(end - colon - 1);
    for (const uint8_t *at = colon + 1; at < end; at++) {
        if (*at < '0' || *at > '9') {
            return false;
        }
        number = number * 10 + (*at - '0');
        if (number > UINT16_MAX) {
            return false;
        }
    }
    if (digits == 0 || digits > 5) {
        return false;
    }
    memcpy(host, name.data, name.size);
    host[name.size] = 0;
    *port = (uint16_t)number;
    return true;
}

/* The end of hints: there is no short form for it. */
#define ADVERTISED "as in listeners: [{address: \"0.0.0.0:9092\", advertised: \"HOST:PORT\"}]"

static const char advertise[] = "say where it is reached, " ADVERTISED;

/* What is wrong with a text that config_split_address() does not take. */
static const char *address_problem(struct bytes text)
{
    const uint8_t *colon = text.size ? memrchr(text.data, ':', text.size) : NULL;
    size_t digits = 0;
    if (memmem(text.data, text.size, "://", 3)) {
        return "has a protocol in front: HOST:PORT is enough";
    }
    if (!colon) {
        return "has no port";
    }
    for (const uint8_t *at = colon + 1; at < text.data + text.size; at++) {
        if (*at < '0' || *at > '9') {
            return "is not HOST:PORT";
        }
        digits++;
    }
    if (digits == 0) {
        return "has no port";
    }
    bool too_large = digits > 5 || (digits == 5 && memcmp(colon + 1, "65535", 5) > 0);
    if (too_large) {
        return "has a port above 65535";
    }
    if (memchr(text.data, ':', (size_t)(colon - text.data)) && text.data[0] != '[') {
        return "needs brackets around its IPv6 address, as in [::1]:9092";
    }
    return "is not HOST:PORT";
}

void loader_listeners_begin(struct loader *l, struct config_place place)
{
    l->config->listener_count = 0;
    l->config->entries[CONFIG_LISTENERS] = (struct config_entry){.place = place};
}

static bool listener_name_is_good(struct bytes name)
{
    for (size_t i = 0; i < name.size; i++) {
        uint8_t c = name.data[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '_')) {
            return false;
        }
    }
    return name.size > 0 && name.size < CONFIG_NAME_SIZE;
}

void loader_listeners_add(struct loader *l, const struct listener_draft *draft)
{
    struct config *c = l->config;
    char quoted[CONFIG_QUOTE_SIZE];
    if (c->listener_count == CONFIG_LISTENERS_MAX) {
        loader_report(l, LEVEL_ERROR, draft->place, NULL, "listeners: more than %d",
                      CONFIG_LISTENERS_MAX);
        return;
    }
    struct config_listener listener = {.name = "plain"};
    if (c->listener_count > 0) {
        snprintf(listener.name, sizeof listener.name, "plain-%zu", c->listener_count + 1);
    }
    if (draft->name.size > 0) {
        if (!listener_name_is_good(draft->name)) {
            loader_report(l, LEVEL_ERROR, draft->place, NULL,
                          "listeners: '%s' is not a name of letters, digits, '-' and '_'",
                          config_quote(draft->name, quoted));
            return;
        }
        memcpy(listener.name, draft->name.data, draft->name.size);
        listener.name[draft->name.size] = 0;
    }
    if (draft->address.size == 0) {
        loader_report(l, LEVEL_ERROR, draft->place, "write address: 127.0.0.1:9092",
                      "listeners: an entry has no address");
        return;
    }
    if (!config_split_address(draft->address, listener.host, &listener.port)) {
        loader_report(l, LEVEL_ERROR, draft->place, "write address: 127.0.0.1:9092",
                      "listeners: '%s' %s", config_quote(draft->address, quoted),
                      address_problem(draft->address));
        return;
    }
    memcpy(listener.advertised_host, listener.host, sizeof listener.host);
    listener.advertised_port = listener.port;
    if (draft->advertised.size > 0 &&
        !config_split_address(draft->advertised, listener.advertised_host,
                              &listener.advertised_port)) {
        loader_report(l, LEVEL_ERROR, draft->place, "write advertised: broker-1.example:9092",
                      "listeners: advertised '%s' %s", config_quote(draft->advertised, quoted),
                      address_problem(draft->advertised));
        return;
    }
    c->listener_places[c->listener_count] = draft->place;
    c->listeners[c->listener_count++] = listener;
}

static bool host_is_loopback(const char *host)
{
    return strcmp(host, "localhost") == 0 || strncmp(host, "127.", 4) == 0 ||
           strcmp(host, "::1") == 0;
}

static bool host_is_wildcard(const char *host)
{
    return strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
}

static void check_listener(struct loader *l, size_t index)
{
    struct config *c = l->config;
    struct config_listener *listener = &c->listeners[index];
    struct config_place place = c->listener_places[index];
    for (size_t i = 0; i < index; i++) {
        if (strcmp(c->listeners[i].name, listener->name) == 0) {
            loader_report(l, LEVEL_ERROR, place, NULL, "listeners: the name %s is given twice",
                          listener->name);
        }
        if (listener->port != 0 && c->listeners[i].port == listener->port &&
            strcmp(c->listeners[i].host, listener->host) == 0) {
            loader_report(l, LEVEL_ERROR, place, NULL, "listeners: %s:%u is given twice",
                          listener->host, listener->port);
        }
    }
    if (!host_is_loopback(listener->host) && !config_bool(c, CONFIG_SECURITY_OPEN)) {
        loader_report(
            l, LEVEL_ERROR, place,
            "listen on 127.0.0.1, or set security.open: true if whoever reaches this "
            "address may use it",
            "listeners: %s is reachable from other machines, and there is neither TLS nor "
            "authentication",
            listener->host);
    }
    if (host_is_wildcard(listener->advertised_host) && config_item_count(c, CONFIG_PEERS) > 0) {
        loader_report(l, LEVEL_ERROR, place, advertise, "listeners: %s cannot be told to peers",
                      listener->advertised_host);
    } else if (host_is_wildcard(listener->advertised_host)) {
        loader_report(l, LEVEL_WARNING, place, advertise,
                      "listeners: %s cannot be told to clients; they are told localhost, which "
                      "works on this machine only",
                      listener->advertised_host);
        snprintf(listener->advertised_host, sizeof listener->advertised_host, "localhost");
    }
}

/* Whether a peer of the list before `end` is written as this address; names may stand in capitals. */
static bool peer_is_given(const struct config *c, size_t end, const char *host, uint16_t port)
{
    for (size_t i = 0; i < end; i++) {
        char other[CONFIG_HOST_SIZE];
        uint16_t other_port = 0;
        struct bytes item = bytes_of_string(config_item(c, CONFIG_PEERS, i));
        if (config_split_address(item, other, &other_port) && other_port == port &&
            strcasecmp(other, host) == 0) {
            return true;
        }
    }
    return false;
}

/* Whom to ask. Whether a name is known shows when it is asked. */
static void check_peers(struct loader *l)
{
    const struct config *c = l->config;
    const struct config_place place = c->entries[CONFIG_PEERS].place;
    size_t count = config_item_count(c, CONFIG_PEERS);
    char host[CONFIG_HOST_SIZE], quoted[CONFIG_QUOTE_SIZE];
    bool distant = false;
    if (count > CONFIG_PEERS_MAX) {
        loader_report(l, LEVEL_ERROR, place,
                      "some nodes of the cluster are enough: whoever is in it knows the others",
                      "peers: more than %d", CONFIG_PEERS_MAX);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        const char *item = config_item(c, CONFIG_PEERS, i);
        uint16_t port = 0;
        config_quote(bytes_of_string(item), quoted);
        if (!config_split_address(bytes_of_string(item), host, &port)) {
            loader_report(l, LEVEL_ERROR, place, "write peers: [b1:9092, b2:9092, b3:9092]",
                          "peers: '%s' %s", quoted, address_problem(bytes_of_string(item)));
            return;
        }
        if (port == 0 || host_is_wildcard(host)) {
            loader_report(l, LEVEL_ERROR, place, "write peers: [b1:9092, b2:9092, b3:9092]",
                          "peers: '%s' is no address that can be asked", quoted);
        }
        if (peer_is_given(c, i, host, port)) {
            loader_report(l, LEVEL_ERROR, place, NULL, "peers: '%s' is given twice", quoted);
        }
        distant = distant || !host_is_loopback(host);
    }
    if (distant && c->listener_count > 0 && host_is_loopback(c->listeners[0].advertised_host)) {
        loader_report(
            l, LEVEL_ERROR, c->listener_places[0],
            "listen where the peers reach this node, or say where they do, " ADVERTISED,
            "listeners: %s cannot be told to peers on other machines: it is each machine's "
            "own",
            c->listeners[0].advertised_host);
    }
}

/* `small` must not exceed `large`. */
static void check_order(struct loader *l, enum config_level level, enum config_key small,
                        enum config_key large)
{
    const struct config *c = l->config;
    if (config_integer(c, small) <= config_integer(c, large)) {
        return;
    }
    char small_text[CONFIG_QUOTE_SIZE], large_text[CONFIG_QUOTE_SIZE];
    config_scalar_pretty(config_key_info(small), &c->entries[small].scalar, small_text,
                         sizeof small_text);
    config_scalar_pretty(config_key_info(large), &c->entries[large].scalar, large_text,
                         sizeof large_text);
    const struct config_place *place = &c->entries[small].place;
    if (place->source == SOURCE_DEFAULT) {
        place = &c->entries[large].place;
    }
    loader_report(l, level, *place, NULL, "%s (%s) is above %s (%s)", config_key_info(small)->name,
                  small_text, config_key_info(large)->name, large_text);
}

/* What a key may be at most follows from other keys. A default is lowered to it, so that what is
 * shown is what acts; a value that was asked for is an error. */
static void settle(struct loader *l, enum config_key key, int64_t most, const char *raise)
{
    struct config_entry *entry = &l->config->entries[key];
    if (entry->scalar.number <= most) {
        return;
    }
    if (entry->place.source == SOURCE_DEFAULT) {
        entry->scalar.number = most;
        return;
    }
    char shown[CONFIG_QUOTE_SIZE], limit[CONFIG_QUOTE_SIZE];
    const struct config_key_info *info = config_key_info(key);
    config_scalar_pretty(info, &entry->scalar, shown, sizeof shown);
    config_scalar_pretty(info, &(struct config_scalar){.number = most}, limit, sizeof limit);
    loader_report(l, LEVEL_ERROR, entry->place, raise,
                  "%s: %s is above %s, which the memory of a shard allows", info->name, shown,
                  limit);
}

/* Enough for a request of the default message.max.bytes. */
#define SHARE_LEAST (33 * MIB)

static void settle_shares(struct loader *l)
{
    const struct config *c = l->config;
    int64_t memory = config_integer(c, CONFIG_LIMITS_MEMORY), shards = config_shards(c);
    int64_t share = memory / shards;
    if (share < SHARE_LEAST) {
        bool many = c->entries[CONFIG_LIMITS_MEMORY].place.source == SOURCE_DEFAULT;
        char shown[CONFIG_QUOTE_SIZE];
        config_scalar_pretty(config_key_info(CONFIG_LIMITS_MEMORY),
                             &c->entries[CONFIG_LIMITS_MEMORY].scalar, shown, sizeof shown);
        loader_report(l, LEVEL_ERROR, c->entries[many ? CONFIG_SHARDS : CONFIG_LIMITS_MEMORY].place,
                      "raise limits.memory or lower shards",
                      "limits.memory: %s for %lld shards is less than %dMiB for each", shown,
                      (long long)shards, (int)(SHARE_LEAST / MIB));
        return;
    }
    settle(l, CONFIG_SOCKET_REQUEST_MAX_BYTES, share / CONFIG_REQUEST_PART,
           "a request may take a 32nd of a shard's memory: raise limits.memory");
    settle(l, CONFIG_FETCH_MAX_BYTES, share / CONFIG_FETCH_PART,
           "a fetch may take a twentieth of a shard's memory: raise limits.memory");
    if (config_is_default(c, CONFIG_JOURNAL_BYTES_MAX)) {
        /* More is only more to replay. */
        settle(l, CONFIG_JOURNAL_BYTES_MAX, shards * 128 * MIB, NULL);
    }
}

void loader_check(struct loader *l)
{
    const struct config *c = l->config;
    for (size_t i = 0; i < c->listener_count; i++) {
        check_listener(l, i);
    }
    check_peers(l);
    if (c->listener_count == 0 && l->errors == 0) {
        loader_report(l, LEVEL_ERROR, c->entries[CONFIG_LISTENERS].place, NULL,
                      "listeners: there must be at least one");
    }
    if (c->entries[CONFIG_DATA_DIR].text[0] == 0) {
        loader_report(l, LEVEL_ERROR, c->entries[CONFIG_DATA_DIR].place, NULL,
                      "data.dir: a directory must be given");
    }
    settle_shares(l);
    check_order(l, LEVEL_ERROR, CONFIG_MESSAGE_MAX_BYTES, CONFIG_LOG_SEGMENT_BYTES);
    check_order(l, LEVEL_ERROR, CONFIG_MESSAGE_MAX_BYTES, CONFIG_SOCKET_REQUEST_MAX_BYTES);
    check_order(l, LEVEL_ERROR, CONFIG_JOURNAL_FILE_BYTES, CONFIG_JOURNAL_BYTES_MAX);
    if (config_integer(c, CONFIG_DEFAULT_REPLICATION_FACTOR) > 0) {
        check_order(l, LEVEL_WARNING, CONFIG_MIN_INSYNC_REPLICAS,
                    CONFIG_DEFAULT_REPLICATION_FACTOR);
    }
    if (config_bool(c, CONFIG_NULL_MODE)) {
        loader_report(l, LEVEL_WARNING, c->entries[CONFIG_NULL_MODE].place, NULL,
                      "null.mode: records are acknowledged and thrown away");
    }
}
