#!/usr/bin/env python3
"""Fails if modules of a crate need each other in a circle.

    .ci/circles.py taskq/src/lib.rs taskq-macros/src/lib.rs

An arrow leads from the file that names a thing to the file that defines it, whichever `pub use` is
between them. So a `mod.rs` that only declares and re-exports its children needs none of them, and a
child needs its `mod.rs` only if it names a thing defined there.

The same arrows are then followed between rooms: the folders and files beside `lib.rs`, each as a
whole.

Tests, comments and strings do not count. The script does not see methods, only the names of their
types, nor what macros of other crates make. A glob would hide names, so it is refused.
"""

import os
import re
import sys
from collections import defaultdict, namedtuple

TOKEN = re.compile(
    r"""
    (?P<skip>     \s+ | //[^\n]* )
  | (?P<comment>  /\* )
  | (?P<raw>      (?:br|cr|r)(?P<hashes>\#*)" )
  | (?P<string>   [bc]?"(?:[^"\\]|\\.)*" )
  | (?P<char>     b?'(?:[^'\\\n]|\\(?:[^u\n]|u\{[^}]*\}|x..))' )
  | (?P<lifetime> '\w+ )
  | (?P<word>     (?:r\#)?\w+ )
  | (?P<mark>     :: | -> | => | . )
    """,
    re.VERBOSE | re.DOTALL,
)
OPEN, CLOSE = {"(", "[", "{"}, {")", "]", "}"}
# The words before the name of an item.
MODIFIERS = {"async", "unsafe", "default", "extern", "auto", "mut"}
DEFINING = {"fn", "struct", "enum", "union", "trait", "type", "const", "static", "macro_rules"}
# These end at a semicolon, whatever braces they have.
LONG = {"const", "static", "type", "use"}

Import = namedtuple("Import", "path public")
Item = namedtuple("Item", "file name")


class Mistake(Exception):
    pass


class Module:
    """A module's names, and the words of its items."""

    def __init__(self, file, parent):
        self.file, self.parent = file, parent
        # An item has the file that defines it: a macro's is not its module's.
        self.modules, self.imports, self.items = {}, defaultdict(list), {}
        self.words = []

    def root(self):
        return self.parent.root() if self.parent else self

    def all(self):
        yield self
        for module in self.modules.values():
            yield from module.all()


def tokens(text, file):
    """Returns the words and marks of a file, without comments; a string becomes `""`."""
    found, at = [], 0
    while at < len(text):
        match = TOKEN.match(text, at)
        at = match.end()
        if match["comment"]:
            depth = 1
            while depth:
                edge = re.compile(r"/\*|\*/").search(text, at)
                if not edge:
                    raise Mistake(f"{file}: a comment has no end")
                depth += 1 if edge[0] == "/*" else -1
                at = edge.end()
        elif match["raw"]:
            at = text.index('"' + match["hashes"], at) + 1 + len(match["hashes"])
            found.append('""')
        elif match["string"]:
            # The path of a module is read from it.
            found.append(match["string"])
        elif match["word"]:
            found.append(match["word"].removeprefix("r#"))
        elif match["mark"]:
            found.append(match["mark"])
    return found


def group_end(words, start):
    """Returns where the bracket at `start` has been closed."""
    depth = 0
    for at in range(start, len(words)):
        depth += (words[at] in OPEN) - (words[at] in CLOSE)
        if depth == 0:
            return at + 1
    raise Mistake("a bracket is not closed")


def item_end(words, at):
    """Returns where the item ends whose keyword, or first word, is at `at`."""
    to_semicolon = words[at] in LONG and words[at + 1] not in {"fn", "unsafe", "async", "extern"}
    while at < len(words):
        if words[at] == ";":
            return at + 1
        if words[at] in CLOSE:
            return at
        if words[at] in OPEN:
            brace = words[at] == "{"
            at = group_end(words, at)
            if brace and not to_semicolon:
                return at
        else:
            at += 1
    return at


