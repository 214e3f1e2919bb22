/* SPDX-License-Identifier: Apache-2.0 */

/* How far a group is behind, in records and in time. A partition that cannot be asked says so in its
 * row; the rest of the answer stands. */
#include "admin/group_view.h"

#include <stdlib.h>

static int row_compare(const void *left, const void *right)
{
    const leat_group_partition *a = left, *b = right;
    int topics = strcmp(a->topic, b->topic);
    return topics ? topics : (a->partition > b->partition) - (a->partition < b->partition);
}

/* An assigned and a committed row of one partition become one. */
static void rows_join(struct group_view *v)
{
    size_t count = 0;
    if (v->row_count) {
        qsort(v->rows, v->row_count, sizeof *v->rows, row_compare);
    }
    for (size_t i = 0; i < v->row_count; i++) {
        leat_group_partition *last = count ? &v->rows[count - 1] : NULL;
        const leat_group_partition *row = &v->rows[i];
        if (!last || row_compare(last, row) != 0) {
            v->rows[count++] = *row;
            continue;
        }
        last->member = row->member >= 0 ? row->member : last->member;
        if (row->committed >= 0) {
            last->committed = row->committed;
            last->committed_epoch = row->committed_epoch;
            last->metadata = row->metadata;
        }
    }
    v->row_count = count;
}

/* --- records ---------------------------------------------------------------------------------------- */

static bool rows_offsets(struct group_view *v, leat_client *c, int64_t when,
                         leat_offset_query *queries)
{
    leat_error e;
    for (size_t i = 0; i < v->row_count; i++) {
        queries[i] = (leat_offset_query){
            .topic = v->rows[i].topic, .partition = v->rows[i].partition, .when = when};
    }
    int error = leat_offsets_at(c, queries, v->row_count, &e);
    for (size_t i = 0; i < v->row_count; i++) {
        leat_group_partition *row = &v->rows[i];
        int code = error ? error : queries[i].code;
        row->code = row->code ? row->code : code;
        *(when == LEAT_LATEST ? &row->end : &row->start) = code ? -1 : queries[i].offset;
    }
    return !error;
}

/* Where reading would go on: what was deleted below the log's start is not read any more. */
static int64_t row_next(const leat_group_partition *row)
{
    return row->committed < row->start ? row->start : row->committed;
}

static void rows_lag(struct group_view *v)
{
    for (size_t i = 0; i < v->row_count; i++) {
        leat_group_partition *row = &v->rows[i];
        if (row->committed < 0 || row->start < 0 || row->end < 0) {
            continue;
        }
        int64_t next = row_next(row);
        row->lag = next < row->end ? row->end - next : 0;
        row->lag_ms = row->lag ? -1 : 0;
        v->group.lag += row->lag;
    }
}

/* --- time ------------------------------------------------------------------------------------------- */

static leat_group_partition *row_find(const struct group_view *v, const char *topic,
                                      int32_t partition)
{
    const leat_group_partition key = {.topic = topic, .partition = partition};
    return bsearch(&key, v->rows, v->row_count, sizeof *v->rows, row_compare);
}

/* The first record of each partition; more of it is not wanted. */
static size_t take_times(struct group_view *v, leat_consumer *k, const leat_record *records,
                         int count)
{
    size_t taken = 0;
    int64_t now = shell_wall_ms();
    for (int i = 0; i < count; i++) {
        leat_group_partition *row = row_find(v, records[i].topic, records[i].partition);
        if (!row || row->lag_ms >= 0) {
            continue;
        }
        leat_error e;
        row->lag_ms = now > records[i].timestamp_ms ? now - records[i].timestamp_ms : 0;
        (void)leat_pause(k, row->topic, row->partition, true, &e);
        taken++;
    }
    return taken;
}

static void rows_times(struct group_view *v, leat_client *c, leat_start *starts, size_t count)
{
    leat_consumer_options options = LEAT_CONSUMER_OPTIONS_INIT;
    leat_consumer *k;
    leat_error e;
    options.reset = LEAT_RESET_EARLIEST;
    options.read_uncommitted = true;
    options.partition_fetch_bytes = 1024; /* a batch is given whole: one is enough */
    if (leat_consumer_open(&k, c, NULL, &options, &e)) {
        return;
    }
    uint64_t deadline = shell_deadline(c->options.timeout_ms);
    int error = leat_assign(k, starts, count, &e);
    for (size_t left = error ? 0 : count; left && shell_now() < deadline;) {
        const leat_record *records;
        int wait_ms = (int)((deadline - shell_now()) / 1000000) + 1;
        int got = leat_poll(k, &records, wait_ms, &e);
        if (got < 0) {
            break;
        }
        left -= take_times(v, k, records, got);
    }
    leat_consumer_close(k, &e);
}

static bool rows_ages(struct group_view *v, leat_client *c)
{
    leat_start *starts = memory_alloc(&v->heap, (v->row_count + 1) * sizeof *starts);
    size_t count = 0;
    for (size_t i = 0; starts && i < v->row_count; i++) {
        const leat_group_partition *row = &v->rows[i];
        if (row->lag > 0) {
            starts[count++] = (leat_start){row->topic, row->partition, row_next(row), 0};
        }
    }
    if (count) {
        rows_times(v, c, starts, count);
    }
    for (size_t i = 0; i < v->row_count; i++) {
        v->group.lag_ms = v->rows[i].lag_ms > v->group.lag_ms ? v->rows[i].lag_ms : v->group.lag_ms;
    }
    return starts != NULL;
}

bool group_view_lag(struct group_view *v, leat_client *c, leat_error *e)
{
    rows_join(v);
    size_t count = v->row_count;
    leat_offset_query *queries = memory_alloc(&v->heap, (count + 1) * sizeof *queries);
    const leat_group_partition **partitions =
        memory_alloc(&v->heap, (count + 1) * sizeof *partitions);
    bool whole = queries && partitions;
    if (whole && count && rows_offsets(v, c, LEAT_LATEST, queries) &&
        rows_offsets(v, c, LEAT_EARLIEST, queries)) {
        rows_lag(v);
        whole = rows_ages(v, c);
    }
    if (!whole) {
        error_set(e, ERR_NO_MEMORY, "no memory to describe a group");
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        partitions[i] = &v->rows[i];
    }
    v->group.partitions = partitions;
    v->group.partition_count = count;
    return true;
}
