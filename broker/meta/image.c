/* SPDX-License-Identifier: Apache-2.0 */

/* Topics stand in three trees: by name, by id, and, if their name has '.' or '_', by what collides.
 * Brokers and the configurations of nodes are few: each is a counted array that is copied as a
 * whole when it changes. All counts but an image's own are plain and belong to the home shard.
 *
 * Invariants
 *   I1  A sealed image never changes but for its count.
 *   I2  The trees by name and by id hold the same topics.
 *   I3  An edit that fails has changed nothing: everything that can fail comes first. */
#include "config/config.h"
#include "meta/image_private.h"

/* --- life ------------------------------------------------------------------------------------- */

struct image_home *image_home_new(struct memory *memory, const char *cluster_id)
{
    assert(strlen(cluster_id) < CLUSTER_ID_SIZE);
    struct image_home *home = memory_alloc(memory, sizeof *home);
    if (!home) {
        return NULL;
    }
    home->memory = memory;
    memcpy(home->cluster_id, cluster_id, strlen(cluster_id));
    pool_init(&home->nodes, memory, sizeof(struct tree_node), 256, SIZE_MAX / 4096);
    node_table_init(&home->lists, memory);
    return home;
}

static void blob_release(struct image_home *home, struct blob *b)
{
    if (b && --b->references == 0) {
        memory_free(home->memory, b);
    }
}

static void image_free(struct image *i)
{
    struct image_home *home = i->home;
    assert(i->magic == IMAGE_MAGIC);
    assert(home->images > 0);
    tree_release(&home->nodes, i->by_name);
    tree_release(&home->nodes, i->by_id);
    tree_release(&home->nodes, i->by_collision);
    broker_set_release(i->brokers);
    node_configs_release(i->configs);
    blob_release(home, i->voters);
    for (uint32_t k = 0; k < i->removed_count; k++) {
        topic_release(i->removed[k]);
    }
    memory_free(home->memory, i->removed);
    i->magic = 0;
    home->images--;
    memory_free(home->memory, i);
}

static void bury_dead(struct image_home *home)
{
    struct image *i = atomic_exchange_explicit(&home->dead, NULL, memory_order_acquire);
    while (i) {
        struct image *next = i->next_dead;
        image_free(i);
        i = next;
    }
}

void image_home_free(struct image_home *home)
{
    if (!home) {
        return;
    }
    bury_dead(home);
    assert(home->images == 0);
    node_table_deinit(&home->lists);
    pool_deinit(&home->nodes);
    memory_free(home->memory, home);
}

static struct image *image_new(struct image_home *home)
{
    bury_dead(home);
    struct image *i = memory_alloc(home->memory, sizeof *i);
    if (!i) {
        return NULL;
    }
    i->magic = IMAGE_MAGIC;
    i->home = home;
    atomic_init(&i->references, 1);
    home->images++;
    return i;
}

struct image *image_empty(struct image_home *home)
{
    struct image *i = image_new(home);
    if (i) {
        i->offset = -1;
        i->timestamp = -1;
        i->epoch = -1;
        i->controller = -1;
    }
    return i;
}

struct image *image_fork(const struct image *base)
{
    assert(base->magic == IMAGE_MAGIC);
    struct image *i = image_new(base->home);
    if (!i) {
        return NULL;
    }
    i->by_name = tree_take(base->by_name);
    i->by_id = tree_take(base->by_id);
    i->by_collision = tree_take(base->by_collision);
    i->brokers = broker_set_take(base->brokers);
    i->configs = node_configs_take(base->configs);
    i->voters = base->voters;
    if (i->voters) {
        i->voters->references++;
    }
    memcpy(i->features, base->features, sizeof i->features);
    i->feature_count = base->feature_count;
    i->partitions = base->partitions;
    i->next_producer_id = base->next_producer_id;
    i->offset = base->offset;
    i->timestamp = base->timestamp;
    i->epoch = base->epoch;
    i->controller = base->controller;
    i->kraft_version = base->kraft_version;
    return i;
}

void image_seal(struct image *draft)
{
    image_assert_draft(draft);
    draft->sealed = true;
}

void image_take(const struct image *image)
{
    struct image *i = (struct image *)image;
    assert(i->magic == IMAGE_MAGIC);
    uint32_t before = atomic_fetch_add_explicit(&i->references, 1, memory_order_relaxed);
    assert(before > 0);
}

