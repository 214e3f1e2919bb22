/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/identity.h"

#include "base/crc32c.h"

#include <stdio.h>

#define VOTE_MAGIC 0x4c565431u /* "LVT1" */

enum {
    VOTE_CRC_FROM = 8,
    VOTE_USED = 73,
    CHECKSUM_LINE = 18 /* "checksum=", 8 digits, line end */
};

static int base64_value(uint8_t c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == '-' ? 62 : c == '_' ? 63 : -1;
}

int uuid_parse(struct uuid *out, struct bytes text)
{
    struct uuid id;
    uint32_t bits = 0;
    int held = 0, at = 0;
    if (text.size != UUID_TEXT_SIZE - 1) {
        return ERR_MALFORMED;
    }
    for (size_t i = 0; i < text.size; i++) {
        int value = base64_value(text.data[i]);
        if (value < 0) {
            return ERR_MALFORMED;
        }
        bits = bits << 6 | (uint32_t)value;
        held += 6;
        if (held >= 8) {
            held -= 8;
            id.bytes[at++] = (uint8_t)(bits >> held);
        }
    }
    assert(at == 16 && held == 4);
    if (bits & 15) {
        return ERR_MALFORMED;
    }
    *out = id;
    return 0;
}

/* --- meta.properties -------------------------------------------------------------------------- */

size_t identity_encode(const struct identity *in, char out[static IDENTITY_SIZE_MAX])
{
    char cluster[UUID_TEXT_SIZE], directory[UUID_TEXT_SIZE];
    uuid_text(in->cluster_id, cluster);
    uuid_text(in->directory_id, directory);
    int version = uuid_is_zero(in->cluster_id) ? IDENTITY_VERSION_WAITING : IDENTITY_VERSION;
    int size =
        snprintf(out, IDENTITY_SIZE_MAX, "version=%d\ncluster.id=%s\ndirectory.id=%s\nnode.id=%d\n",
                 version, cluster, directory, (int)in->node_id);
    assert(size > 0 && size + CHECKSUM_LINE < IDENTITY_SIZE_MAX);
    uint32_t crc = crc32c(0, out, (size_t)size);
    size +=
        snprintf(out + size, IDENTITY_SIZE_MAX - (size_t)size, "checksum=%08x\n", (unsigned)crc);
    return (size_t)size;
}

/* The value of the next line, which must have this key. */
static struct bytes next_value(struct bytes *text, const char *key, bool *failed)
{
    size_t key_size = strlen(key);
    const uint8_t *end = text->size ? memchr(text->data, '\n', text->size) : NULL;
    if (!end || (size_t)(end - text->data) < key_size + 1 ||
        memcmp(text->data, key, key_size) != 0 || text->data[key_size] != '=') {
        *failed = true;
        return (struct bytes){0};
    }
    size_t line = (size_t)(end - text->data);
    struct bytes value = bytes_of(text->data + key_size + 1, line - key_size - 1);
    *text = bytes_of(end + 1, text->size - line - 1);
    return value;
}

static bool parse_number(struct bytes text, int64_t most, int64_t *out)
{
    int64_t number = 0;
    if (text.size == 0 || text.size > 10 || (text.size > 1 && text.data[0] == '0')) {
        return false;
    }
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return false;
        }
        number = number * 10 + (text.data[i] - '0');
    }
    *out = number;
    return number <= most;
}

int identity_decode_any(struct identity *out, struct bytes text)
{
    struct identity id;
    struct bytes rest = text;
    bool failed = false;
    int64_t version = 0, node = 0;
    char expected[9];
    if (text.size > IDENTITY_SIZE_MAX) {
        return ERR_MALFORMED;
    }
    failed = !parse_number(next_value(&rest, "version", &failed), INT32_MAX, &version) || failed;
    if (!failed && version != IDENTITY_VERSION && version != IDENTITY_VERSION_WAITING) {
        return ERR_UNSUPPORTED_VERSION;
    }
    failed = uuid_parse(&id.cluster_id, next_value(&rest, "cluster.id", &failed)) || failed;
    failed = uuid_parse(&id.directory_id, next_value(&rest, "directory.id", &failed)) || failed;
    failed = !parse_number(next_value(&rest, "node.id", &failed), INT32_MAX, &node) || failed;
    if (failed) {
        return ERR_MALFORMED;
    }
    uint32_t crc = crc32c(0, text.data, text.size - rest.size);
    snprintf(expected, sizeof expected, "%08x", (unsigned)crc);
    struct bytes checksum = next_value(&rest, "checksum", &failed);
    if (failed || rest.size > 0 || !bytes_equal(checksum, bytes_of_string(expected))) {
        return ERR_MALFORMED;
    }
    if (uuid_is_zero(id.directory_id) ||
        uuid_is_zero(id.cluster_id) != (version == IDENTITY_VERSION_WAITING)) {
        return ERR_MALFORMED;
    }
    id.node_id = (int32_t)node;
    *out = id;
    return 0;
}

