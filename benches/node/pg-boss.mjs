import { PgBoss } from "pg-boss";

const QUEUE = "bench";

export class System {
  constructor(pool, handle) {
    this.pool = pool;
    this.handle = handle;
  }

  async setUp() {
    await this.prepare();
    await this.boss.createQueue(QUEUE, { notify: true });
  }

  async prepare() {
    if (this.boss) return;
    this.boss = new PgBoss({
      host: process.env.PGHOST,
      port: Number(process.env.PGPORT),
      user: process.env.PGUSER,
      database: process.env.PGDATABASE,
      max: this.pool.options.max,
      useListenNotify: true,
      schedule: false,
    });
    this.boss.on("error", (error) => console.error(error));
    await this.boss.start();
  }

  async enqueue(n) {
    await this.boss.send(QUEUE, { n });
  }

  async enqueueMany(numbers) {
    await this.boss.insert(
      QUEUE,
      numbers.map((n) => ({ data: { n } })),
    );
  }

  async work() {
    await this.prepare();
    const options = {
      batchSize: 1_000,
      localConcurrency: 4,
      pollingIntervalSeconds: 0.5,
      notifyPollingIntervalSeconds: 0.5,
      burstWhenBatchFull: true,
    };
    await this.boss.work(QUEUE, options, async (batch) => {
      await Promise.all(batch.map(({ data }) => this.handle(data.n)));
    });
  }

  async stop() {
    await this.boss.stop({ graceful: true, timeout: 10_000 });
  }
}
