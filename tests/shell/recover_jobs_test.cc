// `pgsink recover`: what jobs left whose drivers died, listed and emptied.

#include <sstream>
#include <tuple>

#include <pgsink/batch_of.h>
#include <pgsink/job.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pgsink/client/connection.h"
#include "pgsink/client/conninfo.h"
#include "pgsink/client/env.h"
#include "shell/shell_support.h"
#include "support/patience.h"

namespace pgsink::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

struct Row {
  int64_t a = 0;
};

class RecoverJobs : public ::testing::Test {
 protected:
  RecoverJobs() {
    create_table("job_target", "(a bigint)");
    analytics_server().sql("GRANT CREATE ON SCHEMA public TO \"user\"", "analytics");
    options_.connection_name = "jobs";
    options_.host = "localhost";
    options_.database = "analytics";
    options_.username = "user";
    options_.password = "s3cret'pw";
    options_.table = "job_target";
    options_.sink_id = "nightly";
  }
  ~RecoverJobs() override {
    std::ignore = recover({"--abandon", "nightly"});
    analytics_server().sql("DROP TABLE IF EXISTS pgsink_jobs", "analytics");
    for (const std::string& stage : stages()) {
      analytics_server().sql("DROP TABLE IF EXISTS " + stage, "analytics");
    }
  }

  static RecordBatch rows() { return batch_of(std::vector<Row>{{1}, {2}}, column("a", &Row::a)); }
  std::unique_ptr<Job> open(Atomic atomic = Atomic::kAuto) {
    auto job = Job::open(options_, rows().schema(), {.atomic = atomic});
    if (!job) throw std::runtime_error(job.error().to_string());
    return *std::move(job);
  }
  std::string write(const Job& job) {
    const auto part = open_part(options_, job.ticket(), 0, rows().schema());
    if (!part) throw std::runtime_error(part.error().to_string());
    EXPECT_TRUE((*part)->write(rows()));
    const auto token = finish_part(**part);
    if (!token) throw std::runtime_error(token.error().to_string());
    return *token;
  }
  static std::vector<std::string> stages() {
    const std::string names = analytics_server().scalar(
        "SELECT coalesce(string_agg(relname, ' '), '') FROM pg_class WHERE relname LIKE "
        "'pgsink\\_stage\\_%'",
        "analytics");
    std::vector<std::string> found;
    std::istringstream words(names);
    for (std::string word; words >> word;) found.push_back(word);
    return found;
  }
  static Captured recover(std::vector<std::string> arguments = {}) {
    RunOptions options;
    options.environment.emplace_back("PGPASSWORD", "s3cret'pw");
    arguments.insert(arguments.begin(),
                     {"recover", "--url", "postgresql://user@localhost:5432/analytics"});
    return pgsink(std::move(arguments), options);
  }

  /// A session that holds a lock.
  std::unique_ptr<Connection> hold(const std::string& sql) {
    const PostgresServer& server = analytics_server();
    auto session =
        Connection::open(os_.env(), *parse_conninfo("host=" + server.socket_dir() +
                                                    " port=" + std::to_string(server.port()) +
                                                    " dbname=analytics user=postgres"));
    if (!session) throw std::runtime_error(session.error().to_string());
    const auto held = (*session)->query("BEGIN; " + sql, kNoDeadline);
    if (!held) throw std::runtime_error(held.error().to_string());
    return *std::move(session);
  }

  OsEnv os_;
  SinkOptions options_;
};

TEST_F(RecoverJobs, AnOpenJobIsListedAndNotEmptied) {
  const auto job = open();
  const std::string token = write(*job);
  const auto listed = recover();
  EXPECT_EQ(listed.exit_code, 0) << listed.err;
  ASSERT_EQ(stages().size(), 1U);
  EXPECT_THAT(listed.out,
              AllOf(HasSubstr("public." + stages().front() +
                              "\n  open: job nightly in schema public may still be committed"),
                    HasSubstr("owned by role user"), HasSubstr("no session uses it")));
  const auto cleared = recover({"--leftovers"});
  EXPECT_EQ(cleared.exit_code, 0) << cleared.err;
  EXPECT_EQ(cleared.err, "pgsink: 0 staging tables dropped\n");
  const auto report = job->commit(std::vector{token});
  ASSERT_TRUE(report) << report.error().to_string();
  EXPECT_EQ(report->rows, 2U);
  EXPECT_THAT(recover().out, Not(HasSubstr("nightly")));
}

TEST_F(RecoverJobs, WhatAnEndedJobLeftIsDropped) {
  const auto dead = open();
  write(*dead);
  // The next driver cannot drop the staging table: somebody uses it.
  const std::string left = stages().front();
  const auto reader = hold("SELECT count(*) FROM " + left);
  const auto next = open();
  const auto listed = recover();
  EXPECT_THAT(listed.out, AllOf(HasSubstr(left + "\n  ended: job nightly in schema public"),
                                HasSubstr("used now by server process")));
  EXPECT_THAT(recover({"--leftovers"}).err,
              AllOf(HasSubstr("a session uses public." + left), HasSubstr("0 staging tables")));
  ASSERT_TRUE(reader->query("COMMIT", kNoDeadline));
  EXPECT_THAT(recover({"--leftovers"}).err, HasSubstr("1 staging table dropped"));
  ASSERT_EQ(stages().size(), 1U) << "the open job has its own";
  EXPECT_TRUE(next->commit(std::vector{write(*next)}));
}

