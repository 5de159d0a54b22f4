// Loads that are run again: under exactly_once and use_2pc a script goes on after the rows that
// earlier runs delivered, and proves first that they are the same.

#include <atomic>
#include <chrono>
#include <csignal>
#include <functional>
#include <sstream>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "shell/shell_support.h"

namespace pgsink::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

constexpr const char* kExactlyOnce = "delivery = 'exactly_once', sink_id = 'load'";
constexpr const char* kTwoPhase = "use_2pc = true, sink_id = 'load'";
constexpr const char* kTwoPhaseUnnamed = "use_2pc = true";

std::string server_says(const std::string& sql) {
  return analytics_server().scalar(sql, "analytics");
}

/// Runs a script and kills it as soon as `when` holds. It may have ended before.
Captured run_and_kill(const std::string& script, const std::function<bool()>& when) {
  std::atomic<pid_t> pid = 0;
  std::atomic<bool> ended = false;
  std::thread killer([&] {
    while (!ended && (pid == 0 || !when()))
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    if (!ended) kill(pid, SIGKILL);
  });
  RunOptions options;
  options.watch = [&](pid_t running, const std::string&) { pid = running; };
  const Captured run = pgsink_input(script, {}, options);
  ended = true;
  killer.join();
  return run;
}

class Resume : public testing::Test {
 protected:
  void SetUp() override {
    create_table("loaded", "(id bigint, v bigint)");
    analytics_server().sql("DROP TABLE IF EXISTS pgsink_epochs, pgsink_writers, pgsink_decisions",
                           "analytics");
  }
  void TearDown() override {
    EXPECT_EQ(server_says("SELECT count(*) FROM pg_prepared_xacts"), "0");
    analytics_server().sql("DROP TABLE IF EXISTS pgsink_epochs, pgsink_writers, pgsink_decisions",
                           "analytics");
  }

  /// A file with rows begin … end - 1 of (id, id * factor).
  std::string file(const std::string& name, int begin, int end, int factor = 3) const {
    std::ostringstream text;
    text << "id,v\n";
    for (int id = begin; id < end; ++id) text << id << ',' << id * factor << '\n';
    return folder_.write(name, text.str());
  }
  static std::string load(const std::string& options, const std::string& query,
                          const std::string& before = "") {
    return before + connection("loaded_sink", "loaded", options) + "INSERT INTO loaded_sink " +
           query + ";";
  }
  static std::string read(const std::string& path) {
    return "SELECT id, v FROM read_csv('" + path + "')";
  }
  static std::string rows() {
    return server_says("SELECT count(*) || ' ' || count(DISTINCT id) FROM loaded");
  }

  TemporaryFolder folder_;
};

// ---- killed ------------------------------------------------------------------------------------

struct Unordered {
  const char* name;
  const char* query;  ///< Over the table of rows `big` (id, v).
};

class ResumeUnordered : public Resume,
                        public testing::WithParamInterface<std::tuple<Unordered, int>> {};

TEST_P(ResumeUnordered, LoadThatIsKilledGoesOnWithoutLosingOrDoublingRows) {
  const auto& [unordered, threads] = GetParam();
  const std::string big = folder_.path() + "/big.parquet";
  ASSERT_EQ(pgsink({"-c",
                    "COPY (SELECT range AS id, CAST(hash(range) % 1000 AS BIGINT) AS v FROM "
                    "range(400000)) TO '" +
                        big + "'"})
                .exit_code,
            0);
  std::string query = unordered.query;
  for (size_t at = 0; (at = query.find("BIG", at)) != std::string::npos;) {
    query.replace(at, 3, "read_parquet('" + big + "')");
  }
  const std::string script =
      load(std::string(kExactlyOnce) + ", batch_size = 2000, buffer_bytes = 4194304", query,
           "SET threads = " + std::to_string(threads) + ";");
  run_and_kill(script, [] { return server_says("SELECT count(*) FROM loaded") > "1"; });
  const auto again = pgsink_input(script);
  EXPECT_EQ(again.exit_code, 0) << again.err;
  EXPECT_EQ(rows(), "200000 200000");
}

