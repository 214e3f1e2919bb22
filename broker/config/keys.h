/* SPDX-License-Identifier: Apache-2.0 */

/* keys: the one table of what can be configured.
 *
 * The parser, --print-config, --config-schema, DescribeConfigs, the defaults of topics and
 * docs/reference/configuration.md are made from it. A key stands here only if it acts; what Kafka
 * has and leat does not is listed in foreign.c with the reason. A key that Kafka has too carries
 * Kafka's name only if meaning and unit are Kafka's (KEY_KAFKA); where they differ the name is ours.
 *
 * Columns: identifier, name, type, default, least, most, choices, flags, sentence.
 *   type     BOOL, INTEGER, BYTES, DURATION (in milliseconds, names end with .ms), RATIO (as 0.5, kept
 *            in millionths), TEXT, CHOICE, ITEMS (a list of texts), LISTENERS
 *   choices  of CHOICE and of restricted ITEMS, separated by '|'
 *   flags    KEY_DYNAMIC  can change while the broker runs, and then is a metadata record
 *            KEY_TEST     for tests and measurements only */
#pragma once

#define KIB (INT64_C(1) << 10)
#define MIB (INT64_C(1) << 20)
#define GIB (INT64_C(1) << 30)
#define TIB (INT64_C(1) << 40)
#define NO_MOST INT64_MAX

#define CONFIG_KEYS(X)                                                                             \
    CONFIG_KEYS_NODE(X)                                                                            \
    CONFIG_KEYS_NETWORK(X)                                                                         \
    CONFIG_KEYS_TOPICS(X)                                                                          \
    CONFIG_KEYS_LOG(X)                                                                             \
    CONFIG_KEYS_GROUPS(X)                                                                          \
    CONFIG_KEYS_SECURITY(X)

#define CONFIG_KEYS_NODE(X)                                                                        \
    X(NODE_ID, "node.id", INTEGER, "1", 0, INT32_MAX, NULL, KEY_KAFKA,                             \
      "The number of this node in its cluster.")                                                   \
    X(BROKER_RACK, "broker.rack", TEXT, "", 0, 0, NULL, KEY_KAFKA,                                 \
      "The rack or zone of this node, as clients and placement see it.")                           \
    X(DATA_DIR, "data.dir", TEXT, "./leat-data", 0, 0, NULL, 0,                                    \
      "The one directory that holds everything. Kafka's log.dirs, but exactly one.")               \
    X(SHARDS, "shards", INTEGER, "0", 0, 64, NULL, 0,                                              \
      "Threads that serve connections and partitions; 0 takes what measures best here.")           \
    X(IO_BACKEND, "io.backend", CHOICE, "auto", 0, 0, "auto|uring|epoll", 0,                       \
      "How files and sockets are reached; auto tries io_uring and falls back to epoll.")           \
    X(IO_URING_DISABLED, "io.uring.disabled", ITEMS, "[]", 0, 0,                                   \
      "defer_taskrun|registered_ring|msg_ring|dsync_write", KEY_TEST,                              \
      "Features of io_uring to leave unused, so that each can be judged alone.")                   \
    X(LIMITS_MEMORY, "limits.memory", BYTES, "512MiB", 64 * MIB, 64 * TIB, NULL, 0,                \
      "Memory that the broker may use in all; at the limit it pushes back.")                       \
    X(LIMITS_PARTITIONS, "limits.partitions", INTEGER, "20000", 1, 1000000, NULL, 0,               \
      "Partitions that may exist on this node; more are refused.")                                 \
    X(LOGGING_LEVEL, "logging.level", CHOICE, "info", 0, 0, "debug|info|warn|error", KEY_DYNAMIC,  \
      "Lines below this level are not written.")                                                   \
    X(LOGGING_FORMAT, "logging.format", CHOICE, "logfmt", 0, 0, "logfmt|json", 0,                  \
      "The form of a line on stderr.")                                                             \
    X(NULL_MODE, "null.mode", BOOL, "false", 0, 1, NULL, KEY_TEST,                                 \
      "Acknowledges records without storing them: the ceiling for measurements.")

