"""The Python package, installed from its wheel, against a real server."""

import copy
import ctypes
import gc
import io
import logging
import os
import pickle
import random
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
import unittest
from datetime import date, datetime, timezone
from decimal import Decimal
from pathlib import Path

import duckdb
import pandas
import polars
import psycopg
import pyarrow

import pgsink
from pgsink import _input, _library, _progress
from server import PATIENCE_SECONDS, Server

ROOT = Path(__file__).resolve().parent.parent.parent


def setUpModule():
    global server, admin
    server = Server()
    admin = psycopg.connect(server.url("postgres"), autocommit=True)


def tearDownModule():
    admin.close()
    server.stop()


class DatabaseTest(unittest.TestCase):
    """Each test has a database of its own."""

    number = 0

    def setUp(self):
        DatabaseTest.number += 1
        name = f"t{DatabaseTest.number}"
        admin.execute(f"CREATE DATABASE {name}")
        self.url = server.url(name)
        self.connection = psycopg.connect(self.url, autocommit=True)
        self.addCleanup(self.connection.close)

    def sql(self, text, *values):
        done = self.connection.execute(text, values or None)
        return done.fetchall() if done.description else None

    def value(self, text):
        return self.sql(text)[0][0]

    def eventually(self, holds):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not holds():
            self.assertLess(time.monotonic(), deadline, "it never came")
            time.sleep(0.01)

    def hold(self, table):
        """Nobody can write to the table until the result is closed."""
        holder = psycopg.connect(self.url)
        holder.execute(f"LOCK TABLE {table}")
        self.addCleanup(holder.close)
        return holder

    def works(self):
        """Whether another session has not ended."""
        return self.value("SELECT count(*) > 0 FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
                          " AND datname = current_database() AND backend_type = 'client backend'")

    def waits(self):
        return self.value("SELECT count(*) > 0 FROM pg_locks WHERE NOT granted")


COLUMNS = {"id": [1, 2, 3], "name": ["a", None, "ü"], "price": [0.5, 1.25, None]}
ROWS = [(1, "a", 0.5), (2, None, 1.25), (3, "ü", None)]