void image_release(const struct image *image)
{
    struct image *i = (struct image *)image;
    if (!i) {
        return;
    }
    assert(i->magic == IMAGE_MAGIC);
    uint32_t before = atomic_fetch_sub_explicit(&i->references, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before > 1) {
        return;
    }
    struct image_home *home = i->home;
    i->next_dead = atomic_load_explicit(&home->dead, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&home->dead, &i->next_dead, i,
                                                  memory_order_release, memory_order_relaxed)) {
    }
}

/* --- topics ----------------------------------------------------------------------------------- */

static struct topic *find_topic(const struct tree_node *root, enum tree_order order,
                                struct bytes key)
{
    struct tree_node *n = tree_find(root, order, key);
    return n ? n->topic : NULL;
}

struct topic *image_topic_with_id(const struct image *i, struct uuid id)
{
    return find_topic(i->by_id, TREE_BY_ID, bytes_of(id.bytes, sizeof id.bytes));
}

static bool can_collide(struct bytes name)
{
    return name.size && (memchr(name.data, '.', name.size) || memchr(name.data, '_', name.size));
}

/* Puts `t` into every tree that it belongs to, in the place of its older self if there is one. */
static int put_topic(struct image *i, struct topic *t)
{
    struct pool *nodes = &i->home->nodes;
    int error = tree_reserve(nodes, 3);
    if (error) {
        return error;
    }
    i->by_name = tree_put(nodes, i->by_name, TREE_BY_NAME, t);
    i->by_id = tree_put(nodes, i->by_id, TREE_BY_ID, t);
    if (can_collide(bytes_of_string(t->name))) {
        i->by_collision = tree_put(nodes, i->by_collision, TREE_BY_COLLISION, t);
    }
    return 0;
}

int image_add_topic(struct image *draft, struct bytes name, struct uuid id)
{
    image_assert_draft(draft);
    if (!topic_name_is_valid(name) || uuid_is_zero(id) || image_topic_with_id(draft, id) ||
        image_topic_by_name(draft, name) || image_topic_colliding(draft, name)) {
        return ERR_MALFORMED;
    }
    struct topic *t = topic_new(draft->home->memory, name, id);
    if (!t) {
        return ERR_NO_MEMORY;
    }
    int error = put_topic(draft, t);
    topic_release(t);
    return error;
}

void image_remember_removed(struct image *draft)
{
    image_assert_draft(draft);
    draft->remembers = true;
}

const struct image_topic *image_topic_removed(const struct image *image, struct uuid id)
{
    for (uint32_t i = 0; i < image->removed_count; i++) {
        if (uuid_equal(image->removed[i]->view.id, id)) {
            return &image->removed[i]->view;
        }
    }
    return NULL;
}

const struct image_topic *image_removed_at(const struct image *image, uint32_t index)
{
    return index < image->removed_count ? &image->removed[index]->view : NULL;
}

static int reserve_removed(struct image *draft)
{
    if (!draft->remembers || draft->removed_count < draft->removed_capacity) {
        return 0;
    }
    uint32_t capacity = draft->removed_capacity ? draft->removed_capacity * 2 : 8;
    void *larger =
        memory_resize(draft->home->memory, draft->removed, capacity * sizeof *draft->removed);
    if (!larger) {
        return ERR_NO_MEMORY;
    }
    draft->removed = larger;
    draft->removed_capacity = capacity;
    return 0;
}

int image_remove_topic(struct image *draft, struct uuid id)
{
    image_assert_draft(draft);
    struct pool *nodes = &draft->home->nodes;
    struct topic *t = image_topic_with_id(draft, id);
    if (!t) {
        return ERR_MALFORMED;
    }
    int error = tree_reserve(nodes, 3);
    error = error ? error : reserve_removed(draft);
    if (error) {
        return error;
    }
    topic_take(t);
    if (draft->remembers) {
        draft->removed[draft->removed_count++] = topic_take(t);
    }
    struct bytes name = bytes_of_string(t->name);
    assert(draft->partitions >= (uint64_t)t->view.partition_count);
    draft->partitions -= (uint64_t)t->view.partition_count;
    draft->by_name = tree_remove(nodes, draft->by_name, TREE_BY_NAME, name);
    draft->by_id =
        tree_remove(nodes, draft->by_id, TREE_BY_ID, bytes_of(id.bytes, sizeof id.bytes));
    if (can_collide(name)) {
        draft->by_collision = tree_remove(nodes, draft->by_collision, TREE_BY_COLLISION, name);
    }
    topic_release(t);
    return 0;
}

/* How many holders a topic has when no other image refers to it: the trees of this draft, each by a
 * node of its own. A shared node hides behind one reference, so the way to the topic counts too. */
