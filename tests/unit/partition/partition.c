/* SPDX-License-Identifier: Apache-2.0 */

/* Partitions over real logs and real metadata, on one simulated machine: what an image changes,
 * what a leader answers, who is woken and when. */
#include "partition/partition.h"

#include "meta/meta.h"
#include "sim/sim.h"
#include "wire/wire.h"

#include <errno.h>

#include <criterion/criterion.h>

#define SECOND_NS UINT64_C(1000000000)

struct world {
    struct sim *sim;
    struct sim_node *machine;
    struct io *io;
    struct meta_options meta_options;
    struct meta_open open;
    struct meta *meta;
    struct log_options log_options;
    struct log_recover recover;
    struct log_set *logs;
    struct partition_table *table;
    const struct image *image; /* the newest, with a reference */
    int64_t retention_ms;
    uint64_t segment_bytes;
    unsigned configured;
    struct io_message message;
    void (*what)(struct world *w);
    struct meta_op op;
    bool op_done;
    struct partition_append append;
    int append_error; /* 1: not done */
    struct partition_waiter waiters[4];
    unsigned woken[4];
    struct uuid topic_id;
    int64_t producer_id; /* of batches, 0: none */
    int32_t sequence;
};

static struct world world;

/* --- the machine ------------------------------------------------------------------------------ */

static void published(void *context, const struct image *image)
{
    struct world *w = context;
    image_take(image);
    if (w->image) {
        image_release(w->image);
    }
    w->image = image;
    if (w->table) {
        partition_table_apply(w->table, image);
    }
}

static const char *known(void *context, struct uuid topic_id, int32_t partition)
{
    struct world *w = context;
    return meta_knows(w->meta, topic_id, partition);
}

static void configure(void *context, const struct image_topic *topic, struct log_config *out)
{
    struct world *w = context;
    w->configured++;
    *out = (struct log_config){.segment_bytes = w->segment_bytes,
                               .segment_ms = 1000000000,
                               .retention_ms = w->retention_ms,
                               .retention_bytes = -1,
                               .index_interval_bytes = 4096};
}

static void recovered(struct log_recover *r, int error)
{
    struct world *w = container_of(r, struct world, recover);
    cr_assert_eq(error, 0);
    w->logs = log_set_open(w->io, r->result, &w->log_options);
    cr_assert_not_null(w->logs);
    log_recovery_free(w->io, r->result);
    const struct partition_options options = {
        .node_id = 1, .logs = w->logs, .configure = configure, .context = w};
    w->table = partition_table_new(w->io, &options);
    cr_assert_not_null(w->table);
    partition_table_apply(w->table, w->image);
}

static void opened(struct meta_open *o, int error)
{
    struct world *w = container_of(o, struct world, open);
    cr_assert_eq(error, 0, "%s", o->why);
    w->meta = o->meta;
    w->log_options = (struct log_options){.root = "data",
                                          .journal_file_bytes = 1 << 20,
                                          .journal_bytes_max = 8 << 20,
                                          .disk_reserve_bytes = 4096,
                                          .producer_expiration_ms = 3600000,
                                          .known = known,
                                          .known_context = w};
    w->recover.done = recovered;
    log_recover(w->io, &w->recover, &w->log_options, 1);
}

static void start(struct io *io, void *argument)
{
    struct world *w = argument;
    w->io = io;
    int error = io_mkdir(io, "data");
    cr_assert(error == 0 || error == -EEXIST);
    error = io_mkdir(io, "data/meta");
    cr_assert(error == 0 || error == -EEXIST);
    static const struct image_endpoint endpoint = {"plain", "machine", 9092};
    w->meta_options = (struct meta_options){.root = "data/meta",
                                            .node_id = 1,
                                            .endpoints = &endpoint,
                                            .endpoint_count = 1,
                                            .num_partitions = 1,
                                            .default_replication_factor = 1,
                                            .topics_max = 1000,
                                            .partitions_max = 1000,
                                            .publish = published,
                                            .publish_context = w};
    w->open.done = opened;
    meta_open(io, &w->open, &w->meta_options);
}

