"""Jobs: processes write parts, and one of them commits. Real processes, real kills."""

import concurrent.futures
import multiprocessing
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from decimal import Decimal
from pathlib import Path

import psycopg
import pyarrow

import pgsink
from server import PATIENCE_SECONDS, Server

ROWS = 1000
"""Rows of a part."""

PARTS = 4

ROOT = Path(__file__).resolve().parent.parent.parent

spawn = multiprocessing.get_context("spawn")


def setUpModule():
    global server, admin
    server = Server()
    admin = psycopg.connect(server.url("postgres"), autocommit=True)


def tearDownModule():
    admin.close()
    server.stop()


def rows_of(partition, value=0):
    first = partition * ROWS
    return pyarrow.table({
        "id": pyarrow.array(range(first, first + ROWS), pyarrow.int64()),
        "value": pyarrow.array([value] * ROWS, pyarrow.int64()),
    })


def write_part(ticket, partition, url, value=0, **options):
    """A task, as any engine would run it."""
    with pgsink.part(ticket, partition, url, "t", **options) as part:
        part.write(rows_of(partition, value))
        return part.finish()


def die_in_the_middle(ticket, partition, url):
    """A task that is killed with rows that are staged and committed there."""
    part = pgsink.part(ticket, partition, url, "t")
    part.write(rows_of(partition))
    part.flush()
    os.kill(os.getpid(), signal.SIGKILL)


def die_as_driver(url, options, point, pipe):
    """A driver that is killed: with an open job, with parts staged, or with its job committed."""
    job = pgsink.job(url, "t", like=rows_of(0), **options)
    pipe.send(job.ticket)
    tokens = []
    if point != "opened":
        tokens = [write_part(job.ticket, n, url) for n in range(PARTS)]
    pipe.send(tokens)
    if point == "committed":
        job.commit(tokens)
    os.kill(os.getpid(), signal.SIGKILL)


