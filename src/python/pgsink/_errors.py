"""What is raised: a class for each kind of error, with all that is known about it."""

from __future__ import annotations

from typing import Any


class Error(Exception):
    """An error of pgsink or of the server.

    Attributes
    ----------
    code : str
        The number in the catalogue of errors, for example ``"PGS-4001"``.
    message : str
        What, where, which limit, what to do.
    sqlstate : str
        The server's five characters, ``"00000"`` if it reported none.
    detail, hint, where : str
        The server's DETAIL, HINT and CONTEXT, ``""`` where nothing is known; likewise the next.
    schema, table, column, constraint : str
        What the error is about.
    rows_committed : int
        Rows of the sink that are known to be committed.
    retryable : bool
        Whether the same call may succeed later: a lost connection, a deadlock.
    sent : bool
        Whether a part of the request may have reached the server.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str = "PGS-9003",
        sqlstate: str = "00000",
        detail: str = "",
        hint: str = "",
        where: str = "",
        schema: str = "",
        table: str = "",
        column: str = "",
        constraint: str = "",
        rows_committed: int = 0,
        retryable: bool = False,
        sent: bool = False,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.sqlstate = sqlstate
        self.detail = detail
        self.hint = hint
        self.where = where
        self.schema = schema
        self.table = table
        self.column = column
        self.constraint = constraint
        self.rows_committed = rows_committed
        self.retryable = retryable
        self.sent = sent

    def __str__(self) -> str:
        text = f"{self.code}: {self.message}"
        if self.sqlstate != "00000":
            text += f" (SQLSTATE {self.sqlstate})"
        for title, part in (("DETAIL", self.detail), ("HINT", self.hint)):
            if part:
                text += f" {title}: {part}"
        return text

    def __reduce__(self) -> tuple[Any, ...]:
        fields = {name: value for name, value in vars(self).items() if name != "message"}
        return (_restore, (type(self), self.message, fields))


def _restore(kind: type[Error], message: str, fields: dict[str, Any]) -> Error:
    return kind(message, **fields)


class OptionError(Error):
    """PGS-1…: an option, a name or the input cannot be used."""


class ConnectError(Error):
    """PGS-2…: the server cannot be reached, or was lost."""


class InterruptedError(ConnectError):
    """PGS-2010: ``Sink.interrupt()`` ended the call."""


class TargetError(Error):
    """PGS-3…: the table does not fit the input."""


class RejectedError(Error):
    """PGS-4…: a row cannot be written unchanged."""


class ServerError(Error):
    """PGS-5…: the server refused a statement; see ``sqlstate``."""


class OutcomeError(Error):
    """PGS-6…: what became of rows is not as the program expects."""


class FencedError(OutcomeError):
    """PGS-6002: another writer of the same ``sink_id`` has taken over."""


class InternalError(Error):
    """PGS-9…: pgsink itself: a bug, memory, a file."""


class UsageError(InternalError):
    """PGS-9003: a function was called in a way that it forbids."""


_BY_NUMBER: dict[int, type[Error]] = {
    2010: InterruptedError,
    6002: FencedError,
    9003: UsageError,
}
_BY_THOUSAND: dict[int, type[Error]] = {
    1: OptionError,
    2: ConnectError,
    3: TargetError,
    4: RejectedError,
    5: ServerError,
    6: OutcomeError,
    9: InternalError,
}


def error_of(number: int, message: str, **fields: Any) -> Error:
    """The error of a number of the catalogue."""
    kind = _BY_NUMBER.get(number) or _BY_THOUSAND.get(number // 1000, Error)
    return kind(message, code=f"PGS-{number}", **fields)
