// Two-phase jobs: what is left of them when a driver, a task or the server dies at any point;
// attempts of one partition in every order; and what is refused.

#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include <pgsink/batch_of.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sink/job_support.h"
#include "support/patience.h"
#include "support/pgbouncer.h"

namespace pgsink::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

JobOptions numbered(uint64_t epoch) {
  return {.epoch = epoch, .host = "h", .atomic = Atomic::kTwoPhase};
}

/// A driver with its tasks. Two attempts of partition 0 prepare their rows, and one of them counts.
std::string run_job(const SinkOptions& driver, const SinkOptions& tasks, uint64_t epoch) {
  const auto value = static_cast<int64_t>(epoch);
  auto job = Job::open(driver, schema(), numbered(epoch));
  if (!job) return job.error().to_string();
  auto twin = open_part(tasks, (*job)->ticket(), 0, schema());
  if (!twin) return twin.error().to_string();
  std::vector<std::string> tokens;
  for (uint32_t partition = 0; partition < kParts; ++partition) {
    auto token = write_part(tasks, (*job)->ticket(), partition, value);
    if (!token) return token.error().to_string();
    tokens.push_back(*token);
  }
  if (auto written = (*twin)->write(rows_of(0, value)); !written) {
    return written.error().to_string();
  }
  auto token = finish_part(**twin);
  if (!token) return token.error().to_string();
  if (epoch % 2 == 0) tokens[0] = *token;
  const auto report = (*job)->commit(tokens);
  return report ? "" : report.error().to_string();
}

constexpr Point kPoints[] = {
    {"claim", false, "INSERT INTO \"public\".pgsink_jobs"},
    {"former_sessions", false, "l.locktype = 'advisory'"},
    {"former_parts", false, "starts_with(p.gid"},
    {"task_reads_row", true, "FROM \"public\".pgsink_jobs AS j WHERE"},
    {"task_looks_for_other", true, "starts_with(p.gid"},
    {"task_begins", true, "pg_advisory_xact_lock_shared"},
    {"task_prepares", true, "PREPARE TRANSACTION"},
    {"lock", false, "FOR UPDATE"},
    {"check", false, "p.gid OPERATOR(pg_catalog.=) ANY"},
    {"decide", false, "SET epoch = "},
    {"commit", false, kCommit},
    {"commit_prepared", false, "COMMIT PREPARED"},
    {"settled", false, "SET prepared = "},
    {"losers", false, "ROLLBACK PREPARED"},
};

class TwoPhaseJob : public JobFixture {
 protected:
  void SetUp() override {
    JobFixture::SetUp();
    // Without it, rows that are written twice would be errors.
    sql("ALTER TABLE t DROP CONSTRAINT t_pkey");
    for (SinkOptions* options : {&direct_, &proxied_}) options->lock_timeout_ms = 200;
  }

  /// Every row of each job once; no prepared transaction, no lock, no session of a part.
  void expect_written(uint64_t jobs) {
    const uint64_t rows = jobs * kParts * static_cast<uint64_t>(kRows);
    EXPECT_EQ(scalar("SELECT count(*) || ' ' || count(DISTINCT (id, value)) FROM t"),
              std::to_string(rows) + " " + std::to_string(rows));
    expect_nothing_left();
  }
  void expect_nothing_left() {
    EXPECT_EQ(prepared(), "0");
    EXPECT_EQ(scalar("SELECT count(*) FROM pg_locks AS l LEFT JOIN pg_class AS c ON c.oid = "
                     "l.relation WHERE c.relname = 't' OR l.locktype = 'advisory'"),
              "0");
    EXPECT_EQ(scalar("SELECT count(*) FROM pgsink_jobs WHERE cardinality(prepared) > 0"), "0");
  }
  std::string prepared() { return scalar("SELECT count(*) FROM pg_prepared_xacts"); }
  std::string count() { return scalar("SELECT count(*) FROM t"); }

  std::unique_ptr<Job> open(uint64_t epoch = 0) {
    auto job = Job::open(direct_, schema(), {.epoch = epoch, .atomic = Atomic::kTwoPhase});
    if (!job) throw std::runtime_error(job.error().to_string());
    return *std::move(job);
  }
  std::unique_ptr<Sink> begin(const Job& job, uint32_t partition) {
    auto part = open_part(direct_, job.ticket(), partition, schema());
    if (!part) throw std::runtime_error(part.error().to_string());
    return *std::move(part);
  }
  static std::string finish(Sink& part) {
    auto token = finish_part(part);
    if (!token) throw std::runtime_error(token.error().to_string());
    return *token;
  }
  Error refused(const SinkOptions& options, JobOptions job = {.atomic = Atomic::kTwoPhase}) {
    const auto opened = Job::open(options, schema(), job);
    return opened ? Error{} : opened.error();
  }
};

