/* SPDX-License-Identifier: Apache-2.0 */

/* kcat's command lines: its flags, meanings and shapes, on the same jobs as produce and consume. */
#include "cli/consume.h"
#include "cli/produce.h"
#include "cli/text.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum kcat_flag {
    FLAG_PRODUCE = 1,
    FLAG_CONSUME,
    FLAG_LIST,
    FLAG_QUERY,
    FLAG_TOPIC,
    FLAG_PARTITION,
    FLAG_KEY_DELIMITER,
    FLAG_DELIMITER,
    FLAG_KEY,
    FLAG_HEADER,
    FLAG_COMPRESSION,
    FLAG_NULL,
    FLAG_LINES,
    FLAG_COUNT,
    FLAG_OFFSET,
    FLAG_EXIT,
    FLAG_FORMAT,
    FLAG_JSON,
    FLAG_OFFSETS,
    FLAG_UNBUFFERED,
    FLAG_TEE,
    FLAG_SECONDS,
    FLAG_GROUP,
    FLAG_REGISTRY,
    FLAG_WITHOUT_EFFECT, /* -E keeps going, which is how it is; -d is librdkafka's debugging */
};

static const struct cli_flag kcat_flags[] = {
    {FLAG_PRODUCE, 'P', NULL, NULL, NULL},
    {FLAG_CONSUME, 'C', NULL, NULL, NULL},
    {FLAG_LIST, 'L', NULL, NULL, NULL},
    {FLAG_QUERY, 'Q', NULL, NULL, NULL},
    {FLAG_TOPIC, 't', NULL, "VALUE", NULL},
    {FLAG_PARTITION, 'p', NULL, "VALUE", NULL},
    {FLAG_KEY_DELIMITER, 'K', NULL, "VALUE", NULL},
    {FLAG_DELIMITER, 'D', NULL, "VALUE", NULL},
    {FLAG_KEY, 'k', NULL, "VALUE", NULL},
    {FLAG_HEADER, 'H', NULL, "VALUE", NULL},
    {FLAG_COMPRESSION, 'z', NULL, "VALUE", NULL},
    {FLAG_NULL, 'Z', NULL, NULL, NULL},
    {FLAG_LINES, 'l', NULL, NULL, NULL},
    {FLAG_COUNT, 'c', NULL, "VALUE", NULL},
    {FLAG_OFFSET, 'o', NULL, "VALUE", NULL},
    {FLAG_EXIT, 'e', NULL, NULL, NULL},
    {FLAG_FORMAT, 'f', NULL, "VALUE", NULL},
    {FLAG_JSON, 'J', NULL, NULL, NULL},
    {FLAG_OFFSETS, 'O', NULL, NULL, NULL},
    {FLAG_UNBUFFERED, 'u', NULL, NULL, NULL},
    {FLAG_TEE, 'T', NULL, NULL, NULL},
    {FLAG_SECONDS, 'm', NULL, "VALUE", NULL},
    {FLAG_GROUP, 'G', NULL, "VALUE", NULL},
    {FLAG_REGISTRY, 's', NULL, "VALUE", NULL},
    {FLAG_REGISTRY, 'r', NULL, "VALUE", NULL},
    {FLAG_WITHOUT_EFFECT, 'E', NULL, NULL, NULL},
    {FLAG_WITHOUT_EFFECT, 'd', NULL, "VALUE", NULL},
    {0},
};

/* A flag that every command has, spelled out: whether its value is the next argument. */
static bool value_follows(const char *text)
{
    for (const struct cli_flag *f = cli_global_flags; f->id; f++) {
        if (f->name && strcmp(f->name, text) == 0) {
            return f->argument != NULL;
        }
    }
    return false;
}

bool kcat_meant(int argc, char **argv)
{
    for (int i = 1; i < argc && argv[i][0] == '-' && strcmp(argv[i], "--") != 0; i++) {
        if (argv[i][1] == '-') {
            i += value_follows(argv[i] + 2);
            continue;
        }
        for (const char *p = argv[i] + 1; *p; p++) {
            if (strchr("PCLQG", *p)) {
                return true;
            }
            if (strchr("bXFtpokKDfHzclmsrd", *p)) {
                i += p[1] == 0 && *p != 'l';
                break;
            }
        }
    }
    return false;
}

