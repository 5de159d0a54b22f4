"""One call that loads something into a table."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Callable, Sequence

from . import _input, _progress
from ._errors import UsageError
from ._sink import OnDeadLettersFunction, Sink, logger

# One connection loads fewer rows than these about as fast as two.
_ROWS_OF_ONE_CONNECTION = 50_000
# With these the number of connections is the caller's to choose: it is part of what a sink stores
# for exactly-once, and a load in one transaction has one connection.
_NEEDS_A_CHOICE = (
    "atomic",
    "delete_missing",
    "delivery",
    "use_2pc",
    "sink_id",
    "connection_pool_size",
)


# Rows of an insert that are in memory already are sent from where they are: to let twice as many
# wait as the library does takes no memory, and makes larger transactions. Wide rows gain by that.
_BUFFER_BYTES_OF_FRAMES = 128 << 20


def _buffer_bytes(data: Any, mode: str) -> int | None:
    """How many bytes of rows may wait, if the caller does not say; None: the library's default."""
    in_memory = _input.row_count(data) is not None
    return _BUFFER_BYTES_OF_FRAMES if in_memory and mode in ("insert", "replace") else None


def _connections(data: Any, mode: str, options: dict[str, Any]) -> int:
    """How many connections write, if the caller does not say."""
    rows = _input.row_count(data)
    small = rows is not None and rows < _ROWS_OF_ONE_CONNECTION
    return 1 if small or mode == "replace" or any(options.get(key) for key in _NEEDS_A_CHOICE) else 2


@dataclass(frozen=True)
class Report:
    """What a load did.

    Attributes
    ----------
    rows : int
        Rows that were given.
    written : int
        Rows that are committed.
    changed : int
        Rows that the server reported as inserted, updated or deleted.
    rejected : int
        Rows that went to the dead letters.
    retried : int
        Transactions that were sent again.
    possible_duplicates : int
        Rows that were sent again while it was not known whether they had been committed.
    bytes : int
        Bytes sent and committed.
    seconds : float
        Time from the beginning to the last commit.
    p99_commit_ms : float
        The time that 99 of 100 transactions did not exceed.
    warnings : tuple of str
        What may break a guarantee, such as a server that does not wait for its disk.
    """

    rows: int
    written: int
    changed: int
    rejected: int
    retried: int
    possible_duplicates: int
    bytes: int
    seconds: float
    p99_commit_ms: float
    warnings: tuple[str, ...]

    def __str__(self) -> str:
        text = f"{self.written:,} rows, {self.bytes / 1e6:,.1f} MB, {self.seconds:.2f} s"
        for count, what in (
            (self.rejected, "rejected"),
            (self.retried, "transactions sent again"),
            (self.possible_duplicates, "possible duplicates"),
        ):
            if count:
                text += f", {count:,} {what}"
        return text


def write(
    data: Any,
    url: str | None = None,
    table: str | None = None,
    *,
    mode: str = "insert",
    conflict_columns: str | Sequence[str] | None = None,
    create_table: bool = False,
    parallelism: int | None = None,
    on_dead_letters: OnDeadLettersFunction | None = None,
    progress: bool | Callable[[_progress.Progress], object] = False,
    **options: Any,
) -> Report:
    """Load rows into a table of PostgreSQL. When it returns, they are committed.

    Parameters
    ----------
    data : object
        Anything with ``__arrow_c_stream__`` or ``__arrow_c_array__`` (frames of polars and pandas,
        tables and readers of pyarrow, relations of DuckDB), an iterable of those, or with pyarrow
        a list of dicts. Nothing is copied before the bytes to send are made.
    url : str
        A connection string of libpq: ``postgresql://user:password@host/database``.
    table : str
        The target table, without quotes. Its schema is the option ``schema``.
    mode : str
        ``insert``, ``upsert``, ``update``, ``delete``, ``insert_ignore``, ``changelog`` or
        ``replace``: the table holds these rows and nothing else afterwards.
    conflict_columns : str or list of str, optional
        The columns of ``upsert``'s unique index.
    create_table : bool
        Create the table from the columns of the data if it is missing.
    parallelism : int, optional
        How many connections write at the same time. Rows with the same key keep their order; others
        arrive in any order if there are several. If not given: 2 for 50,000 rows and more, or if
        the number of rows is not known; 1 with less, with ``mode="replace"``, and with
        ``atomic``, ``delete_missing``, ``delivery``, ``use_2pc``, ``sink_id`` or
        ``connection_pool_size``.
    on_dead_letters : callable, optional
        Gets lists of rejected rows; without it, the first one ends the load.
    progress : bool or callable
        ``True`` shows progress on standard error; a callable gets ``Progress`` objects, some times
        a second.
    **options
        Every other option of the reference. ``buffer_bytes`` is 128 MiB for inserts of data that is
        in memory, otherwise 64 MiB. For example ``atomic=True``,
        ``session_variables={"work_mem": "64MB"}``, or ``delete_missing=True`` for the upsert of a
        whole snapshot.

    Returns
    -------
    Report
        Rows, rejected rows, bytes, seconds.

    Raises
    ------
    Error
        A subclass says the kind; its message says how many rows are committed, and
        ``rows_committed`` counts them.
    KeyboardInterrupt
        On Ctrl-C, within half a second, with what is committed in the message.
    """
    began = time.monotonic()
    report = _progress.reporter(progress, str(table), _input.row_count(data))
    if parallelism is None:
        parallelism = _connections(data, mode, options)
    options = {
        "write_mode": mode,
        "conflict_columns": conflict_columns,
        "create_table": create_table or None,
        "parallelism": parallelism,
        "buffer_bytes": _buffer_bytes(data, mode),
        **options,
    }
    metrics: dict[str, Any] | None = None
    rows = 0
    with Sink(url, table, on_dead_letters=on_dead_letters, **options) as sink:
        if report is not None:
            tell = report  # For the checker of types: it is not None in the function either.
            sink._tick = lambda: tell(sink.metrics(), False) if sink._handle is not None else None
        rows = sink.write(data)
        if sink._handle is None:
            raise UsageError("there is nothing to write: the data has no columns and no rows")
        sink.flush()
        metrics = sink.metrics()
        if report is not None:
            report(metrics, True)
        warnings = sink.warnings
    done = Report(
        rows=rows,
        written=metrics["rows_written"],
        changed=metrics["rows_changed"],
        rejected=metrics["rejected_rows"],
        retried=metrics["retry_count"],
        possible_duplicates=metrics["possible_duplicates"],
        bytes=metrics["bytes_written"],
        seconds=time.monotonic() - began,
        p99_commit_ms=metrics["write_latency_seconds"]["p99"] * 1000,
        warnings=warnings,
    )
    logger.info("%s: %s", table, done)
    return done
