"""How far a load is: a bar where there is a terminal or a notebook, lines of text elsewhere."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import Any, Callable, TextIO

LINE_SECONDS = 10.0
"""How often a line is written where there is no terminal."""

_BAR_CELLS = 24


@dataclass(frozen=True)
class Progress:
    """How far a load is.

    Attributes
    ----------
    rows : int
        Rows that are committed.
    accepted : int
        Rows that were read from the data.
    total : int or None
        All rows of the data, if that is known.
    bytes : int
        Bytes sent and committed.
    seconds : float
        Time since the beginning.
    done : bool
        Whether this is the last report.
    """

    rows: int
    accepted: int
    total: int | None
    bytes: int
    seconds: float
    done: bool = False

    def __str__(self) -> str:
        speed = self.rows / self.seconds if self.seconds > 0 else 0.0
        text = f"{self.rows:,} rows"
        if self.total:
            text += f" of {self.total:,}"
        return f"{text}, {self.bytes / 1e6:,.1f} MB, {self.seconds:.1f} s, {speed:,.0f} rows/s"


def _has_cursor(stream: TextIO) -> bool:
    if stream.isatty():
        return True
    shell = sys.modules.get("IPython")
    current = shell.get_ipython() if shell is not None else None
    return type(current).__name__ == "ZMQInteractiveShell"


class Display:
    """Shows progress on standard error."""

    def __init__(self, table: str) -> None:
        self._table = table
        self._stream = sys.stderr
        self._bar = _has_cursor(self._stream)
        self._shown_at = 0.0
        self._width = 0

    def __call__(self, progress: Progress) -> None:
        if self._bar:
            self._show_bar(progress)
        elif progress.done or progress.seconds - self._shown_at >= LINE_SECONDS:
            self._shown_at = progress.seconds
            print(f"{self._table}: {progress}", file=self._stream, flush=True)

    def _show_bar(self, progress: Progress) -> None:
        text = f"{self._table}: {progress}"
        if progress.total:
            filled = min(_BAR_CELLS, _BAR_CELLS * progress.rows // progress.total)
            text = f"[{'#' * filled}{'.' * (_BAR_CELLS - filled)}] {text}"
        end = "\n" if progress.done else ""
        self._stream.write("\r" + text.ljust(self._width) + end)
        self._stream.flush()
        self._width = len(text)


def reporter(
    asked: bool | Callable[[Progress], object] | None, table: str, total: int | None
) -> Callable[[dict[str, Any], bool], None] | None:
    """A function of the sink's metrics that tells the caller; None if nobody wants to know."""
    if not asked:
        return None
    tell: Callable[[Progress], object] = Display(table) if asked is True else asked
    began = time.monotonic()

    def report(metrics: dict[str, Any], done: bool) -> None:
        tell(
            Progress(
                rows=metrics["rows_written"],
                accepted=metrics["rows_accepted"],
                total=total,
                bytes=metrics["bytes_written"],
                seconds=time.monotonic() - began,
                done=done,
            )
        )

    return report
