// The C interface as a program sees it.

#include <future>
#include <mutex>
#include <thread>

#include <gmock/gmock.h>

#include "c/c_support.h"
#include "support/patience.h"

namespace pgsink::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

TEST_F(CTest, LoadsBatchesAndStreams) {
  pgsink_sink* const sink = open();
  EXPECT_EQ(write(sink, 1'000'000, 10), 0);
  ArrowArrayStream stream;
  make_stream(&stream, {.batches = 7, .rows = 1000});
  uint64_t rows = 0;
  CError error;
  EXPECT_EQ(pgsink_sink_write_stream(sink, &stream, 5, &rows, &error), 0) << error.message;
  EXPECT_EQ(rows, 7000U);
  EXPECT_EQ(stream.release, nullptr);
  EXPECT_EQ(pgsink_sink_flush(sink, &error), 0) << error.message;
  EXPECT_EQ(scalar("SELECT count(*) || ' ' || sum(id) FROM t"), "7010 34496545");
  EXPECT_EQ(pgsink_sink_durable_position(sink), 11U);
  CText metrics;
  ASSERT_EQ(pgsink_sink_metrics_json(sink, &metrics.text, &error), 0);
  EXPECT_THAT(metrics.text, AllOf(HasSubstr("\"rows_written\":7010,"),
                                  HasSubstr("\"connection_name\":\"pgsink\""),
                                  HasSubstr("\"batches_by_trigger\":{\"rows\":")));
  EXPECT_EQ(pgsink_sink_status(sink, &error), 0);
  EXPECT_EQ(pgsink_sink_close(sink, &error), 0);
  EXPECT_EQ(pgsink_sink_close(sink, &error), 0);
  pgsink_sink_free(sink);
}

TEST_F(CTest, AJobCommitsItsParts) {
  CError error;
  ArrowSchema schema;
  make_schema(&schema);
  options_.set("sink_id", "nightly");
  pgsink_job_options wanted{sizeof(pgsink_job_options), 7, "host", "staging", 1};
  pgsink_job* job = nullptr;
  ASSERT_EQ(pgsink_job_open(options_.data(), options_.size(), &schema, &wanted, &job, &error), 0)
      << error.message;
  EXPECT_EQ(schema.release, nullptr);
  EXPECT_EQ(pgsink_job_epoch(job), 7U);
  EXPECT_EQ(pgsink_job_number(job, 8, "host", &error), 9003);
  EXPECT_EQ(pgsink_job_number(nullptr, 8, nullptr, &error), 9003);
  EXPECT_EQ(pgsink_job_committed(job), 0);
  const std::string ticket = pgsink_job_ticket(job);
  pgsink_sink* part = nullptr;
  make_schema(&schema);
  ASSERT_EQ(pgsink_part_open(options_.data(), options_.size(), ticket.c_str(), 0, &schema, nullptr,
                             &part, &error),
            0)
      << error.message;
  EXPECT_EQ(write(part, 1, 10), 0);
  CText token, empty, report;
  ASSERT_EQ(pgsink_part_finish(part, &token.text, &error), 0) << error.message;
  pgsink_sink_free(part);
  ASSERT_EQ(pgsink_part_open(options_.data(), options_.size(), ticket.c_str(), 1, nullptr, nullptr,
                             &part, &error),
            0)
      << error.message;
  EXPECT_EQ(write(part, 1, 1), 9003);
  pgsink_sink_free(part);
  EXPECT_EQ(scalar("SELECT count(*) FROM t"), "0");
  pgsink_job_free(job);
  ASSERT_EQ(pgsink_job_resume(options_.data(), options_.size(), ticket.c_str(), &job, &error), 0);
  const char* tokens[] = {token.text, nullptr};
  EXPECT_EQ(pgsink_job_commit(job, tokens, 2, nullptr, &error), 9003);
  ASSERT_EQ(pgsink_job_commit(job, tokens, 1, &report.text, &error), 0) << error.message;
  EXPECT_STREQ(report.text, R"({"epoch":7,"rows":10,"changed":10,"rejected":0,"repeated":false})");
  EXPECT_EQ(pgsink_job_committed(job), 1);
  EXPECT_EQ(pgsink_job_abort(job, &error), 0);
  EXPECT_EQ(scalar("SELECT count(*) || ' ' || sum(id) FROM t"), "10 55");
  pgsink_job_free(job);
  pgsink_job_free(nullptr);
  EXPECT_EQ(pgsink_job_resume(options_.data(), options_.size(), "no ticket", &job, &error), 9003);
  EXPECT_EQ(job, nullptr);
  wanted.atomic = "sometimes";
  EXPECT_EQ(pgsink_job_open(options_.data(), options_.size(), nullptr, &wanted, &job, &error),
            1003);
  EXPECT_EQ(pgsink_job_abort(nullptr, &error), 9003);
  EXPECT_EQ(pgsink_part_finish(nullptr, &empty.text, &error), 9003);
}