class InputTest(DatabaseTest):
    def write(self, data, rows=ROWS, **options):
        self.sql("CREATE TABLE IF NOT EXISTS t (id bigint, name text, price float8)")
        self.sql("TRUNCATE t")
        report = pgsink.write(data, self.url, "t", **options)
        self.assertEqual(report.written, len(rows))
        self.assertEqual(report.rows, len(rows))
        self.assertEqual(self.sql("SELECT * FROM t ORDER BY id"), rows)

    def test_everything_that_exports_arrow(self):
        table = pyarrow.table(COLUMNS)
        frame = polars.DataFrame(COLUMNS)
        batch = table.to_batches()[0]
        relation = duckdb.sql("SELECT * FROM frame")
        for name, data in {
            "table": table,
            "batch": batch,
            "reader": table.to_reader(),
            "polars": frame,
            "lazy chunks": polars.concat([frame[:1], frame[1:]], rechunk=False),
            "pandas": pandas.DataFrame(COLUMNS).astype({"name": "string"}),
            "duckdb": relation,
            "dicts": table.to_pylist(),
            "dict": COLUMNS,
            "list": [batch.slice(0, 1), batch.slice(1)],
            "generator": (part for part in (frame[:2], frame[2:])),
            "struct array": OnlyArray(batch),
            "struct arrays": [OnlyArray(batch.slice(0, 2)), OnlyArray(batch.slice(2))],
        }.items():
            with self.subTest(name):
                self.write(data)

    def test_a_pipe_of_polars(self):
        frame = polars.DataFrame(COLUMNS)
        report = frame.pipe(pgsink.write, self.url, "made", create_table=True)
        self.assertEqual(report.written, 3)
        self.assertEqual(self.sql("SELECT * FROM made ORDER BY id"), ROWS)

    def test_each_of_them_writes_the_same_values(self):
        table = pyarrow.table({
            "b": pyarrow.array([True, None]),
            "i16": pyarrow.array([-5, 7], pyarrow.int16()),
            "u32": pyarrow.array([0, 4294967295], pyarrow.uint32()),
            "f32": pyarrow.array([0.5, None], pyarrow.float32()),
            "t": pyarrow.array(["x", ""], pyarrow.large_string()),
            "bin": pyarrow.array([b"\0\xff", None]),
            "d": pyarrow.array([date(2024, 2, 29), None]),
            "ts": pyarrow.array([datetime(2024, 5, 1, 12, tzinfo=timezone.utc), None],
                                pyarrow.timestamp("us", "UTC")),
            "n": pyarrow.array([Decimal("12.50"), None], pyarrow.decimal128(10, 2)),
            "l": pyarrow.array([[1, 2], None], pyarrow.list_(pyarrow.int64())),
        })
        self.sql("CREATE TABLE t (b bool, i16 int2, u32 int8, f32 float4, t text, bin bytea, "
                 "d date, ts timestamptz, n numeric, l int8[])")
        frame = polars.from_arrow(table)
        found = []
        for data in (table, frame, duckdb.sql("SELECT * FROM frame"),
                     table.to_pandas(types_mapper=pandas.ArrowDtype)):
            self.sql("TRUNCATE t")
            pgsink.write(data, self.url, "t")
            found.append(self.sql("SELECT t::text FROM t ORDER BY i16"))
        for other in found[1:]:
            self.assertEqual(other, found[0])

    def test_the_index_of_pandas(self):
        """Numbers of rows are not written, names are."""
        frame = pandas.DataFrame(COLUMNS).astype({"name": "string"})
        self.write(frame[frame["id"] > 1], ROWS[1:])
        self.write([frame[frame["id"] > 1], frame[frame["id"] == 1]])
        self.write(frame.set_index("id"))
        report = frame[frame["id"] > 1].pipe(pgsink.write, self.url, "made", create_table=True)
        self.assertEqual(report.written, 2)
        self.assertEqual([column.name for column in pgsink.describe(self.url, "made")],
                         ["id", "name", "price"])

    def test_a_column_and_a_query_are_no_rows(self):
        self.sql("CREATE TABLE t (id bigint)")
        array = pyarrow.array([1])
        for data in (pandas.Series([1], name="id"), polars.Series("id", [1]), array,
                     pyarrow.chunked_array([array])):
            with self.subTest(type(data)), self.assertRaisesRegex(pgsink.UsageError, "to_frame"):
                pgsink.write(data, self.url, "t")
        with self.assertRaisesRegex(pgsink.UsageError, r"LazyFrame .*collect\(\)"):
            pgsink.write(polars.LazyFrame({"id": [1]}), self.url, "t")

    def test_what_is_not_rows_is_refused(self):
        self.sql("CREATE TABLE t (id bigint)")
        for data in (7, "text", [1, 2], object()):
            with self.subTest(data), self.assertRaises(pgsink.UsageError) as raised:
                pgsink.write(data, self.url, "t")
            self.assertIn("cannot be read as rows", str(raised.exception))
        with self.assertRaises(pgsink.UsageError):
            pgsink.write([], self.url, "t")

    def test_a_producer_that_raises(self):
        self.sql("CREATE TABLE t (id bigint)")
        schema = pyarrow.schema([("id", pyarrow.int64())])

        def batches():
            yield pyarrow.record_batch([[1]], schema=schema)
            raise ValueError("no more pages")

        reader = pyarrow.RecordBatchReader.from_batches(schema, batches())
        with self.assertRaisesRegex(pgsink.OptionError, "no more pages"):
            pgsink.write(reader, self.url, "t")

    def test_batches_of_another_schema_are_refused(self):
        self.sql("CREATE TABLE t (id bigint)")
        parts = [OnlyArray(pyarrow.record_batch({"id": pyarrow.array([1])})),
                 OnlyArray(pyarrow.record_batch({"id": pyarrow.array([1], pyarrow.int32())}))]
        with self.assertRaisesRegex(pgsink.UsageError, 'column "id" has another type'):
            pgsink.write(parts, self.url, "t")

    def test_memory_and_references_go_back(self):
        """Each way in releases what it was given once: a second time would end the process."""
        self.sql("CREATE TABLE t (id bigint)")
        writes = 10_000
        batch = pyarrow.record_batch({"id": pyarrow.array([7])})
        parts = (batch, pyarrow.Table.from_batches([batch]), OnlyArray(batch),
                 polars.DataFrame({"id": [7]}))
        counted = [Counted(part) for part in parts]
        gc.collect()
        before = pyarrow.total_allocated_bytes()
        references = [sys.getrefcount(part) for part in parts]
        with pgsink.Sink(self.url, "t") as sink:
            for number in range(writes):
                sink.write(counted[number % len(counted)])
        gc.collect()
        self.assertEqual(pyarrow.total_allocated_bytes(), before)
        self.assertEqual([sys.getrefcount(part) for part in parts], references)
        self.assertEqual(self.value("SELECT count(*) FROM t"), writes)
        # A batch alone has a schema beside its array.
        self.assertEqual([part.exported for part in counted],
                         [writes // 4, writes // 4, writes // 2, writes // 4])
        self.assertEqual([part.released for part in counted],
                         [part.exported for part in counted])

    def test_what_a_failed_write_was_given_goes_back(self):
        self.sql("CREATE TABLE t (id bigint)")
        batch = pyarrow.record_batch({"id": pyarrow.array([7])})
        other = pyarrow.record_batch({"id": pyarrow.array(["x"])})
        gc.collect()
        before = pyarrow.total_allocated_bytes()
        references = sys.getrefcount(batch), sys.getrefcount(other)
        sink = pgsink.Sink(self.url, "t")
        sink.write(batch)
        for data in (other, OnlyArray(other), pyarrow.Table.from_batches([other])):
            for _ in range(100):
                with self.assertRaises(pgsink.Error):
                    sink.write(data)
        sink.close()
        for data in (batch, OnlyArray(batch)):
            with self.assertRaises(pgsink.UsageError):
                sink.write(data)
        del data
        gc.collect()
        self.assertEqual(pyarrow.total_allocated_bytes(), before)
        self.assertEqual((sys.getrefcount(batch), sys.getrefcount(other)), references)


class Counted:
    """Passes on what something exports, and counts how often it is released."""

    def __init__(self, data):
        self.data = data
        self.exported = self.released = 0
        self._callbacks = []
        self._lock = threading.Lock()
        if hasattr(data, "__arrow_c_stream__"):
            self.__arrow_c_stream__ = lambda requested_schema=None: self._count(
                data.__arrow_c_stream__(), b"arrow_array_stream", _library.ArrowArrayStream)
        else:
            self.__arrow_c_array__ = self._export_array

    def _export_array(self, requested_schema=None):
        schema, array = self.data.__arrow_c_array__()
        return (self._count(schema, b"arrow_schema", _library.ArrowSchema),
                self._count(array, b"arrow_array", _library.ArrowArray))

    def _count(self, capsule, name, kind):
        struct = kind.from_address(_input._get_pointer(capsule, name))
        first = struct.release
        release = type(first)
        original = ctypes.cast(first, ctypes.c_void_p).value

        def count(pointer):
            with self._lock:
                self.released += 1
            release(original)(pointer)

        self._callbacks.append(release(count))
        struct.release = self._callbacks[-1]
        self.exported += 1
        return capsule


class OnlyArray:
    """An object with __arrow_c_array__ alone."""

    def __init__(self, batch):
        self.batch = batch

    def __arrow_c_array__(self, requested_schema=None):
        return self.batch.__arrow_c_array__()


class WriteTest(DatabaseTest):
    def setUp(self):
        super().setUp()
        self.sql("CREATE TABLE t (id bigint PRIMARY KEY, name text CHECK (name <> 'bad'))")

    def frame(self, ids, name="n"):
        return polars.DataFrame({"id": ids, "name": [name] * len(ids)})

    def test_upserts(self):
        pgsink.write(self.frame([1, 2]), self.url, "t")
        report = pgsink.write(self.frame([2, 3], "m"), self.url, "t", mode="upsert",
                              conflict_columns=["id"], parallelism=2)
        self.assertEqual(report.written, 2)
        self.assertEqual(self.sql("SELECT * FROM t ORDER BY id"),
                         [(1, "n"), (2, "m"), (3, "m")])

    def test_number_of_connections(self):
        """Two for many rows, unless something asks for one."""
        for count, options, connections in ((60_000, {}, 2), (40_000, {}, 1),
                                            (60_000, {"parallelism": 1}, 1),
                                            (40_000, {"parallelism": 3}, 3),
                                            (60_000, {"atomic": True}, 1)):
            with self.subTest(count=count, options=options):
                self.sql("DROP TABLE IF EXISTS many; CREATE TABLE many (id bigint, backend int "
                         "DEFAULT pg_backend_pid())")
                frame = polars.DataFrame({"id": range(count)})
                pgsink.write(frame, self.url, "many", **options)
                found = self.sql("SELECT count(*), count(DISTINCT backend) FROM many")
                self.assertEqual(found, [(count, connections)])

    def test_options_of_every_kind(self):
        self.sql('CREATE TABLE "odd, ""t" ("a b" bigint PRIMARY KEY, "c,d" text, '
                 "who text DEFAULT current_setting('app.who', true))")
        data = pyarrow.table({"a b": [1], "c,d": ["x"]})
        pgsink.write(data, self.url, 'odd, "t', mode="upsert", conflict_columns=["a b"],
                     update_columns=["c,d"], session_variables={"app.who": "me"}, batch_size=5,
                     use_copy=True, schema="public", lock_timeout_ms=None)
        self.assertEqual(self.sql('SELECT * FROM "odd, ""t"'), [(1, "x", "me")])

    def test_an_error_has_every_field(self):
        pgsink.write(self.frame([1]), self.url, "t")
        with self.assertRaises(pgsink.ServerError) as raised:
            pgsink.write(self.frame([1]), self.url, "t")
        error = raised.exception
        self.assertEqual(error.code, "PGS-5001")
        self.assertEqual(error.sqlstate, "23505")
        self.assertEqual(error.constraint, "t_pkey")
        self.assertEqual(error.table, "t")
        self.assertEqual(error.detail, "Key (id)=(1) already exists.")
        self.assertFalse(error.retryable)
        self.assertEqual(error.rows_committed, 0)
        self.assertIn("0 rows are committed", str(error))
        for same in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
            self.assertIs(type(same), pgsink.ServerError)
            self.assertEqual(vars(same), vars(error))

    def test_errors_by_kind(self):
        frame = self.frame([1])
        with self.assertRaisesRegex(pgsink.OptionError, "did you mean parallelism"):
            pgsink.write(frame, self.url, "t", paralelism=2)
        with self.assertRaises(pgsink.TargetError):
            pgsink.write(frame, self.url, "missing")
        with self.assertRaises(pgsink.ConnectError) as raised:
            pgsink.write(frame, "postgresql://u@127.0.0.1:1/d", "t")
        self.assertTrue(raised.exception.retryable)
        with self.assertRaises(pgsink.RejectedError):
            pgsink.write(self.frame([2], "\0"), self.url, "t")

    def test_rejected_rows(self):
        letters = []
        frame = polars.concat([self.frame([1, 2]), self.frame([3], "bad"), self.frame([4])])
        report = pgsink.write(frame, self.url, "t", on_dead_letters=letters.extend)
        self.assertEqual((report.written, report.rejected), (3, 1))
        self.assertEqual([letter["row"] for letter in letters], [{"id": 3, "name": "bad"}])
        self.assertEqual(letters[0]["input_row"], 3)
        self.assertIn("check constraint", letters[0]["message"])

    def test_a_function_for_rejected_rows_that_raises(self):
        def refuse(letters):
            raise KeyError(letters[0]["row"]["id"])

        with self.assertRaises(pgsink.RejectedError) as raised:
            pgsink.write(self.frame([7], "bad"), self.url, "t", on_dead_letters=refuse)
        self.assertIsInstance(raised.exception.__cause__, KeyError)
        self.assertEqual(self.value("SELECT count(*) FROM t"), 0)

    def test_progress(self):
        seen = []
        pgsink.write(self.frame([1, 2, 3]), self.url, "t", progress=seen.append)
        self.assertTrue(seen[-1].done)
        self.assertEqual((seen[-1].rows, seen[-1].total), (3, 3))
        held = self.hold("t")
        waiting = []

        def look(progress):
            waiting.append(progress)
            held.close()

        pgsink.write(self.frame([4]), self.url, "t", progress=look)
        self.assertEqual(waiting[0].rows, 0)
        self.assertFalse(waiting[0].done)

    def test_a_progress_function_that_raises(self):
        self.hold("t")

        def fail(progress):
            raise ZeroDivisionError

        with self.assertRaises(ZeroDivisionError):
            pgsink.write(self.frame([4]), self.url, "t", progress=fail)

    def test_progress_as_text(self):
        for terminal in (False, True):
            out = io.StringIO()
            out.isatty = lambda: terminal
            stderr, sys.stderr = sys.stderr, out
            try:
                pgsink.write(self.frame([10 + terminal]), self.url, "t", progress=True)
            finally:
                sys.stderr = stderr
            bar = r"\r\[#{24}\] " if terminal else ""
            self.assertRegex(out.getvalue(), bar + r"t: 1 rows of 1, 0\.0 MB, .* rows/s *\n\Z")

    def test_what_is_logged(self):
        self.sql("ALTER DATABASE " + self.value("SELECT current_database()") +
                 " SET synchronous_commit = off")
        with self.assertLogs("pgsink", logging.INFO) as logged:
            report = pgsink.write(self.frame([1]), self.url, "t")
        self.assertIn("synchronous_commit is off", report.warnings[0])
        self.assertEqual([record.levelname for record in logged.records], ["WARNING", "INFO"])
        self.assertIn("t: 1 rows", logged.output[1])

    def test_looks_at_the_server(self):
        pgsink.test(self.url, "t")
        with self.assertRaises(pgsink.TargetError):
            pgsink.test(self.url, "missing")
        columns = pgsink.describe(self.url, "t")
        self.assertEqual([(c.name, c.type, c.key) for c in columns],
                         [("id", "bigint", True), ("name", "text", False)])
        self.assertIn("conflict_columns", [option["key"] for option in pgsink.options()])

    def test_other_threads_go_on(self):
        held = self.hold("t")
        counts = [0]
        done = threading.Event()

        def count():
            while not done.is_set():
                counts[0] += 1

        def release():
            self.eventually(self.waits)
            before = counts[0]
            self.eventually(lambda: counts[0] > before + 1000)
            held.close()

        threads = [threading.Thread(target=count), threading.Thread(target=release)]
        for thread in threads:
            thread.start()
        try:
            self.assertEqual(pgsink.write(self.frame([1]), self.url, "t").written, 1)
        finally:
            done.set()
            for thread in threads:
                thread.join()

    def test_a_thread_of_the_program_writes(self):
        results = []
        thread = threading.Thread(
            target=lambda: results.append(pgsink.write(self.frame([1]), self.url, "t")))
        thread.start()
        thread.join()
        self.assertEqual(results[0].written, 1)


class SinkTest(DatabaseTest):
    def setUp(self):
        super().setUp()
        self.sql("CREATE TABLE t (id bigint PRIMARY KEY)")

    def batch(self, *ids):
        return pyarrow.record_batch({"id": pyarrow.array(ids, pyarrow.int64())})

    def test_exactly_once_over_two_runs(self):
        options = {"delivery": "exactly_once", "sink_id": "s", "like": self.batch()}
        with pgsink.Sink(self.url, "t", **options) as sink:
            self.assertEqual(sink.durable_position, 0)
            for number in range(1, 4):
                sink.write(self.batch(number), position=number)
            sink.flush()
            self.assertEqual(sink.durable_position, 3)
        with pgsink.Sink(self.url, "t", **options) as sink:
            self.assertEqual(sink.durable_position, 3)
            sink.write(self.batch(3), position=3)
            sink.write(self.batch(4), position=4)
        self.assertEqual(self.sql("SELECT id FROM t ORDER BY id"), [(1,), (2,), (3,), (4,)])

    def test_a_hundred_rejected_rows_in_a_hundred_thousand(self):
        """Each comes to the function with its number, and the others are written once."""
        self.sql("CREATE TABLE u (id bigint PRIMARY KEY, name text CHECK (name <> 'bad'))")
        rows, per_batch = 100_000, 5_000
        bad = set(range(13, rows, rows // 100))
        frame = polars.DataFrame({
            "id": range(rows), "name": ["bad" if i in bad else f"n{i}" for i in range(rows)]})
        letters = []
        with pgsink.Sink(self.url, "u", like=frame, delivery="exactly_once", sink_id="s",
                         on_dead_letters=letters.extend) as sink:
            for position, part in enumerate(frame.iter_slices(per_batch), start=1):
                sink.write(part.rechunk(), position=position)
            sink.flush()
            metrics = sink.metrics()
            self.assertEqual(sink.durable_position, rows // per_batch)
        self.assertEqual((metrics["rejected_rows"], metrics["rows_written"]),
                         (len(bad), rows - len(bad)))
        self.assertEqual(sorted(letter["row"]["id"] for letter in letters), sorted(bad))
        for letter in letters:
            self.assertEqual(letter["input_row"], letter["row"]["id"] + 1)
            self.assertIn("check constraint", letter["message"])
        self.assertEqual(self.sql("SELECT count(*), sum(id) FROM u"),
                         [(rows - len(bad), sum(range(rows)) - sum(bad))])

    def test_a_second_writer_fences_the_first(self):
        options = {"delivery": "exactly_once", "sink_id": "s", "like": self.batch()}
        first = pgsink.Sink(self.url, "t", **options)
        with pgsink.Sink(self.url, "t", **options):
            first.write(self.batch(1), position=1)
            with self.assertRaises(pgsink.FencedError):
                first.close()

    def test_a_position_is_of_one_batch(self):
        table = pyarrow.Table.from_batches([self.batch(1), self.batch(2)])
        with pgsink.Sink(self.url, "t") as sink:
            with self.assertRaisesRegex(pgsink.UsageError, "write them one by one"):
                sink.write(table, position=1)
            sink.write(table.combine_chunks(), position=1)
            sink.flush()
            self.assertEqual(sink.durable_position, 1)

    def test_epochs_of_the_program(self):
        options = {"use_2pc": True, "sink_id": "s", "like": pyarrow.schema({"id": "int64"})}
        with pgsink.Sink(self.url, "t", **options) as sink:
            self.assertEqual(sink.recover(), pgsink.Recovered(0, 0))
            sink.write(self.batch(1), position=1)
            sink.prepare(1)
            self.assertEqual(self.value("SELECT count(*) FROM t"), 0)
            sink.commit(1)
            self.assertEqual(self.value("SELECT count(*) FROM t"), 1)
            sink.write(self.batch(2), position=2)
            sink.prepare(2)
            sink.abort(2)
        with pgsink.Sink(self.url, "t", **options) as sink:
            self.assertEqual(sink.recover(1), pgsink.Recovered(1, 1))
        self.assertEqual(self.value("SELECT count(*) FROM t"), 1)

    def test_a_block_that_raises_gives_up(self):
        with self.assertRaises(ZeroDivisionError):
            with pgsink.Sink(self.url, "t", batch_timeout_ms=600_000) as sink:
                sink.write(self.batch(1))
                raise ZeroDivisionError
        self.assertEqual(self.value("SELECT count(*) FROM t"), 0)

    def test_a_sink_that_is_not_open(self):
        sink = pgsink.Sink(self.url, "t")
        for use in (lambda: sink.durable_position, sink.metrics, sink.recover):
            with self.assertRaisesRegex(pgsink.UsageError, "like="):
                use()
        sink.flush()
        sink.check()
        sink.close()
        sink.close()
        with self.assertRaisesRegex(pgsink.UsageError, "the sink is closed"):
            sink.write(self.batch(1))

    def test_another_thread_interrupts(self):
        self.hold("t")

        def interrupt():
            self.eventually(self.waits)
            sink.interrupt()

        thread = threading.Thread(target=interrupt)
        with self.assertRaisesRegex(pgsink.InterruptedError, "interrupted. 0 rows are committed"):
            with pgsink.Sink(self.url, "t") as sink:
                sink.write(self.batch(1))
                thread.start()
                sink.flush()
        thread.join()

    def test_a_child_process_may_not_use_it(self):
        with pgsink.Sink(self.url, "t", like=self.batch()) as sink:
            child = os.fork()
            if child == 0:
                try:
                    sink.write(self.batch(2))
                except pgsink.UsageError as error:
                    del sink
                    os._exit(0 if "open a sink after the fork" in str(error) else 3)
                os._exit(4)
            self.assertEqual(os.waitpid(child, 0)[1], 0)
            sink.write(self.batch(1))
        self.assertEqual(self.sql("SELECT id FROM t"), [(1,)])


class StreamsTest(DatabaseTest):
    """Two sinks share streams, as two processes would."""

    def setUp(self):
        super().setUp()
        self.sql("CREATE TABLE t (stream text, id bigint)")

    def rows(self, stream, first, last):
        ids = list(range(first, last + 1))
        return pyarrow.table({"stream": [stream] * len(ids), "id": ids})

    def open(self):
        return pgsink.Sink(self.url, "t", like=self.rows("", 1, 1), delivery="exactly_once",
                           sink_id="s", streams=True)

    def stored(self):
        return self.sql("SELECT stream, count(*), count(DISTINCT id), max(id) FROM t GROUP BY 1"
                        " ORDER BY 1")

    def test_a_stream_goes_on_elsewhere(self):
        with self.open() as first, self.open() as second:
            self.assertEqual(first.claim({"b": 0, "a": 100}), {"b": 0, "a": 100})
            first.write(self.rows("a", 101, 110), position=110, stream="a")
            first.write(self.rows("b", 1, 5), position=5, stream="b")
            first.release(["b"])
            self.assertIn(("b", 5, 5, 5), self.stored())
            self.assertEqual(second.claim(["b"]), {"b": 5})
            second.write(self.rows("b", 6, 9).to_batches()[0], position=9, stream="b")
            second.flush()
            self.assertEqual(second.stream_position("b"), 9)
            self.assertEqual(second.stream_position("a"), 0)
        self.assertEqual(self.stored(), [("a", 10, 10, 110), ("b", 9, 9, 9)])

    def test_a_stream_that_is_taken_over_is_fenced(self):
        with self.open() as first, self.open() as second:
            first.claim(["a", "b"])
            second.claim(name for name in ["a"])
            first.write(self.rows("a", 1, 5), position=5, stream="a")
            first.write(self.rows("b", 1, 5), position=5, stream="b")
            with self.assertRaisesRegex(pgsink.FencedError, 'stream "a" of sink "s" is fenced'):
                first.flush()
            with self.assertRaises(pgsink.FencedError):
                first.check_stream("a")
            first.check_stream("b")
            first.release(["a"], discard=True)
            first.flush()
            second.write(self.rows("a", 1, 5), position=5, stream="a")
        self.assertEqual(self.stored(), [("a", 5, 5, 5), ("b", 5, 5, 5)])

    def test_mistakes(self):
        with self.open() as sink:
            with self.assertRaisesRegex(pgsink.UsageError, "not claimed"):
                sink.write(self.rows("a", 1, 1), position=1, stream="a")
            with self.assertRaisesRegex(pgsink.UsageError, "list of names"):
                sink.claim("a")
            with self.assertRaisesRegex(pgsink.UsageError, "NUL"):
                sink.claim(["a\0b"])
            with self.assertRaisesRegex(pgsink.UsageError, "not claimed"):
                sink.release(["a"])
            sink.claim(["a"])
            chunks = pyarrow.concat_tables([self.rows("a", 1, 1), self.rows("a", 2, 2)])
            with self.assertRaisesRegex(pgsink.UsageError, "one batch"):
                sink.write(chunks, position=2, stream="a")
        with self.assertRaisesRegex(pgsink.UsageError, "like="):
            pgsink.Sink(self.url, "t").claim(["a"])


class ControlCTest(DatabaseTest):
    PROGRAM = """
        import sys
        import polars
        import pgsink
        url, progress = sys.argv[1], sys.argv[2] == "progress"
        ids = polars.DataFrame({"id": range(1000)})
        with pgsink.Sink(url, "t") as sink:
            sink.write(ids)
            sink.flush()
        print("loaded", flush=True)
        sys.stdin.readline()
        try:
            if progress:
                pgsink.write(ids, url, "u", progress=True)
            else:
                with pgsink.Sink(url, "u") as sink:
                    sink.write(ids)
                    sink.flush()
        except KeyboardInterrupt as reason:
            print(repr(reason.__cause__), reason, flush=True)
            sys.exit(7)
    """

    def test_ends_a_call_and_says_what_is_committed(self):
        self.sql("CREATE TABLE t (id bigint)")
        self.sql("CREATE TABLE u (id bigint)")
        for progress in ("quiet", "progress"):
            with self.subTest(progress):
                held = self.hold("u")
                child = subprocess.Popen(
                    [sys.executable, "-c", textwrap.dedent(self.PROGRAM), self.url, progress],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                    text=True)
                self.assertEqual(child.stdout.readline(), "loaded\n")
                child.stdin.write("\n")
                child.stdin.flush()
                self.eventually(self.waits)
                child.send_signal(signal.SIGINT)
                out, _ = child.communicate(timeout=PATIENCE_SECONDS)
                self.assertEqual(child.returncode, 7)
                self.assertIn("InterruptedError", out)
                # The server still waits for the lock, and has all of the rows.
                self.assertIn("interrupted. 0 rows are committed; up to 1000 more were sent and"
                              " may be committed; all others are not written", out)
                held.close()
                self.eventually(lambda: not self.works())
                self.assertIn(self.value("SELECT count(*) FROM u"), (0, 1000))
                self.sql("TRUNCATE u")


class KilledTest(DatabaseTest):
    PROGRAM = """
        import sys
        import pyarrow
        import pgsink
        url, last = sys.argv[1], int(sys.argv[2])
        schema = pyarrow.schema({"id": "int64"})
        with pgsink.Sink(url, "t", like=schema, delivery="exactly_once", sink_id="s",
                         parallelism=2, partition_by="hash(id)", transaction_size=300) as sink:
            for position in range(sink.durable_position + 1, last + 1):
                ids = range((position - 1) * 100, position * 100)
                sink.write(pyarrow.record_batch([pyarrow.array(ids)], schema=schema), position)
    """
    # tests/soak asks for 200.
    KILLS = int(os.environ.get("PGSINK_PYTHON_KILLS", "5"))
    BATCHES = 120 * KILLS
    LINGER_SECONDS = 0.02

    def start(self):
        return subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(self.PROGRAM), self.url, str(self.BATCHES)])

    def test_exactly_once_though_the_process_is_killed(self):
        """At random points: before it has connected, while it loads, between two commits."""
        self.sql("CREATE TABLE t (id bigint)")
        random.seed(self.KILLS)
        killed = 0
        for number in range(1, self.KILLS + 1):
            rows = number * self.BATCHES * 100 // (self.KILLS + 2)
            child = self.start()
            self.eventually(lambda: child.poll() is not None
                            or self.value("SELECT count(*) FROM t") >= rows)
            time.sleep(random.random() * self.LINGER_SECONDS)
            child.kill()
            killed += child.wait() == -signal.SIGKILL
        self.assertGreater(killed, 0)
        self.assertEqual(self.start().wait(), 0)
        rows = self.BATCHES * 100
        self.assertEqual(self.sql("SELECT count(*), count(DISTINCT id), sum(id) FROM t"),
                         [(rows, rows, rows * (rows - 1) // 2)])
        if self.KILLS > 20:
            print(f"{killed} of {self.KILLS} killed while they loaded", file=sys.stderr)


class DocumentationTest(DatabaseTest):
    def blocks(self, page):
        text = (ROOT / page).read_text()
        return re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)

    def run_blocks(self, page):
        names = {"url": self.url}
        stdout, sys.stdout = sys.stdout, io.StringIO()  # The pages print.
        self.addCleanup(setattr, sys, "stdout", stdout)
        blocks = self.blocks(page)
        self.assertTrue(blocks, page)
        for number, block in enumerate(blocks, start=1):
            with self.subTest(page=page, block=number):
                exec(compile(block, f"{page}, block {number}", "exec"), names)

    def test_the_readme_of_the_package(self):
        self.run_blocks("src/python/README.md")
        self.assertEqual(self.value("SELECT count(*) FROM trades"), 2)

    def test_the_readme(self):
        self.run_blocks("README.md")
        self.assertEqual(self.value("SELECT count(*) FROM trades"), 2)

    def test_the_page(self):
        self.run_blocks("docs/how-to/python.md")
        self.assertEqual(self.value("SELECT count(*) FROM events"), 13)

    def test_the_page_about_other_writers(self):
        self.run_blocks("docs/how-to/python-from-others.md")
        self.assertEqual(self.sql("SELECT * FROM readings ORDER BY id"),
                         [(1, 0.5), (2, 1.5), (3, None)])


if __name__ == "__main__":
    unittest.main()
