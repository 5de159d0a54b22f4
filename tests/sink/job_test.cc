// Jobs: what is left of them when a driver, a task or the server dies at any point, and the way
// through a pooler. tests/python/job_test.py tests what a job does.

#include "pgsink/job.h"

#include <functional>
#include <string>
#include <tuple>
#include <vector>

#include <pgsink/batch_of.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sink/job_support.h"
#include "support/pgbouncer.h"

namespace pgsink::test {
namespace {

using ::testing::HasSubstr;

/// A driver with its tasks, from begin to end. "" for success.
std::string run_job(const SinkOptions& driver, const SinkOptions& tasks, const JobOptions& wanted,
                    int64_t value) {
  auto job = Job::open(driver, schema(), wanted);
  if (!job) return job.error().to_string();
  std::vector<std::string> tokens;
  for (uint32_t partition = 0; partition < kParts; ++partition) {
    auto token = write_part(tasks, (*job)->ticket(), partition, value);
    if (!token) return token.error().to_string();
    tokens.push_back(*token);
  }
  const auto report = (*job)->commit(tokens);
  return report ? "" : report.error().to_string();
}
std::string run_job(const SinkOptions& options, const JobOptions& wanted, int64_t value) {
  return run_job(options, options, wanted, value);
}

constexpr Point kPoints[] = {
    {"claim", false, "INSERT INTO \"public\".pgsink_jobs"},
    {"leftovers", false, "starts_with"},
    {"stage", false, "CREATE UNLOGGED TABLE"},
    {"task_reads_table", true, "pgsink_stage_"},
    {"task_writes", true, "INSERT INTO \"public\".\"pgsink_stage_"},
    {"lock", false, "FOR UPDATE"},
    {"decide", false, "SET epoch = "},
    {"count", false, "SELECT pg_catalog.count(*) FROM \"public\".\"pgsink_stage_"},
    {"empty", false, "LOCK TABLE \"public\".\"t\" IN SHARE ROW EXCLUSIVE"},
    {"move", false, "WITH pgsink_staged AS"},
    {"commit", false, kCommit},
    {"drop", false, "DROP TABLE IF EXISTS \"public\".\"pgsink_stage_"},
};

class JobTest : public JobFixture {
 protected:
  /// Every row once, all of one job; no staging table, no lock, no prepared transaction.
  void expect_written(int64_t value) {
    const std::string rows = std::to_string(kParts * kRows);
    EXPECT_EQ(scalar("SELECT count(*) || ' ' || count(DISTINCT id) || ' ' || min(value) || ' ' || "
                     "max(value) FROM t"),
              rows + " " + rows + " " + std::to_string(value) + " " + std::to_string(value));
    expect_nothing_left();
  }
  /// The rows of one part, of one attempt.
  void expect_rows(int64_t value) {
    EXPECT_EQ(scalar("SELECT count(*) || ' ' || min(value) || ' ' || max(value) FROM t"),
              std::to_string(kRows) + " " + std::to_string(value) + " " + std::to_string(value));
    expect_nothing_left();
  }
  void expect_nothing_left() {
    EXPECT_EQ(scalar("SELECT count(*) FROM pg_class WHERE relname LIKE 'pgsink_stage%'"), "0");
    EXPECT_EQ(scalar("SELECT count(*) FROM pg_locks AS l JOIN pg_class AS c ON c.oid = l.relation "
                     "WHERE c.relname = 't'"),
              "0");
    EXPECT_EQ(scalar("SELECT count(*) FROM pg_prepared_xacts"), "0");
  }
};

/// Replaces the table each time, so that the rows of two jobs in it would show.
JobOptions numbered(uint64_t epoch) { return {.epoch = epoch, .host = "h", .replace = true}; }

class JobDeath : public JobTest {
 protected:
  const SinkOptions& driver() const { return GetParam().of_task ? direct_ : proxied_; }
  const SinkOptions& tasks() const { return GetParam().of_task ? proxied_ : direct_; }
};

TEST_P(JobDeath, OfTheProcessLosesAndDoublesNothing) {
  for (int round = 1; round <= rounds(); ++round) {
    const auto epoch = static_cast<uint64_t>(round);
    ASSERT_TRUE(
        kill_before(*proxy_, GetParam().text,
                    [&] { return run_job(driver(), tasks(), numbered(epoch), round).empty(); }))
        << GetParam().name << " was not met";
    // What the driver has sent is still on its way; the next one deals with it.
    EXPECT_EQ(run_job(direct_, numbered(epoch), round), "");
    expect_written(round);
    auto again = Job::open(direct_, schema(), numbered(epoch));
    ASSERT_TRUE(again) << again.error().to_string();
    EXPECT_TRUE((*again)->committed());
  }
}

TEST_P(JobDeath, OfTheConnectionIsRepaired) {
  for (int round = 1; round <= rounds(); ++round) {
    proxy_->call_before(std::string(GetParam().text), [this] {
      sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
          "AND backend_type = 'client backend'");
    });
    // Where open() itself is hit, it fails, and its host opens the job again.
    const std::string failed =
        run_job(driver(), tasks(), numbered(static_cast<uint64_t>(round)), round);
    if (!failed.empty()) {
      EXPECT_EQ(run_job(driver(), tasks(), numbered(static_cast<uint64_t>(round)), round), "")
          << failed;
    }
    // What the driver could not drop any more goes with the next job.
    ASSERT_TRUE(Job::open(direct_, schema(), numbered(static_cast<uint64_t>(round))));
    expect_written(round);
  }
}

TEST_P(JobDeath, OfTheServerFailsTheJobOrCommitsIt) {
  for (int round = 1; round <= rounds(); ++round) {
    const auto epoch = static_cast<uint64_t>(round);
    proxy_->call_before(std::string(GetParam().text),
                        [this] { server_->restart(StopMode::kImmediate); });
    // The staging table is empty after a crash: then nothing is written, and the job runs again.
    const std::string failed = run_job(driver(), tasks(), numbered(epoch), round);
    if (!failed.empty()) {
      const std::string before = scalar("SELECT coalesce(max(value), 0) FROM t");
      EXPECT_EQ(before, std::to_string(round - 1)) << failed;
      EXPECT_EQ(run_job(driver(), tasks(), numbered(epoch), round), "") << failed;
    }
    // A driver that found its epoch committed leaves the staging table to the next one.
    ASSERT_TRUE(Job::open(direct_, schema(), numbered(epoch)));
    expect_written(round);
  }
}

INSTANTIATE_TEST_SUITE_P(Points, JobDeath, ::testing::ValuesIn(kPoints),
                         [](const auto& point) { return std::string(point.param.name); });

TEST_F(JobTest, ALostAnswerToCommitIsLookedUp) {
  auto job = Job::open(proxied_, schema(), {});
  ASSERT_TRUE(job) << job.error().to_string();
  const auto token = write_part(direct_, (*job)->ticket(), 0, 1);
  ASSERT_TRUE(token) << token.error().to_string();
  proxy_->call_before(std::string(kCommit), [this] {
    proxy_->set_rule({.side = WireProxy::Side::kBackend, .type = 'C', .nth = 1});
  });
  const auto report = (*job)->commit(std::vector{*token});
  ASSERT_TRUE(report) << report.error().to_string();
  EXPECT_TRUE(proxy_->fired());
  EXPECT_EQ(scalar("SELECT count(*) FROM t"), std::to_string(kRows));
  EXPECT_EQ(scalar("SELECT epoch FROM pgsink_jobs"), "1");
}

TEST_F(JobTest, ThroughAPoolerInTransactionMode) {
  const PgBouncer pooler(*server_, 2);
  SinkOptions options = direct_;
  options.host = pooler.socket_dir();
  options.port = std::to_string(pooler.port());
  options.write_mode = WriteMode::kUpsert;
  options.conflict_columns = {"id"};
  for (int64_t value = 1; value <= 3; ++value) {
    EXPECT_EQ(run_job(options, {.replace = value == 3}, value), "");
    expect_written(value);
  }
}

TEST_F(JobTest, WhatAPartHoldsIsDroppedByTheNextJob) {
  auto first = Job::open(direct_, schema(), {});
  ASSERT_TRUE(first) << first.error().to_string();
  const std::string stage = scalar("SELECT relname FROM pg_class WHERE relname LIKE 'pgsink_st%'");
  {
    auto holder = open_part(direct_, (*first)->ticket(), 0, schema());
    ASSERT_TRUE(holder) << holder.error().to_string();
    EXPECT_EQ(run_job(direct_, {}, 1), "");
    EXPECT_EQ(scalar("SELECT count(*) FROM pg_class WHERE relname = '" + stage + "'"), "0");
    // The former driver's task cannot go on.
    ASSERT_TRUE((*holder)->write(rows_of(0, 2)));
    EXPECT_FALSE(finish_part(**holder));
  }
  expect_written(1);
}

// ---- attempts of one partition, and drivers -----------------------------------------------------

TEST_F(JobTest, OfTwoAttemptsOneCountsInEveryOrder) {
  for (int order = 0; order < 4; ++order) {
    const bool first_ends_first = order % 2 == 0;
    const int64_t winner = order < 2 ? 1 : 2;
    auto job = Job::open(direct_, schema(), {.replace = true});
    ASSERT_TRUE(job) << job.error().to_string();
    auto first = open_part(direct_, (*job)->ticket(), 0, schema());
    auto second = open_part(direct_, (*job)->ticket(), 0, schema());
    ASSERT_TRUE(first && second);
    ASSERT_TRUE((*first)->write(rows_of(0, 1)));
    ASSERT_TRUE((*second)->write(rows_of(0, 2)));
    Sink& earlier = first_ends_first ? **first : **second;
    Sink& later = first_ends_first ? **second : **first;
    const auto of_earlier = finish_part(earlier), of_later = finish_part(later);
    ASSERT_TRUE(of_earlier && of_later);
    const std::string& token = first_ends_first == (winner == 1) ? *of_earlier : *of_later;
    EXPECT_FALSE((*job)->commit(std::vector{*of_earlier, *of_later}));
    // A token that comes twice is one part.
    const auto report = (*job)->commit(std::vector{token, token});
    ASSERT_TRUE(report) << report.error().to_string();
    EXPECT_EQ(report->rows, static_cast<uint64_t>(kRows));
    expect_rows(winner);
  }
}

TEST_F(JobTest, WhatAnAttemptStagesAfterTheCommitIsNeverSelected) {
  auto job = Job::open(direct_, schema(), {});
  ASSERT_TRUE(job) << job.error().to_string();
  auto late = open_part(direct_, (*job)->ticket(), 0, schema());
  ASSERT_TRUE(late) << late.error().to_string();
  const auto token = write_part(direct_, (*job)->ticket(), 0, 1);
  ASSERT_TRUE(token);
  ASSERT_TRUE((*job)->commit(std::vector{*token}));
  std::ignore = (*late)->write(rows_of(0, 2));
  const auto too_late = finish_part(**late);
  if (too_late) {
    EXPECT_TRUE((*job)->commit(std::vector{*too_late})->repeated);
  }
  late->reset();
  ASSERT_TRUE(Job::open(direct_, schema(), {.epoch = 1}));
  expect_rows(1);
}

TEST_F(JobTest, TheLaterOfTwoDriversCommits) {
  for (const bool former_first : {true, false}) {
    sql("TRUNCATE t");
    auto former = Job::open(direct_, schema(), {});
    auto newer = Job::open(direct_, schema(), {});
    ASSERT_TRUE(former && newer);
    const auto token = write_part(direct_, (*newer)->ticket(), 0, 1);
    ASSERT_TRUE(token) << token.error().to_string();
    const auto commit_former = [&] {
      const auto late = (*former)->commit({});
      ASSERT_FALSE(late);
      EXPECT_THAT(late.error().code, ::testing::AnyOf(Errc::kFenced, Errc::kOutcomeUnknown));
    };
    if (former_first) commit_former();
    ASSERT_TRUE((*newer)->commit(std::vector{*token}));
    commit_former();
    expect_rows(1);
  }
}

TEST_F(JobTest, RefusesPartsThatLackColumns) {
  auto job = Job::open(direct_, schema(), {});
  ASSERT_TRUE(job) << job.error().to_string();
  const auto ids = batch_of(std::vector<JobInput>{}, column("id", &JobInput::id)).schema();
  const auto lacking = open_part(direct_, (*job)->ticket(), 0, ids);
  ASSERT_FALSE(lacking);
  EXPECT_THAT(lacking.error().message, HasSubstr("\"value\""));
  const auto more = batch_of(std::vector<JobInput>{}, column("id", &JobInput::id),
                             column("value", &JobInput::value), column("other", &JobInput::value))
                        .schema();
  const auto unknown = open_part(direct_, (*job)->ticket(), 0, more);
  ASSERT_FALSE(unknown);
  EXPECT_THAT(unknown.error().message, HasSubstr("\"other\""));
  auto sink = Sink::open(direct_, schema());
  ASSERT_TRUE(sink);
  EXPECT_EQ(finish_part(**sink).error().code, Errc::kUsage);
}

}  // namespace
}  // namespace pgsink::test
