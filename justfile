# `just` lists these. All of them are one command that you may also type.

_list:
    @just --list --unsorted

# Format everything
fmt:
    cargo fmt --all

# Clippy, as strict as CI
lint:
    cargo clippy --workspace --all-targets --all-features -- -D warnings

# Tests: `just test`, `just test -p taskq-tests --test it claim`
test *arguments:
    cargo test {{ arguments }}

# The documentation
doc:
    cargo doc --no-deps --workspace --all-features

# The compiler's answers to mistakes, written anew
snapshots:
    TRYBUILD=overwrite cargo test -p taskq-tests --test ui

# All faults at once
soak seconds="600":
    TASKQ_SOAK_SECONDS={{ seconds }} cargo test -p taskq-tests --test faults -- --nocapture soak

# Benchmarks: `just bench --quick --only drain`
bench *arguments:
    cargo run --release --manifest-path benches/Cargo.toml -- {{ arguments }}

# Circles between modules
circles:
    python3 -B .ci/circles.py taskq/src/lib.rs taskq-macros/src/lib.rs

# Licences, sources and advisories of dependencies
deny:
    .ci/deny

# The tests on Postgres 14 to 18
all-postgres:
    .ci/all-postgres

# Everything that must hold before a change lands
ci:
    .ci/run
