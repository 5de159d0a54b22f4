// No block of the specification is forgotten: each is run by a test of this folder.

#include <filesystem>

#include <gtest/gtest.h>

#include "shell/specification.h"

namespace pgsink::test {
namespace {

std::string all_tests() {
  std::string text;
  const char* folder = PGSINK_SOURCE_DIR "/tests/shell";
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.path().extension() == ".cc") text += read_file(entry.path().string());
  }
  return text;
}

TEST(SpecificationBlocks, EachIsRunByATest) {
  const auto headings = block_headings();
  ASSERT_EQ(headings.size(), 28U);
  const std::string tests = all_tests();
  for (const std::string& heading : headings) {
    const bool run = tests.find("block(\"" + heading + "\")") != std::string::npos;
    EXPECT_TRUE(run) << heading;
  }
}

TEST(SpecificationBlocks, AllTogetherAreOneScriptThatBinds) {
  // What the queries read, with the columns and types that they use.
  constexpr const char* kSources = R"sql(
CREATE TABLE source_events (event_id BIGINT, user_id INT, event_type TEXT, timestamp TIMESTAMPTZ,
                            properties JSON);
CREATE TABLE user_activity (user_id BIGINT, username TEXT, activity_count INT);
CREATE TABLE price_changes (product_id INT, new_price DECIMAL(10,2));
CREATE TABLE sessions (session_id TEXT, expired_at TIMESTAMPTZ);
CREATE TABLE source_data (data JSON);
CREATE TABLE user_data (user_id BIGINT, tag TEXT, score DOUBLE);
CREATE TABLE locations (id BIGINT, street TEXT, city TEXT, state TEXT, zip TEXT, lat DOUBLE,
                        lon DOUBLE);
CREATE TABLE transactions (transaction_id BIGINT, account_id INT, amount DECIMAL(18,2),
                           balance DECIMAL(18,2), timestamp TIMESTAMPTZ, validated BOOLEAN);
CREATE TABLE events (id BIGINT, event_data STRUCT(a INT), metadata STRUCT(b INT), event_id BIGINT,
                     event_type TEXT, created_at TIMESTAMPTZ, data JSON);
CREATE TABLE error_log (data JSON, error_type TEXT, error_time TIMESTAMPTZ);
CREATE MACRO validate_record(data) AS json_valid(data);
)sql";
  std::string script = kSources;
  for (const std::string& heading : block_headings()) {
    script += block(heading) + ";\n";
  }
  const auto run = pgsink_input(script, {"--check"});
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(run.err, "");
}

}  // namespace
}  // namespace pgsink::test
