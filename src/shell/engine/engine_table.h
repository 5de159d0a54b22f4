#pragma once
// EngineTable: a small read-only table that the command itself fills, for the engine's SQL.

#include <cstdint>
#include <functional>
#include <string>
#include <variant>
#include <vector>

#include <pgproto/error.h>

#include "shell/engine/engine.h"

namespace pgsink::shell {

/// Instant is microseconds since 1970.
struct Instant {
  int64_t wall_us = 0;
};

/// TableCell is one value; the first alternative is NULL.
using TableCell = std::variant<std::monostate, bool, uint64_t, double, std::string, Instant>;
using TableRow = std::vector<TableCell>;

/// What a column's cells hold, beside NULL.
enum class CellKind : uint8_t { kBoolean, kCount, kDouble, kText, kInstant };

struct EngineTable {
  struct TableColumn {
    std::string name;
    CellKind kind = CellKind::kText;
  };
  std::string name;  ///< Queries find it as system.NAME.
  std::vector<TableColumn> columns;
  /// All rows, as of the start of each scan. An error fails the statement.
  std::function<pgproto::Result<std::vector<TableRow>>()> rows;
};

/// engine_function_name is the name under which a table's function appears in plans.
std::string engine_function_name(const EngineTable& table);

/// EngineTables makes tables known to an engine.
class EngineTables {
 public:
  /// Adds tables, once. This must outlive the engine.
  pgproto::Status add(Engine& engine, std::vector<EngineTable> tables);
  const EngineTable* find(std::string_view name) const;

 private:
  std::vector<EngineTable> tables_;
};

}  // namespace pgsink::shell
