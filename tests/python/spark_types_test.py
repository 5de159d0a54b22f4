"""Every type of Spark: what the server has is what Spark says. As spark_test."""

import struct
import unittest
from decimal import Decimal

from spark_support import SparkCase

MICROS = "(extract(epoch FROM v) * 1000000)::bigint"
YEARS = "extract(year FROM v)::int * 12 + extract(month FROM v)::int"


class Kind:
    """A type of Spark: the column that it goes to, values in SQL, and what is compared: an
    expression of Spark and one of the server, whose values are the same in Python."""

    def __init__(self, spark, column, values, says="v", has="v"):
        self.spark = spark
        self.column = column
        self.values = values
        self.says = says
        self.has = has


DECIMALS = ("0", "-1.5", "99999999999999999999999999999999999.999")
DATES = ("DATE'0001-01-01'", "DATE'1582-10-04'", "DATE'1582-10-15'", "DATE'1970-01-01'",
         "DATE'9999-12-31'")
MOMENTS = ("'0001-01-01 00:00:00'", "'1582-10-15 12:00:00'", "'1900-01-01 00:00:00.000001'",
           "'1969-12-31 23:59:59.999999'", "'2026-03-29 02:30:00'", "'9999-12-31 23:59:59.999999'")
FLOATS = ("'0.0'", "'-0.0'", "'1.5'", "'NaN'", "'Infinity'", "'-Infinity'")

KINDS = {
    "boolean": Kind("boolean", "boolean", ("true", "false")),
    "byte": Kind("tinyint", "smallint", ("-128", "127")),
    "short": Kind("smallint", "smallint", ("-32768", "32767")),
    "int": Kind("int", "integer", ("-2147483648", "2147483647")),
    "long": Kind("bigint", "bigint", ("-9223372036854775807 - 1", "9223372036854775807")),
    "float": Kind("float", "real", (*FLOATS, "'3.4028235E38'", "'1.4E-45'"),
                  "CAST(v AS STRING)", "v"),
    "double": Kind("double", "double precision",
                   (*FLOATS, "'1.7976931348623157E308'", "'4.9E-324'"), "CAST(v AS STRING)", "v"),
    "decimal(1,0)": Kind("decimal(1,0)", "numeric", ("-9", "0", "9")),
    "decimal(18,6)": Kind("decimal(18,6)", "numeric(18,6)", ("-999999999999.999999", "0.000001")),
    "decimal(38,0)": Kind("decimal(38,0)", "numeric", ("9" * 38, "-" + "9" * 38)),
    "decimal(38,3)": Kind("decimal(38,3)", "numeric", DECIMALS),
    "decimal(38,38)": Kind("decimal(38,38)", "numeric", ("0." + "9" * 38, "-0." + "0" * 37 + "1")),
    "string": Kind("string", "text", ("''", "'a''b'", "'Ärger 😀 \\n\\t\\\\'", "repeat('x', 100000)")),
    "char": Kind("char(5)", "character(5)", ("'ab'", "'abcde'"), "rpad(v, 5, ' ')", "v::bpchar"),
    "varchar": Kind("varchar(5)", "character varying(5)", ("''", "'abcde'")),
    "binary": Kind("binary", "bytea", ("X''", "X'00FF10'")),
    "date": Kind("date", "date", DATES),
    "time": Kind("time(6)", "time", ("TIME'00:00:00'", "TIME'23:59:59.999999'")),
    "timestamp": Kind("timestamp", "timestamptz", [f"TIMESTAMP{text}" for text in MOMENTS],
                      "unix_micros(v)", MICROS),
    "timestamp_ntz": Kind("timestamp_ntz", "timestamp",
                          [f"TIMESTAMP_NTZ{text}" for text in MOMENTS]),
    "day-time interval": Kind(
        "interval day to second", "interval",
        ("INTERVAL '0' DAY", "INTERVAL '-1 02:03:04.000005' DAY TO SECOND",
         "INTERVAL '99999' DAY")),
    "void": Kind("void", "text", ()),
    "array of int": Kind("array<int>", "integer[]", ("array(1, NULL, 3)", "array()")),
    "array of string": Kind("array<string>", "text[]", ("array('a,\"b', NULL, '')",)),
    "array of decimal": Kind("array<decimal(10,2)>", "numeric[]", ("array(1.25BD, NULL)",)),
    "array of timestamp": Kind(
        "array<timestamp>", "timestamptz[]", (f"array(TIMESTAMP{MOMENTS[4]}, NULL)",),
        "unix_micros(v[0])", "(extract(epoch FROM v[1]) * 1000000)::bigint"),
    "array of arrays": Kind("array<array<int>>", "integer[]", ("array(array(1, 2), array(3, 4))",)),
    "struct": Kind("struct<a:int,b:string>", "pair",
                   ("named_struct('a', 1, 'b', 'x')", "named_struct('a', NULL, 'b', NULL)"),
                   "struct(v.a, v.b)", "ARRAY[(v).a::text, (v).b]"),
    "struct as json": Kind("struct<a:int,b:array<string>>", "jsonb",
                           ("named_struct('a', 1, 'b', array('x', 'y'))",),
                           "concat(v.a, v.b[0], v.b[1])", "(v->>'a') || (v->'b'->>0) || (v->'b'->>1)"),
    "map as json": Kind("map<string,int>", "jsonb", ("map('a', 1, 'b', NULL)", "map()"),
                        "to_json(v, map('ignoreNullFields', 'false'))", "replace(v::text, ' ', '')"),
    "map as hstore": Kind("map<string,string>", "hstore", ("map('a', '1', 'b', NULL)",),
                          "concat(v['a'], size(v))", "(v->'a') || cardinality(akeys(v))"),
    "map of structs": Kind("map<string,struct<a:int>>", "jsonb",
                           ("map('k', named_struct('a', 7))",), "v['k'].a", "(v->'k'->>'a')::int"),
    "array of structs": Kind("array<struct<a:int,b:string>>", "pair[]",
                             ("array(named_struct('a', 1, 'b', 'x'))",),
                             "concat(v[0].a, v[0].b)", "v[1].a || v[1].b"),
    "json text": Kind("string", "jsonb", ("""'{"a": 1}'""",), "v", "v::text"),
    "uuid text": Kind("string", "uuid", ("'00000000-0000-0000-0000-0000000000ff'",), "v", "v::text"),
    # What Spark does not pass on, as the messages say to write it.
    "year-month interval": Kind(
        "interval year to month", "interval",
        ("INTERVAL '-1-2' YEAR TO MONTH", "INTERVAL '9999-11' YEAR TO MONTH"),
        "CAST(CAST(v AS INTERVAL MONTH) AS INT)", YEARS),
    "variant": Kind("variant", "jsonb", ("parse_json('{\"a\":[1,null]}')",), "to_json(v)",
                    "replace(v::text, ' ', '')"),
}

