#include "shell/engine/query_tree.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "pgsink/options/names.h"

namespace pgsink::shell {
namespace {

using Use = TreeReader::Use;

/// Functions and operators that work on the text of their arguments …
constexpr std::array kTextFunctions = std::to_array<std::string_view>({"||",
                                                                       "~~",
                                                                       "!~~",
                                                                       "~~*",
                                                                       "!~~*",
                                                                       "~~~",
                                                                       "like_escape",
                                                                       "not_like_escape",
                                                                       "ilike_escape",
                                                                       "not_ilike_escape",
                                                                       "regexp_matches",
                                                                       "regexp_full_match",
                                                                       "regexp_replace",
                                                                       "regexp_extract",
                                                                       "regexp_extract_all",
                                                                       "upper",
                                                                       "ucase",
                                                                       "lower",
                                                                       "lcase",
                                                                       "trim",
                                                                       "ltrim",
                                                                       "rtrim",
                                                                       "strlen",
                                                                       "substr",
                                                                       "substring",
                                                                       "left",
                                                                       "right",
                                                                       "replace",
                                                                       "reverse",
                                                                       "concat",
                                                                       "concat_ws",
                                                                       "starts_with",
                                                                       "^@",
                                                                       "prefix",
                                                                       "suffix",
                                                                       "ends_with",
                                                                       "contains",
                                                                       "instr",
                                                                       "position",
                                                                       "strpos",
                                                                       "lpad",
                                                                       "rpad",
                                                                       "split",
                                                                       "string_split",
                                                                       "str_split",
                                                                       "string_to_array",
                                                                       "split_part",
                                                                       "md5",
                                                                       "sha1",
                                                                       "sha256",
                                                                       "ascii",
                                                                       "translate",
                                                                       "strptime",
                                                                       "try_strptime",
                                                                       "strip_accents",
                                                                       "nfc_normalize"});
/// … and those that calculate.
constexpr std::array kNumberFunctions = std::to_array<std::string_view>(
    {"+",   "-",     "*",     "/",    "//",      "%",     "**",   "^",    "abs",
     "@",   "round", "floor", "ceil", "ceiling", "trunc", "sqrt", "cbrt", "power",
     "pow", "mod",   "sign",  "exp",  "ln",      "log",   "log2", "log10"});
constexpr std::array kNumberTypes = std::to_array<std::string_view>(
    {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER",
     "UBIGINT", "UHUGEINT", "FLOAT", "DOUBLE", "DECIMAL"});

constexpr std::array kTemporalTypes = std::to_array<std::string_view>(
    {"DATE", "TIME", "TIME_NS", "TIME WITH TIME ZONE", "TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS",
     "TIMESTAMP_NS", "TIMESTAMP WITH TIME ZONE", "INTERVAL"});

bool any_of(const auto& names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

std::string lower(std::string text) {
  std::ranges::transform(text, text.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return text;
}

bool holds_something(const JsonNode& node, std::string_view key) {
  const JsonNode* const member = node.find(key);
  if (member == nullptr || member->value.kind == JsonKind::kNull) return false;
  return member->value.kind != JsonKind::kArray || !member->nodes.empty();
}

/// The type of a constant or of a cast.
std::string type_of(const JsonNode& expression) {
  const JsonNode* type = expression.find("cast_type");
  if (const JsonNode* const value = expression.find("value"); type == nullptr && value != nullptr) {
    type = value->find("type");
  }
  return type == nullptr ? "" : node_text(*type, "id");
}

/// The use of a column that an expression is compared with. Texts are equal if their values are,
/// but they are ordered differently.
Use use_beside(const JsonNode& other, bool ordered) {
  const std::string type = type_of(other);
  if (any_of(kNumberTypes, type)) return Use::kNumber;
  if (type == "VARCHAR") return ordered ? Use::kOther : Use::kText;
  if (type == "NULL") return Use::kNone;
  const bool calculates = node_text(other, "class") == "FUNCTION" &&
                          any_of(kNumberFunctions, lower(node_text(other, "function_name")));
  return calculates ? Use::kNumber : Use::kOther;
}

bool rename(TreeReader::Relation& relation, const JsonNode& node, std::string_view list) {
  const JsonNode* const names = node.find(list);
  if (names == nullptr) return true;
  const size_t count = names->nodes.size();
  // Hidden columns would change the numbers that are counted here.
  if (count > relation.columns.size() || (count > 0 && relation.listed)) return false;
  for (size_t i = 0; i < names->nodes.size(); ++i) {
    relation.columns[i].name = names->nodes[i].content();
  }
  return true;
}

size_t offset_of(const JsonNode& node) {
  size_t offset = 0;
  const std::string text = node_text(node, "query_location");
  std::from_chars(text.data(), text.data() + text.size(), offset);
  return offset;
}

}  // namespace

std::optional<std::string> engine_text(Engine& engine, const std::string& sql) {
  auto query = engine.prepare(sql);
  if (!query || !query->start()) return std::nullopt;
  const auto chunk = query->next();
  if (!chunk || !chunk->filled()) return std::nullopt;
  duckdb_vector vector = duckdb_data_chunk_get_vector(chunk->get(), 0);
  uint64_t* const validity = duckdb_vector_get_validity(vector);
  if (validity != nullptr && !duckdb_validity_row_is_valid(validity, 0)) return std::nullopt;
  auto* text = static_cast<duckdb_string_t*>(duckdb_vector_get_data(vector));
  return std::string(duckdb_string_t_data(text), duckdb_string_t_length(*text));
}

std::optional<QueryTree> QueryTree::parse(Engine& engine, const std::string& sql) {
  const auto text = engine_text(engine, "SELECT json_serialize_sql(" + engine_literal(sql) + ")");
  if (!text) return std::nullopt;
  QueryTree tree;
  auto document = tree.reader_->read_value(*text);
  if (!document) return std::nullopt;
  const JsonNode* const statements = document->find("statements");
  if (statements == nullptr || statements->nodes.size() != 1) return std::nullopt;
  const JsonNode* const root = statements->nodes[0].find("node");
  if (root == nullptr) return std::nullopt;
  tree.root_ = *root;
  return tree;
}

std::string node_text(const JsonNode& node, std::string_view key) {
  const JsonNode* const member = node.find(key);
  return member == nullptr ? "" : member->content();
}

// ---- queries -------------------------------------------------------------------------------

std::optional<std::vector<TreeReader::Output>> TreeReader::read(const QueryTree& tree) {
  items_.clear();
  auto relation = read_node(tree.root(), {}, true);
  if (!relation) return std::nullopt;
  return std::move(relation->columns);
}

std::optional<TreeReader::Relation> TreeReader::read_node(const JsonNode& node, Scope scope,
                                                          bool last) {
  if (holds_something(node, "modifiers") && !allows_all()) return std::nullopt;
  const std::string type = node_text(node, "type");
  if (type == "CTE_NODE") {
    const JsonNode* const child = node.find("child");
    return child == nullptr ? std::nullopt : read_node(*child, std::move(scope), last);
  }
  if (!read_with(node, scope)) return std::nullopt;
  if (type == "SET_OPERATION_NODE") return read_union(node, scope, last);
  if (type == "SELECT_NODE") return read_select(node, scope, last);
  return std::nullopt;
}

bool TreeReader::read_with(const JsonNode& node, Scope& scope) {
  const JsonNode* const list = node.find("cte_map");
  const JsonNode* const map = list == nullptr ? nullptr : list->find("map");
  if (map == nullptr) return false;
  for (const JsonNode& entry : map->nodes) {
    const JsonNode* const value = entry.find("value");
    const JsonNode* const query = value == nullptr ? nullptr : value->find("query");
    const JsonNode* const body = query == nullptr ? nullptr : query->find("node");
    if (body == nullptr) return false;
    auto relation = read_node(*body, scope, false);
    if (!relation || !rename(*relation, *value, "aliases")) return false;
    relation->name = node_text(entry, "key");
    scope[lower(relation->name)] = std::move(*relation);
  }
  return true;
}

std::optional<TreeReader::Relation> TreeReader::read_union(const JsonNode& node, const Scope& scope,
                                                           bool last) {
  if (node_text(node, "setop_type") != "UNION" || node_text(node, "setop_all") != "true") {
    return std::nullopt;
  }
  std::vector<const JsonNode*> arms;
  for (const char* side : {"left", "right"}) {
    const JsonNode* const arm = node.find(side);
    if (arm != nullptr && arm->value.kind == JsonKind::kObject) arms.push_back(arm);
  }
  if (const JsonNode* const children = node.find("children"); children != nullptr) {
    for (const JsonNode& child : children->nodes) arms.push_back(&child);
  }
  std::optional<Relation> all;
  for (const JsonNode* const arm : arms) {
    auto relation = read_node(*arm, scope, last);
    if (!relation || (all && all->columns.size() != relation->columns.size())) return std::nullopt;
    if (!all) {
      all = std::move(relation);
      continue;
    }
    // Hidden columns in other places would not fit together.
    const bool fits = all->hides == relation->hides && all->listed == relation->listed &&
                      (!all->listed || std::ranges::equal(all->columns, relation->columns, {},
                                                          &Output::origin, &Output::origin));
    if (!last && !fits) return std::nullopt;
    for (size_t i = 0; i < all->columns.size(); ++i) {
      Output& first = all->columns[i];
      if (first.origin == relation->columns[i].origin) continue;
      // Both become one type.
      note_column(first, Use::kOther);
      note_column(relation->columns[i], Use::kOther);
      first.origin.reset();
    }
  }
  return all;
}

std::optional<TreeReader::Relation> TreeReader::read_select(const JsonNode& node,
                                                            const Scope& scope, bool last) {
  for (const char* part : {"group_expressions", "group_sets", "having", "sample", "qualify"}) {
    if (holds_something(node, part) && !allows_all()) return std::nullopt;
  }
  const JsonNode* const from = node.find("from_table");
  const JsonNode* const list = node.find("select_list");
  if (from == nullptr || list == nullptr) return std::nullopt;
  auto source = read_from(*from, scope);
  if (!source) return std::nullopt;
  Relation relation;
  relation_ = &*source;
  outputs_ = &relation.columns;
  const auto stars = std::ranges::count_if(
      list->nodes, [](const JsonNode& item) { return node_text(item, "class") == "STAR"; });
  // Hidden columns would occur twice.
  if (!source->hides.empty() && stars > 1) return std::nullopt;
  const size_t first = items_.size();
  for (const JsonNode& item : list->nodes) {
    Item read;
    read.last = last;
    read.beside_star = stars > 0;
    if (!read_item(item, std::move(read))) return std::nullopt;
  }
  if (stars > 0) relation.hides = source->hides;
  for (size_t i = first; stars == 0 && i < items_.size(); ++i) {
    const auto origin = items_[i].outputs[0].origin;
    if (!origin || !source->hides.contains(*origin)) continue;
    items_[i].repeated = !relation.hides.insert(*origin).second;
    relation.listed = true;
  }
  const JsonNode* const where = node.find("where_clause");
  if (where != nullptr && !visit(*where, Use::kOther)) return std::nullopt;
  return relation;
}

/// One entry of a select list.
bool TreeReader::read_item(const JsonNode& node, Item item) {
  const std::string kind = node_text(node, "class");
  const std::string alias = node_text(node, "alias");
  item.has_alias = !alias.empty();
  item.offset = offset_of(node);
  item.hides = relation_->hides;
  if (kind == "COLUMN_REF") {
    Output output;
    if (!resolve(node, output)) return false;
    if (item.has_alias) output.name = alias;
    item.outputs.push_back(std::move(output));
    item.plain = true;
  } else if (kind == "STAR") {
    if (node_text(node, "columns") == "true" || !read_star(node, item)) return false;
  } else {
    outputs_->push_back({alias});
    return visit(node, Use::kOther);
  }
  outputs_->insert(outputs_->end(), item.outputs.begin(), item.outputs.end());
  items_.push_back(std::move(item));
  return true;
}

bool TreeReader::read_star(const JsonNode& node, Item& item) {
  for (const char* part : {"expr", "qualified_exclude_list", "rename_list"}) {
    if (holds_something(node, part)) return false;
  }
  const std::string of = node_text(node, "relation_name");
  if (!of.empty() && !equal_without_case(of, relation_->name)) return false;
  const JsonNode* const excluded = node.find("exclude_list");
  const JsonNode* const replaced = node.find("replace_list");
  if (excluded == nullptr || replaced == nullptr) return false;
  item.star = true;
  item.plain = excluded->nodes.empty() && replaced->nodes.empty();
  for (const JsonNode& entry : replaced->nodes) {
    const JsonNode* const value = entry.find("value");
    if (value == nullptr || !visit(*value, Use::kOther)) return false;
  }
  for (const Output& column : relation_->columns) {
    const auto is_excluded = [&](const JsonNode& entry) {
      return equal_without_case(entry.content(), column.name);
    };
    const auto is_replaced = [&](const JsonNode& entry) {
      return equal_without_case(node_text(entry, "key"), column.name);
    };
    if (std::ranges::any_of(excluded->nodes, is_excluded)) continue;
    const bool other = std::ranges::any_of(replaced->nodes, is_replaced);
    item.outputs.push_back(other ? Output{column.name} : column);
  }
  return true;
}

std::optional<TreeReader::Relation> TreeReader::read_from(const JsonNode& from,
                                                          const Scope& scope) {
  const std::string type = node_text(from, "type");
  if (type == "EMPTY") return Relation();
  if (type == "JOIN") return read_join(from, scope);
  std::optional<Relation> relation;
  if (type == "SUBQUERY") {
    const JsonNode* const query = from.find("subquery");
    const JsonNode* const node = query == nullptr ? nullptr : query->find("node");
    if (node != nullptr) relation = read_node(*node, scope, false);
  } else if (type == "BASE_TABLE" || type == "TABLE_FUNCTION") {
    const auto known = scope.find(lower(node_text(from, "table_name")));
    relation = known != scope.end() ? known->second : read_table(from);
  }
  if (!relation || (holds_something(from, "sample") && !allows_all()) ||
      !rename(*relation, from, "column_name_alias")) {
    return std::nullopt;
  }
  if (const std::string alias = node_text(from, "alias"); !alias.empty()) relation->name = alias;
  return relation;
}

std::optional<TreeReader::Relation> TreeReader::read_join(const JsonNode& from,
                                                          const Scope& scope) {
  const JsonNode* const left = from.find("left");
  const JsonNode* const right = from.find("right");
  if (!allows_all() || left == nullptr || right == nullptr) return std::nullopt;
  auto all = read_from(*left, scope);
  const auto other = read_from(*right, scope);
  if (!all || !other) return std::nullopt;
  all->name.clear();
  all->columns.insert(all->columns.end(), other->columns.begin(), other->columns.end());
  return all;
}

// ---- expressions ---------------------------------------------------------------------------

/// Finds the named column. Without an origin it does not belong to a table. False if the name means
/// a whole row.
bool TreeReader::resolve(const JsonNode& reference, Output& output) {
  const JsonNode* const names = reference.find("column_names");
  if (names == nullptr || names->nodes.empty()) return false;
  const std::string first = names->nodes.front().content();
  const size_t count = names->nodes.size();
  const bool qualified =
      count > 1 && (relation_->name.empty() ||
                    equal_without_case(names->nodes[count - 2].content(), relation_->name));
  output.name = names->nodes.back().content();
  if (count == 1 || qualified) {
    if (const Output* const found = find(output.name)) {
      output.origin = found->origin;
      return true;
    }
    return !equal_without_case(first, relation_->name);
  }
  // A member of a column that is a STRUCT.
  if (const Output* const found = find(first)) note_column(*found, Use::kOther);
  return true;
}

/// A column of the relation, or else an earlier entry of the select list.
const TreeReader::Output* TreeReader::find(std::string_view name) const {
  const std::vector<Output>* const places[] = {&relation_->columns, outputs_};
  for (const auto* const outputs : places) {
    const auto found = std::ranges::find_if(
        *outputs, [&](const Output& output) { return equal_without_case(output.name, name); });
    if (found != outputs->end()) return &*found;
  }
  return nullptr;
}

void TreeReader::note_column(const Output& output, Use use) {
  if (output.origin && use != Use::kNone) note(*output.origin, use);
}

/// Records what an expression does with its columns; `use` is the use of its value. False if that
/// cannot be determined.
bool TreeReader::visit(const JsonNode& node, Use use) {
  const std::string kind = node_text(node, "class");
  const std::string type = node_text(node, "type");
  const JsonNode* const children = node.find("children");
  if (kind == "CONSTANT") return true;
  if (kind == "SUBQUERY") return allows_all();
  if (kind == "COLUMN_REF") {
    Output column;
    if (!resolve(node, column)) return false;
    note_column(column, use);
    return true;
  }
  if (kind == "STAR") {
    for (const Output& column : relation_->columns) note_column(column, Use::kOther);
    return true;
  }
  if (kind == "COMPARISON") return visit_beside({node.find("left"), node.find("right")}, node);
  if (kind == "BETWEEN") {
    return visit_beside({node.find("input"), node.find("lower"), node.find("upper")}, node);
  }
  if (kind == "CAST" && node.find("child") != nullptr) {
    // A text with a time and a zone would become a DATE without them.
    const bool temporal = any_of(kTemporalTypes, type_of(node));
    return visit(*node.find("child"), temporal ? Use::kOther : Use::kText);
  }
  if (children == nullptr) return visit_all(node, Use::kOther);
  if (type == "OPERATOR_IS_NULL" || type == "OPERATOR_IS_NOT_NULL") {
    return visit_all(*children, Use::kNone);
  }
  if (type == "COMPARE_IN" || type == "COMPARE_NOT_IN" || type == "OPERATOR_COALESCE") {
    std::vector<const JsonNode*> parts;
    parts.reserve(children->nodes.size());
    for (const JsonNode& child : children->nodes) parts.push_back(&child);
    return visit_beside(parts, node);
  }
  if (kind == "FUNCTION") {
    const std::string name = lower(node_text(node, "function_name"));
    const Use inside = any_of(kTextFunctions, name)     ? Use::kText
                       : any_of(kNumberFunctions, name) ? Use::kNumber
                                                        : Use::kOther;
    return visit_all(*children, inside);
  }
  return visit_all(node, Use::kOther);
}

bool TreeReader::visit_all(const JsonNode& node, Use use) {
  return std::ranges::all_of(node.nodes, [&](const JsonNode& one) { return visit(one, use); });
}

/// Parts that are compared with each other: what the others are decides how one is used.
bool TreeReader::visit_beside(const std::vector<const JsonNode*>& parts, const JsonNode& node) {
  constexpr std::array kOrdered = std::to_array<std::string_view>(
      {"COMPARE_BETWEEN", "COMPARE_LESSTHAN", "COMPARE_GREATERTHAN", "COMPARE_LESSTHANOREQUALTO",
       "COMPARE_GREATERTHANOREQUALTO"});
  const bool ordered = any_of(kOrdered, node_text(node, "type"));
  for (const JsonNode* const part : parts) {
    if (part == nullptr) return false;
    Use use = Use::kNone;
    for (const JsonNode* const other : parts) {
      if (other == nullptr) return false;
      if (other != part) use = std::max(use, use_beside(*other, ordered));
    }
    if (!visit(*part, use)) return false;
  }
  return true;
}

}  // namespace pgsink::shell
