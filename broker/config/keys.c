/* SPDX-License-Identifier: Apache-2.0 */

/* Looking up keys by name, by variable and by what they were probably meant to be. The tables are
 * short and read at start and by admin requests only, so that all searches are linear. */
#include "config/value.h"

enum { NAME_MAX_COMPARED = 64 }; /* longer names are not typing errors of ours */

static const struct config_key_info key_infos[] = {
#define KEY_INFO(id, name, type, standard, least, most, choices, flags, text)                      \
    [CONFIG_##id] = {name, CONFIG_TYPE_##type, standard, least, most, choices, flags, text},
    CONFIG_KEYS(KEY_INFO)
#undef KEY_INFO
};

static const struct topic_key_info topic_infos[] = {
#define TOPIC_INFO(id, name, broker_key, flags, text)                                              \
    [TOPIC_##id] = {name, CONFIG_##broker_key, flags, text},
    TOPIC_KEYS(TOPIC_INFO)
#undef TOPIC_INFO
};

static_assert(array_size(key_infos) == CONFIG_KEY_COUNT, "every key has its entry");
static_assert(array_size(topic_infos) == TOPIC_KEY_COUNT, "every topic key has its entry");

static const struct config_foreign foreign[] = {
    {"advertised.listeners", false, "write advertised: HOST:PORT in the entry of listeners"},
    {"alter.config.policy.class.name", true, "there are no plug-ins"},
    {"authorizer.class.name", false, "authorization is not in this version"},
    {"auto.leader.rebalance.enable", true, "a single node leads everything"},
    {"background.threads", true, "shards decides about threads"},
    {"broker.id", false, "the key is node.id"},
    {"broker.id.generation.enable", true, "node.id is given or 1"},
    {"cluster.id", true, "the data directory holds the cluster id"},
    {"compression.gzip.level", true, "batches are never compressed anew"},
    {"compression.lz4.level", true, "batches are never compressed anew"},
    {"compression.zstd.level", true, "batches are never compressed anew"},
    {"control.plane.listener.name", true, "there is one kind of listener"},
    {"controlled.shutdown.enable", true, "every stop is controlled"},
    {"controller.listener.names", true, "the controller needs no listener of its own"},
    {"controller.quorum.bootstrap.servers", false, "the key is peers"},
    {"controller.quorum.voters", false,
     "voters stand in the metadata log; the key to begin is peers"},
    {"create.topic.policy.class.name", true, "there are no plug-ins"},
    {"delete.topic.enable", true, "topics can always be deleted"},
    {"group.max.size", true, "groups are not in this version"},
    {"host.name", false, "write address: HOST:PORT in the entry of listeners"},
    {"inter.broker.listener.name", true, "peer.listener is for other nodes"},
    {"inter.broker.protocol.version", true, "nodes agree on versions by themselves"},
    {"listener.name.", false, "security of listeners is not in this version"},
    {"listener.security.protocol.map", false, "each entry of listeners says what it needs"},
    {"log.cleaner.", true, "compaction is not in this version"},
    {"log.dir", false, "the key is data.dir"},
    {"log.dirs", false, "the key is data.dir, exactly one directory"},
    {"log.flush.offset.checkpoint.interval.ms", true, "checkpoints are continuous"},
    {"log.flush.scheduler.interval.ms", true, "durability decides when records are flushed"},
    {"log.flush.start.offset.checkpoint.interval.ms", true, "checkpoints are continuous"},
    {"log.message.format.version", true, "there is one message format"},
    {"log.message.timestamp.difference.max.ms", false,
     "the keys are log.message.timestamp.before.max.ms and log.message.timestamp.after.max.ms"},
    {"log.retention.hours", false, "the key is log.retention.ms, which takes 168h and 7d as well"},
    {"log.retention.minutes", false, "the key is log.retention.ms, which takes 90m as well"},
    {"log.roll.hours", false, "the key is log.roll.ms, which takes 168h and 7d as well"},
    {"log.roll.jitter.hours", false, "the key is log.roll.jitter.ms, which takes 1h as well"},
    {"max.connections", false, "the key is limits.connections"},
    {"max.connections.per.ip", true, "limits.connections bounds all connections"},
    {"max.connections.per.ip.overrides", true, "limits.connections bounds all connections"},
    {"metadata.log.dir", true, "the metadata log stands in data.dir"},
    {"metadata.log.", true, "the metadata log looks after itself"},
    {"metric.reporters", true, "there are no plug-ins"},
    {"metrics.", true, "there are no plug-ins"},
    {"num.io.threads", true, "shards decides about threads"},
    {"num.network.threads", true, "shards decides about threads"},
    {"num.recovery.threads.per.data.dir", true, "every shard recovers its own part"},
    {"num.replica.fetchers", true, "replication needs no threads of its own"},
    {"offsets.topic.", true, "groups are not in this version"},
    {"password.encoder.", true, "there are no secrets in the configuration"},
    {"port", false, "write address: HOST:PORT in the entry of listeners"},
    {"process.roles", true, "every node is broker and controller"},
    {"queued.max.request.bytes", true, "limits.memory bounds what waits"},
    {"queued.max.requests", true, "limits.requests.per.connection bounds what waits"},
    {"quota.", true, "quotas are not in this version"},
    {"remote.log.", true, "tiered storage is not in this version"},
    {"replica.", true, "replication is not in this version"},
    {"reserved.broker.max.id", true, "node.id is given or 1"},
    {"sasl.", false, "authentication is not in this version; its keys are security.sasl.*"},
    {"security.inter.broker.protocol", false, "security of listeners is not in this version"},
    {"security.providers", true, "there are no plug-ins"},
    {"socket.listen.backlog.size", true, "the system's limit is used"},
    {"socket.receive.buffer.bytes", true, "the system's buffers grow by themselves"},
    {"socket.send.buffer.bytes", true, "the system's buffers grow by themselves"},
    {"ssl.", false, "TLS is not in this version; its keys are security.tls.*"},
    {"transaction.state.log.", true, "transactions are not in this version"},
    {"zookeeper.", true, "ZooKeeper is not needed"},
};

const struct config_key_info *config_key_info(enum config_key key)
{
    assert((size_t)key < array_size(key_infos));
    return &key_infos[key];
}

const struct topic_key_info *topic_key_info(enum topic_key key)
{
    assert((size_t)key < array_size(topic_infos));
    return &topic_infos[key];
}

int config_key_find(struct bytes name)
{
    for (size_t i = 0; i < array_size(key_infos); i++) {
        if (bytes_equal(name, bytes_of_string(key_infos[i].name))) {
            return (int)i;
        }
    }
    return -1;
}

int topic_key_find(struct bytes name)
{
    for (size_t i = 0; i < array_size(topic_infos); i++) {
        if (bytes_equal(name, bytes_of_string(topic_infos[i].name))) {
            return (int)i;
        }
    }
    return -1;
}

int8_t config_key_kafka_type(enum config_key key)
{
    const struct config_key_info *info = config_key_info(key);
    switch (info->type) {
    case CONFIG_TYPE_BOOL:
        return 1;
    case CONFIG_TYPE_INTEGER:
    case CONFIG_TYPE_BYTES:
    case CONFIG_TYPE_DURATION:
        return info->most <= INT32_MAX ? 3 : 5;
    case CONFIG_TYPE_REAL:
        return 6;
    case CONFIG_TYPE_TEXT:
        return 2;
    case CONFIG_TYPE_CHOICE:
        return key == CONFIG_LOG_CLEANUP_POLICY ? 7 : 2; /* a list in Kafka */
    case CONFIG_TYPE_ITEMS:
    case CONFIG_TYPE_LISTENERS:
        return 7;
    }
    return 0;
}

bool config_key_is_prefix(struct bytes path)
{
    for (size_t i = 0; i < array_size(key_infos); i++) {
        const char *name = key_infos[i].name;
        if (strlen(name) > path.size && name[path.size] == '.' &&
            memcmp(name, path.data, path.size) == 0) {
            return true;
        }
    }
    return false;
}

bool config_key_matches_variable(enum config_key key, struct bytes name)
{
    const char *own = config_key_info(key)->name;
    if (strlen(own) != name.size) {
        return false;
    }
    for (size_t i = 0; i < name.size; i++) {
        char c = own[i];
        c = c == '.' ? '_' : c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
        if ((char)name.data[i] != c) {
            return false;
        }
    }
    return true;
}

const struct config_foreign *config_foreign_find(struct bytes name)
{
    for (size_t i = 0; i < array_size(foreign); i++) {
        size_t size = strlen(foreign[i].name);
        bool family = foreign[i].name[size - 1] == '.';
        if ((family ? name.size > size : name.size == size) &&
            memcmp(name.data, foreign[i].name, size) == 0) {
            return &foreign[i];
        }
    }
    return NULL;
}

static size_t least_of(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Edits (insert, delete, change, exchange of neighbours) that make `a` into `b`:
 * Damerau-Levenshtein in its restricted form, with three rows. */
static size_t edit_distance(struct bytes a, struct bytes b)
{
    assert(a.size <= NAME_MAX_COMPARED && b.size <= NAME_MAX_COMPARED);
    size_t rows[3][NAME_MAX_COMPARED + 1];
    for (size_t j = 0; j <= b.size; j++) {
        rows[0][j] = j;
    }
    for (size_t i = 1; i <= a.size; i++) {
        size_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *two_above = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b.size; j++) {
            size_t change = above[j - 1] + (a.data[i - 1] != b.data[j - 1]);
            row[j] = least_of(change, least_of(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a.data[i - 1] == b.data[j - 2] &&
                a.data[i - 2] == b.data[j - 1]) {
                row[j] = least_of(row[j], two_above[j - 2] + 1);
            }
        }
    }
    return rows[a.size % 3][b.size];
}

const char *config_key_nearest(struct bytes name)
{
    if (name.size == 0 || name.size > NAME_MAX_COMPARED) {
        return NULL;
    }
    const char *nearest = NULL;
    size_t nearest_distance = name.size / 4 + 2;
    for (size_t i = 0; i < array_size(key_infos); i++) {
        struct bytes own = bytes_of_string(key_infos[i].name);
        if (own.size <= NAME_MAX_COMPARED) {
            size_t distance = edit_distance(name, own);
            if (distance < nearest_distance) {
                nearest = key_infos[i].name;
                nearest_distance = distance;
            }
        }
    }
    return nearest;
}
