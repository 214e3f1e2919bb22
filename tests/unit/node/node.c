/* SPDX-License-Identifier: Apache-2.0 */

/* A whole broker in the simulator: it starts, stops and starts again, is killed at any operation of
 * its start, and refuses directories that are not its own with a status and a sentence. */
#include "node.h"

#include "config/config.h"
#include "sim/sim.h"

#include <inttypes.h>
#include <stdio.h>

#include <criterion/criterion.h>

/* One machine that runs the broker many times over one disk. */
struct host {
    struct sim *sim;
    struct sim_node *machine;
    struct memory config_memory;
    struct config *config;
    struct memory memory; /* of the life's struct node */
    struct node *node;
    unsigned shards;
    bool accept_loss;
    bool stop_when_ready;
    struct io *io; /* of shard 0 */
    struct sim_alarm alarm;

    bool ready, ended;
    char line[NODE_LINE_SIZE], why[NODE_LINE_SIZE];
    int status;
    uint16_t port;
};

static void refuse_line(void *context, const char *line)
{
    cr_assert_fail("%s", line);
}

static void host_configure(struct host *h, const struct config_setting *settings, size_t count)
{
    struct config_input input = {.settings = settings, .setting_count = count};
    config_free(h->config);
    h->config = NULL;
    cr_assert_eq(config_load(&h->config, &h->config_memory, &input, refuse_line, NULL), 0);
}

static const struct config_setting settings[] = {
    {"--data", "data.dir", "/var/lib/leat"},
    {"--set", "journal.file.bytes", "1MiB"},
    {"--set", "journal.bytes.max", "16MiB"},
};

static void host_init(struct host *h, uint64_t seed, unsigned shards)
{
    memset(h, 0, sizeof *h);
    h->sim = sim_new(&(struct sim_options){.seed = seed, .catch_asserts = true});
    h->machine = sim_node_new(h->sim, "one");
    h->shards = shards;
    h->stop_when_ready = true;
    memory_init(&h->config_memory, 16 << 20);
    memory_init(&h->memory, 16 << 20);
    host_configure(h, settings, array_size(settings));
}

static void host_deinit(struct host *h)
{
    sim_free(h->sim);
    memory_drop(&h->memory);
    config_free(h->config);
    memory_drop(&h->config_memory);
}

static void ready(void *context, const char *line, uint16_t port)
{
    struct host *h = context;
    h->ready = true;
    h->port = port;
    snprintf(h->line, sizeof h->line, "%s", line);
    if (h->stop_when_ready) {
        node_stop(h->node);
    }
}

static void ended(void *context, int status, const char *line)
{
    struct host *h = context;
    h->ended = true;
    h->status = status;
    snprintf(h->why, sizeof h->why, "%s", line);
}

static enum sim_state host_run(struct host *h, uint64_t crash_after, enum sim_crash_kind kind)
{
    memory_drop(&h->memory);
    memory_init(&h->memory, 16 << 20);
    const struct node_options options = {
        .config = h->config,
        .shards = h->shards,
        .accept_loss = h->accept_loss,
        .ready = ready,
        .ended = ended,
        .context = h,
    };
    h->ready = h->ended = false;
    h->status = -1;
    h->line[0] = h->why[0] = 0;
    h->node = node_new(&h->memory, &options);
    sim_node_start(h->machine, h->shards, node_start, h->node);
    sim_crash_after(h->machine, crash_after, kind);
    sim_run(h->sim, sim_now(h->sim) + 60000000000);
    return sim_node_state(h->machine);
}

static void expect_life(struct host *h, const char *when, uint64_t number)
{
    enum sim_state state = host_run(h, 0, SIM_CRASH_KILL);
    cr_assert_eq(state, SIM_STOPPED, "%s %" PRIu64 ": %s: %s", when, number, sim_state_name(state),
                 sim_node_last_line(h->machine));
    cr_assert(h->ready && h->ended, "%s %" PRIu64 ": %s", when, number, h->why);
    cr_assert_eq(h->status, NODE_EXIT_OK);
}

Test(node, it_starts_and_stops)
{
    for (unsigned shards = 1; shards <= 4; shards++) {
        struct host h;
        host_init(&h, shards, shards);
        for (uint64_t life = 0; life < 4; life++) {
            expect_life(&h, "life", life);
            cr_assert(strstr(h.line, "ready: 127.0.0.1:9092, node 1 of cluster "), "%s", h.line);
            cr_assert(strstr(h.line, ", 0 partitions recovered"), "%s", h.line);
            cr_assert(strstr(h.line, "data in /var/lib/leat"), "%s", h.line);
            cr_assert_eq(h.port, 9092);
        }
        host_deinit(&h);
    }
}

Test(node, another_number_of_shards)
{
    struct host h;
    host_init(&h, 9, 2);
    for (unsigned life = 0; life < 6; life++) {
        h.shards = 1 + life * 5 % 4;
        expect_life(&h, "shards", h.shards);
    }
    host_deinit(&h);
}

static void crash_at_every_operation(enum sim_crash_kind kind, enum sim_state want)
{
    uint64_t crashes = 0;
    for (uint64_t at = 1; at < 2000; at += 1 + at / 60) {
        struct host h;
        host_init(&h, at, 2);
        enum sim_state state = host_run(&h, at, kind);
        if (state == SIM_STOPPED) {
            host_deinit(&h);
            break;
        }
        cr_assert_eq(state, want);
        crashes++;
        expect_life(&h, "after a crash at", at);
        expect_life(&h, "the second life after a crash at", at);
        host_deinit(&h);
    }
    cr_assert_gt(crashes, 50);
}

