// Fills a topic for examples/kafka: java KafkaFeed.java BROKER TOPIC PARTITIONS FIRST COUNT

import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringSerializer;

class KafkaFeed {
  public static void main(String[] arguments) throws Exception {
    final Map<String, Object> settings =
        Map.of("bootstrap.servers", arguments[0], "linger.ms", "20");
    final String topic = arguments[1];
    try (Admin admin = Admin.create(settings)) {
      if (!admin.listTopics().names().get().contains(topic)) {
        final int partitions = Integer.parseInt(arguments[2]);
        admin.createTopics(List.of(new NewTopic(topic, Optional.of(partitions), Optional.empty())))
            .all()
            .get();
      }
    }
    final long first = Long.parseLong(arguments[3]);
    final long count = Long.parseLong(arguments[4]);
    final StringSerializer text = new StringSerializer();
    try (KafkaProducer<String, String> producer = new KafkaProducer<>(settings, text, text)) {
      for (long id = first; id < first + count; ++id) {
        final String value = "{\"id\": " + id + ", \"page\": \"/page/" + id % 97 + "\"}";
        producer.send(new ProducerRecord<>(topic, Long.toString(id % 1000), value));
      }
    }
  }
}
