"""The sink: batches go in, committed rows come out."""

from __future__ import annotations

import atexit
import ctypes
import json
import logging
import os
import weakref
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Callable, Iterable, Mapping, TypeVar

from . import _calls, _input
from ._errors import UsageError
from ._library import (
    ArrowSchema,
    CCallbacks,
    OnDeadLetters,
    c_options,
    c_stream,
    c_streams,
    lib,
)
from ._options import option_pairs

T = TypeVar("T")

logger = logging.getLogger("pgsink")

OnDeadLettersFunction = Callable[[list[dict[str, Any]]], object]
"""Takes rejected rows, as dicts with ``row``, ``message``, ``input_row`` and others."""


@dataclass(frozen=True)
class Recovered:
    """Where the database stands after ``Sink.recover()``.

    Attributes
    ----------
    epoch : int
        The last committed epoch; 0: none yet.
    position : int
        The position of its last batch.
    """

    epoch: int
    position: int


class _Letters:
    """The function for rejected rows, as C calls it, and what it raised."""

    def __init__(self, function: OnDeadLettersFunction) -> None:
        self._function = function
        self.error: BaseException | None = None
        self.c_function = OnDeadLetters(self._take)

    def _take(self, _context: Any, text: Any, length: int) -> int:
        try:
            self._function(json.loads(ctypes.string_at(text, length)))
        except BaseException as error:  # It cannot pass through C.
            self.error = error
            return 1
        return 0