INSTANTIATE_TEST_SUITE_P(
    Queries, ResumeUnordered,
    testing::Combine(
        testing::Values(
            Unordered{"Join",
                      "SELECT a.id, a.v FROM BIG a JOIN range(0, 400000, 2) r "
                      "ON a.id = r.range"},
            Unordered{"Distinct", "SELECT DISTINCT id // 2 AS id, 1 AS v FROM BIG"},
            Unordered{"Aggregate", "SELECT id % 200000 AS id, sum(v) AS v FROM BIG GROUP BY 1"},
            Unordered{"Window",
                      "SELECT id, row_number() OVER (PARTITION BY id % 7) AS v FROM BIG "
                      "WHERE id < 200000"},
            Unordered{"Ties", "SELECT id, v FROM BIG WHERE id < 200000 ORDER BY v"},
            Unordered{"Scan", "SELECT id, v FROM BIG WHERE id % 2 = 0"}),
        testing::Values(1, 2, 4)),
    [](const auto& instance) {
      return std::string(std::get<0>(instance.param).name) +
             std::to_string(std::get<1>(instance.param)) + "Threads";
    });

TEST_F(Resume, EngineHasItsThreadsBackAfterAQueryThatNeededOne) {
  const auto run = pgsink_input(
      load(kExactlyOnce, "SELECT DISTINCT range AS id, 1 AS v FROM range(10)", "SET threads = 3;") +
          "SELECT current_setting('threads') AS threads;",
      {"--format", "csv"});
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(run.out, "threads\n3\n");
  EXPECT_THAT(run.err, HasSubstr("runs in one thread"));
}

TEST_F(Resume, ManyLanesThatAreKilledGoOnEachWhereItWas) {
  const std::string big = file("big.csv", 0, 120000);
  const std::string script = load(
      std::string(kExactlyOnce) +
          ", batch_size = 500, buffer_bytes = 4194304, parallelism = 4, partition_by = 'hash(id)'",
      read(big));
  run_and_kill(script, [] { return server_says("SELECT count(*) > 2000 FROM loaded") == "t"; });
  const auto again = pgsink_input(script);
  EXPECT_EQ(again.exit_code, 0) << again.err;
  EXPECT_EQ(rows(), "120000 120000");
  EXPECT_THAT(pgsink_input(script).err, HasSubstr("0 rows, all 120,000 rows delivered before"));
  EXPECT_EQ(rows(), "120000 120000");
}

TEST_F(Resume, TwoPhaseLoadThatIsKilledNearItsEndIsNotDoubled) {
  for (const char* delivery : {kTwoPhase, kTwoPhaseUnnamed}) {
    for (int round = 0; round < 5; ++round) {
      SetUp();
      const std::string script = load(std::string(delivery) +
                                          ", transaction_size = 1000, batch_size = 1000, "
                                          "parallelism = 2",
                                      "SELECT range AS id, range % 7 AS v FROM range(20000)");
      const auto killed = run_and_kill(script, [] {
        return server_says("SELECT to_regclass('pgsink_decisions') IS NOT NULL") == "t" &&
               server_says("SELECT count(*) > 0 FROM pgsink_decisions WHERE decided") == "t";
      });
      // Without a sink_id what has reported its end is another load.
      const bool reported = killed.err.find("20,000 rows") != std::string::npos;
      if (reported && delivery == kTwoPhaseUnnamed) continue;
      const auto again = pgsink_input(script);
      EXPECT_EQ(again.exit_code, 0) << again.err;
      EXPECT_EQ(rows(), "20000 20000") << delivery << ", killed with " << killed.exit_code;
    }
  }
}

// ---- the same load again -----------------------------------------------------------------------

class ResumeDelivery : public Resume, public testing::WithParamInterface<const char*> {};
INSTANTIATE_TEST_SUITE_P(Deliveries, ResumeDelivery, testing::Values(kExactlyOnce, kTwoPhase),
                         [](const auto& instance) {
                           return instance.param == kTwoPhase ? "TwoPhase" : "ExactlyOnce";
                         });

TEST_P(ResumeDelivery, FinishedLoadWritesNothingAndSaysSo) {
  const std::string script = load(GetParam(), read(file("a.csv", 0, 5000)));
  const auto first = pgsink_input(script);
  ASSERT_EQ(first.exit_code, 0) << first.err;
  EXPECT_THAT(first.err, AllOf(HasSubstr("5,000 rows"), Not(HasSubstr("delivered before"))));
  const auto again = pgsink_input(script);
  EXPECT_EQ(again.exit_code, 0) << again.err;
  EXPECT_THAT(again.err, HasSubstr("0 rows, all 5,000 rows delivered before"));
  EXPECT_EQ(rows(), "5000 5000");
}