static void run(struct world *w, uint64_t ns)
{
    sim_run(w->sim, sim_now(w->sim) + ns);
    cr_assert_eq(sim_node_state(w->machine), SIM_RUNNING, "%s", sim_node_last_line(w->machine));
}

static struct world *world_open(void)
{
    struct world *w = &world;
    *w = (struct world){.retention_ms = -1, .segment_bytes = 1 << 20};
    w->sim = sim_new(&(struct sim_options){.seed = 5});
    w->machine = sim_node_new(w->sim, "machine");
    sim_node_start(w->machine, 1, start, w);
    run(w, 5 * SECOND_NS);
    cr_assert_not_null(w->table);
    return w;
}

static void delivered(struct io_message *m, struct io *io)
{
    struct world *w = container_of(m, struct world, message);
    void (*what)(struct world *) = w->what;
    w->what = NULL;
    what(w);
}

/* Calls `what` in a turn of the machine. */
static void in_turn(struct world *w, void (*what)(struct world *w))
{
    w->what = what;
    w->message.deliver = delivered;
    io_post(w->io, 0, &w->message);
    while (w->what) {
        cr_assert(sim_step(w->sim));
    }
}

/* --- what tests do ---------------------------------------------------------------------------- */

static void op_done(struct meta_op *op)
{
    container_of(op, struct world, op)->op_done = true;
}

static void submit(struct world *w)
{
    meta_submit(w->meta, w->io, &w->op);
}

static void change(struct world *w, struct meta_op op)
{
    w->op = op;
    w->op.done = op_done;
    w->op_done = false;
    in_turn(w, submit);
    run(w, SECOND_NS);
    cr_assert(w->op_done);
    cr_assert_eq(w->op.error, 0, "%s", w->op.why);
}

static struct uuid create(struct world *w, const char *name, int32_t partitions)
{
    change(w, (struct meta_op){.kind = META_CREATE_TOPIC,
                               .topic = name,
                               .partitions = partitions,
                               .replication_factor = 1});
    return w->op.topic_id;
}

static void append_done(struct partition_append *a, int error)
{
    container_of(a, struct world, append)->append_error = error;
}

static struct bytes batch_make(struct world *w, size_t size)
{
    struct batch_builder b;
    struct batch_options options = batch_options_default();
    options.producer_id = w->producer_id ? w->producer_id : -1;
    options.producer_epoch = w->producer_id ? 0 : -1;
    options.base_sequence = w->producer_id ? w->sequence : -1;
    static uint8_t value[1 << 16];
    struct bytes out;
    batch_builder_init(&b, io_memory(w->io), 1 << 20);
    const struct record_input record = {
        .timestamp = io_wall_ms(w->io), .key = {NULL, -1}, .value = {value, (int32_t)size}};
    cr_assert_eq(batch_append(&b, &record), 0);
    cr_assert_eq(batch_finish(&b, &options, &out), 0);
    uint8_t *kept = memory_alloc(io_memory(w->io), out.size);
    cr_assert_not_null(kept);
    memcpy(kept, out.data, out.size);
    batch_builder_deinit(&b);
    return bytes_of(kept, out.size);
}

static void do_append(struct world *w)
{
    struct partition *p;
    cr_assert_eq(partition_leader(w->table, w->topic_id, 0, -1, &p), 0);
    w->append.append.waited = w->append.acks != 0;
    w->append.done = append_done;
    cr_assert_eq(partition_append(p, &w->append), 0);
    cr_assert_eq(w->append_error, 1, "done() never comes from inside the call");
}

static void do_append_again(struct world *w)
{
    w->append_error = 1;
    do_append(w);
}

static void append(struct world *w, int16_t acks, size_t size)
{
    w->append = (struct partition_append){.append.batch = batch_make(w, size), .acks = acks};
    w->append_error = 1;
    in_turn(w, do_append);
    run(w, SECOND_NS);
    cr_assert_eq(w->append_error, 0);
}

static struct partition *leader(struct world *w, int32_t index)
{
    struct partition *p;
    cr_assert_eq(partition_leader(w->table, w->topic_id, index, -1, &p), 0);
    return p;
}

#define WOKEN(n)                                                                                   \
    static void woken_##n(struct partition_waiter *waiter)                                         \
    {                                                                                              \
        world.woken[n]++;                                                                          \
    }
