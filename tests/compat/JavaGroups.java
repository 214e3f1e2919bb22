// SPDX-License-Identifier: Apache-2.0
// Groups of the Java client, and what its Admin and the group tool of its distribution ask of a broker;
// test_groups_java.py starts it with the address, and kills and starts the broker when it prints "KILL".
import java.io.*;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.*;
import java.util.concurrent.atomic.*;
import java.util.regex.Pattern;
import java.util.stream.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.*;
import org.apache.kafka.common.errors.*;
import org.apache.kafka.common.serialization.*;

public class JavaGroups {
    static final int PARTITIONS = 6;
    static final int LIMIT_S = 30;
    static String address;
    static Admin admin;

    static void same(Object got, Object wanted, String what) {
        if (!Objects.equals(got, wanted)) {
            throw new AssertionError(what + ": got " + got + ", wanted " + wanted);
        }
        System.out.println("ok: " + what);
    }

    static void refused(Class<?> error, Future<?> future, String what) throws Exception {
        try {
            future.get(LIMIT_S, TimeUnit.SECONDS);
            throw new AssertionError(what + ": was not refused");
        } catch (ExecutionException e) {
            same(e.getCause().getClass(), error, what);
        }
    }

    static void until(String what, Condition condition) throws Exception {
        long deadline = System.nanoTime() + LIMIT_S * 1000000000L;
        while (!condition.get()) {
            if (System.nanoTime() > deadline) {
                throw new AssertionError(what + ": not within " + LIMIT_S + " s");
            }
            Thread.sleep(5);
        }
        System.out.println("ok: " + what);
    }

    interface Condition {
        boolean get() throws Exception;
    }

    // What was published and how often it was consumed.
    static class Ledger {
        final String topic;
        final Set<String> published = ConcurrentHashMap.newKeySet();
        final Map<String, Integer> consumed = new ConcurrentHashMap<>();
        final AtomicInteger inDoubt = new AtomicInteger();

        Ledger(String topic) throws Exception {
            this.topic = topic;
            admin.createTopics(List.of(new NewTopic(topic, PARTITIONS, (short) 1))).all().get();
        }

        void publish(int count) throws Exception {
            var settings = new Properties();
            settings.put("bootstrap.servers", address);
            try (var producer = new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer())) {
                List<Future<?>> sent = new ArrayList<>();
                for (int i = 0; i < count * PARTITIONS; i++) {
                    String value = topic + ":" + published.size();
                    sent.add(producer.send(new ProducerRecord<>(topic, i % PARTITIONS, null, value)));
                    published.add(value);
                }
                for (var future : sent) {
                    future.get(LIMIT_S, TimeUnit.SECONDS);
                }
            }
        }

        boolean complete() {
            return consumed.keySet().containsAll(published);
        }