TEST_P(ResumeDelivery, InputThatHasGrownGoesOnWithTheNewRows) {
  ASSERT_EQ(pgsink_input(load(GetParam(), read(file("a.csv", 0, 5000)))).exit_code, 0);
  const auto grown = pgsink_input(load(GetParam(), read(file("a.csv", 0, 5001))));
  EXPECT_EQ(grown.exit_code, 0) << grown.err;
  EXPECT_THAT(grown.err, HasSubstr("1 row, 5,000 rows delivered before"));
  EXPECT_EQ(rows(), "5001 5001");
}

// The position of the first run is in the middle of a chunk of the engine.
TEST_P(ResumeDelivery, RowsOfEveryShapeAreCutWhereTheFirstRunEnded) {
  create_table("loaded", "(id bigint, l bigint[], b boolean[], j jsonb, t text, i interval)");
  const auto script = [](const std::string& rows) {
    return load(GetParam(),
                "SELECT range AS id, [range, NULL, range * 2] AS l, [range % 2 = 0, NULL] AS b, "
                "{'a': [range], 's': 'x' || range} AS j, repeat('é', CAST(range % 30 AS INT)) AS t,"
                " to_microseconds(range) AS i FROM range(" +
                    rows + ")");
  };
  for (const char* count : {"1000", "1001", "3500", "6000"}) {
    const auto run = pgsink_input(script(count));
    ASSERT_EQ(run.exit_code, 0) << run.err;
    EXPECT_EQ(server_says("SELECT count(*) FROM loaded WHERE l = ARRAY[id, NULL, id * 2] AND b = "
                          "ARRAY[id % 2 = 0, NULL] AND j = jsonb_build_object('a', "
                          "jsonb_build_array(id), 's', 'x' || id) AND t = repeat('é', (id % "
                          "30)::int) AND i = id * interval '1 microsecond'"),
              count);
    EXPECT_EQ(rows(), std::string(count) + " " + count);
  }
}

/// What must not be gone on with, and what the message says of it.
void expect_refused(const Captured& run, const std::string& why) {
  EXPECT_EQ(run.exit_code, 1) << run.err;
  EXPECT_THAT(run.err, AllOf(HasSubstr("error[PGS-6007]"), HasSubstr(why), HasSubstr("sink_id"),
                             HasSubstr("DELETE FROM public.pgsink_")));
}

TEST_P(ResumeDelivery, OtherRowsAreRefused) {
  const std::string a = file("a.csv", 0, 5000);
  ASSERT_EQ(pgsink_input(load(GetParam(), read(a))).exit_code, 0);
  const std::string others = "the first 5,000 rows of this query are different";
  expect_refused(pgsink_input(load(GetParam(), read(file("shorter.csv", 0, 4999)))),
                 "this query has only 4,999");
  expect_refused(pgsink_input(load(GetParam(), read(file("b.csv", 0, 9000, 4)))), others);
  expect_refused(pgsink_input(load(GetParam(), "SELECT id, v FROM read_csv('" + a +
                                                   "') WHERE id <> 17 UNION ALL SELECT 17, 51")),
                 others);
  // The values are the same, but they go into other columns.
  ASSERT_EQ(pgsink_input(load(GetParam(), "SELECT v, id FROM read_csv('" + a + "')")).exit_code, 0);
  expect_refused(
      pgsink_input(load(GetParam(), "SELECT v AS id, id AS v FROM read_csv('" + a + "')")), others);
  expect_refused(pgsink_input(load(GetParam(),
                                   "SELECT id, CASE WHEN id = 4999 THEN NULL ELSE v "
                                   "END AS v FROM read_csv('" +
                                       a + "')")),
                 others);
  EXPECT_EQ(rows(), "5000 5000");
}