def without_tests(words):
    """Returns the words without items under `#[cfg(test)]` or `#[cfg(all(test, …))]`."""
    kept, at = [], 0
    while at < len(words):
        test = words[at : at + 5] == ["#", "[", "cfg", "(", "test"]
        all_test = words[at : at + 7] == ["#", "[", "cfg", "(", "all", "(", "test"]
        if not test and not all_test:
            kept.append(words[at])
            at += 1
            continue
        while words[at] == "#":
            at = group_end(words, at + 1)
        while words[at] == "pub" or words[at] in MODIFIERS:
            at += 1
            if words[at] == "(":
                at = group_end(words, at)
        at = item_end(words, at)
    return kept


def use_tree(words, at, before=()):
    """Yields what a `use` names, as (name, path); the last thing yielded is where the tree ends."""
    path = list(before)
    while True:
        word = words[at]
        if word == "{":
            at += 1
            while words[at] != "}":
                for found in use_tree(words, at, path):
                    if isinstance(found, int):
                        at = found
                    else:
                        yield found
                at += words[at] == ","
            yield at + 1
            return
        if word != "::":
            path.append(word)
        elif not path:
            path.append("::")
        at += 1
        if words[at] == "as":
            name, at = words[at + 1], at + 2
            break
        if words[at] != "::" and word != "::":
            name = path[-2] if path[-1] == "self" and len(path) > 1 else path[-1]
            break
    if path[-1] == "self" and len(path) > 1:
        path.pop()
    yield name, tuple(path)
    yield at


def add_imports(module, words, at, public):
    """Reads the `use` whose keyword is at `at`, and returns where it ends."""
    for found in use_tree(words, at + 1):
        if isinstance(found, int):
            return found
        name, path = found
        if name == "*":
            if path[0] in {"crate", "self", "super"} or path[0] in module.modules:
                raise Mistake(f"{module.file}: `use {'::'.join(path)}` does not say what it uses")
            continue
        module.imports[name].append(Import(path, public))


def read(file, parent=None):
    """Reads a file and the files of its modules."""
    module = Module(file, parent)
    with open(file, encoding="utf-8") as opened:
        words = without_tests(tokens(opened.read(), file))
    folder, name = os.path.split(file)
    if parent and name != "mod.rs":
        folder = os.path.join(folder, name.removesuffix(".rs"))
    read_items(module, words, folder)
    return module


def read_items(module, words, folder):
    at = 0
    while at < len(words):
        path, exported, public = None, False, False
        while words[at] == "#":
            hash_at = at
            at += 1 + (words[at + 1] == "!")
            at = group_end(words, at)
            if words[hash_at + 2 : hash_at + 4] == ["path", "="]:
                path = words[hash_at + 4].strip('"')
            exported |= words[hash_at + 2] == "macro_export"
            if at == len(words):
                return
        if words[at] == "pub":
            public = True
            at += 1
            if words[at] == "(":
                at = group_end(words, at)
        while words[at] in MODIFIERS or words[at].startswith('"'):
            at += 1
        keyword = words[at]
        if keyword == "const" and words[at + 1] in {"fn", "unsafe", "async", "extern"}:
            at += 1
            continue
        if keyword == "mod":
            name = words[at + 1]
            if words[at + 2] == "{":
                end = group_end(words, at + 2)
                inner = Module(module.file, module)
                module.modules[name] = inner
                read_items(inner, words[at + 3 : end - 1], os.path.join(folder, name))
            else:
                end = at + 3
                module.modules[name] = read(file_of(module, folder, name, path), module)
        elif keyword == "use":
            end = add_imports(module, words, at, public) + 1
        else:
            if keyword in DEFINING:
                name_at = at + 1 + (keyword == "macro_rules")
                name_at += words[name_at] == "mut"
                home = module.root() if exported else module
                home.items[words[name_at]] = module.file
            end = item_end(words, at)
            module.words += words[at:end]
            module.words.append(";")
        at = end


def file_of(module, folder, name, path):
    if path:
        return os.path.normpath(os.path.join(os.path.dirname(module.file), path))
    ways = [os.path.join(folder, f"{name}.rs"), os.path.join(folder, name, "mod.rs")]
    for way in ways:
        if os.path.exists(way):
            return way
    raise Mistake(f"{module.file}: no file for `mod {name}`: {' or '.join(ways)}")