#define CONFIG_KEYS_NETWORK(X)                                                                     \
    X(LISTENERS, "listeners", LISTENERS, "[{ name: plain, address: 127.0.0.1:9092 }]", 0, 0, NULL, \
      0,                                                                                           \
      "Where clients connect: a list of { name, address, advertised }; advertised is the "         \
      "HOST:PORT that clients are told and defaults to address.")                                  \
    X(PEERS, "peers", ITEMS, "[]", 0, 0, NULL, 0,                                                  \
      "Whom to ask at the first start, HOST:PORT of at most 16 nodes, this one among them or "     \
      "not: "                                                                                      \
      "an empty data.dir joins their cluster, or founds one with them (at most 5) when none has "  \
      "one. Empty: a cluster of one. The first listener is the one that nodes use.")               \
    X(BROKER_SESSION_TIMEOUT_MS, "broker.session.timeout.ms", DURATION, "1500ms", 100, INT32_MAX,  \
      NULL, KEY_KAFKA,                                                                             \
      "A broker that the controller has not heard for so long leads nothing. The same on all "     \
      "nodes: leases of the one that leads the quorum end by it.")                                 \
    X(BROKER_HEARTBEAT_INTERVAL_MS, "broker.heartbeat.interval.ms", DURATION, "300ms", 10,         \
      INT32_MAX, NULL, KEY_KAFKA, "How often a broker tells the controller that it is there.")     \
    X(REPLICA_LAG_TIME_MAX_MS, "replica.lag.time.max.ms", DURATION, "30s", 2000, INT32_MAX, NULL,  \
      KEY_KAFKA, "A replica that makes no progress for so long is not waited for any more.")       \
    X(AUTO_LEADER_REBALANCE_ENABLE, "auto.leader.rebalance.enable", BOOL, "true", 0, 1, NULL,      \
      KEY_KAFKA,                                                                                   \
      "Whether leadership goes back to the first replica of a partition once that is in sync.")    \
    X(LEADER_IMBALANCE_CHECK_INTERVAL, "leader.imbalance.check.interval.seconds", INTEGER, "300",  \
      1, INT32_MAX, NULL, KEY_KAFKA,                                                               \
      "How often the controller looks for partitions whose leader is not their first replica.")    \
    X(LIMITS_CONNECTIONS, "limits.connections", INTEGER, "10000", 1, 1000000, NULL, 0,             \
      "Connections of clients; one more ends with its first request. Other brokers have places "   \
      "beside these.")                                                                             \
    X(LIMITS_REQUESTS, "limits.requests.per.connection", INTEGER, "64", 1, 10000, NULL, 0,         \
      "Requests of one connection in progress; further ones are not read until one is answered.")  \
    X(CONNECTIONS_MAX_IDLE_MS, "connections.max.idle.ms", DURATION, "10m", 1000, NO_MOST, NULL,    \
      KEY_KAFKA, "A connection without a request for so long is closed.")                          \
    X(SOCKET_REQUEST_MAX_BYTES, "socket.request.max.bytes", BYTES, "100MiB", 64 * KIB, GIB, NULL,  \
      KEY_KAFKA, "A larger request closes its connection; a 32nd of a shard's memory is the end.") \
    X(FETCH_MAX_BYTES, "fetch.max.bytes", BYTES, "8MiB", KIB, 24 * MIB, NULL,                      \
      KEY_KAFKA | KEY_DYNAMIC,                                                                     \
      "The most that one fetch returns, whatever it asks for; a twentieth of a shard's memory is " \
      "the end.")                                                                                  \
    X(FOLLOWER_THROTTLED_RATE, "follower.replication.throttled.rate", BYTES,                       \
      "9223372036854775807", KIB, NO_MOST, NULL, KEY_KAFKA | KEY_DYNAMIC,                          \
      "Bytes a second that this broker copies of replicas that a reassignment brings to it; "      \
      "others are never slowed down.")                                                             \
    X(LEADER_THROTTLED_RATE, "leader.replication.throttled.rate", BYTES, "9223372036854775807",    \
      KIB, NO_MOST, NULL, KEY_KAFKA | KEY_DYNAMIC,                                                 \
      "Taken from Kafka's tools and without effect: follower.replication.throttled.rate, which "   \
      "they set too, is what slows a reassignment down.")                                          \
    X(FETCH_SESSIONS, "max.incremental.fetch.session.cache.slots", INTEGER, "1000", 0, 1000000,    \
      NULL, KEY_KAFKA, "Incremental fetch sessions kept; 0 answers every fetch in full.")

