#!/usr/bin/env python3
"""Loads CSV files into one table by several processes: all files become visible at once, or none.

  examples/job_multiprocessing.py URL TABLE FILE.csv…

A file is a partition of the job. Rows of a key that the table has replace those there. Run it again
after a failure: nothing of the failed run is in the table. Needs the packages pgsink and pyarrow.
"""

import multiprocessing
import sys

import pyarrow.csv

import pgsink


def load(work):
    """A task: it may run anywhere, and needs the ticket only."""
    ticket, partition, path, url, table = work
    with pgsink.part(ticket, partition, url, table, mode="upsert", conflict_columns="id") as part:
        for batch in pyarrow.csv.open_csv(path):
            part.write(batch)
        return part.finish()


def main():
    url, table, *paths = sys.argv[1:]
    columns = pyarrow.csv.open_csv(paths[0]).schema
    with pgsink.job(url, table, like=columns, mode="upsert", conflict_columns="id") as job:
        work = [(job.ticket, number, path, url, table) for number, path in enumerate(paths)]
        with multiprocessing.get_context("spawn").Pool() as pool:
            tokens = pool.map(load, work)
        print(job.commit(tokens))


if __name__ == "__main__":
    main()
