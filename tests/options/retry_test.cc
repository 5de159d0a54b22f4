// Which failures are tried again: the rule by itself, and the sink with it against the server.

#include "pgsink/options/retry.h"

#include <pgsink/batch_of.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pgsink/sink.h"
#include "support/postgres_server.h"

namespace pgsink {
namespace {

using test::shared_server;
using testing::HasSubstr;

Error server_error(std::string_view sqlstate) {
  Error error;
  error.code = Errc::kServer;
  error.sqlstate = pgproto::Sqlstate(sqlstate);
  return error;
}

Error client_error(Errc code) {
  Error error;
  error.code = code;
  return error;
}

RetryRule rule(const std::vector<std::string>& conditions) {
  auto made = RetryRule::from(conditions);
  EXPECT_TRUE(made) << made.error().message;
  return made ? *made : RetryRule();
}

TEST(RetryPolicy, IsWhatTheOptionsSay) {
  SinkOptions options;
  options.max_retries = 7;
  options.retry_backoff_ms = 250;
  options.retry_timeout_ms = 9000;
  options.retry_on_errors = {"deadlock"};
  const RetryPolicy policy = RetryPolicy::from(options);
  EXPECT_EQ(policy.retries_max, 7U);
  EXPECT_EQ(policy.backoff, std::chrono::milliseconds(250));
  EXPECT_EQ(policy.timeout, std::chrono::seconds(9));
  EXPECT_FALSE(policy.rule.allows(server_error("40001")));
}

TEST(RetryRule, TriesWhatPassesIfNothingIsListed) {
  for (const char* passing : {"08006", "40001", "40P01", "53300", "55P03", "57P01", "25006"}) {
    EXPECT_TRUE(RetryRule().allows(server_error(passing))) << passing;
  }
  for (const char* permanent : {"22001", "23505", "42P01", "57014", "53200", "XX000"}) {
    EXPECT_FALSE(RetryRule().allows(server_error(permanent))) << permanent;
  }
  EXPECT_TRUE(RetryRule().allows_reconnect(client_error(Errc::kConnectionLost)));
  EXPECT_FALSE(RetryRule().allows_reconnect(client_error(Errc::kAuthentication)));
}

TEST(RetryRule, TriesOnlyWhatIsListed) {
  const auto listed = rule({"deadlock_detected", "53", "55P03"});
  for (const char* yes : {"40P01", "53100", "53300", "55P03"}) {
    EXPECT_TRUE(listed.allows(server_error(yes))) << yes;
  }
  for (const char* no : {"40001", "55006", "57P01"}) {
    EXPECT_FALSE(listed.allows(server_error(no))) << no;
  }
  EXPECT_FALSE(listed.allows_reconnect(client_error(Errc::kConnectionLost)));
}

TEST(RetryRule, TakesAClassByItsName) {
  EXPECT_TRUE(rule({"transaction_rollback"}).allows(server_error("40P01")));
  EXPECT_FALSE(rule({"serialization_failure"}).allows(server_error("40P01")));
}

TEST(RetryRule, CountsALostConnectionAsThatWhateverTheServerSaidLast) {
  for (const char* word : {"connection_failure", "connection", "08"}) {
    EXPECT_TRUE(rule({word}).allows_reconnect(client_error(Errc::kConnectionLost))) << word;
    EXPECT_TRUE(rule({word}).allows_reconnect(server_error("57P01"))) << word;
    EXPECT_FALSE(rule({word}).allows_reconnect(client_error(Errc::kAuthentication))) << word;
    EXPECT_FALSE(rule({word}).allows_reconnect(server_error("57P04"))) << word;
  }
  EXPECT_TRUE(rule({"admin_shutdown"}).allows_reconnect(server_error("57P01")));
  EXPECT_FALSE(rule({"admin_shutdown"}).allows_reconnect(server_error("57P02")));
  EXPECT_TRUE(rule({"timeout"}).allows_reconnect(client_error(Errc::kTimeout)));
  EXPECT_FALSE(rule({"timeout"}).allows_reconnect(client_error(Errc::kConnectionLost)));
}

TEST(RetryRule, RefusesWhatIsNoConditionOrNeverPasses) {
  const auto error_of = [](const std::string& condition) {
    const auto made = RetryRule::from({"deadlock", condition});
    EXPECT_FALSE(made) << condition;
    return made ? Error{} : made.error();
  };
  EXPECT_THAT(error_of("serialisation_failure").message,
              HasSubstr("did you mean \"serialization_failure\"?"));
  for (const char* permanent : {"unique_violation", "23505", "22", "42P01", "syntax_error"}) {
    EXPECT_THAT(error_of(permanent).message, HasSubstr("never retried")) << permanent;
  }
  EXPECT_EQ(error_of("").code, Errc::kOptionValue);
}

struct Item {
  int64_t id;
};

class RetryTest : public testing::Test {
 protected:
  void SetUp() override {
    database_ = shared_server().create_database("retry");
    shared_server().sql("CREATE TABLE t (id bigint); CREATE SEQUENCE tries", database_);
    options_.connection_name = "test";
    options_.host = shared_server().socket_dir();
    options_.port = std::to_string(shared_server().port());
    options_.database = database_;
    options_.username = "postgres";
    options_.table = "t";
    options_.retry_backoff_ms = 1;
  }
  /// The first transaction does this; a sequence does not roll back.
  void fail_once_with(const std::string& statement) {
    shared_server().sql(
        "CREATE FUNCTION fail_once() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF nextval('public.tries') = 1 THEN " +
            statement +
            "; END IF; RETURN NEW; END $$;"
            "CREATE TRIGGER fail_once BEFORE INSERT ON t EXECUTE FUNCTION fail_once()",
        database_);
  }
  Status write() {
    RecordBatch rows = batch_of(std::vector<Item>{{1}}, column("id", &Item::id));
    auto sink = Sink::open(options_, rows.schema());
    if (!sink) return fail(sink.error());
    if (auto written = (*sink)->write(std::move(rows)); !written) return written;
    return (*sink)->close();
  }
  std::string rows() { return shared_server().scalar("SELECT count(*) FROM t", database_); }

