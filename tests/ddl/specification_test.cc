// The user's specification, block by block: everything in it parses, and every connection binds or
// is refused by name for what this release does not do, and for nothing else.

#include <fstream>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ddl/ddl_support.h"

namespace pgsink {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// The ```sql blocks of the specification, in order.
std::vector<std::string> blocks() {
  std::ifstream file(std::string(PGSINK_SOURCE_DIR) + "/tests/shell/spec/postgresql-sink.md");
  std::vector<std::string> found;
  std::string line;
  bool inside = false;
  while (std::getline(file, line)) {
    if (line == "```sql") {
      found.emplace_back();
      inside = true;
    } else if (line == "```") {
      inside = false;
    } else if (inside) {
      found.back() += line + "\n";
    }
  }
  return found;
}

struct Found {
  std::map<std::string, CreateConnection> connections;
  std::map<std::string, std::vector<CreatePipeline>> pipelines;
  size_t for_the_engine = 0;
};

/// Every statement of every block. The pipelines hold views into `all`.
Found parse_all(const std::vector<std::string>& all) {
  Found found;
  for (const std::string& block : all) {
    for (const ScriptStatement& statement : split_script(block)) {
      EXPECT_TRUE(statement.terminated) << statement.text;
      auto parsed = parse_statement(statement);
      if (!parsed) {
        ADD_FAILURE() << render_diagnostic(parsed.error()[0], "specification", block);
        continue;
      }
      if (auto* connection = std::get_if<CreateConnection>(&*parsed)) {
        EXPECT_TRUE(found.connections.emplace(connection->name, *connection).second);
      } else if (auto* pipeline = std::get_if<CreatePipeline>(&*parsed)) {
        found.pipelines[pipeline->name].push_back(*pipeline);
      } else {
        EXPECT_TRUE(std::holds_alternative<EngineStatement>(*parsed));
        ++found.for_the_engine;
      }
    }
  }
  return found;
}

TEST(Specification, EveryBlockParses) {
  const std::vector<std::string> all = blocks();
  EXPECT_EQ(all.size(), 28U);
  const Found found = parse_all(all);
  EXPECT_EQ(found.connections.size(), 24U);
  EXPECT_EQ(found.pipelines.size(), 11U);
  EXPECT_EQ(found.for_the_engine, 5U);  // the SELECTs of Monitoring and Troubleshooting
}

TEST(Specification, EveryConnectionBinds) {
  const std::vector<std::string> all = blocks();
  const Found found = parse_all(all);
  const auto sources =
      ddl_test::substitution({{"secret:password", "hunter2"}, {"secret:pg_password", "hunter2"}});
  for (const auto& [name, connection] : found.connections) {
    const auto bound = bind_connection(connection, sources);
    ASSERT_TRUE(bound) << name << bound.error().front().error.message;
    EXPECT_EQ(bound->password, "hunter2") << name;
    EXPECT_EQ(bound->type, ConnectionType::kSink) << name;
  }
}

TEST(Specification, TheBlocksMeanWhatTheySay) {
  const std::vector<std::string> all = blocks();
  const Found found = parse_all(all);
  const auto options = [&found](const std::string& name) {
    const auto sources =
        ddl_test::substitution({{"secret:password", "hunter2"}, {"secret:pg_password", "hunter2"}});
    return *bind_connection(found.connections.at(name), sources);
  };
  EXPECT_EQ(options("postgres_sink").username, "laminar");
  EXPECT_EQ(options("pg_copy").use_copy, true);
  EXPECT_EQ(options("pg_copy").copy_batch_size, 10000);
  EXPECT_EQ(options("pg_batch").batch_size, 5000);
  EXPECT_EQ(options("pg_transactional").transaction_size, 100);
  EXPECT_EQ(options("pg_transactional").isolation_level, IsolationLevel::kReadCommitted);
  EXPECT_EQ(options("pg_ssl").ssl_mode, "require");
  EXPECT_EQ(options("pg_ssl").ssl_root_cert, "/certs/ca-cert.pem");
  EXPECT_EQ(options("pg_logical").replication_slot, "laminar_slot");
  EXPECT_EQ(options("pg_logical").publication, "laminar_pub");
  EXPECT_EQ(options("pg_triggers").fire_triggers, FireTriggers::kAlways);
  EXPECT_EQ(options("pg_partitioned").partition_column, "created_at");
  EXPECT_EQ(options("pg_partitioned").partition_type, PartitionType::kRange);
  EXPECT_TRUE(options("pg_partitioned").create_partitions);
  EXPECT_EQ(options("pg_list_partition").partition_type, PartitionType::kList);
  EXPECT_FALSE(options("pg_list_partition").create_partitions);
  EXPECT_EQ(options("pg_rls").set_role, "data_writer");
  EXPECT_EQ(options("pg_rls").session_variables[0].second, "tenant_123");
}

TEST(Specification, TheDeadLetterPipelineHasTwoBranchesUnderOneWith) {
  const std::vector<std::string> all = blocks();
  const Found found = parse_all(all);
  const std::vector<CreatePipeline>& pipelines = found.pipelines.at("pg_with_dlq");
  ASSERT_EQ(pipelines.size(), 1U);
  const CreatePipeline& pipeline = pipelines[0];
  EXPECT_TRUE(pipeline.with.starts_with("WITH validated AS ("));
  EXPECT_TRUE(pipeline.with.ends_with("FROM source_data\n)"));
  ASSERT_EQ(pipeline.branches.size(), 2U);
  EXPECT_EQ(pipeline.branches[0].target, "pg_main");
  EXPECT_EQ(pipeline.branches[0].query, "SELECT * FROM validated WHERE is_valid = true");
  EXPECT_EQ(pipeline.branches[1].target, "error_log");
  EXPECT_TRUE(pipeline.branches[1].query.starts_with("SELECT \n    data,"));
  EXPECT_TRUE(pipeline.branches[1].query.ends_with("WHERE is_valid = false"));
}

}  // namespace
}  // namespace pgsink