WRITTEN = {
    "year-month interval": "concat(CAST(CAST(v AS INTERVAL MONTH) AS INT), ' months')",
    "variant": "to_json(v)",
}
"""What is written instead of v."""

REFUSED = {
    "year-month interval": "INTERVAL '1-2' YEAR TO MONTH",
    "variant": "parse_json('1')",
    "nested variant": "array(named_struct('a', parse_json('1')))",
}


def same(kind, value):
    """A value of Spark as psycopg has it."""
    if kind.says == "CAST(v AS STRING)" and value is not None:
        size = "f" if kind.spark == "float" else "d"
        return repr(struct.unpack(size, struct.pack(size, float(value))))
    if isinstance(value, bytearray):
        return bytes(value)
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, Decimal):
        return value.normalize()
    if kind.spark.startswith("struct<a:int,b:string>") and value is not None:
        return [None if part is None else str(part) for part in value]
    if isinstance(value, list):
        return [same(kind, part) for part in value]
    return value


class SparkTypesTest(SparkCase):
    settings = {
        "spark.sql.session.timeZone": "America/New_York",
        "spark.sql.timeType.enabled": "true",
    }

    def setUp(self):
        self.sql("DROP TABLE IF EXISTS v; DROP TYPE IF EXISTS pair; "
                 "CREATE EXTENSION IF NOT EXISTS hstore; CREATE TYPE pair AS (a int, b text)")

    def frame(self, kind):
        values = [*kind.values, "NULL"]
        rows = ", ".join(f"({n}, CAST({value} AS {kind.spark}))" if value != "NULL"
                         else f"({n}, CAST(NULL AS {kind.spark}))" for n, value in enumerate(values))
        if kind.spark == "void":
            rows = "(0, NULL)"
        return self.spark.sql(f"SELECT col1 AS n, col2 AS v FROM VALUES {rows}")

    def check(self, name, kind):
        self.sql(f"DROP TABLE IF EXISTS v; CREATE TABLE v (n integer, v {kind.column})")
        frame = self.frame(kind).coalesce(1)
        written = frame.selectExpr("n", f"{WRITTEN.get(name, 'v')} AS v")
        self.writer(written, table="v").mode("append").save()
        said = [same(kind, row[0])
                for row in frame.orderBy("n").selectExpr(f"{kind.says} AS v").collect()]
        had = [same(kind, row[0]) for row in self.sql(f"SELECT {kind.has} FROM v ORDER BY n")]
        self.assertEqual(had, said)

    def test_every_type(self):
        for name, kind in KINDS.items():
            with self.subTest(name):
                self.check(name, kind)

    def test_large_types_of_arrow(self):
        self.spark.conf.set("spark.sql.execution.arrow.useLargeVarTypes", "true")
        try:
            for name in ("string", "binary", "array of string"):
                with self.subTest(name):
                    self.check(name, KINDS[name])
        finally:
            self.spark.conf.unset("spark.sql.execution.arrow.useLargeVarTypes")

    def test_refused_types_are_named(self):
        self.sql("CREATE TABLE v (n integer, v text)")
        for name, value in REFUSED.items():
            with self.subTest(name):
                frame = self.spark.sql(f"SELECT 1 AS n, {value} AS v")
                with self.assertRaisesRegex(Exception, 'column "v": Spark does not pass values'):
                    self.writer(frame, table="v").mode("append").save()
        self.assertEqual(self.sql("SELECT * FROM v"), [])


if __name__ == "__main__":
    unittest.main()
