/* SPDX-License-Identifier: Apache-2.0 */

/* Partitions are found by a number made of their topic's sequence in the session and their index;
 * topics by name or id. Everything of a session is of the shard's heap and ends with it. */
#include "api/fetch_session.h"

#include "base/errors.h"

static const uint64_t silent_ns = UINT64_C(120000000000);
enum { SESSION_PARTITIONS_MAX = 100000 };

struct fetch_sessions {
    struct io *io;
    struct memory *memory;
    uint64_t seed;
    uint32_t sessions_max, partitions_max, partitions;
    struct map by_id;
    struct list lru;
};

struct fetch_sessions *fetch_sessions_new(struct io *io, struct memory *memory,
                                          uint32_t sessions_max, uint32_t partitions_max)
{
    assert(partitions_max > 0);
    struct fetch_sessions *s = memory_alloc(memory, sizeof *s);
    if (!s) {
        return NULL;
    }
    s->io = io;
    s->memory = memory;
    s->sessions_max = sessions_max;
    s->partitions_max = partitions_max;
    io_random(io, &s->seed, sizeof s->seed);
    map_init(&s->by_id, s->memory, s->seed, sessions_max);
    list_init(&s->lru);
    return s;
}

uint32_t fetch_sessions_count(const struct fetch_sessions *s)
{
    return (uint32_t)map_count(&s->by_id);
}

static uint64_t partition_number(const struct session_topic *topic, int32_t partition)
{
    return (uint64_t)topic->sequence << 32 | (uint32_t)partition;
}

static struct bytes topic_key(const struct session_topic *topic)
{
    return topic->name.size >= 0 ? wire_string_bytes(topic->name)
                                 : bytes_of(topic->id.bytes, sizeof topic->id.bytes);
}

static void topic_release(struct fetch_sessions *s, struct fetch_session *session,
                          struct session_topic *topic)
{
    if (topic->partitions == 0) {
        map_remove(&session->topics, topic_key(topic));
        memory_free(s->memory, topic);
    }
}

static void partition_drop(struct fetch_sessions *s, struct fetch_session *session,
                           struct session_partition *p)
{
    map_remove_number(&session->partitions, partition_number(p->topic, p->asked.partition));
    list_remove(&p->link);
    assert(p->topic->partitions > 0 && s->partitions > 0);
    p->topic->partitions--;
    s->partitions--;
    topic_release(s, session, p->topic);
    memory_free(s->memory, p);
}

static void session_free(struct fetch_sessions *s, struct fetch_session *session)
{
    struct list *node;
    while ((node = list_first(&session->order))) {
        partition_drop(s, session, container_of(node, struct session_partition, link));
    }
    map_deinit(&session->partitions);
    map_deinit(&session->topics);
    memory_free(s->memory, session);
}

static void session_close(struct fetch_sessions *s, struct fetch_session *session)
{
    map_remove_number(&s->by_id, (uint64_t)session->id);
    list_remove(&session->lru);
    if (session->busy) {
        session->dead = true;
    } else {
        session_free(s, session);
    }
}

void fetch_sessions_free(struct fetch_sessions *s)
{
    if (!s) {
        return;
    }
    struct list *node;
    while ((node = list_first(&s->lru))) {
        session_close(s, container_of(node, struct fetch_session, lru));
    }
    assert(s->partitions == 0);
    map_deinit(&s->by_id);
    memory_free(s->memory, s);
}

/* Makes room by closing silent sessions. */
static bool sessions_room(struct fetch_sessions *s, uint32_t partitions)
{
    uint64_t now = io_now(s->io);
    while (map_count(&s->by_id) >= s->sessions_max ||
           partitions > s->partitions_max - s->partitions) {
        struct list *node = list_first(&s->lru);
        struct fetch_session *oldest = node ? container_of(node, struct fetch_session, lru) : NULL;
        if (!oldest || oldest->busy || now - oldest->used_ns < silent_ns) {
            return false;
        }
        session_close(s, oldest);
    }
    return true;
}

static struct session_topic *topic_find(struct fetch_session *session, struct wire_string name,
                                        struct uuid id)
{
    struct bytes key =
        session->by_id ? bytes_of(id.bytes, sizeof id.bytes) : wire_string_bytes(name);
    return map_get(&session->topics, key);
}

static struct session_topic *topic_add(struct fetch_sessions *s, struct fetch_session *session,
                                       struct wire_string name, struct uuid id)
{
    struct session_topic *topic = topic_find(session, name, id);
    if (topic) {
        return topic;
    }
    size_t size = session->by_id || name.size < 0 ? 0 : (size_t)name.size;
    topic = memory_alloc(s->memory, sizeof *topic + size);
    if (!topic) {
        return NULL;
    }
    char *text = (char *)(topic + 1);
    if (size) {
        memcpy(text, name.data, size);
    }
    topic->id = id;
    topic->name = session->by_id ? wire_string_null() : (struct wire_string){text, (int32_t)size};
    topic->sequence = session->topic_sequence++;
    if (map_add(&session->topics, topic_key(topic), topic) != 0) {
        memory_free(s->memory, topic);
        return NULL;
    }
    return topic;
}