class JobTest(unittest.TestCase):
    number = 0

    def setUp(self):
        JobTest.number += 1
        name = f"job{JobTest.number}"
        admin.execute(f"CREATE DATABASE {name}")
        self.url = server.url(name)
        self.connection = psycopg.connect(self.url, autocommit=True)
        self.addCleanup(self.connection.close)
        self.sql("CREATE TABLE t (id bigint PRIMARY KEY, value bigint)")

    def sql(self, text, *values):
        cursor = self.connection.execute(text, values or None)
        return cursor.fetchall() if cursor.description else None

    def job(self, **options):
        return pgsink.job(self.url, "t", like=rows_of(0), **options)

    def parts(self, job, value=0, partitions=range(PARTS), **options):
        return [write_part(job.ticket, n, self.url, value, **options) for n in partitions]

    def table(self):
        """How many rows, how many different ones, and the sum of their values."""
        return self.sql("SELECT count(*), count(DISTINCT id), coalesce(sum(value), 0) FROM t")[0]

    def stages(self):
        return self.sql("SELECT count(*) FROM pg_class WHERE relname LIKE 'pgsink_stage_%'")[0][0]

    def all_of(self, value=0):
        return (PARTS * ROWS, PARTS * ROWS, PARTS * ROWS * value)

    # ---- what a job does -------------------------------------------------------------------------

    def test_parts_become_visible_at_once(self):
        with self.job() as job:
            tokens = self.parts(job, 3)
            self.assertEqual(self.table(), (0, 0, 0))
            self.assertFalse(job.committed)
            report = job.commit(tokens)
            self.assertEqual(
                report, pgsink.JobReport(1, PARTS * ROWS, PARTS * ROWS, 0, repeated=False))
            self.assertTrue(job.committed)
            self.assertTrue(job.commit(tokens).repeated)
        self.assertEqual(self.table(), self.all_of(3))
        self.assertEqual(self.stages(), 0)

    def test_every_mode(self):
        self.sql("INSERT INTO t SELECT n, 1 FROM generate_series(0, 1999) n")
        keys = {"key_columns": ["id"]}
        modes = [
            ("insert_ignore", {}, (4000, 4000, 2000 + 2000 * 5), 2000),
            ("upsert", {"conflict_columns": ["id"]}, (4000, 4000, 4000 * 5), 4000),
            ("update", keys, (4000, 4000, 4000 * 5), 4000),
            ("delete", keys, (0, 0, 0), 4000),
            ("insert", {}, (4000, 4000, 4000 * 5), 4000),
            ("replace", {}, (4000, 4000, 4000 * 5), 4000),
        ]
        for mode, options, expected, changed in modes:
            with self.subTest(mode), self.job(mode=mode, **options) as job:
                report = job.commit(self.parts(job, 5, mode=mode, **options))
                self.assertEqual(report.changed, changed)
                self.assertEqual(self.table(), expected)

    def test_of_one_key_the_greatest_or_the_last_row_wins(self):
        for options, value in [({}, 9), ({"newer_by": "value"}, 12)]:
            self.sql("TRUNCATE t")
            with self.job(mode="upsert", conflict_columns=["id"], **options) as job:
                tokens = []
                # Partition 1 comes after partition 0, whichever finishes first.
                for partition, values in [(1, [7, 9]), (0, [12, 1])]:
                    with pgsink.part(job.ticket, partition, self.url, "t") as part:
                        part.write(pyarrow.table({"id": [1, 1], "value": values}))
                        tokens.append(part.finish())
                job.commit(tokens)
            self.assertEqual(self.sql("SELECT * FROM t"), [(1, value)])

    def test_replace_keeps_views_grants_and_readers(self):
        self.sql("INSERT INTO t SELECT -n, 1 FROM generate_series(1, 10) n")
        self.sql("CREATE VIEW v AS SELECT count(*) AS n FROM t")
        self.sql("DROP ROLE IF EXISTS reader; CREATE ROLE reader; GRANT SELECT ON t TO reader")
        self.addCleanup(self.sql, "DROP OWNED BY reader; DROP ROLE reader")
        with psycopg.connect(self.url) as reader, self.job(replace=True) as job:
            reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            self.assertEqual(reader.execute("SELECT n FROM v").fetchall(), [(10,)])
            job.commit(self.parts(job))
            # A snapshot from before still sees the former rows: TRUNCATE would show it none.
            self.assertEqual(reader.execute("SELECT n FROM v").fetchall(), [(10,)])
        self.assertEqual(self.sql("SELECT n FROM v"), [(PARTS * ROWS,)])
        self.assertEqual(self.sql("SELECT has_table_privilege('reader', 't', 'SELECT')"), [(True,)])

    def test_none_writes_at_once(self):
        with self.job(atomic="none") as job:
            tokens = self.parts(job)
            self.assertEqual(self.table(), self.all_of())
            self.assertEqual(job.commit(tokens).rows, PARTS * ROWS)
        self.assertEqual(self.stages(), 0)

    def test_rejected_rows_become_dead_letters_of_their_part(self):
        self.sql("CREATE TABLE narrow (id bigint PRIMARY KEY, name varchar(3))")
        letters = []
        rows = pyarrow.table({"id": [1, 2], "name": ["long enough", "ok"]})
        with pgsink.job(self.url, "narrow", like=rows) as job:
            with pgsink.part(job.ticket, 0, self.url, "narrow",
                             on_dead_letters=letters.extend) as part:
                part.write(rows)
                report = job.commit([part.finish()])
        self.assertEqual((report.rows, report.rejected), (1, 1))
        self.assertEqual([letter["row"]["id"] for letter in letters], [1])
        self.assertEqual(self.sql("SELECT * FROM narrow"), [(2, "ok")])

    def test_values_that_the_server_reads_as_text(self):
        """A part writes them as a sink does: keys and values for hstore, not an object of JSON."""
        self.sql("CREATE EXTENSION hstore")
        self.sql("CREATE TABLE m (id bigint PRIMARY KEY, tags hstore, price money)")
        rows = pyarrow.table({
            "id": [1, 2],
            "tags": pyarrow.array([[("a", "1"), ("b", None)], None],
                                  pyarrow.map_(pyarrow.string(), pyarrow.string())),
            "price": ["12.50", None],
        })
        for mode in ("insert", "upsert"):
            keys = {"conflict_columns": "id"} if mode == "upsert" else {}
            with pgsink.job(self.url, "m", like=rows, mode=mode, **keys) as job:
                with pgsink.part(job.ticket, 0, self.url, "m", mode=mode, **keys) as part:
                    part.write(rows)
                    job.commit([part.finish()])
        self.assertEqual(
            self.sql("SELECT id, tags->'a', tags ? 'b', price::numeric FROM m ORDER BY id"),
            [(1, "1", True, Decimal("12.50")), (2, None, None, None)])

    def test_a_partition_may_have_no_rows(self):
        with self.job() as job:
            with pgsink.part(job.ticket, 0, self.url, "t") as part:
                tokens = [part.finish()]
                self.assertEqual(part.finish(), tokens[0])
            self.assertEqual(job.commit(tokens).rows, 0)
            with self.job() as empty:
                self.assertEqual(empty.commit([]).epoch, 2)

    def test_another_process_commits(self):
        with self.job() as job:
            ticket = pickle.loads(pickle.dumps(job.ticket))
            self.assertRegex(ticket, r"\A[-:%.\w]+\Z")
            tokens = self.parts(job)
        with pgsink.resume(ticket, self.url, "t") as resumed:
            resumed.commit(tokens)
        self.assertEqual(self.table(), self.all_of())

    def test_with_multiprocessing(self):
        with self.job() as job, spawn.Pool(2) as pool:
            work = [(job.ticket, n, self.url) for n in range(PARTS)]
            job.commit(pool.starmap(write_part, work))
        self.assertEqual(self.table(), self.all_of())

    def test_with_concurrent_futures(self):
        executor = concurrent.futures.ProcessPoolExecutor(2, mp_context=spawn)
        with self.job() as job, executor as pool:
            tasks = [pool.submit(write_part, job.ticket, n, self.url) for n in range(PARTS)]
            job.commit([task.result() for task in tasks])
        self.assertEqual(self.table(), self.all_of())

    def test_the_page(self):
        self.sql("CREATE TABLE events (id bigint PRIMARY KEY, kind text)")
        page = (ROOT / "docs/how-to/jobs.md").read_text()
        blocks = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
        self.assertEqual(len(blocks), 2)
        # A program of its own: tasks are found by the name of their module.
        program = "\n".join([f"url = {self.url!r}", *blocks])
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True,
                              timeout=PATIENCE_SECONDS)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("JobReport(epoch=1, rows=4000, changed=4000", done.stdout)
        self.assertEqual(self.sql("SELECT count(*) FROM events"), [(4000,)])
        self.assertEqual(self.sql("SELECT epoch FROM pgsink_jobs"), [(2,)])

    def test_the_examples(self):
        folder = Path(tempfile.mkdtemp(prefix="pgsink-examples."))
        self.addCleanup(shutil.rmtree, folder)
        paths = []
        for number in range(3):
            paths.append(folder / f"{number}.csv")
            lines = [f"{number * 10 + row},{number}" for row in range(10)]
            paths[-1].write_text("\n".join(["id,value", *lines]))

        def run(example, *arguments):
            done = subprocess.run([sys.executable, ROOT / "examples" / example, self.url, "t",
                                   *arguments, *paths], capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stderr)
            return done.stdout

        for epoch in (1, 2):
            self.assertIn(f"epoch={epoch}, rows=30, changed=30", run("job_multiprocessing.py"))
        self.sql("INSERT INTO t VALUES (1000, 1000)")
        self.assertIn("epoch=20261201, rows=30", run("job_futures.py", "20261201"))
        self.assertIn("is loaded already", run("job_futures.py", "20261201"))
        self.assertEqual(self.table(), (30, 30, 30))

    # ---- who may write ---------------------------------------------------------------------------

    def test_a_committed_epoch_is_not_written_again(self):
        for _ in range(2):
            with self.job(epoch=7, host="query") as job:
                job.commit(self.parts(job))
        self.assertEqual(self.table(), self.all_of())
        with self.job(epoch=7, host="query") as job:
            self.assertTrue(job.committed)
            # Parts need not know: what they are given is dropped.
            self.assertTrue(job.commit(self.parts(job, 9)).repeated)
        self.assertEqual(self.table(), self.all_of())

    def test_an_engine_may_say_the_number_at_the_end(self):
        """As streams of Spark do: parts are written before the number of the batch is known."""
        def batch(number, host="query", value=0):
            with pgsink.job(self.url, "t", like=rows_of(0), mode="upsert", conflict_columns="id",
                            sink_id="clicks") as job:
                tokens = [write_part(job.ticket, n, self.url, value, mode="upsert",
                                     conflict_columns="id") for n in range(PARTS)]
                with pgsink.resume(job.ticket, self.url, "t", mode="upsert",
                                   conflict_columns="id") as end:
                    end.number(number, host)
                    self.assertEqual(end.epoch, number)
                    with self.assertRaisesRegex(pgsink.UsageError, "has epoch"):
                        end.number(number + 1, host)
                    return end.commit(tokens)

        self.assertFalse(batch(5).repeated)
        self.assertTrue(batch(5, value=1).repeated)
        self.assertTrue(batch(4, value=1).repeated)
        self.assertEqual(self.table(), self.all_of())
        with self.assertRaisesRegex(pgsink.Error, 'by host "query", and this is host "another"'):
            batch(6, "another", 1)
        self.assertEqual(self.table(), self.all_of())
        self.assertFalse(batch(7, value=2).repeated)
        self.assertEqual(self.table(), self.all_of(2))
        self.assertEqual(self.sql("SELECT epoch || ' ' || host FROM pgsink_jobs"), [("7 query",)])
        self.assertEqual(self.stages(), 0)
        with pgsink.job(self.url, "t", like=rows_of(0), sink_id="other") as job:
            with self.assertRaisesRegex(pgsink.UsageError, "from 1"):
                job.number(0)

    def test_another_host_is_an_error_that_names_both(self):
        with self.job(epoch=1, host="checkpoint-a") as job:
            job.commit(self.parts(job))
        with self.assertRaises(pgsink.OutcomeError) as raised:
            self.job(epoch=1, host="checkpoint-b")
        self.assertEqual(raised.exception.code, "PGS-6007")
        for text in ("checkpoint-a", "checkpoint-b", "sink_id", "DELETE FROM"):
            self.assertIn(text, str(raised.exception))
        statement = re.search(r"DELETE FROM .*$", str(raised.exception)).group()
        self.sql(statement)
        self.job(epoch=1, host="checkpoint-b").close()

    def test_the_later_of_two_drivers_commits(self):
        with self.job() as first, self.job() as second:
            tokens = self.parts(second)
            with self.assertRaises(pgsink.FencedError):
                self.parts(first)
            with self.assertRaises(pgsink.FencedError):
                first.commit([])
            with self.assertRaises(pgsink.UsageError):
                first.commit(tokens)
            second.commit(tokens)
            with self.assertRaises(pgsink.FencedError):
                first.commit([])
        self.assertEqual(self.table(), self.all_of())

    def test_two_jobs_with_names_of_their_own(self):
        with self.job(sink_id="a") as first, self.job(sink_id="b") as second:
            tokens = self.parts(first, partitions=[0, 1]), self.parts(second, partitions=[2, 3])
            second.commit(tokens[1])
            first.commit(tokens[0])
        self.assertEqual(self.table(), self.all_of())

    def test_twin_attempts_in_every_order(self):
        for winner in (0, 1):
            with self.subTest(winner), self.job(replace=True) as job:
                twins = [pgsink.part(job.ticket, 0, self.url, "t", like=rows_of(0))
                         for _ in range(2)]
                for value, twin in enumerate(twins):
                    twin.write(rows_of(0, value))
                    twin.flush()
                tokens = [twin.finish() for twin in twins]
                with self.assertRaisesRegex(pgsink.UsageError, "partition 0"):
                    job.commit(tokens)
                job.commit([tokens[winner], tokens[winner]])
                self.assertEqual(self.table(), (ROWS, ROWS, ROWS * winner))

    def test_a_zombie_that_writes_and_finishes_after_the_commit(self):
        with self.job() as job:
            zombie = pgsink.part(job.ticket, 1, self.url, "t", like=rows_of(1))
            zombie.write(rows_of(1, 99))
            zombie.flush()
            zombie.write(rows_of(2, 99))
            job.commit(self.parts(job))
            try:
                late = [zombie.finish()]
            except pgsink.Error:
                late = []  # Its staging table is gone.
            self.assertTrue(job.commit(late).repeated)
        self.assertEqual(self.table(), self.all_of())

    def test_wrong_texts_are_refused(self):
        with self.job() as job:
            for ticket in ("", "nonsense", job.ticket[:-3], job.ticket + ":1"):
                with self.assertRaises(pgsink.UsageError):
                    pgsink.resume(ticket, self.url, "t")
            with self.assertRaises(pgsink.UsageError):
                pgsink.resume(job.ticket, self.url, "other")
            for token in ("", job.ticket, self.parts(job, partitions=[0])[0][:-2]):
                with self.assertRaises(pgsink.UsageError):
                    job.commit([token])
            with self.assertRaisesRegex(pgsink.UsageError, "missing"):
                job.commit([None])
            with self.assertRaisesRegex(TypeError, "ticket"):
                pickle.dumps(job)
        for options in ({"use_2pc": True}, {"mode": "changelog"}, {"atomic": "sometimes"},
                        {"atomic": "none", "replace": True}, {"delivery": "exactly_once"}):
            with self.subTest(options), self.assertRaises(pgsink.OptionError):
                self.job(**options)

    # ---- deaths ----------------------------------------------------------------------------------

    def test_killed_tasks_leave_nothing(self):
        with self.job() as job:
            for _ in range(2):
                task = spawn.Process(target=die_in_the_middle, args=(job.ticket, 0, self.url))
                task.start()
                task.join(PATIENCE_SECONDS)
                self.assertEqual(task.exitcode, -signal.SIGKILL)
            job.commit(self.parts(job))
        self.assertEqual(self.table(), self.all_of())

    def test_killed_drivers(self):
        for number, point in enumerate(("opened", "staged", "committed"), start=1):
            self.sql("TRUNCATE t")
            options = {"epoch": number, "host": "h"}
            ours, theirs = spawn.Pipe()
            driver = spawn.Process(target=die_as_driver, args=(self.url, options, point, theirs))
            driver.start()
            theirs.close()
            ticket, tokens = ours.recv(), ours.recv()
            driver.join(PATIENCE_SECONDS)
            self.assertEqual(driver.exitcode, -signal.SIGKILL)
            with self.subTest(point), self.job(**options) as job:
                self.assertEqual(job.committed, point == "committed")
                self.assertEqual(self.stages(), 0 if point == "committed" else 1)
                job.commit(self.parts(job))
                self.assertEqual(self.table(), self.all_of())
                self.assertEqual(self.stages(), 0)
                # Whoever kept the dead driver's ticket finds that its epoch is written.
                with pgsink.resume(ticket, self.url, "t") as late:
                    self.assertTrue(late.commit(tokens).repeated)
            self.assertEqual(self.table(), self.all_of())

    def test_two_phase_parts_are_prepared_and_then_committed(self):
        with self.job(atomic="2pc") as job:
            tokens = self.parts(job, 2)
            self.assertEqual(self.prepared(), PARTS)
            self.assertEqual(self.table(), (0, 0, 0))
            # A task that runs again takes what is prepared.
            self.assertEqual(write_part(job.ticket, 0, self.url), tokens[0])
            self.assertEqual(job.commit(tokens).rows, PARTS * ROWS)
        self.assertEqual(self.table(), self.all_of(2))
        self.assertEqual(self.prepared(), 0)
        with self.assertRaisesRegex(pgsink.Error, "only for write_mode = 'insert'"):
            self.job(atomic="2pc", mode="upsert", conflict_columns=["id"])

    def prepared(self):
        return self.sql("SELECT count(*) FROM pg_prepared_xacts"
                        " WHERE database = current_database()")[0][0]

    def test_a_snapshot_of_many_parts_deletes_what_none_has(self):
        self.sql("INSERT INTO t SELECT i, 1 FROM generate_series(%s::bigint, %s::bigint) AS i",
                 ROWS, 10 * ROWS)
        options = {"mode": "upsert", "conflict_columns": ["id"], "delete_missing": True}
        with self.job(**options) as job:
            tokens = [write_part(job.ticket, n, self.url, 3, **options) for n in range(2)]
            job.commit(tokens)
        self.assertEqual(self.table(), (2 * ROWS, 2 * ROWS, 2 * ROWS * 3))

    def test_one_process_replaces_the_table_in_one_transaction(self):
        self.sql("INSERT INTO t VALUES (-1, 1)")
        pgsink.write(rows_of(0, 2), self.url, "t", mode="replace")
        self.assertEqual(self.table(), (ROWS, ROWS, 2 * ROWS))
        with self.assertRaises(pgsink.Error):
            pgsink.write([rows_of(1), {"no": "frame"}], self.url, "t", mode="replace")
        self.assertEqual(self.table(), (ROWS, ROWS, 2 * ROWS))
        snapshot = rows_of(0, 5).slice(0, 10)
        pgsink.write(snapshot, self.url, "t", mode="upsert", delete_missing=True)
        self.assertEqual(self.table(), (10, 10, 50))
        pgsink.write(snapshot.slice(0, 0), self.url, "t", mode="replace")
        self.assertEqual(self.table(), (0, 0, 0))

    # ---- Ctrl-C ----------------------------------------------------------------------------------

    PROGRAM = """
import sys
import pgsink
import job_test
url, held = sys.argv[1:]
options = {"like": job_test.rows_of(0), "epoch": 1, "host": "h"}
print("ready", flush=True)
try:
    if held == "job":
        pgsink.job(url, "t", **options)
    with pgsink.job(url, "t", **options) as job:
        tokens = [job_test.write_part(job.ticket, 0, url)]
        print("staged", flush=True)
        sys.stdin.readline()
        job.commit(tokens)
except KeyboardInterrupt as reason:
    print("interrupted", reason, flush=True)
    sys.exit(7)
"""

    def test_ctrl_c_ends_a_wait_and_nothing_is_half_written(self):
        self.job(epoch=0).close()  # Makes the table of jobs.
        for held in ("commit", "job"):
            with self.subTest(held):
                holder = psycopg.connect(self.url)
                self.addCleanup(holder.close)
                if held == "job":
                    holder.execute("SELECT 1 FROM pgsink_jobs FOR UPDATE")
                child = subprocess.Popen(
                    [sys.executable, "-c", self.PROGRAM, self.url, held], text=True,
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parent)
                self.assertEqual(child.stdout.readline(), "ready\n")
                if held == "commit":
                    self.assertEqual(child.stdout.readline(), "staged\n")
                    holder.execute("LOCK TABLE t")
                    child.stdin.write("\n")
                    child.stdin.flush()
                self.eventually(lambda: self.sql("SELECT 1 FROM pg_locks WHERE NOT granted"))
                child.send_signal(signal.SIGINT)
                out, _ = child.communicate(timeout=PATIENCE_SECONDS)
                self.assertEqual(child.returncode, 7, out)
                self.assertIn("interrupted", out)
                holder.close()
        with self.job(epoch=1, host="h") as job:
            job.commit(self.parts(job))
        self.assertIn(self.table(), (self.all_of(), (ROWS, ROWS, 0)))

    def eventually(self, holds):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not holds():
            self.assertLess(time.monotonic(), deadline, "it never came")
            time.sleep(0.01)

    def test_an_error_in_the_block_aborts(self):
        with self.assertRaises(ZeroDivisionError), self.job() as job:
            ticket, tokens = job.ticket, self.parts(job)
            raise ZeroDivisionError
        self.assertEqual(self.stages(), 0)
        with pgsink.resume(ticket, self.url, "t") as late:
            with self.assertRaisesRegex(pgsink.OutcomeError, "run the job again"):
                late.commit(tokens)
        self.assertEqual(self.table(), (0, 0, 0))


if __name__ == "__main__":
    unittest.main()