TEST_F(CTest, AnErrorHasEveryField) {
  options_.set("batch_size", "10").set("transaction_size", "10");
  pgsink_sink* const sink = open();
  CError error;
  EXPECT_EQ(write(sink, 1, 30), 0);
  EXPECT_EQ(pgsink_sink_flush(sink, &error), 0);
  EXPECT_EQ(error.code, 0U);
  EXPECT_EQ(write(sink, 30, 1), 0);
  EXPECT_EQ(pgsink_sink_flush(sink, &error), 5001);
  EXPECT_EQ(error.code, 5001U);
  EXPECT_STREQ(error.sqlstate, "23505");
  EXPECT_STREQ(error.constraint, "t_pkey");
  EXPECT_STREQ(error.table, "t");
  EXPECT_STREQ(error.schema, "public");
  EXPECT_STREQ(error.detail, "Key (id)=(30) already exists.");
  EXPECT_STREQ(error.column, "");
  EXPECT_THAT(error.message, HasSubstr("30 rows are committed"));
  EXPECT_EQ(error.rows_committed, 30U);
  EXPECT_EQ(error.retryable, 0);
  // The sink has stopped: what it is given is released all the same.
  EXPECT_EQ(write(sink, 100, 1, &error), 5001);
  EXPECT_EQ(pgsink_sink_status(sink, &error), 5001);
  pgsink_sink_free(sink);
  pgsink_error_clear(&error);
  EXPECT_EQ(error.code, 0U);
  EXPECT_STREQ(error.message, "");
}

TEST_F(CTest, WhatMayWorkLaterIsRetryable) {
  Options nobody;
  nobody.set("url", "postgresql://u@127.0.0.1:" + std::to_string(free_port()) + "/d")
      .set("table", "t");
  CError error;
  EXPECT_EQ(pgsink_test(nobody.data(), nobody.size(), &error), 2001) << error.message;
  EXPECT_EQ(error.retryable, 1);
}

TEST_F(CTest, AStreamThatFailsIsReleasedAndToldOf) {
  pgsink_sink* const sink = open();
  ArrowArrayStream stream;
  make_stream(&stream, {.batches = 2, .rows = 10, .fails = true});
  uint64_t rows = 0;
  CError error;
  EXPECT_EQ(pgsink_sink_write_stream(sink, &stream, 0, &rows, &error), 1010);
  EXPECT_THAT(error.message, HasSubstr("the file ends in the middle of a page"));
  EXPECT_EQ(rows, 20U);
  pgsink_sink_free(sink);
}

TEST_F(CTest, ACallThatWaitsIsInterrupted) {
  sql("CREATE FUNCTION wait_long() RETURNS trigger LANGUAGE plpgsql AS "
      "'BEGIN PERFORM pg_sleep(120); RETURN NULL; END'");
  sql("CREATE TRIGGER slow AFTER INSERT ON t FOR EACH STATEMENT EXECUTE FUNCTION wait_long()");
  pgsink_sink* const sink = open();
  EXPECT_EQ(write(sink, 1, 10), 0);
  CError error;
  auto flushed = std::async(std::launch::async, [&] { return pgsink_sink_flush(sink, &error); });
  const std::string waits =
      "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' "
      "AND datname = current_database()";
  EXPECT_TRUE(eventually([&] { return scalar(waits) == "1"; }));
  pgsink_sink_interrupt(sink);
  ASSERT_EQ(flushed.wait_for(kPatience), std::future_status::ready);
  EXPECT_EQ(flushed.get(), 2010);
  EXPECT_THAT(error.message, HasSubstr("interrupted. 0 rows are committed"));
  pgsink_sink_free(sink);
  sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'");
}