Test(node, killed_while_it_starts)
{
    crash_at_every_operation(SIM_CRASH_KILL, SIM_KILLED);
}

Test(node, without_power_while_it_starts)
{
    crash_at_every_operation(SIM_CRASH_POWER, SIM_POWER_CUT);
}

static void stop_again(struct sim_alarm *a, struct sim *sim);

/* --- refusals --------------------------------------------------------------------------------- */

static void expect_refusal(struct host *h, int status, const char *words)
{
    enum sim_state state = host_run(h, 0, SIM_CRASH_KILL);
    cr_assert_eq(state, SIM_STOPPED, "%s", sim_node_last_line(h->machine));
    cr_assert(h->ended && !h->ready);
    cr_assert_eq(h->status, status, "%d: %s", h->status, h->why);
    cr_assert(strstr(h->why, words), "says \"%s\"", h->why);
}

Test(node, the_directory_of_another_node)
{
    struct config_setting other[array_size(settings) + 1];
    struct host h;
    host_init(&h, 3, 1);
    expect_life(&h, "life", 0);
    memcpy(other, settings, sizeof settings);
    other[array_size(settings)] = (struct config_setting){"--set", "node.id", "7"};
    host_configure(&h, other, array_size(other));
    expect_refusal(&h, NODE_EXIT_CONFIG, "belongs to node.id 1");
    host_configure(&h, settings, array_size(settings));
    expect_life(&h, "back", 0);
    host_deinit(&h);
}

/* What somebody else does to the disk between two lives. */
struct act {
    void (*change)(struct act *a);
    struct io *io;
    struct io_op op;
    struct io_file *file;
    struct iovec iovec;
    const char *path, *text;
    bool done;
};

static void act_done(struct io_op *op, int64_t result)
{
    struct act *a = container_of(op, struct act, op);
    assert(result >= 0);
    a->done = true;
    io_stop(a->io);
}

static void act_start(struct io *io, void *argument)
{
    struct act *a = argument;
    a->io = io;
    a->change(a);
}

static void write_text(struct act *a)
{
    int error = io_mkdir(a->io, "/var");
    error = io_mkdir(a->io, "/var/lib");
    error = io_mkdir(a->io, "/var/lib/leat");
    error = io_file_open(a->io, &a->file, a->path, IO_OPEN_WRITE | IO_OPEN_CREATE);
    assert(!error);
    a->iovec = (struct iovec){(void *)a->text, strlen(a->text)};
    a->op.done = act_done;
    io_write(a->io, &a->op, a->file, &a->iovec, 1, 0, IO_WRITE_DURABLE);
}

static void put_file(struct host *h, const char *path, const char *text)
{
    struct act a = {.change = write_text, .path = path, .text = text};
    sim_node_start(h->machine, 1, act_start, &a);
    sim_run(h->sim, sim_now(h->sim) + 1000000000);
    cr_assert(a.done, "%s", sim_node_last_line(h->machine));
}

Test(node, a_directory_with_something_else_in_it)
{
    struct host h;
    host_init(&h, 4, 1);
    put_file(&h, "/var/lib/leat/thesis.tex", "chapter 1");
    expect_refusal(&h, NODE_EXIT_CONFIG, "not empty and not a leat data directory");
    put_file(&h, "/var/lib/leat/format", "something");
    expect_refusal(&h, NODE_EXIT_CONFIG, "not that of a leat data directory");
    host_deinit(&h);
}

Test(node, a_directory_of_another_version)
{
    struct host h;
    host_init(&h, 5, 1);
    expect_life(&h, "life", 0);
    put_file(&h, "/var/lib/leat/format", "leat data directory, format 2\n");
    expect_refusal(&h, NODE_EXIT_CONFIG, "another version of leatd");
    put_file(&h, "/var/lib/leat/format", "leat data directory, format 3\n");
    expect_life(&h, "back", 0);
    host_deinit(&h);
}

Test(node, damage_ends_it_with_its_own_status)
{
    struct host h;
    host_init(&h, 6, 1);
    expect_life(&h, "life", 0);
    put_file(&h, "/var/lib/leat/meta/meta.properties", "vorsion=1\ncluster");
    expect_refusal(&h, NODE_EXIT_DAMAGE, "meta.properties");
    host_deinit(&h);
}

/* --- stopping --------------------------------------------------------------------------------- */

static void again_delivered(struct io_message *message, struct io *io);

struct again {
    struct sim_alarm alarm;
    struct host *host;
    struct io_message message;
};

static void again_delivered(struct io_message *message, struct io *io)
{
    struct again *a = container_of(message, struct again, message);
    node_stop(a->host->node);
}

static void stop_again(struct sim_alarm *alarm, struct sim *sim)
{
    struct again *a = container_of(alarm, struct again, alarm);
    struct io *io = sim_node_shard(a->host->machine, 0);
    a->message.deliver = again_delivered;
    io_post(io, 0, &a->message);
}

Test(node, asked_to_stop_while_it_starts)
{
    struct host h;
    struct again again = {.host = &h};
    host_init(&h, 7, 2);
    h.stop_when_ready = false;
    again.alarm.fire = stop_again;
    sim_alarm(h.sim, &again.alarm, sim_now(h.sim) + 300000);
    enum sim_state state = host_run(&h, 0, SIM_CRASH_KILL);
    cr_assert_eq(state, SIM_STOPPED, "%s", sim_node_last_line(h.machine));
    cr_assert(h.ready && h.ended);
    cr_assert_eq(h.status, NODE_EXIT_OK);
    host_deinit(&h);
}
