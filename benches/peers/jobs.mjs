// Runs one of the job queues on PostgreSQL: `fill` adds jobs, `work` handles them until it is killed. Each job writes one row, as the
// handlers of the bench do. Neither has that row in the transaction in which a job is done: they do it at least once.
// node jobs.mjs fill|work PEER DATABASE_URL HANDLERS JOBS
import { Logger, makeWorkerUtils, run } from "graphile-worker";
import pg from "pg";
import PgBoss from "pg-boss";

const [command, peer, connectionString, handlers, jobs] = process.argv.slice(2);
const effect = "INSERT INTO effects (number) VALUES ($1)";

if (peer === "graphile-worker") {
  if (command === "fill") {
    const utils = await makeWorkerUtils({ connectionString });
    await utils.migrate();
    const add = "SELECT graphile_worker.add_job('effect', json_build_object('number', n)) FROM generate_series(1, $1) n";
    await utils.withPgClient((client) => client.query(add, [Number(jobs)]));
    await utils.release();
  } else {
    const concurrency = Number(handlers);
    await run({
      connectionString,
      concurrency,
      maxPoolSize: concurrency + 2,
      noHandleSignals: true,
      logger: new Logger(() => () => {}),
      taskList: { effect: ({ number }, { query }) => query(effect, [number]) },
    });
  }
} else {
  const boss = new PgBoss({ connectionString, supervise: false, max: Number(handlers) + 2 });
  boss.on("error", (error) => { throw error; });
  await boss.start();
  await boss.createQueue("effect");
  if (command === "fill") {
    await boss.insert(Array.from({ length: Number(jobs) }, (_, number) => ({ name: "effect", data: { number } })));
    await boss.stop({ graceful: false });
  } else {
    const pool = new pg.Pool({ connectionString, max: Number(handlers) });
    // It polls for a batch at a time and rests between polls, half a second at least: with large batches it rests the least.
    await boss.work("effect", { batchSize: 1000, pollingIntervalSeconds: 0.5 }, (batch) =>
      Promise.all(batch.map(({ data }) => pool.query(effect, [data.number]))));
  }
}
