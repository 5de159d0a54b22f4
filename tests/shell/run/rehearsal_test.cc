// --check=online and --dry-run: faults are found before a row is written, and none is.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "shell/shell_support.h"

namespace pgsink::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class Rehearsals : public testing::Test {
 protected:
  void SetUp() override { create_table("played", "(id int PRIMARY KEY, name varchar(5))"); }
  static std::string rows() {
    return analytics_server().scalar("SELECT count(*) FROM played", "analytics");
  }
  const std::string sink_ = connection("stage", "played");
};

TEST_F(Rehearsals, CheckOnlineFindsWhatTheServerKnows) {
  const std::string good = sink_ + "INSERT INTO stage SELECT 1 AS id, 'a' AS name;";
  const auto fine = pgsink({"--check=online", "-c", good});
  EXPECT_EQ(fine.exit_code, 0) << fine.err;
  EXPECT_EQ(rows(), "0");

  const auto offline = pgsink({"--check", "-c", connection("c", "no_such_table")});
  EXPECT_EQ(offline.exit_code, 0) << offline.err;
  const auto table = pgsink({"--check=online", "-c", connection("c", "no_such_table")});
  EXPECT_EQ(table.exit_code, 1);
  EXPECT_THAT(table.err, AllOf(HasSubstr(":1:19: error"), HasSubstr("no_such_table")));

  const auto column =
      pgsink({"--check=online", "-c", sink_ + "INSERT INTO stage SELECT 1 AS id, 'a' AS nam;"});
  EXPECT_EQ(column.exit_code, 1);
  EXPECT_THAT(column.err, AllOf(HasSubstr(":2:13: error"), HasSubstr("\"nam\"")));
  const auto type =
      pgsink({"--check=online", "-c", sink_ + "INSERT INTO stage SELECT DATE '2026-01-01' AS id;"});
  EXPECT_EQ(type.exit_code, 1);
  EXPECT_THAT(type.err, HasSubstr("column \"id\""));
}

TEST_F(Rehearsals, DryRunEncodesRealRowsAndWritesNone) {
  const std::string script = sink_ +
                             "CREATE PIPELINE try_out AS INSERT INTO stage SELECT i::BIGINT AS id, "
                             "CASE WHEN i % 1000 = 7 THEN 'far too long' ELSE 'short' END AS name "
                             "FROM range(20000) AS r(i);";
  const auto all = pgsink({"--dry-run", "-c", script});
  EXPECT_EQ(all.exit_code, 3) << all.err;
  EXPECT_THAT(all.err, AllOf(HasSubstr("try_out: row 8 would be rejected"), HasSubstr("\"name\""),
                             HasSubstr("row 9,008 would be rejected"), Not(HasSubstr("row 10,008")),
                             HasSubstr("20,000 rows read, 20 would be rejected"),
                             HasSubstr("nothing was written")));
  EXPECT_EQ(rows(), "0");

  const auto some = pgsink({"--dry-run=100", "-c", script});
  EXPECT_EQ(some.exit_code, 3) << some.err;
  EXPECT_THAT(some.err, HasSubstr("row 8 would be rejected"));
  EXPECT_THAT(some.err, Not(HasSubstr("20,000 rows read")));
}

TEST_F(Rehearsals, DryRunMakesNoTableAndReadsNoPipe) {
  const std::string script =
      connection("c", "played_later", "create_table = true") + "INSERT INTO c SELECT 1 AS id;";
  const auto run = pgsink({"--dry-run", "-c", script});
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_THAT(run.err, HasSubstr("table public.played_later would be created"));
  EXPECT_EQ(analytics_server().scalar("SELECT to_regclass('played_later') IS NULL", "analytics"),
            "t");
  RunOptions options;
  options.input = "{\"id\": 1}\n";
  const auto pipe = pgsink(
      {"--dry-run", "-c",
       sink_ + "CREATE CONNECTION s TO stdin (type = 'source', format = 'json', columns = MAP "
               "{'id': 'INT'});\nINSERT INTO stage SELECT id FROM s;"},
      options);
  EXPECT_EQ(pipe.exit_code, 0) << pipe.err;
  EXPECT_THAT(pipe.err, HasSubstr("'s' is an unbounded source"));
  EXPECT_EQ(rows(), "0");
}

}  // namespace
}  // namespace pgsink::test
