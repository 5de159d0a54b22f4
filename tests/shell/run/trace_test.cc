// The trace of a run, as the server sees it; and the lines of the log about connections.

#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "shell/shell_support.h"

namespace pgsink::test {
namespace {

using testing::HasSubstr;

const std::string kTrace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const std::string kOther = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// Writes one row, whose column is the application name of the session that wrote it.
std::string name_seen(const std::string& more, std::vector<std::string> arguments,
                      RunOptions options = {}) {
  create_table("traced", "(id int, name text DEFAULT current_setting('application_name'))");
  arguments.insert(arguments.end(), {"-c", connection("traced", "traced", more) +
                                               "INSERT INTO traced SELECT 1 AS id"});
  const Captured run = pgsink(std::move(arguments), std::move(options));
  EXPECT_EQ(run.exit_code, 0) << run.err;
  return analytics_server().scalar("SELECT name FROM traced", "analytics");
}

RunOptions with_variable(const std::string& value) {
  RunOptions options;
  options.environment.emplace_back("TRACEPARENT", value);
  return options;
}

TEST(Trace, IsTheApplicationNameAndAbsentWithoutOne) {
  EXPECT_EQ(name_seen("", {}), "pgsink/traced");
  EXPECT_EQ(name_seen("", {"--traceparent", kTrace}), "pgsink/" + kTrace);
  EXPECT_EQ(name_seen("", {}, with_variable(kTrace)), "pgsink/" + kTrace);
  EXPECT_EQ(name_seen("", {"--traceparent", kTrace}, with_variable(kOther)), "pgsink/" + kTrace);
  EXPECT_EQ(name_seen("traceparent = '" + kOther + "'", {"--traceparent", kTrace}),
            "pgsink/" + kOther);
  EXPECT_EQ(name_seen("application_name = 'mine'", {"--traceparent", kTrace}), "mine");
  EXPECT_EQ(name_seen("", {}, with_variable("not a trace")), "pgsink/traced") << "as W3C says";
}

TEST(Trace, AFlagThatIsNoneIsRefused) {
  const Captured run = pgsink({"--traceparent", "00-1-2-01", "-c", "SELECT 1"});
  EXPECT_EQ(run.exit_code, 2);
  EXPECT_THAT(run.err, HasSubstr("--traceparent takes version, trace, parent and flags"));
}

// Each once, and what needs no attention only for debugging.
TEST(LogLines, TellOfConnections) {
  create_table("lines", "(id int)");
  // The first row ends the session that writes it.
  const std::string script = connection("lines", "lines",
                                        "batch_size = 1, transaction_size = 1, in_flight_max = 1, "
                                        "retry_backoff_ms = 10") +
                             "INSERT INTO lines SELECT range AS id FROM range(2)";
  analytics_server().sql(
      "CREATE SEQUENCE IF NOT EXISTS kills; GRANT ALL ON SEQUENCE kills TO PUBLIC;"
      "CREATE OR REPLACE FUNCTION end_once() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS "
      "$$ BEGIN IF nextval('kills') = 1 THEN PERFORM pg_terminate_backend(pg_backend_pid()); END "
      "IF; RETURN NEW; END $$;"
      "CREATE TRIGGER end_once BEFORE INSERT ON lines FOR EACH ROW EXECUTE FUNCTION end_once()",
      "analytics");
  for (const std::string level : {"info", "debug"}) {
    analytics_server().sql("ALTER SEQUENCE kills RESTART", "analytics");
    const Captured run = pgsink({"--log-level", level, "-c", script});
    EXPECT_EQ(run.exit_code, 0) << run.err;
    const auto count = [&](const std::string& text) {
      size_t found = 0;
      for (size_t at = run.err.find(text); at != std::string::npos;
           at = run.err.find(text, at + 1)) {
        ++found;
      }
      return found;
    };
    EXPECT_EQ(
        count("warning: connection \"lines\", table public.lines, lane 1: lost its connection"), 1U)
        << run.err;
    EXPECT_EQ(count("lane 1: connected again to "), 1U) << run.err;
    EXPECT_EQ(count("lane 1: connected to "), level == "debug" ? 1U : 0U) << run.err;
  }
  analytics_server().sql("DROP TABLE lines; DROP FUNCTION end_once; DROP SEQUENCE kills",
                         "analytics");
}

}  // namespace
}  // namespace pgsink::test
