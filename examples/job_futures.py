#!/usr/bin/env python3
"""Replaces the rows of a table by those of CSV files, once for each day, by several processes.

  examples/job_futures.py URL TABLE DAY FILE.csv…        DAY is a number such as 20261201

Readers see the former rows or the new ones. A day that is committed is not loaded again, so a
scheduler may run this any number of times. A task whose process dies is run again. Needs the
packages pgsink and pyarrow.
"""

import concurrent.futures
import multiprocessing
import sys
from concurrent.futures.process import BrokenProcessPool

import pyarrow.csv

import pgsink

ATTEMPTS = 3


def load(ticket, partition, path, url, table):
    """A task. If it runs twice, one of its tokens is committed."""
    with pgsink.part(ticket, partition, url, table) as part:
        for batch in pyarrow.csv.open_csv(path):
            part.write(batch)
        return part.finish()


def load_all(ticket, paths, url, table):
    """The tokens of all files."""
    tokens = {}
    for attempt in range(1, ATTEMPTS + 1):
        spawn = multiprocessing.get_context("spawn")
        with concurrent.futures.ProcessPoolExecutor(mp_context=spawn) as pool:
            tasks = {pool.submit(load, ticket, number, path, url, table): number
                     for number, path in enumerate(paths) if number not in tokens}
            for task in concurrent.futures.as_completed(tasks):
                try:
                    tokens[tasks[task]] = task.result()
                except BrokenProcessPool:
                    if attempt == ATTEMPTS:
                        raise
        if len(tokens) == len(paths):
            break
    return list(tokens.values())


def main():
    url, table, day, *paths = sys.argv[1:]
    columns = pyarrow.csv.open_csv(paths[0]).schema
    with pgsink.job(url, table, like=columns, sink_id=f"{table} by day", epoch=int(day),
                    replace=True) as job:
        if job.committed:
            print(f"day {day} is loaded already")
            return
        print(job.commit(load_all(job.ticket, paths, url, table)))


if __name__ == "__main__":
    main()
