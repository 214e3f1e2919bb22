/* SPDX-License-Identifier: Apache-2.0 */

/* What the files of the simulator share: the world's structs, and how an operation comes to its
 * end.
 *
 *     io_write() --> struct sim_op, an event --latency--> sim_op.finish() --> ready --> a turn of
 * the shard calls done()
 *
 * Everything here is the world's memory (malloc), so that it survives the node it speaks of. */
#pragma once

#include "sim.h"

#include "base/heap.h"
#include "io/backend.h"

#include <setjmp.h>
#include <stdlib.h>

enum { SIM_SHARD_MAGIC = 0x73696d31 };

struct sim_event {
    struct heap_node node;
    void (*fire)(struct sim *sim, struct sim_event *e);
};

enum sim_stream {
    SIM_STREAM_SCHEDULE,
    SIM_STREAM_DISK,
    SIM_STREAM_CRASH,
    SIM_STREAM_ENTROPY,
    SIM_STREAM_NETWORK,
    SIM_STREAM_BOOT,
    SIM_STREAMS,
};

/* What happened, for the hash and the story. */
enum sim_what {
    SIM_WHAT_START,
    SIM_WHAT_TURN,
    SIM_WHAT_SUBMIT,
    SIM_WHAT_FINISH,
    SIM_WHAT_NAME,
    SIM_WHAT_END,
    SIM_WHAT_NET,
};

enum sim_op_kind {
    SIM_READ,
    SIM_WRITE,
    SIM_SYNC,
    SIM_SYNC_ALL,
    SIM_ALLOCATE,
    SIM_TRUNCATE,
    SIM_UNLINK,
    SIM_TIMER,
    SIM_WORK,
    SIM_MESSAGE,
    SIM_ACCEPT,
    SIM_CONNECT,
    SIM_RECV,
    SIM_SEND,
    SIM_START,
};

/* An operation from its submission until done() is called. */
struct sim_op {
    struct sim_event event; /* until it has its result */
    struct list link;       /* of sim_shard.ops, then of sim_shard.ready */
    struct sim_shard *shard;
    enum sim_op_kind kind;
    struct io_op *op; /* NULL: a message, a start */
    int64_t result;
    void (*finish)(struct sim_op *o); /* fills result; outside node code; NULL: result is set */

    /* files */
    struct sim_file *file;
    struct disk_op *disk_op;
    uint64_t position, size;
    bool has_result, looked;  /* looked: a read whose answer was decided at its submission */
    struct iovec *iovecs;     /* a copy, in `few` if there is room */
    const struct iovec *lent; /* what it was copied from */
    unsigned count;
    uint64_t checksum;
    /* memory of the node */
    void *buffer;
    struct io_message *message;
    void (*function)(void *argument);
    void *argument;
    struct io_socket **socket_out;
    struct io_socket *socket; /* of a send or receive; of a connect or accept when it is done */
    struct list accept;       /* of the listener's accepts */
    struct sim_connect *connect;
    struct iovec few[4]; /* the last: not cleared */
};

struct sim_shard {
    struct io io;
    uint32_t magic;
    struct sim_node *node;
    struct list ops;   /* of struct sim_op without a result */
    struct list ready; /* with one */
    struct sim_event turn;
    bool stopping, stopped;
    uint64_t clock_ns;                     /* io_clock() grows with each look */
    uint64_t post_last_ns[SIM_SHARDS_MAX]; /* when the last message to each shard arrives */
    uint64_t turns;
    struct sim_op *working; /* whose function runs now */
    struct list listeners, sockets;
    void (*start)(struct io *io, void *argument);
    void *start_argument;
};

struct sim_file {
    const struct io_ops *ops; /* first, as of every backend */
    struct list link;         /* of sim_node.files */
    struct sim_node *node;
    struct disk_inode *inode;
    char *path; /* under which it was opened */
    bool direct, readable, writable;
    uint32_t in_flight;
    bool mapped; /* one mapping for each handle */
};

struct sim_node {
    struct sim *sim;
    unsigned index;
    char name[SIM_NAME_MAX];
    enum sim_state state;
    struct disk *disk;
    struct uuid boot;
    int64_t skew_ms;
    int32_t drift_ppm;
    unsigned shard_count;
    struct sim_shard *shards;
    struct list files;
    struct logger logger;
    uint64_t operations;
    uint64_t crash_at; /* the number of the operation that crashes; 0: none */
    enum sim_crash_kind crash_kind;
    uint64_t paused_until_ns;
    uint32_t boots;
    uint16_t port_next;
    char last_line[SIM_LINE_MAX];
};

struct sim_alias {
    char host[SIM_NAME_MAX];
    unsigned node;
};

struct sim {
    uint64_t now_ns;
    struct heap events;
    uint64_t hash, event_count;
    struct prng streams[SIM_STREAMS];
    struct prng root;
    struct sim_options options;
    struct sim_faults faults;
    struct sim_node *nodes[SIM_NODES_MAX];
    unsigned node_count;
    struct sim_shard *current; /* whose code runs */
    struct sim_node *stepped;  /* whose code ran, or that ended, in the last step */
    enum sim_state ending;     /* why it is left */
    sigjmp_buf escape;
    struct sim_alias *aliases;
    unsigned alias_count;
    enum sim_link links[SIM_NODES_MAX][SIM_NODES_MAX];
    uint64_t clogs[SIM_NODES_MAX][SIM_NODES_MAX];
    struct list connections, connects;
    struct list spare_ops; /* zeroed but for their links and what stands last */
    uint64_t connection_count;
};

