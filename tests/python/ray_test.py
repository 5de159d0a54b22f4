"""Ray Data writes through the package, with workers of its own.

  FOLDER/venv/bin/python -m pip install ray
  tests/python/run LIBRARY FOLDER ray_test

tests/soak does that.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

import psycopg

from server import PATIENCE_SECONDS, Server

try:
    import ray

    import ray_driver
except ImportError:
    ray = None


@unittest.skipIf(ray is None, "Ray is not installed")
class RayTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.url = cls.server.url("postgres")
        # Workers do not have the modules of the tests.
        ray.cloudpickle.register_pickle_by_value(ray_driver)
        ray_driver.start(cls.url)

    @classmethod
    def tearDownClass(cls):
        ray.shutdown()
        cls.server.stop()

    def setUp(self):
        self.sql("DROP TABLE IF EXISTS t, pgsink_jobs; CREATE TABLE t (id bigint PRIMARY KEY)")

    def sql(self, text):
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(text)
            return cursor.fetchall() if cursor.description else []

    def write(self, dataset, **options):
        import pgsink.ray

        dataset.write_datasink(pgsink.ray.PgSink("${env:PGSINK_TEST_URL}", "t", **options),
                               ray_remote_args={"max_retries": 3})

    def test_appends_upserts_and_replaces(self):
        self.write(ray.data.range(1000, override_num_blocks=6))
        self.assertEqual(self.sql("SELECT count(*), sum(id) FROM t"), [(1000, 499500)])
        self.write(ray.data.range(1500), mode="upsert", conflict_columns="id")
        self.assertEqual(self.sql("SELECT count(*) FROM t"), [(1500,)])
        self.write(ray.data.range(10), mode="replace")
        self.assertEqual(self.sql("SELECT count(*) FROM t"), [(10,)])
        self.assertEqual(self.sql("SELECT 1 FROM pg_class WHERE relname LIKE 'pgsink_stage%'"), [])

    def test_a_dataset_that_is_only_read(self):
        """Ray would write in the tasks that read, and not say the columns."""
        import pgsink.ray

        for first, like in ((0, None), (1, ray.data.range(1).schema().base_schema)):
            sink = pgsink.ray.PgSink(self.url, "t", like=like, mode="replace")
            ray.data.range(1000 + first, override_num_blocks=6).write_datasink(sink)
            self.expect_rows(1000 + first)

    def test_a_repeated_epoch_writes_nothing(self):
        for count in (10, 20):
            self.write(ray.data.range(count), sink_id="nightly", epoch=7, host="scheduler")
        self.assertEqual(self.sql("SELECT count(*) FROM t"), [(10,)])

    def test_a_job_that_fails_writes_nothing(self):
        self.sql("INSERT INTO t VALUES (999)")
        with self.assertRaises(Exception):
            self.write(ray.data.range(1000, override_num_blocks=6))
        self.assertEqual(self.sql("SELECT count(*) FROM t"), [(1,)])

    def folder(self):
        made = tempfile.mkdtemp(prefix="pgsink-ray.")
        self.addCleanup(shutil.rmtree, made, ignore_errors=True)
        return Path(made)

    def expect_rows(self, count):
        self.assertEqual(self.sql("SELECT count(*), count(DISTINCT id), min(id), max(id) FROM t"),
                         [(count, count, 0, count - 1)])
        self.assertEqual(self.sql("SELECT 1 FROM pg_class WHERE relname LIKE 'pgsink_stage%'"), [])
        self.assertEqual(self.sql("SELECT 1 FROM pg_prepared_xacts"), [])

    def test_killed_workers_are_repeated(self):
        """Each task kills its process when it has written its rows for the first time."""
        folder = str(self.folder())

        def die_once(task):
            mark = Path(folder) / str(task)
            if not mark.exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)

        ray.data.range(ray_driver.ROWS, override_num_blocks=6).write_datasink(
            ray_driver.sink_that(die_once), ray_remote_args={"max_retries": -1})
        self.assertTrue(os.listdir(folder))
        self.expect_rows(ray_driver.ROWS)

    def test_tasks_that_fail_are_repeated(self):
        folder = str(self.folder())

        def fail_once(task):
            mark = Path(folder) / str(task)
            if not mark.exists():
                mark.touch()
                raise OSError("the first attempt fails")

        ray.data.range(ray_driver.ROWS, override_num_blocks=6).write_datasink(
            ray_driver.sink_that(fail_once),
            ray_remote_args={"max_retries": 3, "retry_exceptions": True})
        self.assertTrue(os.listdir(folder))
        self.expect_rows(ray_driver.ROWS)

    def test_the_driver_is_killed(self):
        """It runs again with the same number, and then a third time for nothing."""
        folder = self.folder()
        driver = self.start_driver(folder)
        deadline = time.monotonic() + 5 * PATIENCE_SECONDS
        try:
            while not any(folder.glob("held*")):
                self.assertIsNone(driver.poll(), "the driver has failed")
                self.assertLess(time.monotonic(), deadline, "no task has written")
                time.sleep(0.02)
        finally:
            if driver.poll() is None:
                os.killpg(driver.pid, signal.SIGKILL)
            driver.wait()
        self.assertEqual(self.sql("SELECT count(*) FROM t"), [(0,)])
        (folder / "go").touch()
        for _ in range(2):
            self.assertEqual(self.start_driver(folder).wait(), 0)
            self.expect_rows(ray_driver.ROWS)
        self.assertEqual(self.sql("SELECT epoch, host FROM pgsink_jobs"), [(7, "scheduler")])

    def start_driver(self, folder):
        script = Path(__file__).with_name("ray_driver.py")
        environment = {name: text for name, text in os.environ.items()
                       if not name.startswith("RAY_")}
        return subprocess.Popen([sys.executable, script, self.url, folder], env=environment,
                                start_new_session=True, stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    unittest.main()
