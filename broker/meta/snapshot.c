/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/snapshot.h"

#include "base/crc32c.h"

#include <inttypes.h>
#include <stdio.h>

enum {
    FOOTER_TAG_SIZE = 36,
    FOOTER_VALUE_MAX = 64,
    NODE_NAME_SIZE = 12,
};

static const char name_end[] = ".checkpoint";
static const char loaded_end[] = ".loaded";

static void write_name(struct snapshot_id id, const char *end, char out[static SNAPSHOT_NAME_SIZE])
{
    assert(id.end_offset >= 0 && id.epoch >= 0);
    int size = snprintf(out, SNAPSHOT_NAME_SIZE, "%020" PRId64 "-%010" PRId32 "%s", id.end_offset,
                        id.epoch, end);
    assert(size < SNAPSHOT_NAME_SIZE);
}

void snapshot_name(struct snapshot_id id, char out[static SNAPSHOT_NAME_SIZE])
{
    write_name(id, name_end, out);
}

void snapshot_loaded_name(struct snapshot_id id, char out[static SNAPSHOT_NAME_SIZE])
{
    write_name(id, loaded_end, out);
}

static bool parse_digits(const uint8_t *text, size_t size, uint64_t most, uint64_t *out)
{
    uint64_t number = 0;
    for (size_t i = 0; i < size; i++) {
        if (text[i] < '0' || text[i] > '9' || number > (most - (text[i] - '0')) / 10) {
            return false;
        }
        number = number * 10 + (text[i] - '0');
    }
    *out = number;
    return true;
}

static bool parse_name(struct bytes name, const char *end, struct snapshot_id *out)
{
    uint64_t offset, epoch;
    size_t end_size = strlen(end);
    if (name.size != 31 + end_size || name.data[20] != '-' ||
        memcmp(name.data + 31, end, end_size) != 0 ||
        !parse_digits(name.data, 20, INT64_MAX, &offset) ||
        !parse_digits(name.data + 21, 10, INT32_MAX, &epoch)) {
        return false;
    }
    *out = (struct snapshot_id){(int64_t)offset, (int32_t)epoch};
    return true;
}

bool snapshot_name_parse(struct bytes name, struct snapshot_id *out)
{
    return parse_name(name, name_end, out);
}

bool snapshot_loaded_name_parse(struct bytes name, struct snapshot_id *out)
{
    return parse_name(name, loaded_end, out);
}

/* --- writing ---------------------------------------------------------------------------------- */

enum stage {
    STAGE_HEADER,
    STAGE_FEATURES,
    STAGE_BROKERS,
    STAGE_BROKER_CONFIGS,
    STAGE_TOPICS,
    STAGE_PRODUCER_IDS,
    STAGE_FOOTER,
    STAGE_END,
};

void snapshot_writer_init(struct snapshot_writer *w, struct memory *memory,
                          const struct image *image, struct uuid cluster_id)
{
    assert(image_offset(image) >= 0);
    *w = (struct snapshot_writer){.memory = memory, .image = image, .cluster_id = cluster_id};
    image_take(image);
    batch_builder_init(&w->batch, memory, SNAPSHOT_BATCH_MAX);
    wire_writer_init(&w->scratch, memory, SNAPSHOT_BATCH_MAX);
}

void snapshot_writer_deinit(struct snapshot_writer *w)
{
    image_release(w->image);
    w->image = NULL;
    batch_builder_deinit(&w->batch);
    wire_writer_deinit(&w->scratch);
}

static int put(struct snapshot_writer *w, const struct wire_message *message, int version,
               const void *body)
{
    return record_append(&w->batch, &w->scratch, message, version, body, image_timestamp(w->image));
}

static int put_config(struct snapshot_writer *w, int8_t type, const char *name,
                      const struct image_config *config)
{
    const struct config_record r = {
        .resource_type = type,
        .resource_name = wire_string_of(name),
        .name = wire_string_of(config->key),
        .value = wire_string_of(config->value),
    };
    return put(w, &config_record_message, 0, &r);
}

