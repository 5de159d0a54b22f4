// What makes a source lose changes on the server: it stops with an error that says so.

#include <sstream>
#include <tuple>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "replication/source_support.h"
#include "support/patience.h"

namespace pgsink {
namespace {

using namespace std::chrono_literals;
using test::shared_server;
using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr auto kPatience = 60s;

class SourceGapsBase : public testing::Test {
 protected:
  void SetUp() override {
    database_ = shared_server().create_database("gaps");
    options_ = test::source_options(shared_server(), database_);
    sql("CREATE TABLE t (id int PRIMARY KEY, v text); CREATE SCHEMA o;"
        "INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c')");
  }
  void TearDown() override {
    stop();
    sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
        " WHERE database = current_database()");
  }
  void sql(const std::string& text) { shared_server().sql(text, database_); }
  std::string scalar(const std::string& text) { return shared_server().scalar(text, database_); }
  bool slots_are(const std::string& condition, const std::string& count) {
    return test::eventually([&] {
      return scalar(
                 "SELECT count(*) FROM pg_replication_slots WHERE database = current_database()"
                 " AND " +
                 condition) == count;
    });
  }
  /// Opens and confirms the snapshot.
  void stream(std::unique_ptr<SourceMemory> memory = nullptr) {
    auto opened = Source::open(options_);
    ASSERT_TRUE(opened) << opened.error().to_string();
    source_ = std::move(*opened);
    ASSERT_TRUE(source_->start(0, std::move(memory)));
    auto batch = source_->next(kPatience);
    ASSERT_TRUE(batch && *batch);
    source_->confirm((*batch)->position);
    ASSERT_TRUE(slots_are("active AND slot_name NOT LIKE '%snapshot'", "1"));
  }
  void stop() {
    source_.reset();
    EXPECT_TRUE(slots_are("active", "0"));
  }
  /// The error that ends the source; rows before it are confirmed.
  Error take_error() {
    for (const auto end = std::chrono::steady_clock::now() + kPatience;
         std::chrono::steady_clock::now() < end;) {
      const auto batch = source_->next(100ms);
      if (!batch) return batch.error();
      if (!*batch) continue;
      source_->confirm((*batch)->position);
      for (const std::string& line : test::lines_of((*batch)->rows)) {
        EXPECT_THAT(line, testing::Not(HasSubstr("U 1 NULL"))) << "NULL over a value";
      }
    }
    return {};
  }
  void change_rows() {
    sql("INSERT INTO t VALUES (10, 'x'); UPDATE t SET v = 'y' WHERE id = 1;"
        "DELETE FROM t WHERE id = 2; INSERT INTO t VALUES (11, 'z')");
  }

  std::string database_;
  SinkOptions options_;
  std::unique_ptr<Source> source_;
};

struct Gap {
  const char* name;
  const char* change;
  const char* message;  ///< Part of it.
  int version = 0;      ///< The first that has it.
  const char* before = "CREATE PUBLICATION pub FOR TABLE t";
};

const Gap kGaps[] = {
    // 15 ends the stream itself when it decodes a change.
    {"PublicationDropped", "DROP PUBLICATION pub", "publication \"pub\" "},
    {"PublicationRenamed", "ALTER PUBLICATION pub RENAME TO other", "publication \"pub\" "},
    {"TableTakenOut", "ALTER PUBLICATION pub DROP TABLE t", "does not hold it any more"},
    {"FewerActions", "ALTER PUBLICATION pub SET (publish = 'insert')", "insert instead of"},
    {"ColumnList", "ALTER PUBLICATION pub SET TABLE t (id)", "column", 150000},
    {"RowFilter", "ALTER PUBLICATION pub SET TABLE t WHERE (id < 5)", "row filter", 150000},
    {"TableRemade", "DROP TABLE t; CREATE TABLE t (id int PRIMARY KEY, v text)", "dropped"},
    {"TableRemadeOfAll", "DROP TABLE t; CREATE TABLE t (id int PRIMARY KEY, v text)", "dropped", 0,
     "CREATE PUBLICATION pub FOR ALL TABLES"},
    {"TableMoved", "ALTER TABLE t SET SCHEMA o; CREATE TABLE t (id int PRIMARY KEY, v text)",
     "it is called o.t now"},
};

class SourceGapsTest : public SourceGapsBase, public testing::WithParamInterface<Gap> {};

TEST_P(SourceGapsTest, StopsWhileItRuns) {
  const Gap& gap = GetParam();
  if (shared_server().version() < gap.version) return;
  sql(gap.before);
  stream();
  sql(gap.change);
  if (scalar("SELECT count(*) FROM t") == "0") sql("INSERT INTO t VALUES (1, 'a'), (2, 'b')");
  change_rows();
  const Error error = take_error();
  EXPECT_THAT(error.message, HasSubstr(gap.message));
  EXPECT_EQ(error.code, Errc::kReplication) << error.to_string();
  EXPECT_THAT(error.message, HasSubstr("open the source again"));
}

INSTANTIATE_TEST_SUITE_P(Gap, SourceGapsTest, testing::ValuesIn(kGaps),
                         [](const auto& test) { return test.param.name; });

TEST_F(SourceGapsBase, ATableTakenOutWhileItWasStoppedIsNotAddedAgain) {
  sql("CREATE PUBLICATION pub FOR TABLE t");
  stream();
  stop();
  sql("ALTER PUBLICATION pub DROP TABLE t");
  change_rows();
  const auto refused = Source::open(options_);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kReplication);
  EXPECT_THAT(refused.error().message,
              AllOf(HasSubstr("does not hold table public.t"), HasSubstr("may be lost"),
                    HasSubstr("drop the slot"), HasSubstr("accept the gap")));
  EXPECT_EQ(Source::test(options_).error().message, refused.error().message);
  EXPECT_EQ(scalar("SELECT count(*) FROM pg_publication_rel"), "0");
}