/// What a callback was given.
struct Letters {
  std::mutex mutex;
  std::string json;
  int answer = 0;

  static int take(void* context, const char* json, size_t length) {
    auto& self = *static_cast<Letters*>(context);
    const std::lock_guard lock(self.mutex);
    self.json.append(json, length);
    return self.answer;
  }
};

TEST_F(CTest, RejectedRowsGoToTheCallback) {
  sql("ALTER TABLE t ADD CHECK (id <> 7)");
  Letters letters;
  const pgsink_callbacks callbacks{.size = sizeof(pgsink_callbacks),
                                   .context = &letters,
                                   .on_dead_letters = Letters::take,
                                   .on_password = nullptr,
                                   .on_server_wait = nullptr,
                                   .on_flight = nullptr};
  pgsink_sink* const sink = open(&callbacks);
  EXPECT_EQ(write(sink, 1, 10), 0);
  CError error;
  EXPECT_EQ(pgsink_sink_close(sink, &error), 0) << error.message;
  EXPECT_EQ(scalar("SELECT count(*) FROM t"), "9");
  EXPECT_THAT(letters.json,
              AllOf(HasSubstr("\"row\":{\"id\":7}"), HasSubstr("\"sqlstate\":\"23514\""),
                    HasSubstr("\"input_row\":7")));
  pgsink_sink_free(sink);
}

TEST_F(CTest, ACallbackThatRefusesStopsTheSink) {
  sql("ALTER TABLE t ADD CHECK (id <> 7)");
  Letters letters;
  letters.answer = 3;
  const pgsink_callbacks callbacks{.size = sizeof(pgsink_callbacks),
                                   .context = &letters,
                                   .on_dead_letters = Letters::take,
                                   .on_password = nullptr,
                                   .on_server_wait = nullptr,
                                   .on_flight = nullptr};
  pgsink_sink* const sink = open(&callbacks);
  EXPECT_EQ(write(sink, 1, 10), 0);
  CError error;
  EXPECT_EQ(pgsink_sink_close(sink, &error), 4001) << error.message;
  EXPECT_THAT(error.message, HasSubstr("on_dead_letters returned 3"));
  EXPECT_EQ(scalar("SELECT count(*) FROM t"), "0");
  pgsink_sink_free(sink);
}

TEST_F(CTest, ACallbackHearsOfEachTransaction) {
  std::string events;
  const pgsink_callbacks callbacks{
      .size = sizeof(pgsink_callbacks),
      .context = &events,
      .on_dead_letters = nullptr,
      .on_password = nullptr,
      .on_server_wait = nullptr,
      .on_flight = [](void* context, const char* json, size_t length) {
        static_cast<std::string*>(context)->append(json, length).append("\n");
      }};
  pgsink_sink* const sink = open(&callbacks);
  EXPECT_EQ(write(sink, 1, 10), 0);
  CError error;
  EXPECT_EQ(pgsink_sink_close(sink, &error), 0) << error.message;
  pgsink_sink_free(sink);
  EXPECT_THAT(events,
              AllOf(HasSubstr("{\"kind\":\"sent\",\"connection\":\"pgsink\",\"table\":\"public.t\","
                              "\"lane\":0,\"flight\":1,\"attempt\":1,\"rows\":10,"),
                    HasSubstr("{\"kind\":\"committed\",")));
}

