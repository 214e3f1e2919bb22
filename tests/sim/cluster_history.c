/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster_history.h"

#include "base/assert.h"
#include "base/prng.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define NOBODY UINT32_MAX

enum sent_state { SENT_ASKED, SENT_ACKED, SENT_REFUSED, SENT_UNKNOWN };

struct sent {
    uint64_t asked_ns, acked_ns;
    int64_t told; /* the offset that was acknowledged, -1 */
    int64_t seen; /* at which it was read, -1 */
    enum sent_state state;
};

struct source {
    struct history_writer_options options;
    char name[64]; /* TOPIC/PARTITION/wWRITER/ */
    size_t name_size;
    uint32_t crc; /* of it */
    struct sent *sent;
    uint32_t count, capacity;
    int64_t last_told; /* the highest offset that was acknowledged, */
    uint32_t last;     /* of this number */
    bool any_told;
};

/* What stands at an offset. */
struct slot {
    uint32_t writer, number;
    bool kept; /* the last reading found it */
};

struct log_of {
    char topic[32];
    int32_t partition;
    bool again, compacted;
    struct slot *slots;
    int64_t capacity;
    int64_t known_end; /* behind what was acknowledged, read or told */
};

struct history {
    void (*violated)(void *context, const char *why);
    void *context;
    struct log_of *logs;
    unsigned log_count;
    struct source *writers;
    unsigned writer_count;
    struct history_counts counts;
    char pattern
        [HISTORY_VALUE_MAX]; /* what follows the name of a value: the alphabet, again and again */
    char value[HISTORY_VALUE_MAX];
};

