#include "shell/flags/flags.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <optional>
#include <system_error>

#include <pgsink/options.h>

#include "pgsink/options/names.h"

namespace pgsink::shell {
namespace {

/// Why a flag is refused; nullopt: it is accepted.
using Refusal = std::optional<std::string>;

struct Flag {
  std::string_view name;     ///< Without the dashes.
  char letter;               ///< '\0': none.
  std::string_view value;    ///< How --help names the value; "" if there is none; a|b|c: choices.
  std::string_view meaning;  ///< '\n' breaks a line.
  /// Stores the value; `choice` is its index among the choices, if it has any.
  Refusal (*store)(std::string_view value, size_t choice, Flags& flags);
  unsigned commands = kOfRun;  ///< The commands that accept it.
  bool optional = false;       ///< The value may be left out; if not, it comes after '='.
};

Refusal set_variable(std::string_view value, size_t, Flags& flags) {
  const size_t equals = value.find('=');
  const std::string name(value.substr(0, equals));
  const bool named =
      !name.empty() &&
      name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") ==
          std::string::npos;
  if (equals == std::string_view::npos || !named) {
    return "--set takes NAME=VALUE; a name has letters, digits and _";
  }
  flags.variables[name] = value.substr(equals + 1);
  return {};
}

Refusal set_shutdown_timeout(std::string_view value, size_t, Flags& flags) {
  const char* const begin = value.data();
  const char* const end = begin + value.size();
  const auto read = std::from_chars(begin, end, flags.shutdown_timeout_s);
  const bool fits = flags.shutdown_timeout_s >= 0 && flags.shutdown_timeout_s <= 86400;
  if (!value.empty() && read.ec == std::errc() && read.ptr == end && fits) return {};
  return "--shutdown-timeout takes seconds from 0 to 86400, not '" + std::string(value) + "'";
}

Refusal set_traceparent(std::string_view value, size_t, Flags& flags) {
  flags.traceparent = value;
  if (is_traceparent(value)) return {};
  return "--traceparent takes version, trace, parent and flags as in W3C's header traceparent, "
         "such "
         "as 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
}

Refusal set_dry_run(std::string_view value, size_t, Flags& flags) {
  flags.dry_run = true;
  flags.dry_run_rows = std::numeric_limits<uint64_t>::max();
  if (value.empty()) return {};
  const char* const begin = value.data();
  const char* const end = begin + value.size();
  const auto read = std::from_chars(begin, end, flags.dry_run_rows);
  if (read.ec == std::errc() && read.ptr == end && flags.dry_run_rows > 0) return {};
  return "--dry-run takes a number of rows, not '" + std::string(value) + "'";
}

Refusal set_recovery(Recovery recovery, Flags& flags) {
  if (flags.recover.what != Recovery::kList) {
    return "only one of --decided, --commit, --rollback, --leftovers and --abandon";
  }
  flags.recover.what = recovery;
  return {};
}

Refusal add_load_option(std::string_view value, size_t, Flags& flags) {
  const size_t equals = value.find('=');
  if (equals == std::string_view::npos || equals == 0) {
    return "--option takes NAME=VALUE, for example batch_timeout_ms=200";
  }
  flags.load.options.push_back(
      {std::string(value.substr(0, equals)), std::string(value.substr(equals + 1))});
  return {};
}

constexpr Flag kFlags[] = {
    {"file", 'f', "FILE", "run the statements of FILE (- for standard input); may be repeated",
     [](std::string_view value, size_t, Flags& flags) -> Refusal {
       flags.inputs.push_back({true, std::string(value)});
       return {};
     },
     kOfRun | kOfRecover},
    {"command", 'c', "SQL", "run these statements; may be repeated and mixed with --file",
     [](std::string_view value, size_t, Flags& flags) -> Refusal {
       flags.inputs.push_back({false, std::string(value)});
       return {};
     },
     kOfRun | kOfRecover},
    {"set", 's', "NAME=VALUE", "the value of ${NAME} in the statements", set_variable,
     kOfRun | kOfRecover | kOfLoad},
    {"secret-dir", '\0', "DIR",
     "${secret:NAME} is the content of the file DIR/NAME;\n"
     "without the file, of the environment's PGSINK_SECRET_NAME",
     [](std::string_view value, size_t, Flags& flags) -> Refusal {
       flags.secret_directory = value;
       return {};
     },
     kOfRun | kOfRecover | kOfLoad},
    {"check", '\0', "online",
     "parse, bind and validate everything, contact no server, write nothing;\n"
     "online: also connect, and compare each pipeline with its table",
     [](std::string_view value, size_t, Flags& flags) -> Refusal {
       if (!value.empty() && value != "online") {
         return "--check takes no value, or online, not '" + std::string(value) + "'";
       }
       flags.check = true;
       flags.check_online = !value.empty();
       return {};
     },
     kOfRun | kOfLoad, true},
    {"dry-run", '\0', "ROWS",
     "connect, read and encode the rows of each pipeline, or the first ROWS,\n"
     "say which would be rejected, write nothing",
     set_dry_run, kOfRun | kOfLoad, true},
    {"format", '\0', "table|csv|json|jsonl|line", "how the rows of a SELECT are printed",
     [](std::string_view, size_t choice, Flags& flags) -> Refusal {
       flags.format = static_cast<Format>(choice);
       return {};
     }},
    {"progress", '\0', "auto|always|never",
     "rows, rows/s, MB/s and time of a running pipeline on standard error:\n"
     "auto: only on a terminal; always: elsewhere one plain line a second",
     [](std::string_view, size_t choice, Flags& flags) -> Refusal {
       flags.progress = static_cast<When>(choice);
       return {};
     },
     kOfRun | kOfLoad},
    {"summary", '\0', "FILE",
     "write what each sink read, wrote, rejected and retried to FILE,\n"
     "as JSON or, if its name ends in .csv, as CSV",
     [](std::string_view value, size_t, Flags& flags) -> Refusal {
       flags.summary_file = value;
       return {};
     },
     kOfRun | kOfLoad},
    {"color", '\0', "auto|always|never", "color in errors (NO_COLOR is respected by auto)",
     [](std::string_view, size_t choice, Flags& flags) -> Refusal {
       flags.color = static_cast<When>(choice);
       return {};
     },
     kOfRun | kOfRecover | kOfLoad},
    {"log-level", '\0', "error|info|debug",
     "what is printed on standard error: only errors; also the summary line\n"
     "of each pipeline; also each statement as it starts",
     [](std::string_view, size_t choice, Flags& flags) -> Refusal {
       flags.log_level = static_cast<LogLevel>(choice);
       return {};
     },
     kOfRun | kOfLoad},
    {"log-format", '\0', "text|json",
     "in which format: as text for people, or as one JSON object a line",
     [](std::string_view, size_t choice, Flags& flags) -> Refusal {
       flags.log_format = static_cast<LogFormat>(choice);
       return {};
     },
     kOfRun | kOfLoad},
    {"metrics-listen", '\0', "HOST:PORT",
     "serve /metrics (Prometheus), /livez and /readyz while statements run;\n"
     "without HOST on 127.0.0.1 alone",
     [](std::string_view value, size_t, Flags& flags) -> Refusal {
       flags.metrics_listen = value;
       return {};
     },
     kOfRun | kOfLoad},
    {"traceparent", '\0', "TRACE",
     "the W3C trace that the run belongs to, shown as the application name\n"
     "of its sessions (without the flag: TRACEPARENT)",
     set_traceparent, kOfRun | kOfLoad},
    {"trace", '\0', "FILE",
     "write every message between pgsink and PostgreSQL to this file, a line\n"
     "each, without passwords and without the rows of COPY",
     [](std::string_view value, size_t, Flags& flags) -> Refusal {
       flags.trace_file = value;
       return {};
     },
     kOfRun | kOfLoad | kOfRecover},
    {"shutdown-timeout", '\0', "SECONDS",
     "the longest time from SIGTERM or SIGINT to the end (60; 0: no limit)", set_shutdown_timeout,
     kOfRun | kOfLoad},
    {"json", '\0', "", "print the options, or what is in doubt, as JSON",
     [](std::string_view, size_t, Flags& flags) -> Refusal {
       flags.json = true;
       return {};
     },
     kOfOptions | kOfRecover},
    {"url", '\0', "URL", "the database, as libpq writes it, instead of a script: all sinks in it",
     [](std::string_view value, size_t, Flags& flags) -> Refusal {
       flags.recover.url = value;
       return {};
     },
     kOfRecover},
    {"connection", '\0', "NAME", "only this connection of the script",
     [](std::string_view value, size_t, Flags& flags) -> Refusal {
       flags.recover.connection = value;
       return {};
     },
     kOfRecover},
    {"decided", '\0', "", "commit everything that was decided and is not committed yet",
     [](std::string_view, size_t, Flags& flags) -> Refusal {
       return set_recovery(Recovery::kCommitDecided, flags);
     },
     kOfRecover},
    {"commit", '\0', "GID", "commit this one prepared transaction",
     [](std::string_view value, size_t, Flags& flags) -> Refusal {
       flags.recover.gid = value;
       return set_recovery(Recovery::kCommit, flags);
     },
     kOfRecover},
    {"rollback", '\0', "GID", "roll this one prepared transaction back",
     [](std::string_view value, size_t, Flags& flags) -> Refusal {
       flags.recover.gid = value;
       return set_recovery(Recovery::kRollback, flags);
     },
     kOfRecover},
    {"leftovers", '\0', "", "drop what jobs have left that have ended",
     [](std::string_view, size_t, Flags& flags) -> Refusal {
       return set_recovery(Recovery::kLeftovers, flags);
     },
     kOfRecover},
    {"abandon", '\0', "SINK_ID", "end the open job of this name, and drop what it has left",
     [](std::string_view value, size_t, Flags& flags) -> Refusal {
       flags.recover.job = value;
       return set_recovery(Recovery::kAbandon, flags);
     },
     kOfRecover},
    {"to", '\0', "URL",
     "the database, as libpq writes it; a password is better in\n"
     "PGPASSWORD or the password file",
     [](std::string_view value, size_t, Flags& flags) -> Refusal {
       flags.load.url = value;
       return {};
     },
     kOfLoad},
    {"table", '\0', "TABLE", "the table, or schema.table; upper and lower case as written",
     [](std::string_view value, size_t, Flags& flags) -> Refusal {
       flags.load.table = value;
       return {};
     },
     kOfLoad},
    {"mode", '\0', "insert|upsert|update|delete|insert_ignore|changelog|replace",
     "what a row does to the table",
     [](std::string_view value, size_t, Flags& flags) -> Refusal {
       flags.load.write_mode = value;
       return {};
     },
     kOfLoad},
    {"key", '\0', "COLUMNS", "the columns by which --mode finds rows; otherwise the primary key",
     [](std::string_view value, size_t, Flags& flags) -> Refusal {
       flags.load.keys.emplace_back(value);
       return {};
     },
     kOfLoad},
    {"create-table", '\0', "", "create the table if it is missing",
     [](std::string_view, size_t, Flags& flags) -> Refusal {
       flags.load.create_table = true;
       return {};
     },
     kOfLoad},
    {"parallel", '\0', "N", "how many connections write at the same time",
     [](std::string_view value, size_t, Flags& flags) -> Refusal {
       flags.load.parallelism = value;
       return {};
     },
     kOfLoad},
    {"atomic", '\0', "", "all rows or none: one transaction",
     [](std::string_view, size_t, Flags& flags) -> Refusal {
       flags.load.atomic = true;
       return {};
     },
     kOfLoad},
    {"dead-letters", '\0', "FILE",
     "write rejected rows to FILE (gzip, JSON lines); load the others",
     [](std::string_view value, size_t, Flags& flags) -> Refusal {
       flags.load.dead_letter_file = value;
       return {};
     },
     kOfLoad},
    {"option", '\0', "NAME=VALUE", "any other option of CREATE CONNECTION: see pgsink options",
     add_load_option, kOfLoad},
    {"input-format", '\0', "csv|tsv|json|ndjson|parquet",
     "the format of the files, or of standard input;\n"
     "otherwise the files' names say it",
     [](std::string_view value, size_t, Flags& flags) -> Refusal {
       flags.load.input_format = value;
       return {};
     },
     kOfLoad},
    {"delimiter", '\0', "CHARACTER", "what separates the fields of CSV; a comma if not given",
     [](std::string_view value, size_t, Flags& flags) -> Refusal {
       flags.load.delimiter = value;
       return {};
     },
     kOfLoad},
    {"null", '\0', "TEXT", "what NULL is in CSV, without quotes; nothing if not given",
     [](std::string_view value, size_t, Flags& flags) -> Refusal {
       flags.load.null = value;
       return {};
     },
     kOfLoad},
    {"no-header", '\0', "", "the first record of CSV is a row; --columns names the fields",
     [](std::string_view, size_t, Flags& flags) -> Refusal {
       flags.load.header = false;
       return {};
     },
     kOfLoad},
    {"columns", '\0', "COLUMNS",
     "the columns to load; with --no-header those of the fields, in order",
     [](std::string_view value, size_t, Flags& flags) -> Refusal {
       flags.load.columns = value;
       return {};
     },
     kOfLoad},
    {"print-script", '\0', "", "print the script that would run, and run nothing",
     [](std::string_view, size_t, Flags& flags) -> Refusal {
       flags.load.print_script = true;
       return {};
     },
     kOfLoad},
    {"help", 'h', "", "print this",
     [](std::string_view, size_t, Flags& flags) -> Refusal {
       flags.help = true;
       return {};
     },
     kOfAll},
    {"version", 'V', "", "print the versions of pgsink, its compiler, OpenSSL and DuckDB",
     [](std::string_view, size_t, Flags& flags) -> Refusal {
       flags.version = true;
       return {};
     }},
};

std::string did_you_mean(std::string_view name, std::span<const std::string_view> candidates,
                         std::string_view before) {
  const std::string_view nearest = nearest_name(name, candidates);
  if (nearest.empty()) return {};
  return "; did you mean " + std::string(before) + std::string(nearest) + "?";
}

Refusal store_value(const Flag& flag, std::string_view value, Flags& flags) {
  const auto choices = split_choices(flag.value);
  if (choices.empty()) return flag.store(value, 0, flags);
  const auto found = std::ranges::find(choices, value);
  if (found == choices.end()) {
    return "--" + std::string(flag.name) + " takes one of " + std::string(flag.value) + ", not '" +
           std::string(value) + "'" + did_you_mean(value, choices, "");
  }
  return flag.store(value, static_cast<size_t>(found - choices.begin()), flags);
}

constexpr CommandInfo kCommands[] = {
    {"load", Flags::Command::kLoad, kOfLoad, "FILE...",
     "load files (Parquet, CSV, JSON) or standard input (-) into a table"},
    {"options", Flags::Command::kOptions, kOfOptions, "", "list the options of CREATE CONNECTION"},
    {"recover", Flags::Command::kRecover, kOfRecover, "",
     "list and resolve what sinks and jobs left in doubt"},
    {"completion", Flags::Command::kCompletion, kOfNone, "bash|zsh|fish",
     "print a completion script for that shell"},
    {"man", Flags::Command::kManual, kOfNone, "", "print the manual page"},
};

/// Reads arguments one after the other into flags.
class Reader {
 public:
  explicit Reader(std::span<const std::string_view> arguments) : arguments_(arguments) {}

