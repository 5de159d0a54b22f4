"""What the tests of Spark share: a session, a server with a table, and processes that die."""

import os
import signal
import sys
import time
import unittest
from pathlib import Path

import psycopg

from server import PATIENCE_SECONDS, Server

try:
    import pyspark
    from pyspark.sql import SparkSession
except ImportError:
    pyspark = None

CLUSTER = "local-cluster[2,1,1024]"
"""Two executors, each a process with one core."""

QUICK_JAVA = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
"""Starts sooner on a busy machine."""


def wait_until(condition, what, seconds=5 * PATIENCE_SECONDS):
    """Waits for a condition, and returns what it returned."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError("waited in vain until " + what)
        time.sleep(0.02)


def session(url, master=CLUSTER, **settings):
    """A session of Spark; the server is in the environment of its executors only as a secret is."""
    os.environ["PYSPARK_PYTHON"] = sys.executable
    os.environ["PGSINK_TEST_URL"] = url
    builder = SparkSession.builder.master(master)
    given = {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.extraJavaOptions": QUICK_JAVA,
        "spark.executor.extraJavaOptions": QUICK_JAVA,
        "spark.log.level": "OFF",
        "spark.sql.shuffle.partitions": "4",
        "spark.executorEnv.PGSINK_TEST_URL": url,
        "spark.executor.memory": "1g",
        "spark.driver.host": "127.0.0.1",
        "spark.sql.streaming.stopTimeout": "60000",
        **settings,
    }
    for key, value in given.items():
        builder = builder.config(key, value)
    return builder.getOrCreate()


def commands():
    """The processes of this machine, with their commands."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ")
            except OSError:
                pass  # It has ended.
    return found


def parent_of(pid):
    """The parent of a process, or 0."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def descends_from(pid, ancestor):
    """Whether a process was started by another one, or by one that this one has started."""
    while pid > 1:
        if pid == ancestor:
            return True
        pid = parent_of(pid)
    return False


def below(pid, text=b""):
    """The processes that a process has started whose command holds a text."""
    return [found for found, command in commands().items()
            if text in command and found != pid and descends_from(found, pid)]


def kill(pid):
    """Ends a process at once."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


@unittest.skipIf(pyspark is None, "PySpark is not installed")
class SparkCase(unittest.TestCase):
    """Tests with a session and a table t (id, name)."""

    master = CLUSTER
    settings = {}

    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.url = cls.server.url("postgres")
        cls.connection = psycopg.connect(cls.url, autocommit=True)
        cls.spark = session(cls.url, cls.master, **cls.settings)

    @classmethod
    def tearDownClass(cls):
        cls.spark.stop()
        cls.connection.close()
        cls.server.stop()

    def setUp(self):
        self.sql("DROP TABLE IF EXISTS t, pgsink_jobs; "
                 "CREATE TABLE t (id bigint PRIMARY KEY, name text)")

    def sql(self, text):
        cursor = self.connection.execute(text)
        return cursor.fetchall() if cursor.description else []

    def rows(self, first, count, name="n", partitions=4):
        frame = self.spark.range(first, first + count, 1, partitions)
        return frame.selectExpr("id", f"'{name}' AS name")

    def writer(self, frame, **options):
        # The secret is looked up on each machine.
        given = {"url": "${env:PGSINK_TEST_URL}", "table": "t", **options}
        return frame.write.format("pgsink").options(**given)

    def staged(self):
        """Names of staging tables."""
        return self.sql("SELECT relname FROM pg_class WHERE relname LIKE 'pgsink_stage%'")

    def wait_for_the_dead(self):
        """Until the server has ended the sessions of processes that are gone."""
        wait_until(lambda: not self.sql(
            "SELECT 1 FROM pg_stat_activity WHERE application_name LIKE 'pgsink/%'"),
            "the server has ended all sessions")

    def expect_rows(self, count):
        """The table has the rows 0 … count - 1, each once; nothing else is left."""
        self.assertEqual(self.sql("SELECT count(*), count(DISTINCT id), min(id), max(id) FROM t"),
                         [(count, count, 0, count - 1)])
        self.assertEqual(self.staged(), [])
        self.assertEqual(self.sql("SELECT gid FROM pg_prepared_xacts"), [])
