#include "shell/run/sniffed_csv.h"

#include <algorithm>
#include <array>

#include <pgsink/sink.h>

#include "pgsink/ddl/lexer.h"
#include "pgsink/options/names.h"
#include "shell/engine/query_tree.h"
#include "shell/run/source_types.h"

namespace pgsink::shell {
namespace {

/// Views in views that are followed.
constexpr size_t kViewsMax = 20;

/// The types that read_csv found.
struct Sniffed {
  std::string name;
  std::string type;
};

constexpr std::array kTextTypes = std::to_array<std::string_view>(
    {"text", "character varying", "character", "bpchar", "name", "citext"});

/// Without the modifier: "numeric" for "numeric(18,2)".
std::string_view base_type(std::string_view type) {
  const std::string_view base = type.substr(0, type.find('('));
  return base.substr(0, base.find_last_not_of(' ') + 1);
}

bool changes(const std::string& from, std::string_view to) {
  const std::string_view base = base_type(to);
  if (std::ranges::find(kTextTypes, base) != kTextTypes.end()) return true;
  return base == "numeric" && (from == "DOUBLE" || from == "FLOAT");
}

bool is_csv_file(std::string name) {
  std::ranges::transform(name, name.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  for (const std::string_view packed : {".gz", ".zst"}) {
    if (name.ends_with(packed)) name.resize(name.size() - packed.size());
  }
  return name.ends_with(".csv") || name.ends_with(".tsv");
}

/// The name of an option of a function in a FROM, and its value; nullopt if a node is none.
struct FunctionOption {
  std::string name;
  const JsonNode* value = nullptr;
};
std::optional<FunctionOption> option_of(const JsonNode& argument) {
  const JsonNode* const left = argument.find("left");
  const JsonNode* const names = left == nullptr ? nullptr : left->find("column_names");
  const JsonNode* const right = argument.find("right");
  if (node_text(argument, "type") != "COMPARE_EQUAL" || names == nullptr || right == nullptr ||
      names->nodes.size() != 1) {
    return std::nullopt;
  }
  return FunctionOption{names->nodes[0].content(), right};
}

/// Whether it is written as true: a constant, or a cast of 't'.
bool is_true(const JsonNode& expression) {
  const JsonNode* const child = expression.find("child");
  const JsonNode& constant = child == nullptr ? expression : *child;
  const JsonNode* const value = constant.find("value");
  const std::string text = value == nullptr ? "" : node_text(*value, "value");
  return text == "true" || text == "t" || text == "1";
}

class CsvReaderOfTree final : public TreeReader {
 public:
  explicit CsvReaderOfTree(Engine& engine) : engine_(engine) {}

  const std::vector<Sniffed>& sniffed() const { return sniffed_; }

 protected:
  bool allows_all() const override { return true; }
  void note(size_t, Use) override {}

  std::optional<Relation> read_table(const JsonNode& node) override {
    const std::string name = node_text(node, "table_name");
    const JsonNode* const function = node.find("function");
    if (function == nullptr && !is_csv_file(name)) {
      if (auto view = read_view(name)) return view;
      return describe(node, name, nullptr);
    }
    if (function == nullptr) {
      const Given given;
      return describe(node, name, &given);
    }
    const std::string called = node_text(*function, "function_name");
    if (called != "read_csv" && called != "read_csv_auto") return describe(node, called, nullptr);
    const auto given = given_types(*function);
    return describe(node, called, given ? &*given : nullptr);
  }

 private:
  /// The columns whose types a call of read_csv gives.
  struct Given {
    std::vector<std::string> names;
    size_t first = 0;  ///< As many from the first one on.
  };

  /// Nullopt if it gives all of them.
  static std::optional<Given> given_types(const JsonNode& function) {
    Given given;
    const JsonNode* const arguments = function.find("children");
    if (arguments == nullptr) return std::nullopt;
    for (const JsonNode& argument : arguments->nodes) {
      const auto option = option_of(argument);
      if (!option) continue;
      if (option->name == "columns") return std::nullopt;
      if (option->name == "all_varchar" && is_true(*option->value)) return std::nullopt;
      if (option->name == "auto_detect" && !is_true(*option->value)) return std::nullopt;
      if (option->name != "types" && option->name != "dtypes" && option->name != "column_types") {
        continue;
      }
      const JsonNode* const entries = option->value->find("children");
      if (entries == nullptr) return std::nullopt;
      for (const JsonNode& entry : entries->nodes) {
        const std::string name = node_text(entry, "alias");
        if (name.empty()) {
          ++given.first;
        } else {
          given.names.push_back(name);
        }
      }
    }
    return given;
  }

  /// The columns of the relations in a FROM; those that are sniffed have an origin.
  std::optional<Relation> describe(const JsonNode& node, const std::string& name,
                                   const Given* given) {
    const auto sql = engine_text(
        engine_, "SELECT json_deserialize_sql(" + engine_literal(select_from(node)) + ")");
    if (!sql) return std::nullopt;
    const auto query = engine_.prepare(*sql);
    if (!query) return std::nullopt;
    Relation relation;
    relation.name = name;
    for (size_t i = 0; i < query->columns().size(); ++i) {
      const Column& column = query->columns()[i];
      Output& output = relation.columns.emplace_back();
      output.name = column.name;
      const bool known =
          given == nullptr || i < given->first ||
          std::ranges::any_of(
              given->names,
              [&](const std::string& one) { return equal_without_case(one, column.name); });
      std::string type = known ? "" : type_name(column.type.get());
      if (type.empty() || type == "VARCHAR") continue;
      output.origin = sniffed_.size();
      sniffed_.push_back({column.name, std::move(type)});
    }
    return relation;
  }

  /// SELECT * FROM the node, as a tree.
  std::string select_from(const JsonNode& node) {
    const std::string placeholder = "pgsink_placeholder";
    auto tree =
        engine_text(engine_, "SELECT json_serialize_sql('SELECT * FROM " + placeholder + "')");
    if (!tree) return "";
    JsonReader reader;
    const auto document = reader.read_value(*tree);
    const JsonNode* const statements = document ? document->find("statements") : nullptr;
    if (statements == nullptr || statements->nodes.empty()) return "";
    const JsonNode* const select = statements->nodes[0].find("node");
    const JsonNode* const from = select == nullptr ? nullptr : select->find("from_table");
    if (from == nullptr) return "";
    const size_t at = tree->find(from->value.text);
    return tree->replace(at, from->value.text.size(), node.value.text);
  }

  static std::string type_name(duckdb_logical_type type) {
    switch (duckdb_get_type_id(type)) {
      case DUCKDB_TYPE_VARCHAR:
        return "VARCHAR";
      case DUCKDB_TYPE_BIGINT:
        return "BIGINT";
      case DUCKDB_TYPE_DOUBLE:
        return "DOUBLE";
      case DUCKDB_TYPE_BOOLEAN:
        return "BOOLEAN";
      case DUCKDB_TYPE_DATE:
        return "DATE";
      case DUCKDB_TYPE_TIME:
        return "TIME";
      case DUCKDB_TYPE_TIMESTAMP:
        return "TIMESTAMP";
      case DUCKDB_TYPE_TIMESTAMP_TZ:
        return "TIMESTAMPTZ";
      default:
        return "another type";
    }
  }

  std::optional<Relation> read_view(const std::string& name) {
    if (++views_ > kViewsMax) return std::nullopt;
    const auto sql = engine_text(
        engine_, "SELECT sql FROM duckdb_views() WHERE NOT internal AND lower(view_name) = lower(" +
                     engine_literal(name) + ")");
    if (!sql) return std::nullopt;
    Lexer lexer(*sql);
    for (Token token = lexer.next(); token.kind != TokenKind::kEnd; token = lexer.next()) {
      if (token.is_symbol('(')) return std::nullopt;  // It gives its columns other names.
      if (!token.is_word("AS")) continue;
      std::string query = sql->substr(token.end_offset());
      query.erase(query.find_last_not_of("; \n") + 1);
      const auto tree = QueryTree::parse(engine_, query);
      CsvReaderOfTree reader(engine_);
      reader.views_ = views_;
      auto outputs = tree ? reader.read(*tree) : std::nullopt;
      if (!outputs) return std::nullopt;
      Relation relation;
      relation.name = name;
      for (Output& output : *outputs) {
        if (output.origin) *output.origin += sniffed_.size();
        relation.columns.push_back(std::move(output));
      }
      sniffed_.insert(sniffed_.end(), reader.sniffed_.begin(), reader.sniffed_.end());
      return relation;
    }
    return std::nullopt;
  }

  Engine& engine_;
  std::vector<Sniffed> sniffed_;
  size_t views_ = 0;
};

/// Whether a query may read CSV at all, by its words and those of views.
bool may_read_csv(Engine& engine, const std::string& query) {
  const std::string text = engine_literal(query);
  const auto found = engine_text(
      engine, "SELECT (" + text + " ILIKE '%csv%' OR " + text +
                  " ILIKE '%.tsv%' OR EXISTS (SELECT 1 FROM duckdb_views() WHERE NOT internal AND "
                  "(sql ILIKE '%csv%' OR sql ILIKE '%.tsv%')))::VARCHAR");
  return found == "true";
}

std::string sniffed_csv_warning(Engine& engine, const std::string& query, const Schema& schema,
                                const SinkOptions& options) {
  if (!may_read_csv(engine, query)) return "";
  const auto tree = QueryTree::parse(engine, query);
  if (!tree) return "";
  CsvReaderOfTree reader(engine);
  const auto outputs = reader.read(*tree);
  if (!outputs || outputs->size() != schema.size() || reader.sniffed().empty()) return "";
  const auto target = describe_target(options);
  if (!target) return "";  // That is reported when the sink is opened.
  std::string columns;
  std::string types;
  for (size_t i = 0; i < outputs->size(); ++i) {
    if (!(*outputs)[i].origin) continue;
    const Sniffed& sniffed = reader.sniffed()[*(*outputs)[i].origin];
    const auto column = std::ranges::find_if(*target, [&](const TargetColumn& one) {
      return equal_without_case(one.name, schema[i].name);
    });
    if (column == target->end() || !changes(sniffed.type, column->type)) continue;
    columns += (columns.empty() ? "'" : ", '") + column->name + "' (" + sniffed.type + " into " +
               column->type + ")";
    types += (types.empty() ? "" : ", ") + engine_literal(sniffed.name) + ": 'VARCHAR'";
  }
  if (columns.empty()) return "";
  return "the types that read_csv finds in the first lines of a file can change what is written "
         "there, as 00501 or 1.10: " +
         columns + "; in read_csv, all_varchar = true keeps every text as it is, and types = {" +
         types + "} keeps these";
}

}  // namespace

void warn_of_sniffed_csv(const Pipeline& pipeline, const Branch& branch) {
  const std::string warning = sniffed_csv_warning(
      pipeline.context.engine, whole_query(pipeline.statement, branch.syntax).sql,
      *branch.rows.schema(), *branch.options);
  if (!warning.empty()) {
    pipeline.context.reporter.warning(pipeline.label(branch) + ": " + warning);
  }
}

}  // namespace pgsink::shell
