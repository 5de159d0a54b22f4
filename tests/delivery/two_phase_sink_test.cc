// Two-phase commit through the whole sink: all lanes at once or not at all, by the sink's own
// decision and by a host's.

#include <functional>
#include <numeric>
#include <thread>

#include <pgsink/batch_of.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "delivery/two_phase_support.h"

namespace pgsink::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

using TwoPhaseSinkTest = TwoPhaseSinkFixture;

// ---- by the sink's own decision ----------------------------------------------------------------

class TwoPhaseLanes : public TwoPhaseSinkFixture,
                      public testing::WithParamInterface<std::tuple<WriteMode, int64_t>> {};

TEST_P(TwoPhaseLanes, AllThatIsFlushedIsThereAndNothingInDoubt) {
  std::tie(options_.write_mode, options_.parallelism) = GetParam();
  auto sink = open();
  for (uint64_t n = 1; n <= 30; ++n) {
    must(sink->write(batch(n)));
    if (n % 10 != 0) continue;
    must(sink->flush());
    expect_once(n);
    EXPECT_EQ(prepared(), "0");
    EXPECT_EQ(sink->durable_position(), n);
    EXPECT_EQ(sink->metrics().rows_written, n * kBatchRows);
    EXPECT_EQ(sink->metrics().buffered_bytes, 0U);
  }
  must(sink->close());
  must(sink->close());
  EXPECT_EQ(scalar("SELECT epoch || ' ' || host_position FROM pgsink_writers"), "3 30");
  EXPECT_EQ(scalar("SELECT count(*) FROM pgsink_decisions"), "0");
  EXPECT_EQ(sink->metrics().failed_writes, 0U);
  const auto locks = [this] {
    return scalar(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = "
        "(SELECT oid FROM pg_database WHERE datname = current_database())");
  };
  EXPECT_TRUE(eventually([&] { return locks() == "0"; })) << locks();
}

INSTANTIATE_TEST_SUITE_P(Modes, TwoPhaseLanes,
                         testing::Combine(testing::Values(WriteMode::kInsert, WriteMode::kUpsert),
                                          testing::Values(1, 2, 3, 4)));

TEST_F(TwoPhaseSinkTest, NothingIsSeenBeforeTheEpochEnds) {
  options_.parallelism = 3;
  options_.transaction_size = kBatchRows;
  auto sink = open();
  for (uint64_t n = 1; n <= 6; ++n) must(sink->write(batch(n)));
  ASSERT_TRUE(eventually([&] { return prepared() == "6"; })) << prepared();
  expect_once(0);
  EXPECT_EQ(sink->durable_position(), 0U);
  EXPECT_EQ(sink->metrics().rows_written, 0U);
  EXPECT_TRUE(eventually([&] { return sink->metrics().buffered_bytes == 0; }))
      << "what is prepared needs no memory here";
  must(sink->flush());
  expect_once(6);
  EXPECT_EQ(sink->durable_position(), 6U);
}

TEST_F(TwoPhaseSinkTest, OneLanesFailureTakesTheOthersBack) {
  sql("ALTER TABLE t ADD CHECK (id <> 33)");
  options_.parallelism = 4;
  options_.transaction_size = kBatchRows;
  auto sink = open();
  for (uint64_t n = 1; n <= 8; ++n) std::ignore = sink->write(batch(n));
  const Status closed = sink->close();
  ASSERT_FALSE(closed);
  EXPECT_EQ(closed.error().sqlstate, "23514");
  EXPECT_THAT(closed.error().message, HasSubstr("0 rows are committed"));
  EXPECT_FALSE(sink->flush()) << "a sink that failed stays so";
  EXPECT_FALSE(sink->close());
  expect_once(0);
  EXPECT_EQ(prepared(), "0") << "it is gone when close() returns";
}

// A deferred constraint is checked by PREPARE TRANSACTION.
TEST_F(TwoPhaseSinkTest, AConstraintThatFailsAtPrepareIsAFailure) {
  sql("ALTER TABLE t ADD CONSTRAINT once UNIQUE (note) DEFERRABLE INITIALLY DEFERRED");
  auto sink = open();
  must(sink->write(batch(1)));  // All notes are alike.
  const Status flushed = sink->flush();
  ASSERT_FALSE(flushed);
  EXPECT_EQ(flushed.error().sqlstate, "23505");
  sink.reset();
  EXPECT_EQ(prepared(), "0");
}

