// Sink::interrupt(): calls that wait end, say what is committed, and nothing more is written.

#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include <pgsink/batch_of.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <libpq-fe.h>

#include "pgsink/sink.h"
#include "support/patience.h"
#include "support/postgres_server.h"

namespace pgsink::test {
namespace {

using testing::HasSubstr;

/// The fields that matter here of a Status, so that it can leave a thread.
struct Outcome {
  bool ok = false;
  Error error;
};

Outcome outcome_of(const Status& status) {
  return status ? Outcome{.ok = true, .error = {}} : Outcome{.ok = false, .error = status.error()};
}

RecordBatch numbers(int64_t first, int64_t count) {
  std::vector<int64_t> ids;
  for (int64_t i = 0; i < count; ++i) ids.push_back(first + i);
  return batch_of_columns(column("id", std::move(ids))).value();
}

class InterruptTest : public testing::Test {
 protected:
  void SetUp() override {
    database_ = shared_server().create_database("interrupt");
    shared_server().sql("CREATE TABLE t (id bigint PRIMARY KEY)", database_);
    options_.connection_name = "test";
    options_.host = shared_server().socket_dir();
    options_.port = std::to_string(shared_server().port());
    options_.database = database_;
    options_.username = "postgres";
    options_.table = "t";
    holder_.reset(PQconnectdb(shared_server().conninfo(database_).c_str()));
  }

  void open() {
    auto sink = Sink::open(options_, numbers(0, 0).schema());
    ASSERT_TRUE(sink) << sink.error().to_string();
    sink_ = std::move(*sink);
  }
  /// Nobody can write until release().
  void hold() { PQclear(PQexec(holder_.get(), "BEGIN; LOCK TABLE t")); }
  void release() { PQclear(PQexec(holder_.get(), "ROLLBACK")); }
  std::string count() { return shared_server().scalar("SELECT count(*) FROM t", database_); }

  /// Runs `call` in a thread until a session of the sink waits for the lock, and it for that; then
  /// interrupts it.
  Outcome interrupted(const std::function<Status()>& call) {
    std::future<Outcome> result =
        std::async(std::launch::async, [&] { return outcome_of(call()); });
    const std::string waiting =
        "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND relation = 't'::regclass";
    EXPECT_TRUE(eventually([&] { return shared_server().scalar(waiting, database_) == "t"; }));
    EXPECT_EQ(result.wait_for(std::chrono::milliseconds(50)), std::future_status::timeout)
        << "the call does not wait";
    sink_->interrupt();
    if (result.wait_for(kPatience) != std::future_status::ready) {
      ADD_FAILURE() << "the call goes on waiting";
      release();
    }
    return result.get();
  }
  static void expect_interrupted(const Outcome& outcome) {
    EXPECT_FALSE(outcome.ok);
    EXPECT_EQ(outcome.error.code, Errc::kInterrupted) << outcome.error.to_string();
    EXPECT_THAT(outcome.error.message,
                HasSubstr("connection \"test\", table public.t: interrupted"));
  }

  std::string database_;
  SinkOptions options_;
  std::unique_ptr<PGconn, decltype(&PQfinish)> holder_{nullptr, &PQfinish};
  std::unique_ptr<Sink> sink_;
};

TEST_F(InterruptTest, AFlushEndsAndSaysWhatIsCommitted) {
  options_.parallelism = 3;
  open();
  ASSERT_TRUE(sink_->write(numbers(1, 30'000)));
  ASSERT_TRUE(sink_->flush());
  hold();
  ASSERT_TRUE(sink_->write(numbers(30'001, 30'000)));
  const Outcome outcome = interrupted([&] { return sink_->flush(); });
  expect_interrupted(outcome);
  EXPECT_THAT(outcome.error.message, HasSubstr("30000 rows are committed"));
  // Later calls fail alike, and none of them waits.
  expect_interrupted(outcome_of(sink_->write(numbers(60'001, 1))));
  expect_interrupted(outcome_of(sink_->flush()));
  expect_interrupted(outcome_of(sink_->status()));
  expect_interrupted(outcome_of(sink_->close()));
}

TEST_F(InterruptTest, AWriteThatWaitsForMemoryEnds) {
  options_.buffer_bytes = 1 << 20;
  options_.batch_bytes = 1 << 18;
  open();
  hold();
  expect_interrupted(interrupted([&]() -> Status {
    for (int64_t i = 0;; ++i) {
      if (auto written = sink_->write(numbers(i * 10'000, 10'000)); !written) return written;
    }
  }));
  sink_.reset();
  release();
}

TEST_F(InterruptTest, ACloseEnds) {
  options_.parallelism = 2;
  options_.max_retries = 0;
  open();
  hold();
  ASSERT_TRUE(sink_->write(numbers(1, 20'000)));
  expect_interrupted(interrupted([&] { return sink_->close(); }));
}

TEST_F(InterruptTest, NothingThatWasNotSentIsWrittenAfterwards) {
  options_.transaction_size = 100;
  options_.batch_size = 100;
  options_.in_flight_max = 1;
  open();
  hold();
  ASSERT_TRUE(sink_->write(numbers(1, 20'000)));
  expect_interrupted(interrupted([&] { return sink_->flush(); }));
  sink_.reset();
  release();
  const std::string sessions = "SELECT count(*) FROM pg_stat_activity WHERE datname = '" +
                               database_ + "' AND application_name LIKE 'pgsink/%'";
  ASSERT_TRUE(eventually([&] { return shared_server().scalar(sessions) == "0"; }));
  // The server may finish the one transaction that it had as a whole.
  EXPECT_THAT(count(), testing::AnyOf("0", "100"));
}

TEST_F(InterruptTest, AnEpochThatIsNotDecidedIsNotCommitted) {
  options_.use_2pc = true;
  options_.sink_id = "interrupted";
  open();
  ASSERT_TRUE(sink_->write(numbers(1, 500)));
  ASSERT_TRUE(sink_->flush());
  hold();
  ASSERT_TRUE(sink_->write(numbers(501, 500)));
  const Outcome outcome = interrupted([&] { return sink_->flush(); });
  expect_interrupted(outcome);
  EXPECT_THAT(outcome.error.message, HasSubstr("500 rows are committed"));
  expect_interrupted(outcome_of(sink_->close()));
  sink_.reset();
  release();
  open();  // It rolls back what is left.
  EXPECT_EQ(count(), "500");
  ASSERT_TRUE(sink_->write(numbers(501, 500)));
  ASSERT_TRUE(sink_->close());
  EXPECT_EQ(count(), "1000");
}

TEST_F(InterruptTest, AFailureThatCameBeforeStaysTheReason) {
  options_.max_retries = 0;
  open();
  ASSERT_TRUE(sink_->write(numbers(1, 10)));
  ASSERT_TRUE(sink_->flush());
  ASSERT_TRUE(sink_->write(numbers(1, 10)));
  ASSERT_FALSE(sink_->flush());
  sink_->interrupt();
  const Outcome outcome = outcome_of(sink_->close());
  EXPECT_EQ(outcome.error.code, Errc::kServer);
  EXPECT_EQ(outcome.error.sqlstate, "23505");
}

}  // namespace
}  // namespace pgsink::test
