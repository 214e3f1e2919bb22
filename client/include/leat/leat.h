/* SPDX-License-Identifier: Apache-2.0 */

/* libleat: publish to and read from leat, or any broker that speaks the Kafka protocol.
 *
 * Conventions
 *   - Handles are opaque. Whatever an ..._open() function gives is given back by its ..._close().
 *   - A fallible function returns 0 (or a count >= 0) or a negative enum leat_code, and then fills
 *     the caller's leat_error, which may be NULL. Kafka's error codes appear negated.
 *   - Bytes are (pointer, length) and copied in; what is lent out says for how long.
 *   - Times are milliseconds; timeouts of -1 wait without end, 0 does not wait.
 *   - Option structs begin with their size: initialise them with their ..._INIT macro and change
 *     single fields. So a program keeps working when a newer library knows more options.
 *   - No callback is needed and no global state exists. Each client has one thread of its own for
 *     I/O; it never runs the caller's code and takes no signals. Open clients after fork().
 *
 * Threads: a leat_client and a leat_producer may be used by several threads at once; a
 * leat_consumer by one at a time, but for leat_wakeup(). A handle is closed when nobody else uses
 * it, and a client after its producers and consumers. */
#ifndef LEAT_LEAT_H
#define LEAT_LEAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define LEAT_API __attribute__((visibility("default")))
#else
#define LEAT_API
#endif

/* --- errors, bytes, records --- */

/* Results. -1 to -999 are the broker's codes, negated; these are the ones that programs ask for. */
enum leat_code {
    LEAT_OK = 0,
    LEAT_ERR_OFFSET_OUT_OF_RANGE = -1,
    LEAT_ERR_CORRUPT = -2,              /* a checksum or a format is wrong */
    LEAT_ERR_UNKNOWN_TOPIC = -3,        /* no such topic or partition */
    LEAT_ERR_NO_LEADER = -5,            /* nobody leads the partition, or the metadata quorum */
    LEAT_ERR_REQUEST_TIMED_OUT = -7,    /* the broker has given up: it may be possible later */
    LEAT_ERR_BROKER_NOT_AVAILABLE = -8, /* the broker that is named is not there */
    LEAT_ERR_MESSAGE_TOO_LARGE = -10,
    LEAT_ERR_INVALID_TOPIC = -17,
    LEAT_ERR_GENERATION = -22,     /* the group has gone on without this member */
    LEAT_ERR_UNKNOWN_MEMBER = -25, /* as above: the coordinator gave it up */
    LEAT_ERR_REBALANCE = -27,      /* partitions are about to be revoked: see leat_rebalance() */
    LEAT_ERR_UNSUPPORTED_VERSION = -35, /* the broker does not know this request */
    LEAT_ERR_TOPIC_EXISTS = -36,
    LEAT_ERR_SEQUENCE = -45, /* the broker no longer knows what this producer sent before */
    LEAT_ERR_GROUP_NOT_EMPTY = -68,
    LEAT_ERR_GROUP_NOT_FOUND = -69,
    LEAT_ERR_PREFERRED_LEADER = -80, /* the first replica is not in sync, or not there */
    LEAT_ERR_FENCED_INSTANCE = -82,  /* another member has this group.instance.id */
    LEAT_ERR_ELIGIBLE_LEADERS = -83, /* no replica is there that may lead */
    LEAT_ERR_FENCED = -90,
    LEAT_ERR_VOTES = -126, /* the node is a voter already */

    LEAT_ERR_TIMEOUT = -1001,
    LEAT_ERR_CLOSED = -1002, /* the handle is being closed, or the connection was lost */
    LEAT_ERR_NO_MEMORY = -1003,
    LEAT_ERR_CONFIG = -1004,      /* an option's value is wrong */
    LEAT_ERR_UNREACHABLE = -1005, /* no broker can be reached */
    LEAT_ERR_MALFORMED = -1006,   /* an answer does not follow the protocol */
    LEAT_ERR_TOO_LARGE = -1007,
    LEAT_ERR_NOT_FOUND = -1011, /* no such option, partition, ... */
    LEAT_ERR_BUSY = -1013,      /* it would have to wait, and may not */
    LEAT_ERR_INTERRUPTED = -1014,
    LEAT_ERR_ARGUMENT = -1015,
    LEAT_ERR_UNSUPPORTED = -1016,
    LEAT_ERR_SERVER = -1099 /* the broker met an error that it did not expect */
};

