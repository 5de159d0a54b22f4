#pragma once
// Fills ${NAME} of --set into the statements of a script, and maps positions back to the script.

#include <expected>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <pgsink/ddl.h>

namespace pgsink::shell {

/// FilledStatement is a statement whose ${NAME} are replaced. Its positions differ from the
/// script's after the first replacement; script_offset() and in_script() convert them back.
class FilledStatement {
 public:
  /// Replaces ${NAME} of `variables`. Within quotes the value is escaped, so that it stays inside;
  /// an unknown ${…} is left as it is there, and is a fault outside of quotes. In CREATE CONNECTION
  /// only text outside of quotes is replaced: bind_connection() does the rest. `statement` is a
  /// view into a script that must live as long as this.
  static std::expected<FilledStatement, Diagnostic> fill(
      const ScriptStatement& statement, const std::map<std::string, std::string>& variables);

  /// The statement to parse; its positions count from the begin of the statement in the script.
  ScriptStatement statement() const;
  /// The offset in the script of the byte at `offset` of statement().
  size_t script_offset(size_t offset) const;

 private:
  struct Replacement {
    size_t begin = 0, bytes = 0;                ///< In text_.
    size_t script_begin = 0, script_bytes = 0;  ///< Counted from the statement's begin.
  };
  void append_token(std::string_view token, char quote, bool escapes,
                    const std::map<std::string, std::string>& variables);
  void replace(size_t from, size_t bytes, std::string_view value);

  ScriptStatement original_;
  std::string text_;
  std::vector<Replacement> replacements_;
};

/// The position of the byte at `offset` of a script.
SourcePosition position_at(std::string_view script, size_t offset);

}  // namespace pgsink::shell
