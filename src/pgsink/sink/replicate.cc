// replicate(): batches from a source into a sink for each table, and confirmations back.

#include <algorithm>
#include <memory>
#include <new>
#include <utility>

#include "pgsink/sink.h"
#include "pgsink/sink/table_target.h"
#include "pgsink/sink/truncations.h"
#include "pgsink/source.h"

namespace pgsink {
namespace {

/// How often `goes_on` is called while no batch comes.
constexpr std::chrono::milliseconds kPause{100};
/// How often sinks without new rows are asked what is durable.
constexpr Duration kSettlePause = std::chrono::milliseconds(20);
constexpr Duration kPrepareTimeout = std::chrono::seconds(60);

SinkOptions with_sink_id(SinkOptions options, const Source& source) {
  const bool at_least_once = options.delivery == Delivery::kAtLeastOnce && !options.use_2pc;
  if (!at_least_once || !options.sink_id.empty()) return options;
  options.sink_id = stored_sink_id(options) + " from " + std::string(source.replication_slot());
  return options;
}

/// TableSink is one table of the source and the sink that it is written to.
class TableSink {
 public:
  TableSink(SinkOptions options, Env& env)
      : options_(std::move(options)), truncations_(options_, env) {}

  Status open(const SourceTableInfo& table, std::unique_ptr<Connection> beside, Env& env) {
    auto sink = Sink::open(options_, table.rows, &env);
    if (!sink) return fail(sink.error());
    sink_ = std::move(*sink);
    return truncations_.take_over(*beside);
  }
  const SinkOptions& options() const { return options_; }
  Sink& sink() const { return *sink_; }

  /// Everything that came before the truncate is in the table first, so that it is removed too.
  Status truncate() {
    if (auto flushed = sink_->flush(); !flushed) return flushed;
    return truncations_.run();
  }

 private:
  const SinkOptions options_;
  Truncations truncations_;
  std::unique_ptr<Sink> sink_;
};

class Replication {
 public:
  Replication(Source& source, SinkOptions options, Env& env, ReplicateWatch* watch)
      : source_(source),
        options_(std::move(options)),
        many_(!options_.target_tables.empty()),
        env_(env),
        watch_(watch) {}

  Status run(const std::function<bool()>& goes_on) {
    Status moved = begin(goes_on);
    while (moved && goes_on()) moved = turn();
    for (size_t i = 0; i < sinks_.size(); ++i) {
      const Status closed = sinks_[i]->sink().close();
      source_.confirm(sinks_[i]->sink().durable_position(), i);
      if (moved) moved = closed;
      if (watch_ != nullptr) watch_->closed(sinks_[i]->options(), sinks_[i]->sink());
    }
    source_.close();
    return moved;
  }

 private:
  Status begin(const std::function<bool()>& goes_on) {
    tables_ = source_.tables();
    for (size_t i = 0; i < tables_.size(); ++i) {
      if (!goes_on()) return {};
      if (auto opened = open(i); !opened) return opened;
    }
    std::vector<uint64_t> after;
    std::vector<SinkOptions> targets;
    for (const auto& one : sinks_) {
      after.push_back(one->sink().durable_position());
      targets.push_back(one->options());
    }
    auto memory = remember_in_target(many_ ? options_ : targets.front(), source_.replication_slot(),
                                     &env_, targets);
    if (auto started = source_.start(after, std::move(memory)); !started) return started;
    if (watch_ != nullptr) watch_->started(source_);
    return {};
  }

  Status open(size_t table) {
    const SourceTableInfo& info = tables_[table];
    auto options =
        many_ ? options_of_table(options_, info, tables_.size()) : Result<SinkOptions>(options_);
    if (!options) return fail(options.error());
    for (const auto& one : sinks_) {
      if (one->options().schema != options->schema || one->options().table != options->table) {
        continue;
      }
      return fail(Errc::kOptionConflict,
                  "target_tables makes " + options->schema + "." + options->table +
                      " the target of two tables of the source, one of them " + info.schema + "." +
                      info.name + ": use both {schema} and {table}");
    }
    auto beside = connect_beside(*options, env_);
    if (!beside) return fail_at(*options, beside.error());
    if (many_) {
      const Deadline deadline = env_.clock.now() + kPrepareTimeout;
      if (auto ready = prepare_target(*options, info, **beside, deadline); !ready) return ready;
    }
    auto one = std::make_unique<TableSink>(with_sink_id(*std::move(options), source_), env_);
    if (auto opened = one->open(info, std::move(*beside), env_); !opened) return opened;
    if (watch_ != nullptr) watch_->opened(one->options(), one->sink());
    sinks_.push_back(std::move(one));
    return {};
  }

  /// Moves one batch, if one comes.
  Status turn() {
    auto batch = source_.next(kPause);
    if (!batch) return fail(batch.error());
    if (*batch) {
      if (auto moved = move(std::move(**batch)); !moved) return moved;
    }
    if (*batch && env_.clock.now() < settled_ + kSettlePause) return {};
    settled_ = env_.clock.now();
    for (size_t i = 0; i < sinks_.size(); ++i) {
      if (auto works = sinks_[i]->sink().status(); !works) return works;
      source_.confirm(sinks_[i]->sink().durable_position(), i);
    }
    return {};
  }

  Status move(SourceBatch batch) {
    if (batch.joins) {
      tables_ = source_.tables();
      if (auto opened = open(batch.table); !opened) return opened;
      source_.join(batch.table, sinks_[batch.table]->sink().durable_position());
      return {};
    }
    TableSink& one = *sinks_[batch.table];
    if (!batch.truncate) return one.sink().write(std::move(batch.rows));
    if (auto emptied = one.truncate(); !emptied) return emptied;
    source_.confirm(batch.position, batch.table);
    return {};
  }

  Source& source_;
  const SinkOptions options_;
  const bool many_;
  Env& env_;
  ReplicateWatch* const watch_;
  std::vector<SourceTableInfo> tables_;
  std::vector<std::unique_ptr<TableSink>> sinks_;  ///< By table.
  TimePoint settled_{};
};

Status check_options_of(const Source& source, const SinkOptions& options) {
  const auto refuse = [&](std::string_view why) {
    return fail(Errc::kOptionConflict,
                "connection \"" + options.connection_name + "\": " + std::string(why));
  };
  if (options.write_mode != WriteMode::kChangelog) {
    return refuse("replicate() needs write_mode = 'changelog'");
  }
  if (!options.target_tables.empty() || source.tables().size() == 1) return {};
  return refuse("a source of many tables needs target_tables, for example '{schema}.{table}'");
}

}  // namespace

Status replicate(Source& source, const SinkOptions& options, const std::function<bool()>& goes_on,
                 Env* env, ReplicateWatch* watch) {
  try {
    if (auto fits = check_options_of(source, options); !fits) return fits;
    OsEnv own_env;
    if (env == nullptr) env = &own_env.env();
    source.report_unchanged();
    return Replication(source, options, *env, watch).run(goes_on);
  } catch (const std::bad_alloc&) {
    return fail(Errc::kOutOfMemory, "out of memory");
  }
}

}  // namespace pgsink
