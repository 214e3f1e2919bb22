/* SPDX-License-Identifier: Apache-2.0 */

/* Records of __consumer_offsets, in Kafka's formats and in versions that every tool reads: keys
 * behind an int16 that names the kind, values behind one that is their version. */
#include "coord/write.h"

#include "coord/protocols.h"

enum {
    KEY_OFFSET = 1,
    KEY_GROUP = 2,
    VERSION_OFFSET = 3,
    VERSION_GROUP = 3,
};

static void write_over(struct write *w, int error)
{
    write_drop(w);
}

struct write *write_new(struct group *g)
{
    struct write *w = memory_alloc(g->host->memory, sizeof *w);
    if (w) {
        w->group = g;
        w->generation = g->generation;
        w->done = write_over;
        batch_builder_init(&w->batch, g->host->memory, g->host->batch_bytes_max);
    }
    return w;
}

void write_drop(struct write *w)
{
    if (w) {
        batch_builder_deinit(&w->batch);
        memory_free(w->group->host->memory, w);
    }
}

/* `value` NULL: the key is deleted. `header` may be NULL. */
static int put(struct write *w, int16_t kind, const struct wire_message *key_message,
               const void *key, int16_t version, const struct wire_message *value_message,
               const void *value, const struct record_header *header)
{
    struct group_host *h = w->group->host;
    struct wire_writer k, v;
    wire_writer_init(&k, h->memory, h->batch_bytes_max);
    wire_writer_init(&v, h->memory, h->batch_bytes_max);
    wire_put_be16(&k, (uint16_t)kind);
    int error = wire_encode(key_message, key, &k, 0);
    if (!error && value) {
        wire_put_be16(&v, (uint16_t)version);
        error = wire_encode(value_message, value, &v, version);
    }
    error = error ? error : k.error ? k.error : v.error;
    if (!error) {
        const struct record_input record = {
            .timestamp = io_wall_ms(h->io),
            .key = {k.data, (int32_t)k.size},
            .value = {v.data, value ? (int32_t)v.size : -1},
            .headers = header,
            .header_count = header ? 1 : 0,
        };
        error = batch_append(&w->batch, &record);
    }
    wire_writer_deinit(&k);
    wire_writer_deinit(&v);
    return error;
}

static int put_group(struct write *w, const struct group_metadata_value *value)
{
    const struct group_metadata_key key = {group_name(w->group)};
    return put(w, KEY_GROUP, &group_metadata_key_message, &key, VERSION_GROUP,
               &group_metadata_value_message, value, NULL);
}

int write_group(struct write *w)
{
    const struct group *g = w->group;
    struct group_metadata_value value;
    struct arena arena;
    group_metadata_value_init(&value);
    arena_init(&arena, g->host->memory, SIZE_MAX);
    value.protocol_type = wire_string_of(g->protocol_type ? g->protocol_type : "");
    value.generation = g->generation;
    value.protocol = wire_string_of(g->protocol);
    value.leader = wire_string_of(g->leader ? g->leader->id : NULL);
    value.current_state_timestamp = g->changed_ms;
    value.members = arena_array(&arena, (size_t)g->member_count, sizeof *value.members);
    for (struct list *node = g->members.next; value.members && node != &g->members;
         node = node->next) {
        const struct member *m = container_of(node, struct member, link);
        const struct member_protocol *p = member_protocol(m, wire_string_of(g->protocol));
        assert(p);
        value.members[value.members_count++] = (struct group_metadata_value_member_metadata){
            .member_id = wire_string_of(m->id),
            .group_instance_id = wire_string_of(m->instance),
            .client_id = wire_string_of(m->client_id),
            .client_host = wire_string_of(m->client_host),
            .rebalance_timeout = m->rebalance_ms,
            .session_timeout = m->session_ms,
            .subscription = p->metadata,
            .assignment = m->next ? (struct wire_bytes){m->next, m->next_size}
                                  : (struct wire_bytes){m->assignment, m->assignment_size},
        };
    }
    int error = value.members ? put_group(w, &value) : ERR_NO_MEMORY;
    arena_deinit(&arena);
    return error;
}

int write_group_deletion(struct write *w)
{
    return put_group(w, NULL);
}

static int put_offset(struct write *w, struct wire_string topic, int32_t partition,
                      const struct offset_commit_value *value, const struct record_header *header)
{
    const struct offset_commit_key key = {group_name(w->group), topic, partition};
    return put(w, KEY_OFFSET, &offset_commit_key_message, &key, VERSION_OFFSET,
               &offset_commit_value_message, value, header);
}

int write_offset(struct write *w, const struct coord_offset *o, int64_t now_ms)
{
    struct offset_commit_value value;
    offset_commit_value_init(&value);
    value.offset = o->offset;
    value.leader_epoch = o->leader_epoch;
    value.metadata = o->metadata.size >= 0 ? o->metadata : wire_string_of("");
    value.commit_timestamp = now_ms;
    const struct record_header topic_id = {
        bytes_of_string(WRITE_HEADER_TOPIC_ID),
        {o->topic_id.bytes, sizeof o->topic_id.bytes},
    };
    bool known = !uuid_is_zero(o->topic_id);
    return put_offset(w, o->topic, o->partition, &value, known ? &topic_id : NULL);
}

int write_offset_deletion(struct write *w, struct wire_string topic, int32_t partition)
{
    return put_offset(w, topic, partition, NULL, NULL);
}

void write_go(struct write *w)
{
    struct group *g = w->group;
    const struct batch_options options = batch_options_default();
    if (w->batch.record_count == 0) {
        w->done(w, 0);
        return;
    }
    int error = batch_finish(&w->batch, &options, &w->bytes);
    if (error) {
        w->done(w, error);
        return;
    }
    g->writes++;
    g->host->write(g->host, g, w);
}

void write_done(struct write *w, int error)
{
    assert(w->group->writes > 0);
    w->group->writes--;
    w->done(w, error);
}
