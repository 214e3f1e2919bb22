/* SPDX-License-Identifier: Apache-2.0 */

/* Writes assignors_golden.h: what the assignors of the Java clients make of some groups.
 *
 *     java -cp kafka-clients.jar:slf4j-api.jar Assignors.java > assignors_golden.h */
import java.nio.ByteBuffer;
import java.util.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor.*;
import org.apache.kafka.common.*;

public class Assignors {
    static String owners(ConsumerPartitionAssignor assignor, Map<String, Integer> topics, Map<String, Subscription> members,
                         List<String> order) {
        List<PartitionInfo> infos = new ArrayList<>();
        Node node = new Node(1, "h", 1);
        for (Map.Entry<String, Integer> t : topics.entrySet())
            for (int p = 0; p < t.getValue(); p++)
                infos.add(new PartitionInfo(t.getKey(), p, node, new Node[] {node}, new Node[] {node}));
        Cluster cluster = new Cluster("c", List.of(node), infos, Set.of(), Set.of());
        Map<String, Assignment> got = assignor.assign(cluster, new GroupSubscription(members)).groupAssignment();
        StringBuilder out = new StringBuilder();
        for (Map.Entry<String, Integer> t : topics.entrySet())
            for (int p = 0; p < t.getValue(); p++) {
                int owner = -1;
                for (int m = 0; m < order.size(); m++)
                    if (got.get(order.get(m)).partitions().contains(new TopicPartition(t.getKey(), p))) owner = m;
                out.append(owner < 0 ? '-' : (char) ('a' + owner));
            }
        return out.toString();
    }

    /* Owners of partitions whose replicas are in racks: a word of letters for each partition of each topic. */
    static String owners(Map<String, String[]> topics, Map<String, Subscription> members, List<String> order) {
        List<PartitionInfo> infos = new ArrayList<>();
        Set<Node> all = new HashSet<>();
        for (Map.Entry<String, String[]> t : topics.entrySet())
            for (int p = 0; p < t.getValue().length; p++) {
                String racks = t.getValue()[p];
                Node[] nodes = new Node[racks.length()];
                for (int i = 0; i < nodes.length; i++)
                    nodes[i] = new Node(racks.charAt(i), "h", 1, racks.charAt(i) == '-' ? null : racks.substring(i, i + 1));
                all.addAll(List.of(nodes));
                infos.add(new PartitionInfo(t.getKey(), p, nodes[0], nodes, nodes));
            }
        Cluster cluster = new Cluster("c", all, infos, Set.of(), Set.of());
        Map<String, Assignment> got = new RangeAssignor().assign(cluster, new GroupSubscription(members)).groupAssignment();
        StringBuilder out = new StringBuilder();
        for (Map.Entry<String, String[]> t : topics.entrySet())
            for (int p = 0; p < t.getValue().length; p++) {
                int owner = -1;
                for (int m = 0; m < order.size(); m++)
                    if (got.get(order.get(m)).partitions().contains(new TopicPartition(t.getKey(), p))) owner = m;
                out.append(owner < 0 ? '-' : (char) ('a' + owner));
            }
        return out.toString();
    }

    /* One group with racks: i decides how much alike its topics and subscriptions are. */
    static void racks(Random r, int i) {
        TreeMap<String, String[]> topics = new TreeMap<>();
        int racks = 1 + r.nextInt(5), alike = 1 + r.nextInt(12);
        for (int t = 1 + r.nextInt(5); t > 0; t--) {
            String[] partitions = new String[r.nextInt(3) > 0 ? alike : 1 + r.nextInt(12)];
            for (int p = 0; p < partitions.length; p++) {
                TreeSet<Character> in = new TreeSet<>();
                for (int n = 1 + r.nextInt(3); n > 0; n--) in.add(r.nextInt(12) == 0 ? '-' : (char) ('A' + r.nextInt(racks)));
                StringBuilder word = new StringBuilder();
                in.forEach(word::append);
                partitions[p] = i % 8 == 7 ? "ABCDE".substring(0, racks) : word.toString();
            }
            topics.put("t" + (char) ('a' + r.nextInt(20)), partitions);
        }
        List<String> names = new ArrayList<>(topics.keySet());
        Map<String, Subscription> members = new HashMap<>();
        List<String> order = new ArrayList<>();
        StringBuilder line = new StringBuilder(), words = new StringBuilder();
        for (int m = 1 + r.nextInt(9); m > 0; m--) {
            String id = "m" + Integer.toString(r.nextInt(100000), 36);
            if (members.containsKey(id)) continue;
            List<String> mine = new ArrayList<>();
            StringBuilder numbers = new StringBuilder();
            for (int t = 0; t < names.size(); t++)
                if (i % 3 > 0 || r.nextInt(3) > 0) { mine.add(names.get(t)); numbers.append(t); }
            String rack = r.nextInt(5) == 0 ? null : "" + (char) ('A' + r.nextInt(racks + 1));
            members.put(id, new Subscription(mine, null, List.of(), -1, Optional.ofNullable(rack)));
            order.add(id);
            line.append(line.length() > 0 ? " " : "").append(id).append(rack != null ? "@" + rack : "").append(":").append(numbers);
        }
        StringBuilder t = new StringBuilder();
        for (Map.Entry<String, String[]> e : topics.entrySet()) {
            t.append(t.length() > 0 ? " " : "").append(e.getKey()).append(":").append(e.getValue().length);
            for (String word : e.getValue()) words.append(words.length() > 0 ? " " : "").append(word);
        }
        String broken = words.toString().replaceAll("(.{80,}?) ", "$1 \"\n     \"");
        System.out.printf("    {\"%s\",\n     \"%s\",\n     \"%s\",\n     \"%s\"},%n", t, broken, line.toString().replaceAll("(.{80,}?) ", "$1 \"\n     \""),
            owners(topics, members, order));
    }