static bool path_is_own(const struct tree_node *root, enum tree_order order, struct bytes key)
{
    const struct tree_node *n = root;
    while (n) {
        if (n->references != 1) {
            return false;
        }
        int side = tree_compare(order, key, n->topic);
        if (side == 0) {
            return true;
        }
        n = side < 0 ? n->left : n->right;
    }
    return false;
}

static bool topic_is_own(const struct image *i, const struct topic *t)
{
    struct bytes name = bytes_of_string(t->name);
    bool third = can_collide(name);
    return t->references == (third ? 3u : 2u) && path_is_own(i->by_name, TREE_BY_NAME, name) &&
           path_is_own(i->by_id, TREE_BY_ID, tree_key(TREE_BY_ID, t)) &&
           (!third || path_is_own(i->by_collision, TREE_BY_COLLISION, name));
}

int image_own_topic(struct image *i, struct topic *t, struct topic **out)
{
    if (topic_is_own(i, t)) {
        *out = t;
        return 0;
    }
    struct topic *copy = topic_copy(t);
    if (!copy) {
        return ERR_NO_MEMORY;
    }
    int error = put_topic(i, copy);
    topic_release(copy);
    if (!error) {
        *out = copy;
    }
    return error;
}

int image_set_topic_config(struct image *draft, struct bytes name, struct bytes key,
                           struct bytes value)
{
    image_assert_draft(draft);
    struct topic *t = find_topic(draft->by_name, TREE_BY_NAME, name);
    if (!t) {
        return ERR_MALFORMED;
    }
    struct config_set *set;
    int error = config_set_with(&set, draft->home->memory, t->configs, key, value);
    if (!error && (error = image_own_topic(draft, t, &t)) != 0) {
        config_set_release(set);
    }
    if (error) {
        return error;
    }
    config_set_release(t->configs);
    t->configs = set;
    t->view.configs = set ? set->entries : NULL;
    t->view.config_count = set ? set->count : 0;
    return 0;
}

int image_set_factor_open(struct image *draft, struct uuid id, bool open)
{
    image_assert_draft(draft);
    struct topic *t = image_topic_with_id(draft, id);
    if (!t) {
        return ERR_MALFORMED;
    }
    int error = t->view.factor_open == open ? 0 : image_own_topic(draft, t, &t);
    if (!error) {
        t->view.factor_open = open;
    }
    return error;
}

/* --- brokers and the rest --------------------------------------------------------------------- */

int image_put_broker(struct image *draft, const struct image_broker_spec *spec)
{
    image_assert_draft(draft);
    struct broker_set *next;
    int error = broker_set_with(&next, draft->home->memory, draft->brokers, spec);
    if (!error) {
        broker_set_release(draft->brokers);
        draft->brokers = next;
    }
    return error;
}

int image_set_broker_config(struct image *draft, int32_t node, struct bytes key, struct bytes value)
{
    image_assert_draft(draft);
    struct node_configs *next;
    int error = node_configs_with(&next, draft->home->memory, draft->configs, node, key, value);
    if (!error) {
        node_configs_release(draft->configs);
        draft->configs = next;
    }
    return error;
}

/* Puts the broker again, as it is but for the two states. */
static int restate_broker(struct image *draft, int32_t id, int64_t epoch, bool fenced,
                          bool shutting_down)
{
    const struct image_broker *b = image_broker_by_id(draft, id);
    assert(b && b->epoch == epoch);
    struct image_endpoint_spec endpoints[IMAGE_ENDPOINTS_MAX];
    for (uint32_t i = 0; i < b->endpoint_count; i++) {
        const struct image_endpoint *e = &b->endpoints[i];
        endpoints[i] = (struct image_endpoint_spec){bytes_of_string(e->name),
                                                    bytes_of_string(e->host), e->port};
    }
    struct image_broker_spec spec = {
        .id = id,
        .epoch = epoch,
        .incarnation = b->incarnation,
        .directory = b->directory,
        .rack = b->rack ? bytes_of_string(b->rack) : (struct bytes){0},
        .endpoints = endpoints,
        .endpoint_count = b->endpoint_count,
        .fenced = fenced,
        .shutting_down = shutting_down,
    };
    return image_put_broker(draft, &spec);
}

int image_set_fenced(struct image *draft, int32_t id, int64_t epoch, bool fenced)
{
    const struct image_broker *b = image_broker_by_id(draft, id);
    bool known = b && b->epoch == epoch;
    return known ? restate_broker(draft, id, epoch, fenced, b->shutting_down) : ERR_MALFORMED;
}

int image_set_shutting_down(struct image *draft, int32_t id, int64_t epoch)
{
    const struct image_broker *b = image_broker_by_id(draft, id);
    bool known = b && b->epoch == epoch;
    return known ? restate_broker(draft, id, epoch, b->fenced, true) : ERR_MALFORMED;
}

