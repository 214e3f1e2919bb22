/* SPDX-License-Identifier: Apache-2.0 */

/* Prints the first ten records of a partition. Usage: consumer [HOST:PORT [TOPIC]] */
#include <leat/leat.h>

#include <stdio.h>

int main(int argc, char **argv)
{
    leat_client *client;
    leat_consumer *consumer;
    leat_error e;
    leat_start start = {argc > 2 ? argv[2] : "example-events", 0, LEAT_EARLIEST, 0};
    if (leat_open(&client, argc > 1 ? argv[1] : "127.0.0.1:9092", NULL, &e) ||
        leat_connect(client, 2000, &e) || leat_consumer_open(&consumer, client, NULL, NULL, &e) ||
        leat_assign(consumer, &start, 1, &e)) {
        fprintf(stderr, "%s\n", e.message);
        return 1;
    }
    int seen = 0, count = 0;
    while (seen < 10) {
        const leat_record *records;
        count = leat_poll(consumer, &records, 5000, &e);
        if (count <= 0) {
            fprintf(stderr, "%s\n",
                    count ? e.message : "nothing came within 5 s: does anybody publish?");
            break;
        }
        for (int i = 0; i < count && seen < 10; i++, seen++) {
            printf("%lld: %.*s\n", (long long)records[i].offset, (int)records[i].value.len,
                   (const char *)records[i].value.data);
        }
    }
    leat_consumer_close(consumer, NULL);
    leat_close(client);
    return count <= 0;
}
