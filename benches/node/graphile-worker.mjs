import { Logger, makeWorkerUtils, run } from "graphile-worker";

const logger = new Logger(() => (level, message) => {
  if (level === "error") console.error(message);
});

export class System {
  constructor(pool, handle) {
    this.pool = pool;
    this.handle = handle;
  }

  async setUp() {
    await this.prepare();
    await this.utils.migrate();
    await this.pool.query(
      "insert into graphile_worker._private_tasks (identifier) values ('bench') on conflict do nothing",
    );
  }

  async prepare() {
    this.utils ??= await makeWorkerUtils({ pgPool: this.pool, logger });
  }

  async enqueue(n) {
    await this.utils.addJob("bench", { n });
  }

  async enqueueMany(numbers) {
    await this.utils.addJobs(numbers.map((n) => ({ identifier: "bench", payload: { n } })));
  }

  async work() {
    this.runner = await run({
      pgPool: this.pool,
      noHandleSignals: true,
      taskList: { bench: ({ n }) => this.handle(n) },
      preset: {
        worker: {
          concurrentJobs: 256,
          localQueue: { size: 2_000, refetchDelay: { durationMs: 5 } },
          completeJobBatchDelay: 5,
          failJobBatchDelay: 5,
        },
      },
      logger,
    });
  }

  async stop() {
    await this.runner.stop();
  }
}