typedef struct leat_error {
    int code;          /* 0 or a negative enum leat_code */
    bool retriable;    /* the same call may succeed later */
    bool fatal;        /* the handle is of no more use: close it */
    char message[232]; /* cause and remedy, for people; always NUL-terminated */
} leat_error;

/* data NULL is null: a record without key, or a tombstone. An empty value has data not NULL. */
typedef struct leat_bytes {
    const void *data;
    size_t len;
} leat_bytes;

typedef struct leat_header {
    const char *name; /* NUL-terminated; names may repeat */
    leat_bytes value;
} leat_header;

enum {
    LEAT_PARTITION_ANY = -1, /* the partitioner chooses */
    LEAT_NOW = 0             /* as a record's time: the time of the call */
};

enum leat_timestamp_type { LEAT_TIME_CREATED = 0, LEAT_TIME_APPENDED = 1 };

/* One record, going in or out. Start from LEAT_RECORD_INIT. The layout will not change. */
typedef struct leat_record {
    const char *topic;
    int32_t partition;    /* in: LEAT_PARTITION_ANY or a number */
    int32_t leader_epoch; /* out; -1 when unknown */
    int64_t offset;       /* out */
    int64_t timestamp_ms; /* since 1970; in: LEAT_NOW or a time */
    leat_bytes key, value;
    const leat_header *headers;
    size_t header_count;
    int32_t timestamp_type; /* out: enum leat_timestamp_type */
    int32_t reserved;
} leat_record;

#define LEAT_RECORD_INIT                                                                           \
    {                                                                                              \
        NULL, LEAT_PARTITION_ANY, -1, -1, LEAT_NOW, {NULL, 0}, {NULL, 0}, NULL, 0, 0, 0            \
    }

/* Where a record stands. */
typedef struct leat_position {
    int32_t partition;
    int64_t offset; /* -1 when the broker does not say (acks 0) */
} leat_position;

/* "0.1.0". */
LEAT_API const char *leat_version(void);

/* A code's name ("UNKNOWN_TOPIC_OR_PARTITION") and sentence. Never NULL. */
LEAT_API const char *leat_error_name(int code);
LEAT_API const char *leat_error_text(int code);

/* --- client --- */

typedef struct leat_client leat_client;

typedef struct leat_options {
    size_t size;
    char client_id[128]; /* client.id: shown in the broker's logs */
    char rack[64];       /* client.rack: to read from the nearest replica, and in a group to be
                            given partitions that have one there */
    int32_t timeout_ms;  /* of blocking calls without a timeout of their own */
    int32_t request_timeout_ms;
    int32_t connect_timeout_ms;
    int32_t reconnect_backoff_ms, reconnect_backoff_max_ms;
    int32_t retry_backoff_ms, retry_backoff_max_ms;
    int32_t metadata_max_age_ms;
    uint32_t response_max_bytes; /* a larger answer closes the connection */
    bool allow_auto_create;      /* producers may make the broker create a topic */
    bool fail_fast;              /* blocking calls do not wait for brokers that cannot be reached */
    int32_t silence_ms; /* broker.silence.ms: when a broker that was asked has said nothing for so
                           long, others are asked whether the cluster goes on without it */
} leat_options;

#define LEAT_OPTIONS_INIT                                                                          \
    {                                                                                              \
        sizeof(leat_options), "libleat", "", 30000, 30000, 10000, 50, 2000, 50, 1000, 300000,      \
            128u << 20, true, false, 1000                                                          \
    }

/* Sets one option by its name in librdkafka or the Java clients ("client.id", "linger.ms"). Each
 * knows the names that concern it: LEAT_ERR_NOT_FOUND for others, LEAT_ERR_CONFIG for a wrong
 * value; the message says what is expected. `value` is copied. */
LEAT_API int leat_options_set(leat_options *o, const char *name, const char *value, leat_error *e);

/* Opens a client. `brokers`: "host:port,host:port" (port 9092 if missing), or
 * "leat://host:port,host:port/?client.id=a&retry.backoff.ms=100". `options` may be NULL. Does not
 * wait for a connection: an unreachable broker is an error of the first call that needs it.
 * LEAT_ERR_CONFIG, LEAT_ERR_NO_MEMORY. */
LEAT_API int leat_open(leat_client **out, const char *brokers, const leat_options *options,
                       leat_error *e);