TEST_F(SourceGapsBase, APublicationDroppedWhileItWasStoppedIsNotMadeAgain) {
  stream();
  EXPECT_THAT(source_->warnings(), Contains(HasSubstr("was created for table public.t")));
  stop();
  sql("DROP PUBLICATION pub");
  change_rows();
  const auto refused = Source::open(options_);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("publication \"pub\" is missing, but "));
  EXPECT_EQ(scalar("SELECT count(*) FROM pg_publication"), "0");
}

TEST_F(SourceGapsBase, ASlotThatAnotherAdvancedBetweenTwoConnectionsStopsIt) {
  options_.retry_backoff_ms = 1000;
  stream();
  // It reconnects after the pause; the slot is moved before.
  sql("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots"
      " WHERE active AND database = current_database()");
  ASSERT_TRUE(slots_are("active", "0"));
  change_rows();
  sql("SELECT pg_replication_slot_advance(slot_name, pg_current_wal_lsn())"
      " FROM pg_replication_slots WHERE database = current_database()");
  const Error error = take_error();
  EXPECT_EQ(error.code, Errc::kReplication);
  EXPECT_THAT(error.message, AllOf(HasSubstr("this source left it at"), HasSubstr("are lost")));
}

// ---- while it is stopped ------------------------------------------------------------------------

struct Stopped {
  const char* name;
  const char* change;   ///< Done while the source is stopped; "…" is where rows are changed.
  const char* message;  ///< Part of it.
  int version = 0;      ///< The first that has it.
};

const Stopped kStopped[] = {
    {"SlotRemade",
     "SELECT pg_drop_replication_slot('SLOT'); …;"
     "SELECT pg_create_logical_replication_slot('SLOT', 'pgoutput')",
     "somebody else recreated, advanced or read it"},
    {"SlotAdvanced", "…; SELECT pg_replication_slot_advance('SLOT', pg_current_wal_lsn())",
     "somebody else recreated, advanced or read it"},
    {"SlotDropped", "SELECT pg_drop_replication_slot('SLOT'); …", "\" is gone, and with it"},
    {"PublicationRemade", "DROP PUBLICATION pub; …; CREATE PUBLICATION pub FOR TABLE t",
     "was dropped and recreated"},
    {"PublicationRenamed",
     "ALTER PUBLICATION pub RENAME TO other; …; ALTER PUBLICATION other RENAME TO pub",
     "was altered"},
    {"TableTakenOut", "ALTER PUBLICATION pub DROP TABLE t; …; ALTER PUBLICATION pub ADD TABLE t",
     "taken out and added again"},
    {"FewerActions",
     "ALTER PUBLICATION pub SET (publish = 'insert'); …;"
     "ALTER PUBLICATION pub SET (publish = 'insert, update, delete, truncate')",
     "was altered"},
    {"FewerActionsStill", "ALTER PUBLICATION pub SET (publish = 'insert, truncate'); …",
     "shows other actions"},
    {"ColumnList", "ALTER PUBLICATION pub SET TABLE t (id); …; ALTER PUBLICATION pub SET TABLE t",
     "column list", 150000},
    {"RowFilter",
     "ALTER PUBLICATION pub SET TABLE t WHERE (id < 5); …; ALTER PUBLICATION pub SET TABLE t",
     "taken out and added again", 150000},
    {"TableRemade",
     "DROP TABLE t; CREATE TABLE t (id int PRIMARY KEY, v text);"
     "ALTER PUBLICATION pub ADD TABLE t; INSERT INTO t VALUES (1, 'a'), (2, 'b'); …",
     "dropped"},
    {"TableReplaced",
     "ALTER TABLE t SET SCHEMA o; CREATE TABLE t (id int PRIMARY KEY, v text);"
     "ALTER PUBLICATION pub ADD TABLE t; INSERT INTO t VALUES (1, 'a'), (2, 'b'); …",
     "another table"},
};

