"""Jobs: one atomic write by many processes."""

from __future__ import annotations

import ctypes
import json
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Callable, Iterable, TypeVar

from . import _calls, _input
from ._errors import UsageError
from ._library import CJobOptions, c_options, lib
from ._options import option_pairs
from ._sink import OnDeadLettersFunction, Sink

T = TypeVar("T")


@dataclass(frozen=True)
class JobReport:
    """What ``Job.commit()`` did.

    Attributes
    ----------
    epoch : int
        The number of this write.
    rows : int
        Rows of the parts that were committed.
    changed : int
        Rows of the table that were inserted, updated or deleted; 0 with ``atomic="none"``.
    rejected : int
        Rows that the parts rejected.
    repeated : bool
        The epoch was committed before, and nothing was written now.
    """

    epoch: int
    rows: int
    changed: int
    rejected: int
    repeated: bool


class Job:
    """The driver's side of a job, made by ``job()`` or ``resume()``.

    In a ``with`` block a job that raises is aborted. It holds no connection between its calls, and
    its ``ticket`` may be sent anywhere. One thread at a time. Ctrl-C ends a wait within half a
    second and closes the job: what a ``commit()`` does then is all or nothing all the same, and
    ``resume()`` by the ticket tells which.
    """

    def __init__(self, handle: int) -> None:
        self._handle: int | None = handle

    @property
    def ticket(self) -> str:
        """The text for ``part()`` and ``resume()``. It holds no secret."""
        ticket: bytes = lib.job_ticket(self._known())
        return ticket.decode()

    @property
    def epoch(self) -> int:
        """The number of this write."""
        return int(lib.job_epoch(self._known()))

    @property
    def committed(self) -> bool:
        """Whether the epoch is known to be committed: then parts need not write."""
        return bool(lib.job_committed(self._known()))

    def number(self, epoch: int, host: str = "") -> None:
        """Give a job that was opened without a number its epoch and host.

        For engines that say them only when a write ends, such as streams of Spark. ``commit()``
        finds whether the epoch is committed, and fails if another host numbers the epochs.

        Raises
        ------
        UsageError
            The job has a number.
        """
        lib.call(lib.job_number, self._known(), epoch, host.encode())

    def commit(self, tokens: Iterable[str]) -> JobReport:
        """Make the rows of these parts visible, all or none.

        Parameters
        ----------
        tokens : iterable of str
            What ``Part.finish()`` returned, one for each partition. What is missing is not
            written.

        Returns
        -------
        JobReport
            Calling it again, also in another process, does nothing more.

        Raises
        ------
        FencedError
            Another driver has opened a job of the same ``sink_id``.
        OutcomeError
            The staged rows are gone, because the server has crashed: run the job again.
        """
        texts = list(tokens)
        if any(not isinstance(text, str) for text in texts):
            raise UsageError("commit(): a token is missing: each part has to return its own")
        array = (ctypes.c_char_p * len(texts))(*(text.encode() for text in texts))
        handle = self._known()
        report = self._wait(lambda: lib.text(lib.job_commit, handle, array, len(texts)))
        return JobReport(**json.loads(report))

    def abort(self) -> None:
        """Drop what the parts have staged. Calling it again does nothing."""
        handle = self._known()
        self._wait(lambda: lib.call(lib.job_abort, handle))

    def close(self) -> None:
        """Free the driver's side. The job can still be resumed by its ticket."""
        handle, self._handle = self._handle, None
        if handle is not None:
            lib.job_free(handle)

    def __enter__(self) -> Job:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is not None and self._handle is not None and not self.committed:
                self.abort()
        finally:
            self.close()

    def __del__(self) -> None:
        if getattr(self, "_handle", None) is not None:
            self.close()

    def __reduce__(self) -> Any:
        raise TypeError("a Job cannot be pickled: send its ticket, and resume() it elsewhere")

    def _known(self) -> int:
        if self._handle is None:
            raise UsageError("the job is closed")
        return self._handle

    def _wait(self, work: Callable[[], T]) -> T:
        """Does `work` so that Ctrl-C ends the wait. The call may go on then, and frees the job."""
        worker = _calls.Worker()
        try:
            return _calls.call(worker, work, lambda: None)
        except KeyboardInterrupt:
            handle, self._handle = self._handle, None
            if worker.started():
                worker.submit(lambda: lib.job_free(handle))
            raise
        finally:
            worker.stop(_calls.LEAVE_SECONDS)