struct kcat {
    int mode;
    const char *topic;    /* the last -t */
    const char **queries; /* every -t, for -Q */
    size_t query_count;
    const char **words;
    size_t word_count;
    bool lines, unbuffered;
    struct produce_job produce;
    struct consume_job consume;
};

static void kcat_mode(struct kcat *k, int mode)
{
    if (k->mode && k->mode != mode) {
        cli_usage("one of -P, -C, -L, -Q and -G");
    }
    k->mode = mode;
}

static void kcat_shape(struct kcat *k, struct args *a, int id)
{
    switch (id) {
    case FLAG_KEY_DELIMITER:
        k->produce.key_delimiter = text_unescape(a->value, &k->produce.key_delimiter_size);
        k->consume.key_delimiter = text_unescape(a->value, &k->consume.key_delimiter_size);
        break;
    case FLAG_DELIMITER:
        k->produce.delimiter = text_unescape(a->value, &k->produce.delimiter_size);
        k->consume.delimiter = text_unescape(a->value, &k->consume.delimiter_size);
        break;
    case FLAG_NULL:
        k->produce.null = true;
        k->consume.null = "NULL";
        break;
    case FLAG_JSON:
        k->consume.json = true;
        break;
    case FLAG_OFFSETS:
        break; /* kcat takes it and prints nothing for it */
    case FLAG_UNBUFFERED:
        k->consume.unbuffered = true;
        break;
    case FLAG_FORMAT:
        consume_format(&k->consume, a->value);
        break;
    default:
        k->produce.tee = true;
        break;
    }
}

static void kcat_flag(struct cli *cli, struct args *a, struct kcat *k, int id)
{
    leat_error e;
    switch (id) {
    case FLAG_PRODUCE:
    case FLAG_CONSUME:
    case FLAG_LIST:
    case FLAG_QUERY:
        kcat_mode(k, id);
        break;
    case FLAG_TOPIC:
        k->topic = a->value;
        k->queries = cli_resize(k->queries, (k->query_count + 1) * sizeof *k->queries);
        k->queries[k->query_count++] = a->value;
        break;
    case FLAG_PARTITION:
        k->produce.partition = (int32_t)args_number(a, -1, INT32_MAX);
        break;
    case FLAG_KEY:
        k->produce.key = a->value;
        break;
    case FLAG_HEADER:
        produce_header(cli, &k->produce, a->value);
        break;
    case FLAG_COMPRESSION:
        if (leat_producer_options_set(&cli->producer, "compression.type", a->value, &e)) {
            cli_usage("%s", e.message);
        }
        break;
    case FLAG_LINES:
        k->lines = true;
        break;
    case FLAG_COUNT:
        k->produce.limit = k->consume.limit = args_number(a, 0, INT64_MAX);
        break;
    case FLAG_OFFSET:
        consume_offset(&k->consume, a->value);
        break;
    case FLAG_EXIT:
        k->consume.exit_at_end = true;
        break;
    case FLAG_SECONDS:
        cli->options.timeout_ms = (int32_t)args_number(a, 1, 1000000) * 1000;
        break;
    case FLAG_GROUP:
        kcat_mode(k, FLAG_CONSUME);
        k->consume.group = a->value;
        break;
    case FLAG_REGISTRY:
        cli_usage("%s: schema registries and packed values are not in this version", a->flag);
    case FLAG_WITHOUT_EFFECT:
        break;
    case ARG_WORD: /* files of -P, topics of -G */
        k->words = cli_resize(k->words, (k->word_count + 1) * sizeof *k->words);
        k->words[k->word_count++] = a->value;
        break;
    default:
        kcat_shape(k, a, id);
        break;
    }
}

/* --- -L and -Q --- */

static void list_numbers(const char *label, const int32_t *numbers, size_t count)
{
    printf("%s", label);
    for (size_t i = 0; i < count; i++) {
        printf("%s%d", i ? "," : "", (int)numbers[i]);
    }
}

