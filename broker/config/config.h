/* SPDX-License-Identifier: Apache-2.0 */

/* config: what the operator wants, checked once, before anything is opened.
 *
 * Values come from four places, each stronger than the one before: the table's default, a YAML
 * file, the environment (LEAT_ + the name in capitals, '.' as '_'), the command line. Every problem
 * is reported, not only the first, each as `place: level: key: what is wrong`, with the source line
 * and a hint where there is one.
 *
 *   C1  A loaded configuration holds a value inside its limits for every key.
 *   C2  A dotted key and the nested maps with the same path are the same key; giving both is an
 * error. C3  Nothing here reads a file, the environment or the clock: main.c hands the bytes in. C4
 * Any bytes give a configuration or a list of problems, in bounded time and memory.
 *
 * A struct config does not change after config_load() and may be read from any thread. */
#pragma once

#include "base/bytes.h"
#include "base/errors.h"
#include "base/memory.h"
#include "config/keys.h"

enum config_key {
#define CONFIG_KEY_ID(id, name, type, standard, least, most, choices, flags, text) CONFIG_##id,
    CONFIG_KEYS(CONFIG_KEY_ID)
#undef CONFIG_KEY_ID
        CONFIG_KEY_COUNT
};

enum topic_key {
#define TOPIC_KEY_ID(id, name, broker_key, flags, text) TOPIC_##id,
    TOPIC_KEYS(TOPIC_KEY_ID)
#undef TOPIC_KEY_ID
        TOPIC_KEY_COUNT
};

enum config_type {
    CONFIG_TYPE_BOOL,
    CONFIG_TYPE_INTEGER,
    CONFIG_TYPE_BYTES,
    CONFIG_TYPE_DURATION,
    CONFIG_TYPE_RATIO, /* in millionths */
    CONFIG_TYPE_TEXT,
    CONFIG_TYPE_CHOICE,
    CONFIG_TYPE_ITEMS,
    CONFIG_TYPE_LISTENERS,
};

enum config_key_flags {
    KEY_KAFKA = 1 << 0,
    KEY_DYNAMIC = 1 << 1,
    KEY_TEST = 1 << 2,
    TOPIC_FIXED = 1 << 3,
};

enum {
    CONFIG_FILE_MAX = 1 << 20, /* bytes of a configuration file */
    CONFIG_LISTENERS_MAX = 16,
    CONFIG_PEERS_MAX = 16,
    CONFIG_ITEMS_MAX = 64,
    CONFIG_HOST_SIZE = 256, /* with the NUL */
    CONFIG_NAME_SIZE = 64,
    CONFIG_WHY_SIZE = 256, /* enough for every message of a check */
    CONFIG_SETTINGS_MAX = 256,
    CONFIG_EXIT_USAGE = 2,
    CONFIG_EXIT_CONFIG = 78, /* EX_CONFIG of sysexits.h */
};

/* --- keys ------------------------------------------------------------------------------------- */

struct config_key_info {
    const char *name;
    enum config_type type;
    const char *standard; /* the default, as one would write it */
    int64_t least, most;
    const char *choices; /* separated by '|', or NULL */
    unsigned flags;      /* enum config_key_flags */
    const char *text;
};

const struct config_key_info *config_key_info(enum config_key key);

/* The key of this name, or -1. */
int config_key_find(struct bytes name);

/* Why a key that Kafka has is none here, or what to write instead; NULL if nothing is known of it.
 */
const char *config_key_foreign(struct bytes name);

/* Kafka's number of the value's type for DescribeConfigs: 1 bool, 2 string, 3 int, 5 long, 6 double, 7 list.
 */
int8_t config_key_kafka_type(enum config_key key);

/* Whether the key can change while the broker runs. */
static inline bool config_key_dynamic(enum config_key key)
{
    return (config_key_info(key)->flags & KEY_DYNAMIC) != 0;
}

/* Checks a value for a scalar key and writes it as DescribeConfigs shows it (bare, without a unit)
 * to `out`, cut to `size`: 0, or ERR_INVALID_CONFIG with a sentence in `why`. */
int config_value_normal(enum config_key key, struct bytes value, char *out, size_t size,
                        char why[static CONFIG_WHY_SIZE]) MUST_CHECK;

/* The number of a value that config_value_normal() takes; false: it takes none such. */
bool config_value_number(enum config_key key, struct bytes value, int64_t *out) MUST_CHECK;

/* --- loading ---------------------------------------------------------------------------------- */

struct config;

/* `line` is lent for the call and has no line end. */
typedef void config_line_fn(void *context, const char *line);

/* One wish of the command line, as `option` names it in messages ("--set", "--listen"). */
struct config_setting {
    const char *option;
    const char *key;
    const char *value; /* ends at its NUL */
};

struct config_input {
    const char *file_name; /* as messages show it; NULL: no file */
    struct bytes file;
    const char *const *environment; /* "NAME=value", ended by NULL; NULL: none */
    const struct config_setting *settings;
    size_t setting_count;
};

/* Builds a configuration and reports every problem to `line`. 0 and *out; ERR_BAD_CONFIG when at
 * least one problem is an error; ERR_NO_MEMORY. `m` is lent until config_free(); the input only for
 * the call. */
int config_load(struct config **out, struct memory *m, const struct config_input *input,
                config_line_fn *line, void *context) MUST_CHECK;

/* NULL is accepted. */
void config_free(struct config *c);

/* --- reading ---------------------------------------------------------------------------------- */

bool config_bool(const struct config *c, enum config_key key);

/* Of INTEGER, BYTES, and DURATION in the unit of its name; of CHOICE the place among its choices.
 */
int64_t config_integer(const struct config *c, enum config_key key);

