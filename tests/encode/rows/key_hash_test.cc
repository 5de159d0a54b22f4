// Numbers by which rows of equal keys take one lane.

#include "pgsink/encode/rows/key_hash.h"

#include <array>

#include <pgsink/batch_of.h>

#include <gtest/gtest.h>

namespace pgsink {
namespace {

struct Row {
  std::string mood;
};

/// Of two rows, by an enum of these labels.
std::array<uint64_t, 2> hashes(std::vector<std::string> labels, std::vector<Row> rows) {
  constexpr pgproto::Oid kMood = 20'000;
  pgproto::TypeInfo type;
  type.oid = kMood;
  type.name = "mood";
  type.kind = pgproto::TypeInfo::Kind::kEnum;
  type.labels = std::move(labels);
  const RecordBatch batch = batch_of(std::move(rows), column("mood", &Row::mood));
  EncodeColumn key;
  key.source = batch.schema()->front();
  key.target_name = "mood";
  key.target_oid = kMood;
  auto hash = KeyHash::create({key}, {{kMood, type}});
  std::array<uint64_t, 2> made{};
  EXPECT_TRUE(hash) << (hash ? "" : hash.error().to_string());
  if (hash) hash->hash(batch, {.begin = 0, .count = 2}, made.data());
  return made;
}

/// A label may come while rows are written, and be known to those that write them later.
TEST(KeyHash, OfALabelIsTheSameWhetherItIsKnown) {
  const auto before = hashes({"sad"}, {{"sad"}, {"happy"}});
  EXPECT_EQ(before, hashes({"sad", "happy"}, {{"sad"}, {"happy"}}));
  EXPECT_NE(before[0], before[1]);
}

}  // namespace
}  // namespace pgsink