static int put_header(struct snapshot_writer *w)
{
    int64_t timestamp = image_timestamp(w->image);
    const struct snapshot_header_record header = {.last_contained_log_timestamp = timestamp};
    int error = control_append(&w->batch, w->memory, CONTROL_SNAPSHOT_HEADER,
                               &snapshot_header_record_message, 0, &header, timestamp);
    const struct kraft_version_record kraft = {.kraft_version = image_kraft_version(w->image)};
    if (!error) {
        error = control_append(&w->batch, w->memory, CONTROL_KRAFT_VERSION,
                               &kraft_version_record_message, 0, &kraft, timestamp);
    }
    struct bytes voters = image_voters(w->image);
    if (!error && voters.size) {
        error = control_append_bytes(&w->batch, CONTROL_VOTERS, voters, timestamp);
    }
    return error;
}

static int put_footer(struct snapshot_writer *w)
{
    uint8_t value[FOOTER_VALUE_MAX];
    struct writer out = writer_of(value, sizeof value);
    writer_be16(&out, 0); /* version */
    writer_u8(&out, 1);   /* one tagged field */
    uint8_t *tag = writer_room(&out, uvarint_size(SNAPSHOT_FOOTER_TAG));
    uvarint_put(tag, SNAPSHOT_FOOTER_TAG);
    writer_u8(&out, FOOTER_TAG_SIZE);
    writer_be32(&out, w->crc);
    writer_be64(&out, w->bytes);
    writer_be64(&out, (uint64_t)image_offset(w->image) + 1);
    writer_put(&out, w->cluster_id.bytes, sizeof w->cluster_id.bytes);
    assert(!out.failed);
    return control_append_bytes(&w->batch, CONTROL_SNAPSHOT_FOOTER, bytes_of(value, out.size),
                                image_timestamp(w->image));
}

static int put_broker(struct snapshot_writer *w)
{
    const struct image_broker *b = image_broker_at(w->image, w->index);
    struct register_broker_record_end_points end_points[IMAGE_ENDPOINTS_MAX];
    for (uint32_t i = 0; i < b->endpoint_count; i++) {
        register_broker_record_end_points_init(&end_points[i]);
        end_points[i].name = wire_string_of(b->endpoints[i].name);
        end_points[i].host = wire_string_of(b->endpoints[i].host);
        end_points[i].port = b->endpoints[i].port;
    }
    struct register_broker_record r;
    register_broker_record_init(&r);
    r.broker_id = b->id;
    r.incarnation_id = b->incarnation;
    r.broker_epoch = b->epoch;
    r.end_points = end_points;
    r.end_points_count = (int32_t)b->endpoint_count;
    r.rack = wire_string_of(b->rack);
    r.fenced = b->fenced;
    r.in_controlled_shutdown = b->shutting_down;
    struct uuid directory = b->directory;
    if (!uuid_is_zero(directory)) {
        r.log_dirs = &directory;
        r.log_dirs_count = 1;
    }
    return put(w, &register_broker_record_message, register_broker_record_version(&r), &r);
}

static int put_broker_config(struct snapshot_writer *w, uint32_t *inner_count)
{
    char name[NODE_NAME_SIZE] = "";
    const struct image_config *configs;
    int32_t node = image_configured_at(w->image, w->index, &configs, inner_count);
    assert(w->inner < *inner_count);
    if (node >= 0) {
        snprintf(name, sizeof name, "%" PRId32, node);
    }
    return put_config(w, RESOURCE_BROKER, name, &configs[w->inner]);
}

static int put_partition(struct snapshot_writer *w, const struct image_topic *t, int32_t number)
{
    struct partition_record r;
    partition_record_of(&r, t->id, number, &t->partitions[number]);
    return put(w, &partition_record_message, partition_record_version(&r), &r);
}

/* Of a topic: itself, its configurations, its partitions; w->inner counts through them. */
static int put_topic_part(struct snapshot_writer *w, uint32_t *inner_count)
{
    const struct image_topic *t = image_topic_at(w->image, w->index);
    *inner_count = 1 + t->config_count + (uint32_t)t->partition_count;
    if (w->inner == 0) {
        struct topic_record r;
        topic_record_of(&r, t);
        return put(w, &topic_record_message, 0, &r);
    }
    if (w->inner <= t->config_count) {
        return put_config(w, RESOURCE_TOPIC, t->name, &t->configs[w->inner - 1]);
    }
    return put_partition(w, t, (int32_t)(w->inner - 1 - t->config_count));
}

