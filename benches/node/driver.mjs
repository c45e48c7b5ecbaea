// Does for the bench what it says, one line of JSON a command: `{"id": 1, "do": "enqueue", "n": 5}`.
// Answers `done ID` or `failed ID WHY`, and says which handlers ran: `ran 5 6 7`.

import { setTimeout as sleep } from "node:timers/promises";
import readline from "node:readline";
import pg from "pg";

const [name, handler, connections] = process.argv.slice(2);
const { System } = await import(`./${name}.mjs`);

const pool = new pg.Pool({ max: Number(connections) });
pool.on("error", (error) => console.error(error));
pool.on("connect", (client) => client.on("error", (error) => console.error(error)));

// Numbers are said together at the end of the turn of the loop in which their handlers ran.
let numbers = [];
function ran(n) {
  if (numbers.length === 0) {
    setImmediate(() => {
      process.stdout.write(`ran ${numbers.join(" ")}\n`);
      numbers = [];
    });
  }
  numbers.push(n);
}

async function handle(n) {
  if (handler === "waits") {
    await sleep(1);
  } else if (handler === "inserts") {
    await pool.query({
      name: "effect",
      text: "insert into effect (n) values ($1)",
      values: [n],
    });
  }
  ran(n);
}

const system = new System(pool, handle);

const commands = {
  setUp: () => system.setUp(),
  prepare: () => system.prepare(),
  enqueue: ({ n }) => system.enqueue(n),
  enqueueMany: ({ first, end }) =>
    system.enqueueMany(Array.from({ length: end - first }, (_, at) => first + at)),
  work: () => system.work(),
  stop: () => system.stop(),
};

for await (const line of readline.createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  // Not awaited: clients share this process, and each waits for its own answer.
  commands[command.do](command).then(
    () => process.stdout.write(`done ${command.id}\n`),
    (error) => process.stdout.write(`failed ${command.id} ${JSON.stringify(String(error))}\n`),
  );
}
// The bench has gone, or is done with this.
process.exit(0);
