import pg from "pg";

async function signUp(url, email) {
  const db = new pg.Client(url);
  await db.connect();
  try {
    await db.query("begin");
    await db.query("insert into usr (email) values ($1)", [email]);
    const { rows } = await db.query(
      "select task_id, outcome from taskq.enqueue('welcome', $1, $2)",
      [{ email }, { priority: 5 }],
    );
    await db.query("commit");
    return rows[0];
  } finally {
    // Without a commit, this rolls back both.
    await db.end();
  }
}

const { task_id, outcome } = await signUp(...process.argv.slice(2));
console.log(task_id, outcome);