/* Waits until a broker has answered, at most `timeout_ms` (> 0): for programs that would rather say
 * that nobody is there than wait for it. The error is that of the last attempt: LEAT_ERR_UNREACHABLE
 * names the broker and the reason. The client is of use afterwards in any case, and goes on trying. */
LEAT_API int leat_connect(leat_client *c, int timeout_ms, leat_error *e);

/* Ends the connections and the thread. Its producers and consumers are closed before. NULL is accepted. */
LEAT_API void leat_close(leat_client *c);

/* What keeps this client from reaching its brokers at the moment: 0 if nothing is known, or the
 * code of the trouble, described in `e`. It goes on trying meanwhile. Any thread. */
LEAT_API int leat_problem(leat_client *c, leat_error *e);

/* --- producer --- */

typedef struct leat_producer leat_producer;

enum leat_acks { LEAT_ACKS_NONE = 0, LEAT_ACKS_LEADER = 1, LEAT_ACKS_ALL = -1 };

enum leat_compression {
    LEAT_COMPRESSION_NONE = 0,
    LEAT_COMPRESSION_GZIP = 1,
    LEAT_COMPRESSION_SNAPPY = 2,
    LEAT_COMPRESSION_LZ4 = 3,
    LEAT_COMPRESSION_ZSTD = 4
};

enum { LEAT_LEVEL_DEFAULT = -1000 }; /* the codec's own compression level */

enum leat_partitioner {
    LEAT_PARTITIONER_MURMUR2 = 0,    /* the Java clients': murmur2 of the key, sticky without key */
    LEAT_PARTITIONER_CRC32 = 1,      /* librdkafka's: CRC-32 of the key, random without key */
    LEAT_PARTITIONER_RANDOM = 2,     /* whatever the key */
    LEAT_PARTITIONER_ROUND_ROBIN = 3 /* whatever the key */
};

enum leat_idempotence {
    LEAT_IDEMPOTENCE_AUTO = -1, /* on with acks all */
    LEAT_IDEMPOTENCE_OFF = 0,
    LEAT_IDEMPOTENCE_ON = 1 /* an error unless acks is all */
};

/* Chooses a partition in 0 .. partitions - 1 for a record that names none. Called on the producing
 * thread under the producer's lock: it is quick and calls nothing of this library. */
typedef int32_t (*leat_partition_fn)(void *context, const leat_record *record, int32_t partitions);

typedef struct leat_producer_options {
    size_t size;
    int32_t acks;        /* enum leat_acks */
    int32_t idempotence; /* enum leat_idempotence: no duplicates, no reordering by retries */
    int32_t linger_ms;   /* a batch waits so long for more records; 0: goes when it can */
    uint32_t batch_bytes;
    uint32_t message_max_bytes; /* a larger record is refused */
    uint64_t buffer_bytes;      /* records that are not delivered yet; produce waits at the limit */
    int32_t max_block_ms;       /* how long it waits; 0: LEAT_ERR_BUSY at once */
    int32_t compression;        /* enum leat_compression */
    int32_t compression_level;  /* LEAT_LEVEL_DEFAULT or the codec's */
    int32_t max_in_flight;      /* requests per broker, 1 .. 5 with idempotence */
    int32_t request_timeout_ms; /* how long a broker may wait for its replicas */
    int32_t delivery_timeout_ms; /* from leat_produce() to giving up */
    int32_t partitioner;         /* enum leat_partitioner */
    leat_partition_fn partition; /* the caller's own, or NULL */
    void *partition_context;
    uint32_t reports_max; /* reports that wait to be fetched; the oldest go first beyond it */
} leat_producer_options;

#define LEAT_PRODUCER_OPTIONS_INIT                                                                 \
    {                                                                                              \
        sizeof(leat_producer_options), LEAT_ACKS_ALL, LEAT_IDEMPOTENCE_AUTO, 5, 256u << 10,        \
            1000000, 64u << 20, 60000, LEAT_COMPRESSION_NONE, LEAT_LEVEL_DEFAULT, 5, 30000,        \
            120000, LEAT_PARTITIONER_MURMUR2, NULL, NULL, 1000000                                  \
    }

LEAT_API int leat_producer_options_set(leat_producer_options *o, const char *name,
                                       const char *value, leat_error *e);

/* Opens a producer on a client. LEAT_ERR_CONFIG, LEAT_ERR_NO_MEMORY. Does not wait for the broker.
 */
LEAT_API int leat_producer_open(leat_producer **out, leat_client *c,
                                const leat_producer_options *options, leat_error *e);

