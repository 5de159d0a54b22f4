#pragma once
// ${NAME} of --set in the statements of a script, and the way back from what they became to the
// script.

#include <expected>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <pgsink/ddl.h>

namespace pgsink::shell {

/// FilledStatement is a statement whose ${NAME} are replaced. Places in it differ from the script's
/// behind the first replacement; script_offset() and in_script() lead back.
class FilledStatement {
 public:
  /// Replaces ${NAME} of `variables`. Within quotes the value is escaped, so that it stays inside;
  /// a
  /// ${…} there that names no variable is left as it is, and outside of quotes it is a fault. Of
  /// CREATE CONNECTION only what stands outside of quotes is replaced: bind_connection() does the
  /// rest. `statement` is a view into a script that must live as long as this.
  static std::expected<FilledStatement, Diagnostic> fill(
      const ScriptStatement& statement, const std::map<std::string, std::string>& variables);

  /// The statement to parse; positions in it count from the statement's begin in the script.
  ScriptStatement statement() const;
  /// Where in the script a byte comes from that stands at `offset` of statement()'s coordinates.
  size_t script_offset(size_t offset) const;

 private:
  struct Replacement {
    size_t begin = 0, bytes = 0;                ///< In text_.
    size_t script_begin = 0, script_bytes = 0;  ///< Behind the statement's begin.
  };
  void append_token(std::string_view token, char quote, bool escapes,
                    const std::map<std::string, std::string>& variables);
  void replace(size_t from, size_t bytes, std::string_view value);

  ScriptStatement original_;
  std::string text_;
  std::vector<Replacement> replacements_;
};

/// The place of the byte at `offset` of a script.
SourcePosition position_at(std::string_view script, size_t offset);

}  // namespace pgsink::shell
