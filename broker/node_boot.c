/* SPDX-License-Identifier: Apache-2.0 */

/* <data>/boot: what this directory may have lost, and has not told (P23).
 *
 *     boot=<22 characters>   served under this boot of the machine: under another one `memory` topics are short
 *     boot=all               gone on without what is damaged: nothing can be vouched for. So is any other text
 *     no file                stopped cleanly, or never served
 *
 * Written when the broker is registered, before it serves, and so after it has told: a process that ends in between
 * leaves what stood there, and the next one tells the same. Removed by a clean stop, when all is flushed. */
#include "node_private.h"

#include <stdio.h>

static const char key[] = "boot=";

static void path_of(struct node *n)
{
    int error = file_path(n->path, n->data, "boot");
    assert(!error); /* node_open_directory() has measured the path */
}

static void store(struct node *n, const char *what, void (*stored)(struct file_store *s, int error))
{
    path_of(n);
    int size = snprintf(n->text, sizeof n->text, "%s%s\n", key, what);
    n->store.done = stored;
    file_store(node_io(n), &n->store, n->path, n->text, (size_t)size);
}

static void stored(struct file_store *s, int error)
{
    struct node *n = container_of(s, struct node, store);
    if (error) {
        node_fail(n, NODE_EXIT_FAILURE, "%s/boot cannot be written: %s", n->data,
                  error_text(error));
        return;
    }
    n->directory_done(n);
}

static void read_boot(struct node *n, struct bytes text)
{
    char current[UUID_TEXT_SIZE], expected[NODE_TEXT_SIZE];
    uuid_text(io_boot_id(node_io(n)), current);
    int size = snprintf(expected, sizeof expected, "%s%s\n", key, current);
    bool of_a_boot = text.size == (size_t)size && memcmp(text.data, key, sizeof key - 1) == 0 &&
                     text.data[text.size - 1] == '\n';
    n->memory_lost = !of_a_boot || memcmp(text.data, expected, text.size) != 0;
    n->all_lost = !of_a_boot;
}

static void boot_loaded(struct file_load *load, int error)
{
    struct node *n = container_of(load, struct node, load);
    if (!error) {
        read_boot(n, bytes_of(load->data, load->size));
        memory_free(io_memory(node_io(n)), load->data);
        load->data = NULL;
    } else if (error == ERR_DISK_FAILED) { /* what stood there may have been `all` */
        n->memory_lost = n->all_lost = true;
    } else if (error != ERR_NOT_FOUND) {
        node_fail(n, NODE_EXIT_FAILURE, "%s/boot cannot be read: %s", n->data, error_text(error));
        return;
    }
    if (n->options.accept_loss && !n->all_lost) {
        store(n, "all", stored); /* before anything of it is given up */
    } else {
        n->directory_done(n);
    }
}

void node_boot_load(struct node *n, void (*done)(struct node *n))
{
    n->directory_done = done;
    path_of(n);
    n->load.done = boot_loaded;
    file_load(node_io(n), &n->load, n->path, NODE_TEXT_SIZE);
}

void node_boot_lost(struct node *n, void (*done)(struct node *n))
{
    n->directory_done = done;
    store(n, "all", stored);
}

void node_boot_told(struct node *n, void (*done)(struct node *n))
{
    char current[UUID_TEXT_SIZE];
    n->directory_done = done;
    uuid_text(io_boot_id(node_io(n)), current);
    store(n, current, stored);
}

static void removed(struct file_remove *r, int error)
{
    struct node *n = container_of(r, struct node, remove);
    (void)error; /* what stays is told once more */
    n->directory_done(n);
}

void node_boot_forget(struct node *n, void (*done)(struct node *n))
{
    n->directory_done = done;
    path_of(n);
    n->remove.done = removed;
    file_remove(node_io(n), &n->remove, n->path);
}