/* Gives a record to the producer, which copies it, and returns; it is sent with others. Waits at
 * most max_block_ms when the buffer is full or the topic is not known yet. A `tag` other than NULL
 * asks for a report of its delivery. Records of one partition keep the order of the calls.
 * LEAT_ERR_BUSY (or _TIMEOUT after waiting), _MESSAGE_TOO_LARGE, _UNKNOWN_TOPIC, _ARGUMENT, and
 * after a fatal error its code. On failure the record was not taken. */
LEAT_API int leat_produce(leat_producer *p, const leat_record *r, void *tag, leat_error *e);

/* As above, without lingering, and waits until the record is delivered: `position` (may be NULL)
 * says where. LEAT_ERR_TIMEOUT: it was taken, but nothing is known of it yet. */
LEAT_API int leat_produce_wait(leat_producer *p, const leat_record *r, leat_position *position,
                               int timeout_ms, leat_error *e);

typedef struct leat_report {
    void *tag;            /* NULL for a failed record that had none */
    int code;             /* 0: delivered */
    int32_t partition;    /* */
    int64_t offset;       /* -1 when not delivered or not known */
    const char *topic;    /* until the producer is closed */
    const char *message;  /* cause and remedy, "" if delivered; until the next leat_reports() */
    int64_t timestamp_ms; /* that the broker gave the record's batch, or -1: the record's own */
} leat_report;

/* Fetches up to `max` reports: of all records that failed, and of those delivered that had a tag.
 * Waits at most `timeout_ms` for the first. Returns the count. Calling it is optional: nothing else
 * depends on it. One thread at a time. */
LEAT_API int leat_reports(leat_producer *p, leat_report *out, size_t max, int timeout_ms);

/* Sends what lingers and waits until everything given before this call is settled. 0: delivered.
 * > 0: the number of records not settled in time (e says why). < 0: all is settled, but records
 * failed since the last flush; the code and message are those of the first. */
LEAT_API int leat_flush(leat_producer *p, int timeout_ms, leat_error *e);

/* Flushes, fails what is not delivered in time, frees the producer in every case. The result is
 * that of the flush. NULL is accepted. */
LEAT_API int leat_producer_close(leat_producer *p, int timeout_ms, leat_error *e);

/* --- consumer --- */

/* A consumer reads partitions. Which, its program says (leat_assign), or the group that it belongs
 * to (leat_subscribe): members of a group share the partitions of their topics, and the group
 * remembers how far they came (offsets are committed), so that one goes on where another stopped.
 *
 * Membership needs no attention but leat_poll(): the client's thread keeps in touch with the group.
 * A member that does not poll for max_poll_interval_ms leaves the group, and joins again with its
 * next poll; its partitions are read by others from the last commit on. When the group gives a
 * partition to somebody else it is revoked at a leat_poll(): by calling it the program says that it
 * is done with the records of the poll before. What a program reads twice, after a crash or a loss,
 * lies behind the last commit. */
typedef struct leat_consumer leat_consumer;

/* Offsets with a meaning, for leat_start, leat_seek() and leat_offset_at(). */
enum {
    LEAT_LATEST = -1,   /* what comes from now on */
    LEAT_EARLIEST = -2, /* what the log still holds */
    LEAT_AT_TIME =
        -10, /* leat_start: the first record at or after timestamp_ms, else LEAT_LATEST */
    LEAT_COMMITTED = -1000 /* leat_start: what the group committed, else as reset says */
};

enum leat_reset { LEAT_RESET_NONE = 0, LEAT_RESET_EARLIEST = 1, LEAT_RESET_LATEST = 2 };

typedef struct leat_consumer_options {
    size_t size;
    int32_t reset;         /* enum leat_reset: without a committed offset, or when it is out of
                              range; none: an error */
    bool read_uncommitted; /* also records of open and aborted transactions */
    bool check_crcs;       /* verify each batch's checksum */
    int32_t fetch_max_wait_ms, fetch_min_bytes;      /* how long the broker may gather */
    uint32_t fetch_max_bytes, partition_fetch_bytes; /* per answer, and of it per partition */
    uint64_t buffer_bytes;                           /* fetched ahead of leat_poll() */
    uint32_t poll_max_records;                       /* per leat_poll() */
    uint32_t batch_max_bytes;                        /* of a batch, decompressed */

    /* Of members of a group: */
    char group_id[256];            /* when leat_consumer_open() is given none */
    char group_instance_id[250];   /* a static member: it may restart within the session timeout
                                     without a rebalance; "": none */
    char strategies[64];           /* range, roundrobin, sticky, cooperative-sticky: one or several,
                                     by preference; cooperative-sticky alone, and only alone, keeps
                                     reading what stays where it is */
    int32_t session_timeout_ms;    /* silence after which a member is given up */
    int32_t heartbeat_interval_ms; /* at most a third of it */
    int32_t max_poll_interval_ms;  /* between two leat_poll(), and to let go of partitions */
    bool auto_commit;              /* in the background, what was handed out before the last poll */
    bool revocation_returns;       /* leat_poll() returns LEAT_ERR_REBALANCE before it lets go */
    int32_t auto_commit_interval_ms;
} leat_consumer_options;