#define CONFIG_KEYS_TOPICS(X)                                                                      \
    X(NUM_PARTITIONS, "num.partitions", INTEGER, "1", 1, 10000, NULL, KEY_KAFKA | KEY_DYNAMIC,     \
      "Partitions of a topic that is created without saying how many.")                            \
    X(DEFAULT_REPLICATION_FACTOR, "default.replication.factor", INTEGER, "-1", -1, 32, NULL,       \
      KEY_KAFKA,                                                                                   \
      "Replicas of a topic that is created without saying how many; -1: one on each "              \
      "broker, but no more than three, and more when brokers join.")                               \
    X(DEFAULT_DURABILITY, "default.durability", CHOICE, "fsync", 0, 0, "fsync|memory", 0,          \
      "What acknowledged means for a topic that does not say: fsync, on stable storage; memory, "  \
      "out of the process, so that it outlives the process but not the machine.")                  \
    X(AUTO_CREATE_TOPICS_ENABLE, "auto.create.topics.enable", BOOL, "true", 0, 1, NULL, KEY_KAFKA, \
      "Creates a topic when a client asks for the metadata of one that is missing.")               \
    X(MIN_INSYNC_REPLICAS, "min.insync.replicas", INTEGER, "1", 1, INT32_MAX, NULL,                \
      KEY_KAFKA | KEY_DYNAMIC,                                                                     \
      "In-sync replicas without which acks=all is refused. One for the whole cluster: while it "   \
      "has "                                                                                       \
      "none, what the configuration of the node that leads the metadata quorum states becomes "    \
      "the cluster's, and is kept; from then on a configuration that states another value "        \
      "changes nothing, also on a single node, and is named in the log. "                          \
      "`leat cluster config --all --set min.insync.replicas=N` changes it, and `--unset` takes "   \
      "that of the node that leads then.")                                                         \
    X(UNCLEAN_LEADER_ELECTION_ENABLE, "unclean.leader.election.enable", BOOL, "false", 0, 1, NULL, \
      KEY_KAFKA | KEY_DYNAMIC,                                                                     \
      "When no replica that holds all acknowledged records is there, another one leads, and what " \
      "it lacks is lost; otherwise the partition waits.")                                          \
    X(MESSAGE_MAX_BYTES, "message.max.bytes", BYTES, "1048588", 0, INT32_MAX, NULL,                \
      KEY_KAFKA | KEY_DYNAMIC, "The largest record batch that is accepted, compressed.")           \
    X(COMPRESSION_TYPE, "compression.type", CHOICE, "producer", 0, 0, "producer",                  \
      KEY_KAFKA | KEY_DYNAMIC, "The producer's codec is kept; batches are never compressed anew.")

