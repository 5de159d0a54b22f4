#!/usr/bin/env python3
"""Measures pgsink.write against the ways that people use from Python: adbc-driver-postgresql's
ingest, and psycopg's COPY and executemany.

  bench/python_rivals.py [--rows N] [--rounds N] [--shapes NAME…] [--ways NAME…]

Needs the package pgsink as a wheel of an optimised build, pyarrow, adbc-driver-postgresql and
psycopg, as tests/python/run installs them:

  tests/python/run --prepare build/release/libpgsink_c.so build/release/python
  build/release/python/venv/bin/python bench/python_rivals.py

Starts a private PostgreSQL. In each round every way loads the same rows into an empty
table, in turns, each in a process of its own, so that only ratios within a round count. Prints
tables in Markdown. Memory is what the process grew by while it loaded. The server's CPU is that
of the backends of the load.
"""

import argparse
import ctypes
import gc
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "python"))

UPSERT = "INSERT INTO target SELECT * FROM {} ON CONFLICT (id) DO UPDATE SET {}"

TABLES = {
    "narrow": "id int8, at timestamptz, value float8, flag bool, code int4",
    "mixed": "id int8, uuid text, name text, document text, price numeric, at timestamptz, "
             "list float8[], code int4",
    "wide": "a text, b text, c text, d text",
    "upsert": "id int8 PRIMARY KEY, at timestamptz, value float8, flag bool, code int4",
    "shuffled": "id int8 PRIMARY KEY, at timestamptz, value float8, flag bool, code int4",
}
UPSERTS = ("upsert", "shuffled")  # The keys come in order, or in none.
NAMES = {"upsert": "upsert, keys in order", "shuffled": "upsert, keys shuffled"}


# Rows of a batch. ADBC is fastest with these, of 8,192 to all rows at once, and with its own size
# of messages, of 64 KiB to 64 MiB.
BATCHES = {"adbc": 8_192}
BATCH = 65_536


