// Import of Arrow: what is taken, what is refused and how it is said, and that everything is
// released exactly once.

#include <functional>

#include <pgproto/oid.h>

#include <pgsink/arrow.h>
#include <pgsink/encode/rows/row_encoder.h>

#include <gtest/gtest.h>

#include "support/arrow_builder.h"
#include "support/copy_decoder.h"
#include "support/copy_harness.h"

namespace pgsink {
namespace {

using test::arrow_batch;
using test::arrow_fixed;
using test::arrow_text;
using test::ArrowNode;
using test::export_array;
using test::export_schema;
using test::ReleaseCount;

Result<std::shared_ptr<const Schema>> schema_of(const ArrowNode& batch) {
  ArrowSchema schema;
  export_schema(batch, schema);
  return import_arrow_schema(&schema);
}

/// The error of importing one column; "" if it succeeds. Everything must have been released.
std::string import_error(ArrowNode column, const std::function<void(ArrowArray&)>& spoil = {}) {
  column.name = "c";
  const ArrowNode batch = arrow_batch({std::move(column)});
  ReleaseCount count;
  ArrowSchema schema;
  ArrowArray array;
  export_schema(batch, schema, &count);
  export_array(batch, array, &count);
  auto imported = import_arrow_schema(&schema);
  EXPECT_EQ(schema.release, nullptr);
  EXPECT_EQ(count.schemas, 1);
  if (!imported) {
    array.release(&array);
    return imported.error().message;
  }
  if (spoil) spoil(*array.children[0]);
  std::string message;
  {
    auto made = import_arrow_batch(*imported, &array);
    EXPECT_EQ(array.release, nullptr);
    if (!made) {
      EXPECT_EQ(made.error().code, Errc::kMalformedBatch);
      message = made.error().message;
    } else {
      EXPECT_EQ(count.arrays, 0) << "released while the batch lives";
    }
  }
  EXPECT_EQ(count.arrays, 1);
  return message;
}

#define EXPECT_HAS(text, part) EXPECT_NE((text).find(part), std::string::npos) << (text)

// ---- ownership
// -----------------------------------------------------------------------------------

TEST(ArrowImport, ReleasesOnceWhenTheBatchGoes) {
  EXPECT_EQ(import_error(arrow_text("u", {"a", std::nullopt})), "");
}

TEST(ArrowImport, AMovedBatchReleasesOnce) {
  ReleaseCount count;
  const ArrowNode node = arrow_batch({arrow_fixed<int32_t>("i", {1, 2}).named("n")});
  auto schema = schema_of(node);
  ASSERT_TRUE(schema);
  ArrowArray array;
  export_array(node, array, &count);
  {
    auto batch = import_arrow_batch(*schema, &array);
    ASSERT_TRUE(batch);
    RecordBatch moved = std::move(*batch);
    EXPECT_EQ(batch->row_count(), 0U);
    RecordBatch assigned;
    assigned = std::move(moved);
    EXPECT_EQ(assigned.row_count(), 2U);
    EXPECT_EQ(count.arrays, 0);
    assigned = RecordBatch();
    EXPECT_EQ(count.arrays, 1);
  }
  EXPECT_EQ(count.arrays, 1);
}

TEST(ArrowImport, RefusesWhatWasReleasedBefore) {
  ArrowSchema schema{};
  EXPECT_EQ(import_arrow_schema(&schema).error().code, Errc::kUsage);
  EXPECT_EQ(import_arrow_schema(nullptr).error().code, Errc::kUsage);
  ArrowArray array{};
  EXPECT_EQ(import_arrow_batch(std::make_shared<const Schema>(), &array).error().code,
            Errc::kUsage);
}

TEST(ArrowImport, CountsTheBytesThatABatchHolds) {
  const RecordBatch batch = test::import_columns({arrow_fixed<int64_t>("l", {1, 2, 3}).named("n"),
                                                  arrow_text("u", {"abc", "", "de"}).named("t")});
  EXPECT_EQ(batch.memory_bytes(), 3 * 8 + 4 * 4 + 5U);
}

// ---- schemas
// -------------------------------------------------------------------------------------

TEST(ArrowSchema, ReadsEveryFormat) {
  const std::vector<std::pair<std::string, ColumnKind>> formats = {
      {"n", ColumnKind::kNull},
      {"b", ColumnKind::kBoolBits},
      {"c", ColumnKind::kInt8},
      {"C", ColumnKind::kUint8},
      {"s", ColumnKind::kInt16},
      {"S", ColumnKind::kUint16},
      {"i", ColumnKind::kInt32},
      {"I", ColumnKind::kUint32},
      {"l", ColumnKind::kInt64},
      {"L", ColumnKind::kUint64},
      {"e", ColumnKind::kFloat16},
      {"f", ColumnKind::kFloat32},
      {"g", ColumnKind::kFloat64},
      {"z", ColumnKind::kBinary32},
      {"Z", ColumnKind::kBinary64},
      {"vz", ColumnKind::kBinaryView},
      {"u", ColumnKind::kText32},
      {"U", ColumnKind::kText64},
      {"vu", ColumnKind::kTextView},
      {"d:9,2", ColumnKind::kDecimal128},
      {"d:9,2,32", ColumnKind::kDecimal32},
      {"d:9,-2,64", ColumnKind::kDecimal64},
      {"d:9,2,256", ColumnKind::kDecimal256},
      {"w:7", ColumnKind::kFixedBinary},
      {"tdD", ColumnKind::kDate32},
      {"tdm", ColumnKind::kDate64},
      {"tts", ColumnKind::kTime32},
      {"ttm", ColumnKind::kTime32},
      {"ttu", ColumnKind::kTime64},
      {"ttn", ColumnKind::kTime64},
      {"tss:", ColumnKind::kTimestamp},
      {"tsn:UTC", ColumnKind::kTimestamp},
      {"tDs", ColumnKind::kDuration},
      {"tiM", ColumnKind::kIntervalMonths},
      {"tiD", ColumnKind::kIntervalDayTime},
      {"tin", ColumnKind::kIntervalMonthDayNano},
  };
  for (const auto& [format, kind] : formats) {
    ArrowNode column;
    column.format = format;
    auto schema = schema_of(arrow_batch({column}));
    ASSERT_TRUE(schema) << format;
    EXPECT_EQ((**schema)[0].kind, kind) << format;
  }
}

TEST(ArrowSchema, ReadsUnitsZonesScalesAndWidths) {
  ArrowNode zoned;
  zoned.format = "tsm:Europe/Berlin";
  ArrowNode local;
  local.format = "tsn:";
  ArrowNode decimal;
  decimal.format = "d:38,-3";
  ArrowNode fixed;
  fixed.format = "w:12";
  auto schema = schema_of(arrow_batch({zoned, local, decimal, fixed}));
  ASSERT_TRUE(schema);
  const Schema& fields = **schema;
  EXPECT_EQ(fields[0].unit, TimeUnit::kMilli);
  EXPECT_TRUE(fields[0].utc);
  EXPECT_EQ(fields[1].unit, TimeUnit::kNano);
  EXPECT_FALSE(fields[1].utc);
  EXPECT_EQ(fields[2].precision, 38);
  EXPECT_EQ(fields[2].scale, -3);
  EXPECT_EQ(fields[3].width, 12);
}

TEST(ArrowSchema, KnowsTheExtensions) {
  auto schema = schema_of(arrow_batch({arrow_text("w:16", {}).extended("arrow.uuid"),
                                       arrow_text("u", {}).extended("arrow.json"),
                                       arrow_fixed<int8_t>("c", {}).extended("arrow.bool8"),
                                       arrow_text("w:8", {}).extended("arrow.uuid"),
                                       arrow_text("u", {}).extended("somebody.else")}));
  ASSERT_TRUE(schema);
  EXPECT_EQ((**schema)[0].kind, ColumnKind::kUuid);
  EXPECT_TRUE((**schema)[1].json);
  EXPECT_EQ((**schema)[2].kind, ColumnKind::kBoolBytes);
  EXPECT_EQ((**schema)[3].kind, ColumnKind::kFixedBinary);  // not 16 bytes: no uuid
  EXPECT_EQ((**schema)[4].kind, ColumnKind::kText32);
  EXPECT_FALSE((**schema)[4].json);
}

TEST(ArrowSchema, RefusesByNameWhatItDoesNotTake) {
  const std::vector<std::pair<std::string, std::string>> formats = {
      {"+ud:0,1", "a dense union"},
      {"+us:0", "a sparse union"},
      {"q", "format \"q\""},
      {"", "format \"\""},
  };
  for (const auto& [format, part] : formats) {
    ArrowNode column;
    column.format = format;
    column.name = "odd";
    auto schema = schema_of(arrow_batch({column}));
    ASSERT_FALSE(schema) << format;
    EXPECT_EQ(schema.error().code, Errc::kColumnType);
    EXPECT_HAS(schema.error().message, part);
    EXPECT_HAS(schema.error().message, "column \"odd\"");
  }
}

TEST(ArrowSchema, RefusesMalformedFormats) {
  for (const char* format :
       {"d:9", "d:9,2,77", "d:,", "d:9,2,32,1", "d:9,99999", "w:", "w:-1", "w:1x", "+w:x"}) {
    ArrowNode column;
    column.format = format;
    auto schema = schema_of(arrow_batch({column}));
    ASSERT_FALSE(schema) << format;
    EXPECT_EQ(schema.error().code, Errc::kMalformedBatch) << format;
  }
}

TEST(ArrowSchema, RefusesWrongChildren) {
  ArrowNode list;
  list.format = "+l";
  EXPECT_HAS(schema_of(arrow_batch({list})).error().message, "0 children where its format has 1");
  list.format = "+m";
  list.children.push_back(arrow_fixed<int32_t>("i", {}));
  EXPECT_HAS(schema_of(arrow_batch({list})).error().message, "struct of key and value");
  ArrowNode number = arrow_fixed<int32_t>("i", {});
  number.children.push_back(arrow_fixed<int32_t>("i", {}));
  EXPECT_HAS(schema_of(arrow_batch({number})).error().message, "1 children where its format has 0");
}

TEST(ArrowSchema, RefusesWhatIsNoRecordBatch) {
  EXPECT_HAS(schema_of(arrow_fixed<int32_t>("i", {})).error().message,
             "a record batch is a struct");
}

TEST(ArrowSchema, RefusesEndlessNesting) {
  ArrowNode node = arrow_fixed<int32_t>("i", {});
  for (int i = 0; i < 40; ++i) node = test::arrow_list("+l", {}, std::move(node));
  EXPECT_HAS(schema_of(arrow_batch({node})).error().message, "deeper than 32 levels");
}

TEST(ArrowSchema, InfinitiesAreTheProducersToAnnounce) {
  ArrowNode dates = arrow_fixed<int32_t>("tdD", {});
  ArrowSchema schema;
  export_schema(arrow_batch({dates}), schema);
  auto imported = import_arrow_schema(&schema, {true});
  ASSERT_TRUE(imported);
  EXPECT_TRUE((**imported)[0].infinities);
  EXPECT_FALSE((**schema_of(arrow_batch({dates})))[0].infinities);
}

// ---- arrays: trap 4, no count is trusted
// ----------------------------------------------------------

TEST(ArrowArray, Trap4RefusesWrongLengthsAndOffsets) {
  const ArrowNode numbers = arrow_fixed<int32_t>("i", {1, 2, 3});
  EXPECT_HAS(import_error(numbers, [](ArrowArray& a) { a.length = 2; }),
             "has 2 rows where 3 are needed");
  EXPECT_HAS(import_error(numbers, [](ArrowArray& a) { a.length = -1; }), "negative or too large");
  EXPECT_HAS(import_error(numbers, [](ArrowArray& a) { a.offset = -1; }), "negative or too large");
  EXPECT_HAS(import_error(numbers, [](ArrowArray& a) { a.length = INT64_MAX; }), "too large");
  EXPECT_HAS(import_error(numbers, [](ArrowArray& a) { a.offset = INT64_MAX; }), "too large");
}

TEST(ArrowArray, Trap4RefusesMissingBuffersAndChildren) {
  const ArrowNode numbers = arrow_fixed<int32_t>("i", {1, std::nullopt});
  EXPECT_HAS(import_error(numbers, [](ArrowArray& a) { a.n_buffers = 1; }),
             "1 buffers where its format has 2");
  EXPECT_HAS(import_error(numbers, [](ArrowArray& a) { a.buffers[1] = nullptr; }),
             "no data buffer");
  EXPECT_HAS(import_error(numbers,
                          [](ArrowArray& a) {
                            a.buffers[0] = nullptr;
                            a.null_count = 1;
                          }),
             "no validity buffer");
  EXPECT_HAS(import_error(arrow_text("u", {"a"}), [](ArrowArray& a) { a.buffers[1] = nullptr; }),
             "no offsets");
  EXPECT_HAS(import_error(arrow_text("u", {"a"}), [](ArrowArray& a) { a.buffers[2] = nullptr; }),
             "no data buffer");
  EXPECT_HAS(
      import_error(test::arrow_list("+l", {1}, numbers), [](ArrowArray& a) { a.n_children = 0; }),
      "0 children where its format has 1");
  EXPECT_HAS(import_error(test::arrow_bool({true}), [](ArrowArray& a) { a.buffers[1] = nullptr; }),
             "no data buffer");
}

TEST(ArrowArray, Trap4RefusesOffsetsThatDecrease) {
  const auto put = [](ArrowArray& a, size_t at, int32_t value) {
    auto* offsets = const_cast<int32_t*>(static_cast<const int32_t*>(a.buffers[1]));
    offsets[at] = value;
  };
  const ArrowNode text = arrow_text("u", {"abc", "de", "f"});
  EXPECT_HAS(import_error(text, [&](ArrowArray& a) { put(a, 2, 1); }), "less than the one before");
  EXPECT_HAS(import_error(text, [&](ArrowArray& a) { put(a, 0, -5); }), "negative");
  const ArrowNode list = test::arrow_list("+l", {1, 1}, arrow_fixed<int32_t>("i", {1, 2}));
  EXPECT_HAS(import_error(list, [&](ArrowArray& a) { put(a, 2, 100); }),
             "has 2 rows where 100 are needed");
  EXPECT_HAS(import_error(list, [&](ArrowArray& a) { put(a, 1, 3); }), "less than the one before");
}

TEST(ArrowArray, Trap4RefusesIndexesOutsideTheDictionary) {
  const auto dictionary = [](int64_t index, const std::string& format) {
    return test::arrow_dictionary({0, index}, arrow_text("u", {"a", "b"}), format);
  };
  EXPECT_EQ(import_error(dictionary(1, "c")), "");
  EXPECT_HAS(import_error(dictionary(2, "c")),
             "row 1 has an index outside of the 2 dictionary values");
  EXPECT_HAS(import_error(dictionary(-1, "c")), "outside");
  EXPECT_HAS(import_error(dictionary(-1, "l")), "outside");
  EXPECT_HAS(import_error(dictionary(1, "i"), [](ArrowArray& a) { a.dictionary = nullptr; }),
             "no dictionary");
}

TEST(ArrowArray, Trap4RefusesViewsOutsideTheirBuffers) {
  const ArrowNode views = arrow_text("vu", {"short", "longer than twelve bytes"});
  EXPECT_EQ(import_error(views), "");
  const auto spoil = [](size_t word, int32_t value) {
    return [word, value](ArrowArray& a) {
      auto* views_begin = const_cast<int32_t*>(static_cast<const int32_t*>(a.buffers[1]));
      views_begin[4 + word] = value;  // of the second view
    };
  };
  EXPECT_HAS(import_error(views, spoil(0, 1000)), "row 1 points outside its buffers");
  EXPECT_HAS(import_error(views, spoil(0, -1)), "outside");
  EXPECT_HAS(import_error(views, spoil(2, 2)), "outside");
  EXPECT_HAS(import_error(views, spoil(2, -1)), "outside");
  EXPECT_HAS(import_error(views, spoil(3, 1)), "outside");
  EXPECT_HAS(import_error(views, spoil(3, -1)), "outside");
}

TEST(ArrowArray, Trap4RefusesFixedListsWithTooFewElements) {
  const ArrowNode list =
      test::arrow_fixed_list(3, {true, true}, arrow_fixed<int32_t>("i", {1, 2, 3, 4, 5}));
  EXPECT_HAS(import_error(list), "has 5 rows where 6 are needed");
}

TEST(ArrowArray, NamesTheColumnInTheMiddleOfNestedOnes) {
  ArrowNode inner = arrow_text("u", {"a"}).named("street");
  inner.length = 0;
  const ArrowNode outer = test::arrow_struct({true}, {inner});
  EXPECT_HAS(import_error(outer), "column \"c\".\"street\": has 0 rows where 1 are needed");
}

TEST(ArrowArray, RefusesRowsThatAreNullAsAWhole) {
  ArrowNode batch = arrow_batch({arrow_fixed<int32_t>("i", {1, 2}).named("n")});
  auto schema = schema_of(batch);
  batch.buffers[0] = test::pack_bits({true, false});
  batch.null_count = 1;
  ArrowArray array;
  export_array(batch, array);
  auto imported = import_arrow_batch(*schema, &array);
  ASSERT_FALSE(imported);
  EXPECT_HAS(imported.error().message, "a whole row is NULL");
}

TEST(ArrowArray, TakesEmptyArraysWithoutBuffers) {
  EXPECT_EQ(import_error(arrow_text("u", {}),
                         [](ArrowArray& a) { a.buffers[1] = a.buffers[2] = nullptr; }),
            "");
  EXPECT_EQ(
      import_error(arrow_fixed<int32_t>("i", {}), [](ArrowArray& a) { a.buffers[1] = nullptr; }),
      "");
}

TEST(ArrowArray, OffsetOfTheWholeBatchShiftsEveryColumn) {
  ArrowNode batch =
      arrow_batch({arrow_fixed<int32_t>("i", {1, 2, 3, std::nullopt, 5}).named("n"),
                   test::arrow_bool({true, false, std::nullopt, true, false}).named("b"),
                   arrow_text("u", {"a", "bb", "", "dddd", "eeeee"}).named("t")});
  auto schema = schema_of(batch);
  batch.offset = 2;
  batch.length = 3;
  ArrowArray array;
  export_array(batch, array);
  auto imported = import_arrow_batch(*schema, &array);
  ASSERT_TRUE(imported) << imported.error().message;
  namespace oid = pgproto::oid;
  auto encoder = RowEncoder::create(
      test::encode_columns(*imported, {{oid::kInt4}, {oid::kBool}, {oid::kText}}), {});
  ASSERT_TRUE(encoder);
  const auto rows =
      test::decode_tuples(test::encode_all(*encoder, *imported, {0, 3, nullptr}).tuples, 3);
  EXPECT_EQ(test::decode_int(*rows[0][0]), 3);
  EXPECT_FALSE(rows[0][1]);
  EXPECT_EQ(rows[0][2], "");
  EXPECT_FALSE(rows[1][0]);
  EXPECT_EQ(rows[1][1], "\1");
  EXPECT_EQ(rows[2][2], "eeeee");
}

// ---- streams
// -------------------------------------------------------------------------------------

/// A producer of two batches, then the end or an error.
struct Producer {
  int batches = 0;
  int released = 0;
  int fail_at = -1;
  ReleaseCount count;