static void violation(const struct history *h, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void violation(const struct history *h, const char *format, ...)
{
    char why[HISTORY_WHY_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(why, sizeof why, format, arguments);
    va_end(arguments);
    h->violated(h->context, why);
    abort();
}

static void *grown(void *p, size_t size)
{
    void *out = realloc(p, size);
    if (!out) {
        abort();
    }
    return out;
}

struct history *history_new(void (*violated)(void *context, const char *why), void *context)
{
    struct history *h = calloc(1, sizeof *h);
    if (!h) {
        abort();
    }
    h->violated = violated;
    h->context = context;
    for (size_t i = 0; i < HISTORY_VALUE_MAX; i++) {
        h->pattern[i] = (char)('a' + i % 26);
    }
    return h;
}

void history_free(struct history *h)
{
    for (unsigned i = 0; i < h->log_count; i++) {
        free(h->logs[i].slots);
    }
    for (unsigned i = 0; i < h->writer_count; i++) {
        free(h->writers[i].sent);
    }
    free(h->logs);
    free(h->writers);
    free(h);
}

unsigned history_log(struct history *h, const char *topic, int32_t partition, bool again,
                     bool compacted)
{
    for (unsigned i = 0; i < h->log_count; i++) {
        if (h->logs[i].partition == partition && strcmp(h->logs[i].topic, topic) == 0) {
            return i;
        }
    }
    h->logs = grown(h->logs, (h->log_count + 1) * sizeof *h->logs);
    struct log_of *l = &h->logs[h->log_count];
    *l = (struct log_of){.partition = partition, .again = again, .compacted = compacted};
    snprintf(l->topic, sizeof l->topic, "%s", topic);
    return h->log_count++;
}

unsigned history_log_count(const struct history *h)
{
    return h->log_count;
}

unsigned history_writer(struct history *h, const struct history_writer_options *options)
{
    assert(options->log < h->log_count);
    h->writers = grown(h->writers, (h->writer_count + 1) * sizeof *h->writers);
    struct source *w = &h->writers[h->writer_count];
    *w = (struct source){.options = *options, .last_told = -1};
    const struct log_of *l = &h->logs[options->log];
    w->name_size = (size_t)snprintf(w->name, sizeof w->name, "%s/%d/w%u/", l->topic,
                                    (int)l->partition, h->writer_count);
    assert(w->name_size < sizeof w->name);
    w->crc = (uint32_t)crc32(0, (const uint8_t *)w->name, (unsigned)w->name_size);
    return h->writer_count++;
}

struct history_counts history_counts(const struct history *h)
{
    return h->counts;
}

/* --- values ------------------------------------------------------------------------------------ */

/* Most are small, some are of several blocks. */
static size_t padding_of(const struct history *h, unsigned writer, uint32_t number)
{
    uint64_t chance = prng_mix((uint64_t)writer << 32 | number);
    size_t size = chance % 200;
    if (history_tombstone(h, writer, number)) {
        return 0;
    }
    return (chance >> 20) % (h->writers[writer].options.large ? 8 : 64) == 0
               ? size + (chance >> 32) % 30000
               : size;
}

enum { NAME_MAX_SIZE = 64 + 10 + 1 + 8 + 1 };

/* TOPIC/PARTITION/wWRITER/NUMBER/HASH/ as tests/history/README.md has it, but for the hash, which leaves the padding
 * out: that is held against the pattern. */
static size_t name_of(const struct source *w, uint32_t number, char out[static NAME_MAX_SIZE])
{
    char digits[10];
    size_t size = w->name_size, count = 0;
    memcpy(out, w->name, size);
    do {
        digits[count++] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    while (count > 0) {
        out[size++] = digits[--count];
    }
    out[size++] = '/';
    uint32_t crc = (uint32_t)crc32(w->crc, (const uint8_t *)out + w->name_size,
                                   (unsigned)(size - w->name_size));
    for (int i = 28; i >= 0; i -= 4) {
        out[size++] = "0123456789abcdef"[crc >> i & 15];
    }
    out[size++] = '/';
    return size;
}

static const char *padding_from(const struct history *h, uint32_t number)
{
    return h->pattern + number % 26;
}

static bool is_value_of(const struct history *h, unsigned writer, uint32_t number,
                        const char *value, size_t size)
{
    char name[NAME_MAX_SIZE];
    size_t name_size = name_of(&h->writers[writer], number, name);
    size_t padding = padding_of(h, writer, number);
    return size == name_size + padding && memcmp(value, name, name_size) == 0 &&
           memcmp(value + name_size, padding_from(h, number), padding) == 0;
}

static bool number_from(const char **at, const char *end, uint64_t *out)
{
    const char *first = *at;
    *out = 0;
    while (*at < end && **at >= '0' && **at <= '9' && *at - first < 10) {
        *out = *out * 10 + (uint64_t)(**at - '0');
        (*at)++;
    }
    return *at > first && *at < end && *(*at)++ == '/';
}

/* Whose it says to be: TOPIC/PARTITION/wWRITER/NUMBER/... */
static bool value_says(const char *value, size_t size, uint64_t *writer, uint64_t *number)
{
    const char *end = value + size, *at = memchr(value, '/', size);
    uint64_t partition;
    if (!at) {
        return false;
    }
    at++;
    return number_from(&at, end, &partition) && at < end && *at++ == 'w' &&
           number_from(&at, end, writer) && number_from(&at, end, number);
}

/* C28: whose value it is. */
static struct sent *value_read(struct history *h, const struct log_of *l, int64_t offset,
                               const void *value, size_t size, struct slot *slot)
{
    uint64_t writer = 0, number = 0;
    if (!value || !value_says(value, size, &writer, &number) || writer >= h->writer_count ||
        number >= h->writers[writer].count) {
        violation(h, "C28 corrupt_served: %s-%d offset %" PRId64 ": nobody has sent \"%.*s\"",
                  l->topic, (int)l->partition, offset, (int)(size < 60 ? size : 60),
                  value ? (const char *)value : "");
    }
    const struct log_of *own = &h->logs[h->writers[writer].options.log];
    if (own != l || !is_value_of(h, (unsigned)writer, (uint32_t)number, value, size)) {
        violation(h,
                  "C28 corrupt_served: %s-%d offset %" PRId64
                  ": %zu bytes, other than number %u of w%u sent to %s-%d",
                  l->topic, (int)l->partition, offset, size, (unsigned)number, (unsigned)writer,
                  own->topic, (int)own->partition);
    }
    *slot = (struct slot){.writer = (uint32_t)writer, .number = (uint32_t)number};
    return &h->writers[writer].sent[number];
}

/* --- sending ----------------------------------------------------------------------------------- */

const void *history_send(struct history *h, unsigned writer, uint64_t now_ns, uint32_t *number,
                         size_t *size)
{
    assert(writer < h->writer_count);
    struct source *w = &h->writers[writer];
    if (w->count == w->capacity) {
        w->capacity = w->capacity ? 2 * w->capacity : 64;
        w->sent = grown(w->sent, w->capacity * sizeof *w->sent);
    }
    *number = w->count++;
    w->sent[*number] = (struct sent){.asked_ns = now_ns, .told = -1, .seen = -1};
    h->counts.sent++;
    size_t name_size = name_of(w, *number, h->value), padding = padding_of(h, writer, *number);
    memcpy(h->value + name_size, padding_from(h, *number), padding);
    *size = name_size + padding;
    return h->value;
}

int32_t history_key(const struct history *h, unsigned writer, uint32_t number)
{
    bool keyed = h->logs[h->writers[writer].options.log].compacted;
    uint64_t chance = prng_mix(~((uint64_t)writer << 32 | number));
    return keyed ? (int32_t)(chance % HISTORY_KEYS) : -1;
}

bool history_tombstone(const struct history *h, unsigned writer, uint32_t number)
{
    bool keyed = h->logs[h->writers[writer].options.log].compacted;
    return keyed && prng_mix(~((uint64_t)number << 32 | writer)) % 5 == 0;
}

void history_take_back(struct history *h, unsigned writer, uint32_t number)
{
    struct source *w = &h->writers[writer];
    assert(number + 1 == w->count);
    w->count--;
    h->counts.sent--;
}

/* Whether what the leader alone has acknowledged must stay. */
static bool is_promised(const struct source *w)
{
    return w->options.acks < 0 || (w->options.acks > 0 && w->options.lossless);
}

/* C1: that this stands there. */
static void stands(struct history *h, struct log_of *l, int64_t offset, struct slot slot,
                   const char *who)
{
    if (offset >= l->capacity) {
        int64_t capacity = l->capacity ? l->capacity : 256;
        while (capacity <= offset) {
            capacity *= 2;
        }
        l->slots = grown(l->slots, (size_t)capacity * sizeof *l->slots);
        for (int64_t i = l->capacity; i < capacity; i++) {
            l->slots[i] = (struct slot){.writer = NOBODY};
        }
        l->capacity = capacity;
    }
    struct slot *s = &l->slots[offset];
    if (s->writer != NOBODY && (s->writer != slot.writer || s->number != slot.number)) {
        violation(h,
                  "C1 inconsistent_offset: %s-%d offset %" PRId64
                  " %s number %u of w%u, and it held number %u of w%u",
                  l->topic, (int)l->partition, offset, who, slot.number, slot.writer, s->number,
                  s->writer);
    }
    s->writer = slot.writer;
    s->number = slot.number;
    if (l->known_end < offset + 1) {
        l->known_end = offset + 1;
    }
}

/* C2, C18, C30: of one value of an idempotent producer, which is at `offset`. */
static void stands_once(const struct history *h, unsigned writer, uint32_t number, int64_t offset)
{
    const struct source *w = &h->writers[writer];
    const struct log_of *l = &h->logs[w->options.log];
    const struct sent *s = &w->sent[number];
    if (s->seen >= 0 && s->seen != offset) {
        violation(h,
                  "C2 duplicate: number %u of w%u stands in %s-%d at offset %" PRId64
                  " and at %" PRId64,
                  number, writer, l->topic, (int)l->partition, s->seen, offset);
    }
    if (s->told >= 0 && s->told != offset) {
        violation(h,
                  "C30 dedupe, C18 spurious_offset: number %u of w%u was acknowledged in %s-%d at "
                  "offset %" PRId64 " and stands at %" PRId64,
                  number, writer, l->topic, (int)l->partition, s->told, offset);
    }
}

static void acknowledged(struct history *h, unsigned writer, uint32_t number, int64_t offset)
{
    struct source *w = &h->writers[writer];
    struct log_of *l = &h->logs[w->options.log];
    struct sent *s = &w->sent[number];
    if (offset < 0) {
        violation(h, "C18 spurious_offset: number %u of w%u was acknowledged in %s-%d at %" PRId64,
                  number, writer, l->topic, (int)l->partition, offset);
    }
    if (l->again) {
        s->told = offset;
        return;
    }
    if (w->options.idempotent) {
        stands_once(h, writer, number, offset);
    }
    if (is_promised(w) && w->any_told && (number > w->last) != (offset > w->last_told)) {
        violation(h,
                  "C11 send_nonmonotonic: number %u of w%u was acknowledged in %s-%d at %" PRId64
                  ", number %u at %" PRId64,
                  number, writer, l->topic, (int)l->partition, offset, w->last, w->last_told);
    }
    s->told = offset;
    if (!w->any_told || number > w->last) {
        w->any_told = true;
        w->last = number;
        w->last_told = offset;
    }
    if (is_promised(w)) {
        stands(h, l, offset, (struct slot){.writer = writer, .number = number},
               "was acknowledged for");
    }
}

void history_settled(struct history *h, unsigned writer, uint32_t number,
                     enum history_outcome outcome, int64_t offset, uint64_t now_ns)
{
    assert(writer < h->writer_count);
    struct source *w = &h->writers[writer];
    assert(number < w->count);
    struct sent *s = &w->sent[number];
    if (s->state != SENT_ASKED) {
        violation(h, "number %u of w%u was settled twice", number, writer);
    }
    if (outcome == HISTORY_ACKED) {
        s->state = SENT_ACKED;
        s->acked_ns = now_ns;
        h->counts.acked++;
        if (w->options.acks != 0) {
            acknowledged(h, writer, number, offset);
        }
    } else if (outcome == HISTORY_REFUSED) {
        s->state = SENT_REFUSED;
        h->counts.refused++;
    } else {
        s->state = SENT_UNKNOWN;
        h->counts.unknown++;
    }
}

/* --- reading ----------------------------------------------------------------------------------- */

void history_start(struct history *h, struct history_reading *r, unsigned log, bool earliest)
{
    assert(log < h->log_count);
    *r = (struct history_reading){
        .log = log,
        .next = -1,
        .earliest = earliest,
        .least = h->logs[log].known_end,
    };
}

void history_starts(struct history *h, struct history_reading *r, int64_t offset)
{
    struct log_of *l = &h->logs[r->log];
    h->counts.starts++;
    if (r->earliest && offset != 0) {
        violation(h, "C31 retention_overdelete: %s-%d begins at %" PRId64, l->topic,
                  (int)l->partition, offset);
    }
    if (!r->earliest && offset < r->least) {
        violation(h,
                  "C22 watermark_regress: the latest offset of %s-%d is told to be %" PRId64
                  ", and %" PRId64 " was known before it was asked for",
                  l->topic, (int)l->partition, offset, r->least);
    }
    r->next = offset;
    if (!l->again && l->known_end < offset) {
        l->known_end = offset;
    }
}

static void read_sent(struct history *h, struct log_of *l, int64_t offset, struct slot slot,
                      struct sent *s)
{
    const struct source *w = &h->writers[slot.writer];
    if (s->state == SENT_REFUSED) {
        violation(h,
                  "C25 definite_error_lied: %s-%d offset %" PRId64 ": number %u of w%u was refused",
                  l->topic, (int)l->partition, offset, slot.number, slot.writer);
    }
    if (w->options.idempotent) {
        stands_once(h, slot.writer, slot.number, offset);
    } else if (s->seen >= 0 && s->seen != offset) {
        h->counts.doubled++;
    }
    s->seen = offset;
    stands(h, l, offset, slot, "holds");
}

void history_read(struct history *h, struct history_reading *r, int64_t offset, const void *value,
                  size_t size, bool tombstone, uint64_t now_ns)
{
    struct log_of *l = &h->logs[r->log];
    struct slot slot;
    if (r->next < 0 || offset < r->next || (offset > r->next && !l->compacted)) {
        violation(h, "%s: %s-%d: offset %" PRId64 " follows %" PRId64,
                  offset > r->next ? "C7 poll_skip" : "C8 poll_nonmonotonic", l->topic,
                  (int)l->partition, offset, r->next - 1);
    }
    h->counts.compacted += r->last ? (uint64_t)(offset - r->next) : 0;
    r->next = offset + 1;
    r->records++;
    h->counts.read++;
    struct sent *s = value_read(h, l, offset, value, size, &slot);
    assert(s->asked_ns <= now_ns);
    if (tombstone != history_tombstone(h, slot.writer, slot.number)) {
        violation(
            h, "C28 corrupt_served: %s-%d offset %" PRId64 ": number %u of w%u is %s tombstone",
            l->topic, (int)l->partition, offset, slot.number, slot.writer, tombstone ? "a" : "no");
    }
    if (l->again) {
        s->seen = offset;
    } else {
        read_sent(h, l, offset, slot, s);
        l->slots[offset].kept |= r->last;
    }
}

int64_t history_known_end(const struct history *h, unsigned log)
{
    return h->logs[log].known_end;
}

/* --- the end ----------------------------------------------------------------------------------- */

static void judge_sent(const struct history *h, const struct log_of *l, unsigned writer,
                       uint32_t number, int64_t end)
{
    const struct source *w = &h->writers[writer];
    const struct sent *s = &w->sent[number];
    bool gone = s->told >= end || (s->seen < 0 && !l->compacted);
    if (s->state == SENT_ACKED && is_promised(w) && gone) {
        violation(h,
                  "C3 lost_write: number %u of w%u (acks %d) was acknowledged in %s-%d at "
                  "%" PRId64 ", and is not there: the log ends at %" PRId64,
                  number, writer, (int)w->options.acks, l->topic, (int)l->partition, s->told, end);
    }
}

static void judge_again(const struct history *h, const struct log_of *l, unsigned writer,
                        uint32_t number, uint64_t deleted_ns, uint64_t calm_ns)
{
    const struct source *w = &h->writers[writer];
    const struct sent *s = &w->sent[number];
    if (s->state != SENT_ACKED || !is_promised(w)) {
        return;
    }
    if (s->acked_ns < deleted_ns && s->seen >= 0) {
        violation(h,
                  "C26 resurrected: number %u of w%u was acknowledged before %s was deleted, and "
                  "stands in %s-%d at %" PRId64,
                  number, writer, l->topic, l->topic, (int)l->partition, s->seen);
    }
    if (s->asked_ns >= calm_ns && s->seen != s->told) {
        violation(h,
                  "C3 lost_write: number %u of w%u was acknowledged in %s-%d at %" PRId64
                  " when all was well, and was read at %" PRId64,
                  number, writer, l->topic, (int)l->partition, s->told, s->seen);
    }
}

/* A tombstone of the key has perhaps stood there and gone, and nobody knows where. */
static bool perhaps_deleted(const struct history *h, const struct log_of *l, int32_t key)
{
    for (unsigned i = 0; i < h->writer_count; i++) {
        const struct source *w = &h->writers[i];
        for (uint32_t n = 0; &h->logs[w->options.log] == l && n < w->count; n++) {
            const struct sent *s = &w->sent[n];
            bool unknown =
                s->seen < 0 && s->state != SENT_REFUSED && (s->told < 0 || !is_promised(w));
            if (unknown && history_key(h, i, n) == key && history_tombstone(h, i, n)) {
                return true;
            }
        }
    }
    return false;
}

/* What is known to have stood below `end`, and was not found, has a newer record of its key, or is a tombstone. One
 * that was the newest of its key, and has gone, went after all that is older: no reading takes as long as it stays. */
static void judge_compacted(const struct history *h, const struct log_of *l, int64_t end)
{
    int64_t newer[HISTORY_KEYS], deleted[HISTORY_KEYS],
        known = l->capacity < end ? l->capacity : end;
    memset(newer, 0xff, sizeof newer);
    memset(deleted, 0xff, sizeof deleted);
    for (int64_t i = known - 1; i >= 0; i--) {
        const struct slot *s = &l->slots[i];
        if (s->writer == NOBODY) {
            continue;
        }
        int32_t key = history_key(h, s->writer, s->number);
        bool tombstone = history_tombstone(h, s->writer, s->number);
        if (!s->kept && newer[key] < 0 && !tombstone && !perhaps_deleted(h, l, key)) {
            violation(h,
                      "C31 retention_overdelete: %s-%d offset %" PRId64
                      ": number %u of w%u was the newest of its key, and is gone",
                      l->topic, (int)l->partition, i, s->number, s->writer);
        }
        if (s->kept && deleted[key] >= 0) {
            violation(h,
                      "C26 resurrected: %s-%d offset %" PRId64
                      ": number %u of w%u is there, and the tombstone at %" PRId64 " has gone",
                      l->topic, (int)l->partition, i, s->number, s->writer, deleted[key]);
        }
        deleted[key] = tombstone && !s->kept && newer[key] < 0 ? i : deleted[key];
        newer[key] = (s->kept || tombstone) && newer[key] < 0 ? i : newer[key];
    }
}

void history_judge(struct history *h, unsigned log, int64_t end, int64_t least, uint64_t deleted_ns,
                   uint64_t calm_ns)
{
    const struct log_of *l = &h->logs[log];
    for (unsigned i = 0; i < h->writer_count; i++) {
        const struct source *w = &h->writers[i];
        for (uint32_t n = 0; w->options.log == log && n < w->count; n++) {
            if (l->again) {
                judge_again(h, l, i, n, deleted_ns, calm_ns);
            } else {
                judge_sent(h, l, i, n, end);
            }
        }
    }
    if (l->compacted) {
        judge_compacted(h, l, end);
    }
    if (!l->again && end < least) {
        violation(h, "C3 lost_write: %s-%d ends at %" PRId64 ", and reached %" PRId64, l->topic,
                  (int)l->partition, end, least);
    }
}
