// Trap 24: prepared statements that vanish or go stale are prepared again, once, where that is
// safe.

#include "pgsink/client/statement_cache.h"

#include <gtest/gtest.h>

#include "support/client_fixture.h"

namespace pgsink::test {
namespace {

class StatementCacheTest : public ClientTest {
 protected:
  StatementCacheTest()
      : connection_(connect(unix_way())), cache_(*connection_, env().random, kStatements) {}

  static constexpr size_t kStatements = 4;

  Result<QueryResult> run(StatementCache& cache, const std::string& sql,
                          std::vector<std::optional<std::string>> parameters = {}) {
    return cache.query(sql, parameters, soon());
  }
  std::string scalar(const std::string& sql,
                     std::vector<std::optional<std::string>> parameters = {}) {
    const auto answer = run(cache_, sql, std::move(parameters));
    return answer ? answer->scalar() : answer.error().to_string();
  }
  void plain(const std::string& sql) {
    const auto answer = connection_->query(sql, soon());
    ASSERT_TRUE(answer.has_value()) << answer.error().to_string();
  }

  std::unique_ptr<Connection> connection_;
  StatementCache cache_;
};

TEST_F(StatementCacheTest, PreparesOnceAndKeepsColumns) {
  for (int i = 0; i < 5; ++i) {
    const auto answer = run(cache_, "SELECT $1::int + 1 AS next", {std::to_string(i)});
    ASSERT_TRUE(answer.has_value());
    EXPECT_EQ(answer->scalar(), std::to_string(i + 1));
    EXPECT_EQ(answer->columns, std::vector<std::string>{"next"});
  }
  EXPECT_EQ(cache_.prepared(), 1U);
  EXPECT_EQ(cache_.reused(), 4U);
}

TEST_F(StatementCacheTest, ForgetsTheOneUsedLongestAgoHereAndOnTheServer) {
  for (int i = 0; i < 10; ++i) EXPECT_EQ(scalar("SELECT " + std::to_string(i)), std::to_string(i));
  EXPECT_EQ(cache_.size(), kStatements);
  EXPECT_EQ(connection_->query("SELECT count(*) FROM pg_prepared_statements", soon())->scalar(),
            std::to_string(kStatements));
  const uint64_t prepared = cache_.prepared();
  scalar("SELECT 6");
  scalar("SELECT 10");  // Now 7 is the oldest.
  EXPECT_EQ(cache_.prepared(), prepared + 1);
  scalar("SELECT 6");
  EXPECT_EQ(cache_.prepared(), prepared + 1);
  scalar("SELECT 7");
  EXPECT_EQ(cache_.prepared(), prepared + 2);
}

TEST_F(StatementCacheTest, SurvivesDeallocateAndDiscard) {
  for (const char* end : {"DEALLOCATE ALL", "DISCARD ALL"}) {
    EXPECT_EQ(scalar("SELECT 'before'"), "before");
    plain(end);  // Without the cache.
    EXPECT_EQ(scalar("SELECT 'before'"), "before") << end;
    // Through the cache it is seen: nothing fails on the server.
    EXPECT_EQ(scalar(end), "");
    EXPECT_EQ(cache_.size(), 0U);
    EXPECT_EQ(scalar("SELECT 'before'"), "before") << end;
  }
  EXPECT_FALSE(connection_->broken());
}

TEST_F(StatementCacheTest, SurvivesChangedTables) {
  plain("CREATE TABLE t (a int); INSERT INTO t VALUES (1)");
  EXPECT_EQ(run(cache_, "SELECT * FROM t")->columns, std::vector<std::string>{"a"});
  plain("ALTER TABLE t ADD COLUMN b text DEFAULT 'new'");
  const auto wider = run(cache_, "SELECT * FROM t");
  ASSERT_TRUE(wider.has_value()) << wider.error().to_string();
  EXPECT_EQ(wider->columns, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(wider->rows[0][1], "new");
  plain("ALTER TABLE t ALTER COLUMN a TYPE numeric USING a + 0.5");
  EXPECT_EQ(run(cache_, "SELECT * FROM t")->rows[0][0], "1.5");
  plain("DROP TABLE t; CREATE TABLE t (a text); INSERT INTO t VALUES ('again')");
  EXPECT_EQ(run(cache_, "SELECT * FROM t")->rows[0][0], "again");
}

TEST_F(StatementCacheTest, SurvivesAChangedSearchPath) {
  plain(
      "CREATE SCHEMA one; CREATE SCHEMA two; CREATE TABLE one.t AS SELECT 1 AS a;"
      "CREATE TABLE two.t AS SELECT 'two'::text AS a; SET search_path = one");
  EXPECT_EQ(scalar("SELECT a FROM t"), "1");
  plain("SET search_path = two");
  EXPECT_EQ(scalar("SELECT a FROM t"), "two");
}

TEST_F(StatementCacheTest, InsideATransactionTheErrorIsTheOwners) {
  plain("CREATE TABLE t (a int)");
  EXPECT_TRUE(run(cache_, "SELECT * FROM t").has_value());
  plain("ALTER TABLE t ADD COLUMN b int");
  plain("BEGIN");
  plain("INSERT INTO t VALUES (1)");
  const auto failed = run(cache_, "SELECT * FROM t");
  ASSERT_FALSE(failed.has_value());
  EXPECT_EQ(failed.error().sqlstate.view(), "0A000");
  plain("ROLLBACK");
  EXPECT_TRUE(run(cache_, "SELECT * FROM t").has_value()) << "forgotten, so it works again";
}

TEST_F(StatementCacheTest, OtherErrorsAreNotRepeated) {
  plain("CREATE SEQUENCE s");
  const uint64_t before = cache_.prepared();
  EXPECT_FALSE(run(cache_, "SELECT nextval('s') / 0").has_value());
  EXPECT_EQ(connection_->query("SELECT last_value FROM s", soon())->scalar(), "1") << "ran once";
  EXPECT_FALSE(run(cache_, "SELEKT").has_value());
  EXPECT_EQ(cache_.prepared(), before + 2);
  EXPECT_FALSE(run(cache_, "SELEKT").has_value()) << "a failed Parse is not kept";
  EXPECT_EQ(cache_.prepared(), before + 3);
}

// A Parse after an error in the same pipeline never runs: the cache must not think it did.
TEST_F(StatementCacheTest, SkippedParseIsNotThoughtToExist) {
  pgproto::Session& session = connection_->session();
  ASSERT_TRUE(session.parse("", "SELEKT", {}).has_value());
  ASSERT_TRUE(cache_.prepare("SELECT 'skipped'").has_value());
  session.sync();
  while (session.pending_requests() > 0) {
    const auto event = connection_->next_event(soon());
    ASSERT_TRUE(event && *event);
    cache_.observe(**event);
  }
  EXPECT_EQ(cache_.size(), 0U);
  EXPECT_EQ(scalar("SELECT 'skipped'"), "skipped");
}

// Another client of a pooler prepared a statement of our name on the server connection.
TEST_F(StatementCacheTest, SurvivesANameThatIsTaken) {
  ASSERT_TRUE(cache_.prepare("SELECT 'first'").has_value());
  connection_->session().sync();
  while (connection_->session().pending_requests() > 0) {
    const auto event = connection_->next_event(soon());
    ASSERT_TRUE(event && *event);
    cache_.observe(**event);
  }
  const std::string taken =
      connection_->query("SELECT name FROM pg_prepared_statements", soon())->scalar();
  std::string next = taken;
  next.back() = static_cast<char>(next.back() + 1);
  plain("PREPARE \"" + next + "\" AS SELECT 'stranger'");
  EXPECT_EQ(scalar("SELECT 'ours'"), "ours");
}

TEST_F(StatementCacheTest, WithoutRoomEveryStatementIsUnnamed) {
  StatementCache none(*connection_, env().random, 0);
  for (int i = 0; i < 3; ++i) {
    const auto answer = run(none, "SELECT $1::text AS a", {"x"});
    ASSERT_TRUE(answer.has_value());
    EXPECT_EQ(answer->columns, std::vector<std::string>{"a"});
  }
  EXPECT_EQ(none.size(), 0U);
  EXPECT_EQ(connection_->query("SELECT count(*) FROM pg_prepared_statements", soon())->scalar(),
            "0");
}

}  // namespace
}  // namespace pgsink::test