TEST_P(ResumeDelivery, SecondLoadOfOneSinkIdIsRefused) {
  const auto run = pgsink_input(load(GetParam(), "VALUES (1, 1), (2, 2), (3, 3)") +
                                "INSERT INTO loaded_sink VALUES (4, 4), (5, 5);");
  expect_refused(run, "has delivered 3 rows of an earlier run, and this query has only 2");
  EXPECT_EQ(rows(), "3 3");
  const auto other =
      pgsink_input(load("delivery = 'exactly_once', sink_id = 'tuesday'", "VALUES (4, 4), (5, 5)"));
  EXPECT_EQ(other.exit_code, 0) << other.err;
  EXPECT_EQ(rows(), "5 5");
}

TEST_P(ResumeDelivery, TableThatWasMadeAgainIsRefused) {
  const std::string script = load(GetParam(), read(file("a.csv", 0, 100)));
  ASSERT_EQ(pgsink_input(script).exit_code, 0);
  create_table("loaded", "(id bigint, v bigint)");
  const auto refused = pgsink_input(script);
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.err, AllOf(HasSubstr("error[PGS-6007]"), HasSubstr("dropped and created"),
                                 HasSubstr("DELETE FROM"), HasSubstr("UPDATE")));
  // Both ways out that the message names lead out.
  const std::string control = GetParam() == kTwoPhase ? "pgsink_writers" : "pgsink_epochs";
  analytics_server().sql("UPDATE " + control + " SET table_oid = 'loaded'::regclass", "analytics");
  EXPECT_THAT(pgsink_input(script).err, HasSubstr("all 100 rows delivered before"));
  create_table("loaded", "(id bigint, v bigint)");
  analytics_server().sql("DELETE FROM " + control + " WHERE sink_id = 'load'", "analytics");
  EXPECT_EQ(pgsink_input(script).exit_code, 0);
  EXPECT_EQ(rows(), "100 100");
}

TEST_P(ResumeDelivery, TablesOfAnEarlierVersionAreUpgraded) {
  analytics_server().sql(
      "SET ROLE \"user\"; CREATE TABLE pgsink_epochs (sink_id text NOT NULL, lane integer NOT "
      "NULL, epoch bigint NOT NULL, host_position numeric(20,0) NOT NULL, writer text NOT NULL, "
      "writer_name text NOT NULL, updated_at timestamptz NOT NULL, PRIMARY KEY (sink_id, lane)) "
      "WITH (fillfactor = 10); CREATE TABLE pgsink_writers (sink_id text NOT NULL, generation "
      "bigint NOT NULL, epoch numeric(20,0) NOT NULL, host_position numeric(20,0) NOT NULL, "
      "gid_prefixes text[] NOT NULL, writer_name text NOT NULL, claimed_at timestamptz NOT NULL, "
      "PRIMARY KEY (sink_id)); CREATE TABLE pgsink_decisions (sink_id text NOT NULL, epoch "
      "numeric(20,0) NOT NULL, host_position numeric(20,0) NOT NULL, decided boolean NOT NULL, "
      "gids text[] NOT NULL, recorded_at timestamptz NOT NULL, PRIMARY KEY (sink_id, epoch)); "
      "INSERT INTO pgsink_epochs VALUES ('old', 0, 3, 50, 'w', 'w', now()); INSERT INTO "
      "pgsink_writers VALUES ('old', 3, 3, 50, '{}', 'w', now())",
      "analytics");
  const std::string a = file("a.csv", 0, 100);
  EXPECT_EQ(pgsink_input(load(GetParam(), read(a))).exit_code, 0);
  EXPECT_THAT(pgsink_input(load(GetParam(), read(a))).err,
              HasSubstr("all 100 rows delivered before"));
  // What that version delivered has no proof.
  std::string old = GetParam();
  old.replace(old.find("'load'"), 6, "'old'");
  expect_refused(pgsink_input(load(old, read(a))), "an earlier version of pgsink");
  EXPECT_EQ(rows(), "100 100");
}

// ---- lanes -------------------------------------------------------------------------------------

