// SPDX-License-Identifier: Apache-2.0
// kafkajs under load: node load.js BROKERS TOPIC GROUP. What it takes and says is described in load.py.
'use strict';
const readline = require('node:readline');
const { Kafka, logLevel } = require('kafkajs');

const [brokers, topic, groupId] = process.argv.slice(2);
const kafka = new Kafka({ brokers: brokers.split(','), clientId: 'load', logLevel: logLevel.NOTHING });
const say = (line) => process.stdout.write(line + '\n');

function name(error) {
    let e = error;
    while (e.cause) e = e.cause; // how often it was tried says less than what came of it
    return `${e.type || e.name} ${e.message}`;
}

// A partition's records, one send at a time of all that have come meanwhile: it is how order is kept. No send has two
// partitions: when some of a send's are to be sent again and their new leader has taken others, kafkajs 2.2.4 takes that
// answer for theirs, does not send them, and tells of no error (see its pull request 1798).
class Sender {
    constructor(producer, partition) {
        this.producer = producer;
        this.partition = partition;
        this.waiting = [];
        this.running = null;
    }

    async send(values) {
        try {
            const messages = values.map((value) => ({ partition: this.partition, value }));
            const [{ baseOffset }] = await this.producer.send({ topic, acks: -1, messages });
            values.forEach((value, i) => say(`acked ${value} ${Number(baseOffset) + i}`));
        } catch (e) {
            for (const value of values) say(`failed ${value} ${name(e)}`);
        }
    }

    async run() {
        while (this.waiting.length > 0) await this.send(this.waiting.splice(0));
        this.running = null;
    }

    take(value) {
        this.waiting.push(value);
        this.running = this.running || this.run();
    }
}

async function consumer() {
    // It looks for another coordinator when it joins and not before: until then each commit, and then each fetch, is tried
    // as often as this says, at the one that has gone. Then it begins anew by itself, as another member: the group waits
    // for the session of the one before.
    const made = kafka.consumer({ groupId, retry: { initialRetryTime: 100, retries: 3 }, sessionTimeout: 6000,
                                  heartbeatInterval: 500 });
    let owned = [], joined = 0;
    made.on(made.events.GROUP_JOIN, ({ payload }) => {
        joined++;
        for (const p of owned) say(`revoked ${p}`);
        owned = payload.memberAssignment[topic] || [];
        for (const p of owned) say(`assigned ${p}`);
    });
    made.on(made.events.CRASH, ({ payload }) => {
        if (!payload.restart) say('error ' + name(payload.error));
    });
    await made.connect();
    await made.subscribe({ topic, fromBeginning: true });
    await made.run({ autoCommit: false, eachBatch: async ({ batch }) => {
        for (const m of batch.messages) say(`record ${batch.partition} ${m.offset} ${m.value}`);
        const offset = `${Number(batch.lastOffset()) + 1}`;
        const member = joined;
        try {
            await made.commitOffsets([{ topic, partition: batch.partition, offset }]);
            // One that was tried again while it joined may come behind its question where to begin.
            if (member === joined) say(`committed ${batch.partition} ${offset}`);
        } catch (e) {
            say('refused ' + name(e));
            // It joins again while a batch is with the program, whose commit is then of the generation before: the records
            // come again. It would stop for good at that error; all others are its own to get over.
            if (name(e).startsWith('ILLEGAL_GENERATION')) return;
            say(`assigned ${batch.partition}`); // a batch that the program has thrown at comes again
            throw e;
        }
    } });
    return made;
}

async function main() {
    say('version ' + require('kafkajs/package.json').version);
    const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 });
    await producer.connect();
    const reading = await consumer();
    const senders = new Map();
    for await (const line of readline.createInterface({ input: process.stdin })) {
        const at = line.indexOf(' ');
        const partition = Number(line.slice(0, at));
        if (!senders.has(partition)) senders.set(partition, new Sender(producer, partition));
        senders.get(partition).take(line.slice(at + 1));
    }
    for (const sender of senders.values()) await sender.running;
    await producer.disconnect();
    await reading.disconnect();
    // A consumer that begins anew takes leave of the coordinator that it knew, although its metadata have dropped that
    // broker meanwhile. If it is back by then, kafkajs 2.2.4 opens a connection to it that disconnect() does not know, and
    // the program goes on until the broker finds it idle.
    process.exit(0);
}

main().catch((e) => { console.error(e); process.exit(1); });
