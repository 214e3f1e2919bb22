/* SPDX-License-Identifier: Apache-2.0 */

/* leatd: reads its arguments and configuration, opens the door to the outside and runs one node.
 *
 * Signals are taken by a thread of their own, which asks the node's first shard to stop: the first
 * SIGTERM or SIGINT gracefully, the second at once. */
#include "node.h"

#include "config/config.h"
#include "io/stderr_sink.h"
#include "meta/files.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

extern char **environ;

enum { CONFIG_MEMORY = 64 << 20, TEMPORARY_MEMORY = 16 << 20, SIGNALS_MAX = 32 };

struct program;

struct stop_request {
    struct io_message message;
    struct program *program;
};

struct first_read {
    struct io_op op;
    uint8_t byte[1];
    int64_t result;
    bool done;
};

struct program {
    struct memory memory; /* configuration and node */
    struct config_arguments arguments;
    bool accept_loss;
    struct config *config;
    struct logger logger;
    struct node *node;
    struct io_group *group;
    struct stop_request stops[SIGNALS_MAX];
    struct file_load load;
    bool loaded;
    int load_error;
    int status;
};

/* --- configuration ---------------------------------------------------------------------------- */

static void to_stderr(void *context, const char *line)
{
    fprintf(stderr, "%s\n", line);
}

static void to_stdout(void *context, const char *line)
{
    printf("%s\n", line);
}

static void file_loaded(struct file_load *load, int error)
{
    struct program *p = container_of(load, struct program, load);
    p->load_error = error;
    p->loaded = true;
}

static void read_done(struct io_op *op, int64_t result)
{
    struct first_read *f = container_of(op, struct first_read, op);
    f->result = result;
    f->done = true;
}

static void no_name(void *context, const char *name, bool directory)
{
}

/* Why `path` cannot be read, in words; NULL when it can. A pipe has no size to be read by. */
static const char *why_unreadable(struct io *io, const char *path)
{
    struct first_read first = {.op.done = read_done};
    struct io_file *file;
    int error = io_file_open(io, &file, path, IO_OPEN_READ);
    if (error) {
        const char *reason = strerrordesc_np(-error);
        return error == -ENOENT ? "no such file" : reason ? reason : "it cannot be opened";
    }
    io_read(io, &first.op, file, first.byte, sizeof first.byte, 0);
    while (!first.done) {
        io_run_once(io, 1000000000);
    }
    bool sized = first.result <= 0 || io_file_size(io, file) > 0;
    io_file_close(io, file);
    if (io_list(io, path, no_name, NULL) == 0) {
        return "it is a directory: name a file";
    }
    return first.result < 0 || !sized ? "it is not a regular file: copy it to one" : NULL;
}

/* Reads the configuration file into p->memory: 0 or ERR_*, said on stderr. */
static int read_file(struct program *p, const char *path, struct bytes *out)
{
    const struct io_options options = {.shards = 1, .workers = 1, .memory_bytes = TEMPORARY_MEMORY};
    struct io_group *group;
    char reason[IO_REASON_SIZE];
    if (io_group_open_epoll(&group, &options, reason) != 0) {
        fprintf(stderr, "leatd: %s\n", reason);
        return ERR_DISK_FAILED;
    }
    struct io *io = io_group_shard(group, 0);
    const char *why = why_unreadable(io, path);
    if (!why) {
        p->load.done = file_loaded;
        file_load(io, &p->load, path, CONFIG_FILE_MAX);
        while (!p->loaded) {
            io_run_once(io, 1000000000);
        }
        why = !p->load_error                   ? NULL
              : p->load_error == ERR_TOO_LARGE ? "it is larger than 1 MiB"
                                               : error_text(p->load_error);
    }
    char *copy = why ? NULL : memory_string(&p->memory, (const char *)p->load.data, p->load.size);
    if (copy) {
        *out = (struct bytes){(const uint8_t *)copy, p->load.size};
    } else {
        fprintf(stderr, "leatd: --config %s: %s\n", path, why ? why : "out of memory");
    }
    io_group_close(group);
    return copy ? 0 : ERR_BAD_CONFIG;
}

static int load_config(struct program *p)
{
    const struct config_arguments *a = &p->arguments;
    struct config_input input = {
        .file_name = a->file,
        .environment = (const char *const *)environ,
        .settings = a->settings,
        .setting_count = a->setting_count,
    };
    if (a->file) {
        int error = read_file(p, a->file, &input.file);
        if (error) {
            return error;
        }
    }
    return config_load(&p->config, &p->memory, &input, to_stderr, NULL);
}

/* What the arguments alone decide: -1 to go on, or the exit status. */
static int act_on_arguments(struct program *p)
{
    switch (p->arguments.action) {
    case CONFIG_SAY:
        printf("%s\n", p->arguments.message);
        return 0;
    case CONFIG_USAGE:
        fprintf(stderr, "%s\n", p->arguments.message);
        return CONFIG_EXIT_USAGE;
    case CONFIG_SCHEMA:
        return config_schema(to_stdout, NULL) == 0 && fflush(stdout) == 0 ? 0 : NODE_EXIT_FAILURE;
    default:
        break;
    }
    if (load_config(p) != 0) {
        return CONFIG_EXIT_CONFIG;
    }
    if (p->arguments.action == CONFIG_CHECK) {
        printf("%s: no problems\n", p->arguments.file ? p->arguments.file : "configuration");
        return 0;
    }
    if (p->arguments.action == CONFIG_PRINT) {
        config_print(p->config, to_stdout, NULL);
        return 0;
    }
    return -1;
}

