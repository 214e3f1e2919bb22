/* SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include "wire/wire.h"

#include <inttypes.h>
#include <stdlib.h>

static void print_nodes(FILE *out, const char *name, const int32_t *ids, int32_t count)
{
    fprintf(out, " %s=", name);
    for (int32_t i = 0; i < count; i++) {
        fprintf(out, "%s%" PRId32, i ? "," : "", ids[i]);
    }
}

char *image_text(const struct image *image)
{
    char *text = NULL, id[UUID_TEXT_SIZE];
    size_t size;
    FILE *out = open_memstream(&text, &size);
    fprintf(out, "cluster %s kraft %d voters %zu next id %" PRId64 "\n", image_cluster_id(image),
            image_kraft_version(image), image_voters(image).size, image_next_producer_id(image));
    for (uint32_t i = 0; i < image_feature_count(image); i++) {
        const struct image_feature *f = image_feature_at(image, i);
        fprintf(out, "feature %s %d\n", f->name, f->level);
    }
    for (uint32_t i = 0; i < image_broker_count(image); i++) {
        const struct image_broker *b = image_broker_at(image, i);
        uuid_text(b->incarnation, id);
        fprintf(out, "broker %" PRId32 " epoch %" PRId64 " rack %s fenced %d leaving %d %s", b->id,
                b->epoch, b->rack ? b->rack : "(none)", b->fenced, b->shutting_down, id);
        uuid_text(b->directory, id);
        fprintf(out, " in %s", id);
        for (uint32_t k = 0; k < b->endpoint_count; k++) {
            const struct image_endpoint *e = &b->endpoints[k];
            fprintf(out, " %s=%s:%u", e->name, e->host, e->port);
        }
        fprintf(out, "\n");
    }
    for (uint32_t i = 0; i < image_configured_count(image); i++) {
        const struct image_config *configs;
        uint32_t count;
        int32_t node = image_configured_at(image, i, &configs, &count);
        for (uint32_t k = 0; k < count; k++) {
            fprintf(out, "node %" PRId32 " %s=%s\n", node, configs[k].key, configs[k].value);
        }
    }
    for (uint32_t i = 0; i < image_topic_count(image); i++) {
        const struct image_topic *t = image_topic_at(image, i);
        uuid_text(t->id, id);
        fprintf(out, "topic %s %s internal %d open %d\n", t->name, id, t->internal, t->factor_open);
        for (uint32_t k = 0; k < t->config_count; k++) {
            fprintf(out, "  %s=%s\n", t->configs[k].key, t->configs[k].value);
        }
        for (int32_t k = 0; k < t->partition_count; k++) {
            const struct image_partition *p = &t->partitions[k];
            fprintf(out, "  %" PRId32 " leader %" PRId32 " epoch %" PRId32 " change %" PRId32, k,
                    p->leader, p->leader_epoch, p->partition_epoch);
            print_nodes(out, "replicas", p->replicas, p->replica_count);
            print_nodes(out, "isr", p->isr, p->isr_count);
            print_nodes(out, "elr", p->more->elr.ids, p->more->elr.count);
            print_nodes(out, "last", p->more->last_known_elr.ids, p->more->last_known_elr.count);
            print_nodes(out, "adding", p->more->adding.ids, p->more->adding.count);
            print_nodes(out, "removing", p->more->removing.ids, p->more->removing.count);
            print_nodes(out, "damaged", p->more->damaged.ids, p->more->damaged.count);
            fprintf(out, " recovering %d unclean %" PRId32, p->recovering, p->unclean_epoch);
            for (int32_t d = 0; p->directories && d < p->replica_count; d++) {
                uuid_text(p->directories[d], id);
                fprintf(out, " %s", id);
            }
            fprintf(out, "\n");
        }
    }
    fclose(out);
    return text;
}

struct uuid id_of(uint64_t number)
{
    struct uuid id = {{[0] = 1}};
    put_be64(id.bytes + 8, number * 0x9e3779b97f4a7c15);
    return id;
}

void bench_open(struct bench *b, int brokers)
{
    memset(b, 0, sizeof *b);
    memory_init(&b->memory, (size_t)1 << 30);
    b->home = image_home_new(&b->memory, "abcdefghijklmnopqrstuv");
    proposal_init(&b->proposal, &b->memory, 900 << 10);
    struct image *first = image_empty(b->home);
    for (int i = 1; i <= brokers; i++) {
        const struct image_endpoint_spec endpoint = {bytes_of_string("PLAINTEXT"),
                                                     bytes_of_string("host"), 9092};
        struct image_broker_spec spec = {
            .id = i,
            .epoch = 0,
            .incarnation = id_of((uint64_t)i),
            .endpoints = &endpoint,
            .endpoint_count = 1,
        };
        assert(image_put_broker(first, &spec) == 0);
    }
    image_seal(first);
    b->image = first;
    b->limits = (struct controller_limits){
        .node_id = 1,
        .num_partitions = 3,
        .default_replication_factor = 1,
        .topics_max = 100000,
        .partitions_max = 200000,
    };
}

void bench_close(struct bench *b)
{
    proposal_deinit(&b->proposal);
    ends_free(&b->ends, &b->memory);
    image_release(b->image);
    image_home_free(b->home);
    assert(b->memory.used_bytes == 0);
    memory_drop(&b->memory);
}

static int emit(void *context, const struct wire_message *message, int version, const void *body)
{
    struct bench *b = context;
    return proposal_emit(&b->proposal, message, version, body);
}

void bench_begin(struct bench *b, struct controller *c)
{
    struct proposal *p = &b->proposal;
    assert(proposal_begin(p, b->image, b->next_offset, 1700000000000) == 0);
    assert(proposal_open(p) == 0);
    *c = (struct controller){
        .image = p->image,
        .candidate = p->candidate,
        .limits = &b->limits,
        .fresh_id = id_of(1000 + b->topics_made++),
        .next_offset = b->next_offset,
        .memory = &b->memory,
        .ends = &b->ends,
        .mutant = b->mutant,
        .emit = emit,
        .context = b,
    };
}

int bench_end(struct bench *b, int error)
{
    struct proposal *p = &b->proposal;
    if (error) {
        proposal_undo(p);
    } else {
        proposal_keep(p);
    }
    if (p->batch.record_count == 0) {
        proposal_drop(p);
        return error;
    }
    assert(proposal_finish(p, 7, &b->batch) == 0);
    b->next_offset = proposal_next_offset(p);
    b->batches++;
    struct image *next = p->image;
    p->image = NULL;
    image_seal(next);
    image_release(b->image);
    b->image = next;
    proposal_drop(p);
    return error;
}

int bench_run(struct bench *b, struct meta_op *op)
{
    struct controller c;
    bench_begin(b, &c);
    return bench_end(b, controller_decide(&c, op));
}

struct meta_op op_create(const char *topic, int32_t partitions)
{
    return (struct meta_op){
        .kind = META_CREATE_TOPIC,
        .topic = topic,
        .partitions = partitions,
        .replication_factor = -1,
    };
}

struct meta_op op_delete(const char *topic)
{
    return (struct meta_op){.kind = META_DELETE_TOPIC, .topic = topic};
}

void to_hex(struct bytes in, char *out)
{
    for (size_t i = 0; i < in.size; i++) {
        sprintf(out + 2 * i, "%02x", in.data[i]);
    }
    out[2 * in.size] = 0;
}

void values_of(struct bytes batch, char *out)
{
    struct batch_header h;
    struct record_reader reader;
    struct record record;
    assert(batch_check(&h, batch.data, batch.size, BATCH_FROM_LOG) == 0);
    record_reader_init(&reader, &h,
                       bytes_of(batch.data + BATCH_HEADER_SIZE, batch.size - BATCH_HEADER_SIZE));
    *out = 0;
    while (record_next(&reader, &record) == 1) {
        to_hex(bytes_of(record.value.data, (size_t)record.value.size), out + strlen(out));
        strcat(out, "\n");
    }
}
