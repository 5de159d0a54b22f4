// KeyReader: the values of a column as they will be sent.

#include "pgsink/encode/rows/key_reader.h"

#include <numeric>
#include <optional>
#include <string>

#include <pgproto/oid.h>

#include <pgsink/batch_of.h>

#include <gtest/gtest.h>

namespace pgsink {
namespace {

struct Row {
  std::optional<std::string> key;
};

RecordBatch batch(std::vector<Row> rows) {
  return batch_of(std::move(rows), column("key", &Row::key));
}

KeyReader reader(const RecordBatch& batch, pgproto::Oid oid) {
  auto made = KeyReader::create({.source_index = 0,
                                 .source = batch.schema()->front(),
                                 .target_name = "key",
                                 .target_oid = oid},
                                {});
  EXPECT_TRUE(made);
  return std::move(*made);
}

TEST(KeyReader, GivesBinaryFormsNullsAndRejections) {
  const RecordBatch rows = batch({{"7"}, {std::nullopt}, {"x"}, {"-1"}, {"2147483648"}});
  KeyReader keys = reader(rows, pgproto::oid::kInt4);
  const KeyReader::Values& values = keys.read(rows, {.begin = 0, .count = 5});
  ASSERT_EQ(values.size[0], 4);
  EXPECT_EQ(pgproto::load_be<int32_t>(values.data[0]), 7);
  EXPECT_EQ(values.size[1], KeyReader::kNull);
  EXPECT_EQ(values.size[2], KeyReader::kRejected);
  ASSERT_EQ(values.size[3], 4);
  EXPECT_EQ(pgproto::load_be<int32_t>(values.data[3]), -1);
  EXPECT_EQ(values.size[4], KeyReader::kRejected);
}

TEST(KeyReader, ReadsTheRowsThatAreListed) {
  std::vector<Row> many(1000);
  for (size_t i = 0; i < many.size(); ++i) many[i].key = std::string(i % 50, 'a') + "!";
  const RecordBatch rows = batch(std::move(many));
  KeyReader keys = reader(rows, pgproto::oid::kText);
  std::vector<uint32_t> indexes(1000);
  std::iota(indexes.rbegin(), indexes.rend(), 0U);
  const RowRange range{.begin = 100, .count = 900, .indexes = indexes.data()};
  const KeyReader::Values& values = keys.read(rows, range);
  for (size_t i = 0; i < KeyReader::kRowsMax; ++i) {
    const size_t row = 899 - i;
    ASSERT_EQ(pgproto::as_text(values.bytes(i)), std::string(row % 50, 'a') + "!");
  }
  EXPECT_EQ(pgproto::as_text(keys.read(rows, {.begin = 999, .count = 1}).bytes(0)),
            std::string(49, 'a') + "!");
}

}  // namespace
}  // namespace pgsink
