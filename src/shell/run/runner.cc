#include "shell/run/runner.h"

#include <algorithm>
#include <unistd.h>

#include "pgsink/ddl/lexer.h"
#include "pgsink/options/server.h"
#include "shell/engine/castable.h"
#include "shell/kafka/kafka_source.h"
#include "shell/output/result_printer.h"
#include "shell/run/batch_run.h"
#include "shell/run/log_events.h"
#include "shell/run/pipe_files.h"
#include "shell/run/pipeline_binder.h"
#include "shell/run/rehearsal_run.h"
#include "shell/run/server_wait.h"
#include "shell/run/stream_run.h"
#include "shell/run/tables_run.h"
#include "shell/script/secrets.h"
#include "shell/sources/postgres_source.h"
#include "shell/sources/stdin_source.h"

namespace pgsink::shell {
namespace {

/// Whether a statement only changes what later statements are bound against.
bool shapes_the_session(duckdb_statement_type kind) {
  switch (kind) {
    case DUCKDB_STATEMENT_TYPE_CREATE:
    case DUCKDB_STATEMENT_TYPE_CREATE_FUNC:
    case DUCKDB_STATEMENT_TYPE_ALTER:
    case DUCKDB_STATEMENT_TYPE_DROP:
    case DUCKDB_STATEMENT_TYPE_SET:
    case DUCKDB_STATEMENT_TYPE_VARIABLE_SET:
    case DUCKDB_STATEMENT_TYPE_PRAGMA:
    case DUCKDB_STATEMENT_TYPE_LOAD:
    case DUCKDB_STATEMENT_TYPE_PREPARE:
    case DUCKDB_STATEMENT_TYPE_TRANSACTION:
    case DUCKDB_STATEMENT_TYPE_ATTACH:
    case DUCKDB_STATEMENT_TYPE_DETACH:
      return true;
    default:
      return false;
  }
}

/// Whether it is CREATE TABLE … AS query: the table matters to --check, its rows do not.
bool creates_table_from_query(std::string_view text) {
  Lexer lexer(text);
  bool table = false;
  size_t depth = 0;
  for (Token token = lexer.next(); token.kind != TokenKind::kEnd; token = lexer.next()) {
    if (token.is_symbol('(')) ++depth;
    if (token.is_symbol(')')) --depth;
    table = table || token.is_word("TABLE");
    if (!table && (token.is_word("VIEW") || token.is_word("MACRO"))) return false;
    if (table && depth == 0 && token.is_word("AS")) return true;
  }
  return false;
}

/// Whether its password may have changed when it connects again.
bool names_a_secret(const CreateConnection& statement) {
  return std::ranges::any_of(statement.options, [](const RawOption& option) {
    const bool holds_password = option.key == "password" || option.key == "url";
    return holds_password && option.value.text.find("${secret:") != std::string::npos;
  });
}

}  // namespace

Runner::Runner(const Flags& flags, Engine& engine, Connections& connections, Sources& sources,
               SystemTables& system_tables, Signals& signals, Output& output, Reporter& reporter)
    : flags_(flags),
      engine_(engine),
      connections_(connections),
      sources_(sources),
      system_tables_(system_tables),
      signals_(signals),
      output_(output),
      reporter_(reporter),
      substitution_(make_substitution(flags.secret_directory, flags.variables)) {
  signals_.on_signal([this] { engine_.interrupt(); });
  stdin_is_script_ = flags.inputs.empty() && flags.command == Flags::Command::kRun;
  for (const Flags::Input& input : flags.inputs) {
    stdin_is_script_ = stdin_is_script_ || (input.is_file && input.value == "-");
  }
}

Runner::~Runner() { signals_.on_signal({}); }

bool Runner::run(const Script& script) {
  for (const ScriptStatement& statement : split_script(script.text)) {
    if (signals_.received() != 0) return false;
    reporter_.debug(script.name + ":" + std::to_string(statement.begin.line) + ": " +
                    std::string(statement.text.substr(0, statement.text.find_first_of("\r\n("))));
    auto done = run_statement(script, statement);
    for (const std::string& name : engine_.left_out_members()) {
      reporter_.warning("the member '" + name +
                        "' was in none of the first rows of JSON and is left out");
    }
    if (!done) {
      for (Diagnostic& fault : done.error()) {
        if (script.advise != nullptr) script.advise(fault.error);
      }
      reporter_.faults(script, done.error());
      return false;
    }
    if (auto flushed = output_.flush(); !flushed) {
      reporter_.error(flushed.error().message);
      return false;
    }
  }
  return signals_.received() == 0;
}

Outcome Runner::run_statement(const Script& script, const ScriptStatement& statement) {
  auto filled = FilledStatement::fill(statement, flags_.variables);
  if (!filled) return std::unexpected(Faults{std::move(filled.error())});
  const SourceMap places(script, *filled);
  const ScriptStatement text = filled->statement();
  const auto parsed = parse_statement(text);
  if (!parsed) return std::unexpected(places.in_script(parsed.error()));
  if (const auto* create = std::get_if<CreateConnection>(&*parsed)) {
    return create_connection(*create, places);
  }
  if (const auto* drop = std::get_if<DropConnection>(&*parsed)) {
    return drop_connection(*drop, places);
  }
  if (const auto pipe = find_pipe_file(text.text, text.begin)) {
    return std::unexpected(places.fault(
        make_error(Errc::kQuery,
                   "'" + pipe->path +
                       "' is a pipe or a device, which cannot be read twice, and the SQL engine "
                       "opens a file more than once: write the rows to a file first, or read "
                       "standard input by CREATE CONNECTION name TO stdin (type = 'source', …)"),
        pipe->place.offset, pipe->size));
  }
  const auto opened = open_sources(text);
  if (!opened) return std::unexpected(places.fault(opened.error(), text.begin.offset, 1));
  if (!*opened) return {};
  if (const auto* pipeline = std::get_if<CreatePipeline>(&*parsed)) {
    return run_insert(*pipeline, text, places);
  }
  return run_in_engine(text, places);
}

// ---- connections ---------------------------------------------------------------------------

Outcome Runner::create_connection(const CreateConnection& statement, const SourceMap& places) {
  const bool exists =
      connections_.find(statement.name) != nullptr || sources_.contains(statement.name);
  if (exists && statement.if_not_exists) return {};
  if (exists && !statement.or_replace) {
    return std::unexpected(places.fault(
        make_error(
            Errc::kDuplicateName,
            "connection '" + statement.name +
                "' exists; use CREATE OR REPLACE to replace it, or IF NOT EXISTS to keep it"),
        statement.name_position.offset, statement.name_length));
  }
  if (statement.system == "stdin") return create_source(statement, places);
  if (statement.system == "kafka") return create_kafka_source(statement, places);
  auto options = bind_connection(statement, substitution_);
  if (!options) return std::unexpected(places.in_script(std::move(options.error())));
  if (names_a_secret(statement)) {
    options->on_password = [statement, substitution = substitution_]() -> Result<std::string> {
      const auto again = bind_connection(statement, substitution);
      if (!again) return pgproto::fail(again.error().front().error);
      return password_of(*again);
    };
  }
  options->on_server_wait = server_wait(options->connection_name, signals_, reporter_);
  options->on_log = [&reporter = reporter_](const LogEvent& event) {
    report_event(event, reporter);
  };
  if (options->application_name.empty() && options->traceparent.empty()) {
    options->traceparent = flags_.traceparent;
  }
  options->on_trace = trace_;
  if (flags_.check_online || flags_.dry_run) {
    if (const auto tested = test_connection(*options); !tested) {
      return std::unexpected(
          places.fault(tested.error(), statement.name_position.offset, statement.name_length));
    }
  }
  sources_.drop(statement.name);
  if (options->type == ConnectionType::kSource) {
    if (auto free = check_source_name(statement, places); !free) return free;
    // The engine does not see the rows of many tables: see TablesRun.
    if (options->tables.empty()) {
      sources_.put(statement.name, make_postgres_source(*options, reporter_));
    }
  }
  connections_.put(std::move(*options));
  return {};
}

Outcome Runner::check_source_name(const CreateConnection& statement, const SourceMap& places) {
  if (!engine_.has_table(statement.name) || sources_.contains(statement.name)) return {};
  return std::unexpected(places.fault(
      make_error(Errc::kDuplicateName,
                 "the engine has a table '" + statement.name + "': a source needs a unique name"),
      statement.name_position.offset, statement.name_length));
}

/// CREATE CONNECTION … TO stdin.
Outcome Runner::create_source(const CreateConnection& statement, const SourceMap& places) {
  const auto refuse = [&](Errc code, std::string message) {
    return std::unexpected(places.fault(make_error(code, std::move(message)),
                                        statement.system_position.offset, statement.system_length));
  };
  if (stdin_is_script_) {
    return refuse(Errc::kOptionConflict,
                  "the statements themselves come from standard input: give them with -f or -c");
  }
  for (const std::string& name : sources_.names()) {
    const bool of_server = connections_.find(name) != nullptr;
    if (name != statement.name && !of_server) {
      return refuse(Errc::kOptionConflict, "standard input is the source '" + name + "' already");
    }
  }
  if (auto free = check_source_name(statement, places); !free) return free;
  auto options = bind_stdin(statement, substitution_, engine_);
  if (!options) return std::unexpected(places.in_script(std::move(options.error())));
  connections_.drop(statement.name);
  sources_.put(statement.name, make_stdin_source(std::move(*options), STDIN_FILENO, reporter_));
  return {};
}

/// CREATE CONNECTION … TO kafka.
Outcome Runner::create_kafka_source(const CreateConnection& statement, const SourceMap& places) {
  if (auto free = check_source_name(statement, places); !free) return free;
  auto options = bind_kafka(statement, substitution_, engine_);
  if (!options) return std::unexpected(places.in_script(std::move(options.error())));
  const Status usable =
      flags_.check_online || flags_.dry_run ? check_kafka(*options) : check_kafka_options(*options);
  if (!usable) {
    return std::unexpected(
        places.fault(usable.error(), statement.name_position.offset, statement.name_length));
  }
  connections_.drop(statement.name);
  sources_.put(statement.name, make_kafka_source(std::move(*options), reporter_));
  return {};
}

/// Opens the sources that a statement may read. False if it cannot be run: --check does not wait.
Result<bool> Runner::open_sources(const ScriptStatement& text) {
  const auto waits =
      sources_.open_mentioned(text.text, flags_.check, [this] { return signals_.received() != 0; });
  if (!waits) return std::unexpected(waits.error());
  if (*waits != nullptr && (*waits)->opened) {
    reporter_.info("line " + std::to_string(text.begin.line) + ": source '" + (*waits)->name +
                   "' ended without a row: the statement is not run");
  } else if (*waits != nullptr) {
    reporter_.warning("line " + std::to_string(text.begin.line) +
                      " is not checked: the columns of source '" + (*waits)->name +
                      "' are known when its rows come; give columns to check it");
  }
  return *waits == nullptr;
}

/// Whether the engine would read rows of an unbounded source for this statement.
bool Runner::reads_a_source(const ScriptStatement& statement, const Query& query) {
  if (sources_.bound().empty()) return false;
  const Token first = Lexer(statement.text).next();
  for (const char* word : {"DESCRIBE", "DESC", "SHOW", "EXPLAIN"}) {
    if (first.is_word(word)) return false;
  }
  return !shapes_the_session(query.kind()) || creates_table_from_query(statement.text);
}

Outcome Runner::drop_connection(const DropConnection& statement, const SourceMap& places) {
  const bool dropped_source = sources_.drop(statement.name);
  const bool dropped = connections_.drop(statement.name) || dropped_source;
  if (dropped || statement.if_exists) return {};
  return std::unexpected(places.fault(
      make_error(Errc::kUnknownConnection, "there is no connection '" + statement.name + "'" +
                                               connections_.did_you_mean(statement.name)),
      statement.name_position.offset, statement.name.size()));
}

// ---- pipelines -----------------------------------------------------------------------------

/// CREATE PIPELINE, or INSERT INTO: into a connection if one has that name, else it is the
/// engine's.
Outcome Runner::run_insert(const CreatePipeline& statement, const ScriptStatement& text,
                           const SourceMap& places) {
  for (const InsertBranch& branch : statement.branches) {
    const SinkOptions* options = connections_.find(branch.target);
    const bool source = options != nullptr && options->type == ConnectionType::kSource;
    if (!sources_.contains(branch.target) && !source) continue;
    return std::unexpected(places.fault(
        make_error(Errc::kQuery, "'" + branch.target +
                                     "' is a source and cannot be written: name a connection with "
                                     "type = 'sink' after INSERT INTO"),
        branch.target_position.offset, branch.target.size()));
  }
  if (!statement.name.empty()) {
    const bool exists = pipelines_.contains(statement.name);
    if (exists && statement.if_not_exists) return {};
    if (exists && !statement.or_replace) {
      return std::unexpected(places.fault(
          make_error(
              Errc::kDuplicateName,
              "pipeline '" + statement.name +
                  "' exists; use CREATE OR REPLACE to run it again, or IF NOT EXISTS to skip it"),
          statement.name_position.offset, statement.name.size()));
    }
    pipelines_.insert(statement.name);
    return run_pipeline(statement, places);
  }
  const bool ours = statement.branches.size() > 1 ||
                    connections_.find(statement.branches.front().target) != nullptr ||
                    !engine_.has_table(statement.branches.front().target);
  return ours ? run_pipeline(statement, places) : run_in_engine(text, places);
}

Outcome Runner::run_pipeline(const CreatePipeline& statement, const SourceMap& places) {
  const PipelineContext context{.engine = engine_,
                                .connections = connections_,
                                .sources = sources_,
                                .signals = signals_,
                                .progress = ProgressStyle::of(flags_.progress, flags_.log_format),
                                .places = places,
                                .reporter = reporter_,
                                .may_connect = !flags_.check || flags_.check_online};
  const auto source = reads_many_tables(statement, connections_, places);
  if (!source) return std::unexpected(source.error());
  if (*source) return run_tables(statement, **source, context);
  auto bound = PipelineBinder(statement, context).bind();
  if (!bound) return std::unexpected(std::move(bound.error()));
  Pipeline& pipeline = **bound;
  if (flags_.check) return flags_.check_online ? RehearsalRun(pipeline).check() : Outcome();
  PipelineResult result = flags_.dry_run ? RehearsalRun(pipeline).run(flags_.dry_run_rows)
                          : pipeline.source != nullptr ? StreamRun(pipeline).run()
                                                       : BatchRun(pipeline).run();
  report(result.reports);
  if (result.finish) return result.finish();
  return std::move(result.outcome);
}

void Runner::report(const std::vector<SinkReport>& reports) {
  for (const SinkReport& report : reports) {
    reporter_.summary(report);
    reports_.push_back(report);
  }
}

/// A pipeline from a source of many tables. CREATE CONNECTION has tested both servers.
Outcome Runner::run_tables(const CreatePipeline& statement, const std::string& source,
                           const PipelineContext& context) {
  if (flags_.check) return {};
  if (flags_.dry_run) {
    return std::unexpected(context.places.fault(
        make_error(Errc::kOptionConflict,
                   "--dry-run does not read a source of many tables: --check=online tests both "
                   "servers"),
        statement.branches.front().target_position.offset,
        statement.branches.front().target.size()));
  }
  PipelineResult result = TablesRun(statement, source, context).run();
  report(result.reports);
  return std::move(result.outcome);
}

// ---- the engine's statements ---------------------------------------------------------------

Outcome Runner::run_in_engine(const ScriptStatement& statement, const SourceMap& places) {
  EngineSql sql;
  sql.source(statement.text, statement.begin.offset);
  const auto failed = [&](const EngineFault& fault) -> Outcome {
    if (fault.interrupted && signals_.received() != 0) return {};
    return std::unexpected(places.engine_fault(fault, sql, statement.begin, 1));
  };
  sources_.forget_bound();
  auto query = engine_.prepare(sql.text());
  if (!query) return failed(query.error());
  if (reads_a_source(statement, *query)) {
    return std::unexpected(places.fault(
        make_error(Errc::kQuery, "'" + sources_.bound().front()->name +
                                     "' is an unbounded source: only a pipeline into a connection "
                                     "reads it (INSERT INTO … SELECT …)"),
        statement.begin.offset, 1));
  }
  if (flags_.check) return check_in_engine(statement, std::move(*query), places);
  if (query->kind() == DUCKDB_STATEMENT_TYPE_SELECT) {
    if (auto cast = cast_awkward_columns(sql, query->columns())) {
      sql = std::move(*cast);
      query = engine_.prepare(sql.text());
      if (!query) return failed(query.error());
    }
    system_tables_.look_at(engine_, sql.text());
  }
  if (auto started = query->start(); !started) return failed(started.error());
  if (query->returns_rows()) return print_rows(*query, sql, statement, places);
  return {};
}

/// What --check does with a bound statement of the engine: it runs it only if later statements may
/// need it to be bound themselves, and then without reading data.
Outcome Runner::check_in_engine(const ScriptStatement& statement, Query query,
                                const SourceMap& places) {
  EngineSql sql;
  sql.source(statement.text, statement.begin.offset);
  if (!shapes_the_session(query.kind())) return {};
  if (query.kind() == DUCKDB_STATEMENT_TYPE_CREATE && creates_table_from_query(statement.text)) {
    sql.own("\nWITH NO DATA");
  }
  query = Query();
  if (auto done = engine_.execute(sql.text()); !done) {
    return std::unexpected(places.engine_fault(done.error(), sql, statement.begin, 1));
  }
  return {};
}

Outcome Runner::print_rows(Query& query, const EngineSql& sql, const ScriptStatement& statement,
                           const SourceMap& places) {
  if (printed_ && (flags_.format == Format::kTable || flags_.format == Format::kLine)) {
    output_.write("\n");
  }
  printed_ = true;
  const auto columns = query.result_columns();
  const auto printer = make_printer(flags_.format, columns, output_);
  while (true) {
    auto chunk = query.next();
    if (!chunk) {
      if (chunk.error().interrupted && signals_.received() != 0) break;
      return std::unexpected(places.engine_fault(chunk.error(), sql, statement.begin, 1));
    }
    if (!chunk->filled()) break;
    printer->chunk(chunk->get());
    if (auto flushed = output_.flush(); !flushed) {
      return std::unexpected(places.fault(flushed.error(), statement.begin.offset, 1));
    }
  }
  printer->end();
  return {};
}

}  // namespace pgsink::shell
