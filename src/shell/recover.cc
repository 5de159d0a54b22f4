#include "shell/recover.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <string>
#include <utility>

#include "pgsink/delivery/in_doubt.h"
#include "pgsink/delivery/prepared.h"
#include "pgsink/options/open_retry.h"
#include "pgsink/options/server.h"
#include "shell/connections/connections.h"
#include "shell/engine/cell_text.h"
#include "shell/script/secrets.h"
#include "shell/text/display_width.h"

namespace pgsink::shell {
namespace {

/// Time limit for each transaction, including waiting for others.
constexpr auto kResolveMax = std::chrono::seconds(60);

/// Database is one to search; with a connection, only for transactions of its sink.
struct Database {
  std::string name;  ///< As shown in messages.
  ConnectOptions connect;
  std::optional<std::string> schema, sink_id;
  SinkOptions options{};  ///< How often the server is tried.
};

std::unexpected<Error> at(const Database& database, Error error) {
  error.message = database.name + ": " + error.message;
  return pgproto::fail(std::move(error));
}

// ---- the connections of a script ---------------------------------------------------------------

/// Reads CREATE CONNECTION of the scripts; other statements are not run.
bool read_connections(const Flags& flags, const std::vector<Script>& scripts,
                      std::vector<SinkOptions>& found, Reporter& reporter) {
  const Substitution substitution = make_substitution(flags.secret_directory, flags.variables);
  for (const Script& script : scripts) {
    for (const ScriptStatement& statement : split_script(script.text)) {
      const auto filled = FilledStatement::fill(statement, flags.variables);
      // An unset ${NAME} matters only to the statement that contains it.
      if (!filled) continue;
      const auto parsed = parse_statement(filled->statement());
      if (!parsed) continue;
      const auto* create = std::get_if<CreateConnection>(&*parsed);
      if (create == nullptr) continue;
      const bool wanted =
          flags.recover.connection.empty() || flags.recover.connection == create->name;
      if (!wanted) continue;
      auto options = bind_connection(*create, substitution);
      if (!options) {
        reporter.faults(script, SourceMap(script, *filled).in_script(std::move(options.error())));
        return false;
      }
      if (options->type == ConnectionType::kSink) found.push_back(std::move(*options));
    }
  }
  return true;
}

Result<std::vector<Database>> databases(const Flags& flags, const std::vector<Script>& scripts,
                                        Env& env, Reporter& reporter, bool& told) {
  std::vector<Database> found;
  if (!flags.recover.url.empty()) {
    auto connect = parse_conninfo(flags.recover.url);
    if (connect) connect = apply_environment(*std::move(connect), env.files);
    if (!connect) return pgproto::fail(connect.error());
    found.push_back({"--url", *std::move(connect), {}, {}, {}});
    return found;
  }
  std::vector<SinkOptions> connections;
  told = !read_connections(flags, scripts, connections, reporter);
  if (told) return found;
  if (connections.empty()) {
    return pgproto::fail(
        Errc::kUnknownConnection,
        flags.recover.connection.empty()
            ? "the script creates no connection to a sink"
            : "the script creates no sink connection '" + flags.recover.connection + "'");
  }
  for (const SinkOptions& options : connections) {
    auto connect = to_connect_options(options, env.files);
    if (!connect) return pgproto::fail(connect.error());
    found.push_back({"connection \"" + options.connection_name + "\"", *std::move(connect),
                     options.schema, stored_sink_id(options), options});
  }
  return found;
}

// ---- output -------------------------------------------------------------------------------------

std::string decision_text(const InDoubt& one) {
  const std::string epoch = one.epoch ? " epoch " + std::to_string(*one.epoch) : "";
  if (one.decided) return "decided:" + epoch + " is to be committed";
  if (one.epoch) return "undecided:" + epoch + " is completely prepared";
  return "undecided: its epoch was not completely prepared";
}

void print_text(const std::vector<InDoubt>& list, Output& output) {
  for (const InDoubt& one : list) {
    output.write(printable(one.transaction.gid) + "\n");
    output.write("  " + decision_text(one) + "\n");
    output.write("  sink " + printable(one.sink_id) + " in schema " + printable(one.schema) +
                 ", prepared " + one.prepared_at + " UTC by role " +
                 printable(one.transaction.owner) + "\n");
    output.write(one.writer.empty() ? "  no process has this sink open\n"
                                    : "  written now by " + printable(one.writer) + "\n");
  }
}

void append_member(std::string& out, std::string_view name, std::string_view text) {
  if (out.back() != '{') out += ",";
  append_json_string(out, name);
  out += ":";
  append_json_string(out, text);
}

std::string json_object(const InDoubt& one) {
  std::string out = "{";
  append_member(out, "gid", one.transaction.gid);
  append_member(out, "schema", one.schema);
  append_member(out, "sink_id", one.sink_id);
  append_member(out, "owner", one.transaction.owner);
  append_member(out, "prepared_at", one.prepared_at);
  append_member(out, "writer", one.writer);
  out += ",\"epoch\":" + (one.epoch ? std::to_string(*one.epoch) : "null");
  out += std::string(",\"decided\":") + (one.decided ? "true" : "false");
  return out + "}";
}

void print_json(const std::vector<InDoubt>& list, Output& output) {
  std::string out = "[";
  for (const InDoubt& one : list) out += (out == "[" ? "\n" : ",\n") + json_object(one);
  output.write(out + "\n]\n");
}

// ---- resolving ----------------------------------------------------------------------------------

Status may_resolve(const InDoubt& one, Recovery what) {
  if (what == Recovery::kRollback && one.decided) {
    return pgproto::fail(Errc::kResolveRefused,
                         "prepared transaction '" + one.transaction.gid + "' belongs to epoch " +
                             std::to_string(one.epoch.value_or(0)) +
                             ", which is decided, and others of it may be committed already: it "
                             "can only be committed");
  }
  if (!one.writer.empty() && !one.decided) {
    return pgproto::fail(Errc::kResolveRefused,
                         "sink \"" + one.sink_id + "\" is in use by " + one.writer +
                             ", which may commit or roll back '" + one.transaction.gid +
                             "' at any moment: stop it first");
  }
  return {};
}

class Recoverer {
 public:
  Recoverer(const Flags& flags, Env& env, Reporter& reporter)
      : flags_(flags), env_(env), reporter_(reporter) {}

