/* SPDX-License-Identifier: Apache-2.0 */

/* What Kafka can be told and leat does not act upon: listed with the reason, so that nobody
 * believes that a setting is in force. A broker's key is either harmless, ignored with a note, or
 * refused with the name of what to write instead. A topic's key is ignored: tools copy all of them
 * from one cluster to another. */
#include "config/value.h"

static const struct config_foreign foreign[] = {
    {"admin.", false, "metrics, health and the web console are not in this version"},
    {"advertised.listeners", false, "write advertised: HOST:PORT in the entry of listeners"},
    {"alter.config.policy.class.name", true, "there are no plug-ins"},
    {"authorizer.class.name", false, "authorization is not in this version"},
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
     "the key is peers: whom to ask; who votes stands in the metadata log"},
    {"create.topic.policy.class.name", true, "there are no plug-ins"},
    {"delete.topic.enable", true, "topics can always be deleted"},
    {"group.", true, "only the classic group protocol is in this version"},
    {"host.name", false, "write address: HOST:PORT in the entry of listeners"},
    {"inter.broker.listener.name", true, "nodes use the first listener among themselves"},
    {"inter.broker.protocol.version", true, "nodes agree on versions by themselves"},
    {"leader.imbalance.per.broker.percentage", true,
     "every partition is looked at, not a share of a broker's"},
    {"listener.name.", false, "security of listeners is not in this version"},
    {"listener.security.protocol.map", false, "each entry of listeners says what it needs"},
    {"log.cleaner.io.buffer.load.factor", true, "the map of keys is filled to three quarters"},
    {"log.cleaner.io.buffer.size", true, "the cleaner reads pieces of 128KiB"},
    {"log.cleaner.threads", true, "every shard has one cleaner"},
    {"log.dir", false, "the key is data.dir"},
    {"log.dirs", false, "the key is data.dir, exactly one directory"},
    {"log.flush.interval.messages", true,
     "durability decides when records are flushed, not their number"},
    {"log.flush.interval.ms", true, "durability decides when records are flushed, not their age"},
    {"log.flush.offset.checkpoint.interval.ms", true, "checkpoints are continuous"},
    {"log.flush.scheduler.interval.ms", true, "durability decides when records are flushed"},
    {"log.flush.start.offset.checkpoint.interval.ms", true, "checkpoints are continuous"},
    {"log.index.size.max.bytes", true, "an index grows with its segment and needs no limit"},
    {"log.message.format.version", true, "there is one message format"},
    {"log.message.timestamp.difference.max.ms", false,
     "the keys are log.message.timestamp.before.max.ms and log.message.timestamp.after.max.ms"},
    {"log.preallocate", true, "space is always preallocated, in steps"},
    {"log.retention.hours", false, "the key is log.retention.ms, which takes 168h and 7d as well"},
    {"log.retention.minutes", false, "the key is log.retention.ms, which takes 90m as well"},
    {"log.roll.hours", false, "the key is log.roll.ms, which takes 168h and 7d as well"},
    {"log.roll.jitter.hours", true, "segments are closed when log.roll.ms says so, without jitter"},
    {"log.roll.jitter.ms", true, "segments are closed when log.roll.ms says so, without jitter"},
    {"log.segment.delete.delay.ms", true,
     "files go as soon as nothing reads them and their removal is durable"},
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
    {"offsets.", true, "offsets are written like any record of a single node"},
    {"password.encoder.", true, "there are no secrets in the configuration"},
    {"peer.listener.", false, "nodes reach each other at the first entry of listeners"},
    {"port", false, "write address: HOST:PORT in the entry of listeners"},
    {"process.roles", true, "every node is broker and controller"},
    {"queued.max.request.bytes", true, "limits.memory bounds what waits"},
    {"queued.max.requests", true, "limits.requests.per.connection bounds what waits"},
    {"quota.", true, "quotas are not in this version"},
    {"remote.log.", true, "tiered storage is not in this version"},
    {"replica.", true, "followers fetch as they need"},
    {"reserved.broker.max.id", true, "node.id is given or 1"},
    {"sasl.", false, "authentication is not in this version"},
    {"security.inter.broker.protocol", false, "security of listeners is not in this version"},
    {"security.providers", true, "there are no plug-ins"},
    {"security.sasl.", false, "authentication is not in this version"},
    {"security.superusers", false, "authorization is not in this version"},
    {"security.tls.", false, "TLS is not in this version"},
    {"socket.listen.backlog.size", true, "the system's limit is used"},
    {"socket.receive.buffer.bytes", true, "the system's buffers grow by themselves"},
    {"socket.send.buffer.bytes", true, "the system's buffers grow by themselves"},
    {"ssl.", false, "TLS is not in this version"},
    {"transaction.", true, "transactions are not in this version"},
    {"transactional.", true, "transactions are not in this version"},
    {"zookeeper.", true, "ZooKeeper is not needed"},
};

static const struct topic_ignored ignored[] = {
    {"file.delete.delay.ms", "files go as soon as nothing reads them and their removal is durable"},
    {"flush.messages", "durability decides when records are flushed, not their number"},
    {"flush.ms", "durability decides when records are flushed, not their age"},
    {"follower.replication.throttled.replicas",
     "what a reassignment brings is slowed down, nothing else"},
    {"leader.replication.throttled.replicas",
     "what a reassignment brings is slowed down, nothing else"},
    {"preallocate", "space is always preallocated, in steps"},
    {"segment.index.bytes", "an index grows with its segment and needs no limit"},
    {"segment.jitter.ms", "segments are closed when segment.ms says so, without jitter"},
};

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

const struct config_foreign *config_foreign_at(size_t index)
{
    return index < array_size(foreign) ? &foreign[index] : NULL;
}

const struct topic_ignored *topic_ignored_at(size_t index)
{
    return index < array_size(ignored) ? &ignored[index] : NULL;
}

const char *topic_key_ignored(struct bytes name)
{
    for (size_t i = 0; i < array_size(ignored); i++) {
        if (bytes_equal(name, bytes_of_string(ignored[i].name))) {
            return ignored[i].text;
        }
    }
    return NULL;
}

const char *config_key_foreign(struct bytes name)
{
    const struct config_foreign *found = config_foreign_find(name);
    return found ? found->text : NULL;
}