class TwoPhaseJobDeath : public TwoPhaseJob {
 protected:
  const SinkOptions& driver() const { return GetParam().of_task ? direct_ : proxied_; }
  const SinkOptions& tasks() const { return GetParam().of_task ? proxied_ : direct_; }
  std::string run(uint64_t epoch) { return run_job(driver(), tasks(), epoch); }
  void run_again(uint64_t epoch, const std::string& before) {
    EXPECT_EQ(run_job(direct_, direct_, epoch), "") << before;
    expect_written(epoch);
    auto again = Job::open(direct_, schema(), numbered(epoch));
    ASSERT_TRUE(again) << again.error().to_string();
    EXPECT_TRUE((*again)->committed());
  }
};

TEST_P(TwoPhaseJobDeath, OfTheProcessLosesAndDoublesNothing) {
  for (uint64_t epoch = 1; epoch <= static_cast<uint64_t>(rounds()); ++epoch) {
    ASSERT_TRUE(kill_before(*proxy_, GetParam().text, [&] { return run(epoch).empty(); }))
        << GetParam().name << " was not met";
    // What the dead have sent is still on its way; the next driver deals with it.
    run_again(epoch, "");
  }
}

TEST_P(TwoPhaseJobDeath, OfTheConnectionIsRepaired) {
  for (uint64_t epoch = 1; epoch <= static_cast<uint64_t>(rounds()); ++epoch) {
    proxy_->call_before(std::string(GetParam().text), [this] {
      sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
          "AND backend_type = 'client backend'");
    });
    const std::string failed = run(epoch);
    if (failed.empty()) {
      expect_written(epoch);
    } else {
      run_again(epoch, failed);
    }
  }
}

TEST_P(TwoPhaseJobDeath, OfTheServerKeepsWhatIsPrepared) {
  for (uint64_t epoch = 1; epoch <= static_cast<uint64_t>(rounds()); ++epoch) {
    proxy_->call_before(std::string(GetParam().text),
                        [this] { server_->restart(StopMode::kImmediate); });
    const std::string failed = run(epoch);
    run_again(epoch, failed);
  }
}

INSTANTIATE_TEST_SUITE_P(Points, TwoPhaseJobDeath, ::testing::ValuesIn(kPoints),
                         [](const auto& point) { return std::string(point.param.name); });

// ---- attempts of one partition ------------------------------------------------------------------

TEST_F(TwoPhaseJob, NothingIsSeenBeforeTheCommit) {
  const auto job = open();
  const auto first = write_part(direct_, job->ticket(), 0, 1);
  const auto second = write_part(direct_, job->ticket(), 1, 1);
  ASSERT_TRUE(first && second);
  EXPECT_EQ(prepared(), "2");
  EXPECT_EQ(count(), "0");
  auto empty = begin(*job, 2);
  const auto report = job->commit(std::vector{*first, *second, finish(*empty)});
  ASSERT_TRUE(report) << report.error().to_string();
  EXPECT_EQ(report->rows, static_cast<uint64_t>(2 * kRows));
  EXPECT_EQ(count(), std::to_string(2 * kRows));
  expect_nothing_left();
  const auto again = job->commit(std::vector{*first, *second});
  ASSERT_TRUE(again);
  EXPECT_TRUE(again->repeated);
}

TEST_F(TwoPhaseJob, ASecondAttemptTakesWhatTheFirstHasPrepared) {
  sql("ALTER TABLE t ADD PRIMARY KEY (id)");
  const auto job = open();
  const auto first = write_part(direct_, job->ticket(), 0, 1);
  const auto second = write_part(direct_, job->ticket(), 0, 1);
  ASSERT_TRUE(first) << first.error().to_string();
  ASSERT_TRUE(second) << second.error().to_string();
  EXPECT_EQ(*first, *second);
  EXPECT_TRUE(job->commit(std::vector{*second}));
  EXPECT_EQ(count(), std::to_string(kRows));
  expect_nothing_left();
}