#define LEAT_CONSUMER_OPTIONS_INIT                                                                 \
    {                                                                                              \
        sizeof(leat_consumer_options), LEAT_RESET_LATEST, false, true, 500, 1, 32u << 20,          \
            2u << 20, 64u << 20, 1000, 128u << 20, "", "", "cooperative-sticky", 45000, 3000,      \
            300000, true, false, 5000                                                              \
    }

LEAT_API int leat_consumer_options_set(leat_consumer_options *o, const char *name,
                                       const char *value, leat_error *e);

typedef struct leat_start {
    const char *topic;
    int32_t partition;
    int64_t offset;       /* >= 0, LEAT_EARLIEST, _LATEST, _AT_TIME, or with a group _COMMITTED */
    int64_t timestamp_ms; /* for LEAT_AT_TIME */
} leat_start;

/* Opens a consumer on a client. `group` (NULL: options->group_id) may be NULL or "": then offsets
 * are not committed, and partitions are assigned by the caller. Does not wait for the broker.
 * LEAT_ERR_CONFIG, LEAT_ERR_NO_MEMORY. */
LEAT_API int leat_consumer_open(leat_consumer **out, leat_client *c, const char *group,
                                const leat_consumer_options *options, leat_error *e);

/* Reads these partitions from now on, in place of all earlier ones and of a subscription. Copies;
 * does not wait. */
LEAT_API int leat_assign(leat_consumer *k, const leat_start *parts, size_t count, leat_error *e);

/* Joins the group for these topics, in place of earlier ones. A name that begins with ^ is a POSIX
 * extended regular expression: all topics that it matches, now and later, but internal ones. Copies;
 * does not wait: partitions come while the program polls. LEAT_ERR_ARGUMENT: no group, no topics, a
 * wrong expression. */
LEAT_API int leat_subscribe(leat_consumer *k, const char *const *topics, size_t count,
                            leat_error *e);

/* Leaves the group and reads nothing any more; with auto_commit, what was handed out is committed
 * first. Waits for that at most the client's timeout_ms. LEAT_ERR_TIMEOUT: it is tried on. */
LEAT_API int leat_unsubscribe(leat_consumer *k, leat_error *e);

/* Waits at most `timeout_ms` for records. Returns their count; *records is lent until the next call
 * on this consumer that may change its assignment or its position (leat_poll, _assign, _subscribe,
 * _unsubscribe, _seek, _pause, _close). 0: none came in time; leat_problem() may know why. Records
 * of a partition come in the order of their offsets. Negative: LEAT_ERR_INTERRUPTED after
 * leat_wakeup(); _OFFSET_OUT_OF_RANGE with LEAT_RESET_NONE; _CORRUPT; the broker's refusal for a
 * partition, which is then paused, or of the group: other partitions go on, joining is tried again
 * unless the error is fatal (_FENCED_INSTANCE). LEAT_ERR_REBALANCE with revocation_returns: the
 * next poll lets go of what leat_rebalance() calls LEAT_REVOKING; commit before it. */
LEAT_API int leat_poll(leat_consumer *k, const leat_record **records, int timeout_ms,
                       leat_error *e);

enum leat_change_kind {
    LEAT_ASSIGNED = 1, /* records of it may come */
    LEAT_REVOKING = 2, /* with revocation_returns: it goes with the next leat_poll() */
    LEAT_REVOKED = 3,  /* it is gone; with auto_commit all that was handed out is committed */
    LEAT_LOST = 4      /* it is gone without a commit: others may be reading it already */
};

typedef struct leat_change {
    int32_t kind; /* enum leat_change_kind */
    int32_t partition;
    const char *topic;
} leat_change;

