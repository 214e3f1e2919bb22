// SPDX-License-Identifier: Apache-2.0
// kafkajs goes through the scenarios of scenarios.py, which drives it: node scenarios.js ADDRESS CUT_ADDRESS
'use strict';
const assert = require('node:assert/strict');
const readline = require('node:readline');
const { Kafka, CompressionTypes, logLevel } = require('kafkajs');

const [address, cutAddress] = process.argv.slice(2);
const LIMIT_MS = 30000;
const connect = (brokers) => new Kafka({ brokers: brokers.split(','), clientId: 'compat', logLevel: logLevel.NOTHING,
                                        retry: { initialRetryTime: 50, retries: 10 } });
const kafka = connect(address);
const admin = kafka.admin();
const input = readline.createInterface({ input: process.stdin });
const answers = input[Symbol.asyncIterator]();

async function scenario(name, run) {
    console.log('begin ' + name);
    console.log(`end ${name}: ${await run() || ''}`);
}

async function until(what, condition) {
    for (const deadline = Date.now() + LIMIT_MS; !await condition();) {
        if (Date.now() > deadline) throw new Error(what + ': not in time');
        await new Promise((resolve) => setTimeout(resolve, 5));
    }
}

async function create(topic, numPartitions = 1, config = {}) {
    const configEntries = Object.entries(config).map(([name, value]) => ({ name, value }));
    assert(await admin.createTopics({ topics: [{ topic, numPartitions, configEntries }] }), `${topic} was not created`);
}

async function partitions(topic) {
    return (await admin.fetchTopicMetadata({ topics: [topic] })).topics[0].partitions.length;
}

const numbers = (count) => Array.from({ length: count }, (_, i) => i);

// `each` at a time, so that there are batches.
async function publish(topic, messages, { client = kafka, compression, each = 10, ...options } = {}) {
    const producer = client.producer(options);
    await producer.connect();
    for (let i = 0; i < messages.length; i += each) {
        await producer.send({ topic, messages: messages.slice(i, i + each), acks: -1, compression });
    }
    await producer.disconnect();
}

let groups = 0;

// It consumes in groups alone: a consumer of a group of its own. `got` is what has come.
async function consumer(topic, client = kafka) {
    const made = client.consumer({ groupId: `reads-${groups++}`, heartbeatInterval: 100, maxWaitTimeInMs: 50,
                                   allowAutoTopicCreation: false });
    const got = [];
    await made.connect();
    await made.subscribe({ topic, fromBeginning: true });
    await made.run({ autoCommit: false, eachMessage: async ({ partition, message }) => {
        got.push({ partition, offset: Number(message.offset), key: message.key && message.key.toString(),
                   value: message.value.toString(), headers: message.headers });
    } });
    return { made, got };
}

async function read(topic, count, client = kafka) {
    const { made, got } = await consumer(topic, client);
    await until(`${topic}: ${count} records`, () => got.length >= count);
    await made.disconnect();
    assert.equal(got.length, count);
    return got;
}

async function topics() {
    await create('topics', 3);
    await until('three partitions', async () => await partitions('topics') === 3);
    await publish('topics', numbers(30).map((i) => ({ value: `${i}`, partition: i % 3 })));
    for (const r of await read('topics', 30)) assert.equal(Number(r.value), r.offset * 3 + r.partition);
}

async function keys() {
    await create('keys', 3);
    await publish('keys', numbers(70).map((i) => ({ key: `k${i % 7}`, value: `${i}` })));
    const got = await read('keys', 70);
    for (let k = 0; k < 7; k++) {
        const mine = got.filter((r) => r.key === `k${k}`);
        assert.deepEqual(mine.map((r) => Number(r.value)), numbers(70).filter((i) => i % 7 === k));
        assert.equal(new Set(mine.map((r) => r.partition)).size, 1);
    }
}

async function headers() {
    await create('headers');
    const twice = [Buffer.from('1'), Buffer.from([0, 255])];
    await publish('headers', [{ value: 'v', headers: { a: twice, b: Buffer.alloc(0) } }]);
    const [got] = await read('headers', 1);
    assert.deepEqual(got.headers, { a: twice, b: Buffer.alloc(0) });
    return 'headers are an object: those of one name are kept together';
}