TEST_F(TwoPhaseJob, AnAttemptThatWaitsForAnotherTakesItsRows) {
  sql("ALTER TABLE t ADD PRIMARY KEY (id)");
  direct_.max_retries = 1;
  const auto job = open();
  auto first = begin(*job, 0);
  auto second = begin(*job, 0);
  ASSERT_TRUE(first->write(rows_of(0, 1)));
  const std::string token = finish(*first);
  ASSERT_TRUE(second->write(rows_of(0, 1)));
  EXPECT_EQ(finish(*second), token);
  EXPECT_TRUE(job->commit(std::vector{token}));
  EXPECT_EQ(count(), std::to_string(kRows));
  expect_nothing_left();
}

TEST_F(TwoPhaseJob, AnAttemptThatDiesLeavesItsKeysToTheNext) {
  sql("ALTER TABLE t ADD PRIMARY KEY (id)");
  const auto job = open();
  auto dead = begin(*job, 0);
  ASSERT_TRUE(dead->write(rows_of(0, 1)));
  dead.reset();
  const auto token = write_part(direct_, job->ticket(), 0, 2);
  ASSERT_TRUE(token) << token.error().to_string();
  EXPECT_TRUE(job->commit(std::vector{*token}));
  EXPECT_EQ(scalar("SELECT count(*) FROM t WHERE value = 2"), std::to_string(kRows));
  expect_nothing_left();
}

TEST_F(TwoPhaseJob, AttemptsThatDoNotCountAreRolledBack) {
  for (const size_t winner : {size_t{0}, size_t{1}}) {
    const auto job = open();
    auto first = begin(*job, 0);
    auto second = begin(*job, 0);
    ASSERT_TRUE(second->write(rows_of(0, 2)));
    const std::string of_second = finish(*second);
    ASSERT_TRUE(first->write(rows_of(0, 1)));
    const std::vector<std::string> tokens{finish(*first), of_second};
    EXPECT_EQ(prepared(), "2");
    const auto both = job->commit(tokens);
    ASSERT_FALSE(both);
    EXPECT_THAT(both.error().message, HasSubstr("two parts of partition 0"));
    ASSERT_TRUE(job->commit(std::vector{tokens[winner]}));
    EXPECT_EQ(scalar("SELECT count(*) FROM t WHERE value = " + std::to_string(winner + 1)),
              std::to_string(kRows));
    expect_nothing_left();
  }
}

TEST_F(TwoPhaseJob, AnAttemptThatGoesOnAfterTheCommitWritesNothing) {
  const auto job = open();
  auto idle = begin(*job, 0);    // Its transaction begins after the commit.
  auto writes = begin(*job, 0);  // Its transaction is open then.
  ASSERT_TRUE(writes->write(rows_of(0, 9)));
  ASSERT_TRUE(eventually([&] {
    return scalar("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted") == "1";
  }));
  const auto token = write_part(direct_, job->ticket(), 0, 1);
  ASSERT_TRUE(token) << token.error().to_string();
  ASSERT_TRUE(job->commit(std::vector{*token}));
  std::ignore = idle->write(rows_of(0, 9));
  const auto late = finish_part(*idle);
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, Errc::kFenced) << late.error().to_string();
  EXPECT_FALSE(finish_part(*writes));
  const auto later = open_part(direct_, job->ticket(), 0, schema());
  ASSERT_FALSE(later);
  EXPECT_EQ(later.error().code, Errc::kFenced);
  idle.reset();
  writes.reset();
  EXPECT_EQ(count(), std::to_string(kRows));
  expect_nothing_left();
}

TEST_F(TwoPhaseJob, ASecondDriverEndsTheFirst) {
  const auto first = open();
  const auto token = write_part(direct_, first->ticket(), 0, 1);
  ASSERT_TRUE(token);
  auto writes = begin(*first, 1);
  ASSERT_TRUE(writes->write(rows_of(1, 1)));
  const auto second = open();
  EXPECT_EQ(prepared(), "0");
  const auto late = first->commit(std::vector{*token});
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, Errc::kFenced);
  EXPECT_FALSE(finish_part(*writes));
  writes.reset();
  const auto newer = write_part(direct_, second->ticket(), 0, 2);
  ASSERT_TRUE(newer) << newer.error().to_string();
  ASSERT_TRUE(second->commit(std::vector{*newer}));
  EXPECT_EQ(scalar("SELECT count(*) FROM t WHERE value = 2"), count());
  expect_nothing_left();
}

TEST_F(TwoPhaseJob, AnAbortedJobLeavesNothing) {
  const auto job = open();
  const auto token = write_part(direct_, job->ticket(), 0, 1);
  ASSERT_TRUE(token);
  auto writes = begin(*job, 1);
  ASSERT_TRUE(writes->write(rows_of(1, 1)));
  ASSERT_TRUE(job->abort());
  EXPECT_EQ(prepared(), "0");
  EXPECT_FALSE(finish_part(*writes));
  writes.reset();
  const auto late = job->commit(std::vector{*token});
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, Errc::kRolledBack);
  EXPECT_EQ(count(), "0");
  expect_nothing_left();
}