TEST_F(TwoPhaseSinkTest, AnEpochThatTheServerHasNoPlaceForIsEndedEarly) {
  options_.parallelism = 2;
  options_.transaction_size = kBatchRows;
  auto sink = open();
  // Far more transactions than max_prepared_transactions = 64.
  for (uint64_t n = 1; n <= 500; ++n) must(sink->write(batch(n)));
  must(sink->close());
  expect_once(500);
  EXPECT_GT(std::stoi(scalar("SELECT epoch FROM pgsink_writers")), 10);
}

TEST_F(TwoPhaseSinkTest, WithKeysAnEpochIsOneTransactionALane) {
  options_.write_mode = WriteMode::kUpsert;
  options_.parallelism = 2;
  options_.transaction_size = 3 * kBatchRows;
  auto sink = open();
  // The same keys in every batch: a second transaction of an epoch would wait for the first.
  for (uint64_t n = 1; n <= 20; ++n) {
    RecordBatch same = batch(1);
    same.position = n;
    must(sink->write(std::move(same)));
  }
  must(sink->close());
  expect_once(1);
  EXPECT_EQ(scalar("SELECT epoch || ' ' || host_position FROM pgsink_writers"), "7 20");
}

TEST_F(TwoPhaseSinkTest, WithKeysAFullBufferEndsTheEpoch) {
  options_.write_mode = WriteMode::kUpsert;
  options_.buffer_bytes = 65536;
  options_.batch_bytes = 65536;
  auto sink = open();
  for (uint64_t n = 1; n <= 1000; ++n) must(sink->write(batch(n)));
  must(sink->close());
  expect_once(1000);
}

TEST_F(TwoPhaseSinkTest, AFullBufferPreparesWhatIsThere) {
  options_.buffer_bytes = 65536;
  options_.batch_bytes = 65536;
  options_.parallelism = 3;
  auto sink = open();
  for (uint64_t n = 1; n <= 1000; ++n) must(sink->write(batch(n)));
  must(sink->close());
  expect_once(1000);
}

// COPY cannot write them, so they would go through a staging table.
TEST_F(TwoPhaseSinkTest, RowsOfATableWithPoliciesGoAsArrays) {
  shared_server().create_role("twopc_tenant");
  sql("GRANT SELECT, INSERT ON t TO twopc_tenant; ALTER TABLE t ENABLE ROW LEVEL SECURITY;"
      "CREATE POLICY even ON t USING (true) WITH CHECK (id < 1000)");
  options_.set_role = "twopc_tenant";
  options_.transaction_size = kBatchRows;
  auto sink = open();
  for (uint64_t n = 1; n <= 5; ++n) must(sink->write(batch(n)));
  must(sink->flush());
  expect_once(5);
  must(sink->write(batch(200)));
  const Status flushed = sink->close();
  ASSERT_FALSE(flushed);
  EXPECT_EQ(flushed.error().sqlstate, "42501");
  EXPECT_EQ(prepared(), "0");
  expect_once(5);
}

// The third fact: slots exhausted, which no repetition mends.
TEST_F(TwoPhaseSinkTest, FewPlacesAreEnoughAndNoneIsAnErrorThatSaysWhatToRaise) {
  ServerConfig config;
  config.settings = {{"max_prepared_transactions", "2"}};
  const auto server = PostgresServer::start(config);
  use(*server);
  options_.parallelism = 2;
  options_.transaction_size = kBatchRows;
  auto sink = open();
  for (uint64_t n = 1; n <= 30; ++n) must(sink->write(batch(n)));
  must(sink->close());
  expect_once(30);
  EXPECT_EQ(sink->metrics().failed_writes, 0U);

  sql("CREATE TABLE other (a int)");
  for (const char* gid : {"a", "b"}) {
    sql(std::string("BEGIN; INSERT INTO other VALUES (1); PREPARE TRANSACTION '") + gid + "'");
  }
  sink = open();
  must(sink->write(batch(31)));
  const Status flushed = sink->flush();
  ASSERT_FALSE(flushed);
  EXPECT_EQ(flushed.error().sqlstate, "53200");
  EXPECT_THAT(flushed.error().message, HasSubstr("raise max_prepared_transactions"));
  EXPECT_EQ(sink->metrics().retry_count, 0U);
  sink.reset();
  EXPECT_EQ(prepared(), "2");
  expect_once(30);
  stop_using();
}

