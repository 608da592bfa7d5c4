// Counts what it is told to and exports after each round, as a service in JavaScript does.
// usage: node counting.mjs PROTOCOL ENDPOINT TEMPORALITY COMPRESSION
import { CompressionAlgorithm } from "@opentelemetry/otlp-exporter-base";
import { OTLPMetricExporter as OverGrpc } from "@opentelemetry/exporter-metrics-otlp-grpc";
import { OTLPMetricExporter as InJson, AggregationTemporalityPreference } from "@opentelemetry/exporter-metrics-otlp-http";
import { OTLPMetricExporter as InProtobuf } from "@opentelemetry/exporter-metrics-otlp-proto";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { AggregationType, MeterProvider, PeriodicExportingMetricReader } from "@opentelemetry/sdk-metrics";

const [protocol, url, temporality, compression] = process.argv.slice(2);
const exporter = new { grpc: OverGrpc, json: InJson, protobuf: InProtobuf }[protocol]({
  url,
  temporalityPreference: AggregationTemporalityPreference[temporality],
  compression: CompressionAlgorithm[compression],
});
const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 3_600_000 });
const provider = new MeterProvider({
  readers: [reader],
  resource: resourceFromAttributes({ "service.name": "mail-sender", "service.version": "2.1" }),
  views: [{ instrumentName: "mail.size", aggregation: { type: AggregationType.EXPONENTIAL_HISTOGRAM } }],
});
const meter = provider.getMeter("mail", "1");
const sent = meter.createCounter("mails_sent");
const took = meter.createHistogram("mail.duration");
const size = meter.createHistogram("mail.size");
for (let round = 0; round < 4; round++) {
  sent.add(10 + round, { region: "eu", code: 250 });
  sent.add(1, { code: 250, region: "us" });
  took.record(0.25);
  took.record(3, { region: "eu" });
  size.record(1000 * round + 1);
  // As in life, not within the millisecond in which it was counted: such a start means that it is not known.
  await new Promise((done) => setTimeout(done, 5));
  await provider.forceFlush();
}
await provider.shutdown();