#define CONFIG_KEYS_LOG(X)                                                                         \
    X(LOG_SEGMENT_BYTES, "log.segment.bytes", BYTES, "1GiB", MIB, INT32_MAX, NULL,                 \
      KEY_KAFKA | KEY_DYNAMIC, "A segment of about this size is closed and a new one begun.")      \
    X(LOG_ROLL_MS, "log.roll.ms", DURATION, "7d", 1, NO_MOST, NULL, KEY_KAFKA | KEY_DYNAMIC,       \
      "The next append closes a segment that is so old, even if it is small.")                     \
    X(LOG_RETENTION_MS, "log.retention.ms", DURATION, "7d", -1, NO_MOST, NULL,                     \
      KEY_KAFKA | KEY_DYNAMIC, "Segments whose newest record is older are removed; -1 keeps all.") \
    X(LOG_RETENTION_BYTES, "log.retention.bytes", BYTES, "-1", -1, NO_MOST, NULL,                  \
      KEY_KAFKA | KEY_DYNAMIC, "A larger partition loses its oldest segments; -1 keeps all.")      \
    X(LOG_RETENTION_CHECK_INTERVAL_MS, "log.retention.check.interval.ms", DURATION, "5m", 1000,    \
      NO_MOST, NULL, KEY_KAFKA, "How often retention looks at a partition.")                       \
    X(LOG_CLEANUP_POLICY, "log.cleanup.policy", CHOICE, "delete", 0, 0,                            \
      "delete|compact|compact,delete", KEY_KAFKA | KEY_DYNAMIC,                                    \
      "What happens to old records: delete removes them by age and size, compact keeps the last "  \
      "one of each key, and refuses records without key.")                                         \
    X(LOG_CLEANER_ENABLE, "log.cleaner.enable", BOOL, "true", 0, 1, NULL, KEY_KAFKA,               \
      "Whether topics with cleanup.policy=compact are compacted.")                                 \
    X(LOG_CLEANER_BACKOFF_MS, "log.cleaner.backoff.ms", DURATION, "15s", 1, NO_MOST, NULL,         \
      KEY_KAFKA, "How long the cleaner rests when no partition needs it.")                         \
    X(LOG_CLEANER_DEDUPE_BUFFER_SIZE, "log.cleaner.dedupe.buffer.size", BYTES, "128MiB", MIB, TIB, \
      NULL, KEY_KAFKA,                                                                             \
      "What all shards' cleaners may use for keys, 24 bytes each; at most an eighth of a shard's " \
      "memory. More keys take more passes.")                                                       \
    X(LOG_CLEANER_IO_MAX, "log.cleaner.io.max.bytes.per.second", BYTES, "9223372036854775807",     \
      64 * KIB, NO_MOST, NULL, KEY_KAFKA,                                                          \
      "What all shards' cleaners may read and write in a second.")                                 \
    X(LOG_CLEANER_MIN_CLEANABLE_RATIO, "log.cleaner.min.cleanable.ratio", RATIO, "0.5", 0,         \
      1000000, NULL, KEY_KAFKA | KEY_DYNAMIC,                                                      \
      "A partition is compacted when more than this part of its closed segments is new.")          \
    X(LOG_CLEANER_MIN_COMPACTION_LAG_MS, "log.cleaner.min.compaction.lag.ms", DURATION, "0", 0,    \
      NO_MOST, NULL, KEY_KAFKA | KEY_DYNAMIC, "Records that are younger are not compacted.")       \
    X(LOG_CLEANER_MAX_COMPACTION_LAG_MS, "log.cleaner.max.compaction.lag.ms", DURATION,            \
      "9223372036854775807", 1, NO_MOST, NULL, KEY_KAFKA | KEY_DYNAMIC,                            \
      "Records that are older are compacted whatever the ratio, once an append has closed "        \
      "their segment.")                                                                            \
    X(LOG_CLEANER_DELETE_RETENTION_MS, "log.cleaner.delete.retention.ms", DURATION, "1d", 0,       \
      NO_MOST, NULL, KEY_KAFKA | KEY_DYNAMIC,                                                      \
      "Tombstones (records without value) stay so long after compaction has met them.")            \
    X(LOG_SCRUB_INTERVAL_MS, "log.scrub.interval.ms", DURATION, "7d", 0, NO_MOST, NULL, 0,         \
      "All closed segments are read and checked once in this time, what is followed is compared "  \
      "with its leader, and what is damaged or different comes back from other replicas; 0: only " \
      "when a replica is suspected.")                                                              \
    X(LOG_MESSAGE_TIMESTAMP_TYPE, "log.message.timestamp.type", CHOICE, "CreateTime", 0, 0,        \
      "CreateTime|LogAppendTime", KEY_KAFKA | KEY_DYNAMIC,                                         \
      "Whose time a record carries: the producer's or that of its append.")                        \
    X(LOG_MESSAGE_TIMESTAMP_BEFORE, "log.message.timestamp.before.max.ms", DURATION,               \
      "9223372036854775807", 0, NO_MOST, NULL, KEY_KAFKA | KEY_DYNAMIC,                            \
      "How far a producer's time may lie in the past.")                                            \
    X(LOG_MESSAGE_TIMESTAMP_AFTER, "log.message.timestamp.after.max.ms", DURATION, "1h", 0,        \
      NO_MOST, NULL, KEY_KAFKA | KEY_DYNAMIC, "How far a producer's time may lie in the future.")  \
    X(LOG_INDEX_INTERVAL_BYTES, "log.index.interval.bytes", BYTES, "4KiB", 0, INT32_MAX, NULL,     \
      KEY_KAFKA | KEY_DYNAMIC, "Bytes of a segment between two entries of its offset index.")      \
    X(JOURNAL_BYTES_MAX, "journal.bytes.max", BYTES, "512MiB", 16 * MIB, 64 * GIB, NULL, 0,        \
      "What the journals of all shards may take on disk together; by default at most 128MiB a "    \
      "shard.")                                                                                    \
    X(JOURNAL_FILE_BYTES, "journal.file.bytes", BYTES, "8MiB", MIB, GIB, NULL, 0,                  \
      "The size of one journal file; files are recycled.")                                         \
    X(DISK_RESERVE_BYTES, "disk.reserve.bytes", BYTES, "64MiB", 0, NO_MOST, NULL, 0,               \
      "Produce is refused while less is free, so that deletion and retention still work.")         \
    X(PRODUCER_ID_EXPIRATION_MS, "producer.id.expiration.ms", DURATION, "1d", 1, INT32_MAX, NULL,  \
      KEY_KAFKA, "An idempotent producer that is silent for so long is forgotten.")

