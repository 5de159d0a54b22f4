#!/usr/bin/env python3
"""Measures pgsink.write against the ways that people use from Python: adbc-driver-postgresql's
ingest, and psycopg's COPY and executemany.

  bench/python_rivals.py [--rows N] [--rounds N]

Needs the package pgsink as a wheel of an optimised build, pyarrow, adbc-driver-postgresql and
psycopg. Starts a private PostgreSQL. In each round every way loads the same rows into an empty
table, in turns, each in a process of its own, so that only ratios within a round count. Prints
tables in Markdown. Memory is what the process grew by while it loaded.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
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
}


def make_rows(shape, rows):
    """The same rows in every process; a table in batches of 65,536 rows."""
    import pyarrow
    import pyarrow.compute as compute

    ids = pyarrow.array(range(rows), pyarrow.int64())
    text = compute.cast(ids, pyarrow.string())
    at = compute.add(ids, 1_700_000_000_000_000).cast(pyarrow.timestamp("us", "UTC"))
    value = compute.divide(ids.cast(pyarrow.float64()), 7.0)
    code = compute.bit_wise_and(ids, 1023).cast(pyarrow.int32())

    def padded(width):
        return compute.utf8_lpad(text, width, "x")

    if shape in ("narrow", "upsert"):
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
    return pyarrow.Table.from_batches(table.to_batches(max_chunksize=65_536))


def with_pgsink(url, shape, table):
    import pgsink

    if shape == "upsert":
        pgsink.write(table, url, "target", mode="upsert", conflict_columns=["id"])
    else:
        pgsink.write(table, url, "target")


def with_adbc(url, shape, table):
    from adbc_driver_postgresql import dbapi

    with dbapi.connect(url) as connection, connection.cursor() as cursor:
        if shape == "upsert":
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
        if shape == "upsert":
            updates = ", ".join(f"{name} = EXCLUDED.{name}" for name in names[1:])
            places = ", ".join(["%s"] * len(names))
            cursor.executemany(f"INSERT INTO target VALUES ({places}) "
                               f"ON CONFLICT (id) DO UPDATE SET {updates}", zip(*columns))
        else:
            with cursor.copy("COPY target FROM STDIN") as copy:
                for row in zip(*columns):
                    copy.write_row(row)


WAYS = {"pgsink": with_pgsink, "adbc": with_adbc, "psycopg": with_psycopg}


def used():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def memory_mib(field):
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"no {field}")


def child(way, shape, rows, url):
    """One load; what it took as JSON."""
    table = make_rows(shape, rows)
    if way == "pgsink":
        import pgsink  # noqa: F401: to load it is not a part of the load.
    elif way == "adbc":
        import adbc_driver_postgresql.dbapi  # noqa: F401
    else:
        import psycopg  # noqa: F401
    Path("/proc/self/clear_refs").write_text("5")  # The peak begins here.
    before, cpu, begun = memory_mib("VmRSS"), used(), time.monotonic()
    WAYS[way](url, shape, table)
    taken = time.monotonic() - begun
    print(json.dumps({"wall": taken, "cpu": used() - cpu, "memory": memory_mib("VmHWM") - before}))


def measure(url, connection, shape, rows, way):
    table = TABLES[shape]
    connection.execute(f"DROP TABLE IF EXISTS target; CREATE UNLOGGED TABLE target ({table})")
    if shape == "upsert":  # Half of the keys are there.
        connection.execute("INSERT INTO target SELECT 2 * i, now(), 0, false, 0 "
                           f"FROM generate_series(0, {rows // 2 - 1}) i")
        connection.execute("ANALYZE target")
    connection.execute("CHECKPOINT")
    out = subprocess.run([sys.executable, __file__, "--child", way, shape, str(rows), url],
                         check=True, stdout=subprocess.PIPE, text=True).stdout
    found = connection.execute("SELECT count(*) FROM target").fetchone()[0]
    if found != rows:
        sys.exit(f"{way} left {found} rows of {rows} in {shape}")
    return json.loads(out)


def report(shape, rows, rounds):
    print(f"\n{shape}: {rows:,} rows, {len(rounds)} rounds\n")
    print("| way | rows/s | CPU, ns/row | memory, MiB | pgsink's time / its | CPU / its |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for way in rounds[0]:
        def middle(figure, way=way):
            return statistics.median(figure(one[way]) for one in rounds)

        def ratio(name, way=way):
            return statistics.median(one["pgsink"][name] / one[way][name] for one in rounds)

        print(f"| {way} | {rows / middle(lambda one: one['wall']):,.0f} "
              f"| {middle(lambda one: one['cpu']) / rows * 1e9:,.0f} "
              f"| {middle(lambda one: one['memory']):,.1f} "
              f"| {ratio('wall'):.2f} | {ratio('cpu'):.2f} |")
    sys.stdout.flush()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--shapes", nargs="+", choices=TABLES, default=list(TABLES))
    parser.add_argument("--child", nargs=4)
    options = parser.parse_args()
    if options.child:
        way, shape, rows, url = options.child
        child(way, shape, int(rows), url)
        return
    import psycopg
    from server import Server

    server = Server()
    try:
        url = server.url("postgres")
        with psycopg.connect(url, autocommit=True) as connection:
            for shape in options.shapes:
                rows = options.rows // (4 if shape in ("mixed", "wide") else 1)
                rounds = []
                for number in range(options.rounds):
                    ways = list(WAYS)[number % 3:] + list(WAYS)[:number % 3]
                    taken = {way: measure(url, connection, shape, rows, way) for way in ways}
                    rounds.append({way: taken[way] for way in WAYS})
                report(shape, rows, rounds)
    finally:
        server.stop()


if __name__ == "__main__":
    main()
