/* SPDX-License-Identifier: Apache-2.0 */

/* Publishes ten orders and waits until all are safe. Usage: producer [HOST:PORT [TOPIC]] */
#include <leat/leat.h>

#include <stdio.h>

int main(int argc, char **argv)
{
    leat_client *client;
    leat_producer *producer;
    leat_error e;
    if (leat_open(&client, argc > 1 ? argv[1] : "127.0.0.1:9092", NULL, &e) ||
        leat_connect(client, 2000, &e) || leat_producer_open(&producer, client, NULL, &e)) {
        fprintf(stderr, "%s\n", e.message);
        return 1;
    }
    int failed = 0;
    for (int i = 0; i < 10 && !failed; i++) {
        char key[32], value[64];
        leat_record r = LEAT_RECORD_INIT;
        r.topic = argc > 2 ? argv[2] : "example-events";
        r.key.data = key;
        r.key.len = (size_t)snprintf(key, sizeof key, "customer-%d", i % 3);
        r.value.data = value;
        r.value.len = (size_t)snprintf(value, sizeof value, "{\"order\":%d}", i);
        failed = leat_produce(producer, &r, NULL, &e);
    }
    failed = leat_producer_close(producer, 30000, failed ? NULL : &e) || failed;
    leat_close(client);
    return failed ? fprintf(stderr, "%s\n", e.message), 1 : 0;
}