/* Adds the record at the writer's place and moves the place on; 1 when the stage has no more. */
static int put_next(struct snapshot_writer *w)
{
    uint32_t count = 0, inner_count = 1;
    int error = 0;
    switch (w->stage) {
    case STAGE_FEATURES:
        count = image_feature_count(w->image);
        if (w->index < count) {
            const struct image_feature *f = image_feature_at(w->image, w->index);
            const struct feature_level_record r = {wire_string_of(f->name), f->level};
            error = put(w, &feature_level_record_message, 0, &r);
        }
        break;
    case STAGE_BROKERS:
        count = image_broker_count(w->image);
        error = w->index < count ? put_broker(w) : 0;
        break;
    case STAGE_BROKER_CONFIGS:
        count = image_configured_count(w->image);
        error = w->index < count ? put_broker_config(w, &inner_count) : 0;
        break;
    case STAGE_TOPICS:
        count = image_topic_count(w->image);
        error = w->index < count ? put_topic_part(w, &inner_count) : 0;
        break;
    case STAGE_PRODUCER_IDS:
        count = 1;
        if (w->index < count) {
            const struct producer_ids_record r = {
                .broker_id = image_controller(w->image),
                .broker_epoch = -1,
                .next_producer_id = image_next_producer_id(w->image),
            };
            error = put(w, &producer_ids_record_message, 0, &r);
        }
        break;
    default:
        assert(!"a stage of data records");
    }
    if (error || w->index >= count) {
        return error ? error : 1;
    }
    if (++w->inner >= inner_count) {
        w->inner = 0;
        w->index++;
    }
    return 0;
}

/* Fills the builder with data records until a batch is full or none is left. */
static int fill_data(struct snapshot_writer *w)
{
    while (w->stage < STAGE_FOOTER) {
        int result = put_next(w);
        if (result == ERR_TOO_LARGE && w->batch.record_count > 0) {
            return 0;
        }
        if (result < 0) {
            return result;
        }
        if (result == 1) {
            w->stage++;
            w->index = w->inner = 0;
        }
    }
    return 0;
}

static int finish_batch(struct snapshot_writer *w, uint16_t attributes, struct bytes *out)
{
    struct batch_options options = batch_options_default();
    options.attributes = attributes;
    options.base_offset = w->next_offset;
    options.leader_epoch = image_epoch(w->image);
    int32_t count = w->batch.record_count;
    int error = batch_finish(&w->batch, &options, out);
    if (error) {
        return error;
    }
    w->next_offset += count;
    w->crc = crc32c(w->crc, out->data, out->size);
    w->bytes += out->size;
    return 1;
}

int snapshot_writer_next(struct snapshot_writer *w, struct bytes *out)
{
    int error;
    batch_builder_reset(&w->batch);
    switch (w->stage) {
    case STAGE_HEADER:
        error = put_header(w);
        if (error) {
            return error;
        }
        w->stage = STAGE_FEATURES;
        return finish_batch(w, BATCH_CONTROL, out);
    case STAGE_FOOTER:
        error = put_footer(w);
        if (error) {
            return error;
        }
        w->stage = STAGE_END;
        return finish_batch(w, BATCH_CONTROL, out);
    case STAGE_END:
        return 0;
    default:
        error = fill_data(w);
        if (error) {
            return error;
        }
        assert(w->batch.record_count > 0); /* the next producer id is always there */
        return finish_batch(w, 0, out);
    }
}

/* --- reading ---------------------------------------------------------------------------------- */

void snapshot_reader_init(struct snapshot_reader *r, struct memory *memory, struct image *draft,
                          struct snapshot_id id, struct uuid cluster_id)
{
    *r = (struct snapshot_reader){
        .memory = memory, .draft = draft, .id = id, .cluster_id = cluster_id};
}

static int damaged(struct snapshot_reader *r, const char *what)
{
    snprintf(r->why, sizeof r->why, "at byte %" PRIu64 ": %s", r->bytes, what);
    return ERR_DAMAGED;
}

static int read_header(struct snapshot_reader *r, const struct record *record)
{
    struct reader in = reader_of(record->value.data, (size_t)record->value.size);
    if (reader_be16(&in) != 0) {
        return ERR_UNSUPPORTED_VERSION;
    }
    r->timestamp = (int64_t)reader_be64(&in);
    reader_u8(&in); /* no tagged fields */
    return in.failed || reader_left(&in) ? ERR_MALFORMED : 0;
}

