"""Calls that wait, so that Ctrl-C ends them and somebody can look on."""

from __future__ import annotations

import queue
import threading
from typing import Any, Callable, Generic, TypeVar

T = TypeVar("T")

TICK_SECONDS = 0.1
"""How often the main thread looks up from a wait. It has to: libraries such as polars install signal
handlers of their own, after which a signal no longer ends a wait."""

PATIENCE_SECONDS = 0.3
"""How long Ctrl-C waits for the end of the call that it interrupts."""

LEAVE_SECONDS = 0.1
"""How long a block that raises waits for the end of its sink, which goes on by itself."""


class Pending(Generic[T]):
    """A call that a worker does."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._done = threading.Event()
        self._result: Any = None
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self._result = self._work()
        except BaseException as error:  # It is raised where somebody waits.
            self.error = error
        self._done.set()

    def wait(self, seconds: float) -> bool:
        return self._done.wait(seconds)

    def result(self) -> T:
        if self.error is not None:
            raise self.error
        return self._result  # type: ignore[no-any-return]


class Worker:
    """A thread that does one call after the other.

    Python runs signal handlers in the main thread between its own instructions, so a main thread
    inside the library would not hear of Ctrl-C. Calls of other threads need no worker.
    """

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[Pending[Any] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def submit(self, work: Callable[[], T]) -> Pending[T]:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="pgsink-call", daemon=True)
            self._thread.start()
        pending = Pending(work)
        self._calls.put(pending)
        return pending

    def started(self) -> bool:
        return self._thread is not None

    def stop(self, patience: float = 0) -> None:
        """Ends the thread after the calls that it was given, and waits so many seconds for it."""
        if self._thread is not None:
            self._calls.put(None)
            if patience > 0:
                self._thread.join(patience)

    def _run(self) -> None:
        while True:
            pending = self._calls.get()
            if pending is None:
                return
            pending.run()
            del pending  # What it holds goes now, not with the next call.


def call(
    worker: Worker,
    work: Callable[[], T],
    interrupt: Callable[[], None],
    tick: Callable[[], None] | None = None,
) -> T:
    """Does `work` so that Ctrl-C ends it, and calls `tick` meanwhile.

    Raises
    ------
    KeyboardInterrupt
        With a message that says what is committed, as far as it is known, and the library's error
        as its cause.
    """
    if threading.current_thread() is not threading.main_thread() and tick is None:
        return work()
    pending = worker.submit(work)
    try:
        while not pending.wait(TICK_SECONDS):
            if tick is not None:
                tick()
    except BaseException as reason:
        interrupt()
        ended = pending.wait(PATIENCE_SECONDS)
        if not isinstance(reason, KeyboardInterrupt):
            raise
        if ended and pending.error is None:
            raise  # It was done before.
        message = (
            str(pending.error)
            if ended
            else "interrupted; the call has not ended yet, and what it commits is not known"
        )
        raise KeyboardInterrupt(message) from pending.error
    return pending.result()
