// SPDX-License-Identifier: Apache-2.0
// What the Java client's Admin, producer and consumer ask of a broker; test_java.py starts it with the address.
import java.time.Duration;
import java.util.*;
import java.util.concurrent.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.*;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.*;
import org.apache.kafka.common.serialization.*;

public class Java {
    static final int RECORDS = 500;

    static void same(Object got, Object wanted, String what) {
        if (!Objects.equals(got, wanted)) {
            throw new AssertionError(what + ": got " + got + ", wanted " + wanted);
        }
        System.out.println("ok: " + what);
    }

    static void refused(Class<?> error, Future<?> future, String what) throws Exception {
        try {
            future.get(20, TimeUnit.SECONDS);
            throw new AssertionError(what + ": was not refused");
        } catch (ExecutionException e) {
            same(e.getCause().getClass(), error, what);
        }
    }

    static Properties with(String address, String... settings) {
        Properties p = new Properties();
        p.put("bootstrap.servers", address);
        for (int i = 0; i < settings.length; i += 2) {
            p.put(settings[i], settings[i + 1]);
        }
        return p;
    }

    static void admin(Admin admin) throws Exception {
        admin.createTopics(List.of(new NewTopic("t", 3, (short) 1).configs(Map.of("retention.ms", "3600000"))))
                .all().get();
        var made = admin.createTopics(List.of(new NewTopic("u", Optional.of(2), Optional.empty())));
        same(made.numPartitions("u").get(), 2, "createTopics tells the partitions");
        same(made.config("u").get().get("cleanup.policy").value(), "delete", "and the configurations");
        var tried = admin.createTopics(List.of(new NewTopic("v", 3, (short) 1)),
                new CreateTopicsOptions().validateOnly(true));
        same(tried.numPartitions("v").get(), 3, "createTopics with validateOnly");
        refused(TopicExistsException.class, admin.createTopics(List.of(new NewTopic("t", 3, (short) 1))).all(),
                "a topic that exists");
        same(admin.listTopics().names().get(), Set.of("t", "u"), "listTopics");
        var described = admin.describeTopics(List.of("t")).allTopicNames().get().get("t");
        same(described.partitions().size(), 3, "describeTopics");
        var ids = TopicCollection.ofTopicIds(List.of(described.topicId()));
        same(admin.describeTopics(ids).allTopicIds().get().get(described.topicId()).name(), "t",
                "describeTopics by id");
        same(admin.describeCluster().nodes().get().size(), 1, "describeCluster");
        var topic = new ConfigResource(ConfigResource.Type.TOPIC, "t");
        var broker = new ConfigResource(ConfigResource.Type.BROKER, "1");
        admin.incrementalAlterConfigs(Map.of(topic, List.of(new AlterConfigOp(
                new ConfigEntry("retention.ms", "7200000"), AlterConfigOp.OpType.SET)))).all().get();
        var configs = admin.describeConfigs(List.of(topic, broker),
                new DescribeConfigsOptions().includeSynonyms(true)).all().get();
        same(configs.get(topic).get("retention.ms").value(), "7200000", "incrementalAlterConfigs");
        same(configs.get(topic).get("retention.ms").synonyms().size(), 2, "describeConfigs with synonyms");
        same(configs.get(broker).get("node.id").value(), "1", "describeConfigs of the broker");
        admin.createPartitions(Map.of("t", NewPartitions.increaseTo(5))).all().get();
        same(admin.describeTopics(List.of("t")).allTopicNames().get().get("t").partitions().size(), 5,
                "createPartitions");
        same(admin.describeLogDirs(List.of(1)).allDescriptions().get().get(1).size(), 1, "describeLogDirs");
        admin.deleteTopics(ids).all().get();
        admin.deleteTopics(List.of("u")).all().get();
        same(admin.listTopics().names().get(), Set.of(), "deleteTopics by id and by name");
        refused(UnknownTopicOrPartitionException.class, admin.deleteTopics(List.of("u")).all(), "a topic that has gone");
    }

