/* SPDX-License-Identifier: Apache-2.0 */

/* leat context save|use|list|rm: named sets of properties in $XDG_CONFIG_HOME/leat/contexts (or
 * ~/.config/leat/contexts), one file of key=value lines each; the file `.current` names the one that
 * is used when nothing else is said. */
#include "cli/output.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum context_action { CONTEXT_SAVE = 1, CONTEXT_USE, CONTEXT_LIST, CONTEXT_REMOVE };
enum { NAME_MAX_SIZE = 64, PATH_SIZE = 4096 };

static const char current_name[] = ".current";

static void make_directories(char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        (void)mkdir(path, 0700);
        *slash = '/';
    }
    if (mkdir(path, 0700) && errno != EEXIST) {
        cli_usage("%s cannot be made: %s", path, strerror(errno));
    }
}

char *context_directory(bool make)
{
    const char *home = getenv("XDG_CONFIG_HOME"), *below = "/leat/contexts";
    if (!home || !*home) {
        home = getenv("HOME");
        below = "/.config/leat/contexts";
    }
    if (!home || !*home) {
        return NULL;
    }
    size_t room = strlen(home) + strlen(below) + 1;
    char *path = cli_alloc(room);
    snprintf(path, room, "%s%s", home, below);
    if (make) {
        make_directories(path);
    }
    return path;
}

/* The path of a context's file, to be freed. */
static char *context_path(const char *name, bool make)
{
    if (!*name || strlen(name) >= NAME_MAX_SIZE || strchr(name, '/') ||
        (*name == '.' && strcmp(name, current_name) != 0)) {
        cli_usage("'%s' cannot be the name of a context: at most 63 characters, no '/', no '.' in "
                  "front",
                  name);
    }
    char *directory = context_directory(make);
    if (!directory) {
        cli_usage("contexts need a home: set HOME or XDG_CONFIG_HOME");
    }
    size_t room = strlen(directory) + strlen(name) + 2;
    char *path = cli_alloc(room);
    snprintf(path, room, "%s/%s", directory, name);
    free(directory);
    return path;
}

/* The name of the current context, to be freed; NULL: there is none. */
static char *context_current(void)
{
    char line[NAME_MAX_SIZE + 2] = "";
    char *directory = context_directory(false);
    free(directory);
    if (!directory) {
        return NULL;
    }
    char *path = context_path(current_name, false);
    FILE *file = fopen(path, "r");
    free(path);
    if (!file) {
        return NULL;
    }
    bool read = fgets(line, sizeof line, file) != NULL;
    fclose(file);
    line[strcspn(line, "\r\n")] = 0;
    return read && *line ? cli_copy(line, strlen(line)) : NULL;
}

void context_apply(struct cli *cli)
{
    const char *environment = getenv("LEAT_CONTEXT"), *brokers = getenv("LEAT_BROKERS");
    bool named = cli->context || (environment && *environment);
    char *current = named ? NULL : context_current();
    const char *name = cli->context ? cli->context : named ? environment : current;
    if (!name) {
        return;
    }
    char *path = context_path(name, false);
    if (access(path, R_OK) != 0 && named) {
        cli_usage("there is no context '%s' (%s: %s): see leat context list", name, path,
                  strerror(errno));
    }
    cli_properties(cli, path, true);
    /* What the environment says is nearer than a context that nobody named. */
    if (!named && brokers && *brokers) {
        cli->brokers = brokers;
    }
    cli->context = cli->context ? cli->context : cli_copy(name, strlen(name));
    free(path);
    free(current);
}

/* --- the actions ------------------------------------------------------------------------------------ */

struct context_job {
    const char *name;
    char **properties; /* "key=value" */
    size_t count;
};

static FILE *context_write(const char *path)
{
    mode_t before = umask(0077);
    FILE *file = fopen(path, "w");
    umask(before);
    if (!file) {
        cli_usage("%s cannot be written: %s", path, strerror(errno));
    }
    return file;
}

static void context_close(FILE *file, const char *path)
{
    bool failed = ferror(file) != 0;
    if (fclose(file) || failed) {
        cli_say("%s cannot be written: %s", path, strerror(errno));
        exit(EXIT_FAILED);
    }
}

static int context_save(struct cli *cli, const struct context_job *job)
{
    char *path = context_path(job->name, true);
    FILE *file = context_write(path);
    fprintf(file, "bootstrap.servers=%s\n", cli->brokers);
    for (size_t i = 0; i < job->count; i++) {
        fprintf(file, "%s\n", job->properties[i]);
    }
    context_close(file, path);
    if (!output_done(cli, json_pack("{s:s,s:s}", "saved", job->name, "file", path)) &&
        !cli->quiet) {
        printf("saved context %s (%s)\n", job->name, path);
    }
    free(path);
    return EXIT_DONE;
}

static int context_use(struct cli *cli, const struct context_job *job)
{
    char *path = context_path(job->name, false);
    if (access(path, R_OK) != 0) {
        cli_say("there is no context '%s': see leat context list", job->name);
        free(path);
        return EXIT_NOT_FOUND;
    }
    free(path);
    path = context_path(current_name, true);
    FILE *file = context_write(path);
    fprintf(file, "%s\n", job->name);
    context_close(file, path);
    free(path);
    if (!output_done(cli, json_pack("{s:s}", "current", job->name)) && !cli->quiet) {
        printf("using context %s\n", job->name);
    }
    return EXIT_DONE;
}

