/* SPDX-License-Identifier: Apache-2.0 */

#include "producer/batch.h"

#include "base/crc32c.h"

static_assert(RECORD_OVERHEAD_MAX >= VARINT_SIZE_MAX + 1 + VARLONG_SIZE_MAX + 4 * VARINT_SIZE_MAX,
              "length, attributes, time, offset, key, value, count");

static size_t nullable_size(const leat_bytes *bytes)
{
    return bytes->data ? varint_size((int64_t)bytes->len) + bytes->len : 1;
}

static uint8_t *nullable_put(uint8_t *p, const leat_bytes *bytes)
{
    if (!bytes->data) {
        *p++ = 1; /* zig-zag of -1 */
        return p;
    }
    p += varint_put(p, (int64_t)bytes->len);
    memcpy(p, bytes->data, bytes->len);
    return p + bytes->len;
}

void producer_batch_append(struct producer_batch *b, const leat_record *r, int64_t timestamp_ms)
{
    assert(b->size + record_bound(r) <= b->capacity);
    if (b->record_count == 0) {
        b->base_timestamp = b->max_timestamp = timestamp_ms;
    } else if (timestamp_ms > b->max_timestamp) {
        b->max_timestamp = timestamp_ms;
    }
    int64_t time_delta = timestamp_ms - b->base_timestamp;
    size_t size = 1 + varint_size(time_delta) + varint_size(b->record_count) +
                  nullable_size(&r->key) + nullable_size(&r->value) +
                  varint_size((int64_t)r->header_count);
    for (size_t i = 0; i < r->header_count; i++) {
        size_t name = strlen(r->headers[i].name);
        size += varint_size((int64_t)name) + name + nullable_size(&r->headers[i].value);
    }
    uint8_t *p = b->data + b->size;
    p += varint_put(p, (int64_t)size);
    *p++ = 0;
    p += varint_put(p, time_delta);
    p += varint_put(p, b->record_count);
    p = nullable_put(p, &r->key);
    p = nullable_put(p, &r->value);
    p += varint_put(p, (int64_t)r->header_count);
    for (size_t i = 0; i < r->header_count; i++) {
        const leat_bytes name = {r->headers[i].name, strlen(r->headers[i].name)};
        p = nullable_put(p, &name);
        p = nullable_put(p, &r->headers[i].value);
    }
    b->size = (size_t)(p - b->data);
    b->record_count++;
    assert(b->size <= b->capacity);
}

static void header_put(uint8_t *p, size_t size, const struct producer_batch *b, enum codec codec)
{
    put_be64(p, 0);
    put_be32(p + 8, (uint32_t)(size - BATCH_LENGTH_FROM));
    put_be32(p + 12, (uint32_t)-1);
    p[16] = BATCH_MAGIC;
    put_be16(p + 21, (uint16_t)codec);
    put_be32(p + 23, (uint32_t)(b->record_count - 1));
    put_be64(p + 27, (uint64_t)b->base_timestamp);
    put_be64(p + 35, (uint64_t)b->max_timestamp);
    put_be64(p + 43, (uint64_t)b->producer_id);
    put_be16(p + 51, (uint16_t)b->producer_epoch);
    put_be32(p + 53, (uint32_t)b->sequence);
    put_be32(p + 57, (uint32_t)b->record_count);
    put_be32(p + 17, crc32c(0, p + BATCH_CRC_FROM, size - BATCH_CRC_FROM));
}

/* Compresses the records into b->packed; a codec that does not make them smaller is left out. */
static int batch_pack(struct producer_batch *b, struct batch_packer *packer)
{
    struct wire_writer out;
    struct bytes records = bytes_of(b->data + BATCH_HEADER_SIZE, b->size - BATCH_HEADER_SIZE);
    wire_writer_init(&out, packer->memory, b->size + b->size / 8 + 65536);
    (void)wire_writer_room(&out, BATCH_HEADER_SIZE);
    int error = compress_append_kept(&packer->kept, packer->codec, packer->level, records,
                                     packer->memory, &out);
    if (error || out.size >= b->size) {
        wire_writer_deinit(&out);
        return error == ERR_TOO_LARGE ? 0 : error;
    }
    b->packed = out.data;
    b->packed_size = out.size;
    return 0;
}

int producer_batch_seal(struct producer_batch *b, struct batch_packer *packer, int64_t producer_id,
                        int16_t producer_epoch, int32_t sequence)
{
    assert(b->record_count > 0);
    assert((producer_id < 0) == (sequence < 0));
    if (b->sealed) {
        const uint8_t *p = producer_batch_bytes(b).data;
        if (get_be64(p + 43) == (uint64_t)producer_id &&
            get_be16(p + 51) == (uint16_t)producer_epoch &&
            get_be32(p + 53) == (uint32_t)sequence) {
            return 0;
        }
    }
    if (!b->sealed && packer->codec != CODEC_NONE) {
        int error = batch_pack(b, packer);
        if (error) {
            return error;
        }
    }
    b->producer_id = producer_id;
    b->producer_epoch = producer_epoch;
    b->sequence = sequence;
    b->sealed = true;
    header_put(b->packed ? b->packed : b->data, producer_batch_bytes(b).size, b,
               b->packed ? packer->codec : CODEC_NONE);
    return 0;
}
