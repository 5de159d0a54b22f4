"""Every type of Arrow that docs/reference/types.md names, from each of the libraries.

The same values go through pyarrow, polars, pandas and DuckDB, which export them as other types of
Arrow each, and must give the same rows; psycopg reads them. PGSINK_PYTHON_EXAMPLES is how many
tables hypothesis makes.
"""

import math
import os
import re
import struct
import unittest
import uuid
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import duckdb
import pandas
import polars
import psycopg
import pyarrow
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pgsink
from server import Server

os.environ.setdefault("RUST_BACKTRACE", "0")  # Polars panics at types that it does not know.
EXAMPLES = int(os.environ.get("PGSINK_PYTHON_EXAMPLES", "12"))
TYPES_PAGE = Path(__file__).resolve().parent.parent.parent / "docs/reference/types.md"

TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
BYTES = st.binary(max_size=20)
NUMBERS = st.integers(-2**31, 2**31 - 1)
LISTS = st.lists(st.none() | NUMBERS, max_size=4)
FIRST, LAST = datetime(1700, 1, 1), datetime(2200, 1, 1)  # What nanoseconds in 64 bits reach.


def floats(width):
    return st.floats(width=width)


def decimals(digits, places):
    whole = st.integers(-10**digits + 1, 10**digits - 1)
    return whole.map(lambda number: Decimal(f"{number}e-{places}"))


