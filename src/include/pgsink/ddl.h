#pragma once
// pgsink's own statements in a script: CREATE CONNECTION, DROP CONNECTION, CREATE PIPELINE, INSERT
// INTO a connection. The parser does not know any SQL engine: the queries inside stay text.

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <pgsink/options.h>

namespace pgsink {

/// SourcePosition is a place in a script; line and column count from 1, the column in characters
/// (code points).
struct SourcePosition {
  size_t offset = 0;  ///< In bytes, from 0.
  uint32_t line = 1, column = 1;
};

/// Diagnostic is an error with the place that it is about.
struct Diagnostic {
  Error error;
  SourcePosition begin;
  size_t length = 0;  ///< Number of bytes of the source to underline.
};

/// ScriptStatement is one statement of a script, a view into it.
struct ScriptStatement {
  std::string_view text;   ///< Without the `;` and without blanks and comments around it.
  SourcePosition begin;    ///< Its position in the whole script.
  bool terminated = true;  ///< False if the script ended before a `;`.
};
/// split_script splits text into statements at `;`. It respects comments, quoted strings and
/// identifiers, dollar quotes, and E'…' escapes. Empty statements are left out. An unclosed quote
/// or comment reaches to the end of the script; parse_statement() reports it.
std::vector<ScriptStatement> split_script(std::string_view script);

/// RawOption is one `key = value` as written.
struct RawOption {
  std::string key;  ///< Lower case unless quoted.
  SourcePosition key_position;
  OptionValue value;  ///< With ${…} not filled in yet.
  SourcePosition value_position;
  size_t value_length = 0;  ///< Number of bytes of the source, quotes included.
  size_t key_length = 0;
};
/// CreateConnection is CREATE [OR REPLACE] CONNECTION [IF NOT EXISTS] name TO system (…).
struct CreateConnection {
  std::string name;
  bool or_replace = false, if_not_exists = false;
  std::string system;  ///< Lower case: "postgresql", "stdin".
  SourcePosition system_position;
  std::vector<RawOption> options;
  SourcePosition name_position;
  size_t name_length = 0, system_length = 0;  ///< In bytes of the source.
};
/// DropConnection is DROP CONNECTION [IF EXISTS] name.
struct DropConnection {
  std::string name;
  bool if_exists = false;
  SourcePosition name_position;
};
/// InsertBranch is one `INSERT INTO target query` of a pipeline. A bare `INSERT INTO t …` whose
/// target is not a connection belongs to the embedded engine: the caller decides by name.
struct InsertBranch {
  std::string target;
  std::vector<std::string> columns;  ///< The columns of INSERT INTO t (a, b) …; empty if not given.
  SourcePosition target_position;
  std::string_view query;  ///< SELECT …, VALUES …, FROM … as written.
  SourcePosition query_position;
};
/// CreatePipeline is CREATE PIPELINE name AS [WITH …] and its branches, or a bare [WITH …] INSERT
/// INTO.
struct CreatePipeline {
  std::string name;  ///< Empty for a bare INSERT INTO.
  bool or_replace = false, if_not_exists = false;
  SourcePosition name_position;
  std::string_view with;  ///< "WITH a AS (…), b AS (…)" shared by all branches; may be empty.
  SourcePosition with_position;
  std::vector<InsertBranch> branches;
};
/// EngineStatement is any other statement, for the embedded engine.
struct EngineStatement {};

using Statement = std::variant<EngineStatement, CreateConnection, DropConnection, CreatePipeline>;

/// parse_statement reads one statement of split_script(). Texts of the result are views into it. On
/// failure it returns all faults that can be found together, each with its place in the script.
std::expected<Statement, std::vector<Diagnostic>> parse_statement(const ScriptStatement& statement);

/// DdlLimits are the limits on what a script may ask of the parser.
struct DdlLimits {
  /// Longest pgsink statement. It is held as a whole; anything longer is a data file read as SQL by
  /// mistake.
  static constexpr size_t kStatementBytesMax = size_t{64} << 20;
  /// Longest CREATE CONNECTION; realistic ones have a few KiB.
  static constexpr size_t kConnectionBytesMax = size_t{1} << 20;
  /// Options of one connection: a few times as many as exist.
  static constexpr size_t kOptionsMax = 256;
  /// Longest value of an option after ${…} is filled in: a certificate's path, a password, a URL.
  static constexpr size_t kValueBytesMax = size_t{64} << 10;
  /// INSERT INTO branches of one pipeline: each is a sink with its own connections.
  static constexpr size_t kBranchesMax = 256;
  /// Brackets open at once in a query: engines parse them recursively.
  static constexpr size_t kNestingMax = 1000;
  /// Faults reported for one statement; more would not be read.
  static constexpr size_t kFaultsMax = 50;
};

/// Substitution looks up ${secret:NAME}, ${env:NAME} and ${NAME}; the functions return nullopt if
/// the name is unknown. An empty function knows no names.
struct Substitution {
  std::function<std::optional<std::string>(const std::string& name)> secret;
  std::function<std::optional<std::string>(const std::string& name)> environment;
  std::function<std::optional<std::string>(const std::string& name)> variable;  ///< Values of
                                                                                ///< --set.
};

/// bind_connection checks every option against the table and returns typed options. It finds
/// unknown keys (and names the nearest known one), wrong types and ranges, duplicates, refused
/// options, missing and contradicting ones. It returns every fault, with its place. No message
/// holds a secret.
std::expected<SinkOptions, std::vector<Diagnostic>> bind_connection(
    const CreateConnection& statement, const Substitution& substitution);

/// render_diagnostic returns "FILE:LINE:COL: error[PGS-nnnn]: message", the line of the source and
/// a caret line below it, then the server's detail, hint and context if there are any; it ends in
/// '\n'. Passwords written in the script are shown as ***, control characters as U+FFFD.
std::string render_diagnostic(const Diagnostic& diagnostic, std::string_view file,
                              std::string_view script);

/// mask_secrets replaces the value of each password-like option by ***, for texts that quote a
/// script, such as an engine's syntax error.
std::string mask_secrets(std::string_view script);

}  // namespace pgsink
