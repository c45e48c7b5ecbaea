#!/usr/bin/env python3
"""Says where the instructions of a task go, by two profiles of callgrind.

    cargo run --release -p taskq-costs -- --only worker --profiles FOLDER
    tests/costs/where.py FOLDER/callgrind.drain.{4000,20000} [--by crate|function|inclusive|callers|callees] [--of NAME] [--top N]

Each figure is the difference of the two, by the number of tasks between them: what a process does once is not in it.
`function` counts what a function does by itself, `inclusive` with all that it calls, and `callers` and `callees` say who
calls those whose names contain NAME, and whom these call. `crate` needs the lines of the code, and counts what was inlined
where it was written: build with CARGO_PROFILE_RELEASE_DEBUG=line-tables-only.
"""

import argparse
import collections
import re

SOURCE = re.compile(r"^(fl|fi|fe|fn|cfn|cfi|cfl|ob|cob)=(?:\((\d+)\))?(?: ?(.*))$")
COST = re.compile(r"^[+\-*]?\d* (\d+)$")
CRATES = [
    (r"registry/src/[^/]+/(.+?)-\d[^/]*/", None),
    (r"/rustc/[0-9a-f]+/library/([^/]+)/", None),
    (r"/rust/deps/(.+?)-\d[^/]*/", None),
    (r"taskq/src/", "taskq"),
    (r"malloc", "malloc"),
    (r"multiarch/", "memcpy and the like"),
]


class Profile:
    """What one file of callgrind counts, by function: itself, with its callees, and for each call."""

    def __init__(self, path):
        self.itself = collections.Counter()
        self.inclusive = collections.Counter()
        self.calls = collections.Counter()
        self.counts = collections.Counter()
        self.crates = collections.Counter()
        names = {}
        function = file = callee = count = None
        with open(path, errors="replace") as lines:
            for line in lines:
                line = line.rstrip("\n")
                if found := SOURCE.match(line):
                    key, number, name = found.groups()
                    # A name stands where its number is first used.
                    kind = key if key in ("ob", "cob") else "fn" if "fn" in key else "file"
                    if number and name:
                        names[kind, number] = name
                    name = name or names.get((kind, number), "?")
                    if key == "fn":
                        function = name
                    elif key == "cfn":
                        callee = name
                    elif key in ("fl", "fi", "fe"):
                        file = name
                elif line.startswith("calls="):
                    count = int(line.split()[0].removeprefix("calls="))
                elif found := COST.match(line):
                    cost = int(found.group(1))
                    self.inclusive[function] += cost
                    if count is None:
                        self.itself[function] += cost
                        self.crates[crate_of(file)] += cost
                    else:
                        self.calls[function, callee] += cost
                        self.counts[function, callee] += count
                        count = None


def crate_of(file):
    for pattern, name in CRATES:
        if found := re.search(pattern, file):
            return name or found.group(1)
    return file


def main():
    arguments = argparse.ArgumentParser(usage=__doc__)
    arguments.add_argument("few")
    arguments.add_argument("many")
    arguments.add_argument("--by", default="inclusive")
    arguments.add_argument("--of", default="")
    arguments.add_argument("--top", type=int, default=40)
    given = arguments.parse_args()
    few, many = (int(path.rsplit(".", 1)[1]) for path in (given.few, given.many))
    before, after = Profile(given.few), Profile(given.many)

    def of_one(counter):
        one = {name: (cost - counter(before)[name]) / (many - few) for name, cost in counter(after).items()}
        return sorted(one.items(), key=lambda it: -it[1])

    print(f"{sum(cost for _, cost in of_one(lambda it: it.itself)):10.0f}  all")
    if given.by in ("callers", "callees"):
        counts = dict(of_one(lambda it: it.counts))
        at = 1 if given.by == "callers" else 0
        calls = [(pair, cost) for pair, cost in of_one(lambda it: it.calls) if given.of in pair[at]]
        for (caller, callee), cost in calls[: given.top]:
            print(f"{cost:10.0f}  {counts[caller, callee]:8.3f} calls  {caller} -> {callee}")
        return
    counters = {"crate": "crates", "function": "itself", "inclusive": "inclusive"}
    figures = of_one(lambda it: getattr(it, counters[given.by]))
    for name, cost in [it for it in figures if given.of in it[0]][: given.top]:
        print(f"{cost:10.0f}  {name}")


if __name__ == "__main__":
    main()