class Sink:
    """An open writer of one table.

    Use it with ``with``: at the end of the block the sink is closed, and everything is committed;
    if the block raises, what is not committed is given up.

    Parameters
    ----------
    url : str, optional
        A connection string of libpq. Without it, the options ``host``, ``database`` and others say
        where the server is.
    table : str
        The target table, without quotes. Its schema is the option ``schema``.
    like : object, optional
        Anything with the columns of the rows to come: a frame, a schema of pyarrow. Without it the
        first rows decide, and the connection is made then.
    on_dead_letters : callable, optional
        Gets lists of rejected rows, before the good rows around them are committed, in a thread of
        the sink. If it raises, the sink stops and nothing of that transaction is committed.
    **options
        Every option of the reference, for example ``write_mode``, ``sink_id``, ``delivery``. Lists
        and dicts are lists and maps there.

    Raises
    ------
    Error
        A subclass says the kind: ``OptionError``, ``ConnectError``, ``TargetError`` and others.

    Notes
    -----
    The methods wait without holding Python's lock. One thread at a time may call them, except
    ``write()``, ``interrupt()`` and ``metrics()``. Ctrl-C ends a call within half a second with a
    ``KeyboardInterrupt`` that says what is committed; the sink has ended then.
    """

    def __init__(
        self,
        url: str | None = None,
        table: str | None = None,
        *,
        like: Any = None,
        on_dead_letters: OnDeadLettersFunction | None = None,
        **options: Any,
    ) -> None:
        self._handle: int | None = None
        self._closed = False
        self._pid = os.getpid()
        self._worker = _calls.Worker()
        self._options = option_pairs({"url": url, "table": table, **options})
        self._letters = None if on_dead_letters is None else _Letters(on_dead_letters)
        self._tick: Callable[[], None] | None = None
        self.warnings: tuple[str, ...] = ()
        if like is not None:
            owner, schema = _input.schema_like(like)
            self._open(schema)
            del owner

    # ---- rows ------------------------------------------------------------------------------------

    def write(self, data: Any, position: int = 0, stream: str | None = None) -> int:
        """Accept rows; wait only while ``buffer_bytes`` are accepted and not committed.

        Parameters
        ----------
        data : object
            Anything with ``__arrow_c_stream__`` or ``__arrow_c_array__`` (polars, pandas, pyarrow,
            DuckDB, nanoarrow), an iterable of those, or with pyarrow a list of dicts.
        position : int
            Your own number for how far the input is read when these rows end; see
            ``durable_position``. The data must be one batch then. With
            ``delivery="exactly_once"`` it must grow from call to call, with ``streams=True`` within
            each stream.
        stream : str, optional
            With ``streams=True``: the stream of the rows, which ``claim()`` has claimed.

        Returns
        -------
        int
            How many rows were accepted.
        """
        self._check()
        rows = 0
        for source in _input.sources(data):
            if position and rows:
                raise UsageError(_ONE_BATCH)
            rows += self._write_source(source, position, stream)
        return rows

    def _write_source(
        self, source: _input.Stream | _input.Batch, position: int, stream: str | None
    ) -> int:
        opens = self._handle is None
        if opens:
            self._open(source.schema())
        if isinstance(source, _input.Batch):
            # The one that has opened the sink has given its schema away for that.
            schema = None if opens else source.schema()
            return self._write_batch(schema, source.struct, position, stream)
        if position or stream is not None:
            return self._write_only_batch(source, position, stream)
        rows = ctypes.c_uint64()
        self._call(lib.sink_write_stream, ctypes.byref(source.struct), 0, ctypes.byref(rows))
        return rows.value

    def _write_only_batch(self, source: _input.Stream, position: int, stream: str | None) -> int:
        batch = source.next()
        if batch is None:
            return 0
        another = source.next()
        if another is not None:
            another.release(ctypes.byref(another))
            batch.release(ctypes.byref(batch))
            raise UsageError(_ONE_BATCH)
        return self._write_batch(source.schema(), batch, position, stream)

    def _write_batch(
        self, schema: ArrowSchema | None, batch: Any, position: int, stream: str | None
    ) -> int:
        rows: int = batch.length
        given = None if schema is None else ctypes.byref(schema)
        if stream is None:
            self._call(lib.sink_write, given, ctypes.byref(batch), position)
        else:
            name = c_stream(stream)
            self._call(lib.sink_write_claimed, name, given, ctypes.byref(batch), position)
        return rows

    def flush(self) -> None:
        """Wait until everything accepted before is committed."""
        self._check()
        if self._handle is not None:
            self._call(lib.sink_flush)

    def close(self) -> None:
        """Commit everything and give the connections back. Calling it again does nothing."""
        self._end(lib.sink_close)

    def finish(self) -> None:
        """Close at the end of a load that no later run continues.

        With ``use_2pc`` the position is deleted, so that the next sink of the same name begins at
        0.
        """
        self._end(lib.sink_finish)

    def interrupt(self) -> None:
        """End the calls of this sink that wait, in any thread, with ``InterruptedError``."""
        if self._handle is not None and not self._closed and self._pid == os.getpid():
            lib.sink_interrupt(self._handle)

    # ---- what is known ---------------------------------------------------------------------------

    @property
    def durable_position(self) -> int:
        """The position up to which every row is committed.

        With ``delivery="exactly_once"`` or ``use_2pc`` it is known from the beginning, also of
        previous runs: continue right after it. The sink needs ``like`` for that.
        """
        return int(lib.sink_durable_position(self._opened("durable_position")))

    def metrics(self) -> dict[str, Any]:
        """Return a snapshot of the counters, such as ``rows_written``."""
        handle = self._opened("metrics()")
        found: dict[str, Any] = json.loads(lib.text(lib.sink_metrics_json, handle))
        return found

    def check(self) -> None:
        """Raise what has stopped the sink, if something has. Does not wait."""
        if self._handle is not None:
            self._check()
            self._call(lib.sink_status)

    # ---- two-phase commit by the program's decision ------------------------------------------------

    def recover(self, last_committed_epoch: int = 0) -> Recovered:
        """Take over from previous runs, with ``use_2pc``; once, before the first rows.

        Epochs that previous runs prepared are committed up to the given one, which the program
        knows to be complete; later ones are rolled back. The sink needs ``like``.
        """
        self._opened("recover()")
        epoch, position = ctypes.c_uint64(), ctypes.c_uint64()
        self._call(
            lib.sink_recover, last_committed_epoch, ctypes.byref(epoch), ctypes.byref(position)
        )
        return Recovered(epoch.value, position.value)

    def prepare(self, epoch: int) -> None:
        """End an epoch: its rows are on the server's disk and not visible yet."""
        self._opened("prepare()")
        self._call(lib.sink_prepare, epoch)

    def commit(self, epoch: int) -> None:
        """Commit a prepared epoch, and those before it."""
        self._opened("commit()")
        self._call(lib.sink_commit, epoch)

    def abort(self, epoch: int) -> None:
        """Roll back a prepared epoch and everything after it. The sink has ended then."""
        self._opened("abort()")
        self._call(lib.sink_abort, epoch)

    # ---- streams: many processes write one table ---------------------------------------------------

    def claim(self, streams: Iterable[str] | Mapping[str, int]) -> dict[str, int]:
        """Take streams over from their owners, with ``streams=True``.

        A transaction of a former owner that is open is waited for, and ended after a second;
        nothing of it is committed later. The sink needs ``like``.

        Parameters
        ----------
        streams : iterable of str, or dict
            Their names; a dict says where each begins that nobody has claimed before, otherwise 0.

        Returns
        -------
        dict
            Up to where each is committed: read on from there.
        """
        self._opened("claim()")
        starts = streams if isinstance(streams, Mapping) else dict.fromkeys(_names(streams), 0)
        names = c_streams(list(starts))
        positions = (ctypes.c_uint64 * len(starts))(*starts.values())
        self._call(lib.sink_claim, names, len(names), positions)
        return dict(zip(starts, positions))

    def release(self, streams: Iterable[str], discard: bool = False) -> None:
        """Give claimed streams up.

        Parameters
        ----------
        streams : iterable of str
            Their names.
        discard : bool
            False: wait until everything written to them is committed. True: drop what was not sent;
            the next owner reads it again. A stream that another writer has taken over is released
            in this way.
        """
        self._opened("release()")
        names = c_streams(_names(streams))
        self._call(lib.sink_release, names, len(names), int(discard))

    def stream_position(self, stream: str) -> int:
        """Return the position up to which everything of a claimed stream is committed."""
        handle = self._opened("stream_position()")
        return int(lib.sink_stream_position(handle, c_stream(stream)))

    def check_stream(self, stream: str) -> None:
        """Raise ``FencedError`` if another writer has taken the stream over. Does not wait."""
        self._opened("check_stream()")
        self._call(lib.sink_stream_status, c_stream(stream))

    # ---- its life ----------------------------------------------------------------------------------

    def __enter__(self) -> Sink:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._free(_calls.LEAVE_SECONDS)

    def __del__(self) -> None:
        if getattr(self, "_handle", None) is not None:
            self._free()

    def _open_library(self, options: Any, schema: Any, callbacks: Any, handle: Any) -> None:
        lib.call(lib.sink_open, options, len(options), schema, callbacks, handle)

    def _open(self, schema: ArrowSchema | None) -> None:
        callbacks = None
        if self._letters is not None:
            callbacks = CCallbacks(ctypes.sizeof(CCallbacks), None, self._letters.c_function)
        options = c_options(self._options)
        self._pid = os.getpid()
        given_up = False

        def work() -> None:
            handle = ctypes.c_void_p()
            self._open_library(
                options,
                None if schema is None else ctypes.byref(schema),
                None if callbacks is None else ctypes.byref(callbacks),
                ctypes.byref(handle),
            )
            if given_up:
                lib.sink_free(handle)
            else:
                self._handle = handle.value

        def give_up() -> None:
            nonlocal given_up
            given_up = True

        _calls.call(self._worker, work, give_up, self._tick)
        _open_sinks.add(self)
        self.warnings = tuple(json.loads(lib.text(lib.sink_warnings_json, self._handle)))
        for warning in self.warnings:
            logger.warning(warning)

    def _call(self, function: Callable[..., int], *arguments: Any) -> None:
        handle = self._handle
        try:
            _calls.call(
                self._worker,
                lambda: lib.call(function, handle, *arguments),
                self.interrupt,
                self._tick,
            )
        except Exception as error:
            if self._letters is not None and self._letters.error is not None:
                raise error from self._letters.error
            raise

    def _check(self) -> None:
        if self._handle is not None and self._pid != os.getpid():
            raise UsageError(
                f"this sink was opened by process {self._pid}, and a child of it (process "
                f"{os.getpid()}) cannot use its connections: open a sink after the fork"
            )
        if self._closed:
            raise UsageError("the sink is closed")

    def _opened(self, what: str) -> int:
        self._check()
        if self._handle is None:
            raise UsageError(f"{what}: the sink is not open before its first rows: give it like=…")
        return self._handle

    def _end(self, function: Callable[..., int]) -> None:
        if self._closed:
            return
        self._check()
        try:
            if self._handle is not None:
                self._call(function)
        finally:
            self._free()

    def _free(self, patience: float = _calls.PATIENCE_SECONDS) -> None:
        handle, self._handle = self._handle, None
        self._closed = True
        _open_sinks.discard(self)
        if self._pid != os.getpid():
            return  # The connections are the parent's.
        if handle is None:
            self._worker.stop()
        elif self._worker.started():
            # After a call that Ctrl-C has left running.
            letters = self._letters
            pending = self._worker.submit(lambda: (lib.sink_free(handle), letters) and None)
            self._worker.stop()
            pending.wait(patience)
        else:
            lib.sink_free(handle)