  static Producer& of(ArrowArrayStream* stream) {
    return *static_cast<Producer*>(stream->private_data);
  }
  ArrowArrayStream stream() {
    ArrowArrayStream made{};
    made.private_data = this;
    made.get_schema = [](ArrowArrayStream* s, ArrowSchema* out) {
      export_schema(node(), *out, &of(s).count);
      return 0;
    };
    made.get_next = [](ArrowArrayStream* s, ArrowArray* out) {
      Producer& self = of(s);
      if (self.batches == self.fail_at) return 5;
      *out = {};
      if (self.batches++ < 2) export_array(node(), *out, &self.count);
      return 0;
    };
    made.get_last_error = [](ArrowArrayStream*) { return "disk on fire"; };
    made.release = [](ArrowArrayStream* s) {
      ++of(s).released;
      s->release = nullptr;
    };
    return made;
  }
  static ArrowNode node() { return arrow_batch({arrow_fixed<int32_t>("i", {1, 2, 3}).named("n")}); }
};

TEST(ArrowStream, YieldsBatchesToTheEnd) {
  Producer producer;
  {
    ArrowArrayStream stream = producer.stream();
    auto opened = ArrowStream::open(&stream);
    ASSERT_TRUE(opened);
    EXPECT_EQ(stream.release, nullptr);
    EXPECT_EQ(opened->schema()->at(0).name, "n");
    for (int i = 0; i < 2; ++i) {
      auto batch = opened->next();
      ASSERT_TRUE(batch && *batch);
      EXPECT_EQ((*batch)->row_count(), 3U);
    }
    auto end = opened->next();
    ASSERT_TRUE(end);
    EXPECT_FALSE(*end);
  }
  EXPECT_EQ(producer.released, 1);
  EXPECT_EQ(producer.count.schemas, 1);
  EXPECT_EQ(producer.count.arrays, 2);
}

TEST(ArrowStream, PassesTheProducersErrorOn) {
  Producer producer;
  producer.fail_at = 1;
  ArrowArrayStream stream = producer.stream();
  auto opened = ArrowStream::open(&stream);
  ASSERT_TRUE(opened);
  ASSERT_TRUE(opened->next());
  auto failed = opened->next();
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, Errc::kQuery);
  EXPECT_EQ(failed.error().message, "the Arrow stream failed: disk on fire (code 5)");
}

}  // namespace
}  // namespace pgsink
