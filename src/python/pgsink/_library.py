"""The functions of libpgsink_c, by ctypes. Nothing here knows of rows or of options."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Any, Callable, Sequence, TypeVar

from ._errors import InternalError, error_of

ABI = 1

T = TypeVar("T")


class ArrowSchema(ctypes.Structure):
    """A type, as the Arrow C Data Interface lays it out."""


class ArrowArray(ctypes.Structure):
    """Values, as the Arrow C Data Interface lays them out."""


class ArrowArrayStream(ctypes.Structure):
    """Arrays of one schema, as the Arrow C Stream Interface lays them out."""


ReleaseSchema = ctypes.CFUNCTYPE(None, ctypes.POINTER(ArrowSchema))
ReleaseArray = ctypes.CFUNCTYPE(None, ctypes.POINTER(ArrowArray))
GetSchema = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ArrowArrayStream), ctypes.POINTER(ArrowSchema)
)
GetNext = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ArrowArrayStream), ctypes.POINTER(ArrowArray)
)
GetLastError = ctypes.CFUNCTYPE(ctypes.c_char_p, ctypes.POINTER(ArrowArrayStream))
ReleaseStream = ctypes.CFUNCTYPE(None, ctypes.POINTER(ArrowArrayStream))

ArrowSchema._fields_ = [
    ("format", ctypes.c_char_p),
    ("name", ctypes.c_char_p),
    ("metadata", ctypes.c_void_p),
    ("flags", ctypes.c_int64),
    ("n_children", ctypes.c_int64),
    ("children", ctypes.c_void_p),
    ("dictionary", ctypes.c_void_p),
    ("release", ReleaseSchema),
    ("private_data", ctypes.c_void_p),
]
ArrowArray._fields_ = [
    ("length", ctypes.c_int64),
    ("null_count", ctypes.c_int64),
    ("offset", ctypes.c_int64),
    ("n_buffers", ctypes.c_int64),
    ("n_children", ctypes.c_int64),
    ("buffers", ctypes.c_void_p),
    ("children", ctypes.c_void_p),
    ("dictionary", ctypes.c_void_p),
    ("release", ReleaseArray),
    ("private_data", ctypes.c_void_p),
]
ArrowArrayStream._fields_ = [
    ("get_schema", GetSchema),
    ("get_next", GetNext),
    ("get_last_error", GetLastError),
    ("release", ReleaseStream),
    ("private_data", ctypes.c_void_p),
]


class COption(ctypes.Structure):
    """pgsink_option."""

    _fields_ = [("key", ctypes.c_char_p), ("value", ctypes.c_char_p)]


class CError(ctypes.Structure):
    """pgsink_error."""

    _fields_ = [
        ("size", ctypes.c_size_t),
        ("code", ctypes.c_uint32),
        ("sent", ctypes.c_uint8),
        ("retryable", ctypes.c_uint8),
        ("sqlstate", ctypes.c_char * 6),
        ("rows_committed", ctypes.c_uint64),
        ("message", ctypes.c_char_p),
        ("detail", ctypes.c_char_p),
        ("hint", ctypes.c_char_p),
        ("where", ctypes.c_char_p),
        ("schema", ctypes.c_char_p),
        ("table", ctypes.c_char_p),
        ("column", ctypes.c_char_p),
        ("constraint", ctypes.c_char_p),
        ("owned", ctypes.c_void_p),
    ]


OnDeadLetters = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(ctypes.c_char), ctypes.c_size_t
)


class CCallbacks(ctypes.Structure):
    """pgsink_callbacks."""

    _fields_ = [
        ("size", ctypes.c_size_t),
        ("context", ctypes.c_void_p),
        ("on_dead_letters", OnDeadLetters),
    ]


class CJobOptions(ctypes.Structure):
    """pgsink_job_options."""

    _fields_ = [
        ("size", ctypes.c_size_t),
        ("epoch", ctypes.c_uint64),
        ("host", ctypes.c_char_p),
        ("atomic", ctypes.c_char_p),
        ("replace", ctypes.c_int),
    ]


_SINK = ctypes.c_void_p
_JOB = ctypes.c_void_p
_ERROR = ctypes.POINTER(CError)
_OPTIONS = [ctypes.POINTER(COption), ctypes.c_size_t]
_TEXT = ctypes.POINTER(ctypes.c_void_p)
_NUMBER = ctypes.POINTER(ctypes.c_uint64)
_STREAMS = [ctypes.POINTER(ctypes.c_char_p), ctypes.c_size_t]

# Name: result, arguments.
_FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "abi_version": (ctypes.c_int, []),
    "version": (ctypes.c_char_p, []),
    "free": (None, [ctypes.c_void_p]),
    "error_clear": (None, [_ERROR]),
    "options_json": (ctypes.c_int, [_TEXT, _ERROR]),
    "test": (ctypes.c_int, [*_OPTIONS, _ERROR]),
    "describe_json": (ctypes.c_int, [*_OPTIONS, _TEXT, _ERROR]),
    "sink_open": (
        ctypes.c_int,
        [
            *_OPTIONS,
            ctypes.POINTER(ArrowSchema),
            ctypes.POINTER(CCallbacks),
            ctypes.POINTER(_SINK),
            _ERROR,
        ],
    ),
    "sink_write": (
        ctypes.c_int,
        [
            _SINK,
            ctypes.POINTER(ArrowSchema),
            ctypes.POINTER(ArrowArray),
            ctypes.c_uint64,
            _ERROR,
        ],
    ),
    "sink_write_stream": (
        ctypes.c_int,
        [_SINK, ctypes.POINTER(ArrowArrayStream), ctypes.c_uint64, _NUMBER, _ERROR],
    ),
    "sink_flush": (ctypes.c_int, [_SINK, _ERROR]),
    "sink_close": (ctypes.c_int, [_SINK, _ERROR]),
    "sink_finish": (ctypes.c_int, [_SINK, _ERROR]),
    "sink_interrupt": (None, [_SINK]),
    "sink_free": (None, [_SINK]),
    "sink_status": (ctypes.c_int, [_SINK, _ERROR]),
    "sink_durable_position": (ctypes.c_uint64, [_SINK]),
    "sink_metrics_json": (ctypes.c_int, [_SINK, _TEXT, _ERROR]),
    "sink_warnings_json": (ctypes.c_int, [_SINK, _TEXT, _ERROR]),
    "sink_recover": (ctypes.c_int, [_SINK, ctypes.c_uint64, _NUMBER, _NUMBER, _ERROR]),
    "sink_prepare": (ctypes.c_int, [_SINK, ctypes.c_uint64, _ERROR]),
    "sink_commit": (ctypes.c_int, [_SINK, ctypes.c_uint64, _ERROR]),
    "sink_abort": (ctypes.c_int, [_SINK, ctypes.c_uint64, _ERROR]),
    # Streams.
    "sink_claim": (ctypes.c_int, [_SINK, *_STREAMS, _NUMBER, _ERROR]),
    "sink_write_claimed": (
        ctypes.c_int,
        [
            _SINK,
            ctypes.c_char_p,
            ctypes.POINTER(ArrowSchema),
            ctypes.POINTER(ArrowArray),
            ctypes.c_uint64,
            _ERROR,
        ],
    ),
    "sink_release": (ctypes.c_int, [_SINK, *_STREAMS, ctypes.c_int, _ERROR]),
    "sink_stream_position": (ctypes.c_uint64, [_SINK, ctypes.c_char_p]),
    "sink_stream_status": (ctypes.c_int, [_SINK, ctypes.c_char_p, _ERROR]),
    "job_open": (
        ctypes.c_int,
        [
            *_OPTIONS,
            ctypes.POINTER(ArrowSchema),
            ctypes.POINTER(CJobOptions),
            ctypes.POINTER(_JOB),
            _ERROR,
        ],
    ),
    "job_resume": (
        ctypes.c_int,
        [*_OPTIONS, ctypes.c_char_p, ctypes.POINTER(_JOB), _ERROR],
    ),
    "job_ticket": (ctypes.c_char_p, [_JOB]),
    "job_epoch": (ctypes.c_uint64, [_JOB]),
    "job_committed": (ctypes.c_int, [_JOB]),
    "job_number": (ctypes.c_int, [_JOB, ctypes.c_uint64, ctypes.c_char_p, _ERROR]),
    "job_commit": (
        ctypes.c_int,
        [_JOB, ctypes.POINTER(ctypes.c_char_p), ctypes.c_size_t, _TEXT, _ERROR],
    ),
    "job_abort": (ctypes.c_int, [_JOB, _ERROR]),
    "job_free": (None, [_JOB]),
    "part_open": (
        ctypes.c_int,
        [
            *_OPTIONS,
            ctypes.c_char_p,
            ctypes.c_uint32,
            ctypes.POINTER(ArrowSchema),
            ctypes.POINTER(CCallbacks),
            ctypes.POINTER(_SINK),
            _ERROR,
        ],
    ),
    "part_finish": (ctypes.c_int, [_SINK, _TEXT, _ERROR]),
}


class Library:
    """The loaded library; its functions are members without their prefix."""

    def __init__(self, path: str) -> None:
        loaded = ctypes.CDLL(path)
        for name, (result, arguments) in _FUNCTIONS.items():
            function = getattr(loaded, "pgsink_" + name)
            function.restype = result
            function.argtypes = arguments
            setattr(self, name, function)
        if self.abi_version() != ABI:
            raise ImportError(
                f"{path} has version {self.abi_version()} of the C interface of pgsink, and this "
                f"package needs {ABI}: install both from one release"
            )

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"libpgsink_c has no function pgsink_{name}")

    def call(self, function: Callable[..., int], *arguments: Any) -> None:
        """Calls a function whose last argument is the error, and raises what failed.

        Raises
        ------
        Error
            The subclass for the number of the error.
        """
        error = CError(size=ctypes.sizeof(CError))
        code = function(*arguments, ctypes.byref(error))
        if code == 0:
            return
        try:
            raise error_of(
                code,
                _text(error.message),
                sqlstate=error.sqlstate.decode("ascii"),
                detail=_text(error.detail),
                hint=_text(error.hint),
                where=_text(error.where),
                schema=_text(error.schema),
                table=_text(error.table),
                column=_text(error.column),
                constraint=_text(error.constraint),
                rows_committed=error.rows_committed,
                retryable=error.retryable != 0,
                sent=error.sent != 0,
            )
        finally:
            self.error_clear(ctypes.byref(error))

    def text(self, function: Callable[..., int], *arguments: Any) -> str:
        """Calls a function that hands out a text."""
        place = ctypes.c_void_p()
        self.call(function, *arguments, ctypes.byref(place))
        if not place.value:
            raise InternalError("libpgsink_c handed out no text")
        try:
            return ctypes.string_at(place.value).decode("utf-8", "replace")
        finally:
            self.free(place)


def _text(value: bytes | None) -> str:
    return "" if value is None else value.decode("utf-8", "replace")


def c_options(options: Sequence[tuple[str, str]]) -> Any:
    """Options as an array for C; the texts live as long as it."""
    array = (COption * len(options))()
    for place, (key, value) in zip(array, options):
        if "\0" in key or "\0" in value:
            raise error_of(1003, f"{key.split(chr(0))[0]}: the value holds a character NUL")
        place.key = key.encode()
        place.value = value.encode()
    return array


def c_streams(streams: Sequence[str]) -> Any:
    """Names of streams as an array for C; the texts live as long as it."""
    return (ctypes.c_char_p * len(streams))(*(c_stream(name) for name in streams))


def c_stream(name: str) -> bytes:
    """The name of a stream for C."""
    if "\0" in name:
        raise error_of(9003, f"the name of the stream {name!r} holds a character NUL")
    return name.encode()


def _find() -> str:
    given = os.environ.get("PGSINK_C_LIBRARY")
    if given:
        return given
    beside = Path(__file__).with_name("libpgsink_c.so")
    if beside.exists():
        return str(beside)
    raise ImportError(
        f"the package pgsink is installed without its library ({beside}): install the wheel, or "
        "name a libpgsink_c.so in PGSINK_C_LIBRARY"
    )


lib = Library(_find())
"""The one library of the process."""
