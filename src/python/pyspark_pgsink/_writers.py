"""The writers: one for a frame, one for a stream. Both are pickled and run on several machines.

What is pickled is the ticket of the job, and the options as they were given: secrets are looked up
where they are used.
"""

from __future__ import annotations

from typing import Any, Iterator, Mapping

import pgsink
from pyspark import TaskContext
from pyspark.sql.datasource import (
    DataSourceArrowWriter,
    DataSourceStreamArrowWriter,
    WriterCommitMessage,
)
from pyspark.sql.types import StructType

from ._columns import arrow_schema

# What job() takes beside the options of a sink.
_OF_THE_JOB = ("epoch", "numbered_by", "atomic")

# Options of writeStream that Spark passes on.
_OF_SPARK = ("checkpointlocation", "queryname")

# Spark sets it for the tasks of a micro-batch.
_QUERY = "sql.streaming.queryId"


class Token(WriterCommitMessage):
    """What a task returns: its token, and with streams the ticket of the batch and the query."""

    def __init__(self, text: str, ticket: str, query: str) -> None:
        self.text = text
        self.ticket = ticket
        self.query = query


class _Writer:
    """What both have in common."""

    def __init__(self, options: Mapping[str, str], schema: StructType, overwrite: bool) -> None:
        kept = {key: text for key, text in options.items() if key not in _OF_SPARK}
        self._of_the_job = {key: kept.pop(key) for key in _OF_THE_JOB if key in kept}
        self._options = kept
        self._schema = schema
        self._overwrite = overwrite
        self._ticket = ""

    def _open(self, epoch: int, atomic: str) -> None:
        with pgsink.job(
            like=arrow_schema(self._schema),
            epoch=epoch,
            host=self._of_the_job.get("numbered_by", ""),
            atomic=self._of_the_job.get("atomic", atomic),
            replace=self._overwrite,
            **pgsink.from_environment(self._options),
        ) as job:
            self._ticket = job.ticket

    def _resumed(self, ticket: str) -> pgsink.Job:
        return pgsink.resume(ticket, **pgsink.from_environment(self._options))

    def write(self, iterator: Iterator[Any]) -> WriterCommitMessage:
        """Write the rows of one task; a repeated task writes a part of its own."""
        context = TaskContext.get()
        assert context is not None
        options = pgsink.from_environment(self._options)
        with pgsink.part(self._ticket, context.partitionId(), **options) as part:
            for batch in iterator:
                part.write(batch)
            query = context.getLocalProperty(_QUERY) or ""
            return Token(part.finish(), self._ticket, query)


def _tokens(messages: list[WriterCommitMessage | None]) -> list[Token]:
    """The tokens of all tasks."""
    tokens = []
    for number, message in enumerate(messages):
        if not isinstance(message, Token):
            raise RuntimeError(
                f"task {number} of {len(messages)} returned nothing, so its rows are not known "
                "to be written: nothing is committed, run the write again"
            )
        tokens.append(message)
    return tokens


class BatchWriter(_Writer, DataSourceArrowWriter):
    """One write of a frame, which is one job."""

    def __init__(self, options: Mapping[str, str], schema: StructType, overwrite: bool) -> None:
        super().__init__(options, schema, overwrite)
        self._open(int(self._of_the_job.get("epoch", "0")), "auto")

    def commit(self, messages: list[WriterCommitMessage | None]) -> None:
        """Make the rows visible, all or none."""
        tokens = _tokens(messages)
        with self._resumed(self._ticket) as job:
            job.commit([token.text for token in tokens])

    def abort(self, messages: list[WriterCommitMessage | None]) -> None:
        """Drop what the tasks have written."""
        del messages
        with self._resumed(self._ticket) as job:
            job.abort()


class StreamWriter(_Writer, DataSourceStreamArrowWriter):
    """The micro-batches of a query: each is one job, numbered by the query.

    Spark makes a writer for the tasks of a batch, which it pickles, and another one for the
    commit, which it does not. The batch's number is known to the second one only.
    """

    def __init__(self, options: Mapping[str, str], schema: StructType, overwrite: bool) -> None:
        super().__init__(options, schema, overwrite)
        if "epoch" in self._of_the_job:
            raise pgsink.UsageError("epoch: a stream numbers its batches itself: leave it out")

    def __getstate__(self) -> dict[str, Any]:
        """Open the job, since this writer goes to tasks. The one of the commit must not: it would
        take the job over from the tasks."""
        if not self._ticket:
            # Of a batch that is replayed, staged rows are dropped.
            self._open(0, "staging")
        return self.__dict__

    def commit(self, messages: list[WriterCommitMessage | None], batchId: int) -> None:
        """Make the rows of the batch visible, all or none, unless they are already."""
        tokens = _tokens(messages)
        if not tokens:
            return  # A batch without partitions has no rows.
        host = self._of_the_job.get("numbered_by", tokens[0].query)
        with self._resumed(tokens[0].ticket) as job:
            job.number(batchId + 1, host)
            job.commit([token.text for token in tokens])

    def abort(self, messages: list[WriterCommitMessage | None], batchId: int) -> None:
        """Drop what the tasks have written; where none has ended, the next batch does it."""
        del batchId
        ticket = next((message.ticket for message in messages if isinstance(message, Token)), None)
        if ticket is not None:
            with self._resumed(ticket) as job:
                job.abort()
