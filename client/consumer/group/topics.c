/* SPDX-License-Identifier: Apache-2.0 */

/* The topics of a subscription: those that are named, and those that expressions match, for which
 * the list of all topics is fetched now and then. */
#include "consumer/group/group_private.h"

#include <stdlib.h>
#include <string.h>

enum {
    UNKNOWN_TOPIC_ANSWERS_MAX = 5,
    CATALOGUE_TIMEOUT_MS = 15000,
    WISH_TOPICS_MAX = 10000,
};

/* --- wishes: in the gate --- */

void wish_free(struct group *g, struct subscription_wish *w)
{
    if (!w) {
        return;
    }
    for (size_t i = 0; i < w->name_count; i++) {
        memory_free(g->heap, (void *)(uintptr_t)w->names[i]);
    }
    for (size_t i = 0; i < w->pattern_count; i++) {
        regfree(&w->patterns[i].regex);
    }
    memory_free(g->heap, w->names);
    memory_free(g->heap, w->patterns);
    memory_free(g->heap, w);
}

static int wish_add(struct group *g, struct subscription_wish *w, const char *topic, leat_error *e)
{
    if (!topic || !topic[0] || (topic[0] != '^' && strlen(topic) > TOPIC_NAME_MAX)) {
        return error_set(e, ERR_INVALID_ARGUMENT, "'%.60s' cannot be a topic: %s",
                         topic ? topic : "", error_text(ERR_INVALID_TOPIC));
    }
    if (topic[0] != '^') {
        char *copy = memory_string(g->heap, topic, strlen(topic));
        if (!copy) {
            return error_set(e, ERR_NO_MEMORY, "no memory for the subscription");
        }
        w->names[w->name_count++] = copy;
        return 0;
    }
    struct topic_pattern *p = &w->patterns[w->pattern_count];
    int wrong = regcomp(&p->regex, topic, REG_EXTENDED | REG_NOSUB);
    if (wrong) {
        char why[80];
        (void)regerror(wrong, &p->regex, why, sizeof why);
        return error_set(e, ERR_INVALID_ARGUMENT, "'%.60s' is not a regular expression: %s", topic,
                         why);
    }
    w->pattern_count++;
    return 0;
}

int wish_new(struct group *g, const char *const *topics, size_t count,
             struct subscription_wish **out, leat_error *e)
{
    if (!topics || count == 0 || count > WISH_TOPICS_MAX) {
        return error_set(e, ERR_INVALID_ARGUMENT,
                         "a subscription needs 1 to %d topics: leat_unsubscribe() ends it",
                         (int)WISH_TOPICS_MAX);
    }
    struct subscription_wish *w = memory_alloc(g->heap, sizeof *w);
    if (w) {
        w->names = memory_alloc(g->heap, count * sizeof *w->names);
        w->patterns = memory_alloc(g->heap, count * sizeof *w->patterns);
    }
    int error = w && w->names && w->patterns
                    ? 0
                    : error_set(e, ERR_NO_MEMORY, "no memory for the subscription");
    for (size_t i = 0; !error && i < count; i++) {
        error = wish_add(g, w, topics[i], e);
    }
    if (error) {
        wish_free(g, w);
        return error;
    }
    *out = w;
    return 0;
}

/* --- the topics in force --- */

static void topics_free(struct group *g, char **topics, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        memory_free(g->core->memory, topics[i]);
    }
    memory_free(g->core->memory, topics);
}