TEST_F(CTest, TheCallerDecidesEpochs) {
  options_.set("use_2pc", "true").set("sink_id", "c");
  pgsink_sink* sink = open();
  uint64_t epoch = 9, position = 9;
  CError error;
  EXPECT_EQ(pgsink_sink_commit(sink, 1, &error), 9003) << "before recover()";
  EXPECT_EQ(pgsink_sink_recover(sink, 0, &epoch, &position, &error), 0) << error.message;
  EXPECT_EQ(epoch, 0U);
  EXPECT_EQ(position, 0U);
  EXPECT_EQ(write(sink, 1, 10, &error, 1), 0) << error.message;
  EXPECT_EQ(pgsink_sink_prepare(sink, 1, &error), 0) << error.message;
  EXPECT_EQ(scalar("SELECT count(*) FROM t"), "0");
  EXPECT_EQ(pgsink_sink_commit(sink, 1, &error), 0) << error.message;
  EXPECT_EQ(scalar("SELECT count(*) FROM t"), "10");
  EXPECT_EQ(write(sink, 11, 10, &error, 2), 0) << error.message;
  EXPECT_EQ(pgsink_sink_prepare(sink, 2, &error), 0) << error.message;
  EXPECT_EQ(pgsink_sink_abort(sink, 2, &error), 0) << error.message;
  pgsink_sink_free(sink);
  sink = open();
  EXPECT_EQ(pgsink_sink_recover(sink, 1, &epoch, &position, &error), 0) << error.message;
  EXPECT_EQ(epoch, 1U);
  EXPECT_EQ(position, 1U);
  pgsink_sink_free(sink);
  EXPECT_EQ(scalar("SELECT count(*) FROM t"), "10");
}

/// Every function in both threads at once: under ThreadSanitizer (the preset tsan) it shows whether
/// sinks share something.
TEST_F(CTest, TwoSinksOnTwoThreads) {
  sql("ALTER TABLE t ADD CHECK (id <> 7); CREATE TABLE u (LIKE t INCLUDING ALL)");
  const auto load = [&](const Options& options) {
    Letters letters;
    const pgsink_callbacks callbacks{.size = sizeof(pgsink_callbacks),
                                     .context = &letters,
                                     .on_dead_letters = Letters::take,
                                     .on_password = nullptr,
                                     .on_server_wait = nullptr,
                                     .on_flight = nullptr};
    CError error;
    CText described, known, metrics, warnings;
    EXPECT_EQ(pgsink_test(options.data(), options.size(), &error), 0) << error.message;
    EXPECT_EQ(pgsink_describe_json(options.data(), options.size(), &described.text, &error), 0);
    EXPECT_EQ(pgsink_options_json(&known.text, &error), 0);
    ArrowSchema schema;
    make_schema(&schema);
    pgsink_sink* sink = nullptr;
    ASSERT_EQ(pgsink_sink_open(options.data(), options.size(), &schema, &callbacks, &sink, &error),
              0)
        << error.message;
    EXPECT_EQ(pgsink_sink_warnings_json(sink, &warnings.text, &error), 0);
    for (int64_t i = 0; i < 200; ++i) {
      EXPECT_EQ(write(sink, i * 100, 100, &error, static_cast<uint64_t>(i + 1)), 0);
      if (i % 50 == 0) {
        EXPECT_EQ(pgsink_sink_flush(sink, &error), 0) << error.message;
      }
    }
    EXPECT_EQ(pgsink_sink_close(sink, &error), 0) << error.message;
    EXPECT_EQ(pgsink_sink_durable_position(sink), 200U);
    EXPECT_EQ(pgsink_sink_metrics_json(sink, &metrics.text, &error), 0);
    EXPECT_THAT(metrics.text, HasSubstr("\"rows_written\":19999,"));
    EXPECT_THAT(letters.json, HasSubstr("\"row\":{\"id\":7}"));
    pgsink_sink_free(sink);
  };
  Options second;
  for (size_t i = 0; i < options_.size(); ++i) {
    second.set(options_.data()[i].key, options_.data()[i].value);
  }
  second.set("table", "u");
  std::thread other(load, std::cref(second));
  load(options_);
  other.join();
  EXPECT_EQ(scalar("SELECT (SELECT count(*) FROM t) || ' ' || (SELECT count(*) FROM u)"),
            "19999 19999");
}

/// What a program may call from any thread, while another one writes and is interrupted.
TEST_F(CTest, AnyThreadLooksAtASinkAndInterruptsIt) {
  pgsink_sink* const sink = open();
  std::atomic<bool> ended = false;
  std::thread other([&] {
    for (int looks = 0; !ended; ++looks) {
      CText metrics;
      EXPECT_EQ(pgsink_sink_metrics_json(sink, &metrics.text, nullptr), 0);
      pgsink_sink_durable_position(sink);
      pgsink_sink_status(sink, nullptr);
      if (looks == 20) pgsink_sink_interrupt(sink);
    }
  });
  CError error;
  int64_t next = 0;
  while (write(sink, next, 100, &error, static_cast<uint64_t>(next + 100)) == 0) next += 100;
  EXPECT_EQ(error.code, 2010U) << error.message;
  ended = true;
  other.join();
  pgsink_sink_free(sink);
}

