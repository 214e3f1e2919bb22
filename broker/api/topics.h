/* SPDX-License-Identifier: Apache-2.0 */

/* topics: topics of the newest image by name and id, with the configuration in force for each. A
 * cache that is emptied with every new image, so that the hot path looks up one hash. */
#pragma once

#include "base/map.h"
#include "config/config.h"
#include "meta/image.h"
#include "wire/types.h"

struct api_options;

struct topic_view {
    const struct image_topic *topic;
    struct topic_config config;
};

struct topics {
    struct memory *memory;
    const struct api_options *options;
    const struct image *image;
    struct map by_name, by_id;
    struct arena arena;
    struct topic_view spare; /* when there is no memory for another entry */
};

void topics_init(struct topics *t, struct memory *memory, uint64_t seed,
                 const struct api_options *options);
void topics_deinit(struct topics *t);

/* `image` is kept by the caller until the next call. */
void topics_publish(struct topics *t, const struct image *image);

/* NULL: there is none. Valid until the next call of any function here. */
const struct topic_view *topics_by_name(struct topics *t, struct wire_string name);
const struct topic_view *topics_by_id(struct topics *t, struct uuid id);

/* 1 to 249 of [a-zA-Z0-9._-], not "." or "..". */
bool topic_name_valid(struct wire_string name);
