"""What can be written: everything that exports Arrow, and what pyarrow makes of other things."""

from __future__ import annotations

import ctypes
import importlib
import sys
from typing import Any, Iterator

from ._errors import UsageError, error_of
from ._library import ArrowArray, ArrowArrayStream, ArrowSchema

_ROWS_FORMAT = b"+s"
"""The format of a struct in Arrow: each field is a column."""

_get_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_get_pointer.restype = ctypes.c_void_p
_get_pointer.argtypes = [ctypes.py_object, ctypes.c_char_p]


class Stream:
    """Batches of one schema. It holds what exports them until they are moved to the library."""

    def __init__(self, capsule: Any) -> None:
        self._capsule = capsule
        self.struct = _struct_of(capsule, b"arrow_array_stream", ArrowArrayStream)

    def schema(self) -> ArrowSchema:
        """A schema that the caller has to move on."""
        schema = ArrowSchema()
        self._check(self.struct.get_schema(ctypes.byref(self.struct), ctypes.byref(schema)))
        try:
            _check_rows(schema)
        except UsageError:
            schema.release(ctypes.byref(schema))
            raise
        return schema

    def next(self) -> ArrowArray | None:
        """The next batch, which the caller has to move on; None at the end."""
        array = ArrowArray()
        self._check(self.struct.get_next(ctypes.byref(self.struct), ctypes.byref(array)))
        return array if array.release else None

    def _check(self, failed: int) -> None:
        if not failed:
            return
        text = self.struct.get_last_error(ctypes.byref(self.struct)) or b"unknown error"
        raise error_of(
            1010, f"the Arrow stream failed: {text.decode(errors='replace')} (code {failed})"
        )


class Batch:
    """One batch with its schema. As Stream, it holds what exports it."""

    def __init__(self, schema_capsule: Any, array_capsule: Any) -> None:
        self._capsules = (schema_capsule, array_capsule)
        self.struct = _struct_of(array_capsule, b"arrow_array", ArrowArray)
        self._schema: ArrowSchema = _struct_of(schema_capsule, b"arrow_schema", ArrowSchema)

    def schema(self) -> ArrowSchema:
        """The schema, which the caller has to move on."""
        _check_rows(self._schema)
        return self._schema


def _check_rows(schema: ArrowSchema) -> None:
    """Refuses what is not rows, but the values of one column."""
    if schema.format != _ROWS_FORMAT:
        raise UsageError(
            "this is one column, such as a series, and rows are to be written: make a frame of it, "
            "for example with to_frame()"
        )


def _struct_of(capsule: Any, name: bytes, kind: Any) -> Any:
    return kind.from_address(_get_pointer(capsule, name))


def schema_like(data: Any) -> tuple[Any, ArrowSchema]:
    """The schema of something that describes rows, and what keeps it alive."""
    if hasattr(data, "__arrow_c_schema__"):
        capsule = data.__arrow_c_schema__()
        return capsule, _struct_of(capsule, b"arrow_schema", ArrowSchema)
    for source in sources(data):
        return source, source.schema()
    raise UsageError("like: there is nothing in it whose columns could be read")


def sources(data: Any) -> Iterator[Stream | Batch]:
    """The streams and batches in something that holds rows, one after the other.

    Raises
    ------
    UsageError
        If nothing of it can be read as rows.
    """
    source = _source(data)
    if source is not None:
        yield source
        return
    if isinstance(data, (str, bytes, dict)) or not hasattr(data, "__iter__"):
        raise _unknown(data)
    for part in data:
        source = _source(part)
        if source is None:
            raise _unknown(part)
        yield source


def _source(data: Any) -> Stream | Batch | None:
    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(data, pandas.DataFrame):
        pyarrow = _pyarrow(data)
        # The index is a column if somebody has named it; otherwise it is the numbers of the rows,
        # also where a filter has left gaps in them.
        named = any(name is not None for name in data.index.names)
        table = pyarrow.Table.from_pandas(data, preserve_index=named)
        return Stream(table.__arrow_c_stream__())
    if hasattr(data, "__arrow_c_stream__"):
        return Stream(data.__arrow_c_stream__())
    if hasattr(data, "__arrow_c_array__"):
        return Batch(*data.__arrow_c_array__())
    if _is_rows(data):
        pyarrow = _pyarrow(data)
        return Stream(pyarrow.Table.from_pylist(list(data)).__arrow_c_stream__())
    if isinstance(data, dict):
        pyarrow = _pyarrow(data)
        return Stream(pyarrow.Table.from_pydict(data).__arrow_c_stream__())
    return None


def _is_rows(data: Any) -> bool:
    return isinstance(data, (list, tuple)) and bool(data) and isinstance(data[0], dict)


def _pyarrow(data: Any) -> Any:
    try:
        return importlib.import_module("pyarrow")
    except ImportError:
        raise UsageError(
            f"to write {_name(data)}, pyarrow must be installed; or give something that exports "
            "Arrow, such as a frame of polars"
        ) from None


def _name(data: Any) -> str:
    kind = type(data)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"


def _unknown(data: Any) -> UsageError:
    if hasattr(data, "collect") and hasattr(data, "lazy"):
        return UsageError(f"{_name(data)} has no rows yet: write what its collect() returns")
    return UsageError(
        f"{_name(data)} cannot be read as rows: give something with __arrow_c_stream__ or "
        "__arrow_c_array__ (frames of polars and pandas, tables and readers of pyarrow, relations "
        "of DuckDB), an iterable of those, or with pyarrow a list of dicts"
    )


def row_count(data: Any) -> int | None:
    """The number of rows, if it is known without reading them."""
    count = getattr(data, "num_rows", None)
    if isinstance(count, int):
        return count
    if type(data).__module__.split(".")[0] in ("polars", "pandas") and hasattr(data, "__len__"):
        return len(data)
    return len(data) if _is_rows(data) else None