TEST_F(TwoPhaseSinkTest, InsertIgnoreKeepsAKeyInOneLane) {
  options_.write_mode = WriteMode::kInsertIgnore;
  options_.parallelism = 3;
  auto sink = open();
  for (uint64_t n = 1; n <= 9; ++n) must(sink->write(batch(1 + n % 3)));
  must(sink->close());
  expect_once(3);
}

// The first of the four facts: with COPY these rows would go through a temporary table.
TEST_F(TwoPhaseSinkTest, ManyRowsWithKeysTouchNoTemporaryTable) {
  options_.write_mode = WriteMode::kUpsert;
  auto sink = open();
  for (uint64_t n = 1; n <= 2000; ++n) must(sink->write(batch(n)));
  must(sink->close());
  expect_once(2000);
  EXPECT_EQ(scalar("SELECT count(DISTINCT xmin::text) FROM t"), "1") << "one statement";

  options_.use_copy = true;
  auto refused = Sink::open(options_, batch(0).schema());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kOptionConflict);
  EXPECT_THAT(refused.error().message, HasSubstr("temporary"));
}

// The second: what a role prepared only that role commits.
TEST_F(TwoPhaseSinkTest, WhatASetRolePreparedIsCommittedAsThatRole) {
  shared_server().create_role("twopc_writer");
  sql("GRANT INSERT ON t TO twopc_writer; GRANT USAGE ON SCHEMA public TO twopc_writer");
  options_.set_role = "twopc_writer";
  options_.parallelism = 2;
  auto sink = open();
  for (uint64_t n = 1; n <= 4; ++n) must(sink->write(batch(n)));
  must(sink->close());
  expect_once(4);
}

// The fourth: COMMIT PREPARED stands alone; the server's log has each as a statement of its own.
TEST_F(TwoPhaseSinkTest, EachCommitPreparedIsAStatementOfItsOwn) {
  sql("ALTER DATABASE " + database_ + " SET log_statement = 'all'");
  const size_t before = shared_server().log().size();
  options_.parallelism = 2;
  auto sink = open();
  for (uint64_t n = 1; n <= 2; ++n) must(sink->write(batch(n)));
  must(sink->close());
  expect_once(2);
  const std::string log = shared_server().log().substr(before);
  size_t alone = 0;
  constexpr std::string_view kStatement = "statement: COMMIT PREPARED '";
  for (size_t at = log.find(kStatement); at != std::string::npos; at = log.find(kStatement, at)) {
    at += kStatement.size();
    const std::string line = log.substr(at, log.find('\n', at) - at);
    EXPECT_EQ(line.find('\''), line.size() - 1) << line;
    ++alone;
  }
  EXPECT_EQ(alone, 2U);
}

TEST_F(TwoPhaseSinkTest, AKeyThatAPreparedTransactionHoldsIsAnErrorNotAHang) {
  options_.lock_timeout_ms = 200;
  options_.max_retries = 1;
  options_.transaction_size = kBatchRows;
  auto sink = open();
  must(sink->write(batch(1)));
  must(sink->write(batch(1)));
  const Status flushed = sink->flush();
  ASSERT_FALSE(flushed);
  EXPECT_EQ(flushed.error().sqlstate, "55P03");
  EXPECT_THAT(flushed.error().message, HasSubstr("same unique key"));
  sink.reset();
  EXPECT_EQ(prepared(), "0");
  expect_once(0);
}

