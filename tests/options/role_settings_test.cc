// Settings that a role can hold: with each of them a sink writes the same rows, or says the
// setting's name. PGSINK_ROLE_SETTINGS=all tries numbers and the planner's switches too, and
// every write mode under every delivery (tests/soak).

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <pgsink/batch_of.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <libpq-fe.h>

#include "pgsink/sink.h"
#include "support/postgres_server.h"

namespace pgsink::test {
namespace {

enum class Way : uint8_t { kAtLeastOnce, kExactlyOnce, kTwoPhase };
constexpr Way kWays[] = {Way::kAtLeastOnce, Way::kExactlyOnce, Way::kTwoPhase};
constexpr WriteMode kModes[] = {WriteMode::kUpsert,       WriteMode::kInsert,
                                WriteMode::kUpdate,       WriteMode::kDelete,
                                WriteMode::kInsertIgnore, WriteMode::kChangelog};

struct Row {
  int64_t id = 0;
  std::string x, ts, i, b, m;
  double f = 0;
  std::string operation;
};

RecordBatch rows(WriteMode mode) {
  std::vector<Row> rows{
      {1, "a", "2024-02-03 04:05:06.789+00", "1 day", "\\x00ff", "<a/>", 0.1, "I"},
      {2, "\\x41", "1999-12-31 23:59:59+00", "02:03:04", "\\x", "<b>1</b>", -1e300, "U"},
      {3, "", "2000-01-01 00:00:00+00", "1 mon", "\\x61", "<c/>", 3.0, "D"},
      {4, "\u00fc", "2024-06-01 12:00:00+00", "-1 days", "\\x5c", "<d/>", 1.0 / 3.0, "I"}};
  RecordBatch made =
      mode == WriteMode::kChangelog
          ? batch_of(std::move(rows), column("id", &Row::id), column("x", &Row::x),
                     column("ts", &Row::ts), column("i", &Row::i), column("b", &Row::b),
                     column("m", &Row::m), column("f", &Row::f), column("_op", &Row::operation))
          : batch_of(std::move(rows), column("id", &Row::id), column("x", &Row::x),
                     column("ts", &Row::ts), column("i", &Row::i), column("b", &Row::b),
                     column("m", &Row::m), column("f", &Row::f));
  made.position = 1;
  return made;
}

struct Setting {
  std::string name, kind, minimum, maximum, now;
  std::vector<std::string> choices;
};

class RoleSettingsTest : public testing::Test {
 protected:
  void SetUp() override {
    database_ = server().create_database("role_settings");
    server().create_role("settings_user", "SUPERUSER");
    sql("CREATE TABLE t (id bigint PRIMARY KEY, x text, ts timestamptz, i interval, b bytea, m "
        "text, f float8)");
  }
  void TearDown() override {
    sql("ALTER ROLE settings_user RESET ALL; ALTER ROLE settings_user NOSUPERUSER");
  }
  static PostgresServer& server() { return shared_server(); }
  void sql(const std::string& text) { server().sql(text, database_); }

  /// What a session may change, except what makes every login fail or is about debugging the
  /// server itself.
  std::vector<Setting> settings() {
    const auto found = server().sql(
        "SELECT name, vartype, min_val, max_val, setting, array_to_string(enumvals, ',') "
        "FROM pg_settings WHERE context IN ('user', 'superuser', 'superuser-backend', 'backend')"
        " AND name NOT IN ('exit_on_error', 'session_authorization', 'role', 'is_superuser',"
        " 'local_preload_libraries', 'session_preload_libraries', 'dynamic_library_path',"
        " 'post_auth_delay', 'pre_auth_delay', 'wal_consistency_checking', 'jit_provider',"
        " 'extension_destdir', 'extension_control_path', 'log_min_messages',"
        " 'trace_recovery_messages', 'seed', 'in_hot_standby', 'backtrace_functions')"
        " AND name !~ '^(debug_|log_|trace_|ssl_|zero_damaged|ignore_)' ORDER BY name",
        database_);
    std::vector<Setting> settings;
    for (const auto& row : found) {
      Setting setting{row[0].value_or(""), row[1].value_or(""), row[2].value_or(""),
                      row[3].value_or(""), row[4].value_or(""), {}};
      std::string choices = row[5].value_or("");
      while (!choices.empty()) {
        const size_t comma = std::min(choices.find(','), choices.size());
        setting.choices.push_back(choices.substr(0, comma));
        choices.erase(0, comma + 1);
      }
      settings.push_back(std::move(setting));
    }
    return settings;
  }