TEST_F(RecoverJobs, AnOpenJobIsAbandonedByName) {
  const auto dead = open();
  const std::string token = write(*dead);
  const auto other = recover({"--abandon", "nihgtly"});
  EXPECT_EQ(other.exit_code, 1);
  EXPECT_THAT(other.err, HasSubstr("no job 'nihgtly' is open"));
  const auto run = recover({"--abandon", "nightly"});
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_TRUE(stages().empty());
  EXPECT_THAT(recover({"--json"}).out, Not(HasSubstr("nightly")));
  // The driver was not dead after all.
  const auto late = dead->commit(std::vector{token});
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, Errc::kRolledBack);
  EXPECT_THAT(late.error().message, HasSubstr("aborted"));
  EXPECT_EQ(analytics_server().scalar("SELECT count(*) FROM job_target", "analytics"), "0");
}

TEST_F(RecoverJobs, AJobWhosePartsWriteIsNotAbandoned) {
  const auto job = open();
  auto part = open_part(options_, job->ticket(), 0, rows().schema());
  ASSERT_TRUE(part) << part.error().to_string();
  const auto writer = hold("LOCK TABLE " + stages().front() + " IN ROW EXCLUSIVE MODE");
  const auto run = recover({"--abandon", "nightly"});
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.err, AllOf(HasSubstr("PGS-6006"), HasSubstr("is being written by")));
  ASSERT_TRUE(writer->query("ROLLBACK", kNoDeadline));
  ASSERT_TRUE((*part)->write(rows()));
  const auto token = finish_part(**part);
  ASSERT_TRUE(token) << token.error().to_string();
  EXPECT_TRUE(job->commit(std::vector{*token}));
}

TEST_F(RecoverJobs, ACommitUnderWayIsNotAbandoned) {
  const auto job = open();
  const std::string token = write(*job);
  const auto driver = hold("SELECT 1 FROM pgsink_jobs WHERE sink_id = 'nightly' FOR UPDATE");
  const auto run = recover({"--abandon", "nightly"});
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.err, AllOf(HasSubstr("PGS-6006"), HasSubstr("being committed")));
  ASSERT_TRUE(driver->query("ROLLBACK", kNoDeadline));
  EXPECT_TRUE(job->commit(std::vector{token}));
}

// ---- two-phase jobs -----------------------------------------------------------------------------

std::string prepared() {
  return analytics_server().scalar(
      "SELECT count(*) FROM pg_prepared_xacts WHERE database = 'analytics'", "analytics");
}

TEST_F(RecoverJobs, PartsOfAnOpenJobAreListedAndRolledBackByItsName) {
  const auto job = open(Atomic::kTwoPhase);
  write(*job);
  EXPECT_THAT(recover().out, AllOf(HasSubstr("undecided: a part of an open job"),
                                   HasSubstr("open: job nightly in schema public")));
  EXPECT_THAT(recover({"--leftovers"}).err, Not(HasSubstr("rolled back")));
  EXPECT_EQ(prepared(), "1");
  const auto run = recover({"--abandon", "nightly"});
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_THAT(run.err, HasSubstr("1 prepared transaction rolled back"));
  EXPECT_EQ(prepared(), "0");
}

TEST_F(RecoverJobs, ADecidedJobIsCommittedAndNeverRolledBack) {
  const auto job = open(Atomic::kTwoPhase);
  write(*job);
  const std::string gid = analytics_server().scalar(
      "SELECT gid FROM pg_prepared_xacts WHERE database = 'analytics'", "analytics");
  // As a driver that died after its decision.
  analytics_server().sql(
      "UPDATE pgsink_jobs SET epoch = 1, decided_by = writer, prepared = ARRAY['" + gid + "']",
      "analytics");
  EXPECT_THAT(recover().out, HasSubstr(gid + "\n  decided: epoch 1 is to be committed"));
  EXPECT_EQ(recover({"--leftovers"}).exit_code, 0);
  EXPECT_EQ(recover({"--abandon", "nightly"}).exit_code, 1);
  EXPECT_THAT(recover({"--rollback", gid}).err, HasSubstr("PGS-6006"));
  EXPECT_EQ(prepared(), "1");
  EXPECT_THAT(recover({"--decided"}).err, HasSubstr("1 prepared transaction committed"));
  EXPECT_EQ(analytics_server().scalar("SELECT count(*) FROM job_target", "analytics"), "2");
}

TEST_F(RecoverJobs, APartThatIsBeingWrittenKeepsItsJob) {
  const auto job = open(Atomic::kTwoPhase);
  auto part = open_part(options_, job->ticket(), 0, rows().schema());
  ASSERT_TRUE(part) << part.error().to_string();
  ASSERT_TRUE((*part)->write(rows()));
  ASSERT_TRUE(eventually([] {
    return analytics_server().scalar(
               "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted",
               "analytics") == "1";
  }));
  const auto run = recover({"--abandon", "nightly"});
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.err, AllOf(HasSubstr("PGS-6006"), HasSubstr("is being written by")));
  const auto token = finish_part(**part);
  ASSERT_TRUE(token) << token.error().to_string();
  EXPECT_TRUE(job->commit(std::vector{*token}));
}

TEST_F(RecoverJobs, ListsAsJson) {
  const auto job = open();
  TemporaryFolder folder;
  const auto read = pgsink({"--format", "csv", "-c",
                            "SELECT sink_id, open, staging_table, used_by FROM read_json('" +
                                folder.write("left.json", recover({"--json"}).out) + "')"});
  EXPECT_EQ(read.out,
            "sink_id,open,staging_table,used_by\nnightly,true," + stages().front() + ",\"\"\n")
      << read.err;
}

}  // namespace
}  // namespace pgsink::test
