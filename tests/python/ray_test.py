"""Ray Data writes through the package, with workers of its own.

  FOLDER/venv/bin/python -m pip install ray
  tests/python/run LIBRARY FOLDER ray_test

tests/soak does that.
"""

import os
import tempfile
import unittest
from pathlib import Path

import psycopg

from server import Server

try:
    import ray
except ImportError:
    ray = None


@unittest.skipIf(ray is None, "Ray is not installed")
class RayTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.url = cls.server.url("postgres")
        os.environ["PGSINK_TEST_URL"] = cls.url
        ray.init(num_cpus=3, include_dashboard=False, log_to_driver=False,
                 runtime_env={"env_vars": {"PGSINK_TEST_URL": cls.url}})

    @classmethod
    def tearDownClass(cls):
        ray.shutdown()
        cls.server.stop()

    def setUp(self):
        self.sql("DROP TABLE IF EXISTS t; CREATE TABLE t (id bigint PRIMARY KEY)")

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

    def test_a_repeated_epoch_writes_nothing(self):
        for count in (10, 20):
            self.write(ray.data.range(count), sink_id="nightly", epoch=7, host="scheduler")
        self.assertEqual(self.sql("SELECT count(*) FROM t"), [(10,)])

    def test_a_job_that_fails_writes_nothing(self):
        self.sql("INSERT INTO t VALUES (999)")
        with self.assertRaises(Exception):
            self.write(ray.data.range(1000, override_num_blocks=6))
        self.assertEqual(self.sql("SELECT count(*) FROM t"), [(1,)])

    def test_workers_that_die_are_repeated(self):
        marks = tempfile.mkdtemp()

        def die_once(batch):
            mark = Path(marks) / str(batch["id"][0])
            if not mark.exists():
                mark.touch()
                os._exit(1)
            return batch

        self.write(ray.data.range(6000, override_num_blocks=6).map_batches(die_once))
        self.assertTrue(os.listdir(marks))
        self.assertEqual(self.sql("SELECT count(*), sum(id) FROM t"), [(6000, 17_997_000)])


if __name__ == "__main__":
    unittest.main()