static inline struct sim_shard *sim_shard(struct io *io)
{
    struct sim_shard *s = container_of(io, struct sim_shard, io);
    assert(s->magic == SIM_SHARD_MAGIC);
    return s;
}

/* Zeroed memory that cannot run out without ending the test. */
static inline void *sim_memory(size_t size)
{
    void *p = calloc(1, size);
    if (!p) {
        abort();
    }
    return p;
}

/* sim.c */
void sim_event_at(struct sim *sim, struct sim_event *e, uint64_t at_ns);
void sim_event_cancel(struct sim *sim, struct sim_event *e);
void sim_trace(struct sim *sim, enum sim_what what, uint64_t a, uint64_t b, uint64_t c);
uint64_t sim_delay(struct prng *random, const struct sim_latency *l);
bool sim_fault(struct sim *sim, enum sim_stream stream, uint32_t chance);
uint64_t sim_checksum(uint64_t h, const void *data, size_t size);

/* node.c */
struct sim_op *sim_op_new(struct sim_shard *s, enum sim_op_kind kind, struct io_op *op,
                          void (*finish)(struct sim_op *o));
void sim_op_free(struct sim_op *o);
void sim_ops_free(struct sim *sim); /* those that are kept for the next ones */
void sim_op_pieces(struct sim_op *o, const struct iovec *iovecs, unsigned count);
/* The list itself is lent until done(), too (contract 3). */
bool sim_op_pieces_stand(const struct sim_op *o);
void sim_op_after(struct sim_op *o, const struct sim_latency *l, enum sim_stream stream);
void sim_op_ready(struct sim_op *o, int64_t result);
void sim_shard_wake(struct sim_shard *s);
bool sim_point(struct sim_shard *s); /* counts the end of one; true: the node has just crashed */
void sim_point_call(struct sim_shard *s); /* counts a call; does not return from a crash */
void sim_catch_asserts(struct sim *sim, bool on);
/* The node has broken the contract, which showed outside of its code. */
void sim_broken(struct sim_node *n, const char *what);
_Noreturn void sim_leave(struct sim_shard *s, enum sim_state why);
void sim_node_end(struct sim_node *n, enum sim_state why);
void sim_shard_clear(struct sim_shard *s);
int64_t sim_wall_ms(const struct sim_node *n);

/* Runs `function` as code of the shard's node; false: the node has ended and `s` is gone. */
bool sim_enter(struct sim_shard *s, void (*function)(struct sim_shard *s));

extern const struct io_ops sim_io_ops; /* backend.c */

/* file.c */
int sim_file_open(struct io *io, struct io_file **out, const char *path, unsigned flags);
void sim_file_close(struct io *io, struct io_file *file);
bool sim_file_direct(const struct io_file *file);
int64_t sim_file_size(struct io *io, struct io_file *file);
int sim_file_lock(struct io *io, struct io_file *file);
void *sim_file_map(struct io *io, struct io_file *file, size_t size);
void sim_file_read(struct io *io, struct io_op *op, struct io_file *file, void *buffer, size_t size,
                   uint64_t position);
void sim_file_write(struct io *io, struct io_op *op, struct io_file *file,
                    const struct iovec *iovecs, unsigned count, uint64_t position, unsigned flags);
void sim_file_sync(struct io *io, struct io_op *op, struct io_file *file);
void sim_file_sync_all(struct io *io, struct io_op *op, struct io_file *file);
void sim_file_allocate(struct io *io, struct io_op *op, struct io_file *file, uint64_t position,
                       uint64_t size);
void sim_file_truncate(struct io *io, struct io_op *op, struct io_file *file, uint64_t size);
void sim_file_unlink(struct io *io, struct io_op *op, const char *path);
int sim_file_rename(struct io *io, const char *from, const char *to);
int sim_file_mkdir(struct io *io, const char *path);
int sim_file_list(struct io *io, const char *path,
                  void (*each)(void *context, const char *name, bool directory), void *context);
int sim_file_disk(struct io *io, const char *path, struct io_disk *out);
void sim_file_cancel(struct sim_op *o); /* of a read */

/* net.c */
int sim_net_listen(struct io *io, struct io_listener **out, const char *host, uint16_t port,
                   uint16_t *port_out);
void sim_net_accept(struct io *io, struct io_op *op, struct io_listener *l, struct io_socket **out);
void sim_net_listener_close(struct io *io, struct io_listener *l);
void sim_net_connect(struct io *io, struct io_op *op, struct io_socket **out, const char *host,
                     uint16_t port);
void sim_net_recv(struct io *io, struct io_op *op, struct io_socket *s, void *buffer, size_t size);
void sim_net_send(struct io *io, struct io_op *op, struct io_socket *s, const struct iovec *iovecs,
                  unsigned count);
void sim_net_socket_close(struct io *io, struct io_socket *s);
void sim_net_socket_peer(struct io *io, struct io_socket *s, char out[static IO_ADDRESS_MAX]);
void sim_net_cancel(struct sim_op *o);
void sim_net_forget(struct sim_op *o); /* it is about to be freed, before or after its end */

/* A shard ends: its listeners and sockets go; peers learn of it if the machine still speaks. */
void sim_net_drop(struct sim_shard *s, bool power);
void sim_net_free(struct sim *sim);