TEST_F(Resume, OtherLanesAreRefused) {
  const std::string a = read(file("a.csv", 0, 3000));
  const auto lanes = [&](const std::string& more) {
    return load(std::string(kExactlyOnce) + ", " + more, a);
  };
  ASSERT_EQ(pgsink_input(lanes("parallelism = 2, partition_by = 'hash(id)'")).exit_code, 0);
  const auto other = pgsink_input(lanes("parallelism = 2, partition_by = 'hash(v)'"));
  EXPECT_EQ(other.exit_code, 1);
  EXPECT_THAT(other.err, AllOf(HasSubstr("error[PGS-1005]"), HasSubstr("partition_by"),
                               HasSubstr("hash(id bigint)"), HasSubstr("hash(v bigint)")));
  const auto more = pgsink_input(lanes("parallelism = 3, partition_by = 'hash(id)'"));
  EXPECT_THAT(more.err, AllOf(HasSubstr("error[PGS-1005]"), HasSubstr("parallelism")));
  EXPECT_EQ(rows(), "3000 3000");
}

TEST_F(Resume, RowsBetweenThePositionsOfTwoLanesAreProvenBeforeOneIsWritten) {
  const std::string options =
      std::string(kExactlyOnce) + ", parallelism = 2, partition_by = 'hash(id)'";
  ASSERT_EQ(pgsink_input(load(options, read(file("a.csv", 0, 3000)))).exit_code, 0);
  // As if lane 1 had been killed early: its rows after position 1000 are missing.
  const std::string proof_at_1000 = [&] {
    create_table("probe", "(id bigint, v bigint)");
    EXPECT_EQ(pgsink_input(connection("probe_sink", "probe",
                                      "delivery = 'exactly_once', sink_id = 'probe'") +
                           "INSERT INTO probe_sink " + read(file("p.csv", 0, 1000)) + ";")
                  .exit_code,
              0);
    return server_says("SELECT host_proof FROM pgsink_epochs WHERE sink_id = 'probe'");
  }();
  ASSERT_EQ(proof_at_1000.size(), 16U);
  analytics_server().sql("UPDATE pgsink_epochs SET host_position = 1000, host_proof = '" +
                             proof_at_1000 + "' WHERE sink_id = 'load' AND lane = 1",
                         "analytics");
  expect_refused(pgsink_input(load(options,
                                   "SELECT id, CASE WHEN id = 2000 THEN 0 ELSE v END AS v "
                                   "FROM read_csv('" +
                                       folder_.path() + "/a.csv')")),
                 "are different");
  EXPECT_EQ(rows(), "3000 3000");
}

// ---- two-phase loads without a sink_id ---------------------------------------------------------

TEST_F(Resume, FinishedTwoPhaseLoadWithoutSinkIdIsFollowedByAnother) {
  const std::string script = load(kTwoPhaseUnnamed, "VALUES (1, 1), (2, 2), (3, 3)") +
                             "INSERT INTO loaded_sink VALUES (4, 4), (5, 5);";
  const auto run = pgsink_input(script);
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(rows(), "5 5");
  EXPECT_EQ(pgsink_input(load(kTwoPhaseUnnamed, "VALUES (1, 1)")).exit_code, 0);
  EXPECT_EQ(rows(), "6 5");
}

TEST_F(Resume, InterruptedTwoPhaseLoadWithoutSinkIdIsGoneOnWith) {
  const std::string options =
      std::string(kTwoPhaseUnnamed) +
      ", write_mode = 'upsert', conflict_columns = 'id', transaction_size = 20000";
  analytics_server().sql("ALTER TABLE loaded ADD PRIMARY KEY (id)", "analytics");
  // The engine runs ahead of what is written, by some ten thousand rows.
  const auto query = [](const std::string& last) {
    return "SELECT range AS id, CASE WHEN range = 299999 THEN " + last +
           " ELSE 1 END AS v FROM range(300000)";
  };
  const auto failed = pgsink_input(load(options, query("error('the last row')")));
  ASSERT_EQ(failed.exit_code, 1);
  const int before = std::stoi(server_says("SELECT count(*) FROM loaded"));
  ASSERT_GT(before, 0) << "its first epochs are committed";
  ASSERT_LT(before, 300000);
  expect_refused(pgsink_input(load(options, "SELECT range AS id, 2 AS v FROM range(300000)")),
                 "are different");
  const auto again = pgsink_input(load(options, query("1")));
  EXPECT_EQ(again.exit_code, 0) << again.err;
  EXPECT_THAT(again.err, HasSubstr("rows delivered before"));
  EXPECT_EQ(rows(), "300000 300000");
}

}  // namespace
}  // namespace pgsink::test