        void check(String what) {
            int again = consumed.values().stream().mapToInt(n -> n - 1).sum();
            if (!complete() || again > inDoubt.get()) {
                throw new AssertionError(what + ": " + again + " came again, " + inDoubt + " may; all: " + complete());
            }
            System.out.println("ok: " + what + ": nothing lost, " + again + " again");
        }
    }

    // Consumes in a thread of its own and commits before it polls again.
    static class Member implements ConsumerRebalanceListener, Runnable {
        final Ledger ledger;
        final KafkaConsumer<String, String> consumer;
        final Set<Integer> owned = ConcurrentHashMap.newKeySet();
        final AtomicInteger revocations = new AtomicInteger();
        volatile boolean leaving;
        volatile Throwable failed;
        final Thread thread = new Thread(this);

        Member(Ledger ledger, String group, String... settings) {
            this.ledger = ledger;
            var p = new Properties();
            p.putAll(Map.of("bootstrap.servers", address, "group.id", group, "enable.auto.commit", "false",
                    "auto.offset.reset", "earliest", "session.timeout.ms", "10000", "heartbeat.interval.ms", "100",
                    "fetch.max.wait.ms", "50", "reconnect.backoff.max.ms", "100", "retry.backoff.ms", "20"));
            for (int i = 0; i < settings.length; i += 2) {
                p.put(settings[i], settings[i + 1]);
            }
            consumer = new KafkaConsumer<>(p, new StringDeserializer(), new StringDeserializer());
            thread.setDaemon(true);
            thread.start();
        }

        public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
            partitions.forEach(p -> owned.add(p.partition()));
        }

        public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
            revocations.incrementAndGet();
            partitions.forEach(p -> owned.remove(p.partition()));
        }

        public void run() {
            try {
                consumer.subscribe(List.of(ledger.topic), this);
                while (!leaving) {
                    var records = consumer.poll(Duration.ofMillis(20));
                    for (var record : records) {
                        ledger.consumed.merge(record.value(), 1, Integer::sum);
                    }
                    try {
                        consumer.commitSync(Duration.ofSeconds(LIMIT_S));
                    } catch (RebalanceInProgressException | CommitFailedException e) {
                        ledger.inDoubt.addAndGet(records.count());
                    }
                }
                consumer.close(Duration.ofSeconds(LIMIT_S));
            } catch (Throwable e) {
                failed = e;
            }
        }

        void leave() throws Exception {
            leaving = true;
            thread.join(LIMIT_S * 1000L);
            if (thread.isAlive() || failed != null) {
                throw new AssertionError("a member does not leave", failed);
            }
        }
    }

    static boolean shared(Member... members) {
        List<Integer> owned = new ArrayList<>();
        for (var m : members) {
            if (m.failed != null) {
                throw new AssertionError("a member failed", m.failed);
            }
            if (m.owned.isEmpty()) {
                return false;
            }
            owned.addAll(m.owned);
        }
        Collections.sort(owned);
        return owned.equals(IntStream.range(0, PARTITIONS).boxed().toList());
    }

    static void killBroker() throws Exception {
        System.out.println("KILL");
        System.out.flush();
        if (System.in.read() != '\n') {
            throw new AssertionError("the broker was not started again");
        }
    }

    static void sharing(String name, String assignor) throws Exception {
        String[] settings = {"partition.assignment.strategy", assignor};
        var ledger = new Ledger("shared-" + name);
        ledger.publish(20);
        var one = new Member(ledger, name, settings);
        until(name + ": the first member has all", () -> shared(one));
        var two = new Member(ledger, name, settings);
        until(name + ": two share", () -> shared(one, two));
        var three = new Member(ledger, name, settings);
        until(name + ": three share", () -> shared(one, two, three));
        ledger.publish(20);
        until(name + ": everything has come", ledger::complete);
        two.leave();
        until(name + ": two share after one has left", () -> shared(one, three));
        ledger.publish(10);
        until(name + ": everything has come", ledger::complete);
        ledger.check(name + ": members come and leave");
        killBroker();
        ledger.publish(10);
        until(name + ": everything has come after a restart", () -> ledger.complete() && shared(one, three));
        ledger.inDoubt.addAndGet(PARTITIONS);
        ledger.check(name + ": the broker was killed");
        one.leave();
        three.leave();
        killBroker();
        var late = new Member(ledger, name, settings);
        until(name + ": a later member has all", () -> shared(late));
        ledger.publish(1);
        until(name + ": what is new comes", ledger::complete);
        ledger.check(name + ": commits survive");
        late.leave();
    }

    static void instances() throws Exception {
        var ledger = new Ledger("static");
        var one = new Member(ledger, "static", "group.instance.id", "one");
        var two = new Member(ledger, "static", "group.instance.id", "two");
        until("two instances share", () -> shared(one, two));
        var owned = Set.copyOf(two.owned);
        int revocations = one.revocations.get();
        two.leave();
        var back = new Member(ledger, "static", "group.instance.id", "two");
        ledger.publish(5);
        until("an instance comes back to its partitions", () -> back.owned.equals(owned) && ledger.complete());
        same(one.revocations.get(), revocations, "and nobody else notices");
        one.leave();
        var leader = new Member(ledger, "static", "group.instance.id", "one");
        ledger.publish(5);
        until("the other one, too", () -> shared(leader, back) && ledger.complete());
        ledger.check("static members");
        var thief = new Member(ledger, "static", "group.instance.id", "two");
        until("the former holder is fenced", () -> back.failed instanceof FencedInstanceIdException);
        until("and the other one goes on", () -> shared(leader, thief));
        admin.removeMembersFromConsumerGroup("static",
                new RemoveMembersFromConsumerGroupOptions(List.of(new MemberToRemove("two")))).all().get();
        until("an instance is removed by its name", () -> thief.revocations.get() > 0);
    }

    static Map<Integer, Long> committed(String group, String topic) throws Exception {
        return admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get().entrySet().stream()
                .filter(e -> e.getKey().topic().equals(topic))
                .collect(Collectors.toMap(e -> e.getKey().partition(), e -> e.getValue().offset()));
    }

    static void administration() throws Exception {
        var ledger = new Ledger("admin");
        ledger.publish(10);
        var member = new Member(ledger, "admin");
        until("a member", () -> shared(member) && ledger.complete());
        Map<Integer, Long> all = IntStream.range(0, PARTITIONS).boxed().collect(Collectors.toMap(p -> p, p -> 10L));
        until("all is committed", () -> committed("admin", "admin").equals(all));
        var listed = admin.listGroups().all().get().stream().filter(g -> g.groupId().equals("admin")).toList();
        same(listed.get(0).type().get(), GroupType.CLASSIC, "listGroups");
        same(listed.get(0).groupState().get(), GroupState.STABLE, "it tells the state");
        same(admin.listConsumerGroups(new ListConsumerGroupsOptions().inGroupStates(Set.of(GroupState.STABLE))).all().get()
                .stream().anyMatch(g -> g.groupId().equals("admin")), true, "listConsumerGroups by state");
        same(admin.listConsumerGroups(new ListConsumerGroupsOptions().withTypes(Set.of(GroupType.CONSUMER))).all().get()
                .size(), 0, "listConsumerGroups by type");
        var described = admin.describeConsumerGroups(List.of("admin"),
                new DescribeConsumerGroupsOptions().includeAuthorizedOperations(true)).all().get().get("admin");
        same(described.groupState(), GroupState.STABLE, "describeConsumerGroups");
        same(described.partitionAssignor(), "range", "it tells the assignor");
        same(described.members().iterator().next().assignment().topicPartitions().size(), PARTITIONS,
                "and what a member has");
        same(described.coordinator().id(), 1, "and the coordinator");
        refused(GroupIdNotFoundException.class, admin.describeConsumerGroups(List.of("nobody")).all(),
                "a group that does not exist");
        var partition = new TopicPartition("admin", 0);
        refused(GroupNotEmptyException.class, admin.deleteConsumerGroups(List.of("admin")).all(),
                "a group with members is not deleted");
        refused(GroupSubscribedToTopicException.class,
                admin.deleteConsumerGroupOffsets("admin", Set.of(partition)).all(), "nor its offsets");
        refused(UnknownMemberIdException.class,
                admin.alterConsumerGroupOffsets("admin", Map.of(partition, new OffsetAndMetadata(1))).all(),
                "nor are they altered");
        member.leave();
        admin.alterConsumerGroupOffsets("admin", Map.of(partition, new OffsetAndMetadata(3, Optional.of(0), "why"))).all()
                .get();
        var altered = admin.listConsumerGroupOffsets("admin").partitionsToOffsetAndMetadata().get().get(partition);
        same(List.of(altered.offset(), altered.metadata(), altered.leaderEpoch().get()), List.of(3L, "why", 0),
                "alterConsumerGroupOffsets");
        admin.deleteConsumerGroupOffsets("admin", Set.of(partition)).all().get();
        same(committed("admin", "admin").keySet(), Set.of(1, 2, 3, 4, 5), "deleteConsumerGroupOffsets");
        same(admin.listConsumerGroupOffsets(Map.of("admin", new ListConsumerGroupOffsetsSpec(), "range",
                new ListConsumerGroupOffsetsSpec())).all().get().size(), 2, "listConsumerGroupOffsets of two groups");
        admin.deleteConsumerGroups(List.of("admin")).all().get();
        refused(GroupIdNotFoundException.class, admin.deleteConsumerGroups(List.of("admin")).all(),
                "deleteConsumerGroups");
        same(committed("admin", "admin"), Map.of(), "what it had committed is gone");
        same(admin.listGroups().all().get().stream().anyMatch(g -> g.groupId().equals("admin")), false,
                "it is listed no more");
    }

    // What the tool prints.
    static String tool(String... arguments) throws Exception {
        var command = new ArrayList<>(List.of("--bootstrap-server", address));
        command.addAll(List.of(arguments));
        var out = System.out;
        var said = new ByteArrayOutputStream();
        System.setOut(new PrintStream(said));
        try {
            Class.forName("org.apache.kafka.tools.consumer.group.ConsumerGroupCommand")
                    .getMethod("main", String[].class).invoke(null, (Object) command.toArray(new String[0]));
        } finally {
            System.setOut(out);
        }
        return said.toString();
    }

    static void says(String got, String wanted, String what) {
        if (!Pattern.compile(wanted, Pattern.MULTILINE).matcher(got).find()) {
            throw new AssertionError(what + ": the tool said\n" + got);
        }
        System.out.println("ok: " + what);
    }

    static void tools() throws Exception {
        var ledger = new Ledger("tool");
        ledger.publish(10);
        var member = new Member(ledger, "tool", "client.id", "worker");
        until("a member", () -> shared(member) && ledger.complete());
        says(tool("--list"), "^tool$", "--list");
        says(tool("--describe", "--group", "tool"), "^tool +tool +0 +10 +10 +0 +consumer-worker|^tool +tool +0 +10 +10 +0 +worker",
                "--describe");
        says(tool("--describe", "--group", "tool", "--state"), "range +Stable +1", "--describe --state");
        says(tool("--describe", "--group", "tool", "--members", "--verbose"), "^tool .*worker.* 6 .*tool", "--describe --members");
        says(tool("--delete", "--group", "tool"), "GroupNotEmptyException", "--delete with members");
        member.leave();
        says(tool("--reset-offsets", "--group", "tool", "--topic", "tool", "--to-offset", "4", "--execute"),
                "^tool +tool +0 +4", "--reset-offsets --execute");
        same(new HashSet<>(committed("tool", "tool").values()), Set.of(4L), "they are reset");
        says(tool("--reset-offsets", "--group", "tool", "--all-topics", "--to-latest", "--dry-run"), "^tool +tool +0 +10",
                "--reset-offsets --dry-run");
        says(tool("--delete-offsets", "--group", "tool", "--topic", "tool:0"), "^tool +0 +Successful", "--delete-offsets");
        says(tool("--delete", "--group", "tool"), "^Deletion of requested consumer groups \\('tool'\\) was successful",
                "--delete");
        same(tool("--list").lines().anyMatch("tool"::equals), false, "it has gone");
    }

    public static void main(String[] arguments) throws Exception {
        address = arguments[0];
        var settings = new Properties();
        settings.put("bootstrap.servers", address);
        admin = Admin.create(settings);
        sharing("range", "org.apache.kafka.clients.consumer.RangeAssignor");
        sharing("cooperative-sticky", "org.apache.kafka.clients.consumer.CooperativeStickyAssignor");
        instances();
        administration();
        tools();
        System.exit(0);
    }
}