static int topic_compare(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

bool topics_subscribed(const struct group *g, const char *topic)
{
    return g->topic_count &&
           bsearch(&topic, g->topics, g->topic_count, sizeof *g->topics, topic_compare);
}

static bool wish_matches(const struct subscription_wish *w, const char *name)
{
    for (size_t i = 0; i < w->pattern_count; i++) {
        if (regexec(&w->patterns[i].regex, name, 0, NULL, 0) == 0) {
            return true;
        }
    }
    return false;
}

/* In the gate: what the wish comes to, given the list of all topics; joins again if that is not
 * what it was. */
static int topics_update(struct group *g)
{
    const struct subscription_wish *w = g->wish;
    size_t most = w ? w->name_count + (w->pattern_count ? g->catalogue_count : 0) : 0;
    size_t count = 0, kept = 0;
    char **topics = memory_alloc(g->core->memory, (most + 1) * sizeof *topics);
    if (!topics) {
        return ERR_NO_MEMORY;
    }
    for (size_t i = 0; i < most; i++) {
        const char *name = i < w->name_count ? w->names[i] : g->catalogue_list[i - w->name_count];
        if (i >= w->name_count && !wish_matches(w, name)) {
            continue;
        }
        topics[count] = memory_string(g->core->memory, name, strlen(name));
        if (!topics[count]) {
            topics_free(g, topics, count);
            return ERR_NO_MEMORY;
        }
        count++;
    }
    if (count) {
        qsort(topics, count, sizeof *topics, topic_compare);
    }
    for (size_t i = 0; i < count; i++) {
        if (kept && strcmp(topics[kept - 1], topics[i]) == 0) {
            memory_free(g->core->memory, topics[i]);
        } else {
            topics[kept++] = topics[i];
        }
    }
    bool same = kept == g->topic_count;
    for (size_t i = 0; same && i < kept; i++) {
        same = strcmp(topics[i], g->topics[i]) == 0;
    }
    topics_free(g, g->topics, g->topic_count);
    g->topics = topics;
    g->topic_count = kept;
    if (!same) {
        membership_rejoin(g, "the subscription has changed");
    }
    return 0;
}

static void literals_put(struct group *g)
{
    for (size_t i = 0; i < g->literal_count; i++) {
        if (g->literals[i]) {
            topic_put(g->core, g->literals[i]);
        }
    }
    memory_free(g->core->memory, g->literals);
    memory_free(g->core->memory, g->literal_told);
    g->literals = NULL;
    g->literal_told = NULL;
    g->literal_count = 0;
}

int topics_take_wish(struct group *g)
{
    const struct subscription_wish *w = g->wish;
    size_t count = w ? w->name_count : 0;
    struct topic **literals = memory_alloc(g->core->memory, (count + 1) * sizeof *literals);
    bool *told = memory_alloc(g->core->memory, count + 1);
    if (!literals || !told) {
        memory_free(g->core->memory, literals);
        memory_free(g->core->memory, told);
        return ERR_NO_MEMORY;
    }
    for (size_t i = 0; i < count; i++) {
        literals[i] = topic_get(g->core, w->names[i], false);
    }
    literals_put(g);
    g->literals = literals;
    g->literal_told = told;
    g->literal_count = count;
    bool patterns = w && w->pattern_count;
    g->topics_known = !patterns;
    if (patterns) {
        g->catalogue_due_ns = 0;
    }
    int error = topics_update(g);
    if (!error) {
        g->seen_wish = g->wish_number;
    }
    return error;
}

/* --- the list of all topics --- */

static int catalogue_encode(struct call *c, struct wire_writer *w, int version)
{
    struct metadata_request body;
    metadata_request_init(&body);
    body.topics = NULL;
    body.topics_count = -1;
    body.allow_auto_topic_creation = false;
    return metadata_request_encode(&body, w, version);
}

static int catalogue_take(struct group *g, const struct metadata_response *in)
{
    arena_deinit(&g->catalogue_names);
    g->catalogue_count = 0;
    g->catalogue_list =
        arena_array(&g->catalogue_names, (size_t)in->topics_count + 1, sizeof *g->catalogue_list);
    if (!g->catalogue_list) {
        return ERR_NO_MEMORY;
    }
    for (int32_t i = 0; i < in->topics_count; i++) {
        struct wire_string name = in->topics[i].name;
        if (in->topics[i].is_internal || name.size < 1 || name.size > TOPIC_NAME_MAX ||
            memchr(name.data, 0, (size_t)name.size)) {
            continue;
        }
        char *copy = arena_alloc(&g->catalogue_names, (size_t)name.size + 1);
        if (!copy) {
            return ERR_NO_MEMORY;
        }
        memcpy(copy, name.data, (size_t)name.size);
        g->catalogue_list[g->catalogue_count++] = copy;
    }
    return 0;
}

static int catalogue_decode(struct call *c, struct reader *body, int version)
{
    struct group *g = container_of(c, struct group, catalogue);
    struct metadata_response in;
    struct arena arena;
    arena_init(&arena, c->core->memory, (size_t)PROTOCOL_ARENA_MAX * 4);
    int error = metadata_response_decode(&in, body, version, &arena);
    error = error ? error : error_from_wire(in.error_code);
    if (!error) {
        gate_enter(g->gate);
        error = catalogue_take(g, &in);
        gate_leave(g->gate);
    }
    arena_deinit(&arena);
    return error;
}

static void catalogue_done(struct call *c)
{
    struct group *g = container_of(c, struct group, catalogue);
    int32_t again = c->error.code ? g->core->options.retry_backoff_max_ms
                                  : g->core->options.metadata_max_age_ms;
    g->cataloguing = false;
    g->catalogue_due_ns = core_after_ms(g->core, again);
    if (!c->error.code && !g->closing) {
        gate_enter(g->gate);
        if (topics_update(g)) {
            g->catalogue_due_ns = core_after_ms(g->core, g->core->options.retry_backoff_max_ms);
        } else {
            g->topics_known = true;
        }
        gate_leave(g->gate);
    }
    group_soon(g);
}

/* A topic that does not exist may be on its way; what the broker refuses for good is told at once. */
static void literals_check(struct group *g)
{
    for (size_t i = 0; i < g->literal_count; i++) {
        const struct topic *t = g->literals[i];
        leat_error e;
        if (!t || !t->error || g->literal_told[i]) {
            continue;
        }
        bool unknown = t->error == ERR_UNKNOWN_TOPIC_OR_PARTITION;
        if (unknown ? t->failures < UNKNOWN_TOPIC_ANSWERS_MAX : error_is_retriable(t->error)) {
            continue;
        }
        error_set(&e, t->error,
                  unknown
                      ? "topic %s does not exist: create it; its partitions come when it is there"
                      : "topic %s: %s",
                  t->name, error_text(t->error));
        g->literal_told[i] = true;
        group_tell(g, &e);
    }
}

void topics_run(struct group *g, uint64_t *due_ns)
{
    static const struct call_kind kind = {
        .request = {WIRE_METADATA, 4, 13},
        .name = "list all topics",
        .encode = catalogue_encode,
        .decode = catalogue_decode,
        .repeatable = true,
    };
    literals_check(g);
    gate_enter(g->gate);
    bool patterns = g->wish && g->wish->pattern_count;
    gate_leave(g->gate);
    if (!patterns || g->cataloguing) {
        return;
    }
    if (io_now(g->core->io) < g->catalogue_due_ns) {
        *due_ns = g->catalogue_due_ns < *due_ns ? g->catalogue_due_ns : *due_ns;
        return;
    }
    g->cataloguing = true;
    memset(&g->catalogue, 0, sizeof g->catalogue);
    call_start(&g->catalogue, g->core, &kind, core_after_ms(g->core, CATALOGUE_TIMEOUT_MS),
               catalogue_done);
}

void topics_close(struct group *g)
{
    literals_put(g);
    topics_free(g, g->topics, g->topic_count);
    g->topics = NULL;
    g->topic_count = 0;
    arena_deinit(&g->catalogue_names);
}
