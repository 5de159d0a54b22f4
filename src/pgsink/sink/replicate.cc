// replicate(): batches from a source into a sink for each table, and confirmations back.

#include <algorithm>
#include <atomic>
#include <memory>
#include <new>
#include <set>
#include <string>
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
constexpr size_t kOpenedAtOnce = 8;
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
        watch_(watch),
        waits_(env.tasks.monitor()) {}

  Status run(const std::function<bool()>& goes_on) {
    Status moved = begin(goes_on);
    while (moved && begun_ && goes_on()) moved = turn();
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
    std::vector<SinkOptions> all;
    for (const SourceTableInfo& table : tables_) {
      auto options = options_of(table);
      if (!options) return fail(options.error());
      all.push_back(*std::move(options));
    }
    const Status opened = open_all(all, goes_on);
    if (!opened || sinks_.size() < tables_.size()) return opened;
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
    begun_ = true;
    return {};
  }

  /// The options of the sink of a table, which has a target of its own.
  Result<SinkOptions> options_of(const SourceTableInfo& table) {
    if (!many_) return options_;
    auto options = options_of_table(options_, table, tables_.size());
    if (!options) return options;
    if (options_.on_server_wait) {
      // It is heard from several sinks that are opened at the same time.
      options->on_server_wait = [this](const ServerWait& wait) {
        const Monitor::Lock lock(*waits_);
        return options_.on_server_wait(wait);
      };
    }
    if (!targets_.insert({options->schema, options->table}).second) {
      return fail(Errc::kOptionConflict,
                  "target_tables makes " + options->schema + "." + options->table +
                      " the target of two tables of the source, one of them " + table.schema + "." +
                      table.name + ": use both {schema} and {table}");
    }
    return options;
  }

  /// Several at the same time: each takes some round trips. Fewer are open if it is to end.
  Status open_all(const std::vector<SinkOptions>& all, const std::function<bool()>& goes_on) {
    std::vector<Result<std::unique_ptr<TableSink>>> opened(all.size());
    std::atomic<size_t> next = 0;
    std::atomic<bool> ends = false;
    const auto open_one = [&] {
      const size_t i = next++;
      if (i >= all.size()) return;
      try {
        opened[i] = open(all[i], tables_[i]);
      } catch (const std::bad_alloc&) {
        opened[i] = fail(Errc::kOutOfMemory, "out of memory");
      }
      if (!opened[i]) ends = true;
    };
    std::vector<std::unique_ptr<Task>> tasks;
    for (size_t i = 1; i < std::min(all.size(), kOpenedAtOnce); ++i) {
      auto task = env_.tasks.spawn("pgsink open", [&] {
        while (next < all.size() && !ends) open_one();
      });
      if (!task) break;  // The others open its sinks.
      tasks.push_back(*std::move(task));
    }
    while (goes_on() && next < all.size() && !ends) open_one();
    ends = ends || !goes_on();
    for (const auto& task : tasks) task->join();
    for (auto& one : opened) {
      if (!one) return fail(one.error());
    }
    for (auto& one : opened) {
      if (!*one) break;  // Interrupted.
      keep(*std::move(one));
    }
    return {};
  }

  Result<std::unique_ptr<TableSink>> open(SinkOptions options, const SourceTableInfo& table) const {
    auto beside = connect_beside(options, env_);
    if (!beside) return fail_at(options, beside.error());
    if (many_) {
      const Deadline deadline = env_.clock.now() + kPrepareTimeout;
      if (auto ready = prepare_target(options, table, **beside, deadline); !ready) {
        return fail(ready.error());
      }
    }
    auto one = std::make_unique<TableSink>(with_sink_id(std::move(options), source_), env_);
    if (auto opened = one->open(table, std::move(*beside), env_); !opened) {
      return fail(opened.error());
    }
    return one;
  }

  void keep(std::unique_ptr<TableSink> one) {
    if (watch_ != nullptr) watch_->opened(one->options(), one->sink());
    sinks_.push_back(std::move(one));
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
      auto options = options_of(tables_[batch.table]);
      if (!options) return fail(options.error());
      auto opened = open(*std::move(options), tables_[batch.table]);
      if (!opened) return fail(opened.error());
      keep(*std::move(opened));
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
  const std::unique_ptr<Monitor> waits_;
  std::vector<SourceTableInfo> tables_;
  std::set<std::pair<std::string, std::string>> targets_;  ///< Schema and table.
  std::vector<std::unique_ptr<TableSink>> sinks_;          ///< By table.
  bool begun_ = false;  ///< It was not ended while the sinks were opened.
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