WOKEN(0)
WOKEN(1)

static void watch(struct world *w, int n, struct partition *p)
{
    w->waiters[n].woken = n ? woken_1 : woken_0;
    list_init(&w->waiters[n].link);
    partition_wait(p, &w->waiters[n]);
}

/* --- tests ------------------------------------------------------------------------------------ */

Test(partition, come_and_go_with_the_image)
{
    struct world *w = world_open();
    cr_assert_eq(partition_count(w->table), 0);
    w->topic_id = create(w, "a", 3);
    struct uuid other = create(w, "b", 2);
    cr_assert_eq(partition_count(w->table), 5);
    cr_assert_not_null(partition_find(w->table, w->topic_id, 2));
    cr_assert_null(partition_find(w->table, w->topic_id, 3));
    change(w, (struct meta_op){.kind = META_CREATE_PARTITIONS, .topic = "a", .partitions = 4});
    cr_assert_eq(partition_count(w->table), 6);
    unsigned configured = w->configured;
    change(w, (struct meta_op){.kind = META_DELETE_TOPIC, .topic = "b"});
    cr_assert_eq(partition_count(w->table), 4);
    cr_assert_null(partition_find(w->table, other, 0));
    cr_assert_eq(w->configured, configured, "what did not change is not touched");
    struct uuid again = create(w, "b", 1);
    cr_assert(!uuid_equal(again, other));
    cr_assert_not_null(partition_find(w->table, again, 0));
    sim_free(w->sim);
}

Test(partition, epochs_are_checked)
{
    struct world *w = world_open();
    struct partition *p;
    w->topic_id = create(w, "a", 1);
    int32_t epoch = partition_epoch(leader(w, 0));
    cr_assert_geq(epoch, 0);
    cr_assert_eq(partition_leader(w->table, w->topic_id, 0, epoch, &p), 0);
    cr_assert_eq(partition_leader(w->table, w->topic_id, 0, epoch + 1, &p),
                 ERR_UNKNOWN_LEADER_EPOCH);
    cr_assert_eq(partition_leader(w->table, w->topic_id, 1, -1, &p),
                 ERR_UNKNOWN_TOPIC_OR_PARTITION);
    cr_assert_eq(partition_leader(w->table, (struct uuid){{1}}, 0, -1, &p),
                 ERR_UNKNOWN_TOPIC_OR_PARTITION);
    sim_free(w->sim);
}

/* P2a: a node that starts never resumes an epoch. */
Test(partition, an_epoch_dies_with_its_process)
{
    struct world *w = world_open();
    struct partition *p;
    w->topic_id = create(w, "a", 1);
    append(w, -1, 100);
    int32_t epoch = partition_epoch(leader(w, 0));
    sim_node_kill(w->machine);
    w->table = NULL;
    w->image = NULL;
    sim_node_start(w->machine, 1, start, w);
    run(w, 5 * SECOND_NS);
    cr_assert_gt(partition_epoch(leader(w, 0)), epoch);
    cr_assert_eq(partition_leader(w->table, w->topic_id, 0, epoch, &p), ERR_FENCED_LEADER_EPOCH);
    cr_assert_eq(partition_high_watermark(leader(w, 0)), 1, "what was acknowledged is there");
    int32_t found;
    cr_assert_eq(log_epoch_end(partition_log(leader(w, 0)), epoch, &found), 1);
    cr_assert_eq(found, epoch);
    sim_free(w->sim);
}

/* P7: the high watermark is the counted end. */
Test(partition, the_high_watermark_is_what_is_durable)
{
    struct world *w = world_open();
    w->topic_id = create(w, "a", 1);
    static const int16_t acks[] = {-1, 1, 0};
    for (int i = 0; i < 9; i++) {
        append(w, acks[i % 3], 500);
        struct log_status s = log_status(partition_log(leader(w, 0)));
        cr_assert_eq(w->append.append.base_offset, i);
        cr_assert_eq(partition_high_watermark(leader(w, 0)), i + 1);
        cr_assert_eq(s.durable_offset, i + 1);
    }
    cr_assert_eq(partition_log_start(leader(w, 0)), 0);
    sim_free(w->sim);
}

static struct partition_append many[10];
static int many_done;