TEST_F(TwoPhaseSinkTest, ASecondWriterFencesTheFirst) {
  options_.transaction_size = kBatchRows;
  auto first = open();
  must(first->write(batch(1)));
  must(first->flush());
  must(first->write(batch(2)));
  ASSERT_TRUE(eventually([&] { return prepared() == "1"; }));
  auto second = open();
  EXPECT_EQ(second->durable_position(), 1U);
  EXPECT_EQ(prepared(), "0");
  const Status fenced = first->flush();
  ASSERT_FALSE(fenced);
  EXPECT_EQ(fenced.error().code, Errc::kFenced) << fenced.error().to_string();
  EXPECT_THAT(fenced.error().message, HasSubstr("fenced by"));
  must(second->write(batch(2)));
  must(second->close());
  expect_once(2);
}

// ---- what is said at open ----------------------------------------------------------------------

TEST_F(TwoPhaseSinkTest, AServerWithoutPreparedTransactionsIsRefusedAtOpen) {
  ServerConfig config;
  config.settings = {{"max_prepared_transactions", "0"}};
  const auto server = PostgresServer::start(config);
  use(*server);
  const auto refused = Sink::open(options_, batch(0).schema());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kCannotPrepare);
  EXPECT_THAT(refused.error().message, HasSubstr("max_prepared_transactions = 0"));
  EXPECT_EQ(test_connection(options_).error().code, Errc::kCannotPrepare);
  stop_using();
}

TEST_F(TwoPhaseSinkTest, WhatCannotWorkIsRefusedAtOpen) {
  const auto error = [&](const std::function<void(SinkOptions&)>& change) {
    SinkOptions changed = options_;
    change(changed);
    const auto refused = Sink::open(changed, batch(0).schema());
    return refused ? Error{} : refused.error();
  };
  Error said =
      error([](SinkOptions& o) { o.prepared_transaction_id = std::string(165, 'x') + "${uuid}"; });
  EXPECT_EQ(said.code, Errc::kOptionValue);
  EXPECT_THAT(said.message, HasSubstr("199 bytes"));
  said = error([](SinkOptions& o) { o.delivery = Delivery::kExactlyOnce; });
  EXPECT_EQ(said.code, Errc::kOptionConflict);
  EXPECT_THAT(said.message, HasSubstr("exclude each other"));
  said = error([](SinkOptions& o) { o.parallelism = 65; });
  EXPECT_EQ(said.code, Errc::kCannotPrepare);

  sql("CREATE FOREIGN DATA WRAPPER nowhere; CREATE SERVER far FOREIGN DATA WRAPPER nowhere;"
      "CREATE FOREIGN TABLE f (id bigint, note text) SERVER far;"
      "CREATE TABLE p (id bigint, note text) PARTITION BY RANGE (id);"
      "CREATE FOREIGN TABLE p1 PARTITION OF p DEFAULT SERVER far");
  for (const char* table : {"f", "p"}) {
    said = error([&](SinkOptions& o) { o.table = table; });
    EXPECT_EQ(said.code, Errc::kCannotPrepare) << table;
    EXPECT_THAT(said.message, AllOf(HasSubstr("use_2pc"), HasSubstr("foreign")));
    said = error([&](SinkOptions& o) {
      o.table = table;
      o.use_2pc = false;
      o.delivery = Delivery::kExactlyOnce;
    });
    EXPECT_EQ(said.code, Errc::kCannotPrepare) << table;
    EXPECT_THAT(said.message, AllOf(HasSubstr("exactly_once"), HasSubstr("foreign")));
  }
  sql("ALTER TABLE t DROP CONSTRAINT t_pkey");
  said = error([](SinkOptions& o) {
    o.write_mode = WriteMode::kInsertIgnore;
    o.parallelism = 2;
  });
  EXPECT_EQ(said.code, Errc::kOptionConflict);
  EXPECT_EQ(prepared(), "0");
}

TEST_F(TwoPhaseSinkTest, AnArrayColumnWithKeysIsRefusedBecauseItNeedsATemporaryTable) {
  sql("CREATE TABLE lists (id bigint PRIMARY KEY, note text[])");
  options_.table = "lists";
  options_.write_mode = WriteMode::kUpsert;
  const auto refused = Sink::open(options_, batch(0).schema());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kCannotPrepare) << refused.error().to_string();
  EXPECT_THAT(refused.error().message, HasSubstr("temporary"));
}

