"""Columns of Spark as those of Arrow that a task gets."""

from __future__ import annotations

from typing import Any, Iterator

import pgsink
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import (
    ArrayType,
    DataType,
    MapType,
    SpatialType,
    StructType,
    UserDefinedType,
    VariantType,
    YearMonthIntervalType,
)

# What Spark does not hand over as values, and how to write them nevertheless.
_REFUSED: dict[type[DataType], str] = {
    VariantType: "write to_json({column}) to a column of type json, jsonb or text",
    SpatialType: "write st_asbinary({column}) to a column of PostGIS",
    YearMonthIntervalType: (
        "write concat(CAST(CAST({column} AS INTERVAL MONTH) AS INT), ' months') to a column of "
        "type interval"
    ),
}


def arrow_schema(schema: StructType) -> Any:
    """The schema of the batches that tasks get.

    Raises
    ------
    UsageError
        A column has a type that Spark does not hand over.
    """
    for field in schema.fields:
        for kind in _within(field.dataType):
            for refused, instead in _REFUSED.items():
                if isinstance(kind, refused):
                    raise pgsink.UsageError(
                        f'column "{field.name}": Spark does not pass values of type '
                        f"{kind.simpleString()} to Python: {instead.format(column=field.name)}"
                    )
    # Timestamps are instants, whatever the zone of the session.
    return to_arrow_schema(schema, timezone="UTC")


def _within(kind: DataType) -> Iterator[DataType]:
    """A type, and those that it is made of."""
    yield kind
    inner: list[DataType] = []
    if isinstance(kind, ArrayType):
        inner = [kind.elementType]
    elif isinstance(kind, MapType):
        inner = [kind.keyType, kind.valueType]
    elif isinstance(kind, StructType):
        inner = [field.dataType for field in kind.fields]
    elif isinstance(kind, UserDefinedType):
        inner = [kind.sqlType()]
    for part in inner:
        yield from _within(part)
