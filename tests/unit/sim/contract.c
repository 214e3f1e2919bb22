/* SPDX-License-Identifier: Apache-2.0 */

/* The contract of the seam, on the simulated backend: the same tests as on the production ones,
 * each with several seeds, calm and with long delays. */
#include "sim/sim.h"
#include "unit/io/contract.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>

enum { SEEDS = 5 };

struct sim_world {
    struct contract_world contract;
    struct sim *sim;
    struct sim_node *node;
    uint64_t seed;
};

static struct io *world_open(struct contract_world *c)
{
    struct sim_world *w = container_of(c, struct sim_world, contract);
    w->sim = sim_new(&(struct sim_options){.seed = w->seed});
    w->node = sim_node_new(w->sim, "contract");
    if (w->seed % 2 == 0) {
        struct sim_faults *f = sim_faults(w->sim);
        f->link = (struct sim_latency){1000, 2000000, 50000000, 100};
        f->write = f->read = f->sync = f->name = (struct sim_latency){1000, 500000, 0, 0};
        f->post = f->turn = (struct sim_latency){0, 100000, 0, 0};
        f->bytes_per_second = 0;
    }
    cr_assert_eq(disk_mkdir(sim_node_disk(w->node), c->directory), 0);
    sim_node_start(w->node, 2, NULL, NULL);
    return sim_node_shard(w->node, 0);
}

static void world_turn(struct contract_world *c)
{
    (void)sim_step(container_of(c, struct sim_world, contract)->sim);
}

static struct io *world_second(struct contract_world *c)
{
    return sim_node_shard(container_of(c, struct sim_world, contract)->node, 1);
}

static void world_close(struct contract_world *c)
{
    sim_free(container_of(c, struct sim_world, contract)->sim);
}

struct choice {
    uint64_t seed;
    size_t test;
};

ParameterizedTestParameters(sim_contract, holds)
{
    enum { CHOICES_MAX = 1024 };
    static struct choice choices[CHOICES_MAX];
    size_t count = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        for (size_t t = 0; t < contract_count(); t++) {
            cr_assert_lt(count, CHOICES_MAX);
            choices[count++] = (struct choice){seed, t};
        }
    }
    return cr_make_param_array(struct choice, choices, count);
}

ParameterizedTest(struct choice *choice, sim_contract, holds, .timeout = 60)
{
    fprintf(stderr, "seed %llu: %s\n", (unsigned long long)choice->seed,
            contract_name(choice->test));
    struct sim_world w = {.seed = choice->seed,
                          .contract = {.open = world_open,
                                       .turn = world_turn,
                                       .close = world_close,
                                       .second = world_second,
                                       .directory = "/contract"}};
    contract_run(choice->test, &w.contract);
}
