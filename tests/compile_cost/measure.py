#!/usr/bin/env python3
"""Measures what `#[taskq::task]` costs to compile.

    tests/compile_cost/measure.py [ROUNDS [COUNTS]]

For 1, 50 and 200 tasks, or the COUNTS given (`1,200`), it makes three crates: one of tasks, and two of
the same async fns with a struct with serde's derives each, and a function each that boxes the future
once. In one of the two the structs are left at that (`derived`): serde's code is generic, and nobody
calls it, so it is checked and not compiled. In the other (`used`) each struct is written to JSON and read
from it once, as a queue by hand would. It compiles them in turn, so that a change of the machine's load
meets all, and prints the least of the rounds.

What is compared is the cost of each further task, (200 tasks - 1 task) / 199: what all crates pay is not
in it. Processor time stands beside the time that went by, since it depends less on what else runs. It
exits with 1 if a task costs more than 1.5 times as much, by processor time: as `derived` for `check`, and as
`used` for `build`, since what is not used is not built.
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


USED = """
pub fn written_{i}(payload: &Task{i}) -> serde_json::Result<serde_json::Value> {{
    serde_json::to_value(payload)
}}

pub fn read_{i}(text: &str) -> serde_json::Result<Task{i}> {{
    serde_json::from_str(text)
}}
"""

BY_HAND = {"derived": PLAIN, "used": PLAIN + USED}
VARIANTS = ["tasks", *BY_HAND]


def source(variant, count):
    if variant == "tasks":
        text, attribute, more = "use sqlx::PgConnection;\n", "#[taskq::task]\n", ""
    else:
        text, attribute, more = "use std::pin::Pin;\nuse sqlx::PgConnection;\n", "", BY_HAND[variant]
    each = HANDLER + more
    return text + "".join(each.format(attribute=attribute, i=i) for i in range(count))


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
serde_json = "1"
sqlx = {{ version = "0.9", default-features = false, features = ["postgres", "runtime-tokio"] }}
taskq = {{ path = "{ROOT / 'taskq'}" }}
"""
    )
    (crate / "src" / "lib.rs").write_text(source(variant, count))


def cargo(folder, target, *arguments, **more):
    # The profile is cargo's own.
    environment = {name: value for name, value in os.environ.items() if "_PROFILE_" not in name}
    environment.update({"CARGO_TARGET_DIR": str(target), "CARGO_INCREMENTAL": "0"})
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
    counts = [int(count) for count in sys.argv[2].split(",")] if len(sys.argv) > 2 else COUNTS
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target" / "compile_cost"))
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        names = {(v, n): f"{v}_{n}" for n in counts for v in VARIANTS}
        for variant, count in names:
            make(folder, variant, count)
        (folder / "Cargo.toml").write_text(
            '[workspace]\nresolver = "3"\nmembers = ["*_*"]\n'
        )
        (folder / "Cargo.lock").write_text((ROOT / "Cargo.lock").read_text())
        is_within = True
        for command, measure in (("check", "derived"), ("build", "used")):
            for name in names.values():
                cargo(folder, target, command, "-q", "-p", name)
            best = {key: (float("inf"), float("inf")) for key in names}
            for _ in range(rounds):
                for key, name in names.items():
                    now = timed(folder, target, command, name)
                    best[key] = tuple(map(min, best[key], now))
            print(f"cargo {command}: seconds of processor time (of time that went by)")
            for count in counts:
                each = (f"{v} {best[v, count][0]:6.2f} ({best[v, count][1]:6.2f})" for v in VARIANTS)
                print(f"  {count:3}: {'   '.join(each)}")
            is_within &= further(best, counts)[measure] <= LIMIT
        for count in counts:
            sizes = [expanded(folder, target, names[v, count]) for v in ("tasks", "derived")]
            print(
                f"expansion of {count}: {sizes[0]} bytes, by hand {sizes[1]},"
                f" ratio {sizes[0] / sizes[1]:.2f}"
            )
        sys.exit(0 if is_within else 1)


def further(best, counts):
    """Prints the cost of each further task, and returns its ratio to each way by hand."""
    least, most = min(counts), max(counts)
    ratios = {}
    # Processor time last: it is what is returned.
    for at, what in ((1, "time that went by"), (0, "processor time")):
        each = {
            v: (best[v, most][at] - best[v, least][at]) / (most - least) * 1000 for v in VARIANTS
        }
        ratios = {v: each["tasks"] / each[v] for v in BY_HAND}
        by_hand = ", ".join(f"{v} {each[v]:.1f} ms (ratio {ratios[v]:.2f})" for v in BY_HAND)
        print(f"  each further task: {each['tasks']:.1f} ms, {by_hand} ({what})")
    return ratios


if __name__ == "__main__":
    main()
