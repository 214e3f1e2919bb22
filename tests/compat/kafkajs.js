// SPDX-License-Identifier: Apache-2.0
// Publishes with kafkajs, then consumes as two members of a group: node kafkajs.js HOST:PORT
'use strict';
const { Kafka, CompressionTypes, logLevel } = require('kafkajs');

async function main() {
    const kafka = new Kafka({ brokers: [process.argv[2]], clientId: 'compat', logLevel: logLevel.ERROR });
    const admin = kafka.admin();
    await admin.connect();
    const created = await admin.createTopics({ topics: [{ topic: 'js-none', numPartitions: 2 },
                                                        { topic: 'js-gzip', numPartitions: 2 }] });
    if (!created) throw new Error('topics were not created');
    const metadata = await admin.fetchTopicMetadata({ topics: ['js-none'] });
    if (metadata.topics[0].partitions.length !== 2) throw new Error('metadata: ' + JSON.stringify(metadata));
    const producer = kafka.producer();
    await producer.connect();
    for (const [topic, compression] of [['js-none', CompressionTypes.None], ['js-gzip', CompressionTypes.GZIP]]) {
        for (let n = 0; n < 20; n++) {
            const messages = [];
            for (let i = 0; i < 10; i++) {
                messages.push({ key: `k${n}-${i}`, value: `v${n}-${i} ` + 'x'.repeat(100), partition: n % 2,
                                headers: { h: `${n}` } });
            }
            await producer.send({ topic, messages, compression, acks: -1 });
        }
    }
    const offsets = await admin.fetchTopicOffsets('js-gzip');
    for (const o of offsets) {
        if (o.low !== '0' || o.high !== '100') throw new Error('offsets: ' + JSON.stringify(offsets));
    }
    console.log('published');
    await groups(kafka, admin, producer);
    await producer.disconnect();
    await admin.disconnect();
}

const PARTITIONS = 4;

async function until(what, condition) {
    for (const deadline = Date.now() + 20000; !await condition();) {
        if (Date.now() > deadline) throw new Error(what + ': not in time');
        await new Promise((resolve) => setTimeout(resolve, 10));
    }
    console.log('ok: ' + what);
}

// A member that commits each record before it takes the next one.
async function join(kafka, consumed) {
    const consumer = kafka.consumer({ groupId: 'js', sessionTimeout: 10000, heartbeatInterval: 100, maxWaitTimeInMs: 50,
                                      allowAutoTopicCreation: false });
    const member = { consumer, owned: 0 };
    consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
        member.owned = (payload.memberAssignment['js-group'] || []).length;
    });
    await consumer.connect();
    await consumer.subscribe({ topic: 'js-group', fromBeginning: true });
    await consumer.run({ autoCommit: false, eachMessage: async ({ topic, partition, message }) => {
        const value = message.value.toString();
        consumed.set(value, (consumed.get(value) || 0) + 1);
        await consumer.commitOffsets([{ topic, partition, offset: `${Number(message.offset) + 1}` }]);
    } });
    return member;
}

async function groups(kafka, admin, producer) {
    const consumed = new Map();
    let published = 0;
    const publish = async (count) => {
        const messages = [];
        for (let i = 0; i < count; i++) messages.push({ value: `${published + i}`, partition: i % PARTITIONS });
        await producer.send({ topic: 'js-group', messages, acks: -1 });
        published += count;
    };
    await admin.createTopics({ topics: [{ topic: 'js-group', numPartitions: PARTITIONS }] });
    await publish(40);
    const one = await join(kafka, consumed);
    await until('the first member has all', () => one.owned === PARTITIONS && consumed.size === published);
    const two = await join(kafka, consumed);
    await until('two share', () => one.owned === 2 && two.owned === 2);
    await publish(40);
    await until('everything has come', () => consumed.size === published);
    const { groups: listed } = await admin.listGroups();
    if (!listed.some((g) => g.groupId === 'js' && g.protocolType === 'consumer')) throw new Error('listGroups');
    const described = (await admin.describeGroups(['js'])).groups[0];
    if (described.state !== 'Stable' || described.members.length !== 2) throw new Error('describeGroups');
    await two.consumer.disconnect();
    await until('one has all again', () => one.owned === PARTITIONS);
    await publish(40);
    await until('everything has come', () => consumed.size === published);
    await one.consumer.disconnect();
    for (const [value, times] of consumed) {
        if (times !== 1) throw new Error(`${value} came ${times} times`);
    }
    const offsets = await admin.fetchOffsets({ groupId: 'js', topics: ['js-group'] });
    if (offsets[0].partitions.some((p) => p.offset !== '30')) throw new Error(JSON.stringify(offsets));
    await admin.resetOffsets({ groupId: 'js', topic: 'js-group', earliest: true });
    await admin.deleteGroups(['js']);
    if ((await admin.listGroups()).groups.length !== 0) throw new Error('the group was not deleted');
    console.log('ok: groups are administered');
}

main().catch((e) => { console.error(e); process.exit(1); });
