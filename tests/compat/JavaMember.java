// SPDX-License-Identifier: Apache-2.0
// Members of groups by the Java client, for members.py: joins and leaves as it reads
//     join NAME GROUP TOPIC ASSIGNOR [INSTANCE]
//     leave NAME
// and prints, as members go on, each commit done before the next poll:
//     NAME assigned|revoked PARTITION
//     NAME record VALUE
//     NAME refused ERROR         of a commit
//     NAME left, NAME failed WHY at the end
import java.io.*;
import java.time.Duration;
import java.util.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.RebalanceInProgressException;
import org.apache.kafka.common.serialization.StringDeserializer;

public class JavaMember implements ConsumerRebalanceListener, Runnable {
    static final Duration LIMIT = Duration.ofSeconds(30);
    static String address;

    final String name, topic;
    final KafkaConsumer<String, String> consumer;
    final Thread thread = new Thread(this);
    volatile boolean leaving;

    JavaMember(String name, String group, String topic, String assignor, String instance) {
        this.name = name;
        this.topic = topic;
        var p = new Properties();
        p.putAll(Map.of("bootstrap.servers", address, "group.id", group, "enable.auto.commit", "false", "auto.offset.reset",
                "earliest", "session.timeout.ms", "10000", "heartbeat.interval.ms", "100", "fetch.max.wait.ms", "50",
                "max.poll.records", "1", "retry.backoff.ms", "20", "partition.assignment.strategy", assignor));
        if (instance != null) {
            p.put("group.instance.id", instance);
        }
        consumer = new KafkaConsumer<>(p, new StringDeserializer(), new StringDeserializer());
        thread.start();
    }

    void say(String what) {
        System.out.println(name + " " + what);
    }

    public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
        partitions.forEach(p -> say("assigned " + p.partition()));
    }

    public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
        partitions.forEach(p -> say("revoked " + p.partition()));
    }

    public void run() {
        try {
            consumer.subscribe(List.of(topic), this);
            while (!leaving) {
                for (var record : consumer.poll(Duration.ofMillis(20))) {
                    say("record " + record.value());
                    try {
                        consumer.commitSync(LIMIT);
                    } catch (RebalanceInProgressException | CommitFailedException e) {
                        say("refused " + e.getClass().getSimpleName());
                    }
                }
            }
            consumer.close(LIMIT);
            say("left");
        } catch (Throwable e) {
            say("failed " + e);
        }
    }

    public static void main(String[] arguments) throws Exception {
        address = arguments[0];
        Map<String, JavaMember> members = new HashMap<>();
        var in = new BufferedReader(new InputStreamReader(System.in));
        for (String line; (line = in.readLine()) != null;) {
            String[] words = line.split(" ");
            if (words[0].equals("join")) {
                members.put(words[1], new JavaMember(words[1], words[2], words[3], words[4],
                        words.length > 5 ? words[5] : null));
            } else {
                members.remove(words[1]).leaving = true;
            }
        }
        for (var member : members.values()) {
            member.leaving = true;
        }
    }
}
