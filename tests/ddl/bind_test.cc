// bind_connection: from what is written to options, or all that is wrong with it.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ddl/ddl_support.h"
#include "pgsink/client/env.h"
#include "pgsink/options/server.h"
#include "pgsink/options/values.h"

namespace pgsink {
namespace {

using ddl_test::bind_script;
using ddl_test::bind_with;
using ddl_test::Read;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsSupersetOf;
using ::testing::Not;

TEST(BindConnection, FillsSinkOptionsAndDefaults) {
  const Read read = bind_with(
      "password = '${secret:password}', batch_size = 5000, isolation_level = 'serializable',\n"
      "session_variables = MAP { 'app.current_tenant': 'tenant_123' }, set_role = 'writer'");
  ASSERT_TRUE(read.options) << read.report();
  const SinkOptions& options = *read.options;
  EXPECT_EQ(options.connection_name, "c");
  EXPECT_EQ(options.host, "h");
  EXPECT_EQ(options.port, "5432");
  EXPECT_EQ(options.password, "hunter2");
  EXPECT_EQ(options.schema, "public");
  EXPECT_EQ(options.batch_size, 5000);
  EXPECT_EQ(options.copy_batch_size, 10000);
  EXPECT_EQ(options.use_copy, std::nullopt);
  EXPECT_EQ(options.isolation_level, IsolationLevel::kSerializable);
  EXPECT_EQ(options.set_role, "writer");
  EXPECT_EQ(options.application_name, "") << "made of the name when it connects";
  ASSERT_EQ(options.session_variables.size(), 1U);
  EXPECT_EQ(options.session_variables[0].first, "app.current_tenant");
}

TEST(BindConnection, AnApplicationNameIsKept) {
  EXPECT_EQ(bind_with("application_name = 'x'").options->application_name, "x");
}

TEST(BindConnection, TheBatchNeverExceedsTheBuffer) {
  EXPECT_EQ(bind_with("buffer_bytes = 1048576").options->batch_bytes, 1048576);
  const Read read = bind_with("buffer_bytes = 1048576, batch_bytes = 2097152");
  ASSERT_EQ(read.faults.size(), 1U) << read.report();
  EXPECT_EQ(read.code(0), Errc::kOptionConflict);
  EXPECT_EQ(read.marked(0), "batch_bytes");
}

// ---- keys ----------------------------------------------------------------------------------

TEST(BindConnection, AnUnknownKeyNamesTheNearest) {
  const Read slip = bind_with("btach_size = 5");
  ASSERT_EQ(slip.faults.size(), 1U);
  EXPECT_EQ(slip.code(0), Errc::kUnknownOption);
  EXPECT_EQ(slip.marked(0), "btach_size");
  EXPECT_EQ(slip.message(0), "there is no option 'btach_size'; did you mean batch_size?");
  const Read far = bind_with("colour = 'red'");
  EXPECT_EQ(far.message(0), "there is no option 'colour'; 'pgsink options' lists all there are");
}

TEST(BindConnection, AMisspeltRequiredKeyIsNotReportedMissingToo) {
  const Read read = bind_script(
      "CREATE CONNECTION c TO postgresql (hostname = 'h', dbname = 'd', user = 'u', table = 't')");
  ASSERT_EQ(read.faults.size(), 3U) << read.report();
  EXPECT_THAT(read.message(0), HasSubstr("did you mean host?"));
  EXPECT_THAT(read.message(1), HasSubstr("did you mean database?"));
  EXPECT_THAT(read.message(2), HasSubstr("did you mean username?"));
}

TEST(BindConnection, AKeyGivenTwiceIsAFault) {
  const Read read = bind_with("port = 1,\n  PORT = 2");
  ASSERT_EQ(read.faults.size(), 1U) << read.report();
  EXPECT_EQ(read.code(0), Errc::kOptionConflict);
  EXPECT_EQ(read.marked(0), "PORT");
  EXPECT_EQ(read.message(0), "the option port is given twice, first in line 3");
}

TEST(BindConnection, MissingOptionsAreNamedAtTheConnection) {
  const Read read = bind_script("CREATE CONNECTION nothing TO postgresql ()");
  ASSERT_EQ(read.faults.size(), 4U) << read.report();
  const std::vector<std::string> keys{"host", "database", "username", "table"};
  for (size_t i = 0; i < keys.size(); ++i) {
    EXPECT_EQ(read.code(i), Errc::kMissingOption);
    EXPECT_EQ(read.marked(i), "nothing");
    EXPECT_THAT(read.message(i), HasSubstr("the option " + keys[i] + " is missing"));
  }
}

TEST(BindConnection, AnEmptyRequiredTextIsMissing) {
  const Read read = bind_script(
      "CREATE CONNECTION c TO postgresql (host = '', database = 'd', username = 'u', table = '')");
  ASSERT_EQ(read.faults.size(), 2U) << read.report();
  EXPECT_EQ(read.code(0), Errc::kMissingOption);
  EXPECT_EQ(read.code(1), Errc::kMissingOption);
}

TEST(BindConnection, APasswordMayBeEmptyOrLeftOut) {
  EXPECT_EQ(bind_with("password = ''").options->password, "");
  EXPECT_EQ(bind_with("").options->password, "");
}

TEST(BindConnection, AUrlReplacesWhatItSays) {
  const Read read =
      bind_script("CREATE CONNECTION c TO postgresql (table = 't', url = 'postgresql://u@h/d')");
  ASSERT_TRUE(read.options) << read.report();
  EXPECT_EQ(read.options->url, "postgresql://u@h/d");

  const std::string head =
      "CREATE CONNECTION c TO postgresql (table = 't', url = 'postgresql://u@h/d', ";
  size_t tested = 0;
  for (const OptionInfo& info : option_table()) {
    if (!info.replaced_by_url) continue;
    const Read both =
        bind_script(head + std::string(info.key) + " = " + std::string(info.example) + ")",
                    {{"secret:pg_password", "x"}});
    ASSERT_GE(both.faults.size(), 1U) << info.key;
    EXPECT_EQ(both.code(0), Errc::kOptionConflict) << both.report();
    EXPECT_EQ(both.marked(0), info.key);
    ++tested;
  }
  EXPECT_EQ(tested, 19U);
}

TEST(BindConnection, AUrlIsReadBeforeAnythingIsContacted) {
  const std::string head = "CREATE CONNECTION c TO postgresql (table = 't', url = '";
  for (const std::string url : {"postgresql://h:port/d", "host=h hots=x", "postgresql://h/%zz"}) {
    const Read read = bind_script(head + url + "')");
    ASSERT_EQ(read.faults.size(), 1U) << url;
    EXPECT_EQ(read.marked(0), "url");
    EXPECT_THAT(read.message(0), HasSubstr("url: ")) << url;
  }
  const Read standby = bind_script(head + "host=h target_session_attrs=standby')");
  ASSERT_EQ(standby.faults.size(), 1U) << standby.report();
  EXPECT_THAT(standby.message(0), HasSubstr("accepts writes"));
  const Read secret =
      bind_script(head + "${secret:url}')", {{"secret:url", "host=h password=can ary=1"}});
  ASSERT_EQ(secret.faults.size(), 1U) << secret.report();
  EXPECT_THAT(secret.message(0), Not(HasSubstr("ary")));
}

TEST(BindConnection, ASecretStaysThePartOfTheUrlThatItStandsIn) {
  const ddl_test::Secrets secrets{{"secret:pw", "a b'c\\d@Top/?&%=ü"},
                                  {"env:WHO", "app@eu"},
                                  {"secret:dsn", "postgresql://u:p@h/d"}};
  OsEnv os;
  for (const std::string url :
       {"postgresql://${env:WHO}:${secret:pw}@127.0.0.1:5432/x",
        "host=127.0.0.1 user=''${env:WHO}'' password=${secret:pw} dbname=x",
        "host=127.0.0.1 user=${env:WHO} password=''${secret:pw}'' dbname=x"}) {
    const Read read = bind_script(
        "CREATE CONNECTION c TO postgresql (table = 't', url = '" + url + "')", secrets);
    ASSERT_TRUE(read.options) << read.report();
    const auto connect = to_connect_options(*read.options, os.env().files);
    ASSERT_TRUE(connect) << connect.error().message;
    EXPECT_EQ(connect->password, "a b'c\\d@Top/?&%=ü") << url;
    EXPECT_EQ(connect->user, "app@eu") << url;
    ASSERT_EQ(connect->hosts.size(), 1U);
    EXPECT_EQ(connect->hosts[0].host, "127.0.0.1") << url;
    EXPECT_EQ(connect->database, "x") << url;
  }
  const Read whole = bind_script(
      "CREATE CONNECTION c TO postgresql (table = 't', url = '${secret:dsn}?sslmode=disable')",
      secrets);
  ASSERT_TRUE(whole.options) << whole.report();
  EXPECT_EQ(whole.options->url, "postgresql://u:p@h/d?sslmode=disable");
}

TEST(BindConnection, OptionsThatAreGivenAreNamed) {
  EXPECT_THAT(bind_with("ssl_mode = 'prefer', batch_size = 7").options->given,
              IsSupersetOf({"ssl_mode", "batch_size"}));
  EXPECT_THAT(bind_with("").options->given, Not(Contains("ssl_mode")));
}

// ---- what contradicts --------------------------------------------------------------------------

TEST(BindConnection, ContradictionsAreFaultsOfTheirOwn) {
  struct Case {
    std::string options, marked, message;
  };
  const std::vector<Case> cases{
      {"target_session_attrs = 'standby'", "target_session_attrs", "accepts writes"},
      {"target_session_attrs = 'read-only'", "target_session_attrs", "accepts writes"},
      {"ssl_negotiation = 'direct'", "ssl_negotiation", "ssl_mode = 'require'"},
      {"ssl_negotiation = 'direct', ssl_mode = 'prefer'", "ssl_negotiation", "cannot fall back"},
      {"channel_binding = 'require', ssl_mode = 'disable'", "channel_binding", "needs TLS"},
      {"port = '1,2,3'", "port", "as many as host has names (1), not 3"},
  };
  for (const Case& wrong : cases) {
    const Read read = bind_with(wrong.options);
    ASSERT_EQ(read.faults.size(), 1U) << wrong.options << "\n" << read.report();
    EXPECT_EQ(read.code(0), Errc::kOptionConflict);
    EXPECT_EQ(read.marked(0), wrong.marked);
    EXPECT_THAT(read.message(0), HasSubstr(wrong.message));
  }
  EXPECT_TRUE(bind_with("ssl_negotiation = 'direct', ssl_mode = 'verify-full'").options);
  EXPECT_TRUE(bind_with("channel_binding = 'require', ssl_mode = 'prefer'").options);
}

TEST(CheckOptions, FindsWhatAProgramWroteWrong) {
  SinkOptions good;
  good.host = "h";
  good.database = "d";
  good.username = "u";
  good.table = "t";
  EXPECT_TRUE(check_options(good).empty());

  const auto faults = [&good](const std::function<void(SinkOptions&)>& change) {
    SinkOptions options = good;
    change(options);
    std::string text;
    for (const Error& error : check_options(options)) text += error.to_string() + "\n";
    return text;
  };
  using O = SinkOptions;
  EXPECT_THAT(faults([](O& o) { o = {}; }), HasSubstr("PGS-1004: the option table is missing"));
  EXPECT_THAT(faults([](O& o) { o.url = "host=x"; }), HasSubstr("host and url exclude each other"));
  EXPECT_THAT(faults([](O& o) { o.conflict_columns = {"a"}; }),
              HasSubstr("conflict_columns has no"));
  EXPECT_THAT(faults([](O& o) { o.update_columns = {"a"}; }), HasSubstr("update_columns has no"));
  EXPECT_THAT(faults([](O& o) { o.key_columns = {"a"}; }), HasSubstr("key_columns has no"));
  EXPECT_THAT(faults([](O& o) { o.newer_by = "a"; }), HasSubstr("newer_by has no"));
  EXPECT_THAT(faults([](O& o) {
                o.use_copy = false;
                o.copy_batch_size = 5;
              }),
              HasSubstr("copy_batch_size has no effect without use_copy = true: set that, or leave "
                        "copy_batch_size out"));
  EXPECT_THAT(faults([](O& o) { o.prepared_transaction_id = "a${uuid}"; }), HasSubstr("use_2pc"));
  EXPECT_THAT(faults([](O& o) { o.sink_id = "a"; }), HasSubstr("delivery = 'exactly_once'"));
  EXPECT_THAT(faults([](O& o) {
                o.use_2pc = true;
                o.is_foreign_table = true;
              }),
              HasSubstr("cannot be prepared"));
  EXPECT_THAT(faults([](O& o) {
                o.write_mode = WriteMode::kUpsert;
                o.is_foreign_table = true;
              }),
              HasSubstr("do not support ON CONFLICT"));
  EXPECT_THAT(faults([](O& o) { o.partition_type = PartitionType::kList; }),
              HasSubstr("partition_type has no effect without partition_column"));
  EXPECT_THAT(faults([](O& o) { o.create_partitions = true; }), HasSubstr("create_partitions has"));
  EXPECT_THAT(faults([](O& o) { o.partition_interval = "day"; }), HasSubstr("partition_interval"));
  EXPECT_THAT(faults([](O& o) { o.partition_name = "x"; }), HasSubstr("partition_name has"));
  EXPECT_THAT(faults([](O& o) {
                o.disable_triggers = true;
                o.fire_triggers = FireTriggers::kReplica;
              }),
              HasSubstr("contradict each other"));
  EXPECT_THAT(faults([](O& o) { o.confirm_slot = true; }), HasSubstr("replication_slot"));
  EXPECT_THAT(faults([](O& o) {
                o.publication = o.replication_slot = "x";
                o.confirm_slot = o.use_2pc = true;
              }),
              HasSubstr("confirm_slot waits for commits"));
  EXPECT_THAT(faults([](O& o) {
                o.publication = o.replication_slot = "x";
                o.type = ConnectionType::kSource;
                o.confirm_slot = true;
              }),
              HasSubstr("confirm_slot works for sinks only"));
  EXPECT_THAT(faults([](O& o) { o.replication_slot = "x"; }), HasSubstr("publication"));
  EXPECT_THAT(faults([](O& o) { o.snapshot = false; }), HasSubstr("type = 'source'"));
  EXPECT_THAT(faults([](O& o) { o.schema = ""; }), HasSubstr("schema takes the name of a schema"));
}

// ---- systems ------------------------------------------------------------------------------------

TEST(BindConnection, AnotherNameOfPostgresIsSuggestedAndTheOptionsCheckedAllTheSame) {
  const Read read = bind_script("CREATE CONNECTION c TO postgres (host = 'h', hots = 1)");
  EXPECT_EQ(read.code(0), Errc::kMissingOption);
  bool suggested = false;
  bool checked = false;
  for (size_t i = 0; i < read.faults.size(); ++i) {
    suggested |=
        read.marked(i) == "postgres" &&
        read.message(i) == "'postgres' is not a system to connect to; did you mean postgresql?";
    checked |= read.code(i) == Errc::kUnknownOption;
  }
  EXPECT_TRUE(suggested) << read.report();
  EXPECT_TRUE(checked);
}

TEST(BindConnection, AnUnknownSystemIsOneFault) {
  const Read read = bind_script("CREATE CONNECTION c TO mysql (whatever = 1)");
  ASSERT_EQ(read.faults.size(), 1U);
  EXPECT_EQ(
      read.message(0),
      "'mysql' is not a system to connect to; it can only be postgresql, or for a source stdin or "
      "kafka");
}

TEST(BindConnection, StdinIsRefusedByName) {
  const Read read = bind_script("CREATE CONNECTION s TO stdin (type = 'source', format = 'json')");
  ASSERT_EQ(read.faults.size(), 1U);
  EXPECT_EQ(read.code(0), Errc::kOptionUnsupported);
  EXPECT_EQ(read.marked(0), "stdin");
  EXPECT_THAT(read.message(0), HasSubstr("TO stdin is a source of the command"));
}

// ---- ${…} ---------------------------------------------------------------------------------------

TEST(Substitution, FillsInSecretsEnvironmentAndVariables) {
  const ddl_test::Secrets sources{
      {"secret:pg-pass.1", "p'w"}, {"env:TABLE", "events"}, {"rows", "5000"}};
  const Read read = bind_script(
      "CREATE CONNECTION c TO postgresql (host = 'h', database = 'd', username = 'u',\n"
      "  password = '${secret:pg-pass.1}', table = 'x_${env:TABLE}_${env:TABLE}$',\n"
      "  batch_size = '${rows}', session_variables = MAP { 'app.${env:TABLE}': '${rows}$' })",
      sources);
  ASSERT_TRUE(read.options) << read.report();
  EXPECT_EQ(read.options->password, "p'w");
  EXPECT_EQ(read.options->table, "x_events_events$");
  EXPECT_EQ(read.options->batch_size, 5000);
  EXPECT_EQ(read.options->session_variables[0].first, "app.events");
  EXPECT_EQ(read.options->session_variables[0].second, "5000$");
}

TEST(Substitution, TwoDollarsAreALiteralAndNothingIsReadTwice) {
  const Read read = bind_with("set_role = '$${secret:x}', application_name = '${secret:nested}'",
                              {{"secret:nested", "${secret:other}$${"}});
  ASSERT_TRUE(read.options) << read.report();
  EXPECT_EQ(read.options->set_role, "${secret:x}");
  EXPECT_EQ(read.options->application_name, "${secret:other}$${");
}

TEST(Substitution, WhatIsMissingIsNamed) {
  const Read read = bind_with(
      "password = '${secret:gone}', set_role = '${env:GONE}', application_name = '${gone}'");
  ASSERT_EQ(read.faults.size(), 3U) << read.report();
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(read.code(i), Errc::kMissingSecret);
  EXPECT_EQ(read.marked(0), "'${secret:gone}'");
  EXPECT_THAT(read.message(0), HasSubstr("${secret:gone} is not a known secret"));
  EXPECT_THAT(read.message(1), HasSubstr("set GONE"));
  EXPECT_THAT(read.message(2), HasSubstr("--set gone=value"));
}

TEST(Substitution, ReferencesThatMeanNothingAreFaults) {
  for (const std::string reference :
       {"${secret:}", "${secret:../etc/passwd}", "${secret:a/b}", "${secret:.hidden}", "${env:}",
        "${env:1A}", "${env:A-B}", "${secrets:a}", "${}", "${a b}", "${", "${a", "${1a}"}) {
    const Read read = bind_with("set_role = '" + reference + "'");
    ASSERT_EQ(read.faults.size(), 1U) << reference;
    EXPECT_EQ(read.code(0), Errc::kOptionValue) << reference << read.report();
    EXPECT_EQ(read.marked(0), "'" + reference + "'");
  }
}

TEST(Substitution, UuidStaysInTransactionIdentifiersAndIsAFaultElsewhere) {
  const Read role = bind_with("set_role = 'x${uuid}'");
  ASSERT_EQ(role.faults.size(), 1U);
  EXPECT_THAT(role.message(0), HasSubstr("only prepared_transaction_id may hold it"));
  EXPECT_TRUE(bind_with("prepared_transaction_id = 'pgsink_${uuid}'").options);
  const Read literal = bind_with("prepared_transaction_id = 'a$${b${uuid}'");
  EXPECT_THAT(literal.message(0), HasSubstr("cannot contain a literal ${"));
}

TEST(Substitution, AValueHasALimit) {
  const std::string long_text(DdlLimits::kValueBytesMax, 'x');
  EXPECT_TRUE(bind_with("password = '${secret:a}'", {{"secret:a", long_text}}).options);
  const Read read = bind_with("password = 'y${secret:a}'", {{"secret:a", long_text}});
  ASSERT_EQ(read.faults.size(), 1U);
  EXPECT_EQ(read.code(0), Errc::kLimit);
  EXPECT_THAT(read.message(0), HasSubstr("65536 bytes"));
}

TEST(Substitution, AZeroByteCannotReachTheProtocol) {
  const std::string zero("us\0er", 5);
  for (const std::string key : {"password", "application_name", "set_role", "ssl_cert"}) {
    const Read read = bind_with(key + " = '${secret:a}'", {{"secret:a", zero}});
    ASSERT_EQ(read.faults.size(), 1U) << key;
    EXPECT_THAT(read.message(0), HasSubstr("without a zero byte"));
  }
  const Read map =
      bind_with("session_variables = MAP { 'a.b': '${secret:a}' }", {{"secret:a", zero}});
  ASSERT_EQ(map.faults.size(), 1U);
}

TEST(Substitution, OnlyAPasswordMayBeBytesThatAreNoUtf8) {
  const ddl_test::Secrets latin1{{"secret:a", "p\xe4sswort"}};
  EXPECT_TRUE(bind_with("password = '${secret:a}'", latin1).options);
  EXPECT_THAT(bind_with("set_role = '${secret:a}'", latin1).message(0), HasSubstr("valid UTF-8"));
}

TEST(Secrets, NoFaultOfAnyOptionShowsWhatWasFilledIn) {
  const std::string canary = "CANARY-7f3a";
  size_t faults = 0;
  for (const OptionInfo& info : option_table()) {
    for (const std::string value :
         {"'${secret:a}'", "'x, ${secret:a},, \"'", "MAP { '${secret:a}': 'x' }",
          "MAP { 'pgsink.${secret:a}': '${secret:a}' }"}) {
      const Read read = bind_with(std::string(info.key) + " = " + value, {{"secret:a", canary}});
      for (const Diagnostic& fault : read.faults) {
        ++faults;
        EXPECT_THAT(fault.error.to_string(), Not(HasSubstr("CANARY"))) << info.key;
        EXPECT_THAT(render_diagnostic(fault, "f.sql", read.script), Not(HasSubstr("CANARY")));
      }
    }
  }
  EXPECT_GT(faults, 100U);
}

TEST(Secrets, AFaultShowsTheSourceOfAValueInstead) {
  const Read read = bind_with("batch_size = '${secret:a}'", {{"secret:a", "CANARY"}});
  ASSERT_EQ(read.faults.size(), 1U);
  EXPECT_EQ(read.message(0),
            "batch_size takes a whole number from 1 to 10000000, not '${secret:a}'");
}

TEST(Secrets, AFaultOfASecretOptionShowsNothingOfIt) {
  const Read read = bind_with("password = 424242");
  ASSERT_EQ(read.faults.size(), 1U);
  EXPECT_EQ(read.message(0), "password takes text in single quotes");
  EXPECT_THAT(render_diagnostic(read.faults[0], "f.sql", read.script), Not(HasSubstr("424242")));
}

}  // namespace
}  // namespace pgsink
