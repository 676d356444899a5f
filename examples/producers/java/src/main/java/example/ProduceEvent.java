package example;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.generic.GenericRecordBuilder;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.EncoderFactory;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Sends one event to the ingest topic: {@code ProduceEvent RECIPIENT ORDER_ID}.
 *
 * <p>KAFKA_BOOTSTRAP_SERVERS: host:port,… (default 127.0.0.1:9092). SCHEMA_FILE: the released schema. SCHEMA_ID: the id
 * that your schema registry gave it; without a registry that of avro/schemas.lock.json.
 */
public final class ProduceEvent {
  private static final String TOPIC = "notifications.ingest";

  public static void main(String[] arguments) throws Exception {
    if (arguments.length != 2) {
      System.err.println("usage: ProduceEvent RECIPIENT ORDER_ID");
      System.exit(2);
    }
    Schema schema =
        new Schema.Parser()
            .parse(Files.readString(Path.of(setting("SCHEMA_FILE", "avro/released/NotificationRequested/1.avsc"))));
    String recipientId = arguments[0];
    String orderId = arguments[1];
    GenericRecord event =
        new GenericRecordBuilder(schema)
            .set("event_id", UUID.randomUUID().toString())
            .set("event_type", "order.shipped")
            .set("recipient_id", recipientId)
            .set("channels", List.of()) // the event catalogue decides
            .set("priority", null)
            .set("data", "{\"order_id\":\"" + orderId + "\"}") // a JSON object as text
            // What a second run of the same work arrives at again: sent twice, it is one notification.
            .set("idempotency_key", "order-" + orderId + "-shipped")
            .set("created_at", System.currentTimeMillis())
            .set("source", "shop")
            .build();

    // The Java client's own partitioner is murmur2 of the key; acks=all and idempotence are its defaults.
    Map<String, Object> settings =
        Map.of("bootstrap.servers", setting("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9092"), "acks", "all");
    try (var producer = new KafkaProducer<>(settings, new StringSerializer(), new ByteArraySerializer())) {
      byte[] value = encode(Integer.parseInt(setting("SCHEMA_ID", "1")), event);
      RecordMetadata at = producer.send(new ProducerRecord<>(TOPIC, recipientId, value)).get();
      System.out.printf(
          "{\"event_id\":\"%s\",\"partition\":%d,\"offset\":\"%d\"}%n",
          event.get("event_id"), at.partition(), at.offset());
    }
  }

  /** The registry's wire format: a zero byte, the schema's id in four bytes, the Avro body. */
  private static byte[] encode(int schemaId, GenericRecord event) throws IOException {
    var out = new ByteArrayOutputStream();
    out.write(0);
    out.write(ByteBuffer.allocate(4).putInt(schemaId).array());
    BinaryEncoder encoder = EncoderFactory.get().binaryEncoder(out, null);
    new GenericDatumWriter<GenericRecord>(event.getSchema()).write(event, encoder);
    encoder.flush();
    return out.toByteArray();
  }

  private static String setting(String name, String otherwise) {
    return System.getenv().getOrDefault(name, otherwise);
  }
}