TEST_F(CTest, DescribesTheTable) {
  CText json;
  CError error;
  ASSERT_EQ(pgsink_describe_json(options_.data(), options_.size(), &json.text, &error), 0);
  EXPECT_STREQ(json.text,
               R"([{"name":"id","type":"bigint","nullable":false,"default":"","key":true,)"
               R"("generated":false,"ordinal":1}])");
  EXPECT_EQ(pgsink_test(options_.data(), options_.size(), &error), 0) << error.message;
  options_.set("table", "missing");
  CText none;
  EXPECT_EQ(pgsink_describe_json(options_.data(), options_.size(), &none.text, &error), 3001);
  EXPECT_EQ(none.text, nullptr);
  EXPECT_EQ(pgsink_test(options_.data(), options_.size(), &error), 3001);
}

TEST_F(CTest, WarnsOfAServerThatDoesNotWaitForItsDisk) {
  sql("ALTER DATABASE " + database_ + " SET synchronous_commit = off");
  pgsink_sink* const sink = open();
  CText warnings;
  ASSERT_EQ(pgsink_sink_warnings_json(sink, &warnings.text, nullptr), 0);
  EXPECT_THAT(warnings.text, AllOf(HasSubstr("[\"connection \\\"pgsink\\\": synchronous_commit")));
  pgsink_sink_free(sink);
}

// ---- options ----------------------------------------------------------------------------------

TEST_F(CTest, TheOneTableChecksTheOptions) {
  options_.set("batch_siez", "10").set("parallelism", "many").set("username", "u");
  CError error;
  EXPECT_EQ(pgsink_test(options_.data(), options_.size(), &error), 1002);
  EXPECT_THAT(error.message,
              AllOf(HasSubstr("did you mean batch_size?"), HasSubstr("parallelism")));
}

TEST_F(CTest, AnOptionGivenTwiceIsRefused) {
  const pgsink_option twice[] = {{"table", "t"}, {"table", "u"}};
  CError error;
  EXPECT_EQ(pgsink_test(twice, 2, &error), 1005);
  EXPECT_STREQ(error.message, "the option table is given twice");
}

TEST_F(CTest, ValuesAreTakenAsTheyAre) {
  sql(R"(CREATE TABLE "${env:HOME}$" (id bigint))");
  options_.set("table", "${env:HOME}$");
  CError error;
  EXPECT_EQ(pgsink_test(options_.data(), options_.size(), &error), 0) << error.message;
}

TEST_F(CTest, EntriesOfAMapHaveKeysOfTheirOwn) {
  sql("ALTER TABLE t ADD tenant text");
  sql("ALTER TABLE t ALTER tenant SET DEFAULT current_setting('app.tenant', true)");
  options_.set("session_variables.app.tenant", "blue ${x}")
      .set("session_variables.work_mem", "8MB");
  pgsink_sink* const sink = open();
  EXPECT_EQ(write(sink, 1, 1), 0);
  CError error;
  EXPECT_EQ(pgsink_sink_close(sink, &error), 0) << error.message;
  pgsink_sink_free(sink);
  EXPECT_EQ(scalar("SELECT tenant FROM t"), "blue ${x}");
}

TEST_F(CTest, ListsItsOptions) {
  CText json;
  ASSERT_EQ(pgsink_options_json(&json.text, nullptr), 0);
  EXPECT_THAT(json.text, HasSubstr("\"conflict_columns\""));
}

// ---- misuse -----------------------------------------------------------------------------------