int identity_decode(struct identity *out, struct bytes text)
{
    struct identity id;
    int error = identity_decode_any(&id, text);
    if (error) {
        return error;
    }
    if (uuid_is_zero(id.cluster_id)) {
        return ERR_UNSUPPORTED_VERSION;
    }
    *out = id;
    return 0;
}

/* --- the vote --------------------------------------------------------------------------------- */

void vote_encode(const struct vote *in, uint8_t out[static VOTE_SLOT_SIZE])
{
    assert(in->epoch >= 0);
    assert(in->voted_id >= -1);
    memset(out, 0, VOTE_SLOT_SIZE);
    struct writer w = writer_of(out, VOTE_SLOT_SIZE);
    writer_be32(&w, VOTE_MAGIC);
    writer_be32(&w, 0);
    writer_be64(&w, in->sequence);
    writer_put(&w, in->cluster_id.bytes, 16);
    writer_put(&w, in->directory_id.bytes, 16);
    writer_be32(&w, (uint32_t)in->epoch);
    writer_be32(&w, (uint32_t)in->voted_id);
    writer_put(&w, in->voted_directory_id.bytes, 16);
    writer_u8(&w, in->founded ? 1 : 0);
    assert(!w.failed && w.size == VOTE_USED);
    put_be32(out + 4, crc32c(0, out + VOTE_CRC_FROM, VOTE_SLOT_SIZE - VOTE_CRC_FROM));
}

static void read_uuid(struct reader *r, struct uuid *out)
{
    const uint8_t *p = reader_take(r, sizeof out->bytes);
    if (p) {
        memcpy(out->bytes, p, sizeof out->bytes);
    }
}

int vote_decode(struct vote *out, const uint8_t slot[static VOTE_SLOT_SIZE])
{
    struct vote v;
    struct reader r = reader_of(slot, VOTE_SLOT_SIZE);
    uint32_t magic = reader_be32(&r);
    uint32_t crc = reader_be32(&r);
    if (magic != VOTE_MAGIC ||
        crc != crc32c(0, slot + VOTE_CRC_FROM, VOTE_SLOT_SIZE - VOTE_CRC_FROM)) {
        return ERR_MALFORMED;
    }
    v.sequence = reader_be64(&r);
    read_uuid(&r, &v.cluster_id);
    read_uuid(&r, &v.directory_id);
    v.epoch = (int32_t)reader_be32(&r);
    v.voted_id = (int32_t)reader_be32(&r);
    read_uuid(&r, &v.voted_directory_id);
    uint8_t founded = reader_u8(&r);
    assert(!r.failed && r.position == VOTE_USED);
    if (v.epoch < 0 || v.voted_id < -1 || founded > 1) {
        return ERR_MALFORMED;
    }
    v.founded = founded == 1;
    *out = v;
    return 0;
}

int vote_choose(struct vote *out, int *write_first, struct bytes file)
{
    struct vote votes[VOTE_SLOTS];
    bool valid[VOTE_SLOTS];
    if (file.size != VOTE_FILE_SIZE) {
        return ERR_MALFORMED;
    }
    for (int i = 0; i < VOTE_SLOTS; i++) {
        valid[i] = vote_decode(&votes[i], file.data + i * VOTE_SLOT_SIZE) == 0;
    }
    if (!valid[0] && !valid[1]) {
        return ERR_MALFORMED;
    }
    if (valid[0] && valid[1] && !uuid_equal(votes[0].directory_id, votes[1].directory_id)) {
        return ERR_MALFORMED;
    }
    int newest = !valid[0] ? 1 : !valid[1] ? 0 : votes[1].sequence > votes[0].sequence;
    *out = votes[newest];
    *write_first = 1 - newest;
    return 0;
}