TEST_F(TwoPhaseJob, APartThatWasRolledBackByHandFailsTheJob) {
  const auto job = open();
  const auto token = write_part(direct_, job->ticket(), 0, 1);
  const auto other = write_part(direct_, job->ticket(), 1, 1);
  ASSERT_TRUE(token && other);
  sql("ROLLBACK PREPARED '" + scalar("SELECT gid FROM pg_prepared_xacts LIMIT 1") + "'");
  const auto report = job->commit(std::vector{*token, *other});
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code, Errc::kRolledBack);
  EXPECT_THAT(report.error().message, HasSubstr("prepared 2 transactions, and 1 are there"));
  ASSERT_TRUE(job->abort());
  EXPECT_EQ(count(), "0");
  expect_nothing_left();
}

TEST_F(TwoPhaseJob, RejectedRowsBecomeDeadLettersOfTheCommit) {
  sql("ALTER TABLE t ALTER COLUMN value TYPE smallint");
  direct_.dead_letter_table = "rejected";
  const auto job = open();
  auto part = begin(*job, 0);
  std::vector<JobInput> rows{{1, 1}, {2, 1'000'000}, {3, 3}};
  ASSERT_TRUE(part->write(
      batch_of(std::move(rows), column("id", &JobInput::id), column("value", &JobInput::value))));
  const std::string token = finish(*part);
  EXPECT_EQ(scalar("SELECT count(*) FROM rejected"), "0");
  const auto report = job->commit(std::vector{token});
  ASSERT_TRUE(report) << report.error().to_string();
  EXPECT_EQ(report->rows, 2U);
  EXPECT_EQ(report->rejected, 1U);
  EXPECT_EQ(count(), "2");
  EXPECT_EQ(scalar("SELECT count(*) FROM rejected"), "1");
}

// ---- what is refused ----------------------------------------------------------------------------

TEST_F(TwoPhaseJob, RefusesWhatCouldWaitForever) {
  SinkOptions upsert = direct_;
  upsert.write_mode = WriteMode::kUpsert;
  upsert.conflict_columns = {"id"};
  EXPECT_THAT(refused(upsert).message, HasSubstr("only for write_mode = 'insert'"));
  SinkOptions ignores = direct_;
  ignores.write_mode = WriteMode::kInsertIgnore;
  EXPECT_THAT(refused(ignores).message, HasSubstr("only for write_mode = 'insert'"));
  SinkOptions lanes = direct_;
  lanes.parallelism = 2;
  EXPECT_THAT(refused(lanes).message, AllOf(HasSubstr("2pc"), HasSubstr("parallelism")));
  SinkOptions isolated = direct_;
  isolated.isolation_level = IsolationLevel::kSerializable;
  EXPECT_THAT(refused(isolated).message, HasSubstr("isolation_level"));
  EXPECT_THAT(refused(direct_, {.atomic = Atomic::kTwoPhase, .replace = true}).message,
              HasSubstr("replace"));
}

TEST_F(TwoPhaseJob, RefusesAPooler) {
  const PgBouncer pooler(*server_, 2);
  SinkOptions options = direct_;
  options.host = pooler.socket_dir();
  options.port = std::to_string(pooler.port());
  EXPECT_THAT(refused(options).message, HasSubstr("connection pooler"));
}

TEST_F(TwoPhaseJob, RefusesAServerWithoutPreparedTransactions) {
  server_->configure({{"max_prepared_transactions", "0"}});
  server_->restart();
  const Error none = refused(direct_);
  EXPECT_EQ(none.code, Errc::kCannotPrepare);
  EXPECT_THAT(none.message, HasSubstr("max_prepared_transactions = 0"));
}

TEST_F(TwoPhaseJob, TellsThatTheServerHasTooFewSlots) {
  server_->configure({{"max_prepared_transactions", "1"}});
  server_->restart();
  const auto job = open();
  ASSERT_TRUE(write_part(direct_, job->ticket(), 0, 1));
  const auto second = write_part(direct_, job->ticket(), 1, 1);
  ASSERT_FALSE(second);
  EXPECT_THAT(second.error().to_string(), HasSubstr("raise max_prepared_transactions"));
  ASSERT_TRUE(job->abort());
  expect_nothing_left();
}

}  // namespace
}  // namespace pgsink::test