def _names(streams: Iterable[str]) -> list[str]:
    if isinstance(streams, str):
        raise UsageError(f"streams: it is a list of names, such as [{streams!r}]")
    return list(streams)


_ONE_BATCH = (
    "position: it is the position of one batch, and this data has several: write them one by one, "
    "each with its position, or make one of them first"
)

_open_sinks: weakref.WeakSet[Sink] = weakref.WeakSet()


@atexit.register
def _free_all() -> None:
    for sink in list(_open_sinks):
        sink._free()


def test(url: str | None = None, table: str | None = None, **options: Any) -> None:
    """Connect and check table, columns, privileges and options, without writing.

    Parameters
    ----------
    url, table, **options
        As for ``Sink``.

    Raises
    ------
    Error
        What is wrong.
    """
    pairs = c_options(option_pairs({"url": url, "table": table, **options}))
    _calls.call(_calls.Worker(), lambda: lib.call(lib.test, pairs, len(pairs)), lambda: None)


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes
    ----------
    name, type : str
        As PostgreSQL writes them, without quotes around the name.
    nullable : bool
        Whether it takes NULL.
    default : str
        The default expression, ``""`` if there is none.
    key : bool
        Part of ``conflict_columns`` or ``key_columns``, else of the primary key.
    generated : bool
        It cannot be written.
    ordinal : int
        From 1; dropped columns leave gaps.
    """

    name: str
    type: str
    nullable: bool
    default: str
    key: bool
    generated: bool
    ordinal: int


def describe(url: str | None = None, table: str | None = None, **options: Any) -> list[Column]:
    """Read the columns of a table from the catalog.

    Raises
    ------
    TargetError
        If the table does not exist.
    """
    pairs = c_options(option_pairs({"url": url, "table": table, **options}))
    text = _calls.call(
        _calls.Worker(), lambda: lib.text(lib.describe_json, pairs, len(pairs)), lambda: None
    )
    return [Column(**column) for column in json.loads(text)]


def options() -> list[Mapping[str, Any]]:
    """Return the table of options: key, type, default, meaning and more of each."""
    found: list[Mapping[str, Any]] = json.loads(lib.text(lib.options_json))
    return found
