"""A driver of one stream, for a test that kills it: spark_stream_driver.py FOLDER URL.

It writes the files of FOLDER/in into the table t, with the checkpoint FOLDER/checkpoint, and ends
when none is left.
"""

import sys

from spark_support import session


def start(spark, folder, **options):
    """Starts the query; it ends when no file is left."""
    given = {"url": "${env:PGSINK_TEST_URL}", "table": "t", "sink_id": "clicks",
             "checkpointLocation": f"{folder}/checkpoint", **options}
    return (spark.readStream.schema("id bigint, name string").option("maxFilesPerTrigger", "1")
            .json(f"{folder}/in").repartition(2)
            .writeStream.format("pgsink").options(**given).trigger(availableNow=True).start())


if __name__ == "__main__":
    start(session(sys.argv[2], "local[2]"), sys.argv[1]).awaitTermination()
