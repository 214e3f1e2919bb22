/* SPDX-License-Identifier: Apache-2.0 */

/* Ships each order at least once. Usage: shipping [HOST:PORT [IDLE_MS]] */
#include <leat/leat.h>

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    leat_client *client;
    leat_producer *out;
    leat_consumer *in;
    leat_consumer_options o = LEAT_CONSUMER_OPTIONS_INIT;
    leat_error e;
    const leat_record *orders;
    o.reset = LEAT_RESET_EARLIEST, o.auto_commit = false;
    if (leat_open(&client, argc > 1 ? argv[1] : "127.0.0.1:9092", NULL, &e) ||
        leat_connect(client, 2000, &e) || leat_producer_open(&out, client, NULL, &e) ||
        leat_consumer_open(&in, client, "example-shipping", &o, &e) ||
        leat_subscribe(in, (const char *const[]){"example-orders"}, 1, &e)) {
        return fprintf(stderr, "%s\n", e.message), 1;
    }
    int wait_ms = argc > 2 ? (int)strtol(argv[2], NULL, 10) : -1, count, failed = 0;
    while (!failed && (count = leat_poll(in, &orders, wait_ms, &e)) != 0) {
        for (int i = 0; i < count; i++) {
            leat_record shipment = LEAT_RECORD_INIT;
            shipment.topic = "example-shipments";
            shipment.key = orders[i].key;
            failed = failed || leat_produce(out, &shipment, NULL, &e);
        }
        failed =
            failed || (count < 0 ? e.fatal : leat_flush(out, -1, &e) || leat_commit(in, -1, &e));
    }
    leat_producer_close(out, 30000, NULL);
    leat_consumer_close(in, NULL);
    leat_close(client);
    return failed ? fprintf(stderr, "%s\n", e.message), 1 : 0;
}
