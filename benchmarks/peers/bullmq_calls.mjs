// Calls as BullMQ jobs, whose limiter is the queue's: `node bullmq_calls.mjs work|FILE` with NODE_PATH's node_modules.
// FILE is a JSON list of [label, priority] in the order in which they are to be queued.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const require = createRequire(process.env.BENCH_MODULES + "/");
const { Queue, Worker } = require("bullmq");
const address = new URL(process.env.BENCH_REDIS);
const connection = { host: address.hostname, port: Number(address.port), db: Number(address.pathname.slice(1) || 0),
  maxRetriesPerRequest: null };

async function call(job) {
  await fetch(process.env.BENCH_PROVIDER + "/api/v1/generate", {
    method: "POST",
    headers: { "Content-Type": "application/json", Authorization: "Bearer benchmark" },
    body: JSON.stringify({ customMode: true, instrumental: true, model: "V5_5", title: "Benchmark",
      callBackUrl: "http://127.0.0.1:9/callback?segment=" + job.data.label, style: "instrumental ambient, no vocals" }),
  });
}

if (process.argv[2] === "work") {
  const limiter = { max: 20, duration: Number(process.env.BENCH_WINDOW) * 1000 };
  const worker = new Worker("calls", call, { connection, concurrency: 20, limiter });
  await worker.waitUntilReady();
  process.on("SIGTERM", () => process.exit(0));
  console.log("ready");
} else {
  const queue = new Queue("calls", { connection });
  const jobs = JSON.parse(readFileSync(process.argv[2], "utf-8"));
  await queue.addBulk(jobs.map(([label, priority]) => ({ name: "call", data: { label }, opts: priority ? { priority } : {} })));
  await queue.close();
}
