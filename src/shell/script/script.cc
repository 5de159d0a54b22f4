#include "shell/script/script.h"

#include <algorithm>

#include "pgsink/ddl/lexer.h"

namespace pgsink::shell {

Diagnostic SourceMap::in_script(Diagnostic diagnostic) const {
  const size_t begin = filled_.script_offset(diagnostic.begin.offset);
  const size_t end = filled_.script_offset(diagnostic.begin.offset + diagnostic.length);
  diagnostic.begin = position_at(script_.text, begin);
  diagnostic.length = end > begin ? end - begin : diagnostic.length;
  return diagnostic;
}

Faults SourceMap::in_script(Faults faults) const {
  for (Diagnostic& fault : faults) fault = in_script(std::move(fault));
  return faults;
}

Faults SourceMap::fault(Error error, size_t offset, size_t length) const {
  Diagnostic diagnostic;
  diagnostic.error = std::move(error);
  diagnostic.begin.offset = offset;
  diagnostic.length = length;
  Faults faults;
  faults.push_back(in_script(std::move(diagnostic)));
  return faults;
}

Faults SourceMap::engine_fault(const EngineFault& fault, const EngineSql& sql,
                               SourcePosition fallback, size_t fallback_length) const {
  std::optional<size_t> offset;
  if (fault.offset) offset = sql.source_offset(*fault.offset);
  if (!offset) return this->fault(fault.error, fallback.offset, fallback_length);
  // The engine reports a position but no length: mark the word there.
  const ScriptStatement statement = filled_.statement();
  const size_t begin = std::min(*offset - statement.begin.offset, statement.text.size());
  const Token word = Lexer(statement.text.substr(begin)).next();
  const size_t length = word.begin.offset == 0 ? word.text.size() : 1;
  return this->fault(fault.error, *offset, std::max<size_t>(length, 1));
}

}  // namespace pgsink::shell