TEST_F(CTest, NullIsAnErrorAndNoCrash) {
  CError error;
  EXPECT_EQ(write(nullptr, 1, 1, &error), 9003);
  EXPECT_STREQ(error.message, "the sink is NULL");
  EXPECT_EQ(pgsink_sink_flush(nullptr, nullptr), 9003);
  EXPECT_EQ(pgsink_sink_durable_position(nullptr), 0U);
  pgsink_sink_interrupt(nullptr);
  pgsink_sink_free(nullptr);
  pgsink_free(nullptr);
  pgsink_error_clear(nullptr);
  EXPECT_EQ(pgsink_test(nullptr, 3, &error), 9003);
  const pgsink_option none{"table", nullptr};
  EXPECT_EQ(pgsink_test(&none, 1, &error), 9003);
  pgsink_sink* sink = nullptr;
  EXPECT_EQ(pgsink_sink_open(options_.data(), options_.size(), nullptr, nullptr, &sink, &error),
            9003);
  EXPECT_EQ(sink, nullptr);
  ArrowSchema schema;
  make_schema(&schema);
  EXPECT_EQ(pgsink_sink_open(options_.data(), options_.size(), &schema, nullptr, nullptr, &error),
            9003);
  EXPECT_EQ(pgsink_options_json(nullptr, &error), 9003);
}

/// What the callbacks of a login were told, and what they answer.
struct Login {
  std::string password;
  int wrong_length = 0;
  int attempts = 0;
  std::string waits{};
  int give_up = 0;