int image_remove_broker(struct image *draft, int32_t id, int64_t epoch)
{
    image_assert_draft(draft);
    const struct image_broker *b = image_broker_by_id(draft, id);
    if (!b || b->epoch != epoch) {
        return ERR_MALFORMED;
    }
    struct broker_set *next;
    int error = broker_set_without(&next, draft->home->memory, draft->brokers, id);
    if (!error) {
        broker_set_release(draft->brokers);
        draft->brokers = next;
    }
    return error;
}

int image_set_feature(struct image *draft, struct bytes name, int16_t level)
{
    image_assert_draft(draft);
    uint32_t at = 0;
    while (at < draft->feature_count &&
           !bytes_equal(name, bytes_of_string(draft->features[at].name))) {
        at++;
    }
    if (name.size == 0 || name.size >= IMAGE_FEATURE_NAME_MAX || at == IMAGE_FEATURES_MAX ||
        memchr(name.data, 0, name.size)) {
        return ERR_MALFORMED;
    }
    if (at == draft->feature_count) {
        memcpy(draft->features[at].name, name.data, name.size);
        draft->feature_count++;
    }
    draft->features[at].level = level;
    return 0;
}

int image_set_next_producer_id(struct image *draft, int64_t next)
{
    image_assert_draft(draft);
    if (next < draft->next_producer_id) {
        return ERR_MALFORMED;
    }
    draft->next_producer_id = next;
    return 0;
}

int image_set_voters(struct image *draft, struct bytes value)
{
    image_assert_draft(draft);
    struct blob *b = memory_alloc(draft->home->memory, sizeof *b + value.size);
    if (!b) {
        return ERR_NO_MEMORY;
    }
    b->references = 1;
    b->size = value.size;
    if (value.size) {
        memcpy(b->data, value.data, value.size);
    }
    blob_release(draft->home, draft->voters);
    draft->voters = b;
    return 0;
}

void image_set_kraft_version(struct image *draft, int16_t version)
{
    image_assert_draft(draft);
    draft->kraft_version = version;
}

void image_set_controller(struct image *draft, int32_t node)
{
    image_assert_draft(draft);
    draft->controller = node;
}

void image_set_position(struct image *draft, int64_t offset, int32_t epoch, int64_t timestamp)
{
    image_assert_draft(draft);
    assert(offset >= draft->offset);
    assert(epoch >= draft->epoch);
    draft->offset = offset;
    draft->epoch = epoch;
    draft->timestamp = timestamp;
}

/* --- reading ---------------------------------------------------------------------------------- */

const struct image_topic *image_topic_by_name(const struct image *image, struct bytes name)
{
    struct topic *t = find_topic(image->by_name, TREE_BY_NAME, name);
    return t ? &t->view : NULL;
}

const struct image_topic *image_topic_by_id(const struct image *image, struct uuid id)
{
    struct topic *t = image_topic_with_id(image, id);
    return t ? &t->view : NULL;
}

const struct image_topic *image_topic_colliding(const struct image *image, struct bytes name)
{
    struct topic *t =
        can_collide(name) ? find_topic(image->by_collision, TREE_BY_COLLISION, name) : NULL;
    return t ? &t->view : NULL;
}

uint32_t image_topic_count(const struct image *image)
{
    return image->by_name ? image->by_name->size : 0;
}

const struct image_topic *image_topic_at(const struct image *image, uint32_t index)
{
    return &tree_at(image->by_name, index)->view;
}

struct visit {
    bool (*each)(void *context, const struct image_topic *topic);
    void *context;
};

static bool visit_topic(void *context, const struct topic *t)
{
    const struct visit *v = context;
    return v->each(v->context, &t->view);
}

void image_each_topic(const struct image *image, int32_t broker,
                      bool (*each)(void *context, const struct image_topic *topic), void *context)
{
    struct visit v = {each, context};
    tree_each(image->by_name, broker < 0 ? UINT64_MAX : holder_bit(broker), visit_topic, &v);
}

uint32_t image_topic_from(const struct image *image, struct bytes name)
{
    return tree_rank(image->by_name, TREE_BY_NAME, name);
}

struct diff {
    void (*each)(void *context, const struct image_topic *old, const struct image_topic *new);
    void *context;
};

static void each_difference(void *context, const struct topic *old, const struct topic *new)
{
    const struct diff *d = context;
    d->each(d->context, old ? &old->view : NULL, new ? &new->view : NULL);
}

