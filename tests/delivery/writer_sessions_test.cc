// At least once under a sink_id: what a dead writer left at work is ended before the next one
// writes.

#include <chrono>
#include <csignal>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include <pgsink/batch_of.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <libpq-fe.h>

#include "pgsink/sink.h"
#include "support/postgres_server.h"

namespace pgsink {
namespace {

using namespace std::chrono_literals;
using test::shared_server;
using testing::HasSubstr;

struct Row {
  int64_t id = 0;
  std::string value;
};

RecordBatch rows(std::vector<Row> given) {
  return batch_of(std::move(given), column("id", &Row::id), column("value", &Row::value));
}

class WriterSessionsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    database_ = shared_server().create_database("sessions");
    sql("CREATE TABLE t (id bigint PRIMARY KEY, value text)");
    options_.connection_name = "test";
    options_.host = shared_server().socket_dir();
    options_.port = std::to_string(shared_server().port());
    options_.database = database_;
    options_.username = "postgres";
    options_.table = "t";
    options_.write_mode = WriteMode::kUpsert;
    options_.sink_id = "orders";
    options_.retry_backoff_ms = 5;
  }

  void sql(const std::string& text) { shared_server().sql(text, database_); }
  std::string scalar(const std::string& text) { return shared_server().scalar(text, database_); }
  std::unique_ptr<Sink> open() {
    auto sink = Sink::open(options_, rows({}).schema());
    EXPECT_TRUE(sink) << sink.error().to_string();
    return sink ? std::move(*sink) : nullptr;
  }
  /// Waits until so many of our sessions wait for a lock.
  void wait_for_waiting(const std::string& sessions) {
    const auto end = std::chrono::steady_clock::now() + 30s;
    const std::string count =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND "
        "application_name = 'pgsink/test' AND wait_event_type = 'Lock'";
    while (scalar(count) != sessions && std::chrono::steady_clock::now() < end) {
      std::this_thread::sleep_for(2ms);
    }
    ASSERT_EQ(scalar(count), sessions);
  }
  /// A process that upserts rows 1 and 2 and is killed while its backend waits for row 1, which
  /// `holder` has locked.
  void die_over(PGconn* holder) {
    PQclear(PQexec(holder, "BEGIN; SELECT FROM t WHERE id = 1 FOR UPDATE"));
    const pid_t pid = fork();
    if (pid == 0) {
      auto sink = Sink::open(options_, rows({}).schema());
      if (!sink || !(*sink)->write(rows({{1, "old"}, {2, "old"}}))) _exit(1);
      (void)(*sink)->flush();
      _exit(2);
    }
    wait_for_waiting("1");
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
  }

  std::string database_;
  SinkOptions options_;
};

TEST_F(WriterSessionsTest, WhatAKilledProcessLeftIsEndedFirst) {
  for (const bool known : {true, false}) {
    sql("TRUNCATE t; INSERT INTO t VALUES (1, 'first'), (2, 'first')");
    options_.sink_id = known ? "orders" : "";
    PGconn* const holder = PQconnectdb(shared_server().conninfo(database_).c_str());
    die_over(holder);
    auto sink = open();
    ASSERT_TRUE(sink);
    ASSERT_TRUE(sink->write(rows({{2, "new"}})));
    ASSERT_TRUE(sink->close());
    PQfinish(holder);  // Lets the old backend go on, if it is there.
    const auto end = std::chrono::steady_clock::now() + 30s;
    while (scalar("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND "
                  "application_name = 'pgsink/test'") != "0" &&
           std::chrono::steady_clock::now() < end) {
      std::this_thread::sleep_for(2ms);
    }
    // Without a name nobody knows of it: that shows that the fence is what the name brings.
    EXPECT_EQ(scalar("SELECT value FROM t WHERE id = 2"), known ? "new" : "old");
  }
}

TEST_F(WriterSessionsTest, TheLaterOfTwoWritersStays) {
  options_.parallelism = 2;
  auto former = open();
  ASSERT_TRUE(former);
  ASSERT_TRUE(former->write(rows({{1, "a"}, {2, "a"}})));
  ASSERT_TRUE(former->flush());
  auto later = open();
  ASSERT_TRUE(later);
  ASSERT_TRUE(later->write(rows({{1, "b"}, {2, "b"}})));
  ASSERT_TRUE(later->flush());
  Status refused;
  for (int i = 0; i < 100 && refused; ++i) {
    refused = former->write(rows({{1, "c"}, {2, "c"}}));
    if (refused) refused = former->flush();
  }
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kFenced) << refused.error().to_string();
  EXPECT_THAT(refused.error().message,
              HasSubstr("is fenced by \"pgsink/test\" from the local socket"));
  EXPECT_TRUE(later->write(rows({{1, "d"}})));
  EXPECT_TRUE(later->flush());
  EXPECT_EQ(scalar("SELECT string_agg(value, ' ' ORDER BY id) FROM t"), "d b");
  // Its other lane may be about to connect, and only a later writer that is there stops it.
  former.reset();
  EXPECT_TRUE(later->close());
  EXPECT_EQ(scalar("SELECT string_agg(value, ' ' ORDER BY id) FROM t"), "d b");
}