  Status run(const Database& database) {
    SinkOptions options = database.options;
    options.on_server_wait = [&](const ServerWait& wait) {
      if (wait.begins) reporter_.warning(at(database, wait.error).error().to_string());
      return true;
    };
    const auto connection =
        OpenRetry(options, env_).run([&] { return Connection::open(env_, database.connect); });
    if (!connection) return at(database, connection.error());
    const Deadline deadline = env_.clock.now() + kResolveMax;
    auto found = list_in_doubt(**connection, deadline);
    if (!found) return at(database, found.error());
    std::erase_if(*found, [&](const InDoubt& one) {
      return (database.schema && one.schema != *database.schema) ||
             (database.sink_id && one.sink_id != *database.sink_id);
    });
    if (flags_.recover.what == Recovery::kList) {
      // Two connections of a script may belong to the same sink.
      for (InDoubt& one : *found) {
        if (!listed(one.transaction.gid)) list_.push_back(std::move(one));
      }
      return {};
    }
    if (auto done = resolve(**connection, *found, deadline); !done) {
      return at(database, done.error());
    }
    return {};
  }

  const std::vector<InDoubt>& list() const { return list_; }
  /// The requested gid was found and resolved.
  bool found_gid() const { return found_gid_; }

 private:
  bool listed(const std::string& gid) const {
    return std::ranges::any_of(list_,
                               [&](const InDoubt& one) { return one.transaction.gid == gid; });
  }

  Status resolve(Connection& connection, const std::vector<InDoubt>& found, Deadline deadline) {
    const Recovery what = flags_.recover.what;
    std::vector<PreparedTransaction> chosen;
    for (const InDoubt& one : found) {
      const bool wanted = what == Recovery::kCommitDecided
                              ? one.decided
                              : one.transaction.gid == flags_.recover.gid;
      if (!wanted) continue;
      if (auto allowed = may_resolve(one, what); !allowed) return allowed;
      chosen.push_back(one.transaction);
      if (what == Recovery::kCommit && !one.decided) {
        reporter_.info("pgsink: note: '" + one.transaction.gid +
                       "' was never decided; whatever else belongs to its epoch stays as it is");
      }
    }
    found_gid_ = found_gid_ || !chosen.empty();
    const Resolution resolution =
        what == Recovery::kRollback ? Resolution::kRollback : Resolution::kCommit;
    const auto done = resolve_prepared(env_, connection, chosen, resolution, deadline);
    if (!done) return pgproto::fail(done.error());
    reporter_.info("pgsink: " + std::to_string(*done) + " prepared transaction" +
                   (*done == 1 ? "" : "s") +
                   (resolution == Resolution::kCommit ? " committed" : " rolled back"));
    return {};
  }

  const Flags& flags_;
  Env& env_;
  Reporter& reporter_;
  std::vector<InDoubt> list_;
  bool found_gid_ = false;
};

}  // namespace

bool recover(const Flags& flags, const std::vector<Script>& scripts, Output& output,
             Reporter& reporter) {
  OsEnv os;
  bool told = false;
  const auto places = databases(flags, scripts, os.env(), reporter, told);
  if (told) return false;
  if (!places) {
    reporter.error(places.error().to_string());
    return false;
  }
  Recoverer recoverer(flags, os.env(), reporter);
  for (const Database& database : *places) {
    if (auto done = recoverer.run(database); !done) {
      reporter.error(done.error().to_string());
      return false;
    }
  }
  const bool one = !flags.recover.gid.empty();
  if (one && !recoverer.found_gid()) {
    reporter.error(pgproto::errc_name(Errc::kNoPreparedTransaction) +
                   ": no sink has a prepared transaction '" + flags.recover.gid +
                   "' there: it may be resolved already; `pgsink recover` lists them");
    return false;
  }
  if (flags.recover.what == Recovery::kList) {
    if (flags.json) {
      print_json(recoverer.list(), output);
    } else {
      print_text(recoverer.list(), output);
      if (recoverer.list().empty()) reporter.info("pgsink: no prepared transaction is in doubt");
    }
  }
  if (auto flushed = output.flush(); !flushed) {
    reporter.error(flushed.error().message);
    return false;
  }
  return true;
}

}  // namespace pgsink::shell