def resolve(module, path, inside=False, entered=False, seen=()):
    """Returns the module or item that a path means, or nothing if it is of another crate.

    A module and a function may have one name. `inside` says that more of the path follows: then it
    is the module. `entered` says that the module was named before: then the path is not of another
    crate.
    """
    first, rest = path[0], path[1:]
    if first in {"crate", "self", "super"}:
        base = {"crate": module.root(), "self": module, "super": module.parent}[first]
        return resolve(base, rest, inside, True, seen) if rest else base
    if (id(module), path) in seen:
        return None
    seen += ((id(module), path),)
    inside_first = inside or bool(rest)
    found = [module.modules.get(first)]
    if first in module.items:
        found.append(Item(module.items[first], first))
    for way in module.imports.get(first, ()):
        found.append(resolve(module, way.path, inside_first, False, seen))
    found = [it for it in found if it]
    found.sort(key=lambda it: isinstance(it, Module) != inside_first)
    if not found:
        # A macro of the module may have made it.
        made = entered and first not in module.imports
        return Item(module.file, first) if made else None
    if rest and isinstance(found[0], Module):
        return resolve(found[0], rest, inside, True, seen)
    # What follows an item is of that item: a variant, a function of a type.
    return found[0]


def named(module):
    """Yields the paths that a module names."""
    words, at = module.words, 0
    used = set()
    while at < len(words):
        word, before = words[at], words[at - 1] if at else ""
        if word == "use" and re.fullmatch(r"\w+", words[at + 1]):
            # Inside of a function.
            at = add_imports(module, words, at, False)
            continue
        at += 1
        if not re.match(r"[A-Za-z_]", word) or before in {".", "::", "#"}:
            continue
        path = [word]
        while words[at] == "::" and re.match(r"[A-Za-z_]", words[at + 1]):
            path.append(words[at + 1])
            at += 2
        used.add(tuple(path))
    yield from used
    # A trait may be used by its methods alone. What is handed on need not be used here.
    for ways in module.imports.values():
        yield from (way.path for way in ways if not way.public)


def arrows(root_file):
    """Returns which names of which file each file uses."""
    root = read(root_file)
    found = defaultdict(lambda: defaultdict(set))
    for module in root.all():
        for path in named(module):
            if path[0] == "crate" and len(path) == 1:
                continue
            target = resolve(module, path)
            if isinstance(target, Item) and target.file != module.file:
                found[module.file][target.file].add(target.name)
    return found


def between_rooms(files, source):
    """Returns the same arrows between the rooms of a crate."""

    def room(file):
        first = os.path.relpath(file, source).split(os.sep)[0]
        return os.path.join(source, first.removesuffix(".rs"))

    found = defaultdict(lambda: defaultdict(set))
    for file, targets in files.items():
        for target, names in targets.items():
            here, there = room(file), room(target)
            if here != there:
                found[here][there] |= names
    return found


def circles(graph):
    """Returns for each arrow that lies on a circle the shortest one, each circle once."""
    found = {}
    for start in sorted(graph):
        for first in sorted(graph[start]):
            way = shortest(graph, first, start)
            if way:
                circle = [start, *way[:-1]]
                least = circle.index(min(circle))
                circle = circle[least:] + circle[:least]
                found[tuple(circle)] = circle
    return sorted(found.values(), key=lambda circle: (len(circle), circle))


def shortest(graph, start, goal):
    ways, known = [[start]], {start}
    for way in ways:
        if way[-1] == goal:
            return way
        for target in sorted(graph.get(way[-1], ())):
            if target not in known:
                known.add(target)
                ways.append([*way, target])
    return None


def report(what, graph, found):
    for circle in found:
        print(f"a circle of {what}:")
        for here, there in zip(circle, circle[1:] + circle[:1]):
            print(f"  {here} -> {there}: {', '.join(sorted(graph[here][there]))}")
    return len(found)


def check(root_file):
    """Prints the circles of a crate, and returns how many there are."""
    files = arrows(root_file)
    count = report("files", files, circles(files))
    rooms = between_rooms(files, os.path.dirname(root_file))
    # A circle of files alone has been reported.
    found = [circle for circle in circles(rooms) if any(map(os.path.isdir, circle))]
    count += report("rooms", rooms, found)
    print(f"{root_file}: {sum(map(len, files.values()))} arrows between files, {count} circles")
    return count


def main(root_files):
    if sum([check(root_file) for root_file in root_files]):
        print("Move what both sides need to a file below both.")
        return 1
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Mistake as mistake:
        sys.exit(f"error: {mistake}")
