"""A driver of one write of Ray, for a test that kills it: ray_driver.py URL FOLDER.

Its tasks have written their rows, and end once FOLDER/go is there.
"""

import os
import sys
import time
from pathlib import Path

import ray

import pgsink.ray

ROWS = 6000


def start(url):
    """Three workers, each with one core."""
    os.environ["PGSINK_TEST_URL"] = url
    # For a busy machine, on which workers would hardly run.
    os.environ["RAY_worker_niceness"] = "0"
    os.environ["RAY_raylet_start_wait_time_s"] = "600"
    ray.init(num_cpus=3, include_dashboard=False, log_to_driver=False,
             runtime_env={"env_vars": {"PGSINK_TEST_URL": url}})


def sink_that(after_each_block, **options):
    """A sink whose tasks do something after each block that they have written."""
    class Sink(pgsink.ray.PgSink):
        def write(self, blocks, ctx):
            def passed():
                for block in blocks:
                    yield block
                    after_each_block(ctx.task_idx)

            return super().write(passed(), ctx)

    return Sink("${env:PGSINK_TEST_URL}", "t", **options)


def held(folder):
    """Waits for FOLDER/go."""
    def wait(task):
        (Path(folder) / f"held{task}").touch()
        while not (Path(folder) / "go").exists():
            time.sleep(0.02)

    return wait


if __name__ == "__main__":
    ray.cloudpickle.register_pickle_by_value(sys.modules["__main__"])
    start(sys.argv[1])
    ray.data.range(ROWS, override_num_blocks=6).write_datasink(
        sink_that(held(sys.argv[2]), sink_id="nightly", epoch=7, host="scheduler"))
