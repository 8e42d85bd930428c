#!/usr/bin/env python3
"""Make a property graph of Debian's packages, as the body of a filter request.

The packages are those that apt knows of (`apt-cache dumpavail`), or those of a
file in the same form. Nodes are packages, their sections and the mail domains of
their maintainers; relationships are what one package says of another. The same
input gives the same bytes.

No names and no addresses of people are kept: of a maintainer only the mail
domain stays, and only where at least five maintainers share it.
"""

import argparse
import collections
import gzip
import hashlib
import io
import json
import re
import subprocess
import sys

# The database's part of the element ids, in the form that Neo4j 5 writes them.
DATABASE = "1d78d5ba-072c-4cfa-96c7-dda7da1c5620"
FIELDS = (
    ("Pre-Depends", "PRE_DEPENDS"),
    ("Depends", "DEPENDS"),
    ("Recommends", "RECOMMENDS"),
    ("Conflicts", "CONFLICTS"),
)
SHARED = 5  # fewer maintainers than this make a domain tell who it is
PRIVATE = "private"
CLAUSE = re.compile(
    r"\s*(?P<name>[a-z0-9][a-z0-9+.-]+)(?::\w+)?\s*(?:\((?P<version>[^)]*)\))?\s*"
)
ADDRESS = re.compile(r"<([^<>@\s]+)@([^<>@\s]+)>")


def stanzas(lines):
    """Yield each paragraph of a Packages file as a dict of its fields."""
    fields, last = {}, None
    for line in lines:
        line = line.rstrip("\n")
        if not line:
            if fields:
                yield fields
            fields, last = {}, None
        elif line[0] in " \t":
            if last:
                fields[last] += "\n" + line.strip()
        else:
            name, colon, value = line.partition(":")
            if not colon:
                raise SystemExit(f"debgraph: not a Packages file: {line[:60]!r}")
            last = name
            fields[name] = value.strip()
    if fields:
        yield fields


def read(source):
    """Return the packages by name, sorted; of several versions the first."""
    packages = {}
    for fields in stanzas(source):
        if "Package" not in fields:
            raise SystemExit("debgraph: a paragraph of the input has no Package field")
        packages.setdefault(fields["Package"], fields)
    if not packages:
        raise SystemExit("debgraph: the input holds no package; run apt-get update first")
    return dict(sorted(packages.items()))


def domains(packages):
    """Return each package's maintainer domain, PRIVATE where few share it."""
    people = collections.defaultdict(set)
    found = {}
    for name, fields in packages.items():
        match = ADDRESS.search(fields.get("Maintainer", ""))
        if match:
            domain = match.group(2).lower()
            found[name] = domain
            people[domain].add(match.group(1).lower())
    return {
        name: domain if len(people[domain]) >= SHARED else PRIVATE
        for name, domain in found.items()
    }


def clauses(text):
    """Yield (name, version condition, number of alternatives) of each clause."""
    for clause in text.split(","):
        choices = clause.split("|")
        for choice in choices:
            match = CLAUSE.fullmatch(choice)
            if match:
                yield match.group("name"), match.group("version"), len(choices)


def choose(packages, count):
    """Return `count` package names that hang together.

    Seeds come in the order of their names' hash, each with the first package that
    it depends on, so that the choice is the same everywhere, hardly a package
    stands alone, and a small graph has about three relationships for each node.
    """
    if count is None or count >= len(packages):
        return list(packages)
    seeds = sorted(packages, key=lambda name: hashlib.sha256(name.encode()).digest())
    chosen = {}
    for seed in seeds:
        needs = [n for field, _ in FIELDS[:2] for n, _, _ in clauses(packages[seed].get(field, ""))]
        for name in [seed] + needs[:1]:
            if name in packages and len(chosen) < count:
                chosen[name] = True
    return sorted(chosen)


class Graph:
    """Nodes and relationships with ids in the order in which they are made."""

    def __init__(self):
        self.nodes, self.relationships, self.ids = [], [], {}

    def node(self, label, key, properties):
        if (label, key) not in self.ids:
            self.ids[label, key] = f"4:{DATABASE}:{len(self.nodes)}"
            self.nodes.append(
                {"elementId": self.ids[label, key], "labels": [label], "properties": properties}
            )
        return label, key

    def relate(self, start, kind, end, properties):
        self.relationships.append(
            {
                "startNodeLabel": start[0],
                "endNodeLabel": end[0],
                "elementId": f"5:{DATABASE}:{len(self.relationships)}",
                "type": kind,
                "startNodeElementId": self.ids[start],
                "endNodeElementId": self.ids[end],
                "properties": properties,
            }
        )


