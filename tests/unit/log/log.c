/* SPDX-License-Identifier: Apache-2.0 */

/* The log as its users see it: append, read, roll, stop, crash, start again. */
#include "world.h"

#include <criterion/criterion.h>

Test(log, what_is_told_survives_every_end)
{
    struct world w;
    world_open(&w, 1);
    for (unsigned life = 0; life < 9; life++) {
        world_started(&w, 1);
        cr_assert_eq(w.recover.summary.fresh, life == 0);
        cr_assert_eq(w.recover.summary.clean, life > 0 && life % 3 == 0, "life %u", life);
        for (unsigned slot = 0; slot < 2; slot++) {
            cr_assert_geq(world_check(&w, slot), life * 60u);
            world_fill(&w, slot, &(struct batch_spec){.records = 3, .value_bytes = 700}, 60);
            world_check(&w, slot);
        }
        switch (life % 3) {
        case 0:
            world_power_cut(&w);
            break;
        case 1:
            world_kill(&w);
            break;
        default:
            world_stop(&w);
        }
    }
    world_close(&w);
}
