/* SPDX-License-Identifier: Apache-2.0 */

/* Places five orders and waits until shipping.c has shipped them. Usage: orders [HOST:PORT] */
#include <leat/leat.h>

#include <stdio.h>

int main(int argc, char **argv)
{
    leat_client *client;
    leat_producer *producer;
    leat_consumer *consumer;
    leat_consumer_options o = LEAT_CONSUMER_OPTIONS_INIT;
    leat_error e;
    const leat_record *records;
    o.reset = LEAT_RESET_EARLIEST;
    if (leat_open(&client, argc > 1 ? argv[1] : "127.0.0.1:9092", NULL, &e) ||
        leat_connect(client, 2000, &e) || leat_producer_open(&producer, client, NULL, &e) ||
        leat_consumer_open(&consumer, client, "example-orders", &o, &e) ||
        leat_subscribe(consumer, (const char *const[]){"example-shipments"}, 1, &e)) {
        return fprintf(stderr, "%s\n", e.message), 1;
    }
    int failed = 0, shipped = 0, count = 0;
    for (int i = 0; i < 5 && !failed; i++) {
        leat_record r = LEAT_RECORD_INIT;
        r.topic = "example-orders", r.key = r.value = (leat_bytes){&"ABCDE"[i], 1};
        failed = leat_produce(producer, &r, NULL, &e);
    }
    failed = leat_producer_close(producer, 30000, failed ? NULL : &e) || failed;
    while (!failed && shipped < 5 && (count = leat_poll(consumer, &records, 30000, &e)) != 0) {
        for (int i = 0; i < count; i++, shipped++) {
            printf("shipped %.*s\n", (int)records[i].key.len, (const char *)records[i].key.data);
        }
    }
    leat_consumer_close(consumer, NULL);
    leat_close(client);
    const char *why = failed ? e.message : "not all are shipped: does shipping run?";
    return shipped < 5 ? fprintf(stderr, "%s\n", why), 1 : 0;
}
