// SPDX-License-Identifier: Apache-2.0
// The Java client under load: java Load.java BROKERS TOPIC GROUP. What it takes and says is described in load.py. It
// compiles against kafka-clients 3.x and 4.x.
import java.io.*;
import java.time.Duration;
import java.util.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.*;
import org.apache.kafka.common.errors.*;
import org.apache.kafka.common.serialization.*;
import org.apache.kafka.common.utils.AppInfoParser;

public class Load {
    static String brokers, topic, group;
    static volatile boolean over;

    static void say(String line) {
        System.out.println(line);
    }

    static String name(Exception e) {
        return e.getClass().getSimpleName() + " " + e.getMessage();
    }

    static void consume() {
        var consumer = new KafkaConsumer<>(Map.<String, Object>of("bootstrap.servers", brokers, "group.id", group,
                "enable.auto.commit", "false", "auto.offset.reset", "earliest"), new StringDeserializer(),
                new StringDeserializer());
        Map<TopicPartition, OffsetAndMetadata> uncommitted = new HashMap<>();
        consumer.subscribe(List.of(topic), new ConsumerRebalanceListener() {
            public void onPartitionsAssigned(Collection<TopicPartition> given) {
                given.forEach(p -> say("assigned " + p.partition()));
            }

            public void onPartitionsRevoked(Collection<TopicPartition> taken) {
                taken.forEach(p -> say("revoked " + p.partition()));
                uncommitted.keySet().removeAll(taken);
            }
        });
        while (!over) {
            try {
                for (var r : consumer.poll(Duration.ofMillis(50))) {
                    say("record " + r.partition() + " " + r.offset() + " " + r.value());
                    uncommitted.put(new TopicPartition(topic, r.partition()), new OffsetAndMetadata(r.offset() + 1));
                }
            } catch (KafkaException e) {
                say("error " + name(e));
            }
            try {
                if (!uncommitted.isEmpty()) {
                    consumer.commitSync(uncommitted);
                    uncommitted.forEach((p, o) -> say("committed " + p.partition() + " " + o.offset()));
                    uncommitted.clear();
                }
            } catch (CommitFailedException | RetriableException e) {
                say("refused " + name(e)); // what it was is committed with the next record
            } catch (KafkaException e) {
                say("error " + name(e));
            }
        }
        consumer.close();
    }

    public static void main(String[] arguments) throws Exception {
        brokers = arguments[0];
        topic = arguments[1];
        group = arguments[2];
        say("version " + AppInfoParser.getVersion());
        var consumer = new Thread(Load::consume);
        consumer.start();
        var producer = new KafkaProducer<>(Map.<String, Object>of("bootstrap.servers", brokers, "acks", "all",
                "enable.idempotence", "true"), new StringSerializer(), new StringSerializer());
        var lines = new BufferedReader(new InputStreamReader(System.in));
        for (String line; (line = lines.readLine()) != null;) {
            int at = line.indexOf(' ');
            String value = line.substring(at + 1);
            producer.send(new ProducerRecord<>(topic, Integer.valueOf(line.substring(0, at)), (String) null, value),
                    (sent, e) -> say(e == null ? "acked " + value + " " + sent.offset() : "failed " + value + " " + name(e)));
        }
        producer.close();
        over = true;
        consumer.join();
    }
}
