"""Spark writes through the package, with executors of its own. Needs PySpark 4 and Java.

  FOLDER/venv/bin/python -m pip install pyspark
  tests/python/run LIBRARY FOLDER spark_test

tests/soak does that.
"""

import os
import signal
import tempfile
import unittest
from pathlib import Path

from spark_support import SparkCase


class SparkTest(SparkCase):
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


if __name__ == "__main__":
    unittest.main()
