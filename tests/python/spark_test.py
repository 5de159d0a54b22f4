"""Spark writes through the package, with executors of its own. Needs PySpark 4 and Java.

  FOLDER/venv/bin/python -m pip install pyspark
  tests/python/run LIBRARY FOLDER spark_test

tests/soak does that.
"""

import os
import signal
import sys
import tempfile
import unittest
from pathlib import Path

import psycopg

from server import Server

try:
    import pyspark
    from pyspark.sql import SparkSession
except ImportError:
    pyspark = None


@unittest.skipIf(pyspark is None, "PySpark is not installed")
class SparkTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.url = cls.server.url("postgres")
        os.environ["PYSPARK_PYTHON"] = sys.executable
        os.environ["PGSINK_TEST_URL"] = cls.url
        cls.spark = (
            SparkSession.builder.master("local-cluster[2,1,1024]")
            .config("spark.ui.enabled", "false")
            .config("spark.sql.shuffle.partitions", "4")
            .config("spark.executorEnv.PGSINK_TEST_URL", cls.url)
            .config("spark.log.level", "ERROR")
            .getOrCreate()
        )

    @classmethod
    def tearDownClass(cls):
        cls.spark.stop()
        cls.server.stop()

    def setUp(self):
        self.sql("DROP TABLE IF EXISTS t; CREATE TABLE t (id bigint PRIMARY KEY, name text)")

    def sql(self, text):
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(text)
            return cursor.fetchall() if cursor.description else []

    def rows(self, first, count, name="n"):
        frame = self.spark.range(first, first + count, 1, 4)
        return frame.selectExpr("id", f"'{name}' AS name")

    def writer(self, frame, **options):
        # The secret is looked up on each machine.
        given = {"url": "${env:PGSINK_TEST_URL}", "table": "t", **options}
        return frame.write.format("pgsink").options(**given)

    def staged(self):
        return self.sql("SELECT relname FROM pg_class WHERE relname LIKE 'pgsink_stage%'")

    def test_appends_upserts_and_overwrites(self):
        self.writer(self.rows(0, 1000)).mode("append").save()
        self.assertEqual(self.sql("SELECT count(*), sum(id) FROM t"), [(1000, 499500)])
        self.writer(self.rows(500, 1000, "m"), write_mode="upsert",
                    conflict_columns="id").mode("append").save()
        self.assertEqual(self.sql("SELECT count(*), count(*) FILTER (WHERE name = 'm') FROM t"),
                         [(1500, 1000)])
        self.writer(self.rows(0, 10)).mode("overwrite").save()
        self.assertEqual(self.sql("SELECT count(*), max(id) FROM t"), [(10, 9)])
        self.assertEqual(self.staged(), [])

    def test_a_repeated_epoch_writes_nothing(self):
        for first in (0, 100):
            self.writer(self.rows(first, 100), sink_id="nightly", epoch="20261130",
                        numbered_by="scheduler").mode("append").save()
        self.assertEqual(self.sql("SELECT count(*), max(id) FROM t"), [(100, 99)])

    def test_a_job_that_fails_writes_nothing(self):
        self.sql("INSERT INTO t VALUES (999, 'there')")
        with self.assertRaises(Exception):
            self.writer(self.rows(0, 1000)).mode("append").save()
        self.assertEqual(self.sql("SELECT count(*) FROM t"), [(1,)])

    def test_tasks_that_die_are_repeated(self):
        """Half of the first attempts kill their Python worker after it has written something."""
        marks = tempfile.mkdtemp()

        def die_once(batches):
            for number, batch in enumerate(batches):
                yield batch
                mark = Path(marks) / str(batch.column(0)[0])
                if number == 0 and batch.column(0)[0].as_py() % 2 == 0 and not mark.exists():
                    mark.touch()
                    os.kill(os.getpid(), signal.SIGKILL)

        frame = self.rows(0, 40_000).mapInArrow(die_once, "id bigint, name string")
        self.writer(frame).mode("append").save()
        self.assertTrue(os.listdir(marks))
        self.assertEqual(self.sql("SELECT count(*), sum(id) FROM t"), [(40_000, 799_980_000)])

    def test_micro_batches_are_written_once(self):
        """A replayed batch has its number again, and is not written again."""
        for batch in (0, 1, 1, 2):
            self.writer(self.rows(batch * 100, 100), sink_id="clicks", epoch=str(batch + 1),
                        numbered_by="query").mode("append").save()
        self.assertEqual(self.sql("SELECT count(*) FROM t"), [(300,)])
        with self.assertRaisesRegex(Exception, "another query"):
            self.writer(self.rows(900, 100), sink_id="clicks", epoch="1",
                        numbered_by="another query").mode("append").save()


if __name__ == "__main__":
    unittest.main()