void image_diff(const struct image *before, const struct image *after,
                void (*each)(void *context, const struct image_topic *old,
                             const struct image_topic *new),
                void *context)
{
    struct diff d = {each, context};
    assert(!before || before->home == after->home);
    tree_diff(before ? before->by_name : NULL, after->by_name, TREE_BY_NAME, each_difference, &d);
}

uint32_t image_broker_count(const struct image *image)
{
    return broker_set_count(image->brokers);
}

const struct image_broker *image_broker_at(const struct image *image, uint32_t index)
{
    return broker_set_at(image->brokers, index);
}

const struct image_broker *image_broker_by_id(const struct image *image, int32_t id)
{
    return broker_set_find(image->brokers, id);
}

const char *image_broker_config(const struct image *image, int32_t node, const char *key)
{
    return config_set_get(node_configs_find(image->configs, node), key);
}

bool image_brokers_configured_differently(const struct image *a, const struct image *b)
{
    return a->configs != b->configs;
}

const char *image_topic_config(const struct image_topic *topic, const char *key)
{
    return config_set_get(container_of(topic, struct topic, view)->configs, key);
}

int16_t image_default_factor(const struct image *image, int16_t configured)
{
    int16_t active = 0;
    for (uint32_t i = 0; i < image_broker_count(image) && active < IMAGE_GROWN_FACTOR; i++) {
        const struct image_broker *b = image_broker_at(image, i);
        active += !b->fenced && !b->shutting_down;
    }
    return configured > 0 ? configured : active > 0 ? active : 1;
}

static const char min_isr_key[] = "min.insync.replicas";

static int32_t min_isr_of(const char *value, int32_t otherwise)
{
    int64_t number;
    bool is_one =
        value && config_value_number(CONFIG_MIN_INSYNC_REPLICAS, bytes_of_string(value), &number);
    return is_one ? (int32_t)number : otherwise;
}

int32_t image_cluster_min_isr(const struct image *image)
{
    return min_isr_of(image_broker_config(image, -1, min_isr_key), 1);
}

int32_t image_topic_min_isr(const struct image *image, const struct image_topic *topic)
{
    return min_isr_of(image_topic_config(topic, min_isr_key), image_cluster_min_isr(image));
}

const char *image_cluster_id(const struct image *image)
{
    return image->home->cluster_id;
}

int32_t image_controller(const struct image *image)
{
    return image->controller;
}

int64_t image_offset(const struct image *image)
{
    return image->offset;
}

struct memory *image_memory(const struct image *image)
{
    return image->home->memory;
}

uint32_t image_feature_count(const struct image *image)
{
    return image->feature_count;
}

const struct image_feature *image_feature_at(const struct image *image, uint32_t index)
{
    assert(index < image->feature_count);
    return &image->features[index];
}

int64_t image_next_producer_id(const struct image *image)
{
    return image->next_producer_id;
}

struct bytes image_voters(const struct image *image)
{
    return image->voters ? bytes_of(image->voters->data, image->voters->size) : (struct bytes){0};
}

int16_t image_kraft_version(const struct image *image)
{
    return image->kraft_version;
}

int32_t image_epoch(const struct image *image)
{
    return image->epoch;
}

int64_t image_timestamp(const struct image *image)
{
    return image->timestamp;
}

uint64_t image_partition_total(const struct image *image)
{
    return image->partitions;
}

uint32_t image_configured_count(const struct image *image)
{
    return node_configs_count(image->configs);
}

int32_t image_configured_at(const struct image *image, uint32_t index,
                            const struct image_config **configs, uint32_t *count)
{
    int32_t node;
    const struct config_set *set = node_configs_at(image->configs, index, &node);
    *configs = set->entries;
    *count = set->count;
    return node;
}

void image_check(const struct image *image)
{
    assert(image->magic == IMAGE_MAGIC);
    tree_check(image->by_name, TREE_BY_NAME);
    tree_check(image->by_id, TREE_BY_ID);
    tree_check(image->by_collision, TREE_BY_COLLISION);
    uint64_t partitions = 0;
    uint32_t colliding = 0;
    for (uint32_t k = 0; k < image_topic_count(image); k++) {
        const struct topic *t = tree_at(image->by_name, k);
        assert(image_topic_with_id(image, t->view.id) == t);
        partitions += (uint64_t)t->view.partition_count;
        if (can_collide(bytes_of_string(t->name))) {
            colliding++;
            assert(image_topic_colliding(image, bytes_of_string(t->name)) == &t->view);
        }
    }
    assert(image_topic_count(image) == (image->by_id ? image->by_id->size : 0));
    assert(colliding == (image->by_collision ? image->by_collision->size : 0));
    assert(partitions == image->partitions);
}
