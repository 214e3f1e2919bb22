/* SPDX-License-Identifier: Apache-2.0 */

/* DescribeLogDirs: how large partitions are, and the space of the one directory that there is. */
#include "api/request.h"

struct size_part {
    struct part part;
    struct describe_log_dirs_response_partitions *out;
};

struct log_dirs {
    struct api_request *request;
    struct describe_log_dirs_response_topics *topics;
    int32_t topic_count;
    struct spread spread;
};

static void sizes_start(struct share *s)
{
    for (struct part *p = s->first; p; p = p->next) {
        struct size_part *part = container_of(p, struct size_part, part);
        struct partition *found =
            partition_find(s->home->options.rooms.partitions, p->topic_id, p->partition);
        if (found) {
            part->out->partition_size = (int64_t)log_status(partition_log(found)).size_bytes;
        }
    }
    share_done(s);
}

/* Below its reserve the disk is full: nothing is appended. */
static int64_t usable(const struct api *api, uint64_t free_bytes)
{
    uint64_t reserve = (uint64_t)config_integer(api->options.config, CONFIG_DISK_RESERVE_BYTES);
    return free_bytes > reserve ? (int64_t)(free_bytes - reserve) : 0;
}

static void sizes_done(struct spread *s)
{
    struct log_dirs *d = container_of(s, struct log_dirs, spread);
    struct api_request *r = d->request;
    struct describe_log_dirs_response response;
    struct describe_log_dirs_response_results result;
    struct io_disk disk;
    describe_log_dirs_response_init(&response);
    describe_log_dirs_response_results_init(&result);
    result.log_dir = wire_string_of(r->api->options.data_dir);
    result.topics = d->topics;
    result.topics_count = d->topic_count;
    if (api_version(r) >= 4 && io_disk(r->api->io, r->api->options.data_dir, &disk) == 0) {
        result.total_bytes = (int64_t)disk.total_bytes;
        result.usable_bytes = usable(r->api, disk.free_bytes);
    }
    response.results = &result;
    response.results_count = 1;
    api_respond(r, &response);
}

static void partition_put(struct log_dirs *d, const struct image_topic *topic, int32_t index,
                          struct size_part *part, struct describe_log_dirs_response_topics *out)
{
    part->out = &out->partitions[out->partitions_count++];
    describe_log_dirs_response_partitions_init(part->out);
    part->out->partition_index = index;
    spread_add(&d->spread, &part->part, topic, index);
}

/* The partitions of a topic, or those in `asked`. */
static int dir_topic_put(struct log_dirs *d, const struct image_topic *topic, bool all,
                         const int32_t *asked, int32_t asked_count)
{
    struct api_request *r = d->request;
    int32_t most = all ? topic->partition_count : asked_count;
    struct describe_log_dirs_response_topics *out = &d->topics[d->topic_count];
    struct size_part *parts = api_alloc(r, (size_t)most, sizeof *parts);
    describe_log_dirs_response_topics_init(out);
    out->name = wire_string_of(topic->name);
    out->partitions = api_alloc(r, (size_t)most, sizeof *out->partitions);
    if (!parts || !out->partitions) {
        return ERR_NO_MEMORY;
    }
    for (int32_t i = 0; i < most; i++) {
        int32_t index = all ? i : asked[i];
        if (index >= 0 && index < topic->partition_count) {
            partition_put(d, topic, index, &parts[i], out);
        }
    }
    d->topic_count += out->partitions_count > 0;
    return 0;
}

void handle_describe_log_dirs(struct api_request *r)
{
    struct describe_log_dirs_request *q = api_decode(r);
    if (!q) {
        return;
    }
    r->arena.limit_bytes = API_ARENA_MAX;
    const struct image *image = api_request_image(r);
    bool all = q->topics_count < 0;
    uint32_t count = all ? image_topic_count(image) : (uint32_t)q->topics_count;
    struct log_dirs *d = api_alloc(r, 1, sizeof *d);
    int error = d ? spread_init(&d->spread, r, sizeof(struct share)) : ERR_NO_MEMORY;
    if (!error) {
        d->request = r;
        d->spread.start = sizes_start;
        d->spread.done = sizes_done;
        d->topics = api_alloc(r, count, sizeof *d->topics);
        error = d->topics ? 0 : ERR_NO_MEMORY;
    }
    for (uint32_t i = 0; i < count && !error; i++) {
        const struct image_topic *topic =
            all ? image_topic_at(image, i)
                : image_topic_by_name(image, wire_string_bytes(q->topics[i].topic));
        if (topic) {
            error = dir_topic_put(d, topic, all, all ? NULL : q->topics[i].partitions,
                                  all ? 0 : q->topics[i].partitions_count);
        }
    }
    if (error) {
        api_close(r, error_text(error));
        return;
    }
    spread_go(&d->spread);
}