static void many_append_done(struct partition_append *a, int error)
{
    cr_assert_eq(error, 0);
    cr_assert_eq(a, &many[many_done], "in the order of the log");
    many_done++;
}

static void append_many(struct world *w)
{
    for (int i = 0; i < 10; i++) {
        many[i] = (struct partition_append){.append.batch = batch_make(w, 100),
                                            .append.waited = true,
                                            .acks = -1,
                                            .done = many_append_done};
        cr_assert_eq(partition_append(leader(w, 0), &many[i]), 0);
    }
}

/* T3: ten appends that become durable together wake a waiter far fewer times than ten. */
Test(partition, waiters_are_woken_once_in_a_turn)
{
    struct world *w = world_open();
    w->topic_id = create(w, "a", 2);
    watch(w, 0, leader(w, 0));
    watch(w, 1, leader(w, 1));
    many_done = 0;
    in_turn(w, append_many);
    run(w, SECOND_NS);
    cr_assert_eq(many_done, 10);
    cr_assert_geq(w->woken[0], 1);
    cr_assert_leq(w->woken[0], 3, "%u times", w->woken[0]);
    cr_assert_eq(w->woken[1], 0, "nothing moved there");
    unsigned before = w->woken[0];
    append(w, -1, 10);
    cr_assert_eq(w->woken[0], before + 1);
    partition_unwait(&w->waiters[0]);
    append(w, -1, 10);
    cr_assert_eq(w->woken[0], before + 1);
    sim_free(w->sim);
}

Test(partition, removal_wakes_and_lets_go)
{
    struct world *w = world_open();
    w->topic_id = create(w, "a", 1);
    append(w, -1, 100);
    watch(w, 0, leader(w, 0));
    change(w, (struct meta_op){.kind = META_DELETE_TOPIC, .topic = "a"});
    cr_assert_eq(w->woken[0], 1);
    cr_assert(list_empty(&w->waiters[0].link), "it waits for nothing any more");
    cr_assert_null(partition_find(w->table, w->topic_id, 0));
    sim_free(w->sim);
}

static void append_and_delete(struct world *w)
{
    do_append(w);
    submit(w);
}

/* An append that the removal overtakes ends with one answer, durable or unknown. */
Test(partition, appends_end_when_their_partition_goes)
{
    struct world *w = world_open();
    w->topic_id = create(w, "a", 1);
    w->append = (struct partition_append){.append.batch = batch_make(w, 100), .acks = -1};
    w->append_error = 1;
    w->op = (struct meta_op){.kind = META_DELETE_TOPIC, .topic = "a", .done = op_done};
    in_turn(w, append_and_delete);
    run(w, 5 * SECOND_NS);
    cr_assert(w->append_error == 0 || w->append_error == ERR_UNKNOWN_TOPIC_OR_PARTITION, "%d",
              w->append_error);
    sim_free(w->sim);
}

Test(partition, retention_is_looked_after)
{
    struct world *w = world_open();
    w->segment_bytes = 64 << 10;
    w->retention_ms = 3600000;
    w->topic_id = create(w, "a", 1);
    for (int i = 0; i < 8; i++) {
        append(w, -1, 30000);
    }
    cr_assert_eq(partition_log_start(leader(w, 0)), 0);
    run(w, 3600 * SECOND_NS);
    run(w, 1200 * SECOND_NS);
    cr_assert_gt(partition_log_start(leader(w, 0)), 0, "old segments are gone");
    w->retention_ms = -1;
    sim_free(w->sim);
}

static void reconfigure(struct world *w)
{
    partition_table_reconfigure(w->table);
}

/* --- following -------------------------------------------------------------------------------- */

static void elect(struct world *w, int32_t node)
{
    const struct image_topic *topic = image_topic_by_id(w->image, w->topic_id);
    struct image_partition *seen = (struct image_partition *)&topic->partitions[0];
    seen->leader = node;
    seen->leader_epoch++;
    partition_table_reconfigure(w->table); /* the same image is not looked at again */
}

/* As if another node had been elected. */
static void follow(struct world *w)
{
    elect(w, 2);
}

static void lead(struct world *w)
{
    elect(w, 1);
}

