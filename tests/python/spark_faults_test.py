"""Jobs of Spark while workers, executors and drivers are killed, and tasks run twice. As spark_test.

Once with the executors of local-cluster, once with a standalone master and three workers: each
class in a process of its own.
"""

import ctypes
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import unittest
from pathlib import Path

import spark_support
from server import PR_SET_PDEATHSIG, free_port
from spark_support import QUICK_JAVA, SparkCase, below, kill, wait_until
from spark_write_driver import ROWS, held

HOSTS = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
"""Of the workers: Spark runs a second attempt of a task on another host only."""


def twice(folder, winner):
    """A task that runs twice at the same time: the loser has written its rows, and never ends."""
    def run(batches):
        import time

        from pyspark import TaskContext

        context = TaskContext.get()
        yield from batches
        if context.partitionId() != 0:
            return
        attempt = context.attemptNumber()
        (Path(folder) / f"attempt{attempt}").touch()
        awaited = Path(folder) / (f"attempt{1 - attempt}" if attempt == winner else "ended")
        while not awaited.exists():
            time.sleep(0.02)

    return run


class Faults:
    """The tests of both kinds of clusters."""

    def setUp(self):
        super().setUp()
        self.folder = Path(tempfile.mkdtemp(prefix="pgsink-faults."))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def write_while(self, action):
        """Writes ROWS rows, and does something when a task has rows that it has not ended with."""
        failed = []

        def act():
            try:
                wait_until(lambda: any(self.folder.glob("held*")), "a task has begun to write")
                action()
            except Exception as error:  # It is shown where the test ends.
                failed.append(error)
            finally:
                (self.folder / "go").touch()

        acting = threading.Thread(target=act)
        acting.start()
        # Not in the other thread: Spark finds data sources by the session of the thread.
        frame = self.rows(0, ROWS).mapInArrow(held(str(self.folder)), "id long, name string")
        self.writer(frame).mode("append").save()
        acting.join()
        self.assertEqual(failed, [])
        self.expect_rows(ROWS)

    def expect_rows(self, count):
        """What a killed process has held at the commit is dropped by the next job."""
        if self.staged():
            self.wait_for_the_dead()
            self.writer(self.rows(0, 0)).mode("append").save()
        super().expect_rows(count)

    def executors(self):
        return below(os.getpid(), b"CoarseGrainedExecutorBackend")

    def test_python_workers_are_killed(self):
        def kill_workers():
            # Executors start daemons, which fork the workers.
            daemons = [pid for executor in self.executors()
                       for pid in below(executor, b"pyspark.daemon")]
            workers = [pid for pid in daemons if spark_support.parent_of(pid) in daemons]
            self.assertTrue(workers)
            for pid in workers:
                kill(pid)

        self.write_while(kill_workers)

    def test_an_executor_is_killed(self):
        def kill_one():
            executors = wait_until(self.executors, "there are executors")
            kill(executors[0])

        self.write_while(kill_one)

    def test_tasks_that_fail_are_repeated(self):
        folder = str(self.folder)

        def fail_once(batches):
            for batch in batches:
                yield batch
                mark = Path(folder) / str(batch.column(0)[0])
                if not mark.exists():
                    mark.touch()
                    raise RuntimeError("the first attempt fails")

        frame = self.rows(0, ROWS).mapInArrow(fail_once, "id long, name string")
        self.writer(frame).mode("append").save()
        self.assertTrue(any(self.folder.iterdir()))
        self.expect_rows(ROWS)

    def test_the_driver_is_killed(self):
        """It runs again with the same number, and then a third time for nothing."""
        driver = self.start_driver()
        try:
            wait_until(lambda: any(self.folder.glob("held*")) or driver.poll() is not None,
                       "a task has begun to write")
        finally:
            if driver.poll() is None:
                os.killpg(driver.pid, signal.SIGKILL)  # With its JVM.
            driver.wait()
        self.wait_for_the_dead()
        self.assertEqual(self.sql("SELECT count(*) FROM t"), [(0,)])
        self.assertEqual(len(self.staged()), 1)
        (self.folder / "go").touch()
        for _ in range(2):
            self.assertEqual(self.start_driver().wait(), 0)
            self.expect_rows(ROWS)
        self.assertEqual(self.sql("SELECT epoch FROM pgsink_jobs"), [(7,)])

    def start_driver(self):
        script = Path(__file__).with_name("spark_write_driver.py")
        return subprocess.Popen([sys.executable, script, self.master, self.url, self.folder],
                                start_new_session=True, stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL)


class LocalClusterFaultsTest(Faults, SparkCase):
    pass


class StandaloneFaultsTest(Faults, SparkCase):
    settings = {
        "spark.cores.max": "3",
        "spark.executor.cores": "1",
        "spark.scheduler.minRegisteredResourcesRatio": "1.0",
        "spark.scheduler.maxRegisteredResourcesWaitingTime": "600s",
        "spark.speculation": "true",
        "spark.speculation.interval": "100ms",
        "spark.speculation.minTaskRuntime": "100ms",
        "spark.speculation.quantile": "0.5",
        "spark.speculation.multiplier": "1.1",
    }

    @classmethod
    def setUpClass(cls):
        cls.work = Path(tempfile.mkdtemp(prefix="pgsink-spark."))
        cls.processes = []
        port = free_port()
        cls.master = f"spark://{HOSTS[0]}:{port}"
        cls.launch("master", "master.Master", "--host", HOSTS[0], "--port", str(port),
                   "--webui-port", str(free_port()))
        wait_until(lambda: "New state: ALIVE" in cls.log("master"), "the master is up")
        for number, host in enumerate(HOSTS):
            cls.launch(f"worker{number}", "worker.Worker", "--host", host, "--cores", "2",
                       "--memory", "2g", "--work-dir", str(cls.work / f"work{number}"),
                       "--webui-port", str(free_port()), cls.master)
        wait_until(lambda: len(re.findall("Registering worker", cls.log("master"))) == len(HOSTS),
                   "the workers are registered")
        super().setUpClass()

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        for process in reversed(cls.processes):
            process.terminate()
            process.wait()
        shutil.rmtree(cls.work, ignore_errors=True)

    @classmethod
    def launch(cls, name, role, *arguments):
        home = Path(spark_support.pyspark.__file__).parent
        environment = {**os.environ, "SPARK_DAEMON_JAVA_OPTS": QUICK_JAVA, "SPARK_HOME": str(home),
                       "SPARK_DAEMON_MEMORY": "256m", "SPARK_NO_DAEMONIZE": "1"}
        with (cls.work / name).open("wb") as log:
            cls.processes.append(subprocess.Popen(
                [home / "bin" / "spark-class", f"org.apache.spark.deploy.{role}", *arguments],
                env=environment, stdout=log, stderr=log, preexec_fn=lambda: ctypes.CDLL(None).prctl(
                    PR_SET_PDEATHSIG, signal.SIGKILL)))

    @classmethod
    def log(cls, name):
        return (cls.work / name).read_text(errors="replace")

    def test_the_second_of_two_attempts_wins(self):
        self.run_twice(winner=1)

    def test_the_first_of_two_attempts_wins(self):
        self.run_twice(winner=0)

    def run_twice(self, winner):
        frame = self.rows(0, ROWS).mapInArrow(twice(str(self.folder), winner),
                                              "id long, name string")
        try:
            self.writer(frame).mode("append").save()
        finally:
            (self.folder / "ended").touch()
        self.assertTrue((self.folder / "attempt1").exists())
        self.expect_rows(ROWS)


if __name__ == "__main__":
    unittest.main()
