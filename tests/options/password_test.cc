// Passwords that change while a sink works: from a command, a callback, or a file of secrets.

#include <chrono>
#include <fstream>
#include <memory>
#include <string>
#include <utility>

#include <pgsink/batch_of.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pgsink/client/env.h"
#include "pgsink/sink.h"
#include "support/patience.h"
#include "support/postgres_server.h"

namespace pgsink::test {
namespace {

using testing::HasSubstr;
using testing::Not;

class PasswordTest : public testing::Test {
 protected:
  void SetUp() override {
    database_ = server().create_database("password");
    server().create_role("token_user", "PASSWORD 'first'");
    server().sql("CREATE TABLE t (id bigint); GRANT ALL ON t TO token_user", database_);
    server().set_hba({"host all token_user 127.0.0.1/32 scram-sha-256"});
    file_ = server().directory() + "/token";
    options_.connection_name = "test";
    options_.host = "127.0.0.1";
    options_.port = std::to_string(server().port());
    options_.database = database_;
    options_.username = "token_user";
    options_.table = "t";
    options_.retry_backoff_ms = 1;
  }
  void TearDown() override {
    sink_.reset();
    server().trust_all();
    server().sql("DROP OWNED BY token_user", database_);
  }
  static PostgresServer& server() { return shared_server(); }
  void set_password(const std::string& password) {
    server().sql("ALTER ROLE token_user PASSWORD '" + password + "'");
    std::ofstream(file_) << password << "\nsecond line\n";
    password_ = password;
  }
  static RecordBatch row() {
    return batch_of_columns(column("id", std::vector<int64_t>{1})).value();
  }
  /// Opens, changes the password, and makes the sink log in again.
  void expect_rotation() {
    set_password("first");
    auto sink = Sink::open(options_, row().schema());
    ASSERT_TRUE(sink) << sink.error().to_string();
    sink_ = std::move(*sink);
    set_password("second");
    server().sql(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE usename = "
        "'token_user'");
    ASSERT_TRUE(sink_->write(row()));
    const Status flushed = sink_->flush();
    EXPECT_TRUE(flushed) << flushed.error().to_string();
  }
  std::string error_of_open() {
    const auto sink = Sink::open(options_, row().schema());
    return sink ? "" : sink.error().to_string();
  }

  std::string database_, file_, password_;
  SinkOptions options_;
  std::unique_ptr<Sink> sink_;
};

TEST_F(PasswordTest, ACommandIsAskedForEachLogin) {
  options_.password_command = "cat " + file_;
  expect_rotation();
}

TEST_F(PasswordTest, ACallbackIsAskedForEachLogin) {
  options_.on_password = [this]() -> Result<std::string> { return password_; };
  expect_rotation();
}

TEST_F(PasswordTest, ACommandThatFailsSaysHow) {
  options_.password_command = "echo s3cret; exit 3";
  EXPECT_THAT(error_of_open(), testing::AllOf(HasSubstr("password_command: it failed with exit "
                                                        "code 3"),
                                              Not(HasSubstr("s3cret\n"))));
  options_.password_command = "true";
  EXPECT_THAT(error_of_open(), HasSubstr("it wrote no line"));
  OsEnv os;
  const auto line = os.env().files.line_of("sleep 1000", std::chrono::milliseconds(10));
  ASSERT_FALSE(line);
  EXPECT_THAT(line.error().message, HasSubstr("has not ended within connection_timeout_ms"));
  options_.on_password = []() -> Result<std::string> {
    return fail(Errc::kAuthentication, "no token today");
  };
  EXPECT_THAT(error_of_open(), HasSubstr("no token today"));
}

TEST_F(PasswordTest, ACommandExcludesAPassword) {
  options_.password_command = "cat " + file_;
  options_.password = "first";
  EXPECT_THAT(error_of_open(), HasSubstr("exclude each other"));
}

}  // namespace
}  // namespace pgsink::test