#define CONFIG_KEYS_GROUPS(X)                                                                      \
    X(GROUP_INITIAL_REBALANCE_DELAY_MS, "group.initial.rebalance.delay.ms", DURATION, "3s", 0,     \
      INT32_MAX, NULL, KEY_KAFKA, "How long the first member of an empty group waits for others.") \
    X(GROUP_MIN_SESSION_TIMEOUT_MS, "group.min.session.timeout.ms", DURATION, "6s", 1, INT32_MAX,  \
      NULL, KEY_KAFKA, "The shortest session that a member may ask for.")                          \
    X(GROUP_MAX_SESSION_TIMEOUT_MS, "group.max.session.timeout.ms", DURATION, "30m", 1, INT32_MAX, \
      NULL, KEY_KAFKA, "The longest session that a member may ask for.")                           \
    X(GROUP_MAX_SIZE, "group.max.size", INTEGER, "2147483647", 1, INT32_MAX, NULL, KEY_KAFKA,      \
      "Members that a group may have.")                                                            \
    X(OFFSET_METADATA_MAX_BYTES, "offset.metadata.max.bytes", BYTES, "4096", 0, INT16_MAX, NULL,   \
      KEY_KAFKA, "What a client may keep beside a committed offset.")                              \
    X(OFFSETS_RETENTION_MINUTES, "offsets.retention.minutes", INTEGER, "10080", 1, INT32_MAX,      \
      NULL, KEY_KAFKA,                                                                             \
      "Committed offsets are kept so long after their group has lost its last member.")            \
    X(OFFSETS_RETENTION_CHECK_INTERVAL_MS, "offsets.retention.check.interval.ms", DURATION, "10m", \
      1, NO_MOST, NULL, KEY_KAFKA, "How often it is looked for such offsets.")                     \
    X(OFFSETS_TOPIC_NUM_PARTITIONS, "offsets.topic.num.partitions", INTEGER, "50", 1, 1000, NULL,  \
      KEY_KAFKA, "Partitions of __consumer_offsets when it is made.")                              \
    X(OFFSETS_TOPIC_SEGMENT_BYTES, "offsets.topic.segment.bytes", BYTES, "100MiB", MIB, INT32_MAX, \
      NULL, KEY_KAFKA, "Segments of __consumer_offsets when it is made.")

#define CONFIG_KEYS_SECURITY(X)                                                                    \
    X(SECURITY_OPEN, "security.open", BOOL, "false", 0, 1, NULL, 0,                                \
      "Says openly that anyone who reaches a listener may use it. Without TLS and "                \
      "authentication only loopback addresses are served unless this is set.")