/// Writes until it is refused; the error.
Error refusal(Sink& sink, const std::vector<Row>& given) {
  Status refused;
  for (int i = 0; i < 100 && refused; ++i) {
    refused = sink.write(rows(given));
    if (refused) refused = sink.flush();
  }
  return refused ? Error{} : refused.error();
}

TEST_F(WriterSessionsTest, AWriterThatWakesUpWhenTheNextHasEndedIsFenced) {
  for (const WriteMode mode : {WriteMode::kUpsert, WriteMode::kUpdate, WriteMode::kDelete}) {
    for (const int lanes : {1, 3}) {
      sql("TRUNCATE t; INSERT INTO t VALUES (1, ''), (2, '')");
      options_.write_mode = mode;
      options_.parallelism = lanes;
      auto former = open();
      ASSERT_TRUE(former);
      ASSERT_TRUE(former->write(rows({{3, "old"}})));
      ASSERT_TRUE(former->flush());
      options_.write_mode = WriteMode::kUpsert;
      auto later = open();
      ASSERT_TRUE(later);
      ASSERT_TRUE(later->write(rows({{1, "new"}, {2, "new"}})));
      ASSERT_TRUE(later->close());
      later.reset();
      const Error error = refusal(*former, {{1, "old"}, {2, "old"}});
      EXPECT_EQ(error.code, Errc::kFenced) << error.to_string();
      EXPECT_THAT(error.message, HasSubstr("is fenced by \"pgsink/test\""));
      EXPECT_EQ(scalar("SELECT string_agg(value, ' ' ORDER BY id) FROM t WHERE id < 3"), "new new");
    }
  }
}

TEST_F(WriterSessionsTest, ARoleThatMayNotHaveTheTableIsToldWhatDoesNotHold) {
  sql("CREATE ROLE sessions_writer LOGIN; GRANT SELECT, INSERT, UPDATE ON t TO sessions_writer; "
      "REVOKE CREATE ON SCHEMA public FROM public");
  options_.username = "sessions_writer";
  auto sink = open();
  ASSERT_TRUE(sink);
  ASSERT_EQ(sink->warnings().size(), 1U);
  EXPECT_THAT(
      sink->warnings().front(),
      testing::AllOf(HasSubstr("continues after this process has ended"),
                     HasSubstr("let the owner of the schema run: CREATE TABLE IF NOT EXISTS")));
  ASSERT_TRUE(sink->write(rows({{1, "a"}})));
  EXPECT_TRUE(sink->close());
  sink.reset();
  // Somebody else makes it.
  options_.username = "postgres";
  ASSERT_TRUE(open()->close());
  sql("GRANT SELECT, INSERT, UPDATE ON pgsink_writers TO sessions_writer");
  options_.username = "sessions_writer";
  auto again = open();
  ASSERT_TRUE(again);
  EXPECT_TRUE(again->warnings().empty());
  again.reset();
  sql("DROP OWNED BY sessions_writer; DROP ROLE sessions_writer");
}

TEST_F(WriterSessionsTest, ADatabaseThatHasLostTheGenerationGetsItAgain) {
  auto former = open();
  auto sink = open();
  ASSERT_TRUE(former && sink);
  sql("UPDATE pgsink_writers SET generation = 1");
  sql("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = "
      "'pgsink/test' AND datname = current_database()");
  ASSERT_TRUE(sink->write(rows({{1, "new"}})));
  ASSERT_TRUE(sink->flush());
  EXPECT_EQ(scalar("SELECT generation FROM pgsink_writers"), "2");
  EXPECT_EQ(refusal(*former, {{1, "old"}}).code, Errc::kFenced);
  EXPECT_EQ(scalar("SELECT value FROM t WHERE id = 1"), "new");
}

TEST_F(WriterSessionsTest, OtherNamesGoOn) {
  auto one = open();
  options_.sink_id = "others";
  auto two = open();
  options_.sink_id.clear();
  auto three = open();
  ASSERT_TRUE(one && two && three);
  int64_t id = 0;
  for (auto* sink : {&one, &two, &three}) {
    ASSERT_TRUE((*sink)->write(rows({{++id, "x"}})));
    EXPECT_TRUE((*sink)->close());
    EXPECT_EQ((*sink)->metrics().connections_opened, 1U);
  }
}

TEST_F(WriterSessionsTest, InsertsHaveNoUseForAName) {
  options_.write_mode = WriteMode::kInsert;
  const auto refused = Sink::open(options_, rows({}).schema());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kOptionConflict) << refused.error().to_string();
}

}  // namespace
}  // namespace pgsink