    /** Replicas, leaders, brokers and features of a cluster of one. */
    static void cluster(Admin admin) throws Exception {
        admin.createTopics(List.of(new NewTopic("placed", 2, (short) 1))).all().get();
        var first = new TopicPartition("placed", 0);
        var none = new TopicPartition("placed", 7);
        var elected = admin.electLeaders(ElectionType.PREFERRED, Set.of(first, none)).partitions().get();
        same(elected.get(first).get().getClass(), ElectionNotNeededException.class, "electLeaders that is not needed");
        same(elected.get(none).get().getClass(), UnknownTopicOrPartitionException.class, "of a partition that is not there");
        same(admin.electLeaders(ElectionType.PREFERRED, null).partitions().get(), Map.of(), "electLeaders of all");
        same(admin.electLeaders(ElectionType.UNCLEAN, null).partitions().get(), Map.of(), "uncleanly");
        admin.alterPartitionReassignments(Map.of(first, Optional.of(new NewPartitionReassignment(List.of(1))))).all().get();
        same(admin.listPartitionReassignments().reassignments().get(), Map.of(), "nothing moves");
        same(admin.listPartitionReassignments(Set.of(first)).reassignments().get(), Map.of(), "nor this one");
        refused(InvalidReplicaAssignmentException.class, admin.alterPartitionReassignments(
                Map.of(first, Optional.of(new NewPartitionReassignment(List.of(1, 9))))).all(), "to a broker that is not there");
        refused(NoReassignmentInProgressException.class,
                admin.alterPartitionReassignments(Map.of(first, Optional.empty())).all(), "called off, and nothing moves");
        refused(UnknownTopicOrPartitionException.class, admin.alterPartitionReassignments(
                Map.of(none, Optional.of(new NewPartitionReassignment(List.of(1))))).all(), "a partition that is not there");
        refused(BrokerIdNotRegisteredException.class, admin.unregisterBroker(9).all(), "unregisterBroker");
        short level = 14;
        admin.updateFeatures(Map.of("metadata.version", new FeatureUpdate(level, FeatureUpdate.UpgradeType.UPGRADE)),
                new UpdateFeaturesOptions()).all().get();
        refused(InvalidUpdateVersionException.class, admin.updateFeatures(Map.of("metadata.version",
                new FeatureUpdate((short) (level + 1), FeatureUpdate.UpgradeType.UPGRADE)),
                new UpdateFeaturesOptions()).all(), "updateFeatures beyond what there is");
        admin.deleteTopics(List.of("placed")).all().get();
    }

    static void publish(String address, String topic, String codec) throws Exception {
        try (var producer = new KafkaProducer<>(with(address, "compression.type", codec, "linger.ms", "5"),
                new StringSerializer(), new StringSerializer())) {
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            for (int i = 0; i < RECORDS; i++) {
                sent.add(producer.send(new ProducerRecord<>(topic, 0, "k" + i, "value ".repeat(9) + i)));
            }
            long next = 0;
            for (var future : sent) {
                if (future.get(20, TimeUnit.SECONDS).offset() != next++) {
                    throw new AssertionError(topic + ": offset " + future.get().offset() + " at " + (next - 1));
                }
            }
        }
    }

    static void read(String address, String codec, String isolation) {
        try (var consumer = new KafkaConsumer<>(with(address, "isolation.level", isolation),
                new StringDeserializer(), new StringDeserializer())) {
            var partition = new TopicPartition("java-" + codec, 0);
            consumer.assign(List.of(partition));
            consumer.seekToBeginning(List.of(partition));
            int next = 0;
            while (next < RECORDS) {
                for (var record : consumer.poll(Duration.ofSeconds(5))) {
                    if (!record.value().equals("value ".repeat(9) + next) || !record.key().equals("k" + next)) {
                        throw new AssertionError(codec + ": " + record + " where " + next + " was next");
                    }
                    next++;
                }
            }
            same(consumer.endOffsets(List.of(partition)).get(partition), (long) RECORDS,
                    codec + ", " + isolation + ": everything comes back");
            same(consumer.offsetsForTimes(Map.of(partition, 0L)).get(partition).offset(), 0L, codec + ": by time");
        }
    }

    static void offsets(String address, Admin admin) throws Exception {
        var partition = new TopicPartition("java-none", 0);
        Map<OffsetSpec, Long> wanted = new LinkedHashMap<>();
        wanted.put(OffsetSpec.latest(), (long) RECORDS);
        wanted.put(OffsetSpec.earliest(), 0L);
        wanted.put(OffsetSpec.earliestLocal(), 0L);
        wanted.put(OffsetSpec.latestTiered(), -1L);
        wanted.put(OffsetSpec.forTimestamp(5), 0L);
        wanted.put(OffsetSpec.forTimestamp(Long.MAX_VALUE), -1L);
        for (var e : wanted.entrySet()) {
            same(admin.listOffsets(Map.of(partition, e.getKey())).all().get().get(partition).offset(), e.getValue(),
                    "listOffsets " + e.getKey().getClass().getSimpleName());
        }
        same(admin.listOffsets(Map.of(partition, OffsetSpec.maxTimestamp())).all().get().get(partition).timestamp() > 0,
                true, "listOffsets MaxTimestampSpec");
        admin.createTopics(List.of(new NewTopic("cut", 1, (short) 1))).all().get();
        publish(address, "cut", "none");
        partition = new TopicPartition("cut", 0);
        var deleted = admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(3)));
        same(deleted.lowWatermarks().get(partition).get().lowWatermark(), 3L, "deleteRecords");
        same(admin.listOffsets(Map.of(partition, OffsetSpec.earliest())).all().get().get(partition).offset(), 3L,
                "the log begins there");
    }

    public static void main(String[] arguments) throws Exception {
        String address = arguments[0];
        try (Admin admin = Admin.create(with(address))) {
            admin(admin);
            cluster(admin);
            for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
                admin.createTopics(List.of(new NewTopic("java-" + codec, 1, (short) 1))).all().get();
                publish(address, "java-" + codec, codec);
                read(address, codec, "read_uncommitted");
            }
            read(address, "none", "read_committed");
            offsets(address, admin);
        }
    }
}
