// Runs one of the peers on a queue until it has handled a number of messages. Prints the seconds, the milliseconds of
// processor time, the peak MiB, and 0 for the calls, which it does not count.
// node work.mjs PEER ENDPOINT QUEUE_URL HANDLERS MESSAGES
import { SQSClient } from "@aws-sdk/client-sqs";
import { Consumer } from "sqs-consumer";
import { Squiss } from "squiss-ts";

const [peer, endpoint, queueUrl, handlers, messages] = process.argv.slice(2);
const config = { endpoint, region: "us-east-1", credentials: { accessKeyId: "x", secretAccessKey: "x" } };
const begun = process.hrtime.bigint();
let left = Number(messages);

function handled(count) {
  left -= count;
  if (left === 0) {
    const seconds = Number(process.hrtime.bigint() - begun) / 1e9;
    const cpu = process.cpuUsage();
    const peak = process.resourceUsage().maxRSS / 1024;
    console.log(seconds, (cpu.user + cpu.system) / 1000, peak, 0);
    process.exit(0);
  }
}

if (peer === "sqs-consumer") {
  // One consumer handles one batch at a time, so there is one for every ten handlers.
  for (let index = 0; index < Math.max(1, Math.floor(Number(handlers) / 10)); index++) {
    const consumer = Consumer.create({
      queueUrl,
      sqs: new SQSClient(config),
      batchSize: 10,
      handleMessageBatch: async (batch) => batch,
    });
    consumer.on("message_processed", () => handled(1));
    consumer.on("error", (error) => { throw error; });
    consumer.start();
  }
} else {
  const squiss = new Squiss({
    awsConfig: config,
    queueUrl,
    maxInFlight: Math.max(10, Number(handlers)),
    receiveBatchSize: 10,
    deleteBatchSize: 10,
    deleteWaitMs: 50,
    activePollIntervalMs: 0,
  });
  squiss.on("message", (message) => message.del());
  squiss.on("deleted", () => handled(1));
  squiss.on("error", (error) => { throw error; });
  await squiss.start();
}