def make_rows(shape, rows, batch=BATCH):
    """The same rows in every process."""
    import pyarrow
    import pyarrow.compute as compute

    ids = pyarrow.array(range(rows), pyarrow.int64())
    text = compute.cast(ids, pyarrow.string())
    at = compute.add(ids, 1_700_000_000_000_000).cast(pyarrow.timestamp("us", "UTC"))
    value = compute.divide(ids.cast(pyarrow.float64()), 7.0)
    code = compute.bit_wise_and(ids, 1023).cast(pyarrow.int32())

    def padded(width):
        return compute.utf8_lpad(text, width, "x")

    if shape == "narrow" or shape in UPSERTS:
        flag = compute.equal(compute.bit_wise_and(ids, 1), 1)
        columns = {"id": ids, "at": at, "value": value, "flag": flag, "code": code}
    elif shape == "mixed":
        document = compute.binary_join_element_wise('{"key": "', padded(60), '"}', "")
        repeated = compute.take(value, pyarrow.array([i // 4 for i in range(4 * rows)]))
        lists = pyarrow.FixedSizeListArray.from_arrays(repeated, 4)
        columns = {"id": ids, "uuid": padded(36), "name": padded(24), "document": document,
                   "price": ids.cast(pyarrow.decimal128(24, 4)), "at": at,
                   "list": lists.cast(pyarrow.list_(pyarrow.float64())), "code": code}
    else:
        columns = {name: padded(200) for name in "abcd"}
    table = pyarrow.table(columns)
    if shape == "shuffled":
        # A permutation: the factor is a prime that does not divide the number of rows.
        table = table.take(pyarrow.array(i * 7_368_787 % rows for i in range(rows)))
    return pyarrow.Table.from_batches(table.combine_chunks().to_batches(max_chunksize=batch))


def with_pgsink(url, shape, table, **options):
    import pgsink

    if shape in UPSERTS:
        options.update(mode="upsert", conflict_columns=["id"])
    pgsink.write(table, url, "target", **options)


def with_one_connection(url, shape, table):
    with_pgsink(url, shape, table, parallelism=1)


def with_adbc(url, shape, table):
    from adbc_driver_postgresql import dbapi

    with dbapi.connect(url) as connection, connection.cursor() as cursor:
        if shape in UPSERTS:
            cursor.adbc_ingest("given", table, mode="create", temporary=True)
            updates = ", ".join(f"{name} = EXCLUDED.{name}" for name in table.column_names[1:])
            cursor.execute(UPSERT.format("given", updates))
        else:
            cursor.adbc_ingest("target", table, mode="append")
        connection.commit()


def with_psycopg(url, shape, table):
    import psycopg

    names = table.column_names
    columns = [column.to_pylist() for column in table.columns]
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        if shape in UPSERTS:
            updates = ", ".join(f"{name} = EXCLUDED.{name}" for name in names[1:])
            places = ", ".join(["%s"] * len(names))
            cursor.executemany(f"INSERT INTO target VALUES ({places}) "
                               f"ON CONFLICT (id) DO UPDATE SET {updates}", zip(*columns))
        else:
            with cursor.copy("COPY target FROM STDIN") as copy:
                for row in zip(*columns):
                    copy.write_row(row)


WAYS = {"pgsink": with_pgsink, "pgsink, parallelism=1": with_one_connection, "adbc": with_adbc,
        "psycopg": with_psycopg}


def used():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def memory_mib(field):
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"no {field}")


def child(way, shape, rows, url, waits):
    """One load; what it took as JSON."""
    import pyarrow

    table = make_rows(shape, rows, BATCHES.get(way, BATCH))
    if way == "adbc":
        import adbc_driver_postgresql.dbapi  # noqa: F401: to load it is not a part of the load.
    elif way == "psycopg":
        import psycopg  # noqa: F401
    else:
        import pgsink  # noqa: F401
    if waits:
        print("ready", flush=True)
        sys.stdin.readline()
    # What making the rows has left over would be given back during the load, or used by it.
    gc.collect()
    pyarrow.default_memory_pool().release_unused()
    ctypes.CDLL(None).malloc_trim(0)
    time.sleep(0.2)
    Path("/proc/self/clear_refs").write_text("5")  # The peak begins here.
    before, cpu, begun = memory_mib("VmRSS"), used(), time.monotonic()
    WAYS[way](url, shape, table)
    taken = time.monotonic() - begun
    print(json.dumps({"wall": taken, "cpu": used() - cpu, "memory": memory_mib("VmHWM") - before}),
          flush=True)


class Counter(threading.Thread):
    """Another thread of the program, which counts as fast as it may."""

    def __init__(self):
        super().__init__(daemon=True)
        self.count = 0
        self.start()

    def run(self):
        while True:
            self.count += 1

    def rate(self, work):
        before, begun = self.count, time.monotonic()
        work()
        return (self.count - before) / (time.monotonic() - begun)


def counting_child(way, shape, rows, url, where):
    """How fast a thread counts while this process loads, or another process does: that one needs
    the processors as much, but not this interpreter."""
    if where == "here":
        table = make_rows(shape, rows, BATCHES.get(way, BATCH))
        rate = Counter().rate(lambda: WAYS[way](url, shape, table))
    else:
        other = subprocess.Popen([sys.executable, __file__, "--child", way, shape, str(rows), url,
                                  "--waits"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        other.stdout.readline()

        def load():
            other.stdin.write(b"\n")
            other.stdin.flush()
            other.stdout.readline()

        rate = Counter().rate(load)
        other.wait()
    print(json.dumps({"rate": rate}))


def measure_counting(url, connection, shape, rows, way):
    """The speed of a counting thread beside a load in its process, to one in another process."""
    rates = {}
    for where in ("elsewhere", "here"):
        make_target(connection, shape, rows)
        out = subprocess.run([sys.executable, __file__, "--child", way, shape, str(rows), url,
                              "--counts", where], check=True, stdout=subprocess.PIPE, text=True)
        rates[where] = json.loads(out.stdout)["rate"]
    return rates["here"] / rates["elsewhere"]


def ended_backends_cpu(connection, postmaster):
    """The CPU of all backends of other sessions, which must have ended."""
    deadline = time.monotonic() + 60
    while connection.execute("SELECT count(*) > 1 FROM pg_stat_activity "
                             "WHERE backend_type = 'client backend'").fetchone()[0]:
        if time.monotonic() > deadline:
            sys.exit("a backend of the load did not end")
        time.sleep(0.01)
    time.sleep(0.05)  # The postmaster has to notice.
    fields = Path(f"/proc/{postmaster}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")


def make_target(connection, shape, rows):
    table = TABLES[shape]
    connection.execute(f"DROP TABLE IF EXISTS target; CREATE UNLOGGED TABLE target ({table})")
    if shape in UPSERTS:  # Half of the keys are there.
        connection.execute("INSERT INTO target SELECT 2 * i, now(), 0, false, 0 "
                           f"FROM generate_series(0, {rows // 2 - 1}) i")
        connection.execute("ANALYZE target")
    connection.execute("CHECKPOINT")


def measure(server, url, connection, shape, rows, way):
    make_target(connection, shape, rows)
    before = ended_backends_cpu(connection, server.pid)
    out = subprocess.run([sys.executable, __file__, "--child", way, shape, str(rows), url],
                         check=True, stdout=subprocess.PIPE, text=True).stdout
    found = connection.execute("SELECT count(*) FROM target").fetchone()[0]
    if found != rows:
        sys.exit(f"{way} left {found} rows of {rows} in {shape}")
    taken = json.loads(out)
    taken["server"] = ended_backends_cpu(connection, server.pid) - before
    return taken


METHOD = """
`pgsink.write` with its defaults, which are two connections for so many rows, and with one;
`adbc_ingest` of adbc-driver-postgresql; and psycopg, which copies row by row or, for upserts, uses
`executemany`: both have one connection. The rows are a pyarrow table in batches of 65,536 (of 8,192
for ADBC, which is fastest so): narrow ones have an int8, a timestamptz, a float8, a bool and an
int4; mixed ones eight columns with four texts, a numeric(24,4) and an array of four float8; wide
ones four texts of 200 bytes. An upsert is of narrow rows, half of whose keys are there, in the
order of the keys or shuffled; ADBC loads a temporary table, then says `INSERT … ON CONFLICT`. The
table is unlogged, the connection TCP, the server has its default settings without fsync. Each load
is a process of its own; memory is what it grows by at most. Medians of {rounds} interleaved rounds;
ratios are medians of the ratio within each round, below 1 where pgsink needs less. Measured by
`bench/python_rivals.py`.
"""

COUNTING_METHOD = """
A thread counts while another one loads {rows:,} narrow rows, and while another process does, which
needs the processors as much, but not the interpreter. Medians of {rounds} interleaved rounds.
"""


def one_line(text):
    return " ".join(text.split())


class Report:
    """The sections of docs/reference/benchmarks.md, and the goals of the appendix."""

    def __init__(self):
        self.page = ""
        self.goals = "| goal | limit | measured | met |\n| --- | ---: | ---: | ---: |\n"

    def say(self, text=""):
        print(text, flush=True)
        self.page += text + "\n"

    def goal(self, what, measured, limit, at_most=True):
        met = measured <= limit if at_most else measured >= limit
        self.goals += (f"| Python, {what} | {'≤' if at_most else '≥'} {limit:.2f} "
                       f"| {measured:.2f} | {'yes' if met else '**no**'} |\n")


def report_loads(report, shapes):
    report.say("## How does the Python package compare?\n")
    rounds = len(next(iter(shapes.values()))[1])
    report.say(one_line(METHOD).format(rounds=rounds))
    report.say()
    report.say("| rows | way | rows/s | client's CPU, ns/row | server's CPU, ns/row | memory, MiB "
               "| pgsink's time / its | client's CPU | server's CPU |")
    report.say("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for shape, (rows, measured) in shapes.items():
        for way in measured[0]:
            def middle(name, way=way, measured=measured):
                return statistics.median(one[way][name] for one in measured)

            def ratio(name, way=way, measured=measured):
                return statistics.median(one["pgsink"][name] / (one[way][name] or math.nan)
                             for one in measured)

            ratios = [f"{ratio(name):.2f}" for name in ("wall", "cpu", "server")]
            report.say(f"| {NAMES.get(shape, shape)}, {rows:,} | {way} "
                       f"| {rows / middle('wall'):,.0f} | {middle('cpu') / rows * 1e9:,.0f} "
                       f"| {middle('server') / rows * 1e9:,.0f} | {middle('memory'):,.1f} "
                       f"| {' | '.join(ratios)} |")
    for shape, (_, measured) in shapes.items():
        check_goals(report, shape, measured)
    report.say()


def check_goals(report, shape, measured):
    name = NAMES.get(shape, shape)

    def ratio(way, figure):
        return statistics.median(one["pgsink"][figure] / one[way][figure] for one in measured)

    if shape in UPSERTS:
        for way, times in (("adbc", 1.5), ("psycopg", 3)):
            if way in measured[0]:
                report.goal(f"{name}: {way}'s time to pgsink's", 1 / ratio(way, "wall"), times,
                            at_most=False)
    elif "adbc" in measured[0]:
        report.goal(f"{name}: pgsink's time to adbc's", ratio("adbc", "wall"), 0.95)
        report.goal(f"{name}: client's CPU to adbc's", ratio("adbc", "cpu"),
                    0.8 if shape == "wide" else 0.45)
    report.goal(f"{name}: memory, MiB",
                statistics.median(one["pgsink"]["memory"] for one in measured), 16)


def report_counting(report, url, connection, options):
    """How much of its speed a thread that counts keeps while another one loads narrow rows."""
    rows = 4 * options.rows
    report.say("## How much does a load slow the other threads of a Python program?\n")
    report.say(one_line(COUNTING_METHOD).format(rows=rows, rounds=options.rounds))
    report.say()
    report.say("| way | speed of the thread, to that beside another process |")
    report.say("| --- | ---: |")
    ways = [way for way in options.ways if way != "psycopg"]
    kept = {way: [] for way in ways}
    for _ in range(options.rounds):
        for way in ways:
            kept[way].append(measure_counting(url, connection, "narrow", rows, way))
    for way, shares in kept.items():
        report.say(f"| {way} | {statistics.median(shares):.2f} |")
    report.goal("speed that a thread keeps beside a load", statistics.median(kept["pgsink"]), 0.9,
                at_most=False)
    report.say()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--shapes", nargs="+", choices=TABLES, default=list(TABLES))
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--no-counting", action="store_true",
                        help="do not measure how a load slows the other threads of its program")
    parser.add_argument("--markdown", type=Path, help="where the page's sections go too")
    parser.add_argument("--details", type=Path, help="where the goals go too")
    parser.add_argument("--child", nargs=4)
    parser.add_argument("--waits", action="store_true")
    parser.add_argument("--counts", choices=("here", "elsewhere"))
    options = parser.parse_args()
    if options.child:
        way, shape, rows, url = options.child
        if options.counts:
            counting_child(way, shape, int(rows), url, options.counts)
        else:
            child(way, shape, int(rows), url, options.waits)
        return
    if "pgsink" not in options.ways:
        parser.error("--ways: pgsink is what the others are compared with")
    import psycopg
    from server import Server

    server = Server()
    report = Report()
    try:
        url = server.url("postgres")
        with psycopg.connect(url, autocommit=True) as connection:
            shapes = {}
            for shape in options.shapes:
                rows = options.rows // (4 if shape in ("mixed", "wide") else 1)
                rounds = []
                for number in range(options.rounds):
                    print(f"{shape}, round {number + 1}", file=sys.stderr)
                    first = number % len(options.ways)
                    ways = options.ways[first:] + options.ways[:first]
                    taken = {way: measure(server, url, connection, shape, rows, way)
                             for way in ways}
                    rounds.append({way: taken[way] for way in options.ways})
                shapes[shape] = (rows, rounds)
            report_loads(report, shapes)
            if not options.no_counting:
                report_counting(report, url, connection, options)
    finally:
        server.stop()
    print(report.goals)
    if options.markdown:
        options.markdown.write_text(report.page)
    if options.details:
        options.details.write_text(report.goals)


if __name__ == "__main__":
    main()
