// Debezium's embedded engine, which writes each change into the topic that Debezium names:
// java DebeziumFeed.java BROKER PROPERTY=VALUE...
// Ends on SIGTERM, after it has stored how far it came.

import io.debezium.engine.ChangeEvent;
import io.debezium.engine.DebeziumEngine;
import io.debezium.engine.Header;
import io.debezium.engine.format.Json;
import io.debezium.engine.format.KeyValueHeaderChangeEventFormat;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringSerializer;

class DebeziumFeed {
  private static long sent = 0, leftOut = 0, moved = 0, truncated = 0;

  private static void count(ChangeEvent<String, String> change) {
    final String value = change.value() == null ? "" : change.value();
    ++sent;
    if (value.contains("__debezium_unavailable_value")) ++leftOut;
    if (value.contains("op\":\"t\"")) ++truncated;
    for (Header<String> header : change.<String>headers()) {
      if (header.getKey().equals("__debezium.oldkey")) ++moved;
    }
  }

  private static byte[] bytes(String text) {
    return text == null ? null : text.getBytes(java.nio.charset.StandardCharsets.UTF_8);
  }

  private static ProducerRecord<String, String> message(ChangeEvent<String, String> change) {
    final ProducerRecord<String, String> message =
        new ProducerRecord<>(change.destination(), change.key(), change.value());
    for (Header<String> header : change.<String>headers()) {
      message.headers().add(header.getKey(), bytes(header.getValue()));
    }
    return message;
  }

  public static void main(String[] arguments) throws Exception {
    final Properties properties = new Properties();
    for (int i = 1; i < arguments.length; ++i) {
      final int equals = arguments[i].indexOf('=');
      properties.setProperty(arguments[i].substring(0, equals), arguments[i].substring(equals + 1));
    }
    final Map<String, Object> broker =
        Map.of("bootstrap.servers", arguments[0], "linger.ms", "5", "enable.idempotence", "true");
    final StringSerializer text = new StringSerializer();
    final KafkaProducer<String, String> producer = new KafkaProducer<>(broker, text, text);
    final DebeziumEngine<ChangeEvent<String, String>> engine =
        DebeziumEngine.create(
                KeyValueHeaderChangeEventFormat.of(Json.class, Json.class, Json.class))
            .using(properties)
            .using(
                (success, message, error) -> {
                  System.err.println("the engine has ended: " + message);
                  if (error != null) error.printStackTrace();
                })
            .notifying(
                (List<ChangeEvent<String, String>> changes,
                    DebeziumEngine.RecordCommitter<ChangeEvent<String, String>> committer) -> {
                  for (ChangeEvent<String, String> change : changes) {
                    count(change);
                    producer.send(message(change));
                  }
                  producer.flush();
                  for (ChangeEvent<String, String> change : changes) {
                    committer.markProcessed(change);
                  }
                  committer.markBatchFinished();
                })
            .build();
    final Thread main = Thread.currentThread();
    Runtime.getRuntime()
        .addShutdownHook(
            new Thread(
                () -> {
                  try {
                    engine.close();
                    main.join();
                  } catch (Exception error) {
                    error.printStackTrace();
                  }
                }));
    engine.run();
    producer.close();
    System.out.println(
        sent + " changes, " + leftOut + " with values left out, " + moved + " of keys, "
            + truncated + " truncates");
  }
}