  std::string database_;
  SinkOptions options_;
};

TEST_F(RetryTest, SerializationFailureIsTriedAgainOnlyIfListed) {
  fail_once_with("RAISE SQLSTATE '40001'");
  options_.retry_on_errors = {"deadlock", "connection_failure"};
  EXPECT_EQ(write().error().sqlstate, "40001");
  EXPECT_EQ(rows(), "0");
  shared_server().sql("ALTER SEQUENCE tries RESTART", database_);
  options_.retry_on_errors = {"serialization"};
  EXPECT_TRUE(write());
  EXPECT_EQ(rows(), "1");
}

TEST_F(RetryTest, WhatIsUsuallyPermanentIsTriedAgainIfListed) {
  fail_once_with("RAISE SQLSTATE '58030'");
  EXPECT_EQ(write().error().sqlstate, "58030");
  shared_server().sql("ALTER SEQUENCE tries RESTART", database_);
  options_.retry_on_errors = {"io_error"};
  EXPECT_TRUE(write());
  EXPECT_EQ(rows(), "1");
}

TEST_F(RetryTest, LostConnectionIsTriedAgainOnlyIfListed) {
  fail_once_with("PERFORM pg_terminate_backend(pg_backend_pid())");
  options_.retry_on_errors = {"deadlock"};
  EXPECT_FALSE(write());
  EXPECT_EQ(rows(), "0");
  shared_server().sql("ALTER SEQUENCE tries RESTART", database_);
  options_.retry_on_errors = {"connection_failure", "deadlock"};
  const Status written = write();
  EXPECT_TRUE(written) << written.error().to_string();
  EXPECT_EQ(rows(), "1");
}

TEST_F(RetryTest, OptionIsCheckedAtOpen) {
  options_.retry_on_errors = {"unique_violation"};
  EXPECT_EQ(write().error().code, Errc::kOptionValue);
}

}  // namespace
}  // namespace pgsink
