// SPDX-License-Identifier: Apache-2.0
// Publishes with kafkajs: node kafkajs.js HOST:PORT
// kafkajs has no consumer without a group (PROTOCOL 9, trap 13), so others read what it wrote.
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
    await producer.disconnect();
    await admin.disconnect();
    console.log('published');
}

main().catch((e) => { console.error(e); process.exit(1); });