class Part(Sink):
    """A sink for one partition of a job, made by ``part()``.

    ``write()`` takes rows as ``Sink.write()`` does. ``finish()`` ends it and returns its token; a
    part that ends without it counts for nothing.
    """

    def __init__(
        self,
        ticket: str,
        partition: int,
        url: str | None,
        table: str | None,
        *,
        like: Any,
        on_dead_letters: OnDeadLettersFunction | None,
        **options: Any,
    ) -> None:
        self._ticket = ticket.encode()
        self._partition = partition
        self._token: str | None = None
        if not 0 <= partition < 1 << 32:
            raise UsageError("partition: the parts of a job are numbered from 0")
        super().__init__(url, table, like=like, on_dead_letters=on_dead_letters, **options)

    def finish(self) -> str:  # type: ignore[override]
        """End the part, and return its token for ``Job.commit()``.

        Returns
        -------
        str
            The same text when it is called again.
        """
        if self._token is not None:
            return self._token
        self._check()
        if self._handle is None:
            self._open(None)  # There were no rows.
        place = ctypes.c_void_p()
        try:
            self._call(lib.part_finish, ctypes.byref(place))
            self._token = ctypes.string_at(place.value or 0).decode()
        finally:
            lib.free(place)
            self._free()
        return self._token

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._closed:
            self._free(_calls.LEAVE_SECONDS)

    def _open_library(self, options: Any, schema: Any, callbacks: Any, handle: Any) -> None:
        lib.call(
            lib.part_open,
            options,
            len(options),
            self._ticket,
            self._partition,
            schema,
            callbacks,
            handle,
        )


def _options_of(
    url: str | None, table: str | None, mode: str | None, options: dict[str, Any]
) -> dict[str, Any]:
    write_mode = None if mode == "replace" else mode
    return {"url": url, "table": table, "write_mode": write_mode, **options}


def job(
    url: str | None = None,
    table: str | None = None,
    *,
    like: Any,
    mode: str | None = None,
    epoch: int = 0,
    host: str = "",
    atomic: str = "auto",
    replace: bool = False,
    **options: Any,
) -> Job:
    """Open a job: one atomic write of the parts that other processes write.

    Parameters
    ----------
    url, table : str
        As for ``Sink``.
    like : object
        Anything with the columns of the rows to come: a frame, a schema of pyarrow.
    mode : str, optional
        ``insert``, ``upsert``, ``update``, ``delete``, ``insert_ignore``, or ``replace``, which is
        ``insert`` with ``replace=True``.
    epoch : int
        The number of this write. One that is committed already is not written again. 0: the next
        number, so that each job writes.
    host : str
        Who numbers the epochs, such as the id of a query. Another host than before is an error.
    atomic : str
        ``auto``, ``staging``, ``2pc`` or ``none``: see the page about jobs.
    replace : bool
        The table holds the rows of the job and nothing else afterwards.
    **options
        Every option of the reference. ``sink_id`` is the name of the job: one driver at a time
        has it. With ``delete_missing=True`` an upsert deletes the rows of the table whose key no
        part has.

    Returns
    -------
    Job
        With the ``ticket`` for ``part()``.

    Raises
    ------
    Error
        A subclass says the kind.
    """
    pairs = c_options(option_pairs(_options_of(url, table, mode, options)))
    given = CJobOptions(
        ctypes.sizeof(CJobOptions),
        epoch,
        host.encode(),
        atomic.encode(),
        replace or mode == "replace",
    )
    owner, schema = _input.schema_like(like)
    opened = _open(lib.job_open, pairs, ctypes.byref(schema), ctypes.byref(given))
    del owner
    return opened


def resume(
    ticket: str,
    url: str | None = None,
    table: str | None = None,
    *,
    mode: str | None = None,
    **options: Any,
) -> Job:
    """Continue a job by its ticket, in another process: to commit or abort it.

    The other parameters are those of ``job()``. It does not connect.
    """
    pairs = c_options(option_pairs(_options_of(url, table, mode, options)))
    return _open(lib.job_resume, pairs, ticket.encode())


def _open(function: Any, pairs: Any, *arguments: Any) -> Job:
    handle = ctypes.c_void_p()
    worker = _calls.Worker()
    try:
        _calls.call(
            worker,
            lambda: lib.call(function, pairs, len(pairs), *arguments, ctypes.byref(handle)),
            lambda: None,
        )
    except KeyboardInterrupt:
        if worker.started():
            worker.submit(lambda: lib.job_free(handle) if handle.value is not None else None)
        raise
    finally:
        worker.stop(_calls.LEAVE_SECONDS)
    if handle.value is None:
        raise UsageError("libpgsink_c opened no job")
    return Job(handle.value)


def part(
    ticket: str,
    partition: int,
    url: str | None = None,
    table: str | None = None,
    *,
    like: Any = None,
    mode: str | None = None,
    on_dead_letters: OnDeadLettersFunction | None = None,
    **options: Any,
) -> Part:
    """Open a sink for one partition of a job.

    Parameters
    ----------
    ticket : str
        ``Job.ticket``.
    partition : int
        Its number, from 0. A second attempt of a task has the same one.
    url, table, like, mode, on_dead_letters, **options
        As for ``job()`` and ``Sink``. Without ``like`` the first rows open the connection.

    Returns
    -------
    Part
        Write to it, then call ``finish()`` for its token.
    """
    given = _options_of(None, None, mode, options)
    del given["url"], given["table"]
    return Part(
        ticket, partition, url, table, like=like, on_dead_letters=on_dead_letters, **given
    )
