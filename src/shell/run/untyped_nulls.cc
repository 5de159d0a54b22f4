#include "shell/run/untyped_nulls.h"

#include <string>
#include <utility>

#include "pgsink/ddl/lexer.h"
#include "shell/engine/type_text.h"

namespace pgsink::shell {
namespace {

/// Whether NULL, [] or {} stands in a query. Without them no value of it lacks a type.
bool may_have_untyped(std::string_view query) {
  Lexer lexer(query);
  Token before;
  for (Token token = lexer.next(); token.kind != TokenKind::kEnd; token = lexer.next()) {
    if (token.kind == TokenKind::kUnclosed) return false;
    const bool test = before.is_word("IS") || before.is_word("NOT");
    if (token.is_word("NULL") && !test) return true;
    if (before.is_symbol('[') && token.is_symbol(']')) return true;
    if (before.is_symbol('{') && token.is_symbol('}')) return true;
    before = token;
  }
  return false;
}

OwnedType untyped(duckdb_logical_type bound, duckdb_logical_type probed);

/// A part of a type, and whether something in it has no type.
struct Part {
  Part(duckdb_logical_type bound, duckdb_logical_type probed) : type(bound) {
    const OwnedType other(probed);
    if (auto changed = untyped(type.get(), other.get()); changed.filled()) {
      type = std::move(changed);
      is_changed = true;
    }
  }
  OwnedType type;
  bool is_changed = false;
};

OwnedType untyped_struct(duckdb_logical_type bound, duckdb_logical_type probed) {
  std::vector<Part> parts;
  std::vector<std::string> names;
  bool changed = false;
  for (idx_t i = 0; i < duckdb_struct_type_child_count(bound); ++i) {
    char* const name = duckdb_struct_type_child_name(bound, i);
    names.emplace_back(name);
    duckdb_free(name);
    parts.emplace_back(duckdb_struct_type_child_type(bound, i),
                       duckdb_struct_type_child_type(probed, i));
    changed = changed || parts.back().is_changed;
  }
  if (!changed) return {};
  std::vector<duckdb_logical_type> types;
  std::vector<const char*> texts;
  for (size_t i = 0; i < parts.size(); ++i) {
    types.push_back(parts[i].type.get());
    texts.push_back(names[i].c_str());
  }
  return OwnedType(duckdb_create_struct_type(types.data(), texts.data(), types.size()));
}

/// The bound type with SQLNULL where the probe found that INTEGER was none; unfilled if it did
/// nowhere.
OwnedType untyped(duckdb_logical_type bound, duckdb_logical_type probed) {
  const duckdb_type id = duckdb_get_type_id(bound);
  const duckdb_type found = duckdb_get_type_id(probed);
  if (id == DUCKDB_TYPE_INTEGER && found == DUCKDB_TYPE_UTINYINT) {
    return OwnedType(duckdb_create_logical_type(DUCKDB_TYPE_SQLNULL));
  }
  if (id != found) return {};
  switch (id) {
    case DUCKDB_TYPE_LIST: {
      const Part child(duckdb_list_type_child_type(bound), duckdb_list_type_child_type(probed));
      if (!child.is_changed) return {};
      return OwnedType(duckdb_create_list_type(child.type.get()));
    }
    case DUCKDB_TYPE_ARRAY: {
      const Part child(duckdb_array_type_child_type(bound), duckdb_array_type_child_type(probed));
      if (!child.is_changed) return {};
      return OwnedType(
          duckdb_create_array_type(child.type.get(), duckdb_array_type_array_size(bound)));
    }
    case DUCKDB_TYPE_MAP: {
      const Part key(duckdb_map_type_key_type(bound), duckdb_map_type_key_type(probed));
      const Part value(duckdb_map_type_value_type(bound), duckdb_map_type_value_type(probed));
      if (!key.is_changed && !value.is_changed) return {};
      return OwnedType(duckdb_create_map_type(key.type.get(), value.type.get()));
    }
    case DUCKDB_TYPE_STRUCT:
      if (duckdb_struct_type_child_count(bound) != duckdb_struct_type_child_count(probed)) {
        return {};
      }
      return untyped_struct(bound, probed);
    default:
      return {};
  }
}

}  // namespace

void take_types_off_nulls(Engine& engine, const EngineSql& query, std::vector<Column>& columns) {
  std::string probe;
  bool any = false;
  // A NULL takes the type of the row beside it; an INTEGER beside a UTINYINT stays INTEGER.
  for (const Column& column : columns) {
    const TypeText type = type_text(column.type.get(), "UTINYINT");
    probe += probe.empty() ? "SELECT NULL" : ", NULL";
    if (type.integers) probe += "::" + type.name;
    any = any || type.integers;
  }
  if (!any || !may_have_untyped(query.text())) return;
  const auto bound = engine.prepare("SELECT * FROM (" + query.text() + "\n) UNION ALL " + probe);
  if (!bound || bound->columns().size() != columns.size()) return;
  for (size_t i = 0; i < columns.size(); ++i) {
    OwnedType type = untyped(columns[i].type.get(), bound->columns()[i].type.get());
    if (type.filled()) columns[i].type = std::move(type);
  }
}

}  // namespace pgsink::shell