/* The brokers of a context, to be freed. */
static char *context_brokers(const char *name)
{
    static const char key[] = "bootstrap.servers=";
    char line[PATH_SIZE];
    char *path = context_path(name, false), *brokers = NULL;
    FILE *file = fopen(path, "r");
    free(path);
    while (file && !brokers && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\r\n")] = 0;
        if (strncmp(line, key, sizeof key - 1) == 0) {
            brokers = cli_copy(line + sizeof key - 1, strlen(line + sizeof key - 1));
        }
    }
    if (file) {
        fclose(file);
    }
    return brokers ? brokers : cli_copy("", 0);
}

static int entry_shown(const struct dirent *entry)
{
    return entry->d_name[0] != '.' && strlen(entry->d_name) < NAME_MAX_SIZE;
}

static int context_list(struct cli *cli)
{
    static const struct column columns[] = {{"current", "", false},
                                            {"name", "NAME", false},
                                            {"brokers", "BROKERS", false},
                                            {NULL, NULL, false}};
    struct dirent **entries = NULL;
    char *directory = context_directory(false), *current = context_current();
    int count = directory ? scandir(directory, &entries, entry_shown, alphasort) : 0;
    json_t *rows = json_array();
    for (int i = 0; i < count; i++) {
        char *brokers = context_brokers(entries[i]->d_name);
        bool is_current = current && strcmp(current, entries[i]->d_name) == 0;
        json_array_append_new(rows, json_pack("{s:o,s:s,s:s}", "current",
                                              cli->output == OUTPUT_TABLE
                                                  ? json_string(is_current ? "*" : " ")
                                                  : json_boolean(is_current),
                                              "name", entries[i]->d_name, "brokers", brokers));
        free(brokers);
        free(entries[i]);
    }
    free(entries);
    free(directory);
    free(current);
    if (cli->output == OUTPUT_TABLE && count <= 0) {
        json_decref(rows);
        cli_say("there are no contexts yet: leat context save NAME -b HOST:PORT");
        return EXIT_DONE;
    }
    output_rows(cli, rows, columns);
    return EXIT_DONE;
}

static int context_remove(struct cli *cli, const struct context_job *job)
{
    char *path = context_path(job->name, false), *current = context_current();
    if (unlink(path)) {
        cli_say("there is no context '%s': see leat context list", job->name);
        return EXIT_NOT_FOUND;
    }
    if (current && strcmp(current, job->name) == 0) {
        char *mark = context_path(current_name, false);
        (void)unlink(mark);
        free(mark);
    }
    free(path);
    free(current);
    if (!output_done(cli, json_pack("{s:s}", "removed", job->name)) && !cli->quiet) {
        printf("removed context %s\n", job->name);
    }
    return EXIT_DONE;
}

/* -X is taken here as well as where it is checked: what is saved is what was written. */
static const struct cli_flag context_flags[] = {
    {1, 'X', "property", "KEY=VALUE", "saved with it; the brokers (-b) always are", "save"},
    {0},
};

static const struct cli_action context_actions[] = {
    {"save", CONTEXT_SAVE, "NAME",
     "the brokers (-b) and properties (-X) of this command, by a name", "@context"},
    {"use", CONTEXT_USE, "NAME", "use it whenever nothing else is said", "@context"},
    {"list", CONTEXT_LIST, "", "the contexts, and which one is used", NULL},
    {"rm", CONTEXT_REMOVE, "NAME", "forget it", "@context"},
    {NULL, 0, NULL, NULL, NULL},
};

static int context_run(struct cli *cli, struct args *a)
{
    struct context_job job = {0};
    int id;
    while ((id = args_next(a, cli)) != ARG_END) {
        if (id == ARG_WORD && job.name) {
            cli_usage("one context: %s or %s?", job.name, a->value);
        } else if (id == ARG_WORD) {
            job.name = a->value;
        } else {
            cli_property(cli, a->value);
            job.properties = cli_resize(job.properties, (job.count + 1) * sizeof *job.properties);
            job.properties[job.count++] = cli_copy(a->value, strlen(a->value));
        }
    }
    int action = args_action(a);
    if (action == CONTEXT_SAVE && !job.name) {
        cli_usage("save under which name? leat context save staging -b HOST:PORT -X KEY=VALUE");
    }
    if (action != CONTEXT_LIST && !job.name) {
        cli_usage("context %s NAME: which one? (leat context list shows them)", a->action->name);
    }
    switch (action) {
    case CONTEXT_SAVE:
        return context_save(cli, &job);
    case CONTEXT_USE:
        return context_use(cli, &job);
    case CONTEXT_REMOVE:
        return context_remove(cli, &job);
    default:
        return context_list(cli);
    }
}

const struct cli_command command_context = {
    .name = "context",
    .words = "ACTION",
    .summary = "named sets of brokers and properties",
    .flags = context_flags,
    .actions = context_actions,
    .run = context_run,
    .more = "A context that is named (--context NAME, LEAT_CONTEXT) goes before LEAT_BROKERS, the "
            "current "
            "one\n(leat context use) behind it; flags go before all of them.\n",
};
