/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/voters_file.h"

#include "base/crc32c.h"

#define VOTERS_MAGIC 0x4c565331u /* "LVS1" */

enum { CRC_FROM = 8, CLUSTER_AT = 8, DIRECTORY_AT = 24, FOUNDED_AT = 40, SIZE_AT = 44 };

int voters_file_encode(const struct voters_file *in, struct wire_writer *w)
{
    assert(w->size == 0 && in->voters.count > 0);
    assert(!uuid_is_zero(in->cluster_id) && !uuid_is_zero(in->directory_id));
    uint8_t *head = wire_writer_room(w, VOTERS_FILE_FROM);
    if (!head) {
        return w->error;
    }
    memset(head, 0, VOTERS_FILE_FROM);
    put_be32(head, VOTERS_MAGIC);
    memcpy(head + CLUSTER_AT, in->cluster_id.bytes, 16);
    memcpy(head + DIRECTORY_AT, in->directory_id.bytes, 16);
    head[FOUNDED_AT] = in->founded ? 1 : 0;
    int error = voters_encode(&in->voters, w);
    if (error) {
        return error;
    }
    assert(w->spliced_bytes == 0 && w->size <= VOTERS_FILE_MAX);
    put_be32(w->data + SIZE_AT, (uint32_t)(w->size - VOTERS_FILE_FROM));
    put_be32(w->data + 4, crc32c(0, w->data + CRC_FROM, w->size - CRC_FROM));
    return 0;
}

int voters_file_decode(struct voters_file *out, struct bytes file, struct memory *m)
{
    struct voters_file f;
    const uint8_t *at = file.data;
    if (file.size < VOTERS_FILE_FROM || file.size > VOTERS_FILE_MAX) {
        return ERR_MALFORMED;
    }
    if (get_be32(at) != VOTERS_MAGIC ||
        get_be32(at + 4) != crc32c(0, at + CRC_FROM, file.size - CRC_FROM)) {
        return ERR_MALFORMED;
    }
    memcpy(f.cluster_id.bytes, at + CLUSTER_AT, 16);
    memcpy(f.directory_id.bytes, at + DIRECTORY_AT, 16);
    f.founded = at[FOUNDED_AT] == 1;
    /* The flag and the three bytes behind it. */
    if (uuid_is_zero(f.cluster_id) || uuid_is_zero(f.directory_id) ||
        get_be32(at + FOUNDED_AT) > (f.founded ? 1u << 24 : 0) ||
        get_be32(at + SIZE_AT) != file.size - VOTERS_FILE_FROM) {
        return ERR_MALFORMED;
    }
    struct bytes value = bytes_of(at + VOTERS_FILE_FROM, file.size - VOTERS_FILE_FROM);
    int error = voters_decode(&f.voters, value, m);
    if (!error) {
        *out = f;
    }
    return error;
}
