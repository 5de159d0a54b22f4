#include "pgsink/partition/scheme.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "pgsink/encode/base/wire_type.h"
#include "pgsink/options/names.h"
#include "pgsink/partition/name.h"
#include "pgsink/partition/range.h"
#include "pgsink/sql/control.h"
#include "pgsink/sql/sql.h"

namespace pgsink {
namespace {

constexpr std::array<std::string_view, 3> kTypeWords{"range", "list", "hash"};
constexpr std::array<char, 3> kTypeLetters{'r', 'l', 'h'};

std::string_view word_of(PartitionType type) { return kTypeWords[static_cast<size_t>(type)]; }

/// Row is the catalog's answer about the partition key.
struct Row {
  PartitionScheme scheme;
  std::string definition;  ///< As pg_get_partkeydef() shows it.
  bool one_column = false;
  bool is_owner = false, may_create = false;
  std::string owner;
};

Result<std::optional<Row>> read_key(const SinkOptions& options, const CatalogTable& table,
                                    Connection& connection, Deadline deadline) {
  std::string sql;
  if (!options.set_role.empty()) {
    Quoted quoted;
    sql = sql_text(Sql::kSetRole, {quoted.identifier(options.set_role)}) + "; ";
    if (!quoted.status()) return fail(quoted.status().error());
  }
  sql += sql_text(Sql::kPartitionKey, {std::to_string(table.oid)});
  const auto found = run_control(connection, sql, deadline);
  if (!found) return fail(found.error());
  if (found->rows.empty()) return std::nullopt;
  Row row;
  row.scheme.oid = table.oid;
  row.scheme.schema = table.schema;
  row.scheme.table = table.name;
  const std::string letter = cell(*found, 0, 0);
  const auto* const type = std::ranges::find(kTypeLetters, letter.empty() ? ' ' : letter.front());
  if (type == kTypeLetters.end()) {
    return fail(Errc::kProtocol,
                "the table is partitioned by strategy '" + letter +
                    "', and pgsink supports range, list and hash: leave partition_column, "
                    "partition_type and create_partitions out");
  }
  row.scheme.type = static_cast<PartitionType>(type - kTypeLetters.begin());
  row.definition = cell(*found, 0, 1);
  row.scheme.column = cell(*found, 0, 2);
  row.one_column = !row.scheme.column.empty();
  row.scheme.default_partition = cell(*found, 0, 3);
  row.scheme.tablespace = cell(*found, 0, 4);
  row.is_owner = cell(*found, 0, 5) == "t";
  row.owner = cell(*found, 0, 6);
  row.may_create = cell(*found, 0, 7) == "t";
  row.scheme.role = cell(*found, 0, 8);
  return row;
}

/// Checks collects all faults.
class Checks {
 public:
  Checks(const SinkOptions& options, const CatalogTable& table)
      : options_(options), table_(table) {}

  void check_table(const std::optional<Row>& row);
  void check_rules();
  Status outcome() const {
    if (faults_.empty()) return {};
    return fail(code_, "table " + table_.schema + "." + table_.name + ": " + faults_);
  }

 private:
  void add(Errc code, const std::string& fault) {
    if (faults_.empty()) code_ = code;
    faults_ += (faults_.empty() ? "" : "; ") + fault;
  }
  void check_column();
  void check_key(const Row& row);
  void check_privileges(const Row& row);
  void check_range(const CatalogColumn& column, const Result<PartitionName>& name);

