#!/usr/bin/env python3
"""Measures df.write.format("pgsink") against Spark's own JDBC writer; bench/spark runs it.

In each round both write the same frame, which is cached in the executors, in turns: only ratios
within a round count. JDBC writes batches of 10,000 rows with reWriteBatchedInserts. Its upsert is
an append to an unlogged staging table, and INSERT … ON CONFLICT from there in one transaction.
"""

import argparse
import os
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "python"))

COLUMNS = "id bigint, at timestamptz, value float8, flag bool, code int, name text"
UPSERT = ("INSERT INTO target SELECT * FROM staged ON CONFLICT (id) DO UPDATE SET at = excluded.at,"
          " value = excluded.value, flag = excluded.flag, code = excluded.code,"
          " name = excluded.name")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jar", required=True, help="of the JDBC driver")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tasks", type=int, default=2)
    given = parser.parse_args()

    import psycopg
    from pyspark.sql import SparkSession
    from server import Server

    os.environ["PYSPARK_PYTHON"] = sys.executable
    server = Server()
    url = server.url("postgres")
    admin = psycopg.connect(url, autocommit=True)
    spark = (SparkSession.builder.master(f"local[{given.tasks}]")
             .config("spark.jars", given.jar).config("spark.ui.enabled", "false")
             .config("spark.ui.showConsoleProgress", "false").config("spark.driver.memory", "2g")
             .config("spark.log.level", "ERROR").getOrCreate())
    frame = spark.range(0, given.rows, 1, given.tasks).selectExpr(
        "id", "timestamp_micros(1700000000000000 + id * 1000) AS at", "id / 7.0D AS value",
        "id % 3 = 0 AS flag", "CAST(id % 1000 AS INT) AS code",
        "concat('name of ', id) AS name").cache()
    frame.count()
    jdbc_url = url.replace("postgresql://postgres@", "jdbc:postgresql://") + (
        "?user=postgres&reWriteBatchedInserts=true")

    def pgsink(atomic, **options):
        def write(frame):
            (frame.write.format("pgsink").mode("append").option("url", url)
             .option("table", "target").option("atomic", atomic).options(**options).save())
        return write

    def jdbc(table):
        def write(frame):
            (frame.write.format("jdbc").mode("append").option("url", jdbc_url)
             .option("driver", "org.postgresql.Driver").option("dbtable", table)
             .option("batchsize", "10000").option("numPartitions", given.tasks).save())
        return write

    def jdbc_upsert(frame):
        jdbc("staged")(frame)
        admin.execute(UPSERT)

    keys = {"write_mode": "upsert", "conflict_columns": "id"}
    ways = {
        "append": {"JDBC": jdbc("target"), "pgsink": pgsink("staging"),
                   "pgsink, atomic=none": pgsink("none")},
        "upsert": {"JDBC": jdbc_upsert, "pgsink": pgsink("staging", **keys),
                   "pgsink, atomic=none": pgsink("none", **keys)},
    }
    print(f"{given.rows} rows of {len(frame.columns)} columns, {given.tasks} tasks, Spark "
          f"{spark.version}, seconds of each round\n")
    print("| | way | " + " | ".join(str(n + 1) for n in range(given.rounds)) + " | median | faster |")
    print("|---|---|" + "---|" * (given.rounds + 2))

    def prepare(kind):
        admin.execute("DROP TABLE IF EXISTS target, staged, pgsink_jobs")
        admin.execute(f"CREATE TABLE target ({COLUMNS})")
        if kind == "upsert":
            # Half of the rows are there already.
            admin.execute("ALTER TABLE target ADD PRIMARY KEY (id)")
            admin.execute("INSERT INTO target SELECT id, now(), 0, false, 0, '' FROM "
                          f"generate_series(0, {given.rows - 1}, 2) AS id")
            admin.execute(f"CREATE UNLOGGED TABLE staged ({COLUMNS})")
        admin.execute("VACUUM ANALYZE")
        admin.execute("CHECKPOINT")

    for kind, of_kind in ways.items():
        seconds = {way: [] for way in of_kind}
        for number in range(-1, given.rounds):  # The first one warms up.
            for way, write in of_kind.items():
                prepare(kind)
                start = time.monotonic()
                write(frame if number >= 0 else frame.limit(10_000))
                passed = time.monotonic() - start
                if number < 0:
                    continue
                seconds[way].append(passed)
                written = admin.execute("SELECT count(*), sum(id) FROM target").fetchone()
                assert written == (given.rows, given.rows * (given.rows - 1) // 2), written
        for way, of_way in seconds.items():
            ratio = statistics.median(rival / own for rival, own in zip(seconds["JDBC"], of_way))
            rounds = " | ".join(f"{value:.2f}" for value in of_way)
            print(f"| {kind} | {way} | {rounds} | {statistics.median(of_way):.2f} | {ratio:.2f} |",
                  flush=True)
    spark.stop()
    admin.close()
    server.stop()


if __name__ == "__main__":
    main()