/* The broker that answered, as kcat names it: "host:port/id". */
static int list_origin(const leat_meta *meta, char name[static 320])
{
    for (size_t i = 0; i < meta->broker_count; i++) {
        const leat_meta_broker *b = meta->brokers[i];
        snprintf(name, 320, "%s:%d", b->host, (int)b->port);
        if (strcmp(name, meta->origin) == 0) {
            snprintf(name, 320, "%s/%d", meta->origin, (int)b->id);
            return (int)b->id;
        }
    }
    snprintf(name, 320, "%s/bootstrap", meta->origin);
    return -1;
}

static json_t *list_ids(const int32_t *numbers, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        json_array_append_new(list, json_pack("{s:i}", "id", (int)numbers[i]));
    }
    return list;
}

static json_t *list_topic(const leat_meta_topic *t)
{
    json_t *partitions = json_array();
    for (size_t i = 0; i < t->partition_count; i++) {
        const leat_meta_partition *p = t->partitions[i];
        json_array_append_new(partitions, json_pack("{s:i,s:i,s:o,s:o}", "partition", (int)p->id,
                                                    "leader", (int)p->leader, "replicas",
                                                    list_ids(p->replicas, p->replica_count), "isrs",
                                                    list_ids(p->in_sync, p->in_sync_count)));
    }
    json_t *topic = json_pack("{s:s}", "topic", t->name);
    if (t->code) {
        json_object_set_new(topic, "error", json_string(leat_error_text(t->code)));
    }
    json_object_set_new(topic, "partitions", partitions);
    return topic;
}

static void list_json(const leat_meta *meta, const char *topic)
{
    char origin[320];
    int origin_id = list_origin(meta, origin);
    json_t *brokers = json_array(), *topics = json_array();
    for (size_t i = 0; i < meta->broker_count; i++) {
        const leat_meta_broker *b = meta->brokers[i];
        char name[320];
        snprintf(name, sizeof name, "%s:%d", b->host, (int)b->port);
        json_array_append_new(brokers, json_pack("{s:i,s:s}", "id", (int)b->id, "name", name));
    }
    for (size_t i = 0; i < meta->topic_count; i++) {
        json_array_append_new(topics, list_topic(meta->topics[i]));
    }
    json_t *all =
        json_pack("{s:{s:i,s:s},s:{s:s},s:i,s:o,s:o}", "originating_broker", "id", origin_id,
                  "name", origin, "query", "topic", topic ? topic : "*", "controllerid",
                  (int)meta->controller, "brokers", brokers, "topics", topics);
    json_dumpf(all, stdout, JSON_COMPACT);
    json_decref(all);
}

static void list_text(const leat_meta *meta, const char *topic)
{
    char origin[320];
    int origin_id = list_origin(meta, origin);
    printf("Metadata for %s (from broker %d: %s):\n", topic ? topic : "all topics", origin_id,
           origin);
    printf(" %zu brokers:\n", meta->broker_count);
    for (size_t i = 0; i < meta->broker_count; i++) {
        const leat_meta_broker *b = meta->brokers[i];
        printf("  broker %d at %s:%d%s\n", (int)b->id, b->host, (int)b->port,
               b->id == meta->controller ? " (controller)" : "");
    }
    printf(" %zu topics:\n", meta->topic_count);
    for (size_t i = 0; i < meta->topic_count; i++) {
        const leat_meta_topic *t = meta->topics[i];
        printf("  topic \"%s\" with %zu partitions:%s%s\n", t->name, t->partition_count,
               t->code ? " " : "", t->code ? leat_error_text(t->code) : "");
        for (size_t j = 0; j < t->partition_count; j++) {
            const leat_meta_partition *p = t->partitions[j];
            printf("    partition %d, leader %d", (int)p->id, (int)p->leader);
            list_numbers(", replicas: ", p->replicas, p->replica_count);
            list_numbers(", isrs: ", p->in_sync, p->in_sync_count);
            printf("%s%s\n", p->code ? ", " : "", p->code ? leat_error_text(p->code) : "");
        }
    }
}

static int kcat_list(struct cli *cli, const struct kcat *k)
{
    cli_connect(cli);
    leat_meta *meta = cli_metadata(cli, k->topic, true);
    if (k->consume.json) {
        list_json(meta, k->topic);
    } else {
        list_text(meta, k->topic);
    }
    leat_meta_free(meta);
    return EXIT_DONE;
}