// ---- by the host's decision --------------------------------------------------------------------

TEST_F(TwoPhaseSinkTest, AHostPreparesAndCommitsWhenItLikes) {
  options_.parallelism = 2;
  options_.transaction_size = kBatchRows;
  auto sink = open();
  const auto start = sink->recover(0);
  ASSERT_TRUE(start) << start.error().to_string();
  EXPECT_EQ(start->epoch, 0U);
  uint64_t n = 0;
  for (uint64_t epoch = 10; epoch <= 14; ++epoch) {
    for (int i = 0; i < 4; ++i) must(sink->write(batch(++n)));
    must(sink->prepare(epoch));
    EXPECT_EQ(prepared(), std::to_string((epoch - 9) * 4));
  }
  expect_once(0);
  must(sink->commit(11));  // And with it the one before.
  expect_once(8);
  EXPECT_EQ(sink->durable_position(), 8U);
  must(sink->commit(10));
  must(sink->commit(11));
  must(sink->prepare(20));  // Without any row.
  must(sink->commit(20));
  expect_once(20);
  must(sink->close());
  EXPECT_EQ(prepared(), "0");
  EXPECT_EQ(scalar("SELECT epoch || ' ' || host_position FROM pgsink_writers"), "20 20");
}

TEST_F(TwoPhaseSinkTest, WithKeysTheNextEpochWaitsForTheCommit) {
  options_.write_mode = WriteMode::kUpsert;
  options_.parallelism = 2;
  options_.lock_timeout_ms = 50;
  auto sink = open();
  ASSERT_TRUE(sink->recover(0));
  for (uint64_t epoch = 1; epoch <= 5; ++epoch) {
    must(sink->write(batch(1)));
    must(sink->write(batch(1)));
    must(sink->prepare(epoch));
    must(sink->write(batch(1)));  // The same keys, which are locked.
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    EXPECT_EQ(prepared(), "2");
    const Status early = sink->prepare(epoch + 1);
    ASSERT_FALSE(early) << "it would wait for a lock that only commit() gives back";
    EXPECT_EQ(early.error().code, Errc::kUsage);
    EXPECT_THAT(early.error().message, HasSubstr("commit() epoch " + std::to_string(epoch)));
    must(sink->commit(epoch));
  }
  must(sink->prepare(6));
  must(sink->commit(6));
  must(sink->close());
  EXPECT_EQ(sink->metrics().failed_writes, 0U) << "it was sent and waited for the lock";
  expect_once(1);
}

TEST_F(TwoPhaseSinkTest, WithKeysAFullBufferIsAnErrorWhereOnlyACommitWouldHelp) {
  options_.write_mode = WriteMode::kUpsert;
  options_.buffer_bytes = 65536;
  options_.batch_bytes = 65536;
  auto sink = open();
  ASSERT_TRUE(sink->recover(0));
  Status written;
  uint64_t n = 0;
  while (written && n < 10000) written = sink->write(batch(++n));
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, Errc::kLimit);
  EXPECT_THAT(written.error().message, HasSubstr("buffer_bytes"));
  must(sink->prepare(1));  // What was accepted is not lost.
  must(sink->commit(1));
  expect_once(n - 1);
  must(sink->write(batch(n)));
  must(sink->prepare(2));
  must(sink->commit(2));
  expect_once(n);
}

TEST_F(TwoPhaseSinkTest, AnAbortedEpochLeavesNothingAndTheNextSinkGoesOn) {
  options_.parallelism = 2;
  options_.transaction_size = kBatchRows;
  auto sink = open();
  ASSERT_TRUE(sink->recover(0));
  for (uint64_t n = 1; n <= 6; ++n) {
    must(sink->write(batch(n)));
    if (n % 2 == 0) must(sink->prepare(n / 2));
  }
  must(sink->commit(1));
  must(sink->write(batch(7)));
  must(sink->abort(2));
  EXPECT_EQ(prepared(), "0");
  expect_once(2);
  const Status written = sink->write(batch(8));
  EXPECT_EQ(written.error().code, Errc::kUsage);
  EXPECT_THAT(written.error().message, HasSubstr("aborted epoch 2"));
  EXPECT_EQ(sink->commit(2).error().code, Errc::kUsage);
  must(sink->close());
  sink = open();
  EXPECT_EQ(sink->durable_position(), 2U);
  const auto recovered = sink->recover(1);
  ASSERT_TRUE(recovered) << recovered.error().to_string();
  EXPECT_EQ(recovered->position, 2U);
  must(sink->write(batch(3)));
  must(sink->prepare(2));
  must(sink->commit(2));
  expect_once(3);
}

