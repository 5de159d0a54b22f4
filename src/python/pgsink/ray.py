"""``dataset.write_datasink(pgsink.ray.PgSink(…))``: a write of Ray Data is one job, atomic."""

from __future__ import annotations

from typing import Any, Iterable

from ray.data import Datasink
from ray.data.block import BlockAccessor

import pgsink

__all__ = ["PgSink"]


class PgSink(Datasink[str]):
    """Write a dataset into one table: all rows become visible at once, or none do.

    Parameters
    ----------
    url, table : str
        As for ``pgsink.Sink``. A value ``${env:NAME}`` is looked up on each machine.
    like : object, optional
        Anything with the columns of the rows. Without it the dataset says them, and a dataset
        without rows writes nothing.
    **options
        Those of ``pgsink.job()``: ``mode``, ``conflict_columns``, ``sink_id``, ``epoch``, … ``host``
        says who numbers the epochs.
    """

    def __init__(
        self,
        url: str | None = None,
        table: str | None = None,
        *,
        like: Any = None,
        **options: Any,
    ) -> None:
        self._like = like
        self._of_the_job = {
            key: options.pop(key) for key in ("epoch", "host", "atomic", "replace") if key in options
        }
        if options.get("mode") == "replace":
            options["mode"], self._of_the_job["replace"] = None, True
        self._options = {"url": url, "table": table, **options}
        self._ticket: str | None = None

    @property
    def min_bytes_per_write(self) -> int | None:
        """Keep Ray from writing in the tasks that read, since the columns are not known then."""
        return 1 if self._like is None else None

    def on_write_start(self, schema: Any = None) -> None:
        """Open the job."""
        like = schema if self._like is None else self._like
        if like is None:
            raise pgsink.UsageError("PgSink: the dataset does not say its columns: give like=…")
        options = pgsink.from_environment(self._options)
        with pgsink.job(like=like, **self._of_the_job, **options) as job:
            self._ticket = job.ticket

    def write(self, blocks: Iterable[Any], ctx: Any) -> str:
        """Write the blocks of one task; a repeated task writes a part of its own."""
        assert self._ticket is not None
        options = pgsink.from_environment(self._options)
        with pgsink.part(self._ticket, ctx.task_idx, **options) as part:
            for block in blocks:
                rows = BlockAccessor.for_block(block).to_arrow()
                if rows.num_rows > 0:
                    part.write(rows)
            return part.finish()

    def on_write_complete(self, write_result: Any) -> None:
        """Commit the job."""
        if self._ticket is None:
            if self._like is None:
                return
            self.on_write_start()
        with self._resumed() as job:
            job.commit(write_result.write_returns)

    def on_write_failed(self, error: Exception) -> None:
        """Drop what the tasks have written."""
        del error
        if self._ticket is not None:
            with self._resumed() as job:
                job.abort()

    def _resumed(self) -> pgsink.Job:
        assert self._ticket is not None
        return pgsink.resume(self._ticket, **pgsink.from_environment(self._options))