def describe(name, fields, domain):
    """Return a package's properties: texts, numbers, booleans and lists."""
    tags = [t.strip() for t in fields.get("Tag", "").replace("\n", " ").split(",")]
    return {
        "name": name,
        "version": fields.get("Version", ""),
        "section": fields.get("Section", "unknown"),
        "priority": fields.get("Priority", "optional"),
        "architecture": fields.get("Architecture", ""),
        "essential": fields.get("Essential") == "yes",
        "size": int(fields.get("Size", 0)),
        "installedKiB": int(fields.get("Installed-Size", 0)),
        "maintainerDomain": domain,
        "summary": fields.get("Description", "").split("\n")[0],
        "tags": [t for t in tags if t],
    }


def build(packages, count):
    domain_of = domains(packages)
    # Sections and domains are nodes too: leave room for them, so that the
    # whole comes out at the size that was asked for.
    names = choose(packages, None if count is None else max(1, count - count // 20))
    graph = Graph()
    for name in names:
        graph.node("Package", name, describe(name, packages[name], domain_of.get(name, PRIVATE)))
    for name in names:
        fields, here = packages[name], ("Package", name)
        section = graph.node("Section", fields.get("Section", "unknown"), {"name": fields.get("Section", "unknown")})
        graph.relate(here, "IN_SECTION", section, {})
        domain = domain_of.get(name, PRIVATE)
        graph.relate(here, "MAINTAINED_BY", graph.node("Maintainer", domain, {"domain": domain}), {})
        for field, kind in FIELDS:
            seen = set()
            for other, version, choices in clauses(fields.get(field, "")):
                if ("Package", other) not in graph.ids or other in seen or other == name:
                    continue
                seen.add(other)
                graph.relate(here, kind, ("Package", other), {"version": version, "alternatives": choices})
    return graph


def write(graph, kind, out):
    """Write the request's body, one element a line, without further spaces."""

    def elements(items):
        out.write("[\n")
        for i, item in enumerate(items):
            out.write(",\n" if i else "")
            out.write(json.dumps(item, ensure_ascii=False, separators=(",", ":")))
        out.write("\n]")

    out.write('{"parameters":{"type":"%s"},"data":' % kind)
    if kind == "graph":
        out.write('{"nodes":')
        elements(graph.nodes)
        out.write(',"relationships":')
        elements(graph.relationships)
        out.write("}")
    else:
        elements(graph.nodes if kind == "nodes" else graph.relationships)
    out.write("}\n")


def number(text):
    if text == "all":
        return None
    value = int(text)
    if value < 1:
        raise ValueError
    return value


def source(name):
    if name == "-":
        return sys.stdin
    if name:
        return open(name, encoding="utf-8")
    try:
        run = subprocess.run(["apt-cache", "dumpavail"], check=True, capture_output=True)
    except FileNotFoundError:
        raise SystemExit("debgraph: there is no apt-cache here; name a Packages file with --packages")
    except subprocess.CalledProcessError as failed:
        raise SystemExit("debgraph: apt-cache failed: " + failed.stderr.decode(errors="replace").strip())
    return io.StringIO(run.stdout.decode("utf-8"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--nodes", type=number, default=2000, help="about how many nodes, or all (default 2000)")
    parser.add_argument("--type", choices=("graph", "nodes", "relationships"), default="graph", help="parameters.type of the body")
    parser.add_argument("--packages", help="a Packages file, or - for standard input (default: what apt-cache dumpavail says)")
    parser.add_argument("--out", help="file to write, compressed when it ends in .gz (default: standard output)")
    args = parser.parse_args()
    try:
        graph = build(read(source(args.packages)), args.nodes)
    except OSError as failed:
        raise SystemExit(f"debgraph: {failed}")
    if args.out and args.out.endswith(".gz"):
        # No name and no time inside, so that the same graph is the same file.
        with open(args.out, "wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as packed:
            with io.TextIOWrapper(packed, encoding="utf-8") as out:
                write(graph, args.type, out)
    elif args.out:
        with open(args.out, "w", encoding="utf-8") as out:
            write(graph, args.type, out)
    else:
        write(graph, args.type, sys.stdout)
    print(f"debgraph: {len(graph.nodes)} nodes, {len(graph.relationships)} relationships", file=sys.stderr)


if __name__ == "__main__":
    main()
