/* SPDX-License-Identifier: Apache-2.0 */

/* The inbox under four senders and a receiver that falls asleep whenever it may: order of each
 * sender, nothing lost, and at least one wake for every sleep that messages ended. */
#include "io/inbox.h"

#include "base/prng.h"

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdlib.h>

#include <criterion/criterion.h>

enum { SENDERS = 4, EACH = 100000 };

struct letter {
    struct io_message message;
    unsigned sender, number;
};

struct post {
    struct inbox inbox;
    sem_t wakes;
};

struct sender {
    pthread_t thread;
    struct post *post;
    struct letter *letters;
};

static void *send_letters(void *argument)
{
    struct sender *s = argument;
    for (unsigned i = 0; i < EACH;) {
        /* Chains of one to seven, newest first, as a shard's turn pushes them. */
        unsigned count = i % 7 + 1 < EACH - i ? i % 7 + 1 : EACH - i;
        for (unsigned k = 1; k < count; k++) {
            s->letters[i + k].message.next = &s->letters[i + k - 1].message;
        }
        if (inbox_push(&s->post->inbox, &s->letters[i + count - 1].message,
                       &s->letters[i].message)) {
            sem_post(&s->post->wakes);
        }
        i += count;
    }
    return NULL;
}

Test(io_inbox, keeps_the_order_of_each_sender_and_loses_nothing, .timeout = 60)
{
    struct post post;
    struct sender senders[SENDERS];
    unsigned expected[SENDERS] = {0}, total = 0, sleeps = 0;
    memset(&post, 0, sizeof post);
    sem_init(&post.wakes, 0, 0);
    for (unsigned i = 0; i < SENDERS; i++) {
        senders[i].post = &post;
        senders[i].letters = calloc(EACH, sizeof *senders[i].letters);
        for (unsigned k = 0; k < EACH; k++) {
            senders[i].letters[k].sender = i;
            senders[i].letters[k].number = k;
        }
        cr_assert_eq(pthread_create(&senders[i].thread, NULL, send_letters, &senders[i]), 0);
    }
    while (total < SENDERS * EACH) {
        if (inbox_empty(&post.inbox) && inbox_sleep(&post.inbox)) {
            sem_wait(&post.wakes); /* a lost wake hangs here */
            sleeps++;
            inbox_awake(&post.inbox);
        }
        for (struct io_message *m = inbox_take(&post.inbox); m;) {
            struct letter *l = container_of(m, struct letter, message);
            m = m->next;
            cr_assert_eq(l->number, expected[l->sender], "sender %u", l->sender);
            expected[l->sender]++;
            total++;
        }
    }
    for (unsigned i = 0; i < SENDERS; i++) {
        pthread_join(senders[i].thread, NULL);
        free(senders[i].letters);
    }
    int left = 0;
    sem_getvalue(&post.wakes, &left);
    cr_assert(left <= 1, "%d wakes too many for %u sleeps", left, sleeps);
    cr_assert(inbox_empty(&post.inbox));
}

/* One message at a time, pushed a random moment after the last one was taken: so that many fall
 * between the receiver's look into the inbox and its sleep. */
enum { ROUNDS = 200000, MOMENT_MAX = 200 };

struct duel {
    struct inbox inbox;
    sem_t wakes;
    atomic_uint taken;
    struct io_message message;
};

static void wait_a_moment(struct prng *prng)
{
    for (volatile uint64_t left = prng_below(prng, MOMENT_MAX); left > 0; left--) {
    }
}

static void *duel_send(void *argument)
{
    struct duel *d = argument;
    struct prng prng = prng_of(2);
    for (unsigned i = 0; i < ROUNDS; i++) {
        while (atomic_load(&d->taken) != i) {
            sched_yield();
        }
        wait_a_moment(&prng);
        if (inbox_push(&d->inbox, &d->message, &d->message)) {
            sem_post(&d->wakes);
        }
    }
    return NULL;
}

Test(io_inbox, never_sleeps_over_a_message, .timeout = 60)
{
    struct duel d;
    struct prng prng = prng_of(3);
    pthread_t thread;
    memset(&d, 0, sizeof d);
    sem_init(&d.wakes, 0, 0);
    cr_assert_eq(pthread_create(&thread, NULL, duel_send, &d), 0);
    for (unsigned taken = 0; taken < ROUNDS;) {
        if (inbox_take(&d.inbox)) {
            atomic_store(&d.taken, ++taken);
            wait_a_moment(&prng);
        } else if (inbox_sleep(&d.inbox)) {
            sem_wait(&d.wakes); /* a lost wake hangs here */
            inbox_awake(&d.inbox);
        }
    }
    pthread_join(thread, NULL);
}