  /// Values that differ from the present one, and are as far from it as can be.
  static std::vector<std::string> values_of(const Setting& setting) {
    static const std::map<std::string, std::vector<std::string>> kTexts{
        {"search_path", {"''", "\"$user\"", "pg_temp"}},
        {"DateStyle", {"German, DMY", "SQL, YMD", "Postgres"}},
        {"TimeZone", {"Asia/Kathmandu", "America/St_Johns"}},
        {"lc_messages", {"C"}},
        {"lc_monetary", {"C"}},
        {"lc_numeric", {"C"}},
        {"lc_time", {"C"}},
        {"application_name", {"other"}},
        {"client_encoding", {"LATIN1", "SQL_ASCII", "EUC_JP"}},
        {"createrole_self_grant", {"set, inherit"}},
        {"default_table_access_method", {"heap"}},
        {"default_tablespace", {"pg_default"}},
        {"default_text_search_config", {"pg_catalog.german"}},
        {"restrict_nonsystem_relation_kind", {"view", "foreign-table"}},
        {"temp_tablespaces", {"pg_default"}},
        {"timezone_abbreviations", {"India"}},
    };
    if (setting.kind == "bool") return {setting.now == "on" ? "off" : "on"};
    if (setting.kind == "enum") return setting.choices;
    if (setting.kind == "string") {
      const auto known = kTexts.find(setting.name);
      return known == kTexts.end() ? std::vector<std::string>{} : known->second;
    }
    std::vector<std::string> ends;
    if (setting.minimum != setting.now) ends.push_back(setting.minimum);
    // The largest times and sizes are the same as none.
    if (setting.maximum != setting.now && !setting.name.ends_with("_mem")) {
      ends.push_back(setting.maximum);
    }
    return ends;
  }

  SinkOptions options(WriteMode mode, Way way) const {
    SinkOptions options;
    options.connection_name = "test";
    options.host = server().socket_dir();
    options.port = std::to_string(server().port());
    options.database = database_;
    options.username = "settings_user";
    options.table = "t";
    options.write_mode = mode;
    options.sink_id = way == Way::kAtLeastOnce ? "" : "s";
    options.max_retries = 1;
    options.retry_backoff_ms = 1;
    if (mode == WriteMode::kUpsert) options.conflict_columns = {"id"};
    if (way == Way::kExactlyOnce) options.delivery = Delivery::kExactlyOnce;
    options.use_2pc = way == Way::kTwoPhase;
    return options;
  }
  /// The rows afterwards, or the error.
  std::string outcome(WriteMode mode, Way way) {
    sql("TRUNCATE t; DROP TABLE IF EXISTS pgsink_epochs, pgsink_writers, pgsink_decisions");
    if (mode != WriteMode::kInsert) {
      sql("INSERT INTO t SELECT i, 'old' FROM generate_series(2, 5) AS g(i)");
    }
    RecordBatch batch = rows(mode);
    auto sink = Sink::open(options(mode, way), batch.schema());
    if (!sink) return sink.error().to_string();
    Status done = (*sink)->write(std::move(batch));
    if (done) done = (*sink)->close();
    if (!done) return done.error().to_string();
    return "rows " +
           server().scalar("SELECT string_agg(t::text, ' ' ORDER BY id) FROM t", database_);
  }
  static bool names(std::string error, std::string name) {
    const auto lower = [](std::string& text) {
      std::ranges::transform(text, text.begin(), [](unsigned char c) { return std::tolower(c); });
    };
    lower(error);
    lower(name);
    return error.find(name) != std::string::npos;
  }

  std::string database_;
};

TEST_F(RoleSettingsTest, ChangeNothingOrAreNamed) {
  const char* const wanted = std::getenv("PGSINK_ROLE_SETTINGS");
  const bool all = wanted != nullptr && std::string(wanted) == "all";
  std::map<std::pair<WriteMode, Way>, std::string> usual;
  std::vector<std::pair<WriteMode, Way>> ways;
  for (const WriteMode mode : kModes) {
    for (const Way way : kWays) {
      // Otherwise each setting is tried in one of them, in turns.
      ways.emplace_back(mode, way);
      usual[ways.back()] = outcome(mode, way);
      ASSERT_TRUE(usual[ways.back()].starts_with("rows ")) << usual[ways.back()];
    }
  }
  size_t tried = 0;
  for (const Setting& setting : settings()) {
    const bool number = setting.kind == "integer" || setting.kind == "real";
    if ((number || setting.name.starts_with("enable_")) && !all) continue;
    const std::vector<std::string> values = values_of(setting);
    EXPECT_FALSE(values.empty() && setting.kind == "string")
        << setting.name << ": no value for it is in this test";
    for (const std::string& value : values) {
      const std::string quoted = setting.name == "search_path" ? value : "'" + value + "'";
      try {
        sql("ALTER ROLE settings_user SET " + setting.name + " = " + quoted);
      } catch (const std::exception&) {
        continue;  // The server refuses that value.
      }
      for (size_t i = 0; i < (all ? ways.size() : 1); ++i) {
        const auto& way = ways[(tried + i) % ways.size()];
        const std::string now = outcome(way.first, way.second);
        EXPECT_TRUE(now == usual[way] || (!now.starts_with("rows ") && names(now, setting.name)))
            << setting.name << " = " << value << ", mode " << static_cast<int>(way.first)
            << ", delivery " << static_cast<int>(way.second) << ": " << now;
      }
      sql("ALTER ROLE settings_user RESET ALL");
      ++tried;
    }
  }
  EXPECT_GT(tried, 40U);
}

}  // namespace
}  // namespace pgsink::test
