"""``df.write.format("pgsink")``: a Spark write is one job, atomic, in every write mode.

Spark finds this package by its name; nothing has to be registered. It needs PySpark 4.
"""

from __future__ import annotations

from typing import Any, Iterator, Mapping

import pgsink
from pyspark import TaskContext
from pyspark.sql.datasource import DataSource, DataSourceArrowWriter, WriterCommitMessage
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import StructType

__all__ = ["DefaultSource"]

# What job() takes beside the options of a sink.
_OF_THE_JOB = ("epoch", "numbered_by", "atomic")


class DefaultSource(DataSource):
    """The data source with the name ``pgsink``."""

    @classmethod
    def name(cls) -> str:
        """Return what ``format()`` is given."""
        return "pgsink"

    def writer(self, schema: StructType, overwrite: bool) -> DataSourceArrowWriter:
        """Open the job. ``overwrite`` replaces the rows of the table."""
        return _JobWriter(dict(self.options), schema, overwrite)


class _Token(WriterCommitMessage):
    """What a task returns."""

    def __init__(self, text: str) -> None:
        self.text = text


class _JobWriter(DataSourceArrowWriter):
    """One write. It is pickled with its ticket and the options as they were given: secrets are
    looked up where they are used."""

    def __init__(self, options: Mapping[str, str], schema: StructType, overwrite: bool) -> None:
        self._options = {key: text for key, text in options.items() if key not in _OF_THE_JOB}
        given = {key: options[key] for key in _OF_THE_JOB if key in options}
        with pgsink.job(
            like=to_arrow_schema(schema),
            epoch=int(given.get("epoch", "0")),
            host=given.get("numbered_by", ""),
            atomic=given.get("atomic", "auto"),
            replace=overwrite,
            **pgsink.from_environment(self._options),
        ) as job:
            self._ticket = job.ticket
            self._epoch = job.epoch

    def write(self, iterator: Iterator[Any]) -> WriterCommitMessage:
        """Write the rows of one task; a repeated task writes a part of its own."""
        context = TaskContext.get()
        assert context is not None
        options = pgsink.from_environment(self._options)
        with pgsink.part(self._ticket, context.partitionId(), **options) as part:
            for batch in iterator:
                part.write(batch)
            return _Token(part.finish())

    def commit(self, messages: list[WriterCommitMessage | None]) -> None:
        """Make the rows visible, all or none."""
        tokens = []
        for number, message in enumerate(messages):
            if not isinstance(message, _Token):
                raise RuntimeError(
                    f"task {number} of {len(messages)} returned nothing, so its rows are not known "
                    "to be written: nothing is committed, run the write again"
                )
            tokens.append(message.text)
        with pgsink.resume(self._ticket, **pgsink.from_environment(self._options)) as job:
            job.commit(tokens)

    def abort(self, messages: list[WriterCommitMessage | None]) -> None:
        """Drop what the tasks have written."""
        del messages
        with pgsink.resume(self._ticket, **pgsink.from_environment(self._options)) as job:
            job.abort()