/* --accept-loss is no configuration: it is said once, for one start, by a person. */
static int take_accept_loss(struct program *p, int argc, const char **argv)
{
    int kept = 0;
    for (int i = 0; i < argc; i++) {
        if (i > 0 && strcmp(argv[i], "--accept-loss") == 0) {
            p->accept_loss = true;
        } else {
            argv[kept++] = argv[i];
        }
    }
    return kept;
}

/* --- running ---------------------------------------------------------------------------------- */

static void stop_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
}

static void ready(void *context, const char *line, uint16_t port)
{
    printf("%s\n", line);
    fflush(stdout);
}

static void ended(void *context, int status, const char *line)
{
    struct program *p = context;
    p->status = status;
    if (line[0]) {
        fprintf(stderr, "leatd: %s\n", line);
    }
}

static void stop_delivered(struct io_message *message, struct io *io)
{
    struct stop_request *r = container_of(message, struct stop_request, message);
    node_stop(r->program->node);
}

/* The thread that signals go to; every other one has them blocked. */
static void *wait_for_signals(void *argument)
{
    struct program *p = argument;
    sigset_t set;
    int number;
    stop_signals(&set);
    for (size_t i = 0; i < array_size(p->stops); i++) {
        if (sigwait(&set, &number) != 0) {
            break;
        }
        p->stops[i] = (struct stop_request){.message = {.deliver = stop_delivered}, .program = p};
        io_group_signal(p->group, &p->stops[i].message);
    }
    return NULL;
}

static unsigned disabled_features(const struct config *c)
{
    static const struct {
        const char *name;
        unsigned feature;
    } features[] = {
        {"defer_taskrun", IO_FEATURE_DEFER_TASKRUN},
        {"registered_ring", IO_FEATURE_REGISTERED_RING},
        {"msg_ring", IO_FEATURE_MSG_RING},
        {"dsync_write", IO_FEATURE_DSYNC_WRITE},
    };
    unsigned disabled = 0;
    for (size_t i = 0; i < config_item_count(c, CONFIG_IO_URING_DISABLED); i++) {
        for (size_t k = 0; k < array_size(features); k++) {
            if (strcmp(config_item(c, CONFIG_IO_URING_DISABLED, i), features[k].name) == 0) {
                disabled |= features[k].feature;
            }
        }
    }
    return disabled;
}

static_assert(LOGGER_DEBUG == 0 && LOGGER_INFO == 1 && LOGGER_WARN == 2 && LOGGER_ERROR == 3,
              "the order of logging.level's choices");

static int open_group(struct program *p, unsigned shards, uint64_t *files)
{
    static const enum io_backend backends[] = {IO_BACKEND_AUTO, IO_BACKEND_URING, IO_BACKEND_EPOLL};
    const struct config *c = p->config;
    char reason[IO_REASON_SIZE];
    p->logger = stderr_logger((enum logger_level)config_integer(c, CONFIG_LOGGING_LEVEL),
                              config_integer(c, CONFIG_LOGGING_FORMAT) == 1);
    const struct io_options options = {
        .backend = backends[config_integer(c, CONFIG_IO_BACKEND)],
        .shards = shards,
        .memory_bytes = (size_t)config_integer(c, CONFIG_LIMITS_MEMORY) / shards,
        .disabled_features = disabled_features(c),
        .logger = &p->logger,
    };
    if (io_raise_file_limit(files) != 0) {
        *files = 0;
        log_warn(&p->logger, "main", "the limit of open files cannot be raised");
    }
    int error = io_group_open(&p->group, &options, reason);
    if (error) {
        fprintf(stderr, "leatd: %s\n", reason);
    }
    return error;
}

static int run(struct program *p)
{
    unsigned shards = config_shards(p->config);
    sigset_t set;
    pthread_t signals;
    stop_signals(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error of its write */
    uint64_t files;
    if (open_group(p, shards, &files) != 0) {
        return NODE_EXIT_FAILURE;
    }
    const struct node_options options = {
        .config = p->config,
        .shards = shards,
        .accept_loss = p->accept_loss,
        .files_max = files,
        .logger = &p->logger,
        .ready = ready,
        .ended = ended,
        .context = p,
    };
    p->node = node_new(&p->memory, &options);
    if (!p->node || pthread_create(&signals, NULL, wait_for_signals, p) != 0) {
        fprintf(stderr, "leatd: out of memory\n");
        io_group_close(p->group);
        return NODE_EXIT_FAILURE;
    }
    p->status = NODE_EXIT_FAILURE;
    io_group_run(p->group, node_start, p->node);
    pthread_cancel(signals);
    pthread_join(signals, NULL);
    io_group_close(p->group);
    return p->status;
}

int main(int argc, char **argv)
{
    struct program *p = calloc(1, sizeof *p);
    if (!p) {
        return NODE_EXIT_FAILURE;
    }
    memory_init(&p->memory, CONFIG_MEMORY);
    argc = take_accept_loss(p, argc, (const char **)argv);
    config_arguments(&p->arguments, argc, (const char *const *)argv);
    int status = act_on_arguments(p);
    if (status < 0) {
        status = run(p);
    }
    config_free(p->config);
    memory_drop(&p->memory);
    free(p);
    return status;
}