static int read_footer(struct snapshot_reader *r, const struct record *record)
{
    struct reader in = reader_of(record->value.data, (size_t)record->value.size);
    if (reader_be16(&in) != 0) {
        return ERR_UNSUPPORTED_VERSION;
    }
    bool fits = reader_u8(&in) == 1 && reader_uvarint(&in) == SNAPSHOT_FOOTER_TAG &&
                reader_u8(&in) == FOOTER_TAG_SIZE;
    uint32_t crc = reader_be32(&in);
    uint64_t bytes = reader_be64(&in);
    uint64_t end_offset = reader_be64(&in);
    const uint8_t *cluster = reader_take(&in, sizeof r->cluster_id.bytes);
    if (!fits || in.failed || reader_left(&in) || crc != r->crc || bytes != r->bytes ||
        end_offset != (uint64_t)r->id.end_offset ||
        memcmp(cluster, r->cluster_id.bytes, sizeof r->cluster_id.bytes) != 0) {
        return ERR_MALFORMED;
    }
    r->ended = true;
    return 0;
}

static int read_control(struct snapshot_reader *r, const struct record *record, struct arena *arena)
{
    enum control_kind kind;
    int error = control_kind_read(record, &kind);
    if (error) {
        return error;
    }
    if ((kind == CONTROL_SNAPSHOT_HEADER) != (record->offset == 0)) {
        return ERR_MALFORMED;
    }
    if (kind == CONTROL_SNAPSHOT_HEADER) {
        r->started = true;
        return read_header(r, record);
    }
    if (kind == CONTROL_SNAPSHOT_FOOTER) {
        return read_footer(r, record);
    }
    return control_apply(r->draft, record, arena);
}

static int read_batch(struct snapshot_reader *r, const struct batch_header *h, const uint8_t *data,
                      struct arena *arena)
{
    struct record_reader reader;
    struct record record;
    int more;
    record_reader_init(&reader, h, bytes_of(data + BATCH_HEADER_SIZE, h->size - BATCH_HEADER_SIZE));
    while ((more = record_next(&reader, &record)) == 1) {
        int error = ERR_MALFORMED;
        if (r->ended) {
            return error; /* nothing stands behind the footer */
        }
        if (h->attributes & BATCH_CONTROL) {
            error = read_control(r, &record, arena);
        } else if (r->started && record.value.size >= 0) {
            error = record_apply_bytes(
                r->draft, bytes_of(record.value.data, (size_t)record.value.size), arena);
        }
        if (error) {
            return error;
        }
    }
    return more;
}

static int feed_batch(struct snapshot_reader *r, const uint8_t *data, size_t size)
{
    struct batch_header h;
    struct arena arena;
    if (batch_check(&h, data, size, BATCH_FROM_LOG) != 0) {
        return damaged(r, "the batch fails its checks");
    }
    uint16_t attributes = h.attributes & (uint16_t)~BATCH_CONTROL;
    if (r->ended || attributes != 0 || h.base_offset != r->next_offset ||
        h.leader_epoch != r->id.epoch || h.record_count != (int64_t)h.last_offset_delta + 1) {
        return damaged(r, "the batch is not the one that follows");
    }
    arena_init(&arena, r->memory, RECORDS_ARENA_LIMIT);
    int error = read_batch(r, &h, data, &arena);
    arena_deinit(&arena);
    if (error == ERR_NO_MEMORY) {
        return error;
    }
    if (error == ERR_UNSUPPORTED_VERSION) {
        snprintf(r->why, sizeof r->why,
                 "at byte %" PRIu64
                 ": a record that this leatd does not know; a newer one wrote it",
                 r->bytes);
        return error;
    }
    if (error) {
        return damaged(r, "a record does not fit what is before it");
    }
    r->next_offset += h.record_count;
    r->crc = crc32c(r->crc, data, size);
    r->bytes += size;
    return 0;
}

int snapshot_reader_feed(struct snapshot_reader *r, const void *data, size_t size, size_t *used)
{
    const uint8_t *at = data;
    *used = 0;
    while (size - *used >= BATCH_LENGTH_FROM) {
        uint32_t next = batch_size_peek(at + *used);
        if (next == 0 || next > SNAPSHOT_BATCH_MAX) {
            return damaged(r, "a batch of an impossible size");
        }
        if (next > size - *used) {
            break;
        }
        int error = feed_batch(r, at + *used, next);
        if (error) {
            return error;
        }
        *used += next;
    }
    return 0;
}

int snapshot_reader_end(struct snapshot_reader *r)
{
    if (!r->started || !r->ended) {
        return damaged(r, "the file ends before its footer");
    }
    image_set_position(r->draft, r->id.end_offset - 1, r->id.epoch, r->timestamp);
    return 0;
}
