// SPDX-License-Identifier: Apache-2.0
// The Java client goes through the scenarios of scenarios.py, which drives it: java Scenarios.java ADDRESS CUT_ADDRESS.
// Its groups are JavaMember's. It compiles against kafka-clients 3.x and 4.x.
import java.time.Duration;
import java.util.*;
import java.util.concurrent.*;
import java.util.stream.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.*;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.*;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.kafka.common.serialization.*;
import org.apache.kafka.common.utils.AppInfoParser;

public class Scenarios {
    static final Duration LIMIT = Duration.ofSeconds(30);
    static String address;
    static Admin admin;

    interface Scenario {
        String run() throws Exception;
    }

    static void scenario(String name, Scenario scenario) throws Exception {
        System.out.println("begin " + name);
        System.out.println("end " + name + ": " + scenario.run());
    }

    static void same(Object got, Object wanted, String what) {
        if (!Objects.equals(got, wanted)) {
            throw new AssertionError(what + ": got " + got + ", wanted " + wanted);
        }
    }

    // Until it is so: a node knows a little later than the controller what has been decided, and refuses till then.
    static void until(String what, Object wanted, Callable<Object> question) throws Exception {
        Object got = null;
        for (long deadline = System.nanoTime() + LIMIT.toNanos(); System.nanoTime() < deadline; Thread.sleep(5)) {
            try {
                got = question.call();
            } catch (ExecutionException e) {
                got = e.getCause();
            }
            if (Objects.equals(got, wanted)) {
                return;
            }
        }
        same(got, wanted, what);
    }