  std::expected<Flags, std::string> read() {
    for (const CommandInfo& command : kCommands) {
      if (arguments_.empty() || arguments_[0] != command.name) continue;
      flags_.command = command.command;
      takes_ = command.of;
      at_ = 1;
      if (Refusal refusal = take_argument(command)) return std::unexpected(*refusal);
    }
    while (at_ < arguments_.size()) {
      if (Refusal refusal = argument(arguments_[at_++])) return std::unexpected(*refusal);
    }
    if (Refusal refusal = check_recover()) return std::unexpected(*refusal);
    if (Refusal refusal = check_load()) return std::unexpected(*refusal);
    if (flags_.check && flags_.dry_run) {
      return std::unexpected("--dry-run does what --check=online does, and more: give one of them");
    }
    return std::move(flags_);
  }

 private:
  /// The argument that must follow the command's name.
  Refusal take_argument(const CommandInfo& command) {
    const auto choices = split_choices(command.argument);
    if (choices.empty()) return {};
    const std::string_view given = arguments_.size() > 1 ? arguments_[1] : "";
    if (given == "--help" || given == "-h") return {};
    if (std::ranges::find(choices, given) == choices.end()) {
      return std::string(command.name) + " takes one of " + std::string(command.argument) +
             did_you_mean(given, choices, "");
    }
    flags_.shell = given;
    at_ = 2;
    return {};
  }

