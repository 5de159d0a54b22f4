#pragma once
// The statements of ours in a script: CREATE CONNECTION, DROP CONNECTION, CREATE PIPELINE, INSERT
// INTO a connection. Parsing knows nothing of an SQL engine: the queries inside stay text.

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <pgsink/options.h>

namespace pgsink {

/// A place in a script; line and column count from 1, the column in characters (code points).
struct SourcePosition {
  size_t offset = 0;
  uint32_t line = 1, column = 1;
};

/// Diagnostic is an error with the place that it is about.
struct Diagnostic {
  Error error;
  SourcePosition begin;
  size_t length = 0;  ///< Bytes of the source to underline.
};

/// Script splits text into statements at `;`, respecting comments, quoted strings and identifiers,
/// dollar quotes, and E'…' escapes. Positions refer to the whole script.
struct ScriptStatement {
  std::string_view text;  ///< Without the `;`, leading blanks and leading comments.
  SourcePosition begin;
  bool terminated = true;  ///< False: the end of the script came before a `;`.
};
std::vector<ScriptStatement> split_script(std::string_view script);

struct RawOption {
  std::string key;
  SourcePosition key_position;
  OptionValue value;  ///< ${…} not yet filled in.
  SourcePosition value_position;
  size_t value_length = 0;
};
struct CreateConnection {
  std::string name;
  bool or_replace = false, if_not_exists = false;
  std::string system;  ///< Lower case: "postgresql", "stdin".
  SourcePosition system_position;
  std::vector<RawOption> options;
  SourcePosition name_position;
};
struct DropConnection {
  std::string name;
  bool if_exists = false;
  SourcePosition name_position;
};
/// One `INSERT INTO target query` of a pipeline. A bare `INSERT INTO t …` whose target is no
/// connection belongs to the embedded engine: the caller decides by name.
struct InsertBranch {
  std::string target;
  std::vector<std::string> columns;  ///< INSERT INTO t (a, b) …; empty if not given.
  SourcePosition target_position;
  std::string_view query;  ///< SELECT …, VALUES …, FROM … as written.
  SourcePosition query_position;
};
struct CreatePipeline {
  std::string name;  ///< Empty for a bare INSERT INTO.
  bool or_replace = false, if_not_exists = false;
  SourcePosition name_position;
  std::string_view with;  ///< "WITH a AS (…), b AS (…)" shared by all branches; may be empty.
  SourcePosition with_position;
  std::vector<InsertBranch> branches;
};
/// Anything else: for the embedded engine.
struct EngineStatement {};

using Statement = std::variant<EngineStatement, CreateConnection, DropConnection, CreatePipeline>;

/// parse_statement reads one statement of split_script(). Texts of the result are views into it.
/// On failure all faults that can be told together, each with its place in the script.
std::expected<Statement, std::vector<Diagnostic>> parse_statement(const ScriptStatement& statement);

/// Where ${secret:NAME} and ${env:NAME} come from; nullopt if there is no such name.
struct Substitution {
  std::function<std::optional<std::string>(const std::string& name)> secret;
  std::function<std::optional<std::string>(const std::string& name)> environment;
};

/// bind_connection checks every option against the table and yields typed options: unknown keys
/// (with the nearest known one), types, ranges, duplicates, refused options, missing and
/// contradicting ones. Every fault, with its place. No message holds a secret.
std::expected<SinkOptions, std::vector<Diagnostic>> bind_connection(
    const CreateConnection& statement, const Substitution& substitution);

/// "FILE:LINE:COL: error[PGS-nnnn]: message", the line of the source and a caret line below it.
std::string render_diagnostic(const Diagnostic& diagnostic, std::string_view file,
                              std::string_view script);

}  // namespace pgsink