    static int partitions(String topic) throws Exception {
        return admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic).partitions().size();
    }

    static void create(String topic, int partitions, Map<String, String> configs) throws Exception {
        admin.createTopics(List.of(new NewTopic(topic, Optional.of(partitions), Optional.empty()).configs(configs))).all().get();
    }

    static Properties with(String address, String... settings) {
        var p = new Properties();
        p.putAll(Map.of("bootstrap.servers", address, "reconnect.backoff.max.ms", "100", "retry.backoff.ms", "20"));
        for (int i = 0; i < settings.length; i += 2) {
            p.put(settings[i], settings[i + 1]);
        }
        return p;
    }

    static ProducerRecord<String, String> record(String topic, Integer partition, String key, Object value) {
        return new ProducerRecord<>(topic, partition, key, value.toString());
    }

    // Ten at a time, so that there are batches, unless there is a linger.
    static void publish(String address, Stream<ProducerRecord<String, String>> records, String... settings)
            throws Exception {
        boolean lingers = List.of(settings).contains("linger.ms");
        try (var producer = new KafkaProducer<>(with(address, settings), new StringSerializer(), new StringSerializer())) {
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            for (var r : (Iterable<ProducerRecord<String, String>>) records::iterator) {
                sent.add(producer.send(r));
                if (!lingers && sent.size() % 10 == 0) {
                    producer.flush();
                }
            }
            for (var future : sent) {
                future.get(LIMIT.toSeconds(), TimeUnit.SECONDS);
            }
        }
    }

    static KafkaConsumer<String, String> consumer(String address, String topic, int partitions) {
        var consumer = new KafkaConsumer<>(with(address, "enable.auto.commit", "false", "fetch.max.wait.ms", "50"),
                new StringDeserializer(), new StringDeserializer());
        var assigned = IntStream.range(0, partitions).mapToObj(n -> new TopicPartition(topic, n)).toList();
        consumer.assign(assigned);
        consumer.seekToBeginning(assigned);
        return consumer;
    }

    // What comes until these partitions are at their ends.
    static List<ConsumerRecord<String, String>> take(KafkaConsumer<String, String> consumer,
            Collection<TopicPartition> partitions) {
        var ends = consumer.endOffsets(partitions);
        List<ConsumerRecord<String, String>> got = new ArrayList<>();
        long deadline = System.nanoTime() + LIMIT.toNanos();
        while (!partitions.stream().allMatch(p -> consumer.position(p) >= ends.get(p))) {
            if (System.nanoTime() > deadline) {
                throw new AssertionError("only " + got.size() + " records came");
            }
            consumer.poll(Duration.ofMillis(50)).forEach(got::add);
        }
        return got;
    }

    static List<ConsumerRecord<String, String>> read(String address, String topic, int partitions) {
        try (var consumer = consumer(address, topic, partitions)) {
            return take(consumer, consumer.assignment());
        }
    }

    static List<Integer> values(List<ConsumerRecord<String, String>> records) {
        return records.stream().map(r -> Integer.valueOf(r.value())).toList();
    }

    static List<Integer> range(int first, int end, int step) {
        return IntStream.range(first, end).filter(i -> (i - first) % step == 0).boxed().toList();
    }

    static String topics() throws Exception {
        create("topics", 3, Map.of());
        until("partitions", 3, () -> partitions("topics"));
        publish(address, IntStream.range(0, 30).mapToObj(i -> record("topics", i % 3, null, i)));
        for (var r : read(address, "topics", 3)) {
            same(Long.valueOf(r.value()), r.offset() * 3 + r.partition(), "where a record is");
        }
        return "";
    }

    static String keys() throws Exception {
        create("keys", 3, Map.of());
        publish(address, IntStream.range(0, 70).mapToObj(i -> record("keys", null, "k" + i % 7, i)));
        var got = read(address, "keys", 3);
        for (int k = 0; k < 7; k++) {
            String key = "k" + k;
            var mine = got.stream().filter(r -> r.key().equals(key)).toList();
            same(values(mine), range(k, 70, 7), "the records of a key");
            same(mine.stream().map(ConsumerRecord::partition).distinct().count(), 1L, "their partition");
        }
        return "";
    }

    static String headers() throws Exception {
        create("headers", 1, Map.of());
        var headers = new RecordHeaders().add("a", new byte[] {'1'}).add("b", new byte[0]).add("a", new byte[] {0, -1});
        publish(address, Stream.of(new ProducerRecord<>("headers", 0, (String) null, "v", headers)));
        same(read(address, "headers", 1).get(0).headers(), headers, "headers");
        return "";
    }

    static String codecs() throws Exception {
        var names = List.of("none", "gzip", "snappy", "lz4", "zstd");
        for (String name : names) {
            create("codec-" + name, 1, Map.of());
            var wanted = IntStream.range(0, 100).mapToObj(i -> ("value " + i + " ").repeat(20)).toList();
            publish(address, wanted.stream().map(v -> record("codec-" + name, 0, null, v)), "compression.type", name,
                    "linger.ms", "100");
            same(read(address, "codec-" + name, 1).stream().map(ConsumerRecord::value).toList(), wanted, name);
        }
        return String.join(" ", names);
    }

    static String idempotence(String cutAddress) throws Exception {
        publish(cutAddress, IntStream.range(0, 200).mapToObj(i -> record("idempotence", 0, null, i)),
                "enable.idempotence", "true");
        same(values(read(cutAddress, "idempotence", 1)), range(0, 200, 1), "each record once, in order");
        return "";
    }

    static String times() throws Exception {
        create("times", 1, Map.of());
        long first = System.currentTimeMillis() - 60000;
        publish(address, IntStream.range(0, 10).mapToObj(
                i -> new ProducerRecord<>("times", 0, first + i * 1000, (String) null, "" + i)));
        var partition = new TopicPartition("times", 0);
        try (var consumer = consumer(address, "times", 1)) {
            for (long[] pair : new long[][] {{0, 0}, {2000, 2}, {2001, 3}}) {
                same(consumer.offsetsForTimes(Map.of(partition, first + pair[0])).get(partition).offset(), pair[1],
                        "the first record after " + pair[0] + " ms");
            }
            same(consumer.offsetsForTimes(Map.of(partition, first + 9001)).get(partition), null, "behind the last record");
        }
        return "";
    }

    static String pause() throws Exception {
        create("pause", 2, Map.of());
        publish(address, IntStream.range(0, 100).mapToObj(i -> record("pause", i % 2, null, i)));
        var zero = List.of(new TopicPartition("pause", 0));
        var one = List.of(new TopicPartition("pause", 1));
        try (var consumer = consumer(address, "pause", 2)) {
            consumer.pause(zero);
            same(values(take(consumer, one)), range(1, 100, 2), "the paused partition is silent");
            consumer.resume(zero);
            same(values(take(consumer, zero)), range(0, 100, 2), "it goes on");
            consumer.seek(zero.get(0), 40);
            same(values(take(consumer, zero)), range(80, 100, 2), "a seek reads it again");
        }
        return "";
    }

    static void refused(Class<?> error, Future<?> future) throws Exception {
        try {
            future.get();
            throw new AssertionError(error + ": was not refused");
        } catch (ExecutionException e) {
            same(e.getCause().getClass(), error, "the refusal");
        }
    }

    static String retention() throws Exception {
        var topic = new ConfigResource(ConfigResource.Type.TOPIC, "admin");
        return admin.describeConfigs(List.of(topic)).all().get().get(topic).get("retention.ms").value();
    }

    static String administration() throws Exception {
        create("admin", 2, Map.of("retention.ms", "3600000"));
        refused(TopicExistsException.class, admin.createTopics(List.of(new NewTopic("admin", 1, (short) 1))).all());
        until("the configuration", "3600000", Scenarios::retention);
        admin.incrementalAlterConfigs(Map.of(new ConfigResource(ConfigResource.Type.TOPIC, "admin"), List.of(
                new AlterConfigOp(new ConfigEntry("retention.ms", "7200000"), AlterConfigOp.OpType.SET)))).all().get();
        until("the altered configuration", "7200000", Scenarios::retention);
        admin.createPartitions(Map.of("admin", NewPartitions.increaseTo(5))).all().get();
        until("more partitions", 5, () -> partitions("admin"));
        publish(address, IntStream.range(0, 10).mapToObj(i -> record("admin", 0, null, i)));
        var partition = new TopicPartition("admin", 0);
        admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(4))).all().get();
        same(admin.listOffsets(Map.of(partition, OffsetSpec.earliest())).all().get().get(partition).offset(), 4L,
                "the first offset after deleteRecords");
        try (var member = new KafkaConsumer<>(with(address, "group.id", "admin", "auto.offset.reset", "earliest",
                "enable.auto.commit", "false"), new StringDeserializer(), new StringDeserializer())) {
            member.subscribe(List.of("admin"));
            for (int got = 0; got < 6;) {
                got += member.poll(LIMIT).count();
            }
            member.commitSync(LIMIT);
            same(admin.listConsumerGroups().all().get().stream().map(ConsumerGroupListing::groupId).toList(),
                    List.of("admin"), "groups");
            var described = admin.describeConsumerGroups(List.of("admin")).all().get().get("admin");
            same(described.members().iterator().next().assignment().topicPartitions().size(), 5, "what a member has");
        }
        admin.alterConsumerGroupOffsets("admin", Map.of(partition, new OffsetAndMetadata(5))).all().get();
        same(admin.listConsumerGroupOffsets("admin").partitionsToOffsetAndMetadata().get().get(partition).offset(), 5L,
                "the altered offset of a group");
        admin.deleteConsumerGroups(List.of("admin")).all().get();
        refused(GroupIdNotFoundException.class, admin.deleteConsumerGroups(List.of("admin")).all());
        admin.deleteTopics(List.of("admin")).all().get();
        refused(UnknownTopicOrPartitionException.class, admin.deleteTopics(List.of("admin")).all());
        return "";
    }

    static String compacted() throws Exception {
        create("compacted", 1, Map.of("cleanup.policy", "compact"));
        for (int n = 0; n < 5; n++) {
            int round = n;
            publish(address, IntStream.range(0, 20).mapToObj(k -> record("compacted", 0, "" + k, round)));
        }
        System.out.println("compacted compacted 50");
        same(System.in.read(), (int) '\n', "the answer");
        var got = read(address, "compacted", 1);
        same(got.size() <= 50, true, "fewer records");
        Map<String, String> last = new HashMap<>();
        got.forEach(r -> last.put(r.key(), r.value()));
        last.remove("more");
        same(last, IntStream.range(0, 20).boxed().collect(Collectors.toMap(k -> "" + k, k -> "4")), "the last values");
        return "";
    }

    public static void main(String[] arguments) throws Exception {
        address = arguments[0];
        System.out.println("version " + AppInfoParser.getVersion());
        admin = Admin.create(with(address));
        scenario("topics", Scenarios::topics);
        scenario("keys", Scenarios::keys);
        scenario("headers", Scenarios::headers);
        scenario("codecs", Scenarios::codecs);
        scenario("idempotence", () -> idempotence(arguments[1]));
        scenario("time lookup", Scenarios::times);
        scenario("pause and seek", Scenarios::pause);
        scenario("admin", Scenarios::administration);
        scenario("compacted topic", Scenarios::compacted);
        admin.close();
    }
}