/* What the group has changed since the last call, in the order in which it did: the count, and
 * *changes, lent until the next call of this function. Calling it is optional; of a consumer that
 * never does, the newest 10,000 are kept. Without a group there are none. LEAT_ERR_NO_MEMORY. */
LEAT_API int leat_rebalance(leat_consumer *k, const leat_change **changes, leat_error *e);

/* Where a partition is read, or what is committed of it. */
typedef struct leat_offset {
    const char *topic;
    int32_t partition;
    int32_t leader_epoch; /* of the record before, -1: not known */
    int64_t offset;       /* of the next record to read */
    const char *metadata; /* the program's own, at most 4096 bytes; NULL: "" */
} leat_offset;

/* The partitions that this consumer reads and their positions (see leat_consumer_position()): the
 * count, and *parts, by topic and number, lent until the next call of this function.
 * LEAT_ERR_NO_MEMORY. */
LEAT_API int leat_assignment(leat_consumer *k, const leat_offset **parts, leat_error *e);

/* Commits the positions of all assigned partitions: everything that leat_poll() has handed out, the
 * latest records included, so call it when they are done with. Waits at most `timeout_ms` for the
 * answer; with 0 it goes on in the background, is tried again for the client's timeout_ms, and if
 * it fails a later leat_poll() says so. LEAT_ERR_TIMEOUT: nothing is known of it. _GENERATION,
 * _UNKNOWN_MEMBER: the partitions were lost, others read them. LEAT_ERR_ARGUMENT: no group. */
LEAT_API int leat_commit(leat_consumer *k, int timeout_ms, leat_error *e);

/* Commits these offsets instead. LEAT_ERR_NOT_FOUND, and nothing is committed: one of the
 * partitions is not this member's (any more). */
LEAT_API int leat_commit_offsets(leat_consumer *k, const leat_offset *offsets, size_t count,
                                 int timeout_ms, leat_error *e);

/* What the group has committed of these partitions: fills offset (-1: nothing), leader_epoch and
 * metadata, which is lent until the next call of this function. LEAT_ERR_ARGUMENT: no group. */
LEAT_API int leat_committed(leat_consumer *k, leat_offset *offsets, size_t count, int timeout_ms,
                            leat_error *e);

/* Continues an assigned partition at `offset` (>= 0, LEAT_EARLIEST or LEAT_LATEST); what was
 * fetched ahead is dropped. The next commit is of this position. LEAT_ERR_NOT_FOUND: not assigned.
 */
LEAT_API int leat_seek(leat_consumer *k, const char *topic, int32_t partition, int64_t offset,
                       leat_error *e);

/* The same at the first record at or after `timestamp_ms`, else LEAT_LATEST. */
LEAT_API int leat_seek_time(leat_consumer *k, const char *topic, int32_t partition,
                            int64_t timestamp_ms, leat_error *e);

/* The offset that follows what leat_poll() has handed out, or where reading starts; LEAT_EARLIEST
 * and the like while the broker has not answered yet. LEAT_ERR_NOT_FOUND: not assigned. */
LEAT_API int leat_consumer_position(leat_consumer *k, const char *topic, int32_t partition,
                                    int64_t *offset, leat_error *e);

/* Holds a partition back (what was fetched ahead of it is dropped), or lets it go on where it was.
 * LEAT_ERR_NOT_FOUND: not assigned. */
LEAT_API int leat_pause(leat_consumer *k, const char *topic, int32_t partition, bool paused,
                        leat_error *e);

/* Lets a partition go on that leat_pause() or an error holds back. */
LEAT_API int leat_resume(leat_consumer *k, const char *topic, int32_t partition, leat_error *e);

/* A descriptor that is readable while leat_poll() would return at once or has something to do; for
 * poll(2) and the like alone. It lives as long as the consumer. */
LEAT_API int leat_consumer_fd(leat_consumer *k);

/* Makes the current or the next leat_poll() return LEAT_ERR_INTERRUPTED. Any thread. */
LEAT_API void leat_wakeup(leat_consumer *k);

/* With auto_commit commits everything that was handed out; leaves the group, but for a static
 * member, whose partitions wait for it until the session timeout; frees the consumer in every case.
 * Waits at most the client's timeout_ms. The result is that of the commit. NULL is accepted. */
LEAT_API int leat_consumer_close(leat_consumer *k, leat_error *e);

#ifdef __cplusplus
}
#endif
#endif
