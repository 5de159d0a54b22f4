#!/usr/bin/env python3
"""Measures what an upsert costs the server alone, without a client: what no client can beat.

  bench/upsert_costs.py [--rows N] [--rounds N]

Needs psycopg, as tests/python/run installs it (see bench/python_rivals.py). Starts a private
PostgreSQL. The rows are already in a temporary table; half of their keys are in the target. Prints
seconds of the backend's CPU as a table in Markdown: medians of the rounds.
"""

import argparse
import os
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "python"))

NAMES = "id, at, value, flag, code"
COLUMNS = "id int8, at timestamptz, value float8, flag bool, code int4"
SETS = "at = {0}.at, value = {0}.value, flag = {0}.flag, code = {0}.code"
CONFLICT = "ON CONFLICT (id) DO UPDATE SET " + SETS.format("EXCLUDED")
LAST_OF_KEY = f"(SELECT DISTINCT ON (id) {NAMES} FROM given ORDER BY id, number DESC) AS g"

WAYS = {
    "INSERT … ON CONFLICT, keys in order":
        f"INSERT INTO target SELECT {NAMES} FROM given {CONFLICT}",
    "the same, sorted, without keys that come twice":
        f"INSERT INTO target SELECT {NAMES} FROM {LAST_OF_KEY} {CONFLICT}",
    "INSERT … ON CONFLICT, keys shuffled":
        f"INSERT INTO target SELECT {NAMES} FROM shuffled {CONFLICT}",
    "MERGE, keys in order (fails when two sessions insert one key)":
        f"MERGE INTO target USING given AS g ON g.id = target.id WHEN MATCHED THEN UPDATE SET "
        f"{SETS.format('g')} WHEN NOT MATCHED THEN INSERT VALUES "
        "(g.id, g.at, g.value, g.flag, g.code)",
    "only the half that is there, INSERT … ON CONFLICT":
        f"INSERT INTO target SELECT {NAMES} FROM given WHERE id % 2 = 0 {CONFLICT}",
    "only the half that is new, INSERT … ON CONFLICT":
        f"INSERT INTO target SELECT {NAMES} FROM given WHERE id % 2 = 1 {CONFLICT}",
    "only the half that is new, INSERT":
        f"INSERT INTO target SELECT {NAMES} FROM given WHERE id % 2 = 1",
}


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def prepare(connection, rows):
    connection.execute(f"CREATE TEMPORARY TABLE given ({COLUMNS}, number int8)")
    connection.execute(
        "INSERT INTO given SELECT i, to_timestamp(1700000000 + i), i / 7.0, mod(i, 2) = 1, "
        f"i & 1023, i FROM generate_series(0::int8, {rows - 1}) AS i")
    connection.execute("CREATE TEMPORARY TABLE shuffled AS SELECT * FROM given ORDER BY random()")
    connection.execute("ANALYZE given; ANALYZE shuffled")


def measure(connection, rows, statement):
    connection.execute(f"DROP TABLE IF EXISTS target; CREATE UNLOGGED TABLE target ({COLUMNS}, "
                       "PRIMARY KEY (id))")
    connection.execute("INSERT INTO target SELECT 2 * i, now(), 0, false, 0 "
                       f"FROM generate_series(0, {rows // 2 - 1}) AS i")
    connection.execute("ANALYZE target; CHECKPOINT")
    before = cpu_seconds(connection.info.backend_pid)
    connection.execute(statement)
    return cpu_seconds(connection.info.backend_pid) - before


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    import psycopg
    from server import Server

    server = Server()
    try:
        with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
            prepare(connection, options.rows)
            taken = {way: [] for way in WAYS}
            for _ in range(options.rounds):
                for way, statement in WAYS.items():
                    taken[way].append(measure(connection, options.rows, statement))
    finally:
        server.stop()
    print(f"| {options.rows:,} rows | server's CPU, s |\n| --- | ---: |")
    for way, seconds in taken.items():
        print(f"| {way} | {statistics.median(seconds):.2f} |")


if __name__ == "__main__":
    main()