  Refusal check_recover() const {
    if (flags_.command != Flags::Command::kRecover || flags_.help) return {};
    if (flags_.inputs.empty() == flags_.recover.url.empty()) {
      return "recover takes either a script that creates the connection (-f FILE, -c SQL) or --url";
    }
    if (!flags_.recover.url.empty() && !flags_.recover.connection.empty()) {
      return "--connection names a connection of a script, not of --url";
    }
    return {};
  }

  Refusal check_load() const {
    const Flags::Load& load = flags_.load;
    if (flags_.command != Flags::Command::kLoad || flags_.help) return {};
    if (load.files.empty()) return "load needs the files to read, or - for standard input";
    if (load.url.empty())
      return "load needs --to, the database: --to postgresql://me@host/database";
    if (load.table.empty()) return "load needs --table, the table to write to";
    return {};
  }

  Refusal argument(std::string_view text) {
    const bool load = flags_.command == Flags::Command::kLoad;
    if (load && text == "--") {
      while (at_ < arguments_.size()) flags_.load.files.emplace_back(arguments_[at_++]);
      return {};
    }
    if (text.starts_with("--") && text.size() > 2) return long_flag(text.substr(2));
    if (text.starts_with('-') && text.size() > 1) return short_flag(text);
    if (load) {
      flags_.load.files.emplace_back(text);
      return {};
    }
    std::vector<std::string_view> names;
    for (const CommandInfo& command : kCommands) names.push_back(command.name);
    return "unexpected argument '" + std::string(text) + "'" +
           did_you_mean(text, names, "the command ") +
           "; a script is given by -f FILE, statements by -c SQL";
  }