  static int give(void* context, char* password) {
    auto& self = *static_cast<Login*>(context);
    ++self.attempts;
    if (self.wrong_length != 0) return self.wrong_length;
    return static_cast<int>(self.password.copy(password, PGSINK_PASSWORD_MAX));
  }
  static int wait(void* context, const char* message, uint32_t failures, uint64_t pause_ms,
                  int begins) {
    auto& self = *static_cast<Login*>(context);
    if (begins == 1) self.waits += std::to_string(failures) + ": " + message + "; ";
    EXPECT_LE(pause_ms, 60'000U);
    return self.give_up;
  }
  pgsink_callbacks callbacks() {
    return {.size = sizeof(pgsink_callbacks),
            .context = this,
            .on_dead_letters = nullptr,
            .on_password = give,
            .on_server_wait = wait,
            .on_flight = nullptr};
  }
};

TEST_F(CTest, ACallbackGivesThePasswordOfEachLogin) {
  shared_server().create_role("token", "PASSWORD 'of 15 minutes'");
  sql("GRANT ALL ON t TO token");
  shared_server().set_hba({"local all token scram-sha-256"});
  options_.set("username", "token").set("parallelism", "2");
  Login login{.password = "of 15 minutes"};
  const pgsink_callbacks callbacks = login.callbacks();
  pgsink_sink* const sink = open(&callbacks);
  EXPECT_EQ(write(sink, 1, 10), 0);
  CError error;
  EXPECT_EQ(pgsink_sink_close(sink, &error), 0) << error.message;
  pgsink_sink_free(sink);
  EXPECT_EQ(login.attempts, 2);
  EXPECT_EQ(scalar("SELECT count(*) FROM t"), "10");
  for (const int length : {-1, PGSINK_PASSWORD_MAX + 1}) {
    login.wrong_length = length;
    ArrowSchema schema;
    make_schema(&schema);
    pgsink_sink* none = nullptr;
    EXPECT_EQ(
        pgsink_sink_open(options_.data(), options_.size(), &schema, &callbacks, &none, &error),
        2004);
    EXPECT_THAT(error.message, HasSubstr("on_password returned " + std::to_string(length)));
  }
  shared_server().trust_all();
}

TEST_F(CTest, ACallbackHearsOfAServerThatIsNotThereAndEndsTheWaiting) {
  options_.set("host", "127.0.0.1").set("port", std::to_string(free_port()));
  options_.set("max_retries", "2").set("retry_backoff_ms", "1");
  Login login;
  const pgsink_callbacks callbacks = login.callbacks();
  for (const auto& [give_up, code, waits] :
       {std::tuple{0, 2001, "2: "}, std::tuple{1, 2010, "1: "}}) {
    login.give_up = give_up;
    login.waits.clear();
    ArrowSchema schema;
    make_schema(&schema);
    pgsink_sink* sink = nullptr;
    CError error;
    EXPECT_EQ(
        pgsink_sink_open(options_.data(), options_.size(), &schema, &callbacks, &sink, &error),
        code)
        << error.message;
    EXPECT_THAT(login.waits, AllOf(HasSubstr(waits), HasSubstr("cannot connect")));
  }
}

// A program that was compiled with the first version of the header.
TEST_F(CTest, AShorterStructOfCallbacksIsTaken) {
  sql("ALTER TABLE t ADD CHECK (id <> 7)");
  Letters letters;
  pgsink_callbacks callbacks = Login().callbacks();
  callbacks.size = offsetof(pgsink_callbacks, on_password);
  callbacks.context = &letters;
  callbacks.on_dead_letters = Letters::take;
  pgsink_sink* const sink = open(&callbacks);
  EXPECT_EQ(write(sink, 1, 10), 0);
  CError error;
  EXPECT_EQ(pgsink_sink_close(sink, &error), 0) << error.message;
  EXPECT_THAT(letters.json, HasSubstr("\"input_row\":7"));
  pgsink_sink_free(sink);
}

TEST_F(CTest, AStructOfAnotherSizeIsNotWritten) {
  pgsink_error small = PGSINK_ERROR_INIT;
  small.size = sizeof(pgsink_error) - 8;
  small.code = 77;
  EXPECT_EQ(pgsink_test(options_.data(), options_.size(), &small), 9003);
  EXPECT_EQ(small.code, 77U);
  // A caller of a later version has more members than this library knows.
  struct Larger {
    pgsink_error error = PGSINK_ERROR_INIT;
    uint64_t later = 42;
  } larger;
  larger.error.size = sizeof larger;
  EXPECT_EQ(pgsink_sink_flush(nullptr, &larger.error), 9003);
  EXPECT_EQ(larger.error.size, sizeof larger);
  EXPECT_EQ(larger.later, 42U);
  pgsink_error_clear(&larger.error);
  EXPECT_EQ(larger.error.size, sizeof larger);
  const pgsink_callbacks callbacks{.size = 8,
                                   .context = nullptr,
                                   .on_dead_letters = nullptr,
                                   .on_password = nullptr,
                                   .on_server_wait = nullptr,
                                   .on_flight = nullptr};
  ArrowSchema schema;
  make_schema(&schema);
  pgsink_sink* sink = nullptr;
  CError error;
  EXPECT_EQ(pgsink_sink_open(options_.data(), options_.size(), &schema, &callbacks, &sink, &error),
            9003);
}

TEST_F(CTest, ABatchOfAnotherShapeIsRefused) {
  pgsink_sink* const sink = open();
  ArrowArray batch;
  make_batch(&batch, 1, 3);
  batch.n_children = 0;
  CError error;
  EXPECT_EQ(pgsink_sink_write(sink, nullptr, &batch, 0, &error), 4002);
  EXPECT_THAT(error.message, HasSubstr("has 0 columns, its schema 1"));
  // It was released as it was found.
  EXPECT_EQ(pgsink_sink_write(sink, nullptr, &batch, 0, &error), 9003);
  pgsink_sink_free(sink);
}

TEST_F(CTest, ABatchWithASchemaOfItsOwnIsCompared) {
  pgsink_sink* const sink = open();
  ArrowSchema schema;
  ArrowArray batch;
  CError error;
  make_schema(&schema);
  make_batch(&batch, 1, 3);
  EXPECT_EQ(pgsink_sink_write(sink, &schema, &batch, 0, &error), 0) << error.message;
  make_schema(&schema);
  schema.children[0]->format = "i";
  make_batch(&batch, 4, 3);
  EXPECT_EQ(pgsink_sink_write(sink, &schema, &batch, 0, &error), 9003);
  EXPECT_EQ(pgsink_sink_close(sink, &error), 0) << error.message;
  pgsink_sink_free(sink);
  EXPECT_EQ(scalar("SELECT count(*) FROM t"), "3");
}

/// As write(), of a batch that belongs to a stream.
int write_claimed(pgsink_sink* sink, const char* stream, int64_t first, uint64_t position,
                  pgsink_error* error) {
  ArrowArray batch;
  make_batch(&batch, first, 10);
  const int code = pgsink_sink_write_claimed(sink, stream, nullptr, &batch, position, error);
  EXPECT_EQ(batch.release, nullptr) << "not moved";
  return code;
}

TEST_F(CTest, StreamsMoveBetweenSinks) {
  options_.set("delivery", "exactly_once").set("sink_id", "c").set("streams", "true");
  pgsink_sink* const first = open();
  CError error;
  const char* const both[] = {"b", "a"};
  uint64_t positions[] = {0, 100};
  ASSERT_EQ(pgsink_sink_claim(first, both, 2, positions, &error), 0) << error.message;
  EXPECT_EQ(positions[0], 0U);
  EXPECT_EQ(positions[1], 100U);
  ASSERT_EQ(write_claimed(first, "b", 1, 10, &error), 0) << error.message;
  ASSERT_EQ(write_claimed(first, "a", 101, 110, &error), 0) << error.message;
  EXPECT_EQ(pgsink_sink_release(first, both, 1, 0, &error), 0) << error.message;
  EXPECT_EQ(scalar("SELECT count(*) FROM t WHERE id < 100"), "10");
  EXPECT_EQ(pgsink_sink_stream_position(first, "b"), 0U);
  ASSERT_EQ(pgsink_sink_flush(first, &error), 0) << error.message;
  EXPECT_EQ(pgsink_sink_stream_position(first, "a"), 110U);
  EXPECT_EQ(pgsink_sink_stream_status(first, "a", &error), 0);

  pgsink_sink* const second = open();
  positions[0] = positions[1] = 0;
  ASSERT_EQ(pgsink_sink_claim(second, both, 2, positions, &error), 0) << error.message;
  EXPECT_EQ(positions[0], 10U);
  EXPECT_EQ(positions[1], 110U);
  ASSERT_EQ(write_claimed(first, "a", 111, 120, &error), 0) << error.message;
  EXPECT_EQ(pgsink_sink_flush(first, &error), 6002);
  EXPECT_EQ(pgsink_sink_stream_status(first, "a", &error), 6002);
  EXPECT_THAT(error.message, HasSubstr("stream \"a\" of sink \"c\" is fenced by"));
  EXPECT_EQ(pgsink_sink_release(first, &both[1], 1, 1, &error), 0) << error.message;
  ASSERT_EQ(write_claimed(second, "a", 111, 120, &error), 0) << error.message;
  EXPECT_EQ(pgsink_sink_close(second, &error), 0) << error.message;
  EXPECT_EQ(scalar("SELECT count(*) || ' ' || sum(id) FROM t"), "30 2265");
  pgsink_sink_free(first);
  pgsink_sink_free(second);
}

TEST_F(CTest, MistakesWithStreamsAreErrors) {
  options_.set("delivery", "exactly_once").set("sink_id", "c").set("streams", "true");
  pgsink_sink* const sink = open();
  CError error;
  const char* const names[] = {"a", nullptr};
  uint64_t positions[] = {7, 8};
  EXPECT_EQ(pgsink_sink_claim(sink, names, 2, positions, &error), 9003);
  EXPECT_EQ(positions[0], 7U);
  EXPECT_EQ(pgsink_sink_claim(sink, nullptr, 1, positions, &error), 9003);
  EXPECT_EQ(pgsink_sink_claim(sink, names, 1, nullptr, &error), 9003);
  EXPECT_EQ(pgsink_sink_claim(nullptr, names, 1, positions, &error), 9003);
  EXPECT_EQ(pgsink_sink_claim(sink, nullptr, 0, nullptr, &error), 0) << error.message;
  EXPECT_EQ(pgsink_sink_release(sink, names, 1, 0, &error), 9003);
  EXPECT_THAT(error.message, HasSubstr("\"a\" is not claimed"));
  EXPECT_EQ(write_claimed(sink, nullptr, 1, 1, &error), 9003);
  EXPECT_EQ(write_claimed(sink, "a", 1, 1, &error), 9003);
  EXPECT_EQ(pgsink_sink_stream_position(sink, nullptr), 0U);
  EXPECT_EQ(pgsink_sink_stream_position(nullptr, "a"), 0U);
  EXPECT_EQ(pgsink_sink_stream_status(sink, nullptr, &error), 9003);
  pgsink_sink_free(sink);
}

}  // namespace
}  // namespace pgsink::test