    static String hex(ByteBuffer b) {
        StringBuilder out = new StringBuilder();
        for (int i = b.position(); i < b.limit(); i++)
            out.append(i > b.position() && (i - b.position()) % 40 == 0 ? "\"\n    \"" : "").append(String.format("%02x", b.get(i)));
        return out.toString();
    }

    public static void main(String[] args) throws Exception {
        Random r = new Random(7);
        System.out.println("/* SPDX-License-Identifier: Apache-2.0 */\n");
        System.out.println("/* Made by Assignors.java with kafka-clients 4.x. Topics as name:partitions, members as"
            + " id:topics or\n * id/instance:topics (topics by their number), owners as one letter for each partition:"
            + " the member's\n * place in the list. */");
        System.out.println("#pragma once\n\n/* clang-format off */");
        System.out.println("static const struct {\n    const char *topics, *members, *range, *round_robin;\n} golden[] = {");
        for (int i = 0; i < 48; i++) {
            TreeMap<String, Integer> topics = new TreeMap<>();
            for (int t = 1 + r.nextInt(5); t > 0; t--) topics.put("t" + (char) ('a' + r.nextInt(20)), 1 + r.nextInt(12));
            List<String> names = new ArrayList<>(topics.keySet());
            Map<String, Subscription> members = new HashMap<>();
            List<String> order = new ArrayList<>();
            StringBuilder line = new StringBuilder();
            for (int m = 1 + r.nextInt(9); m > 0; m--) {
                String id = "m" + Integer.toString(r.nextInt(100000), 36);
                if (members.containsKey(id)) continue;
                List<String> mine = new ArrayList<>();
                StringBuilder numbers = new StringBuilder();
                for (int t = 0; t < names.size(); t++)
                    if (i % 3 == 0 || r.nextInt(3) > 0) { mine.add(names.get(t)); numbers.append(t); }
                Subscription s = new Subscription(mine);
                String instance = i % 2 == 1 && r.nextBoolean() ? "i" + Integer.toString(r.nextInt(100000), 36) : null;
                if (instance != null) s.setGroupInstanceId(Optional.of(instance));
                members.put(id, s);
                order.add(id);
                line.append(line.length() > 0 ? " " : "").append(id).append(instance != null ? "/" + instance : "").append(":").append(numbers);
            }
            StringBuilder t = new StringBuilder();
            for (Map.Entry<String, Integer> e : topics.entrySet()) t.append(t.length() > 0 ? " " : "").append(e.getKey()).append(":").append(e.getValue());
            Set<String> used = new HashSet<>();
            for (Subscription s : members.values()) used.addAll(s.topics());
            System.out.printf("    {\"%s\",\n     \"%s\",\n     \"%s\",\n     \"%s\"},%n", t, line,
                owners(new RangeAssignor(), topics, members, order), owners(new RoundRobinAssignor(), topics, members, order));
        }
        System.out.println("};\n");
        System.out.println("/* The same of range with racks: a word of letters for each partition says where its replicas are\n"
            + " * (-: not known), and id@rack:topics where a member is. */");
        System.out.println("static const struct {\n    const char *topics, *racks, *members, *range;\n} golden_racks[] = {");
        Random other = new Random(8);
        for (int i = 0; i < 96; i++) racks(other, i);
        System.out.println("};\n");
        StickyAssignor sticky = new StickyAssignor();
        sticky.onAssignment(new Assignment(List.of(new TopicPartition("orders", 0), new TopicPartition("orders", 3),
            new TopicPartition("payments", 1))), new ConsumerGroupMetadata("g", 42, "m", Optional.empty()));
        System.out.println("/* The user_data of sticky: orders 0 and 3, payments 1, of generation 42. */");
        System.out.println("static const char golden_sticky[] =\n    \"" + hex(sticky.subscriptionUserData(Set.of("orders"))) + "\";\n");
        CooperativeStickyAssignor cooperative = new CooperativeStickyAssignor();
        cooperative.onAssignment(new Assignment(List.of()), new ConsumerGroupMetadata("g", 42, "m", Optional.empty()));
        Subscription s = new Subscription(List.of("orders", "payments"), cooperative.subscriptionUserData(Set.of("orders")),
            List.of(new TopicPartition("orders", 0), new TopicPartition("orders", 3), new TopicPartition("payments", 1)), 42,
            Optional.of("r1"));
        System.out.println("/* A cooperative subscription to both, of generation 42, from rack r1, in version 3. */");
        System.out.println("static const char golden_subscription[] =\n    \""
            + hex(org.apache.kafka.clients.consumer.internals.ConsumerProtocol.serializeSubscription(s)) + "\";\n");
        System.out.println("/* The assignment of those partitions. */\nstatic const char golden_assignment[] =\n    \""
            + hex(org.apache.kafka.clients.consumer.internals.ConsumerProtocol.serializeAssignment(new Assignment(
                List.of(new TopicPartition("orders", 0), new TopicPartition("orders", 3), new TopicPartition("payments", 1))))) + "\";");
        System.out.println("/* clang-format on */");
    }
}