  bool applies(const Flag& flag) const { return (flag.commands & takes_) != 0; }

  Refusal long_flag(std::string_view text) {
    const size_t equals = text.find('=');
    const std::string_view name = text.substr(0, equals);
    for (const Flag& flag : kFlags) {
      if (flag.name != name || !applies(flag)) continue;
      if (equals == std::string_view::npos) return take(flag, "--" + std::string(name));
      if (flag.value.empty()) return "--" + std::string(name) + " takes no value";
      return store_value(flag, text.substr(equals + 1), flags_);
    }
    std::vector<std::string_view> names;
    for (const Flag& flag : kFlags) {
      if (applies(flag)) names.push_back(flag.name);
    }
    return "unknown flag --" + std::string(name) + did_you_mean(name, names, "--");
  }

  Refusal short_flag(std::string_view text) {
    for (const Flag& flag : kFlags) {
      if (flag.letter != text[1] || !applies(flag)) continue;
      if (text.size() == 2) return take(flag, std::string(text));
      if (flag.value.empty()) return std::string(text.substr(0, 2)) + " takes no value";
      return store_value(flag, text.substr(2), flags_);
    }
    return "unknown flag " + std::string(text);
  }

  /// The value comes from the next argument, if the flag has one and it was not in this argument.
  Refusal take(const Flag& flag, const std::string& as_written) {
    if (flag.value.empty() || flag.optional) return store_value(flag, {}, flags_);
    if (at_ == arguments_.size()) return as_written + " needs a value: " + std::string(flag.value);
    return store_value(flag, arguments_[at_++], flags_);
  }

