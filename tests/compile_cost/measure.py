#!/usr/bin/env python3
"""Measures what `#[taskq::task]` costs to compile.

    tests/compile_cost/measure.py [ROUNDS]

For 1, 50 and 200 tasks it makes two crates: one of tasks, and one of the same async fns with a struct
with serde's derives each, and a function each that boxes the future once. It compiles them in turn, so
that a change of the machine's load meets both, and prints the least of the rounds.

What is compared is the cost of each further task, (200 tasks - 1 task) / 199: what all crates pay is not
in it. Processor time stands beside the time that went by, since it depends less on what else runs. It
exits with 1 if the ratio for `check` or `build` is above 1.5, by processor time.
"""

import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
COUNTS = [1, 50, 200]
LIMIT = 1.5

HANDLER = """
{attribute}pub async fn task_{i}(
    tx: &mut PgConnection,
    usr_id: i64,
    locale: Option<String>,
) -> Result<(), sqlx::Error> {{
    sqlx::query("select $1, $2").bind(usr_id).bind(locale).execute(tx).await?;
    Ok(())
}}
"""

PLAIN = """
#[derive(serde::Serialize, serde::Deserialize)]
pub struct Task{i} {{
    pub usr_id: i64,
    pub locale: Option<String>,
}}

pub fn boxed_{i}(
    tx: &mut PgConnection,
    payload: Task{i},
) -> Pin<Box<dyn Future<Output = Result<(), sqlx::Error>> + Send + '_>> {{
    Box::pin(task_{i}(tx, payload.usr_id, payload.locale))
}}
"""


def source(variant, count):
    if variant == "tasks":
        text = "use sqlx::PgConnection;\n"
        return text + "".join(
            HANDLER.format(attribute="#[taskq::task]\n", i=i) for i in range(count)
        )
    text = "use std::pin::Pin;\nuse sqlx::PgConnection;\n"
    return text + "".join(
        HANDLER.format(attribute="", i=i) + PLAIN.format(i=i) for i in range(count)
    )


def make(folder, variant, count):
    crate = folder / f"{variant}_{count}"
    (crate / "src").mkdir(parents=True)
    (crate / "Cargo.toml").write_text(
        f"""[package]
name = "{variant}_{count}"
version = "0.0.0"
edition = "2024"

[dependencies]
serde = {{ version = "1", features = ["derive"] }}
sqlx = {{ version = "0.9", default-features = false, features = ["postgres", "runtime-tokio"] }}
taskq = {{ path = "{ROOT / 'taskq'}" }}
"""
    )
    (crate / "src" / "lib.rs").write_text(source(variant, count))


def cargo(folder, target, *arguments, **more):
    environment = {**os.environ, "CARGO_TARGET_DIR": str(target), "CARGO_INCREMENTAL": "0"}
    environment.update(more.pop("environment", {}))
    return subprocess.run(
        ["cargo", *arguments], cwd=folder, env=environment, check=True, **more
    )


def timed(folder, target, command, name):
    (folder / name / "src" / "lib.rs").touch()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.monotonic()
    cargo(folder, target, command, "-q", "-p", name)
    wall = time.monotonic() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return used, wall


def expanded(folder, target, name):
    """The bytes of the crate with all macros expanded, serde's derives included."""
    printed = cargo(
        folder, target, "rustc", "-q", "-p", name, "--lib", "--",
        "-Zunpretty=expanded", environment={"RUSTC_BOOTSTRAP": "1"}, stdout=subprocess.PIPE,
    )
    return len(printed.stdout)


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target" / "compile_cost"))
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        names = {(v, n): f"{v}_{n}" for n in COUNTS for v in ("tasks", "plain")}
        for variant, count in names:
            make(folder, variant, count)
        (folder / "Cargo.toml").write_text(
            '[workspace]\nresolver = "3"\nmembers = ["*_*"]\n'
        )
        (folder / "Cargo.lock").write_text((ROOT / "Cargo.lock").read_text())
        is_within = True
        for command in ("check", "build"):
            for name in names.values():
                cargo(folder, target, command, "-q", "-p", name)
            best = {key: (float("inf"), float("inf")) for key in names}
            for _ in range(rounds):
                for key, name in names.items():
                    now = timed(folder, target, command, name)
                    best[key] = tuple(map(min, best[key], now))
            print(f"cargo {command}: seconds of processor time (of time that went by)")
            for count in COUNTS:
                tasks, plain = best["tasks", count], best["plain", count]
                print(
                    f"  {count:3} tasks: {tasks[0]:6.2f} ({tasks[1]:6.2f})"
                    f"   plain: {plain[0]:6.2f} ({plain[1]:6.2f})"
                )
            ratios = []
            for at, what in ((0, "processor time"), (1, "time that went by")):
                each = {
                    variant: (best[variant, 200][at] - best[variant, 1][at]) / 199 * 1000
                    for variant in ("tasks", "plain")
                }
                ratios.append(each["tasks"] / each["plain"])
                print(
                    f"  each further task: {each['tasks']:.1f} ms, plain {each['plain']:.1f} ms,"
                    f" ratio {ratios[at]:.2f} ({what})"
                )
            is_within &= ratios[0] <= LIMIT
        for count in COUNTS:
            sizes = [expanded(folder, target, names[v, count]) for v in ("tasks", "plain")]
            print(
                f"expansion of {count}: {sizes[0]} bytes, plain {sizes[1]},"
                f" ratio {sizes[0] / sizes[1]:.2f}"
            )
        sys.exit(0 if is_within else 1)


if __name__ == "__main__":
    main()
