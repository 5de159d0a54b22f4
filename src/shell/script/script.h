#pragma once
// Script: the text of a run's statements, and faults with positions in it.

#include <expected>
#include <string>
#include <vector>

#include <pgsink/ddl.h>

#include "shell/engine/engine_fault.h"
#include "shell/engine/engine_sql.h"
#include "shell/script/variables.h"

namespace pgsink::shell {

/// Script is a named text, for example a file's.
struct Script {
  std::string name;  ///< As shown in errors.
  std::string text;
  /// Changes an error to what helps the author of the script; null: it stays as it is.
  void (*advise)(Error& error) = nullptr;
};

/// All faults of one statement, with positions in the script.
using Faults = std::vector<Diagnostic>;
using Outcome = std::expected<void, Faults>;

/// SourceMap converts positions in a statement with filled-in variables to positions in its script.
class SourceMap {
 public:
  SourceMap(const Script& script, const FilledStatement& filled)
      : script_(script), filled_(filled) {}

  /// A fault whose position counts in the filled statement.
  Diagnostic in_script(Diagnostic diagnostic) const;
  Faults in_script(Faults faults) const;
  /// A fault at bytes of the filled statement.
  Faults fault(Error error, size_t offset, size_t length) const;
  /// A fault of the engine about `sql`; one without a position is placed at `fallback`.
  Faults engine_fault(const EngineFault& fault, const EngineSql& sql, SourcePosition fallback,
                      size_t fallback_length) const;

 private:
  const Script& script_;
  const FilledStatement& filled_;
};

}  // namespace pgsink::shell
