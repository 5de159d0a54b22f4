// Files read by the engine: a warning where the types that it finds can change what is written.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "shell/shell_support.h"

namespace pgsink::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class SniffedCsv : public testing::Test {
 protected:
  void SetUp() override {
    create_table("files", "(id bigint, zip text, amount numeric(18,2), x varchar(20), n numeric)");
    file_ = folder_.write("f.csv", "id,zip,amount,x,n\n1,12345,1.5,abc,7\n2,54321,2.25,def,8\n");
  }
  Captured run(std::string query) const {
    for (size_t at = query.find("FILE"); at != std::string::npos; at = query.find("FILE")) {
      query.replace(at, 4, "'" + file_ + "'");
    }
    auto done = pgsink({"-c", connection("c", "files") + query});
    EXPECT_EQ(done.exit_code, 0) << query << done.err;
    return done;
  }

  const TemporaryFolder folder_;
  std::string file_;
};

TEST_F(SniffedCsv, ColumnsThatMayChangeAreNamedWithTheCure) {
  const auto done = run("INSERT INTO c SELECT * FROM read_csv(FILE);");
  EXPECT_THAT(
      done.err,
      AllOf(HasSubstr("warning: c: "), HasSubstr("'zip' (BIGINT into text)"),
            HasSubstr("'amount' (DOUBLE into numeric(18,2))"), HasSubstr("all_varchar = true"),
            HasSubstr("types = {'zip': 'VARCHAR', 'amount': 'VARCHAR'}"), Not(HasSubstr("'x' (")),
            Not(HasSubstr("'n' (")), Not(HasSubstr("'id' ("))));
}

TEST_F(SniffedCsv, TheyAreFollowedThroughTheQuery) {
  const std::string named[] = {
      "INSERT INTO c FROM FILE;",
      "INSERT INTO c SELECT id, f.zip FROM FILE AS f WHERE id > 0 ORDER BY id LIMIT 1;",
      "INSERT INTO c WITH q AS (SELECT id, zip FROM read_csv_auto(FILE)) SELECT * FROM q;",
      "INSERT INTO c (id, zip) SELECT id, plz FROM (SELECT id, zip AS plz FROM FILE) s JOIN "
      "(SELECT "
      "1 AS one) o ON true;",
      "CREATE VIEW v AS SELECT * FROM read_csv(FILE); INSERT INTO c SELECT id, zip FROM v;",
      "CREATE PIPELINE p AS WITH q AS (SELECT id, zip FROM FILE) INSERT INTO c SELECT * FROM q "
      "UNION "
      "ALL INSERT INTO c SELECT * FROM q;",
      "INSERT INTO c SELECT zip, any_value(id) AS id FROM FILE GROUP BY zip;",
  };
  for (const std::string& query : named) {
    EXPECT_THAT(run(query).err, HasSubstr("'zip' (BIGINT into text)")) << query;
  }
}

TEST_F(SniffedCsv, NothingIsSaidWhereNothingChanges) {
  const std::string silent[] = {
      "INSERT INTO c SELECT * FROM read_csv(FILE, all_varchar = true);",
      "INSERT INTO c SELECT * FROM read_csv(FILE, types = {'zip': 'VARCHAR', 'amount': "
      "'VARCHAR'});",
      "INSERT INTO c SELECT id, zip FROM read_csv(FILE, dtypes = ['BIGINT', 'VARCHAR']);",
      "INSERT INTO c SELECT id, zip || '' AS zip, amount::DECIMAL(9, 2) AS amount FROM FILE;",
      "INSERT INTO c SELECT id, x, n FROM FILE;",
      "INSERT INTO c SELECT 1 AS id, 'csv' AS zip;",
  };
  for (const std::string& query : silent) {
    EXPECT_THAT(run(query).err, Not(HasSubstr("warning"))) << query;
  }
}

}  // namespace
}  // namespace pgsink::test