def times(unit):
    steps = {"s": 10**6, "ms": 10**3, "us": 1, "ns": 1}[unit]
    day = 86_400 * 10**6
    micros = st.integers(0, day // steps - 1).map(lambda n: timedelta(microseconds=n * steps))
    return micros.map(lambda passed: (datetime(2000, 1, 1) + passed).time())


def instants(unit, zone=None):
    digits = {"s": 0, "ms": 3, "us": 6, "ns": 6}[unit]

    def whole(moment):
        steps = 10 ** (6 - digits)
        return moment.replace(microsecond=moment.microsecond // steps * steps, tzinfo=zone)

    return st.datetimes(FIRST, LAST).map(whole)


def durations(unit):
    steps = {"s": 10**6, "ms": 10**3, "us": 1, "ns": 1}[unit]
    limit = 200 * 365 * 86_400 * 10**6
    return st.integers(-limit // steps, limit // steps).map(
        lambda n: timedelta(microseconds=n * steps))


def storage(kind, number):
    """An array of an extension type, made of what it is stored as."""
    return lambda values: pyarrow.ExtensionArray.from_storage(kind, pyarrow.array(values, number))


def run_ends(values):
    return pyarrow.RunEndEncodedArray.from_arrays(
        pyarrow.array(range(1, len(values) + 1), pyarrow.int32()),
        pyarrow.array(values, pyarrow.int64()))


class Kind:
    """A type: how it is made, the column that it goes to, and whether psycopg reads it as given."""

    def __init__(self, make, column, values, same=True):
        self.make = make if callable(make) else lambda given: pyarrow.array(given, make)
        self.column = column
        self.values = values
        self.same = same


def kinds():
    arrow = pyarrow
    made = {"null": Kind(arrow.null(), "text", st.none()),
            "bool": Kind(arrow.bool_(), "bool", st.booleans())}
    for bits, column in ((8, "int2"), (16, "int2"), (32, "int4"), (64, "int8")):
        made[f"int{bits}"] = Kind(getattr(arrow, f"int{bits}")(), column,
                                  st.integers(-2**(bits - 1), 2**(bits - 1) - 1))
    for bits, column in ((8, "int2"), (16, "int4"), (32, "int8"), (64, "numeric")):
        made[f"uint{bits}"] = Kind(getattr(arrow, f"uint{bits}")(), column,
                                   st.integers(0, 2**bits - 1))
    for bits, column in ((16, "float4"), (32, "float4"), (64, "float8")):
        made[f"float{bits}"] = Kind(getattr(arrow, f"float{bits}")(), column, floats(bits))
    for bits, digits in ((32, 9), (64, 18), (128, 38), (256, 60)):
        made[f"decimal{bits}"] = Kind(getattr(arrow, f"decimal{bits}")(digits, 4), "numeric",
                                      decimals(digits, 4))
    days = st.dates(FIRST.date(), LAST.date())
    made["date32"] = Kind(arrow.date32(), "date", days)
    made["date64"] = Kind(arrow.date64(), "date", days)
    for name, kind, unit in (("time32", arrow.time32, "s"), ("time32", arrow.time32, "ms"),
                             ("time64", arrow.time64, "us"), ("time64", arrow.time64, "ns")):
        made[f"{name} {unit}"] = Kind(kind(unit), "time", times(unit))
    for unit in ("s", "ms", "us", "ns"):
        made[f"timestamp {unit}"] = Kind(arrow.timestamp(unit), "timestamp", instants(unit))
        made[f"timestamp {unit} UTC"] = Kind(arrow.timestamp(unit, "UTC"), "timestamptz",
                                             instants(unit, timezone.utc))
        made[f"duration {unit}"] = Kind(arrow.duration(unit), "interval", durations(unit))
    made["timestamp us Berlin"] = Kind(arrow.timestamp("us", "Europe/Berlin"), "timestamptz",
                                       instants("us", timezone.utc))
    months = st.tuples(st.integers(-1000, 1000), st.integers(-1000, 1000),
                       st.integers(-10**9, 10**9).map(lambda micros: micros * 1000))
    made["interval"] = Kind(arrow.month_day_nano_interval(), "interval",
                            months.map(arrow.MonthDayNano), same=False)
    for name, kind in (("utf8", arrow.string()), ("large utf8", arrow.large_string()),
                       ("utf8 view", arrow.string_view())):
        made[name] = Kind(kind, "text", TEXTS)
    for name, kind in (("binary", arrow.binary()), ("large binary", arrow.large_binary()),
                       ("binary view", arrow.binary_view())):
        made[name] = Kind(kind, "bytea", BYTES)
    made["fixed size binary"] = Kind(arrow.binary(4), "bytea", st.binary(min_size=4, max_size=4))
    for name, kind in (("list", arrow.list_(arrow.int32())),
                       ("large list", arrow.large_list(arrow.int32())),
                       ("list view", arrow.list_view(arrow.int32())),
                       ("large list view", arrow.large_list_view(arrow.int32()))):
        made[name] = Kind(kind, "int4[]", LISTS)
    made["fixed size list"] = Kind(arrow.list_(arrow.int32(), 3), "int4[]",
                                   st.lists(st.none() | NUMBERS, min_size=3, max_size=3))
    pair = arrow.struct({"a": arrow.int32(), "b": arrow.string()})
    made["struct"] = Kind(pair, "pair", st.fixed_dictionaries({"a": NUMBERS, "b": TEXTS}),
                          same=False)
    entries = st.dictionaries(TEXTS, NUMBERS, max_size=3).map(lambda found: list(found.items()))
    made["map"] = Kind(arrow.map_(arrow.string(), arrow.int32()), "jsonb", entries, same=False)
    made["dictionary"] = Kind(lambda given: arrow.array(given, arrow.string()).dictionary_encode(),
                              "text", st.sampled_from(["red", "green", ""]))
    made["run-end"] = Kind(run_ends, "int8", st.integers(-2**63, 2**63 - 1))
    made["arrow.uuid"] = Kind(lambda given: arrow.array(
        [value and value.bytes for value in given], arrow.uuid()), "uuid", st.uuids())
    made["arrow.json"] = Kind(arrow.json_(), "jsonb",
                              st.sampled_from(['{"a": [1, null]}', "7", '"ü"']), same=False)
    made["arrow.bool8"] = Kind(storage(arrow.bool8(), arrow.int8()), "bool",
                               st.sampled_from([0, 1]))
    return made


KINDS = kinds()

LIBRARIES = {
    "pyarrow": lambda table: table,
    "polars": polars.from_arrow,
    "pandas": lambda table: table.to_pandas(types_mapper=pandas.ArrowDtype),
    "duckdb": lambda table: duckdb.from_arrow(table),
}

# What the library itself does not take from pyarrow, or makes a type that the column does not take.
REFUSED = {
    "pyarrow": set(),
    "polars": {"decimal256", "interval", "list view", "large list view", "run-end",
               "arrow.uuid"},
    "pandas": set(),
    "duckdb": {"float16", "decimal256"},
}

ROWS = st.lists(
    st.fixed_dictionaries({name: st.none() | kind.values for name, kind in KINDS.items()}),
    min_size=1, max_size=6)


def table_of(rows, names):
    """A table with a number for each row, and a column of each type."""
    columns = {"n": pyarrow.array(range(len(rows)), pyarrow.int32())}
    for name in names:
        columns[name] = KINDS[name].make([row[name] for row in rows])
    return pyarrow.table(columns)


def equal(column, given, found):
    if isinstance(given, float) and isinstance(found, float):
        if math.isnan(given):
            return math.isnan(found)
        if column == "float4":  # Its text has the digits that tell it from its neighbours.
            return given == struct.unpack("f", struct.pack("f", found))[0]
    return given == found


def setUpModule():
    global server, url, connection
    server = Server()
    url = server.url("postgres")
    connection = psycopg.connect(url, autocommit=True)
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("CREATE TYPE pair AS (a int4, b text)")
    columns = ", ".join(f'"{name}" {kind.column}' for name, kind in KINDS.items())
    connection.execute(f"CREATE TABLE t (n int4, {columns})")


def tearDownModule():
    connection.close()
    server.stop()


class TypesTest(unittest.TestCase):
    def load(self, library, rows):
        names = [name for name in KINDS if name not in REFUSED[library]]
        connection.execute("TRUNCATE t")
        report = pgsink.write(LIBRARIES[library](table_of(rows, names)), url, "t")
        self.assertEqual((report.written, report.rejected), (len(rows), 0))
        return names

    def read(self, expression, names):
        found = connection.execute(
            "SELECT " + ", ".join(expression.format(name) for name in names) + " FROM t ORDER BY n")
        return [dict(zip(names, row)) for row in found.fetchall()]

    @settings(max_examples=EXAMPLES, deadline=None, database=None, derandomize=True,
              suppress_health_check=list(HealthCheck))
    @given(ROWS)
    def test_each_library_writes_the_same_rows(self, rows):
        first = None
        for library in LIBRARIES:
            names = self.load(library, rows)
            found = self.read('"{}"::text', names)
            if first is None:
                first = found
                self.check_values(rows)
            for number, (expected, row) in enumerate(zip(first, found)):
                for name in names:
                    self.assertEqual(row[name], expected[name],
                                     f"{name} of row {number} from {library}: {rows[number][name]!r}")

    def check_values(self, rows):
        """What is in the table is what was given."""
        names = [name for name, kind in KINDS.items() if kind.same]
        for given_row, found in zip(rows, self.read('"{}"', names)):
            for name in names:
                self.assertTrue(equal(KINDS[name].column, given_row[name], found[name]),
                                f"{name}: {given_row[name]!r} became {found[name]!r}")

    def test_what_a_library_refuses_is_still_refused(self):
        values = {"decimal256": Decimal(1), "interval": pyarrow.MonthDayNano([1, 2, 3000]),
                  "list view": [1], "large list view": [1], "run-end": 1,
                  "arrow.uuid": uuid.UUID(int=1), "float16": 1.0}
        for library, names in REFUSED.items():
            for name in names:
                with self.subTest(library=library, type=name):
                    table = table_of([{name: values[name]}], [name])
                    with self.assertRaises(BaseException) as raised:
                        pgsink.write(LIBRARIES[library](table), url, "t")
                    # A bug of ours would be neither theirs nor about the type.
                    error = raised.exception
                    self.assertTrue(not isinstance(error, pgsink.Error)
                                    or isinstance(error, (pgsink.TargetError, pgsink.OptionError)),
                                    repr(error))

    def test_the_page_names_no_other_type(self):
        """A type that the page gets comes into this test too."""
        page = TYPES_PAGE.read_text()
        text = re.search(r"^- \*\*Arrow\*\*(.*?)^- \*\*", page, re.MULTILINE | re.DOTALL).group(1)
        self.assertEqual(
            " ".join(text.split()),
            "(`pgsink/arrow.h`, C Data Interface): null, bool, (u)int8 … 64, float16 … 64, decimal32 "
            "… 256, date32/64, time32/64, timestamp, duration, all three intervals, utf8 and binary "
            "(also large, view, fixed size), list (also large, view, fixed size), struct, map, "
            "dictionary, run-end encoding; the extensions `arrow.uuid`, `arrow.json`, `arrow.bool8` "
            "and DuckDB's hugeint. Unions are refused by name: which of its types a value has would "
            "decide about the column's.")

    def test_hugeint_of_duckdb(self):
        connection.execute("CREATE TABLE IF NOT EXISTS huge (n numeric)")
        values = [-2**127 + 1, 0, 2**127 - 1]
        relation = duckdb.sql("SELECT unnest(" + str(values) + "::HUGEINT[]) AS n")
        pgsink.write(relation, url, "huge")
        found = connection.execute("SELECT n FROM huge ORDER BY n").fetchall()
        self.assertEqual([int(row[0]) for row in found], values)


if __name__ == "__main__":
    unittest.main()
