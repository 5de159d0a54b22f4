"""Streams of Spark are written exactly once, whatever is killed. As spark_test.

PGSINK_SPARK_RESTARTS is how often a stream is stopped and started.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import unittest
from pathlib import Path

import psycopg

from spark_stream_driver import start
from spark_support import SparkCase, wait_until

ROWS = 200
"""Rows of a file, which is a micro-batch."""

RESTARTS = int(os.environ.get("PGSINK_SPARK_RESTARTS", "30"))


class SparkStreamTest(SparkCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(tempfile.mkdtemp(prefix="pgsink-stream."))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        (self.folder / "in").mkdir()
        self.files = 0

    def add_files(self, count):
        for _ in range(count):
            first = self.files * ROWS
            lines = [json.dumps({"id": n, "name": f"n{n}"}) for n in range(first, first + ROWS)]
            hidden = self.folder / f"_{self.files}"
            hidden.write_text("\n".join(lines))
            os.utime(hidden, (self.files, self.files))  # Spark takes them in this order.
            hidden.rename(self.folder / "in" / f"{self.files:06}.json")
            self.files += 1

    def start(self, **options):
        return start(self.spark, self.folder, **options)

    def run_to_the_end(self, **options):
        self.start(**options).awaitTermination()

    def expect_input(self):
        self.expect_rows(self.files * ROWS)

    def commits(self):
        return sorted((self.folder / "checkpoint" / "commits").glob("[0-9]*"),
                      key=lambda path: int(path.name))

    def forget_the_last_commit(self):
        """Spark writes the last batch again, because its log does not say that it is written."""
        last = self.commits()[-1]
        last.unlink()
        (last.parent / f".{last.name}.crc").unlink(missing_ok=True)

    def test_a_replayed_batch_is_not_written_again(self):
        self.add_files(3)
        self.run_to_the_end()
        self.expect_input()
        self.assertEqual(self.sql("SELECT epoch FROM pgsink_jobs"), [(3,)])
        before = self.sql("SELECT sum(xmin::text::bigint) FROM t")
        self.forget_the_last_commit()
        self.run_to_the_end()
        self.assertEqual(len(self.commits()), 3)
        self.assertEqual(self.sql("SELECT sum(xmin::text::bigint) FROM t"), before)
        self.expect_input()
        self.add_files(1)
        self.run_to_the_end()
        self.expect_input()
        query = json.loads((self.folder / "checkpoint" / "metadata").read_text())["id"]
        self.assertEqual(self.sql("SELECT epoch, host FROM pgsink_jobs"), [(4, query)])

    def test_a_new_checkpoint_is_an_error(self):
        self.add_files(2)
        self.run_to_the_end()
        shutil.rmtree(self.folder / "checkpoint")
        with self.assertRaisesRegex(Exception, "were numbered by host"):
            self.run_to_the_end()
        self.assertEqual(self.sql("SELECT count(*) FROM t"), [(2 * ROWS,)])
        # What the message says: another name, which here writes other rows over the same keys.
        shutil.rmtree(self.folder / "checkpoint")
        self.run_to_the_end(sink_id="clicks-2", write_mode="upsert", conflict_columns="id")
        self.expect_input()

    def test_the_number_is_not_an_option(self):
        self.add_files(1)
        with self.assertRaisesRegex(Exception, "a stream numbers its batches itself"):
            self.run_to_the_end(epoch="1")

    def test_complete_replaces_the_table(self):
        self.sql("DROP TABLE t; CREATE TABLE t (name text, count bigint)")
        self.add_files(2)
        counted = (self.spark.readStream.schema("id bigint, name string")
                   .option("maxFilesPerTrigger", "1").json(str(self.folder / "in"))
                   .selectExpr("'all' AS name").groupBy("name").count())
        (counted.writeStream.format("pgsink").outputMode("complete")
         .option("url", "${env:PGSINK_TEST_URL}").option("table", "t")
         .option("checkpointLocation", str(self.folder / "checkpoint"))
         .trigger(availableNow=True).start().awaitTermination())
        self.assertEqual(self.sql("SELECT name, count FROM t"), [("all", 2 * ROWS)])

    def test_a_refused_batch_is_written_after_the_repair(self):
        self.add_files(3)
        self.sql(f"INSERT INTO t VALUES ({ROWS}, 'in the way')")
        with self.assertRaisesRegex(Exception, "t_pkey"):
            self.run_to_the_end()
        self.assertEqual(self.sql("SELECT count(*) FROM t"), [(ROWS + 1,)])
        self.sql(f"DELETE FROM t WHERE id = {ROWS}")
        self.run_to_the_end()
        self.expect_input()

    # ---- restarts --------------------------------------------------------------------------------

    def when_staged(self, ended, stop):
        """As soon as tasks may write."""
        wait_until(lambda: self.staged() or ended(), "a batch is staged")
        stop()

    def when_written(self, ended, stop):
        """As soon as a batch is visible: Spark's log may not know it yet."""
        before = self.sql("SELECT count(*) FROM t")
        wait_until(lambda: self.sql("SELECT count(*) FROM t") != before or ended(),
                   "a batch is written")
        stop()

    def in_the_commit(self, ended, stop):
        """While the commit waits for a lock."""
        with psycopg.connect(self.url) as blocker:
            blocker.execute("LOCK TABLE t IN SHARE ROW EXCLUSIVE MODE")
            wait_until(lambda: ended() or self.sql(
                "SELECT 1 FROM pg_locks AS l JOIN pg_class AS c ON c.oid = l.relation"
                " WHERE c.relname = 't' AND NOT l.granted"), "a commit waits")
            stop()

    def test_restarts(self):
        """Each sixth time the driver is killed, otherwise the query is stopped."""
        choose = random.Random(20261201)
        for restart in range(RESTARTS):
            self.add_files(choose.randint(1, 3))
            point = choose.choice(sorted(POINTS))
            with self.subTest(restart=restart, point=point):
                if restart % 6 == 0:
                    self.kill_a_driver(point)
                else:
                    self.stop_a_query(point)
                count, different = self.sql("SELECT count(*), count(DISTINCT id) FROM t")[0]
                self.assertEqual(count, different)
                self.assertEqual(count % ROWS, 0)
                if restart % 5 == 4 and self.commits():
                    self.forget_the_last_commit()
        self.wait_for_the_dead()
        self.add_files(1)  # What is left is dropped when the next batch begins.
        self.run_to_the_end()
        self.expect_input()

    def stop_a_query(self, point):
        query = self.start()
        # Not here: stop() waits for a commit, which may wait for a lock of this test.
        stopping = threading.Thread(target=query.stop)
        POINTS[point](self, lambda: not query.isActive, stopping.start)
        stopping.join()

    def kill_a_driver(self, point):
        script = Path(__file__).with_name("spark_stream_driver.py")
        driver = subprocess.Popen([sys.executable, script, self.folder, self.url],
                                  start_new_session=True, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL)

        def end():
            # With its JVM, which is in its process group.
            os.killpg(driver.pid, signal.SIGKILL)
            driver.wait()

        try:
            POINTS[point](self, lambda: driver.poll() is not None, end)
        finally:
            if driver.poll() is None:
                end()


POINTS = {
    "commit": SparkStreamTest.in_the_commit,
    "staged": SparkStreamTest.when_staged,
    "written": SparkStreamTest.when_written,
}
"""When a stream is stopped."""


if __name__ == "__main__":
    unittest.main()