  std::span<const std::string_view> arguments_;
  size_t at_ = 0;
  unsigned takes_ = kOfRun;
  Flags flags_;
};

void append_flag(std::string& out, const Flag& flag) {
  constexpr size_t kColumn = 30;
  std::string head = flag.letter == '\0' ? "      --" : std::string("  -") + flag.letter + ", --";
  head += flag.name;
  if (flag.optional) {
    head.append("[=").append(flag.value).append("]");
  } else if (!flag.value.empty()) {
    head.append(" ").append(flag.value);
  }
  out += head;
  out += head.size() + 2 <= kColumn ? std::string(kColumn - head.size(), ' ')
                                    : "\n" + std::string(kColumn, ' ');
  for (const char c : flag.meaning) {
    out += c;
    if (c == '\n') out += std::string(kColumn, ' ');
  }
  out += '\n';
}

}  // namespace

std::vector<std::string_view> split_choices(std::string_view value) {
  std::vector<std::string_view> choices;
  if (value.find('|') == std::string_view::npos) return choices;
  while (true) {
    const size_t bar = value.find('|');
    choices.push_back(value.substr(0, bar));
    if (bar == std::string_view::npos) return choices;
    value.remove_prefix(bar + 1);
  }
}

std::vector<FlagInfo> flag_table() {
  std::vector<FlagInfo> table;
  for (const Flag& flag : kFlags) {
    table.push_back(
        {flag.name, flag.letter, flag.value, flag.meaning, flag.commands, flag.optional});
  }
  return table;
}

std::span<const CommandInfo> command_table() { return kCommands; }

std::expected<Flags, std::string> parse_flags(std::span<const std::string_view> arguments) {
  return Reader(arguments).read();
}

std::string help_text() {
  std::string out =
      "pgsink runs SQL scripts and writes the rows of their pipelines into PostgreSQL.\n"
      "\n"
      "  pgsink [flags]                  run what is typed, on a terminal; .help lists more\n"
      "  pgsink [flags] -f FILE.sql      run a script\n"
      "  pgsink [flags] -c SQL           run statements\n"
      "  pgsink [flags] < FILE.sql       run standard input\n"
      "  pgsink load FILE... --to URL --table TABLE\n"
      "                                  load files into a table, without a script\n"
      "  pgsink options [--json]         list the options of CREATE CONNECTION\n"
      "  pgsink recover -f FILE.sql      list what sinks and jobs left in doubt\n"
      "  pgsink completion bash|zsh|fish print a completion script\n"
      "  pgsink man                      print the manual page\n"
      "\n"
      "Flags:\n";
  for (const Flag& flag : kFlags) {
    if ((flag.commands & kOfRun) != 0) append_flag(out, flag);
  }
  out +=
      "\nFlags of load, besides --set, --secret-dir, --check, --dry-run, --progress, --summary,\n"
      "--color, --log-level, --log-format, --metrics-listen, --trace and --shutdown-timeout:\n";
  for (const Flag& flag : kFlags) {
    if ((flag.commands & kOfLoad) != 0 && (flag.commands & kOfRun) == 0) append_flag(out, flag);
  }
  out +=
      "\nFlags of recover, besides --file, --command, --set, --secret-dir, --color and --trace:\n";
  for (const Flag& flag : kFlags) {
    if ((flag.commands & kOfRecover) != 0 && (flag.commands & kOfRun) == 0) append_flag(out, flag);
  }
  out +=
      "\n"
      "Examples:\n"
      "  pgsink -f load.sql --set pg_host=db1 --secret-dir /run/secrets\n"
      "  pgsink --check -f load.sql && pgsink -f load.sql --summary load.json\n"
      "  pgsink --dry-run=1000 -f load.sql\n"
      "  pgsink load 'events/*.parquet' --to postgresql://me@db1/analytics --table events\n"
      "  pgsink load new.csv --to \"$DATABASE\" --table users --mode upsert --key id --atomic\n"
      "  pgsink --format csv -c \"SELECT * FROM 'events.parquet' LIMIT 10\"\n"
      "\n"
      "  CREATE CONNECTION events_sink TO postgresql (\n"
      "      host = 'localhost', database = 'analytics', username = 'me',\n"
      "      password = '${secret:pg_password}', table = 'events', type = 'sink');\n"
      "  CREATE PIPELINE load AS\n"
      "  INSERT INTO events_sink SELECT * FROM read_csv('events.csv');\n"
      "\n"
      "Exit codes: 0 all done; 1 a statement failed, nothing after it ran; 2 the command line is\n"
      "wrong; 3 finished, but rows were rejected to the dead letters; 130 or 143 after SIGINT or\n"
      "SIGTERM: what was accepted is committed (a second signal aborts).\n";
  return out;
}

}  // namespace pgsink::shell