/* Whatever the replica's role and the limits of retention: what its producer sends next, hours later, is taken. */
Test(partition, producers_expire)
{
    for (unsigned round = 0; round < 2; round++) {
        struct world *w = world_open();
        w->topic_id = create(w, "a", 1);
        w->producer_id = 7;
        append(w, -1, 500);
        if (round == 0) {
            in_turn(w, follow);
        }
        run(w, 3000 * SECOND_NS);
        if (round == 0) {
            in_turn(w, lead);
        }
        run(w, SECOND_NS);
        w->append = (struct partition_append){.append.batch = batch_make(w, 500), .acks = -1};
        in_turn(w, do_append_again);
        run(w, SECOND_NS);
        cr_assert(w->append.append.duplicate, "it has not expired");
        if (round == 0) {
            in_turn(w, follow);
        }
        run(w, 1200 * SECOND_NS);
        if (round == 0) {
            in_turn(w, lead);
        }
        run(w, SECOND_NS);
        w->sequence = 9;
        append(w, -1, 500);
        sim_free(w->sim);
    }
}

static struct partition_answer from_leader;

/* Answers what the partition asks for records; what else it asks has no answer. */
static void answer_records(struct world *w)
{
    struct partition *p = partition_find(w->table, w->topic_id, 0);
    struct following_request request;
    bool answered = false;
    while (partition_ask(p, &request)) {
        if (request.records) {
            from_leader.ticket = request.ticket;
            partition_answered(p, &from_leader);
            answered = true;
            break;
        }
    }
    cr_assert(answered);
}

/* A record of a partition that has traffic waits for no quiet one: it is not taken for quiet because an answer came
 * without records, for that is how it is told of the high watermark. */
Test(partition, is_hot_for_a_while_whatever_comes)
{
    struct world *w = world_open();
    w->topic_id = create(w, "a", 1);
    append(w, -1, 500);
    in_turn(w, follow);
    struct partition *p = partition_find(w->table, w->topic_id, 0);
    cr_assert(partition_is_hot(p), "nobody knows yet");
    from_leader = (struct partition_answer){.high_watermark = 1};
    in_turn(w, answer_records);
    cr_assert(partition_is_hot(p), "an answer without records");
    run(w, 2 * SECOND_NS);
    in_turn(w, answer_records);
    cr_assert_not(partition_is_hot(p), "nothing came for long");
    sim_free(w->sim);
}

/* --- appends that outlive their leadership ---------------------------------------------------- */

static void follow_behind_an_append(struct world *w)
{
    do_append(w);
    follow(w);
}

/* One is in the log, and not acknowledged, when another leads. */
static void append_late(struct world *w, int16_t acks)
{
    w->topic_id = create(w, "a", 1);
    append(w, -1, 500);
    w->append = (struct partition_append){
        .append.batch = batch_make(w, 500), .acks = acks, .patient = true};
    w->append_error = 1;
    in_turn(w, follow_behind_an_append);
    run(w, SECOND_NS / 10);
    struct log_status s = log_status(partition_log(partition_find(w->table, w->topic_id, 0)));
    cr_assert_eq(s.durable_offset, 2);
    cr_assert_eq(w->append_error, 1, "its fate is not known");
}

static void becomes_committed(int16_t acks)
{
    struct world *w = world_open();
    append_late(w, acks);
    from_leader = (struct partition_answer){.high_watermark = 1};
    in_turn(w, answer_records);
    cr_assert_eq(w->append_error, 1, "the new leader has it, the others need not");
    from_leader.high_watermark = 2;
    in_turn(w, answer_records);
    cr_assert_eq(w->append_error, 0);
    cr_assert_eq(w->append.append.base_offset, 1);
    sim_free(w->sim);
}

/* P8: what the leader before has in its log, and the next one has committed, is acknowledged as it would have been. A
 * producer without idempotence would send it twice. */
Test(partition, an_append_is_acknowledged_when_the_next_leader_commits_it)
{
    becomes_committed(-1);
}

Test(partition, one_that_its_leader_alone_might_have_acknowledged_is_too)
{
    becomes_committed(1);
}

static void append_and_be_fenced(struct world *w)
{
    do_append(w);
    elect(w, -1);
}