class StoppedSourceTest : public SourceGapsBase,
                          public testing::WithParamInterface<std::tuple<Stopped, Delivery>> {
 protected:
  void SetUp() override {
    SourceGapsBase::SetUp();
    sql("CREATE PUBLICATION pub FOR TABLE t; CREATE TABLE copy (id int); INSERT INTO copy "
        "VALUES (1)");
    target_ = options_;
    target_.type = ConnectionType::kSink;
    target_.connection_name = "copy";
    target_.table = "copy";
    target_.publication = target_.replication_slot = "";
    target_.delivery = std::get<1>(GetParam());
  }
  std::unique_ptr<SourceMemory> memory() {
    return remember_in_target(target_, options_.replication_slot);
  }
  /// The next run, after what the consumer has.
  Error resume() {
    auto opened = Source::open(options_);
    if (!opened) return opened.error();
    source_ = std::move(*opened);
    const bool known = target_.delivery == Delivery::kExactlyOnce;
    const Status started = source_->start(known ? position_ : 0, memory());
    return started ? Error{} : started.error();
  }
  static Error came() {
    Error error;
    error.message = "came";
    return error;
  }
  /// Waits for the row with this id, and confirms what comes.
  Error read_until(const std::string& id) {
    for (const auto end = std::chrono::steady_clock::now() + kPatience;
         std::chrono::steady_clock::now() < end;) {
      const auto batch = source_->next(100ms);
      if (!batch) return batch.error();
      if (!*batch) continue;
      position_ = (*batch)->position;
      source_->confirm(position_);
      for (const std::string& line : test::lines_of((*batch)->rows)) {
        if (line.starts_with("I " + id + " ")) return came();
      }
    }
    return {};
  }
  void change_while_stopped(std::string text) {
    for (size_t at = text.find("SLOT"); at != std::string::npos; at = text.find("SLOT")) {
      text.replace(at, 4, options_.replication_slot);
    }
    // Each statement is a transaction of its own.
    std::istringstream parts(text);
    for (std::string part; std::getline(parts, part, ';');) {
      if (part.find("…") == std::string::npos) {
        sql(part);
      } else {
        change_rows();
      }
    }
  }

  SinkOptions target_;
  uint64_t position_ = 0;
};

TEST_P(StoppedSourceTest, StopsAtTheNextStartUntilTheGapIsAccepted) {
  const Stopped& gap = std::get<0>(GetParam());
  const bool known = target_.delivery == Delivery::kExactlyOnce;
  const bool no_slot = std::string_view(gap.name) == "SlotDropped";
  if (shared_server().version() < gap.version) return;
  stream(memory());
  sql("INSERT INTO t VALUES (50, 'last')");
  ASSERT_EQ(read_until("50").message, "came");
  stop();
  change_while_stopped(gap.change);
  Error error = resume();
  if (error.message.empty()) error = take_error();
  EXPECT_EQ(error.code, Errc::kReplication) << error.to_string();
  if (no_slot && known) {
    EXPECT_THAT(error.message, HasSubstr("is gone, and with it"));
    return;  // The sink needs another name then.
  }
  EXPECT_THAT(error.message, AllOf(HasSubstr(gap.message), HasSubstr("lost")));
  const std::string option = "accept_gap_until = '";
  const size_t at = error.message.find(option);
  ASSERT_NE(at, std::string::npos) << error.message;
  const size_t begin = at + option.size();
  options_.accept_gap_until = error.message.substr(begin, error.message.find('\'', begin) - begin);
  source_.reset();
  ASSERT_EQ(resume().message, "");
  sql("INSERT INTO t VALUES (60, 'after')");
  EXPECT_EQ(read_until("60").message, "came");
  stop();
  // That was all that was accepted.
  options_.accept_gap_until = "";
  ASSERT_EQ(resume().message, "");
  sql("INSERT INTO t VALUES (70, 'later')");
  EXPECT_EQ(read_until("70").message, "came");
}

INSTANTIATE_TEST_SUITE_P(Gap, StoppedSourceTest,
                         testing::Combine(testing::ValuesIn(kStopped),
                                          testing::Values(Delivery::kAtLeastOnce,
                                                          Delivery::kExactlyOnce)),
                         [](const auto& test) {
                           const bool known = std::get<1>(test.param) == Delivery::kExactlyOnce;
                           return std::string(std::get<0>(test.param).name) +
                                  (known ? "ExactlyOnce" : "AtLeastOnce");
                         });

TEST_F(SourceGapsBase, APublicationWithFewerActionsIsToldAtOpen) {
  sql("CREATE PUBLICATION pub FOR TABLE t WITH (publish = 'insert')");
  stream();
  EXPECT_THAT(source_->warnings(), Contains(HasSubstr("shows only these actions: insert")));
}

TEST_F(SourceGapsBase, PublishedGeneratedColumnsArrive) {
  if (shared_server().version() < 180000) return;
  sql("ALTER TABLE t ADD COLUMN twice int GENERATED ALWAYS AS (id * 2) STORED;"
      "CREATE PUBLICATION pub FOR TABLE t WITH (publish_generated_columns = stored)");
  stream();
  sql("INSERT INTO t VALUES (7, 'g')");
  const auto batch = source_->next(kPatience);
  ASSERT_TRUE(batch && *batch) << (batch ? "none" : batch.error().to_string());
  EXPECT_THAT(test::lines_of((*batch)->rows), ElementsAre("I 7 g 14"));
}

}  // namespace
}  // namespace pgsink