/* Shards, at least 1: what 0 stands for is decided here. */
unsigned config_shards(const struct config *c);

/* What the largest request and the largest fetch may take of a shard's memory. */
enum { CONFIG_REQUEST_PART = 32, CONFIG_FETCH_PART = 20 };

/* Of TEXT and CHOICE; valid as long as the configuration. */
const char *config_text(const struct config *c, enum config_key key);
size_t config_item_count(const struct config *c, enum config_key key);
const char *config_item(const struct config *c, enum config_key key, size_t index);

/* The value as DescribeConfigs shows it: bare numbers, lists with commas. Cut to `size`. */
void config_format(const struct config *c, enum config_key key, char *out, size_t size);

/* "default", "leat.yaml:12", "env LEAT_SHARDS", "--set": where the value came from. Cut to `size`.
 */
void config_origin(const struct config *c, enum config_key key, char *out, size_t size);

/* Whether it is the table's default, not given by anybody. */
bool config_is_default(const struct config *c, enum config_key key);

struct config_listener {
    char name[CONFIG_NAME_SIZE];
    char host[CONFIG_HOST_SIZE];
    char advertised_host[CONFIG_HOST_SIZE];
    uint16_t port; /* 0: the system chooses, and the chosen port is advertised */
    uint16_t advertised_port;
};

size_t config_listener_count(const struct config *c);
const struct config_listener *config_listener(const struct config *c, size_t index);

/* Splits HOST:PORT or [V6]:PORT; false if it is neither. */
bool config_split_address(struct bytes text, char host[static CONFIG_HOST_SIZE], uint16_t *port);

/* Every value with its origin, as YAML that could be loaded again. */
void config_print(const struct config *c, config_line_fn *line, void *context);

/* The reference page of all keys, in Markdown. */
void config_reference(config_line_fn *line, void *context);

/* The keys alone, in scdoc's form, for the page leat.yaml(5). */
void config_manual(config_line_fn *line, void *context);

/* The table as JSON Schema: 0, or ERR_NO_MEMORY after some lines. */
int config_schema(config_line_fn *line, void *context) MUST_CHECK;

/* --- topics ----------------------------------------------------------------------------------- */

struct topic_key_info {
    const char *name;
    enum config_key broker_key; /* gives type, limits and the default */
    unsigned flags;
    const char *text;
};

const struct topic_key_info *topic_key_info(enum topic_key key);
int topic_key_find(struct bytes name);

/* Why a key that Kafka's topics have is accepted and not kept here; NULL: it is not one of these. */
const char *topic_key_ignored(struct bytes name);

/* Checks a value for a topic's key: 0, or ERR_INVALID_CONFIG with a sentence in `why`
 * (CONFIG_WHY_SIZE bytes are enough). */
int topic_config_check(enum topic_key key, struct bytes value, char *why, size_t size) MUST_CHECK;

/* The configuration of one topic: what it sets itself over the broker's values. */
struct topic_config {
    uint64_t own;                     /* bit per enum topic_key: set by the topic */
    int64_t numbers[TOPIC_KEY_COUNT]; /* BOOL, numbers, and the place among the choices */
};

static_assert(TOPIC_KEY_COUNT <= 64, "one bit per key");

/* All values from the broker; `c` is not kept. */
void topic_config_init(struct topic_config *t, const struct config *c);

/* Sets one value, as topic_config_check(). A refused value changes nothing. */
int topic_config_set(struct topic_config *t, enum topic_key key, struct bytes value, char *why,
                     size_t size) MUST_CHECK;

/* Back to the broker's value. */
void topic_config_unset(struct topic_config *t, enum topic_key key, const struct config *c);

static inline bool topic_config_is_own(const struct topic_config *t, enum topic_key key)
{
    return t->own >> key & 1;
}

static inline int64_t topic_config_number(const struct topic_config *t, enum topic_key key)
{
    assert(key < TOPIC_KEY_COUNT);
    return t->numbers[key];
}

/* Order of the choices in the table. */
enum topic_durability { TOPIC_DURABILITY_FSYNC, TOPIC_DURABILITY_MEMORY };
enum topic_cleanup { TOPIC_CLEANUP_DELETE, TOPIC_CLEANUP_COMPACT, TOPIC_CLEANUP_BOTH };
enum topic_timestamp_type { TOPIC_TIMESTAMP_CREATE_TIME, TOPIC_TIMESTAMP_LOG_APPEND_TIME };

/* The value as DescribeConfigs shows it. Cut to `size`. */
void topic_config_format(const struct topic_config *t, enum topic_key key, char *out, size_t size);

/* --- the command line of leatd ---------------------------------------------------------------- */

enum config_action {
    CONFIG_RUN,
    CONFIG_CHECK,  /* --check-config: load, report, exit */
    CONFIG_PRINT,  /* --print-config: load, print, exit */
    CONFIG_SCHEMA, /* --config-schema: print the schema of all keys, exit */
    CONFIG_SAY,    /* --help, --version: print `message` on stdout, exit 0 */
    CONFIG_USAGE,  /* a wrong command line: print `message` on stderr, exit 2 */
};

struct config_arguments {
    enum config_action action;
    const char *file; /* --config; NULL: none */
    struct config_setting settings[CONFIG_SETTINGS_MAX];
    size_t setting_count;
    const char *message;                              /* of CONFIG_SAY and CONFIG_USAGE */
    char buffer[CONFIG_WHY_SIZE * 2];                 /* holds `message` when it is made up */
    char keys[CONFIG_SETTINGS_MAX][CONFIG_NAME_SIZE]; /* holds the keys of --set */
};

/* Reads a command line; touches nothing else. Strings point into `argv` or `out`, which does not
 * move. */
void config_arguments(struct config_arguments *out, int argc, const char *const argv[]);
