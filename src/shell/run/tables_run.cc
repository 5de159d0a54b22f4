#include "shell/run/tables_run.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "pgsink/ddl/lexer.h"
#include "pgsink/options/names.h"
#include "shell/engine/engine.h"

namespace pgsink::shell {
namespace {

bool names(const Token& token, const std::string& connection) {
  return token.text == engine_identifier(connection) ||
         (token.kind == TokenKind::kWord && equal_without_case(token.text, connection));
}

bool mentions(std::string_view query, const std::string& connection) {
  Lexer lexer(query);
  for (Token token = lexer.next(); token.kind != TokenKind::kEnd; token = lexer.next()) {
    if (names(token, connection)) return true;
  }
  return false;
}

/// SELECT * FROM connection
bool is_whole(std::string_view query, const std::string& connection) {
  Lexer lexer(query);
  return lexer.next().is_word("SELECT") && lexer.next().is_symbol('*') &&
         lexer.next().is_word("FROM") && names(lexer.next(), connection) &&
         lexer.next().kind == TokenKind::kEnd;
}

}  // namespace

std::expected<std::optional<std::string>, Faults> reads_many_tables(const CreatePipeline& statement,
                                                                    const Connections& connections,
                                                                    const SourceMap& places) {
  for (const InsertBranch& branch : statement.branches) {
    const auto refuse = [&](std::string message) {
      return std::unexpected(places.fault(make_error(Errc::kQuery, std::move(message)),
                                          branch.target_position.offset, branch.target.size()));
    };
    const SinkOptions* target = connections.find(branch.target);
    const bool many = target != nullptr && !target->target_tables.empty();
    bool reads_many = false;
    for (const SinkOptions& source : connections.all()) {
      const std::string& name = source.connection_name;
      if (source.tables.empty() ||
          (!mentions(branch.query, name) && !mentions(statement.with, name))) {
        continue;
      }
      reads_many = true;
      const bool whole = statement.branches.size() == 1 && statement.with.empty() &&
                         branch.columns.empty() && is_whole(branch.query, name);
      if (!whole) {
        std::string why = "'" + name;
        why +=
            "' reads many tables, whose columns differ, so no query can change them: write "
            "INSERT INTO connection SELECT * FROM ";
        why += name + ", and name the tables with its option tables";
        return refuse(std::move(why));
      }
      if (!many) {
        return refuse("'" + name + "' reads many tables, and '" + branch.target +
                      "' writes one: a connection with target_tables, for example "
                      "'{schema}.{table}', writes each of them");
      }
      return name;
    }
    if (many && !reads_many) {
      return refuse("'" + branch.target +
                    "' has target_tables, which takes SELECT * FROM a source with tables: give it "
                    "the option table for rows of this query");
    }
  }
  return std::nullopt;
}

TablesRun::TablesRun(const CreatePipeline& statement, const std::string& source,
                     const PipelineContext& context)
    : statement_(statement),
      branch_(statement.branches.front()),
      context_(context),
      from_(*context.connections.find(source)),
      to_(*context.connections.find(branch_.target)) {}

PipelineResult TablesRun::run() {
  auto source = Source::open(from_);
  if (!source) return {std::unexpected(target_fault(source.error())), {}};
  Status replicated;
  {
    const std::string& name = statement_.name;
    const Progress progress(context_.progress, name.empty() ? from_.connection_name : name,
                            [this] { return Moved{metrics()}; });
    replicated = replicate(
        **source, to_, [this] { return context_.signals.received() == 0; }, nullptr, this);
  }
  for (SinkReport& report : reports_) report.outcome = replicated ? "interrupted" : "failed";
  if (replicated) return {Outcome(), std::move(reports_)};
  return {std::unexpected(target_fault(replicated.error())), std::move(reports_)};
}

void TablesRun::opened(const SinkOptions&, const Sink& sink) {
  for (const std::string& text : sink.warnings()) context_.reporter.warning(text);
  context_.connections.attach(branch_.target, &sink);
  const std::scoped_lock lock(mutex_);
  live_.push_back(&sink);
}

void TablesRun::closed(const SinkOptions& options, const Sink& sink) {
  context_.connections.retire(branch_.target, &sink);
  const SinkMetrics metrics = sink.metrics();
  SinkReport report;
  report.pipeline = statement_.name;
  report.connection = branch_.target;
  report.table = options.schema + "." + options.table;
  report.rows_read = metrics.rows_written + metrics.rejected_rows;
  report.rows_written = metrics.rows_written;
  report.rows_changed = metrics.rows_changed;
  report.rows_rejected = metrics.rejected_rows;
  report.batches_retried = metrics.retry_count;
  report.bytes = metrics.bytes_written;
  report.seconds = watch_.seconds();
  report.commit_p99_seconds = metrics.write_latency.quantile(0.99);
  reports_.push_back(std::move(report));
  const std::scoped_lock lock(mutex_);
  std::erase(live_, &sink);
  ended_.merge(metrics);
}

void TablesRun::started(const Source& source) {
  for (const std::string& warning : source.warnings()) context_.reporter.warning(warning);
}

SinkMetrics TablesRun::metrics() const {
  const std::scoped_lock lock(mutex_);
  SinkMetrics all = ended_;
  for (const Sink* sink : live_) all.merge(sink->metrics());
  return all;
}

Faults TablesRun::target_fault(Error error) const {
  return context_.places.fault(std::move(error), branch_.target_position.offset,
                               branch_.target.size());
}

}  // namespace pgsink::shell