/* Adds a partition or brings it up to date; false: no memory or no room. */
static bool partition_put(struct fetch_sessions *s, struct fetch_session *session,
                          const struct fetch_request_topics *in,
                          const struct fetch_request_partitions *asked)
{
    struct session_topic *topic = topic_add(s, session, in->topic, in->topic_id);
    if (!topic) {
        return false;
    }
    struct session_partition *p =
        map_get_number(&session->partitions, partition_number(topic, asked->partition));
    if (p) {
        p->asked = *asked;
        return true;
    }
    p = s->partitions < s->partitions_max ? memory_alloc(s->memory, sizeof *p) : NULL;
    if (!p || map_add_number(&session->partitions, partition_number(topic, asked->partition), p)) {
        memory_free(s->memory, p);
        topic_release(s, session, topic);
        return false;
    }
    p->topic = topic;
    p->asked = *asked;
    p->high_watermark = p->log_start = -1;
    list_init(&p->link);
    list_append(&session->order, &p->link);
    topic->partitions++;
    s->partitions++;
    return true;
}

static bool partitions_put(struct fetch_sessions *s, struct fetch_session *session,
                           const struct fetch_request *q)
{
    for (int32_t i = 0; i < q->topics_count; i++) {
        for (int32_t j = 0; j < q->topics[i].partitions_count; j++) {
            if (!partition_put(s, session, &q->topics[i], &q->topics[i].partitions[j])) {
                return false;
            }
        }
    }
    return true;
}

struct session_partition *fetch_session_find(struct fetch_session *session,
                                             const struct fetch_request_topics *topic,
                                             int32_t partition)
{
    struct session_topic *t = topic_find(session, topic->topic, topic->topic_id);
    return t ? map_get_number(&session->partitions, partition_number(t, partition)) : NULL;
}

static void session_forget(struct fetch_sessions *s, struct fetch_session *session,
                           const struct fetch_request *q)
{
    for (int32_t i = 0; i < q->forgotten_topics_data_count; i++) {
        const struct fetch_request_forgotten_topics_data *f = &q->forgotten_topics_data[i];
        for (int32_t j = 0; j < f->partitions_count; j++) {
            /* The topic goes with its last partition, so it is looked up for each. */
            struct session_topic *topic = topic_find(session, f->topic, f->topic_id);
            struct session_partition *p =
                topic ? map_get_number(&session->partitions,
                                       partition_number(topic, f->partitions[j]))
                      : NULL;
            if (p) {
                partition_drop(s, session, p);
            }
        }
    }
}

static struct fetch_session *session_new(struct fetch_sessions *s, const struct fetch_request *q,
                                         int version)
{
    uint32_t partitions = 0;
    for (int32_t i = 0; i < q->topics_count; i++) {
        partitions += (uint32_t)q->topics[i].partitions_count;
    }
    if (partitions == 0 || partitions > SESSION_PARTITIONS_MAX || !sessions_room(s, partitions)) {
        return NULL;
    }
    struct fetch_session *session = memory_alloc(s->memory, sizeof *session);
    if (!session) {
        return NULL;
    }
    do {
        uint32_t id;
        io_random(s->io, &id, sizeof id);
        session->id = (int32_t)(id & INT32_MAX);
    } while (session->id == 0 || map_get_number(&s->by_id, (uint64_t)session->id));
    session->epoch = 1;
    session->by_id = version >= 13;
    list_init(&session->lru);
    list_init(&session->order);
    map_init(&session->topics, s->memory, s->seed, SESSION_PARTITIONS_MAX);
    map_init(&session->partitions, s->memory, s->seed, SESSION_PARTITIONS_MAX);
    if (!partitions_put(s, session, q) ||
        map_add_number(&s->by_id, (uint64_t)session->id, session) != 0) {
        session_free(s, session);
        return NULL;
    }
    list_append(&s->lru, &session->lru);
    return session;
}

static void session_use(struct fetch_sessions *s, struct fetch_session *session)
{
    session->busy = true;
    session->used_ns = io_now(s->io);
    list_remove(&session->lru);
    list_append(&s->lru, &session->lru);
}

static int session_continue(struct fetch_sessions *s, const struct fetch_request *q, int version,
                            struct fetch_session *session)
{
    if (!session) {
        return ERR_FETCH_SESSION_ID_NOT_FOUND;
    }
    if (session->epoch != q->session_epoch || session->busy) {
        return ERR_INVALID_FETCH_SESSION_EPOCH;
    }
    if (session->by_id != (version >= 13)) {
        return ERR_FETCH_SESSION_TOPIC_ID_ERROR;
    }
    session->epoch = session->epoch == INT32_MAX ? 1 : session->epoch + 1;
    session_forget(s, session, q);
    if (!partitions_put(s, session, q)) {
        session_close(s, session); /* the client begins a new one, or goes without */
        return ERR_FETCH_SESSION_ID_NOT_FOUND;
    }
    session_use(s, session);
    return 0;
}

int fetch_session_begin(struct fetch_sessions *s, const struct fetch_request *q, int version,
                        struct fetch_session **session, bool *incremental)
{
    *session = NULL;
    *incremental = false;
    if (version < 7) {
        return 0;
    }
    struct fetch_session *known =
        q->session_id > 0 ? map_get_number(&s->by_id, (uint64_t)q->session_id) : NULL;
    if (q->session_epoch > 0) {
        int error = session_continue(s, q, version, known);
        if (!error) {
            *session = known;
            *incremental = true;
        }
        return error;
    }
    if (q->session_epoch < -1) {
        return ERR_INVALID_FETCH_SESSION_EPOCH;
    }
    if (known) {
        session_close(s, known);
    }
    if (q->session_epoch == 0) {
        *session = session_new(s, q, version);
        if (*session) {
            session_use(s, *session);
        }
    }
    return 0;
}

void fetch_session_end(struct fetch_sessions *s, struct fetch_session *session)
{
    assert(session->busy);
    session->busy = false;
    if (session->dead) {
        session_free(s, session);
    } else if (list_empty(&session->order)) {
        session_close(s, session);
    }
}
