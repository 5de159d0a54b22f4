// The table of options: complete, true to SinkOptions, and documented.

#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>

#include <pgsink/options.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ddl/ddl_support.h"
#include "pgsink/options/values.h"

namespace pgsink {
namespace {

using ddl_test::bind_with;
using ddl_test::Read;
using ::testing::HasSubstr;

std::string read_file(const std::string& path) {
  const std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

/// Every key of semantics §2, and the few that its other sections name.
const std::vector<std::string> kSpecificationKeys{"host",
                                                  "port",
                                                  "database",
                                                  "username",
                                                  "password",
                                                  "table",
                                                  "schema",
                                                  "type",
                                                  "write_mode",
                                                  "conflict_columns",
                                                  "update_columns",
                                                  "key_columns",
                                                  "batch_size",
                                                  "batch_timeout_ms",
                                                  "use_copy",
                                                  "copy_batch_size",
                                                  "use_prepared_statements",
                                                  "statement_cache_size",
                                                  "partition_column",
                                                  "partition_type",
                                                  "create_partitions",
                                                  "transaction_size",
                                                  "isolation_level",
                                                  "use_2pc",
                                                  "prepared_transaction_id",
                                                  "connection_pool_size",
                                                  "connection_timeout_ms",
                                                  "idle_timeout_ms",
                                                  "parallelism",
                                                  "partition_by",
                                                  "disable_triggers",
                                                  "fire_triggers",
                                                  "is_foreign_table",
                                                  "replication_slot",
                                                  "publication",
                                                  "max_retries",
                                                  "retry_backoff_ms",
                                                  "retry_on_errors",
                                                  "ssl_mode",
                                                  "ssl_cert",
                                                  "ssl_key",
                                                  "ssl_root_cert",
                                                  "set_role",
                                                  "session_variables"};
const std::vector<std::string> kExtensionKeys{"url",
                                              "target_session_attrs",
                                              "load_balance_hosts",
                                              "newer_by",
                                              "batch_bytes",
                                              "partition_interval",
                                              "partition_name",
                                              "partition_copy_min_rows",
                                              "confirm_slot",
                                              "retry_timeout_ms",
                                              "replication_origin",
                                              "snapshot",
                                              "accept_gap_until",
                                              "tables",
                                              "tables_exclude",
                                              "target_tables",
                                              "snapshot_parallelism",
                                              "password_command",
                                              "passfile",
                                              "service",
                                              "hostaddr",
                                              "traceparent",
                                              "silence_timeout_ms",
                                              "dead_letter_table",
                                              "dead_letter_file",
                                              "max_rejects",
                                              "max_reject_ratio",
                                              "ssl_crl",
                                              "ssl_min_version",
                                              "ssl_negotiation",
                                              "channel_binding",
                                              "require_auth",
                                              "delivery",
                                              "streams",
                                              "sink_id",
                                              "create_table",
                                              "schema_evolution",
                                              "application_name",
                                              "scram_iterations_max",
                                              "statement_timeout_ms",
                                              "lock_timeout_ms",
                                              "keepalives_idle_s",
                                              "keepalives_interval_s",
                                              "keepalives_count",
                                              "tcp_user_timeout_ms",
                                              "buffer_bytes",
                                              "in_flight_max",
                                              "atomic",
                                              "delete_missing",
                                              "on_rounding"};

TEST(OptionTable, HasEveryKeyOnceAndNoOther) {
  std::set<std::string> expected(kSpecificationKeys.begin(), kSpecificationKeys.end());
  expected.insert(kExtensionKeys.begin(), kExtensionKeys.end());
  std::multiset<std::string> present;
  for (const OptionInfo& info : option_table()) present.emplace(info.key);
  EXPECT_EQ(present, std::multiset<std::string>(expected.begin(), expected.end()));
}

TEST(OptionTable, MarksExtensions) {
  for (const std::string& key : kSpecificationKeys) EXPECT_TRUE(find_option(key)->in_specification);
  for (const std::string& key : kExtensionKeys) EXPECT_FALSE(find_option(key)->in_specification);
}

TEST(OptionTable, RowsAreComplete) {
  for (const OptionInfo& info : option_table()) {
    EXPECT_FALSE(info.group.empty()) << info.key;
    EXPECT_TRUE(info.meaning.ends_with('.')) << info.key;
    EXPECT_FALSE(info.example.empty()) << info.key;
    EXPECT_NE(info.store, nullptr) << info.key;
    EXPECT_NE(info.is_set, nullptr) << info.key;
    EXPECT_EQ(info.type == OptionType::kChoice, !info.choices.empty()) << info.key;
    if (info.type == OptionType::kInteger) {
      EXPECT_LT(info.min, info.max) << info.key;
    }
    EXPECT_TRUE(info.default_text.empty() || info.unset.empty()) << info.key << " has two defaults";
  }
}

TEST(OptionTable, RowsOfAGroupStandTogether) {
  std::set<std::string_view> closed;
  std::string_view group;
  for (const OptionInfo& info : option_table()) {
    if (info.group == group) continue;
    EXPECT_TRUE(closed.insert(info.group).second) << info.group << " begins again at " << info.key;
    group = info.group;
  }
}

TEST(OptionTable, AliasesAreNoKeysAndMeanOneOption) {
  std::set<std::string_view> seen;
  for (const OptionInfo& info : option_table()) {
    for (const std::string_view alias : option_aliases(info)) {
      EXPECT_EQ(find_option(alias), nullptr) << alias;
      EXPECT_TRUE(seen.insert(alias).second) << alias;
      EXPECT_EQ(nearest_option(alias), info.key);
    }
  }
}

TEST(OptionTable, DefaultsAreThoseOfSinkOptions) {
  for (const OptionInfo& info : option_table()) {
    EXPECT_FALSE(info.is_set(SinkOptions{})) << info.key;
    if (info.default_text.empty()) continue;
    OptionValue value;
    value.text = info.default_text;
    SinkOptions options;
    const Status stored = info.store(value, info, options);
    EXPECT_TRUE(stored) << info.key;
    EXPECT_FALSE(info.is_set(options)) << info.key << " = " << info.default_text;
  }
}

TEST(OptionTable, EachRowStoresIntoItsOwnMemberOnly) {
  for (const OptionInfo& info : option_table()) {
    const Read read =
        ddl_test::parse("CREATE CONNECTION c TO postgresql (" + std::string(info.key) + " = " +
                        std::string(info.example) + ")");
    const auto* connection = read.as<CreateConnection>();
    ASSERT_NE(connection, nullptr) << info.key << read.report();
    SinkOptions options;
    const Status stored = info.store(connection->options[0].value, info, options);
    EXPECT_TRUE(stored) << info.key << ": the example is not accepted: " << stored.error().message;
    for (const OptionInfo& other : option_table()) {
      if (&other != &info) {
        EXPECT_FALSE(other.is_set(options)) << info.key << " sets " << other.key;
      }
    }
  }
}

TEST(OptionTable, ChoicesStandInTheOrderOfTheirEnumerators) {
  const auto choose = [](std::string_view key, const std::string& text) {
    SinkOptions options;
    OptionValue value;
    value.text = text;
    EXPECT_TRUE(find_option(key)->store(value, *find_option(key), options)) << key << text;
    return options;
  };
  EXPECT_EQ(choose("write_mode", "insert").write_mode, WriteMode::kInsert);
  EXPECT_EQ(choose("write_mode", "upsert").write_mode, WriteMode::kUpsert);
  EXPECT_EQ(choose("write_mode", "update").write_mode, WriteMode::kUpdate);
  EXPECT_EQ(choose("write_mode", "delete").write_mode, WriteMode::kDelete);
  EXPECT_EQ(choose("write_mode", "insert_ignore").write_mode, WriteMode::kInsertIgnore);
  EXPECT_EQ(choose("write_mode", "changelog").write_mode, WriteMode::kChangelog);
  using Isolation = IsolationLevel;
  EXPECT_EQ(choose("isolation_level", "read uncommitted").isolation_level,
            Isolation::kReadUncommitted);
  EXPECT_EQ(choose("isolation_level", "Read_Committed").isolation_level, Isolation::kReadCommitted);
  EXPECT_EQ(choose("isolation_level", "REPEATABLE READ").isolation_level,
            Isolation::kRepeatableRead);
  EXPECT_EQ(choose("isolation_level", "serializable").isolation_level, Isolation::kSerializable);
  EXPECT_EQ(choose("partition_type", "range").partition_type, PartitionType::kRange);
  EXPECT_EQ(choose("partition_type", "list").partition_type, PartitionType::kList);
  EXPECT_EQ(choose("partition_type", "hash").partition_type, PartitionType::kHash);
  EXPECT_EQ(choose("fire_triggers", "replica").fire_triggers, FireTriggers::kReplica);
  EXPECT_EQ(choose("fire_triggers", "disabled").fire_triggers, FireTriggers::kDisabled);
  EXPECT_EQ(choose("delivery", "exactly_once").delivery, Delivery::kExactlyOnce);
  EXPECT_EQ(choose("schema_evolution", "validate").schema_evolution, SchemaEvolution::kValidate);
  EXPECT_EQ(choose("schema_evolution", "add_columns").schema_evolution,
            SchemaEvolution::kAddColumns);
  EXPECT_EQ(choose("type", "source").type, ConnectionType::kSource);
  // Texts take the spelling of the table.
  EXPECT_EQ(choose("ssl_mode", "VERIFY-FULL").ssl_mode, "verify-full");
  EXPECT_EQ(choose("ssl_min_version", "tlsv1.3").ssl_min_version, "TLSv1.3");
}

// ---- bad values ------------------------------------------------------------------------------

struct BadValue {
  std::string key, value, takes;
};

const std::vector<BadValue> kBadValues{
    {"url", "5", "text in single quotes"},
    {"host", "5", "text in single quotes"},
    {"host", "'localhost:5432'", "the port goes into the option port"},
    {"host", "'postgresql://localhost/x'", "a URL goes into the option url"},
    {"host", "'a,,b'", "a name between two commas, not 'a,,b'"},
    {"host", "'[::1]'", "without brackets"},
    {"host", "'local host'", "without blanks"},
    {"port", "0", "from 1 to 65535"},
    {"port", "65536", "from 1 to 65535"},
    {"port", "'5432,x'", "from 1 to 65535"},
    {"port", "'5432,'", "separated by commas, one for each host"},
    {"port", "5432.5", "from 1 to 65535"},
    {"port", "true", "from 1 to 65535"},
    {"database", "5", "text in single quotes"},
    {"username", "true", "text in single quotes"},
    {"password", "12345", "text in single quotes"},
    {"table", "5", "text in single quotes"},
    {"schema", "5", "text in single quotes"},
    {"schema", "''", "the name of a schema"},
    {"type", "'sinc'", "one of 'sink', 'source'"},
    {"target_session_attrs", "'master'",
     "one of 'any', 'read-write', 'read-only', 'primary', 'standby', 'prefer-standby'"},
    {"load_balance_hosts", "true", "one of 'disable', 'random'"},
    {"application_name", "5", "text in single quotes"},
    {"ssl_mode", "'on'",
     "one of 'disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full'"},
    {"ssl_mode", "true", "one of 'disable'"},
    {"ssl_cert", "5", "text in single quotes"},
    {"ssl_key", "5", "text in single quotes"},
    {"ssl_root_cert", "5", "text in single quotes"},
    {"ssl_crl", "5", "text in single quotes"},
    {"ssl_min_version", "'SSLv3'", "one of 'TLSv1', 'TLSv1.1', 'TLSv1.2', 'TLSv1.3'"},
    {"ssl_negotiation", "'tls'", "one of 'postgres', 'direct'"},
    {"channel_binding", "'always'", "one of 'disable', 'prefer', 'require'"},
    {"require_auth", "'kerberos'", "none, password, md5, scram-sha-256"},
    {"require_auth", "'md5,!password'", "either all or none with a '!' before it"},
    {"require_auth", "'md5,md5'", "each once"},
    {"connection_timeout_ms", "0", "from 1 to 86400000"},
    {"scram_iterations_max", "4095", "from 4096 to 2147483647"},
    {"statement_timeout_ms", "-1", "from 0 to 2147483647"},
    {"lock_timeout_ms", "2147483648", "from 0 to 2147483647"},
    {"keepalives_idle_s", "-1", "from 0 to 32767"},
    {"keepalives_interval_s", "32768", "from 0 to 32767"},
    {"keepalives_count", "128", "from 0 to 127"},
    {"tcp_user_timeout_ms", "-1", "from 0 to 2147483647"},
    {"write_mode", "'merge'",
     "one of 'insert', 'upsert', 'update', 'delete', 'insert_ignore', 'changelog', "
     "'replace'"},
    {"conflict_columns", "'a,,b'", "column names separated by commas"},
    {"conflict_columns", "''", "column names separated by commas"},
    {"update_columns", "'a,a'", "each column once, not 'a,a'"},
    {"update_columns", "'\"a'", "column names separated by commas"},
    {"newer_by", "5", "text in single quotes"},
    {"key_columns", "'a b\"c'", "column names separated by commas"},
    {"key_columns", "5", "text in single quotes"},
    {"on_rounding", "'floor'", "one of 'reject', 'round'"},
    {"create_table", "1", "true or false"},
    {"schema_evolution", "'widen'", "one of 'none', 'validate', 'add_columns'"},
    {"batch_size", "0", "from 1 to 10000000"},
    {"batch_size", "10000001", "from 1 to 10000000"},
    {"batch_size", "99999999999999999999", "from 1 to 10000000"},
    {"batch_size", "1e3", "a whole number"},
    {"batch_size", "'1000 rows'", "a whole number"},
    {"batch_timeout_ms", "0", "from 1 to 86400000"},
    {"batch_bytes", "1023", "from 1024 to 1073741824"},
    {"use_copy", "'yes'", "true or false"},
    {"copy_batch_size", "0", "from 1 to 100000000"},
    {"transaction_size", "0", "from 1 to 1000000000"},
    {"atomic", "'all'", "true or false"},
    {"delete_missing", "'all'", "true or false"},
    {"buffer_bytes", "65535", "from 65536 to 1099511627776"},
    {"in_flight_max", "0", "from 1 to 1024"},
    {"use_prepared_statements", "'on'", "true or false"},
    {"statement_cache_size", "-1", "from 0 to 10000"},
    {"isolation_level", "'snapshot'",
     "one of 'READ_UNCOMMITTED', 'READ_COMMITTED', 'REPEATABLE_READ', 'SERIALIZABLE'"},
    {"delivery", "'at_most_once'", "one of 'at_least_once', 'exactly_once'"},
    {"sink_id", "5", "text in single quotes"},
    {"use_2pc", "'maybe'", "true or false"},
    {"prepared_transaction_id", "'laminar'", "one ${uuid}"},
    {"prepared_transaction_id", "'${uuid}'", "a unique prefix"},
    {"prepared_transaction_id", "'a${uuid}${uuid}'", "one ${uuid}"},
    {"prepared_transaction_id", "'" + std::string(164, 'x') + "${uuid}'", "at most 199 bytes"},
    {"set_role", "5", "text in single quotes"},
    {"session_variables", "'a=b'", "MAP { 'name': 'value', … }"},
    {"session_variables", "MAP { '': 'x' }", "a name for each setting"},
    {"session_variables", "MAP { 'App.x': '1', 'app.X': '2' }", "each setting once"},
    {"session_variables", "MAP { 'role': 'x' }", "no 'role': use the option set_role"},
    {"session_variables", "MAP { 'Client_Encoding': 'x' }", "everything is sent as UTF-8"},
    {"session_variables", "MAP { 'pgsink.flight': '1' }", "begin with 'pgsink.'"},
    {"connection_pool_size", "0", "from 1 to 1000"},
    {"idle_timeout_ms", "-1", "from 0 to 2147483647"},
    {"parallelism", "257", "from 1 to 256"},
    {"partition_by", "'modulo(id)'", "'hash(column, …)' or 'round_robin'"},
    {"partition_by", "'range(a, b)'", "'hash(column, …)'"},
    {"partition_by", "'hash()'", "'hash(column, …)'"},
    {"partition_column", "5", "text in single quotes"},
    {"partition_type", "'interval'", "one of 'range', 'list', 'hash'"},
    {"create_partitions", "1", "true or false"},
    {"partition_interval", "'decade'", "'hour', 'day', 'week', 'month', 'year'"},
    {"partition_interval", "0", "a whole number of at least 1"},
    {"partition_name", "5", "text in single quotes"},
    {"partition_copy_min_rows", "-1", "from 0 to"},
    {"disable_triggers", "'no'", "true or false"},
    {"fire_triggers", "'NEVER'", "one of 'ALWAYS', 'REPLICA', 'DISABLED'"},
    {"is_foreign_table", "0", "true or false"},
    {"replication_slot", "5", "text in single quotes"},
    {"publication", "5", "text in single quotes"},
    {"replication_origin", "5", "text in single quotes"},
    {"confirm_slot", "'x'", "true or false"},
    {"streams", "'x'", "true or false"},
    {"snapshot", "'x'", "true or false"},
    {"accept_gap_until", "'now'", "a position in the log"},
    {"tables", "5", "text in single quotes"},
    {"tables_exclude", "5", "text in single quotes"},
    {"target_tables", "5", "text in single quotes"},
    {"snapshot_parallelism", "65", "from 1 to 64"},
    {"password_command", "5", "text in single quotes"},
    {"passfile", "5", "text in single quotes"},
    {"service", "5", "text in single quotes"},
    {"hostaddr", "5", "text in single quotes"},
    {"traceparent", "'00-1-2-01'", "hexadecimal digits"},
    {"silence_timeout_ms", "-1", "from 0 to 86400000"},
    {"max_retries", "-1", "from 0 to 1000000"},
    {"retry_backoff_ms", "0", "from 1 to 3600000"},
    {"retry_timeout_ms", "-1", "from 0 to 2592000000"},
    {"retry_on_errors", "'a,,b'", "condition names"},
    {"retry_on_errors", "'Deadlock!'", "condition names"},
    {"dead_letter_table", "5", "text in single quotes"},
    {"dead_letter_file", "5", "text in single quotes"},
    {"max_rejects", "-1", "from 0 to 1000000000000"},
    {"max_reject_ratio", "1.5", "a number from 0 to 1"},
    {"max_reject_ratio", "'nan'", "a number from 0 to 1"},
};

/// A statement in which only `key` is wrong.
Read bind_bad(const BadValue& bad) {
  const bool in_head =
      bad.key == "host" || bad.key == "database" || bad.key == "username" || bad.key == "table";
  if (!in_head) return bind_with(bad.key + " = " + bad.value);
  std::string script = ddl_test::connection_with("");
  const size_t key = script.find(bad.key + " = ");
  const size_t value = key + bad.key.size() + 3;
  script.replace(value, script.find('\'', value + 1) + 1 - value, bad.value);
  return ddl_test::bind_script(script);
}

TEST(OptionValues, EveryBadValueIsRefusedInItsPlaceWithWhatIsAllowed) {
  for (const BadValue& bad : kBadValues) {
    const Read read = bind_bad(bad);
    ASSERT_EQ(read.faults.size(), 1U) << bad.key << " = " << bad.value << "\n" << read.report();
    EXPECT_EQ(read.code(0), Errc::kOptionValue) << bad.key;
    if (bad.value != "''" || bad.key != "schema") {
      EXPECT_EQ(read.marked(0), bad.value) << bad.key;
    }
    EXPECT_THAT(read.message(0), HasSubstr(bad.key + " takes ")) << bad.value;
    EXPECT_THAT(read.message(0), HasSubstr(bad.takes)) << bad.key << " = " << bad.value;
  }
}

TEST(OptionValues, EveryOptionHasABadValueInThisTest) {
  std::set<std::string> tested;
  for (const BadValue& bad : kBadValues) tested.insert(bad.key);
  for (const OptionInfo& info : option_table()) EXPECT_TRUE(tested.contains(std::string(info.key)));
}

TEST(OptionValues, TheEndsOfEveryRangeAreAllowedAndTheirNeighboursAreNot) {
  for (const OptionInfo& info : option_table()) {
    if (info.type != OptionType::kInteger) continue;
    const auto stored = [&info](int64_t number) {
      OptionValue value;
      value.kind = OptionValue::Kind::kInteger;
      value.text = std::to_string(number);
      SinkOptions options;
      return info.store(value, info, options).has_value();
    };
    EXPECT_TRUE(stored(info.min)) << info.key;
    EXPECT_TRUE(stored(info.max)) << info.key;
    EXPECT_FALSE(stored(info.min - 1)) << info.key;
    EXPECT_FALSE(stored(info.max + 1)) << info.key;
  }
}

TEST(OptionValues, NumbersAndBooleansMayBeTexts) {
  const Read read = bind_with(
      "port = '6432', batch_size = ' 5000 ', use_copy = 'TRUE', use_prepared_statements = 'False'");
  ASSERT_TRUE(read.options) << read.report();
  EXPECT_EQ(read.options->port, "6432");
  EXPECT_EQ(read.options->batch_size, 5000);
  EXPECT_EQ(read.options->use_copy, true);
  EXPECT_FALSE(read.options->use_prepared_statements);
}

TEST(OptionValues, ListsAreTrimmedAndNamesInThemAreExact) {
  const auto names = [](const std::string& text) {
    OptionValue value;
    value.text = text;
    return read_names(value, *find_option("key_columns"));
  };
  using Names = std::vector<std::string>;
  EXPECT_EQ(names(" a , B,c d "), (Names{"a", "B", "c d"}));
  EXPECT_EQ(names(R"("A","b,c", "d""e" , f)"), (Names{"A", "b,c", "d\"e", "f"}));
  for (const std::string text : {"", " ", ",", "a,", ",a", "a,,b", "\"a", "\"a\"b", "a\"b\"",
                                 "\"\"", "a,a", "a,\"a\"", "\"a\"\""}) {
    EXPECT_FALSE(names(text)) << text;
  }
}

TEST(OptionValues, HostsAndPortsAreTrimmedLists) {
  const Read read = bind_with("port = '5432, 5433'");
  ASSERT_EQ(read.faults.size(), 1U) << read.report();
  EXPECT_EQ(read.code(0), Errc::kOptionConflict);
  const Read two = ddl_test::bind_script(
      "CREATE CONNECTION c TO postgresql (host = 'a , ::1,/var/run/pg sql', port = ' 1,2 , 3',\n"
      "  database = 'd', username = 'u', table = 't')");
  ASSERT_TRUE(two.options) << two.report();
  EXPECT_EQ(two.options->host, "a,::1,/var/run/pg sql");
  EXPECT_EQ(two.options->port, "1,2,3");
}

// ---- the nearest key ---------------------------------------------------------------------------

TEST(NearestOption, FindsSlips) {
  EXPECT_EQ(nearest_option("hots"), "host");
  EXPECT_EQ(nearest_option("batchsize"), "batch_size");
  EXPECT_EQ(nearest_option("bacth_size"), "batch_size");
  EXPECT_EQ(nearest_option("pasword"), "password");
  EXPECT_EQ(nearest_option("batch_timeout"), "batch_timeout_ms");
  EXPECT_EQ(nearest_option("prot"), "port");
}

TEST(NearestOption, KnowsWhatOthersCallIt) {
  EXPECT_EQ(nearest_option("user"), "username");
  EXPECT_EQ(nearest_option("dbname"), "database");
  EXPECT_EQ(nearest_option("ssl"), "ssl_mode");
  EXPECT_EQ(nearest_option("sslmode"), "ssl_mode");
  EXPECT_EQ(nearest_option("hostname"), "host");
  EXPECT_EQ(nearest_option("passwd"), "password");
  EXPECT_EQ(nearest_option("sslrootcrt"), "ssl_root_cert");  // a slip in such a name
}

TEST(NearestOption, IsSilentWhereNothingIsNear) {
  for (const std::string key : {"", "x", "ab", "colour_of_the_sky", "qqqq"}) {
    EXPECT_EQ(nearest_option(key), "") << key;
  }
  EXPECT_EQ(nearest_option(std::string(100'000, 'a')), "");
}

// ---- documentation -----------------------------------------------------------------------------

TEST(OptionDocumentation, IsWhatStandsInDocs) {
  const std::string wanted = option_documentation();
  const std::string generated = std::string(PGSINK_BUILD_DIR) + "/options.md";
  std::ofstream(generated) << wanted;
  const std::string path = std::string(PGSINK_SOURCE_DIR) + "/docs/reference/options.md";
  const bool same = read_file(path) == wanted;
  EXPECT_TRUE(same) << "docs/reference/options.md is generated: copy " << generated << " there";
}

// The headers say what the table says: the comment of each member is its row's meaning.
TEST(OptionDocumentation, IsTheCommentOfEachMember) {
  std::istringstream header(
      read_file(std::string(PGSINK_SOURCE_DIR) + "/src/include/pgsink/options.h"));
  std::map<std::string, std::string> comments;
  std::string comment;
  const std::regex member(R"(^  [A-Za-z_:<>, 0-9]+ ([a-z_0-9]+)( = .*)?;$)");
  const std::regex link(R"(\[([^\]]*)\]\([^)]*\))");
  for (std::string line; std::getline(header, line);) {
    std::smatch match;
    if (line.starts_with("  /// ")) {
      comment += (comment.empty() ? "" : " ") + line.substr(6);
      continue;
    }
    if (std::regex_match(line, match, member)) comments.emplace(match[1].str(), comment);
    comment.clear();
  }
  for (const OptionInfo& info : option_table()) {
    const std::string meaning = std::regex_replace(std::string(info.meaning), link, "$1");
    EXPECT_EQ(comments[std::string(info.key)], meaning) << info.key;
  }
}

TEST(OptionDocumentation, NamesEveryOption) {
  const std::string page = option_documentation();
  for (const OptionInfo& info : option_table()) {
    EXPECT_THAT(page, HasSubstr("`" + std::string(info.key) + "`"));
  }
}

TEST(OptionJson, HasOneBalancedObjectForEachOption) {
  const std::string json = option_json();
  size_t objects = 0;
  int depth = 0;
  bool in_text = false;
  for (size_t i = 0; i < json.size(); ++i) {
    if (in_text && json[i] == '\\') {
      ++i;
    } else if (json[i] == '"') {
      in_text = !in_text;
    } else if (!in_text) {
      if (json[i] == '{') ++objects;
      if (json[i] == '{' || json[i] == '[') ++depth;
      if (json[i] == '}' || json[i] == ']') --depth;
    }
    ASSERT_GE(depth, 0);
  }
  EXPECT_EQ(depth, 0);
  EXPECT_FALSE(in_text);
  EXPECT_EQ(objects, option_table().size());
  EXPECT_THAT(json, HasSubstr("\"key\": \"partition_name\""));
  EXPECT_THAT(json, HasSubstr("\"default\": \"pgsink_${uuid}\""));
}

}  // namespace
}  // namespace pgsink
