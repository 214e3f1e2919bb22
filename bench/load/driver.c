/* SPDX-License-Identifier: Apache-2.0 */
#include "load/driver.h"

#include <string.h>

const struct driver *driver_find(const char *name)
{
    static const struct driver *const all[] = {
        &driver_leat,
#ifdef LEAT_RDKAFKA
        &driver_rdkafka,
#endif
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (strcmp(all[i]->name, name) == 0) {
            return all[i];
        }
    }
    return NULL;
}