  const SinkOptions& options_;
  const CatalogTable& table_;
  bool key_fits_ = false;
  Errc code_ = Errc::kOptionConflict;
  std::string faults_;
};

void Checks::check_column() {
  const std::string& column = options_.partition_column;
  if (table_.find_column(column) != nullptr) return;
  std::vector<std::string_view> names;
  names.reserve(table_.columns.size());
  for (const CatalogColumn& known : table_.columns) names.push_back(known.name);
  const std::string_view nearest = nearest_name(column, names);
  std::string fault = "partition_column: there is no column \"" + column + "\"";
  if (!nearest.empty()) fault.append(" (did you mean \"").append(nearest).append("\"?)");
  add(Errc::kNoSuchColumn, fault);
}

void Checks::check_table(const std::optional<Row>& row) {
  check_column();
  if (!row) {
    return add(Errc::kOptionConflict,
               "it is not partitioned: leave partition_column, partition_type and "
               "create_partitions out, or create it with PARTITION BY …");
  }
  check_key(*row);
  if (creates_partitions(options_)) check_privileges(*row);
}

void Checks::check_key(const Row& row) {
  const bool same_type = !options_.partition_type || options_.partition_type == row.scheme.type;
  if (row.one_column) {
    key_fits_ = same_type && options_.partition_column == row.scheme.column;
    if (key_fits_) return;
    return add(Errc::kOptionConflict, "it is partitioned by " + row.definition +
                                          ": use partition_column = '" + row.scheme.column +
                                          "' and partition_type = '" +
                                          std::string(word_of(row.scheme.type)) + "'");
  }
  std::string fault = "it is partitioned by " + row.definition +
                      ", which is not one column: leave partition_column and partition_type out";
  if (options_.create_partitions) fault += ", and create its partitions yourself";
  add(Errc::kOptionConflict, fault);
}

void Checks::check_privileges(const Row& row) {
  if (!row.is_owner) {
    add(Errc::kPrivilege, "create_partitions: only its owner \"" + row.owner +
                              "\" may attach partitions, and the role \"" + row.scheme.role +
                              "\" is not a member of it: connect as the owner, make it the owner, "
                              "or create the partitions beforehand");
  }
  if (!row.may_create) {
    Quoted quoted;
    add(Errc::kPrivilege,
        "create_partitions: the role may not create tables: GRANT CREATE ON "
        "SCHEMA " +
            quoted.identifier(table_.schema) + " TO " + quoted.identifier(row.scheme.role));
  }
}

void Checks::check_rules() {
  const CatalogColumn* column = table_.find_column(options_.partition_column);
  if (!creates_partitions(options_) || column == nullptr) return;
  const auto name = PartitionName::parse(options_.partition_name, *options_.partition_type);
  if (!name) add(name.error().code, name.error().message);
  if (options_.partition_type == PartitionType::kRange) {
    if (key_fits_) check_range(*column, name);
    return;
  }
  const std::string& interval = options_.partition_interval;
  const bool number = interval.find_first_not_of("0123456789") == std::string::npos;
  if (options_.partition_type == PartitionType::kHash && !number) {
    add(Errc::kOptionConflict,
        "partition_interval: for 'hash' it is the number of partitions, not '" + interval + "'");
  }
}

void Checks::check_range(const CatalogColumn& column, const Result<PartitionName>& name) {
  const auto target = encode::resolve_target(column.type_oid, column.type_modifier, table_.types);
  if (!target) return add(target.error().code, target.error().message);
  const auto rule = RangeRule::create(*target, options_.partition_interval);
  if (!rule) return add(rule.error().code, rule.error().message);
  if (!name) return;
  if (auto distinct = name->check_distinct(*rule); !distinct) {
    add(distinct.error().code, distinct.error().message);
  }
}

}  // namespace

Result<std::optional<PartitionScheme>> read_partition_scheme(const SinkOptions& options,
                                                             const CatalogTable& table,
                                                             Connection& connection,
                                                             Deadline deadline) {
  auto row = read_key(options, table, connection, deadline);
  if (!row) return fail(row.error());
  if (!*row || !(*row)->one_column) return std::nullopt;
  return std::move((*row)->scheme);
}

bool creates_partitions(const SinkOptions& options) {
  return options.create_partitions && options.write_mode != WriteMode::kUpdate &&
         options.write_mode != WriteMode::kDelete;
}

Result<std::optional<PartitionScheme>> check_partitions(const SinkOptions& options,
                                                        const CatalogTable& table,
                                                        Connection& connection, Deadline deadline) {
  if (options.partition_column.empty()) return std::nullopt;
  auto row = read_key(options, table, connection, deadline);
  if (!row) return fail(row.error());
  Checks checks(options, table);
  checks.check_table(*row);
  checks.check_rules();
  if (auto all = checks.outcome(); !all) return fail(all.error());
  return std::move((*row)->scheme);
}

}  // namespace pgsink