async function codecs() {
    const names = { none: CompressionTypes.None, gzip: CompressionTypes.GZIP };
    for (const [name, compression] of Object.entries(names)) {
        await create(`codec-${name}`);
        const wanted = numbers(100).map((i) => `value ${i} `.repeat(20));
        await publish(`codec-${name}`, wanted.map((value) => ({ value })), { compression, each: 25 });
        assert.deepEqual((await read(`codec-${name}`, 100)).map((r) => r.value), wanted);
    }
    return Object.keys(names).join(' ');
}

async function idempotence() {
    const client = connect(cutAddress);
    await publish('idempotence', numbers(200).map((i) => ({ value: `${i}`, partition: 0 })),
                  { client, idempotent: true, maxInFlightRequests: 1 });
    assert.deepEqual((await read('idempotence', 200, client)).map((r) => Number(r.value)), numbers(200));
}

async function times() {
    await create('times');
    const first = Date.now() - 60000;
    await publish('times', numbers(10).map((i) => ({ value: `${i}`, timestamp: `${first + i * 1000}` })));
    for (const [at, wanted] of [[0, '0'], [2000, '2'], [2001, '3']]) {
        assert.equal((await admin.fetchTopicOffsetsByTimestamp('times', first + at))[0].offset, wanted);
    }
}

async function pause() {
    await create('pause', 2);
    await publish('pause', numbers(100).map((i) => ({ value: `${i}`, partition: i % 2 })));
    const { made, got } = await consumer('pause');
    const of = (partition) => got.filter((r) => r.partition === partition).map((r) => Number(r.value));
    made.pause([{ topic: 'pause', partitions: [0] }]);
    made.seek({ topic: 'pause', partition: 1, offset: '0' });
    await until('the other partition', () => of(1).length >= 50);
    // What was on its way when the pause came is read again from where it begins.
    got.length = 0;
    made.seek({ topic: 'pause', partition: 1, offset: '0' });
    await until('the other partition again', () => of(1).length >= 50);
    assert.deepEqual(got.map((r) => Number(r.value)), numbers(100).filter((i) => i % 2 === 1));
    made.seek({ topic: 'pause', partition: 0, offset: '0' });
    made.resume([{ topic: 'pause', partitions: [0] }]);
    await until('the resumed partition', () => of(0).length >= 50);
    assert.deepEqual(of(0), numbers(100).filter((i) => i % 2 === 0));
    got.length = 0;
    made.seek({ topic: 'pause', partition: 0, offset: '40' });
    await until('what a seek reads again', () => of(0).length >= 10);
    assert.deepEqual(of(0), [80, 82, 84, 86, 88, 90, 92, 94, 96, 98]);
    await made.disconnect();
}

async function retention() {
    const { resources } = await admin.describeConfigs({ includeSynonyms: false, resources: [
        { type: 2, name: 'admin', configNames: ['retention.ms'] }] });
    return resources[0].configEntries[0].configValue;
}

async function administration() {
    await create('admin', 2, { 'retention.ms': '3600000' });
    assert.equal(await admin.createTopics({ topics: [{ topic: 'admin' }] }), false);
    await until('the configuration', async () => await retention() === '3600000');
    await admin.alterConfigs({ validateOnly: false, resources: [
        { type: 2, name: 'admin', configEntries: [{ name: 'retention.ms', value: '7200000' }] }] });
    await until('the altered configuration', async () => await retention() === '7200000');
    await admin.createPartitions({ topicPartitions: [{ topic: 'admin', count: 5 }] });
    await until('more partitions', async () => await partitions('admin') === 5);
    await publish('admin', numbers(10).map((i) => ({ value: `${i}`, partition: 0 })));
    await admin.deleteTopicRecords({ topic: 'admin', partitions: [{ partition: 0, offset: '4' }] });
    const offsets = (await admin.fetchTopicOffsets('admin')).find((o) => o.partition === 0);
    assert.deepEqual([offsets.low, offsets.high], ['4', '10']);
    const member = await join('administered', 'admin', new Map());
    await until('the member', () => member.owned === 5);
    assert((await admin.listGroups()).groups.some((g) => g.groupId === 'administered'));
    const described = (await admin.describeGroups(['administered'])).groups[0];
    assert.deepEqual([described.state, described.members.length], ['Stable', 1]);
    await member.consumer.disconnect();
    await admin.setOffsets({ groupId: 'administered', topic: 'admin', partitions: [{ partition: 0, offset: '5' }] });
    const [fetched] = await admin.fetchOffsets({ groupId: 'administered', topics: ['admin'] });
    assert.equal(fetched.partitions.find((p) => p.partition === 0).offset, '5');
    await admin.deleteGroups(['administered']);
    assert(!(await admin.listGroups()).groups.some((g) => g.groupId === 'administered'));
    await admin.deleteTopics({ topics: ['admin'] });
    await until('the topic is deleted', async () => !(await admin.listTopics()).includes('admin'));
}

