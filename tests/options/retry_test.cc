// Which failures are tried again: the rule by itself, and the sink with it against the server.

#include "pgsink/options/retry.h"

#include <algorithm>
#include <utility>
#include <vector>

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

// ---- how long it waits -------------------------------------------------------------------------

using std::chrono::milliseconds;

Backoff backoff(Duration base, Duration cap, uint64_t seed = 4711) {
  return {RetryPolicy{.backoff = base, .backoff_max = cap}, seed};
}

/// The least and the most of many delays before one attempt.
std::pair<Duration, Duration> range_of(Backoff drawn, uint32_t attempt) {
  Duration least = Duration::max();
  Duration most{};
  for (int i = 0; i < 4000; ++i) {
    const Duration delay = drawn.delay(attempt);
    least = std::min(least, delay);
    most = std::max(most, delay);
  }
  return {least, most};
}

// Of 4000 delays, spread evenly, some come near both ends.
void expect_spread_up_to(Duration bound, const std::pair<Duration, Duration>& range,
                         uint32_t attempt) {
  EXPECT_GE(range.first, Duration{}) << attempt;
  EXPECT_LT(range.first, bound / 20) << attempt;
  EXPECT_GT(range.second, bound - bound / 20) << attempt;
  EXPECT_LE(range.second, bound) << attempt;
}

TEST(Backoff, DoublesItsBoundWithEachAttempt) {
  const Duration base = milliseconds(100);
  for (uint32_t attempt = 1; attempt <= 12; ++attempt) {
    expect_spread_up_to(base * (1U << (attempt - 1)),
                        range_of(backoff(base, std::chrono::hours(24)), attempt), attempt);
  }
}

TEST(Backoff, StaysBelowItsCapHoweverManyAttempts) {
  const Duration cap = std::chrono::seconds(60);
  for (const Duration base : {Duration(milliseconds(1000)), Duration(milliseconds(59'999)),
                              Duration(std::chrono::hours(1))}) {
    for (const uint32_t attempt : {7U, 8U, 20U, 21U, 22U, 64U, 65U, 1000U, UINT32_MAX}) {
      expect_spread_up_to(cap, range_of(backoff(base, cap), attempt), attempt);
    }
  }
  expect_spread_up_to(cap, range_of(backoff(std::chrono::hours(1), cap), 1), 1);
}

TEST(Backoff, CountsNoAttemptAsTheFirst) {
  const Duration base = milliseconds(100);
  expect_spread_up_to(base, range_of(backoff(base, std::chrono::hours(1)), 0), 0);
}

TEST(Backoff, DrawsWhatItsSeedSays) {
  const auto delays = [](uint64_t seed) {
    Backoff drawn = backoff(milliseconds(100), std::chrono::seconds(60), seed);
    std::vector<Duration> made;
    for (uint32_t attempt = 1; attempt <= 10; ++attempt) made.push_back(drawn.delay(attempt));
    return made;
  };
  EXPECT_EQ(delays(7), delays(7));
  EXPECT_NE(delays(7), delays(9)) << "sinks that failed together do not come back together";
}

TEST(Backoff, WithoutABaseThereIsNoDelay) {
  Backoff none = backoff(Duration{}, std::chrono::seconds(60));
  for (uint32_t attempt = 1; attempt < 100; ++attempt) EXPECT_EQ(none.delay(attempt), Duration{});
}

// ---- how often, and for how long ---------------------------------------------------------------

constexpr TimePoint kBegin{std::chrono::hours(1)};

RetryLimit limit(uint32_t retries_max, Duration timeout) {
  return RetryLimit(RetryPolicy{.retries_max = retries_max, .timeout = timeout});
}

TEST(RetryLimit, IsReachedByOneFailureMoreThanThereAreRetries) {
  RetryLimit three = limit(3, Duration{});
  for (uint32_t failures = 1; failures <= 3; ++failures) {
    EXPECT_TRUE(three.failed(failures, server_error("40001"), kBegin)) << failures;
  }
  const Status over = three.failed(4, server_error("40001"), kBegin);
  ASSERT_FALSE(over);
  EXPECT_EQ(over.error().sqlstate.view(), "40001") << "what failed, not that it was repeated";
  EXPECT_FALSE(limit(0, Duration{}).failed(1, server_error("40001"), kBegin)) << "no retries";
}

TEST(RetryLimit, CountsItsTimeFromTheFirstFailureWithoutASuccess) {
  RetryLimit ten_seconds = limit(1000, std::chrono::seconds(10));
  const auto failed_after = [&](Duration after) {
    return ten_seconds.failed(1, server_error("40001"), kBegin + after).has_value();
  };
  EXPECT_FALSE(ten_seconds.failing());
  EXPECT_TRUE(failed_after(Duration{}));
  EXPECT_TRUE(ten_seconds.failing());
  EXPECT_TRUE(failed_after(std::chrono::seconds(10) - milliseconds(1)));
  EXPECT_FALSE(failed_after(std::chrono::seconds(10)));
  ten_seconds.succeeded();
  EXPECT_FALSE(ten_seconds.failing());
  EXPECT_TRUE(failed_after(std::chrono::seconds(30))) << "time begins anew";
  const Status late =
      ten_seconds.failed(1, server_error("40001"), kBegin + std::chrono::seconds(41));
  ASSERT_FALSE(late);
  EXPECT_THAT(late.error().message, HasSubstr("11000 ms, which is more than retry_timeout_ms"));
}

TEST(RetryLimit, WithoutATimeoutLastsForever) {
  RetryLimit endless = limit(1000, Duration{});
  EXPECT_TRUE(endless.failed(1, server_error("40001"), kBegin));
  EXPECT_TRUE(endless.failed(1000, server_error("40001"), kBegin + std::chrono::hours(1000)));
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