/* Keys of a topic. Type, limits and choices are those of the broker's key that gives the default.
 * Columns: identifier, name, broker's key, flags (TOPIC_FIXED: given at creation only), sentence.
 */
#define TOPIC_KEYS(X)                                                                              \
    X(CLEANUP_POLICY, "cleanup.policy", LOG_CLEANUP_POLICY, 0, "What happens to old records.")     \
    X(COMPRESSION_TYPE, "compression.type", COMPRESSION_TYPE, 0,                                   \
      "The producer's codec is kept as it is.")                                                    \
    X(DELETE_RETENTION_MS, "delete.retention.ms", LOG_CLEANER_DELETE_RETENTION_MS, 0,              \
      "Tombstones (records without value) stay so long after compaction has met them.")            \
    X(DURABILITY, "durability", DEFAULT_DURABILITY, TOPIC_FIXED,                                   \
      "What acknowledged means: fsync, on stable storage; memory, out of the process.")            \
    X(INDEX_INTERVAL_BYTES, "index.interval.bytes", LOG_INDEX_INTERVAL_BYTES, 0,                   \
      "Bytes of a segment between two entries of its offset index.")                               \
    X(MAX_COMPACTION_LAG_MS, "max.compaction.lag.ms", LOG_CLEANER_MAX_COMPACTION_LAG_MS, 0,        \
      "Records that are older are compacted whatever the ratio.")                                  \
    X(MAX_MESSAGE_BYTES, "max.message.bytes", MESSAGE_MAX_BYTES, 0,                                \
      "The largest record batch that is accepted, compressed.")                                    \
    X(MESSAGE_TIMESTAMP_AFTER, "message.timestamp.after.max.ms", LOG_MESSAGE_TIMESTAMP_AFTER, 0,   \
      "How far a producer's time may lie in the future.")                                          \
    X(MESSAGE_TIMESTAMP_BEFORE, "message.timestamp.before.max.ms", LOG_MESSAGE_TIMESTAMP_BEFORE,   \
      0, "How far a producer's time may lie in the past.")                                         \
    X(MESSAGE_TIMESTAMP_TYPE, "message.timestamp.type", LOG_MESSAGE_TIMESTAMP_TYPE, 0,             \
      "Whose time a record carries: the producer's or that of its append.")                        \
    X(MIN_CLEANABLE_DIRTY_RATIO, "min.cleanable.dirty.ratio", LOG_CLEANER_MIN_CLEANABLE_RATIO, 0,  \
      "A partition is compacted when more than this part of its closed segments is new.")          \
    X(MIN_COMPACTION_LAG_MS, "min.compaction.lag.ms", LOG_CLEANER_MIN_COMPACTION_LAG_MS, 0,        \
      "Records that are younger are not compacted.")                                               \
    X(MIN_INSYNC_REPLICAS, "min.insync.replicas", MIN_INSYNC_REPLICAS, 0,                          \
      "In-sync replicas without which acks=all is refused.")                                       \
    X(RETENTION_BYTES, "retention.bytes", LOG_RETENTION_BYTES, 0,                                  \
      "A larger partition loses its oldest segments; -1 keeps all.")                               \
    X(RETENTION_MS, "retention.ms", LOG_RETENTION_MS, 0,                                           \
      "Segments whose newest record is older are removed; -1 keeps all.")                          \
    X(SEGMENT_BYTES, "segment.bytes", LOG_SEGMENT_BYTES, 0,                                        \
      "A segment of about this size is closed and a new one begun.")                               \
    X(SEGMENT_MS, "segment.ms", LOG_ROLL_MS, 0,                                                    \
      "The next append closes a segment that is so old, even if it is small.")                     \
    X(UNCLEAN_LEADER_ELECTION_ENABLE, "unclean.leader.election.enable",                            \
      UNCLEAN_LEADER_ELECTION_ENABLE, 0,                                                           \
      "Whether a replica that may lack acknowledged records leads when no other can.")
