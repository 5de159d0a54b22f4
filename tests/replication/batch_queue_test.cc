// What the server may discard while several tables share a slot.

#include "pgsink/replication/batch_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pgsink/replication/change_rows.h"
#include "pgsink/replication/tables_stream.h"

namespace pgsink {
namespace {

SourceBatch batch(size_t table, uint64_t position) {
  static const auto kSchema = text_schema({"id"});
  ChangeRows rows(kSchema);
  rows.add("1");
  return {.table = table, .rows = rows.take(position), .position = position};
}

TEST(BatchQueue, TheSlotWaitsForTheFirstBatchOfAnyTableThatIsNotDurable) {
  BatchQueue queue(1000);
  queue.add_table(0);
  queue.add_table(0);
  EXPECT_EQ(queue.safe(100), 100U);
  queue.push(batch(0, 200), 150);
  queue.push(batch(1, 300), 200);
  queue.push(batch(0, 400), 300);
  EXPECT_EQ(queue.safe(400), 150U) << "what is before the first batch";
  queue.confirm(0, 400);
  EXPECT_EQ(queue.safe(500), 200U) << "the other table is behind";
  EXPECT_FALSE(queue.all_confirmed());
  queue.confirm(1, 300);
  EXPECT_TRUE(queue.all_confirmed());
  EXPECT_EQ(queue.safe(500), 500U);
  EXPECT_EQ(queue.safe(450), 500U) << "it never decreases";
}

TEST(BatchQueue, ATableThatWasConfirmedLongAgoHoldsNothingBack) {
  BatchQueue queue(1000);
  queue.add_table(7);  // Of its snapshot.
  queue.add_table(0);
  queue.push(batch(1, 5000), 4000);
  queue.confirm(1, 5000);
  EXPECT_EQ(queue.safe(6000), 6000U);
  EXPECT_EQ(queue.confirmed(0), 7U);
}

TEST(BatchQueue, PiecesOfSnapshotsLetNothingBeDiscarded) {
  BatchQueue queue(1000);
  queue.add_table(0);
  queue.push(batch(0, 1), 0);
  EXPECT_EQ(queue.safe(9000), 0U);
  queue.confirm(0, 1);
  EXPECT_EQ(queue.safe(9000), 9000U);
}

TEST(BatchQueue, HasRoomForOneBatchHoweverLarge) {
  BatchQueue queue(1);
  queue.add_table(0);
  EXPECT_TRUE(queue.has_room());
  queue.push(batch(0, 1), 0);
  EXPECT_FALSE(queue.has_room());
  EXPECT_TRUE(queue.pop());
  EXPECT_TRUE(queue.has_room());
  EXPECT_FALSE(queue.pop());
}

// ---- which table a message is about ------------------------------------------------------------

class TablesStreamTest : public testing::Test {
 protected:
  void SetUp() override {
    for (uint32_t oid = 1; oid <= 2; ++oid) {
      SourceTable table{.schema = "public", .name = "t", .oid = oid, .columns = {{"id", 23, true}}};
      table.name += std::to_string(oid);
      stream_.add_table(table, text_schema({"id", "_op", "_lsn", "_commit_ts"}), oid == 2 ? 50 : 0);
    }
  }
  Status take(const std::string& message) { return stream_.take(pgproto::as_bytes(message)); }
  static std::string begin() { return "B" + std::string(20, '\0'); }
  static std::string commit(char end_lsn) {
    return "C" + std::string(16, '\0') + end_lsn + std::string(8, '\0');
  }
  static std::string relation(char oid, char name) {
    return std::string("R\0\0\0", 4) + oid + std::string("public\0t", 8) + name +
           std::string("\0d\0\1\1id\0\0\0\0\x17\xff\xff\xff\xff", 16);
  }
  static std::string insert(char oid) {
    return std::string("I\0\0\0", 4) + oid + std::string("N\0\1t\0\0\0\1", 8) + "7";
  }

  TablesStream stream_{1000};
};

TEST_F(TablesStreamTest, ATransactionIsABatchForEachTableThatDoesNotHaveItYet) {
  ASSERT_TRUE(take(begin()));
  ASSERT_TRUE(take(relation(1, '1')));
  ASSERT_TRUE(take(relation(2, '2')));
  ASSERT_TRUE(take(relation(3, '3'))) << "a table of the publication that is not read";
  ASSERT_TRUE(take(insert(2)));
  ASSERT_TRUE(take(insert(1)));
  ASSERT_TRUE(take(insert(3)));
  ASSERT_TRUE(take(commit(40)));
  ASSERT_EQ(stream_.ready().size(), 1U) << "the second table has everything up to 50";
  EXPECT_EQ(stream_.ready()[0].batch.table, 0U);
  EXPECT_EQ(stream_.ready()[0].batch.position, 40U);
  stream_.ready().clear();
  ASSERT_TRUE(take(begin()));
  ASSERT_TRUE(take(insert(2)));
  ASSERT_TRUE(take(insert(1)));
  ASSERT_TRUE(take(commit(60)));
  ASSERT_EQ(stream_.ready().size(), 2U);
  EXPECT_EQ(stream_.ready()[0].batch.table, 1U);
  EXPECT_EQ(stream_.ready()[0].before, 40U);
  EXPECT_EQ(stream_.ready()[1].batch.table, 0U);
  EXPECT_EQ(stream_.ready()[1].before, 40U);
  EXPECT_EQ(stream_.seen(), 60U);
}

TEST_F(TablesStreamTest, ATableThatWasRenamedOrReplacedEndsIt) {
  ASSERT_TRUE(take(begin()));
  EXPECT_THAT(take(relation(1, '9')).error().message,
              testing::HasSubstr("is called public.t9 now"));
  EXPECT_THAT(take(relation(9, '2')).error().message, testing::HasSubstr("another table"));
}

TEST_F(TablesStreamTest, TheLimitIsOfAllTablesOfATransaction) {
  ASSERT_TRUE(take(begin()));
  ASSERT_TRUE(take(relation(1, '1')));
  ASSERT_TRUE(take(relation(2, '2')));
  Status taken;
  int rows = 0;
  for (; taken && rows < 100; ++rows) taken = take(insert(rows % 2 == 0 ? 1 : 2));
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code, Errc::kReplication);
  EXPECT_LT(rows, 20) << "1000 bytes hold no more of either table alone";
}

}  // namespace
}  // namespace pgsink
