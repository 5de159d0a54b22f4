// DuckDB 1.4's C API offers streaming results only through functions marked as deprecated, without
// a replacement: pending + streaming is used here, and only here.
#undef DUCKDB_API_NO_DEPRECATED
#include "shell/engine/engine.h"

namespace pgsink::shell {
namespace {

using pgproto::Errc;
using pgproto::fail;

std::string quoted(std::string_view text, char quote) {
  std::string out(1, quote);
  for (const char c : text) {
    out += c;
    if (c == quote) out += c;
  }
  return out += quote;
}

/// Run before anything else. Errors carry their position only as JSON; Arrow chunks keep what JSON,
/// UUID and wide integers are, and their texts may exceed 2 GiB a chunk; PostgreSQL's TO_JSONB has
/// one JSON type to map to; how far a query is, is counted only for a progress bar, which is ours;
/// the same script means the same instants on every machine.
constexpr const char* kPreamble[] = {
    "SET errors_as_json = true",
    "SET arrow_lossless_conversion = true",
    "SET arrow_large_buffer_size = true",
    "SET enable_progress_bar = true",
    "SET enable_progress_bar_print = false",
    "SET GLOBAL TimeZone = 'UTC'",
    "CREATE MACRO to_jsonb(value) AS to_json(value)",
};

}  // namespace

std::string engine_identifier(std::string_view name) { return quoted(name, '"'); }
std::string engine_literal(std::string_view text) { return quoted(text, '\''); }

EngineFault Query::fault_of_result() const {
  const char* text = duckdb_result_error(const_cast<duckdb_result*>(&result_.get()));
  return parse_engine_error(text == nullptr ? "the SQL engine reported an error without a text"
                                            : text);
}

EngineResult<void> Query::start() {
  if (!prepared_.filled()) return {};
  OwnedPending pending;
  if (duckdb_pending_prepared_streaming(prepared_.get(), pending.fill()) == DuckDBError) {
    return std::unexpected(parse_engine_error(duckdb_pending_error(pending.get())));
  }
  if (duckdb_execute_pending(pending.get(), result_.fill()) == DuckDBError) {
    return std::unexpected(fault_of_result());
  }
  return {};
}

bool Query::returns_rows() const {
  return result_.filled() &&
         duckdb_result_return_type(result_.get()) == DUCKDB_RESULT_TYPE_QUERY_RESULT;
}

std::vector<Column> Query::result_columns() const {
  auto* result = const_cast<duckdb_result*>(&result_.get());
  std::vector<Column> columns;
  columns.reserve(duckdb_column_count(result));
  for (idx_t i = 0; i < duckdb_column_count(result); ++i) {
    columns.push_back(
        {duckdb_column_name(result, i), OwnedType(duckdb_column_logical_type(result, i))});
  }
  return columns;
}

EngineResult<OwnedChunk> Query::next() {
  if (!result_.filled()) return OwnedChunk();
  while (duckdb_data_chunk chunk = duckdb_fetch_chunk(result_.get())) {
    OwnedChunk owned(chunk);
    if (duckdb_data_chunk_get_size(chunk) > 0) return owned;
  }
  // The end and a failure look alike but for the error that the result then holds.
  const char* text = duckdb_result_error(const_cast<duckdb_result*>(&result_.get()));
  if (text != nullptr && *text != '\0') return std::unexpected(parse_engine_error(text));
  return OwnedChunk();
}

pgproto::Result<std::unique_ptr<Engine>> Engine::open(const Settings& settings) {
  auto engine = std::make_unique<Engine>();
  OwnedConfig config;
  duckdb_create_config(config.fill());
  const std::pair<const char*, std::string> values[] = {
      {"threads", std::to_string(settings.threads)},
      {"temp_directory", settings.spill_directory},
      // A missing extension is an error at once; it must not be downloaded without the user's
      // knowledge.
      {"autoinstall_known_extensions", "false"},
  };
  for (const auto& [name, value] : values) {
    if (duckdb_set_config(config.get(), name, value.c_str()) == DuckDBError) {
      return fail(Errc::kInternal, std::string("the SQL engine has no setting ") + name);
    }
  }
  char* reason = nullptr;
  const auto opened = duckdb_open_ext(nullptr, engine->database_.fill(), config.get(), &reason);
  if (opened == DuckDBError) {
    const std::string text = reason == nullptr ? "no reason given" : reason;
    duckdb_free(reason);
    return fail(Errc::kInternal, "the SQL engine does not start: " + text);
  }
  if (duckdb_connect(engine->database_.get(), engine->connection_.fill()) == DuckDBError) {
    return fail(Errc::kInternal,
                "the SQL engine cannot open a connection to its own database: probably there is "
                "too little memory");
  }
  for (const char* statement : kPreamble) {
    if (auto done = engine->execute(statement); !done) return fail(std::move(done.error().error));
  }
  if (auto added = engine->json_members_.add_to(engine->connection_.get()); !added) {
    return fail(std::move(added.error()));
  }
  duckdb_connection_get_arrow_options(engine->connection_.get(), engine->arrow_options_.fill());
  return engine;
}

EngineResult<Query> Engine::prepare(const std::string& sql) {
  OwnedStatements statements;
  const idx_t count = duckdb_extract_statements(connection_.get(), sql.c_str(), statements.fill());
  if (count == 0) {
    const char* text = duckdb_extract_statements_error(statements.get());
    if (text != nullptr) return std::unexpected(parse_engine_error(text));
    return Query();
  }
  for (idx_t i = 0;; ++i) {
    Query query;
    const auto state = duckdb_prepare_extracted_statement(connection_.get(), statements.get(), i,
                                                          query.prepared_.fill());
    if (state == DuckDBError) {
      const char* text = duckdb_prepare_error(query.prepared_.get());
      return std::unexpected(parse_engine_error(text == nullptr ? "cannot be prepared" : text));
    }
    if (duckdb_nparams(query.prepared_.get()) > 0) {
      return std::unexpected(
          parse_engine_error("a statement of a script cannot have parameters such as $1 or ?: use "
                             "${name} and --set name=value"));
    }
    if (i + 1 < count) {
      if (auto started = query.start(); !started) return std::unexpected(started.error());
      continue;
    }
    query.kind_ = duckdb_prepared_statement_type(query.prepared_.get());
    const idx_t columns = duckdb_prepared_statement_column_count(query.prepared_.get());
    for (idx_t column = 0; column < columns; ++column) {
      const char* name = duckdb_prepared_statement_column_name(query.prepared_.get(), column);
      query.columns_.push_back(
          {name == nullptr ? "" : name, OwnedType(duckdb_prepared_statement_column_logical_type(
                                            query.prepared_.get(), column))});
      duckdb_free(const_cast<char*>(name));
    }
    return query;
  }
}

EngineResult<void> Engine::execute(const std::string& sql) {
  auto query = prepare(sql);
  if (!query) return std::unexpected(query.error());
  if (auto started = query->start(); !started) return started;
  while (true) {
    auto chunk = query->next();
    if (!chunk) return std::unexpected(chunk.error());
    if (!chunk->filled()) return {};
  }
}

bool Engine::has_table(std::string_view name) {
  // Binding is the engine's own name resolution, whatever the search path is.
  return prepare("SELECT * FROM " + engine_identifier(name)).has_value();
}

std::vector<std::string> Engine::tables() {
  std::vector<std::string> names;
  auto query = prepare("SELECT table_name FROM information_schema.tables ORDER BY 1");
  if (!query || !query->start()) return names;
  while (true) {
    const auto chunk = query->next();
    if (!chunk || !chunk->filled()) return names;
    auto* texts = static_cast<duckdb_string_t*>(
        duckdb_vector_get_data(duckdb_data_chunk_get_vector(chunk->get(), 0)));
    for (idx_t row = 0; row < duckdb_data_chunk_get_size(chunk->get()); ++row) {
      names.emplace_back(duckdb_string_t_data(&texts[row]), duckdb_string_t_length(texts[row]));
    }
  }
}

void Engine::interrupt() { duckdb_interrupt(connection_.get()); }

std::optional<double> Engine::progress() const {
  const double percent = duckdb_query_progress(connection_.get()).percentage;
  if (!(percent > 0 && percent <= 100)) return std::nullopt;  // 0 also means unknown.
  return percent / 100;
}

}  // namespace pgsink::shell