TEST_F(TwoPhaseSinkTest, TheNextLifeCommitsWhatTheHostKnowsAndRollsBackTheRest) {
  options_.transaction_size = kBatchRows;
  {
    auto sink = open();
    ASSERT_TRUE(sink->recover(0));
    for (uint64_t n = 1; n <= 3; ++n) {
      must(sink->write(batch(n)));
      must(sink->prepare(n));
    }
    must(sink->close());
  }
  EXPECT_EQ(prepared(), "3") << "prepared epochs wait for the host";
  auto sink = open();
  EXPECT_EQ(prepared(), "3") << "open() decides nothing";
  const Status written = sink->write(batch(3));
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, Errc::kUsage);
  EXPECT_THAT(written.error().message, AllOf(HasSubstr("epoch 1"), HasSubstr("recover()")));
  const auto recovered = sink->recover(2);
  ASSERT_TRUE(recovered) << recovered.error().to_string();
  EXPECT_EQ(recovered->epoch, 2U);
  EXPECT_EQ(recovered->position, 2U);
  EXPECT_EQ(sink->durable_position(), 2U);
  expect_once(2);
  EXPECT_EQ(prepared(), "0");
  must(sink->write(batch(3)));
  must(sink->prepare(3));
  must(sink->commit(3));
  expect_once(3);
}

TEST_F(TwoPhaseSinkTest, ADatabaseThatLostAnEpochSaysToWhichTheHostMustGoBack) {
  auto sink = open();
  const auto lost = sink->recover(7);
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().code, Errc::kOutcomeUnknown);
  EXPECT_THAT(lost.error().message, AllOf(HasSubstr("epoch 7"), HasSubstr("recover(0)")));
  EXPECT_TRUE(sink->recover(0));
}

TEST_F(TwoPhaseSinkTest, APreparedTransactionThatIsGoneIsNeverTakenForCommitted) {
  options_.transaction_size = kBatchRows;
  auto sink = open();
  must(sink->write(batch(1)));
  ASSERT_TRUE(eventually([&] { return prepared() == "1"; }));
  sql("ROLLBACK PREPARED '" +
      scalar("SELECT gid FROM pg_prepared_xacts WHERE database = "
             "current_database()") +
      "'");
  const Status flushed = sink->flush();
  ASSERT_FALSE(flushed);
  EXPECT_EQ(flushed.error().code, Errc::kNoPreparedTransaction);
  EXPECT_EQ(scalar("SELECT epoch FROM pgsink_writers"), "0") << "nothing was decided";
}

