"""A client of Spark Connect writes: the data source runs where the server is. As spark_test.

  FOLDER/venv/bin/python -m pip install 'pyspark[connect]'
"""

import os
import subprocess
import sys
import unittest

import psycopg

from server import Server

try:
    import grpc
    import pyspark
except ImportError:
    grpc = None

CLIENT = """
import os
from pyspark.sql import SparkSession

# A secret of the server's machine, which the client does not have.
spark = (SparkSession.builder.remote("local[2]").config("spark.ui.enabled", "false")
         .config("spark.ui.showConsoleProgress", "false").getOrCreate())
assert type(spark).__module__.startswith("pyspark.sql.connect"), type(spark)
for first, mode in ((0, "append"), (500, "append"), (0, "overwrite")):
    frame = spark.range(first, first + 1000, 1, 2).selectExpr("id", "'n' AS name")
    (frame.write.format("pgsink").mode(mode).option("url", "${env:PGSINK_TEST_URL}")
     .option("table", "t").option("write_mode", "upsert").option("conflict_columns", "id").save())
spark.stop()
"""


@unittest.skipIf(grpc is None, "pyspark[connect] is not installed")
class SparkConnectTest(unittest.TestCase):
    def test_a_client_writes(self):
        server = Server()
        self.addCleanup(server.stop)
        url = server.url("postgres")
        with psycopg.connect(url, autocommit=True) as admin:
            admin.execute("CREATE TABLE t (id bigint PRIMARY KEY, name text)")
            done = subprocess.run(
                [sys.executable, "-c", CLIENT], capture_output=True, text=True,
                env={**os.environ, "PYSPARK_PYTHON": sys.executable, "PGSINK_TEST_URL": url})
            self.assertEqual(done.returncode, 0, done.stderr)
            counted = admin.execute("SELECT count(*), min(id), max(id) FROM t").fetchone()
        self.assertEqual(counted, (1000, 0, 999))


if __name__ == "__main__":
    unittest.main()