/* A whole number within bounds that ends where `text` does. */
static bool query_number(const char *text, long long min, long long max, long long *out)
{
    char *end;
    errno = 0;
    *out = strtoll(text, &end, 10);
    return end != text && !*end && !errno && *out >= min && *out <= max;
}

/* -Q -t topic:partition:time */
static void kcat_query_one(struct cli *cli, const char *query)
{
    char *topic = cli_copy(query, strlen(query));
    char *partition = strchr(topic, ':');
    char *time = partition ? strchr(partition + 1, ':') : NULL;
    if (time) {
        *partition++ = *time++ = 0;
    }
    long long when, number;
    int64_t offset;
    leat_error e;
    if (!time || !*topic || !query_number(partition, 0, INT32_MAX, &number) ||
        !query_number(time, INT64_MIN, INT64_MAX, &when)) {
        cli_usage("-Q: '%s' is not TOPIC:PARTITION:TIMESTAMP", query);
    }
    if (leat_offset_at(cli->client, topic, (int32_t)number, when, &offset, &e)) {
        cli_fail(cli, &e);
    }
    printf("%s [%d] offset %lld\n", topic, (int)number, (long long)offset);
    free(topic);
}

static int kcat_query(struct cli *cli, const struct kcat *k)
{
    cli_connect(cli);
    /* A broker that cannot be reached is told as such, and at once. */
    leat_meta_free(cli_metadata(cli, "", true));
    for (size_t i = 0; i < k->query_count; i++) {
        kcat_query_one(cli, k->queries[i]);
    }
    return EXIT_DONE;
}

/* $KCAT_CONFIG, or kcat's file of the home. */
static void kcat_file(struct cli *cli)
{
    const char *file = getenv("KCAT_CONFIG"), *home = getenv("HOME");
    char path[4096];
    if (file) {
        cli_properties(cli, file, true);
    } else if (home &&
               snprintf(path, sizeof path, "%s/.config/kcat.conf", home) < (int)sizeof path) {
        cli_properties(cli, path, true);
    }
}

/* The context goes before kcat's file, unless the file was named and the context was not. */
static void kcat_configuration(struct cli *cli)
{
    const char *context = getenv("LEAT_CONTEXT");
    bool named = cli->context || (context && *context);
    if (getenv("KCAT_CONFIG") && !named) {
        context_apply(cli);
        kcat_file(cli);
    } else {
        kcat_file(cli);
        context_apply(cli);
    }
}

int kcat_run(struct cli *cli, struct args *a)
{
    struct kcat k = {.produce = {.partition = LEAT_PARTITION_ANY}};
    int id;
    /* As librdkafka, so that kcat and leat can be members of one group. */
    snprintf(cli->consumer.strategies, sizeof cli->consumer.strategies, "range,roundrobin");
    kcat_configuration(cli);
    a->flags = kcat_flags;
    while ((id = args_next(a, cli)) != ARG_END) {
        kcat_flag(cli, a, &k, id);
    }
    if (k.mode == FLAG_LIST) {
        return kcat_list(cli, &k);
    }
    if (!k.topic && !(k.consume.group && k.word_count)) {
        cli_usage("-t: which topic?");
    }
    for (size_t i = 0; i < k.word_count; i++) {
        if (k.mode == FLAG_PRODUCE) {
            produce_file(&k.produce, k.words[i]);
        } else if (k.consume.group) {
            consume_topic(&k.consume, k.words[i]);
        }
    }
    free(k.words);
    if (k.mode == FLAG_QUERY) {
        return kcat_query(cli, &k);
    }
    if (k.mode == FLAG_PRODUCE) {
        k.produce.topic = k.topic;
        k.produce.input = k.lines ? INPUT_LINES : INPUT_FILES;
        return produce_run(cli, &k.produce);
    }
    if (k.consume.null && k.consume.format) {
        format_empty_is_null(k.consume.format);
    }
    if (k.topic) {
        consume_topic(&k.consume, k.topic);
    }
    if (k.produce.partition >= 0) {
        k.consume.partitions = cli_alloc(sizeof *k.consume.partitions);
        k.consume.partitions[0] = k.produce.partition;
        k.consume.partition_count = 1;
    }
    return consume_run(cli, &k.consume);
}