TEST_F(TwoPhaseSinkTest, MisuseIsToldApart) {
  const auto text = [](const auto& result) {
    return result ? std::string("ok") : result.error().to_string();
  };
  auto sink = open();
  EXPECT_THAT(text(sink->prepare(1)), AllOf(HasSubstr("PGS-9003"), HasSubstr("calls recover()")));
  EXPECT_THAT(text(sink->commit(1)), HasSubstr("calls recover()"));
  EXPECT_THAT(text(sink->abort(1)), HasSubstr("calls recover()"));
  must(sink->write(batch(1)));
  EXPECT_THAT(text(sink->recover(0)), HasSubstr("before the first write()"));
  must(sink->close());

  sink = open();
  ASSERT_TRUE(sink->recover(1)) << "the sink's own epochs count too";
  EXPECT_THAT(text(sink->recover(1)), HasSubstr("was called before"));
  EXPECT_THAT(text(sink->flush()), HasSubstr("use prepare() and commit()"));
  EXPECT_THAT(text(sink->commit(5)), HasSubstr("not prepared"));
  EXPECT_THAT(text(sink->abort(5)), HasSubstr("not prepared"));
  EXPECT_THAT(text(sink->prepare(1)), HasSubstr("only grow"));
  must(sink->prepare(5));
  must(sink->commit(5));
  EXPECT_THAT(text(sink->abort(5)), HasSubstr("committed"));
  EXPECT_THAT(text(sink->prepare(5)), HasSubstr("only grow"));
  must(sink->write(batch(2)));
  EXPECT_THAT(text(sink->close()), HasSubstr("after the last prepare()"));
  EXPECT_THAT(text(sink->close()), HasSubstr("after the last prepare()")) << "the first outcome";
  expect_once(1);
  EXPECT_EQ(prepared(), "0");

  options_.use_2pc = false;
  options_.sink_id.clear();
  sink = open();
  EXPECT_THAT(text(sink->recover(0)), HasSubstr("use_2pc = true"));
  EXPECT_THAT(text(sink->prepare(1)), HasSubstr("use_2pc = true"));
  EXPECT_THAT(text(sink->commit(1)), HasSubstr("use_2pc = true"));
  EXPECT_THAT(text(sink->abort(1)), HasSubstr("use_2pc = true"));
}

// ---- proofs ------------------------------------------------------------------------------------

TEST_F(TwoPhaseSinkTest, ProofOfTheLastBatchComesBackWithItsPosition) {
  const auto proven = [](uint64_t n) {
    RecordBatch rows = batch(n);
    rows.position_proof = "proof " + std::to_string(n);
    return rows;
  };
  {
    auto sink = open();
    must(sink->write(proven(1)));
    must(sink->write(proven(2)));
    must(sink->close());
  }
  {
    auto sink = open();
    EXPECT_EQ(sink->resume_points(), std::vector<HostPosition>({{2, "proof 2"}}));
    const auto recovered = sink->recover(0);
    ASSERT_TRUE(recovered) << recovered.error().to_string();
    EXPECT_EQ(recovered->proof, "proof 2");
    must(sink->prepare(recovered->epoch + 1));  // Nothing new: the position stays, and its proof.
    must(sink->commit(recovered->epoch + 1));
    must(sink->write(proven(3)));
    must(sink->prepare(recovered->epoch + 2));
    must(sink->close());
  }
  auto sink = open();
  EXPECT_EQ(sink->resume_points(), std::vector<HostPosition>({{2, "proof 2"}}));
  const auto recovered = sink->recover(3);
  ASSERT_TRUE(recovered) << recovered.error().to_string();
  EXPECT_EQ(recovered->epoch, 3U);
  EXPECT_EQ(recovered->proof, "proof 3") << "decided by the host's word, as it was recorded";
  EXPECT_EQ(sink->resume_points(), std::vector<HostPosition>({{3, "proof 3"}}));
  expect_once(3);
  EXPECT_EQ(sink->finish().error().code, Errc::kUsage) << "it is the host that decides";
}

TEST_F(TwoPhaseSinkTest, FinishForgetsThePosition) {
  {
    auto sink = open();
    must(sink->write(batch(1)));
    must(sink->finish());
    must(sink->close());
    expect_once(1);
  }
  sql("DROP TABLE t; CREATE TABLE t (id bigint, note text)");
  auto sink = open();
  EXPECT_EQ(sink->durable_position(), 0U);
  EXPECT_TRUE(sink->resume_points().empty());
  must(sink->write(batch(1)));
  must(sink->close());
  expect_once(1);
}

TEST_F(TwoPhaseSinkTest, PositionsBelongToTheTable) {
  {
    auto sink = open();
    must(sink->write(batch(1)));
    must(sink->close());
  }
  const std::string generation = scalar("SELECT generation FROM pgsink_writers");
  sql("DROP TABLE t; CREATE TABLE t (id bigint, note text)");
  const auto refused = Sink::open(options_, batch(0).schema());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kCannotResume) << refused.error().to_string();
  EXPECT_EQ(scalar("SELECT generation FROM pgsink_writers"), generation)
      << "a sink that cannot go on fences nobody";
}

}  // namespace
}  // namespace pgsink::test
