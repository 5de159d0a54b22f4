"""A driver of one write, for a test that kills it: spark_write_driver.py MASTER URL FOLDER."""

import sys
from pathlib import Path

from spark_support import session

ROWS = 40_000


def held(folder):
    """Tasks that pass their first rows on, and the others once FOLDER/go is there."""
    def run(batches):
        import os
        import time

        for batch in batches:
            yield batch
            (Path(folder) / f"held{os.getpid()}").touch()
            while not (Path(folder) / "go").exists():
                time.sleep(0.02)

    return run


if __name__ == "__main__":
    master, url, folder = sys.argv[1:]
    spark = session(url, master, **{"spark.cores.max": "3", "spark.executor.cores": "1"})
    frame = spark.range(0, ROWS, 1, 4).selectExpr("id", "'n' AS name")
    (frame.mapInArrow(held(folder), "id long, name string").write.format("pgsink").mode("append")
     .option("url", "${env:PGSINK_TEST_URL}").option("table", "t")
     .option("sink_id", "nightly").option("epoch", "7").save())
    spark.stop()
