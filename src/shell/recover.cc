#include "shell/recover.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <string>
#include <utility>

#include "pgsink/delivery/in_doubt.h"
#include "pgsink/delivery/job_leftovers.h"
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
                                        const TraceCallback& trace, Env& env, Reporter& reporter,
                                        bool& told) {
  std::vector<Database> found;
  if (!flags.recover.url.empty()) {
    auto connect = parse_conninfo(flags.recover.url);
    if (connect) connect = apply_environment(*std::move(connect), env.files);
    if (!connect) return pgproto::fail(connect.error());
    if (trace) connect->trace = std::make_shared<const TraceTaker>(TraceTaker{trace});
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
  for (SinkOptions& options : connections) {
    options.on_trace = trace;
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
  if (one.of_job) {
    return one.ended ? "undecided: a part of a job that has ended without it"
                     : "undecided: a part of an open job, whose driver may still commit it";
  }
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

std::string leftover_text(const JobLeftover& one) {
  const std::string job = "job " + printable(one.sink_id) + " in schema " + printable(one.schema);
  if (!one.open && one.sink_id.empty()) return "ended: its job has no row any more";
  if (!one.open) return "ended: " + job + " cannot commit these rows any more";
  return "open: " + job + " may still be committed by its driver, " + printable(one.writer_name) +
         ", which opened it at " + one.since + " UTC";
}

void print_text(const std::vector<JobLeftover>& list, Output& output) {
  for (const JobLeftover& one : list) {
    output.write(one.stage.empty() ? "job " + printable(one.sink_id) + "\n"
                                   : printable(one.schema + "." + one.stage) + "\n");
    output.write("  " + leftover_text(one) + "\n");
    if (one.stage.empty()) {
      if (!one.used_by.empty()) output.write("  written now by " + printable(one.used_by) + "\n");
      continue;
    }
    output.write("  staging table of " + std::to_string(one.bytes) + " bytes, owned by role " +
                 printable(one.owner) + "\n");
    output.write(one.used_by.empty() ? "  no session uses it\n"
                                     : "  used now by " + printable(one.used_by) + "\n");
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

std::string json_object(const JobLeftover& one) {
  std::string out = "{";
  append_member(out, "staging_table", one.stage);
  append_member(out, "schema", one.schema);
  append_member(out, "sink_id", one.sink_id);
  append_member(out, "owner", one.owner);
  append_member(out, "opened_at", one.open ? one.since : "");
  append_member(out, "driver", one.writer_name);
  append_member(out, "used_by", one.used_by);
  out += ",\"bytes\":" + std::to_string(one.bytes);
  out += std::string(",\"open\":") + (one.open ? "true" : "false");
  return out + "}";
}

void print_json(const std::vector<InDoubt>& list, const std::vector<JobLeftover>& leftovers,
                Output& output) {
  std::string out = "[";
  const auto append = [&](const auto& one) {
    out += (out == "[" ? "\n" : ",\n") + json_object(one);
  };
  for (const InDoubt& one : list) append(one);
  for (const JobLeftover& one : leftovers) append(one);
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
    const auto elsewhere = [&](const auto& one) {
      return (database.schema && one.schema != *database.schema) ||
             (database.sink_id && one.sink_id != *database.sink_id);
    };
    auto found = list_in_doubt(**connection, deadline);
    if (!found) return at(database, found.error());
    std::erase_if(*found, elsewhere);
    auto leftovers = list_job_leftovers(**connection, deadline);
    if (!leftovers) return at(database, leftovers.error());
    std::erase_if(*leftovers, elsewhere);
    Status done;
    if (flags_.recover.what == Recovery::kList) {
      keep(std::move(*found), std::move(*leftovers));
    } else if (of_jobs()) {
      done = clear(**connection, *leftovers, *found, deadline);
    } else {
      done = resolve(**connection, *found, deadline);
    }
    return done ? done : at(database, done.error());
  }

  const std::vector<InDoubt>& list() const { return list_; }
  const std::vector<JobLeftover>& leftovers() const { return leftovers_; }
  /// The requested gid was found and resolved.
  bool found_gid() const { return found_gid_; }
  /// The requested job was found and ended.
  bool found_job() const { return found_job_; }

 private:
  bool of_jobs() const {
    return flags_.recover.what == Recovery::kLeftovers || flags_.recover.what == Recovery::kAbandon;
  }

  /// Two connections of a script may belong to the same sink.
  void keep(std::vector<InDoubt> found, std::vector<JobLeftover> leftovers) {
    for (InDoubt& one : found) {
      if (!listed(one.transaction.gid)) list_.push_back(std::move(one));
    }
    for (JobLeftover& one : leftovers) {
      const bool known = std::ranges::any_of(leftovers_, [&](const JobLeftover& other) {
        return other.schema == one.schema && other.sink_id == one.sink_id &&
               other.stage == one.stage;
      });
      if (!known) leftovers_.push_back(std::move(one));
    }
  }

  /// Drops what ended jobs have left. With --abandon the named one is ended first.
  Status clear(Connection& connection, const std::vector<JobLeftover>& leftovers,
               const std::vector<InDoubt>& in_doubt, Deadline deadline) {
    const bool abandons = flags_.recover.what == Recovery::kAbandon;
    size_t dropped = 0;
    for (const JobLeftover& one : leftovers) {
      if (abandons && one.sink_id != flags_.recover.job) continue;
      if (one.open && !abandons) continue;
      if (one.open) {
        const auto ended = abandon(connection, one, deadline);
        if (!ended) return pgproto::fail(ended.error());
        if (!*ended) continue;
      }
      if (one.stage.empty()) continue;
      const auto gone = drop_leftover(connection, one, deadline);
      if (!gone) return pgproto::fail(gone.error());
      dropped += *gone ? 1 : 0;
      if (!*gone) {
        reporter_.info("pgsink: note: a session uses " + printable(one.schema + "." + one.stage) +
                       ", which stays until that has ended");
      }
    }
    reporter_.info("pgsink: " + std::to_string(dropped) + " staging table" +
                   (dropped == 1 ? "" : "s") + " dropped");
    return roll_back_parts(connection, in_doubt, deadline);
  }

  /// Rolls back what parts of ended jobs have prepared. REQUIRES: with --abandon the named job was
  /// ended.
  Status roll_back_parts(Connection& connection, const std::vector<InDoubt>& in_doubt,
                         Deadline deadline) {
    const bool abandons = flags_.recover.what == Recovery::kAbandon;
    std::vector<PreparedTransaction> chosen;
    for (const InDoubt& one : in_doubt) {
      const bool wanted = abandons ? found_job_ && one.sink_id == flags_.recover.job : one.ended;
      if (one.of_job && !one.decided && wanted) chosen.push_back(one.transaction);
    }
    if (chosen.empty()) return {};
    const auto done = resolve_prepared(env_, connection, chosen, Resolution::kRollback, deadline);
    if (!done) return pgproto::fail(done.error());
    report_resolved(*done, Resolution::kRollback);
    return {};
  }

  void report_resolved(size_t count, Resolution resolution) {
    reporter_.info("pgsink: " + std::to_string(count) + " prepared transaction" +
                   (count == 1 ? "" : "s") +
                   (resolution == Resolution::kCommit ? " committed" : " rolled back"));
  }

  Result<bool> abandon(Connection& connection, const JobLeftover& one, Deadline deadline) {
    if (!one.used_by.empty()) {
      return pgproto::fail(Errc::kResolveRefused, "a part of job \"" + one.sink_id +
                                                      "\" is being written by " + one.used_by +
                                                      ": stop it first");
    }
    const auto ended = abandon_job(connection, one, deadline);
    if (ended && *ended) found_job_ = true;
    return ended;
  }

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
    report_resolved(*done, resolution);
    return {};
  }

  const Flags& flags_;
  Env& env_;
  Reporter& reporter_;
  std::vector<InDoubt> list_;
  std::vector<JobLeftover> leftovers_;
  bool found_gid_ = false, found_job_ = false;
};

}  // namespace

bool recover(const Flags& flags, const std::vector<Script>& scripts, const TraceCallback& trace,
             Output& output, Reporter& reporter) {
  OsEnv os;
  bool told = false;
  const auto places = databases(flags, scripts, trace, os.env(), reporter, told);
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
  if (flags.recover.what == Recovery::kAbandon && !recoverer.found_job()) {
    reporter.error(pgproto::errc_name(Errc::kUsage) + ": no job '" + flags.recover.job +
                   "' is open there: it may be committed or abandoned already; `pgsink recover` "
                   "lists them");
    return false;
  }
  if (flags.recover.what == Recovery::kList) {
    if (flags.json) {
      print_json(recoverer.list(), recoverer.leftovers(), output);
    } else {
      print_text(recoverer.list(), output);
      print_text(recoverer.leftovers(), output);
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