/* P7: a node that stops leaves partitions without a leader of which it has the only copy. */
Test(partition, an_append_is_acknowledged_where_there_is_no_other_replica)
{
    struct world *w = world_open();
    w->topic_id = create(w, "a", 1);
    w->append =
        (struct partition_append){.append.batch = batch_make(w, 500), .acks = -1, .patient = true};
    w->append_error = 1;
    in_turn(w, append_and_be_fenced);
    run(w, SECOND_NS / 10);
    cr_assert_eq(w->append_error, 0);
    sim_free(w->sim);
}

/* What the next leader does not have goes, also where records of another producer take its place. */
Test(partition, a_cut_append_is_refused)
{
    struct world *w = world_open();
    append_late(w, -1);
    from_leader = (struct partition_answer){
        .diverges = true,
        .diverging = {.epoch = partition_epoch(partition_find(w->table, w->topic_id, 0)) - 1,
                      .offset = 1}};
    in_turn(w, answer_records);
    cr_assert_eq(w->append_error, ERR_NOT_LEADER_OR_FOLLOWER);
    run(w, SECOND_NS);
    struct log_status s = log_status(partition_log(partition_find(w->table, w->topic_id, 0)));
    cr_assert_eq(s.end_offset, 1);
    sim_free(w->sim);
}

static void let_go(struct world *w)
{
    partition_table_let_go(w->table);
}

Test(partition, a_late_append_waits_half_a_second)
{
    struct world *w = world_open();
    append_late(w, -1);
    run(w, SECOND_NS / 3);
    cr_assert_eq(w->append_error, 1);
    run(w, SECOND_NS / 5);
    cr_assert_eq(w->append_error, ERR_NOT_LEADER_OR_FOLLOWER);
    sim_free(w->sim);
}

Test(partition, a_late_append_is_refused_when_its_node_stops)
{
    struct world *w = world_open();
    append_late(w, -1);
    in_turn(w, let_go);
    cr_assert_eq(w->append_error, ERR_NOT_LEADER_OR_FOLLOWER);
    sim_free(w->sim);
}

static bool table_settled;
static struct partition_settle settle;

static void settle_done(struct partition_settle *s)
{
    table_settled = true;
}

static void begin_settle(struct world *w)
{
    settle.done = settle_done;
    partition_table_settle(w->table, &settle);
}

static void follow_and_settle(struct world *w)
{
    follow_behind_an_append(w);
    begin_settle(w);
}

/* A node that stops waits for what is late, also while it is not durable yet, and for nothing else. */
Test(partition, a_table_settles_when_nothing_is_late)
{
    struct world *w = world_open();
    table_settled = false;
    in_turn(w, begin_settle);
    run(w, SECOND_NS / 100);
    cr_assert(table_settled, "nothing is");
    table_settled = false;
    w->topic_id = create(w, "a", 1);
    w->append =
        (struct partition_append){.append.batch = batch_make(w, 500), .acks = -1, .patient = true};
    w->append_error = 1;
    in_turn(w, follow_and_settle);
    run(w, SECOND_NS / 10);
    cr_assert_not(table_settled);
    from_leader = (struct partition_answer){.high_watermark = 1};
    in_turn(w, answer_records);
    run(w, SECOND_NS / 100);
    cr_assert(table_settled);
    cr_assert_eq(w->append_error, 0);
    sim_free(w->sim);
}

/* Who does not ask for it hears at once: a coordinator that is none any more. */
Test(partition, only_the_patient_wait)
{
    struct world *w = world_open();
    w->topic_id = create(w, "a", 1);
    w->append = (struct partition_append){.append.batch = batch_make(w, 500), .acks = -1};
    w->append_error = 1;
    in_turn(w, follow_behind_an_append);
    run(w, SECOND_NS / 10);
    cr_assert_eq(w->append_error, ERR_NOT_LEADER_OR_FOLLOWER);
    sim_free(w->sim);
}

Test(partition, reconfigure_asks_for_every_topic)
{
    struct world *w = world_open();
    create(w, "a", 3);
    create(w, "b", 3);
    unsigned before = w->configured;
    in_turn(w, reconfigure);
    cr_assert_eq(w->configured, before + 2);
    sim_free(w->sim);
}