async function compacted() {
    await create('compacted', 1, { 'cleanup.policy': 'compact' });
    for (let n = 0; n < 5; n++) {
        await publish('compacted', numbers(20).map((k) => ({ key: `${k}`, value: `${n}` })), { each: 20 });
    }
    console.log('compacted compacted 50');
    await answers.next();
    const end = Number((await admin.fetchTopicOffsets('compacted'))[0].high);
    const { made, got } = await consumer('compacted');
    await until('the end', () => got.length > 0 && got[got.length - 1].offset === end - 1);
    await made.disconnect();
    assert(got.length <= 50, `${got.length} records`);
    const last = new Map(got.map((r) => [r.key, r.value]));
    last.delete('more');
    assert.deepEqual(new Map([...last].sort()), new Map(numbers(20).map((k) => [`${k}`, '4']).sort()));
}

// A member that commits each record before it takes the next one.
async function join(groupId, topic, consumed) {
    const member = { consumer: kafka.consumer({ groupId, sessionTimeout: 10000, heartbeatInterval: 100, maxWaitTimeInMs: 50,
                                                allowAutoTopicCreation: false }), owned: 0 };
    member.consumer.on('consumer.group_join', ({ payload }) => {
        member.owned = (payload.memberAssignment[topic] || []).length;
    });
    await member.consumer.connect();
    await member.consumer.subscribe({ topic, fromBeginning: true });
    await member.consumer.run({ autoCommit: false, eachMessage: async ({ partition, message }) => {
        const value = message.value.toString();
        consumed.set(value, (consumed.get(value) || 0) + 1);
        await member.consumer.commitOffsets([{ topic, partition, offset: `${Number(message.offset) + 1}` }]);
    } });
    return member;
}

async function sharing() {
    const consumed = new Map();
    let published = 0;
    const more = async () => {
        await publish('groups', numbers(40).map((i) => ({ value: `${published + i}`, partition: i % 4 })));
        published += 40;
        await until('everything has come', () => consumed.size === published);
    };
    const shared = (...members) => until(`${members.length} share`, () => members.every((m) => m.owned > 0) &&
                                         members.reduce((sum, m) => sum + m.owned, 0) === 4);
    await create('groups', 4);
    const one = await join('groups', 'groups', consumed);
    await shared(one);
    await more();
    const two = await join('groups', 'groups', consumed);
    await shared(one, two);
    const three = await join('groups', 'groups', consumed);
    await shared(one, two, three);
    await more();
    await one.consumer.disconnect();
    await shared(two, three);
    await two.consumer.disconnect();
    await shared(three);
    await more();
    await three.consumer.disconnect();
    assert(numbers(published).every((i) => consumed.get(`${i}`) === 1), 'a record came twice');
}

async function main() {
    console.log('version ' + require('kafkajs/package.json').version);
    await admin.connect();
    await scenario('topics', topics);
    await scenario('keys', keys);
    await scenario('headers', headers);
    await scenario('codecs', codecs);
    await scenario('idempotence', idempotence);
    await scenario('time lookup', times);
    await scenario('pause and seek', pause);
    await scenario('admin', administration);
    await scenario('compacted topic', compacted);
    await scenario('groups', sharing);
    console.log('cannot static members: it knows no instance ids');
    await admin.disconnect();
    input.close();
}

main().catch((e) => { console.error(e); process.exit(1); });
