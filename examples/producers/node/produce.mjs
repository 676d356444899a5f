// Sends one event to the ingest topic:  node produce.mjs RECIPIENT ORDER_ID
// KAFKA_BOOTSTRAP_SERVERS   host:port,…       (default 127.0.0.1:9092)
// SCHEMA_FILE, SCHEMA_ID    the released schema, and the id that your schema registry gave it; without a registry the id
//                           of avro/schemas.lock.json
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import avro from "avsc";
import { CompressionTypes, Kafka, Partitioners, logLevel } from "kafkajs";

const TOPIC = "notifications.ingest";
const { KAFKA_BOOTSTRAP_SERVERS = "127.0.0.1:9092", SCHEMA_ID = "1" } = process.env;
const SCHEMA_FILE =
  process.env.SCHEMA_FILE ?? new URL("../../../avro/released/NotificationRequested/1.avsc", import.meta.url);

const type = avro.Type.forSchema(JSON.parse(readFileSync(SCHEMA_FILE, "utf8")), { wrapUnions: false });

// The registry's wire format: a zero byte, the schema's id in four bytes, the Avro body.
function encode(event) {
  const header = Buffer.alloc(5);
  header.writeUInt32BE(Number(SCHEMA_ID), 1);
  return Buffer.concat([header, type.toBuffer(event)]);
}

const [recipientId, orderId] = process.argv.slice(2);
if (!recipientId || !orderId) {
  console.error("usage: node produce.mjs RECIPIENT ORDER_ID");
  process.exit(2);
}

const event = {
  event_id: randomUUID(),
  event_type: "order.shipped",
  recipient_id: recipientId,
  channels: [], // the event catalogue decides
  priority: null,
  data: JSON.stringify({ order_id: orderId }), // a JSON object as text
  // What a second run of the same work arrives at again: sent twice, it is one notification.
  idempotency_key: `order-${orderId}-shipped`,
  created_at: Date.now(), // ms, UTC
  source: "shop",
};

const kafka = new Kafka({ clientId: "shop", brokers: KAFKA_BOOTSTRAP_SERVERS.split(","), logLevel: logLevel.ERROR });
const producer = kafka.producer({
  idempotent: true, // what is sent again after a lost answer is on the topic once
  createPartitioner: Partitioners.DefaultPartitioner, // murmur2 of the key, as every client of these topics
});
await producer.connect();
try {
  const [{ partition, baseOffset }] = await producer.send({
    topic: TOPIC,
    acks: -1, // all in-sync replicas
    compression: CompressionTypes.None,
    messages: [{ key: event.recipient_id, value: encode(event) }],
  });
  console.log(JSON.stringify({ event_id: event.event_id, partition, offset: baseOffset }));
} finally {
  await producer.disconnect();
}
