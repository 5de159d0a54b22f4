#pragma once
// Reading statements in tests: from a script to a statement, to options, to faults with their
// places.

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <pgsink/ddl.h>

namespace ddl_test {

/// What was read of a script of one statement, and the faults of reading it.
struct Read {
  std::string script;
  std::optional<pgsink::Statement> statement;
  std::optional<pgsink::SinkOptions> options;
  std::vector<pgsink::Diagnostic> faults;

  /// The part of the script that a fault underlines.
  std::string marked(size_t fault) const {
    return script.substr(faults.at(fault).begin.offset, faults.at(fault).length);
  }
  pgsink::Errc code(size_t fault) const { return faults.at(fault).error.code; }
  const std::string& message(size_t fault) const { return faults.at(fault).error.message; }
  /// All faults as "code|marked|message" lines, for failures that explain themselves.
  std::string report() const {
    std::string text;
    for (size_t i = 0; i < faults.size(); ++i) {
      text += pgproto::errc_name(code(i)) + "|" + marked(i) + "|" + message(i) + "\n";
    }
    return text;
  }
  template <typename T>
  const T* as() const {
    return statement ? std::get_if<T>(&*statement) : nullptr;
  }
};

using Secrets = std::map<std::string, std::string>;

inline pgsink::Substitution substitution(Secrets secrets) {
  const auto look_up = [secrets](const std::string& kind) {
    return [secrets, kind](const std::string& name) -> std::optional<std::string> {
      const auto found = secrets.find(kind + name);
      if (found == secrets.end()) return std::nullopt;
      return found->second;
    };
  };
  pgsink::Substitution sources;
  sources.secret = look_up("secret:");
  sources.environment = look_up("env:");
  sources.variable = look_up("");
  return sources;
}

/// Parses the only statement of a script.
inline Read parse(std::string script) {
  Read read;
  read.script = std::move(script);
  const std::vector<pgsink::ScriptStatement> statements = pgsink::split_script(read.script);
  if (statements.size() != 1) return read;
  auto parsed = pgsink::parse_statement(statements[0]);
  if (parsed) {
    read.statement = std::move(*parsed);
  } else {
    read.faults = std::move(parsed.error());
  }
  return read;
}

/// Parses a script of one CREATE CONNECTION and binds it.
inline Read bind_script(std::string script,
                        const Secrets& secrets = {{"secret:password", "hunter2"}}) {
  Read read = parse(std::move(script));
  const auto* connection = read.as<pgsink::CreateConnection>();
  if (connection == nullptr) return read;
  auto bound = pgsink::bind_connection(*connection, substitution(secrets));
  if (bound) {
    read.options = std::move(*bound);
  } else {
    read.faults = std::move(bound.error());
  }
  return read;
}

/// A connection with everything required and `more` options, each beginning with a comma.
inline std::string connection_with(const std::string& more) {
  return "CREATE CONNECTION c TO postgresql (\n"
         "  host = 'h', database = 'd', username = 'u', table = 't'" +
         more + ");";
}
inline Read bind_with(const std::string& more,
                      const Secrets& secrets = {{"secret:password", "hunter2"}}) {
  return bind_script(connection_with(more.empty() ? "" : ",\n  " + more), secrets);
}

}  // namespace ddl_test
