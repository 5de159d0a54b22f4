#include "pgsink/sink.h"

#include <algorithm>
#include <atomic>
#include <limits>
#include <new>
#include <string_view>
#include <utility>

#include "pgsink/client/catalog.h"
#include "pgsink/client/env.h"
#include "pgsink/delivery/epoch_rows.h"
#include "pgsink/delivery/two_phase.h"
#include "pgsink/delivery/writer_sessions.h"
#include "pgsink/lane/dead_letters.h"
#include "pgsink/lane/epoch_committer.h"
#include "pgsink/lane/inbox.h"
#include "pgsink/lane/input_rejects.h"
#include "pgsink/lane/lane.h"
#include "pgsink/lane/slot_confirmer.h"
#include "pgsink/lane/stream_claimer.h"
#include "pgsink/lane/target_plan.h"
#include "pgsink/options/rules.h"
#include "pgsink/options/server.h"
#include "pgsink/partition/leaves.h"
#include "pgsink/partition/partitioner.h"
#include "pgsink/partition/scheme.h"
#include "pgsink/plan/plan.h"
#include "pgsink/pool.h"
#include "pgsink/replication/publication.h"
#include "pgsink/sink/batch_checks.h"
#include "pgsink/sink/claim.h"
#include "pgsink/sink/lane_connections.h"
#include "pgsink/sink/limits.h"
#include "pgsink/sink/open_target.h"
#include "pgsink/sink/part_sink.h"
#include "pgsink/sink/planned_target.h"
#include "pgsink/sink/pool.h"
#include "pgsink/sink/warnings.h"
#include "pgsink/sink/whole_load.h"

namespace pgsink {
namespace {

/// Null if partitions are not created. Its connections are outside the pool: they are few and
/// short.
Result<std::unique_ptr<Partitioner>> open_partitioner(const SinkOptions& options,
                                                      const Opened& opened, const Plan& plan,
                                                      LeafCatalog* leaves, Pool& pool,
                                                      Connection& connection) {
  if (!opened.partitions || !creates_partitions(options)) return nullptr;
  return Partitioner::open({.env = pool.env(),
                            .options = options,
                            .connect = pool.config().connect,
                            .salted_keys = &pool.salted_keys(),
                            .scheme = *opened.partitions,
                            .leaves = leaves},
                           plan, opened.table, connection);
}

std::vector<std::string> router_warnings(const SinkOptions& options, const Router& router) {
  if (router.warning().empty()) return {};
  return {"connection \"" + options.connection_name + "\": " + router.warning()};
}

/// How long an error waits for the lanes that still write what they have.
constexpr Duration kLanesEndTimeout = std::chrono::milliseconds(300);

// ---- the sink ----------------------------------------------------------------------------------

class SinkImpl final : public Sink {
 public:
  SinkImpl(std::shared_ptr<Pool> pool, SinkOptions options, std::shared_ptr<const Schema> schema,
           Plan plan, std::shared_ptr<LeafCatalog> leaves, Router router,
           std::optional<Claim> claim, std::optional<TwoPhaseClaim> two_phase,
           std::optional<StreamRows> streams, std::unique_ptr<DeadLetters> dead_letters)
      : pool_(std::move(pool)),
        env_(pool_->env()),
        options_(std::move(options)),
        schema_(std::move(schema)),
        plans_({.env = env_,
                .options = options_,
                .schema = schema_,
                .lanes = router.lanes(),
                .routing = router.rule()},
               std::move(plan), std::move(leaves)),
        plan_(plans_.first()->plan),
        warnings_(router_warnings(options_, router)),
        claim_(std::move(claim)),
        streams_(make_claimer(std::move(streams), router.lanes())),
        dead_letters_(std::move(dead_letters)),
        inbox_(env_,
               {.buffer_bytes = static_cast<size_t>(options_.buffer_bytes),
                .batch_rows = static_cast<size_t>(plan_.batch_rows),
                .batch_bytes = static_cast<size_t>(options_.batch_bytes),
                .batch_timeout = std::chrono::milliseconds(options_.batch_timeout_ms),
                .whole_batches = plan_.outcome_source == OutcomeSource::kEpoch,
                .ends_by_age = !plan_.atomic,
                .committed = claim_ ? claim_->positions() : std::vector<uint64_t>{},
                .streams = streams_ ? &streams_->claims() : nullptr,
                .epochs = two_phase ? std::optional(epoch_limits(options_, plan_, *two_phase))
                                    : std::nullopt},
               std::move(router)),
        input_rejects_({.env = env_,
                        .connect = pool_->config().connect,
                        .salted_keys = &pool_->salted_keys(),
                        .plan = plan_,
                        .name = options_.connection_name,
                        .dead_letters = dead_letters_.get(),
                        .retry = RetryPolicy::from(options_)}) {
    if (options_.confirm_slot) {
      confirmer_ = std::make_unique<SlotConfirmer>(
          SlotConfirmer::Setup{.env = env_,
                               .inbox = inbox_,
                               .connect = pool_->config().connect,
                               .name = options_.connection_name,
                               .slot = options_.replication_slot,
                               .publication = options_.publication,
                               .retry = RetryPolicy::from(options_)});
    }
    if (claim_) resume_points_ = claim_->resume_points();
    if (!two_phase) return;
    if (two_phase->position.position > 0) resume_points_.push_back(two_phase->position);
    committer_ = std::make_unique<EpochCommitter>(EpochCommitter::Setup{
        .env = env_,
        .where = "connection \"" + options_.connection_name + "\", table " + plan_.table,
        .inbox = inbox_,
        .two_phase = std::move(two_phase->two_phase),
        .connection = std::move(two_phase->connection),
        .retry = RetryPolicy::from(options_),
        .one_at_a_time = plan_.one_transaction,
        .epoch = two_phase->epoch,
        .waiting = two_phase->waiting});
  }

  ~SinkImpl() override {
    inbox_.abort();
    lanes_.clear();
    if (committer_) committer_->close();
  }

  /// Partitions that rows miss are created, unless it is null. REQUIRES: not started.
  void use_partitions(std::unique_ptr<Partitioner> partitioner) {
    partitioner_ = std::move(partitioner);
  }

  /// The lane ends its transaction that way, unless it is null. REQUIRES: not started.
  void use_ending(std::shared_ptr<PartEnding> ending) { part_ = std::move(ending); }

  /// Starts a lane on each connection.
  Status start(std::vector<PoolLease> connections, std::optional<WriterSessions> sessions) {
    sessions_ = std::move(sessions);
    if (sessions_ && !sessions_->warning().empty()) {
      warnings_.push_back("connection \"" + options_.connection_name +
                          "\": " + sessions_->warning());
    }
    std::ranges::move(
        open_warnings(options_, pool_->config().connect.hosts.size(), *connections.front()),
        std::back_inserter(warnings_));
    if (partitioner_) std::ranges::move(partitioner_->warnings(), std::back_inserter(warnings_));
    if (confirmer_) {
      if (auto started = confirmer_->start(); !started) return fail_at(options_, started.error());
    }
    for (auto& connection : connections) {
      if (auto started = start_lane(std::move(connection)); !started) return started;
    }
    return {};
  }

  Status write(RecordBatch batch) override {
    return guarded([&]() -> Status {
      if (auto ready = check_batch(batch); !ready) return ready;
      const std::vector<RejectedInput> inputs = batch.rejected;
      for (;;) {
        const auto pushed = inbox_.push(batch, true);
        if (!pushed) return told(fail(pushed.error()));
        if (*pushed) return count_rejected(inputs);
        if (auto ended = make_room(); !ended) return ended;
      }
    });
  }
  Result<bool> try_write(RecordBatch& batch) override {
    bool taken = false;
    const Status done = guarded([&]() -> Status {
      if (auto ready = check_batch(batch); !ready) return ready;
      const std::vector<RejectedInput> inputs = batch.rejected;
      const auto pushed = inbox_.push(batch, false);
      if (!pushed) return told(fail(pushed.error()));
      taken = *pushed;
      return taken ? count_rejected(inputs) : Status();
    });
    if (!done) return fail(done.error());
    return taken;
  }
  Status reject(std::span<const RejectedInput> inputs) override {
    return guarded([&]() -> Status {
      SinkMetrics gauges;
      inbox_.read_gauges(gauges);
      return input_rejects_.reject(inputs, gauges.rows_accepted);
    });
  }
  Status status() const override {
    return guarded([&] { return with_streams(told(inbox_.status())); });
  }
  Status flush() override {
    return guarded([&]() -> Status {
      if (!committer_) return with_streams(told(inbox_.flush()));
      if (!committer_->host_decides()) return committer_->end_epoch();
      return fail(
          Errc::kUsage,
          "flush(): the host decides when epochs are committed: use prepare() and commit()");
    });
  }
  Status close() override {
    return close_after([] { return Status(); });
  }
  Status finish() override {
    if (committer_ && committer_->host_decides()) {
      return fail(Errc::kUsage, "finish(): the host decides when epochs are committed: close()");
    }
    return close_after([&] { return committer_->finish(); });
  }
  void interrupt() override {
    interrupted_ = true;
    if (committer_) committer_->interrupt();
    inbox_.interrupt(kLanesEndTimeout);
  }
  Result<Recovered> recover(uint64_t last_committed_epoch) override {
    Recovered recovered;
    const Status done = by_host([&](EpochCommitter& committer) -> Status {
      const auto stands = committer.recover(last_committed_epoch);
      if (!stands) return fail(stands.error());
      recovered = {stands->epoch, stands->position.position, stands->position.proof};
      resume_points_.clear();
      if (recovered.position > 0) resume_points_.push_back(stands->position);
      return {};
    });
    if (!done) return fail(done.error());
    return recovered;
  }
  Status prepare(uint64_t epoch) override {
    return by_host([&](EpochCommitter& committer) { return committer.prepare(epoch); });
  }
  Status commit(uint64_t epoch) override {
    return by_host([&](EpochCommitter& committer) { return committer.commit(epoch); });
  }
  Status abort(uint64_t epoch) override {
    return by_host([&](EpochCommitter& committer) { return committer.abort(epoch); });
  }
  Result<std::vector<StreamPosition>> claim(std::span<const StreamStart> streams) override {
    std::vector<StreamPosition> positions;
    const Status done = by_stream([&](StreamClaimer& claimer) -> Status {
      if (auto works = inbox_.status(); !works) return told(works);
      auto claimed = claimer.claim(streams);
      if (!claimed) return fail(claimed.error());
      positions = std::move(*claimed);
      return {};
    });
    if (!done) return fail(done.error());
    return positions;
  }
  Status release(std::span<const std::string> streams, ReleaseMode mode) override {
    return by_stream([&](StreamClaimer& claimer) {
      return claimer.release(streams, mode,
                             [&](uint64_t batch) { return told(inbox_.flush_through(batch)); });
    });
  }
  uint64_t stream_position(const std::string& stream) const override {
    return streams_ ? streams_->claims().durable_position(stream) : 0;
  }
  Status stream_status(const std::string& stream) const override {
    return streams_ ? streams_->claims().status(stream) : Status();
  }
  uint64_t durable_position() const override { return streams_ ? 0 : inbox_.durable_position(); }
  std::vector<HostPosition> resume_points() const override { return resume_points_; }
  SinkMetrics metrics() const override {
    SinkMetrics metrics;
    metrics.connection_name = options_.connection_name;
    inbox_.read_gauges(metrics);
    for (const auto& lane : lanes_) lane->read_metrics(metrics);
    if (committer_) {
      const EpochCommitter::Counted counted = committer_->counted();
      metrics.rows_written = counted.written;
      metrics.rows_changed = counted.changed;
    }
    metrics.rejected_rows += input_rejects_.count();
    return metrics;
  }
  std::vector<std::string> warnings() const override { return warnings_; }

 private:
  /// Conditions for accepting a batch: its schema, and partitions for its rows.
  Status check_batch(const RecordBatch& batch) {
    if (auto fits = check_schema(batch, *schema_); !fits) return fits;
    if (auto fits = check_proof(batch.position_proof); !fits) return fits;
    if (committer_) {
      if (auto ready = committer_->check_ready(); !ready) return ready;
    }
    if (!batch.stream.empty() && !streams_) {
      return fail(Errc::kUsage, "write(): RecordBatch::stream needs the option streams = true");
    }
    if (!batch.rejected.empty() && !streams_) {
      return fail(Errc::kUsage,
                  "write(): RecordBatch::rejected needs the option streams = true: use reject()");
    }
    if (auto takes = input_rejects_.check_takes(batch.rejected); !takes) return takes;
    // Rows that exactly-once knows to be delivered are not written again.
    const bool replayed = streams_ ? streams_->claims().is_replayed(batch)
                                   : plan_.outcome_source == OutcomeSource::kEpoch &&
                                         batch.position <= inbox_.durable_position();
    return partitioner_ && !replayed ? ensure_partitions(batch) : Status();
  }

  Status count_rejected(std::span<const RejectedInput> inputs) {
    SinkMetrics gauges;
    if (!inputs.empty()) inbox_.read_gauges(gauges);
    return input_rejects_.count(inputs, gauges.rows_accepted);
  }

  /// Ends the epoch because a batch does not fit into it.
  Status make_room() {
    if (!committer_->host_decides()) return committer_->end_epoch();
    return fail(Errc::kLimit,
                "write(): the rows of this epoch fill buffer_bytes (" +
                    std::to_string(options_.buffer_bytes) +
                    "), or come before or after rows that move to another lane's keys: commit() "
                    "the epoch before and prepare() this one, or raise buffer_bytes");
  }

  Status ensure_partitions(const RecordBatch& batch) {
    const Status there = partitioner_->ensure(batch);
    const bool locked = !there && there.error().sqlstate == "55P03";
    if (!locked || !committer_ || committer_->host_decides()) return there;
    // Prepared transactions of this epoch may hold that lock until it is committed.
    if (auto ended = committer_->end_epoch(); !ended) return ended;
    return partitioner_->ensure(batch);
  }

  /// Flushes, calls `last` with the state of two-phase commit, and gives the connections back.
  template <typename F>
  Status close_after(F&& last) {
    return guarded([&]() -> Status {
      if (!committer_) return with_streams(told(inbox_.close()));
      if (!closed_) closed_ = close_epochs(std::forward<F>(last));
      return *closed_;
    });
  }

  template <typename F>
  Status close_epochs(F&& last) {
    Status outcome;
    if (!committer_->host_decides()) {
      outcome = committer_->end_epoch();
      if (outcome) outcome = inbox_.close();
      if (outcome) outcome = std::forward<F>(last)();
    } else if (inbox_.has_unsealed() && !committer_->aborted()) {
      outcome =
          fail(Errc::kUsage, "close(): rows accepted after the last prepare() are not written");
    }
    inbox_.abort();
    // Otherwise it was interrupted, and the destructor waits.
    if (inbox_.lanes().wait_none()) committer_->close();
    return outcome;
  }

  /// Null without streams.
  std::unique_ptr<StreamClaimer> make_claimer(std::optional<StreamRows> streams, size_t lanes) {
    if (!streams) return nullptr;
    return std::make_unique<StreamClaimer>(
        StreamClaimer::Setup{.env = env_,
                             .connect = pool_->config().connect,
                             .salted_keys = &pool_->salted_keys(),
                             .name = options_.connection_name,
                             .rows = std::move(*streams),
                             .retry = RetryPolicy::from(options_),
                             .lanes = lanes});
  }

  template <typename F>
  Status by_stream(F&& body) {
    return guarded([&]() -> Status {
      if (streams_) return std::forward<F>(body)(*streams_);
      return fail(Errc::kUsage, "claim() and release() are for sinks with streams = true");
    });
  }

  /// What was accepted of a stream that another writer has is not committed by this sink.
  Status with_streams(Status outcome) const {
    return outcome && streams_ ? streams_->claims().status() : outcome;
  }

  template <typename F>
  Status by_host(F&& body) {
    return guarded([&]() -> Status {
      if (committer_) return std::forward<F>(body)(*committer_);
      return fail(Errc::kUsage,
                  "recover(), prepare(), commit() and abort() are for sinks with use_2pc = true");
    });
  }

  /// The outcome of a call. An error of a lane says what all lanes have written: the others first
  /// write what they have, for which we wait a short time.
  Status told(Status outcome) const {
    if (outcome || lanes_.size() < 2 || committer_) return outcome;
    const auto stopped = inbox_.stop_cause();
    if (!stopped) return outcome;
    StopReport report = stopped->report;
    report.still_writing = !inbox_.lanes().wait_none(env_.clock.now() + kLanesEndTimeout);
    const SinkMetrics counted = metrics();
    report.rows_committed = counted.rows_written;
    report.rows_accepted = counted.rows_accepted;
    if (report.failed && report.rest != StopReport::Rest::kPart) {
      report.from_row = report.failed->first;
      report.rest = StopReport::Rest::kPart;
    }
    return fail(describe_stop(stopped->cause, report));
  }

  /// The delivery of a lane.
  std::unique_ptr<LaneDelivery> make_delivery(size_t lane) {
    if (part_) return deliver_part(env_, part_);
    if (committer_) return deliver_two_phase(env_, *committer_);
    if (streams_) {
      return deliver_by_stream(env_, plan_.commit, streams_->rows(), streams_->claims(), lane);
    }
    if (claim_) return deliver_exactly_once(env_, plan_.commit, claim_->epochs, claim_->rows[lane]);
    return deliver_at_least_once(env_, plan_.commit, sessions_ ? &*sessions_ : nullptr);
  }
  /// Where lanes report durable batches.
  DurableReports& reports() {
    if (confirmer_) return *confirmer_;
    return inbox_;
  }

  Status start_lane(PoolLease connection) {
    Lane::Setup setup{.env = env_,
                      .inbox = inbox_,
                      .number = lanes_.size(),
                      .plans = plans_,
                      .transactions = transactions_,
                      .flights = {.window_max = static_cast<size_t>(options_.in_flight_max),
                                  .ordered = plan_.ordered,
                                  .outcome_source = plan_.outcome_source,
                                  .idempotent = plan_.idempotent,
                                  .retry = RetryPolicy::from(options_),
                                  .jitter_seed = env_.random.next_u64()},
                      .flight_bytes_max = flight_bytes_max(options_, plan_),
                      .options = options_,
                      .origin = session_origin(options_.replication_origin, lanes_.size()),
                      .statements_max = options_.use_prepared_statements
                                            ? static_cast<size_t>(options_.statement_cache_size)
                                            : 0,
                      .reports = reports(),
                      .dead_letters = dead_letters_.get(),
                      .partitioner = partitioner_.get()};
    auto lane = Lane::create(std::move(setup), make_delivery(lanes_.size()));
    if (!lane) return fail(lane.error());
    lanes_.push_back(std::move(*lane));
    return lanes_.back()->start(std::move(connection));
  }

  /// What is committed is said last, because lanes may still hear answers.
  Error explain_interrupt(Error error) const {
    inbox_.lanes().wait_none();
    const SinkMetrics counted = metrics();
    return describe_interrupt(std::move(error), {.connection = options_.connection_name,
                                                 .table = plan_.table,
                                                 .rows_committed = counted.rows_written,
                                                 .rows_unknown = counted.in_flight_rows,
                                                 .by_epochs = committer_ != nullptr});
  }

  /// A failed allocation is an Error at this boundary, not an exception.
  template <typename F>
  Status guarded(F&& body) const {
    try {
      Status done = std::forward<F>(body)();
      if (done || !interrupted_ || done.error().code != Errc::kInterrupted) return done;
      return fail(explain_interrupt(std::move(done.error())));
    } catch (const std::bad_alloc&) {
      return fail(Errc::kOutOfMemory, "out of memory");
    }
  }

  const std::shared_ptr<Pool> pool_;  // First: it may own the Env.
  Env& env_;
  const SinkOptions options_;
  const std::shared_ptr<const Schema> schema_;
  TargetPlans plans_;
  const Plan& plan_;  ///< The first: what all plans of the sink have in common is read from it.
  std::vector<std::string> warnings_;
  const std::optional<Claim> claim_;
  const std::unique_ptr<StreamClaimer> streams_;  ///< Null without the option.
  std::optional<WriterSessions> sessions_;
  const std::unique_ptr<DeadLetters> dead_letters_;
  Inbox inbox_;
  OwnTransactions transactions_{env_};
  InputRejects input_rejects_;
  std::unique_ptr<EpochCommitter> committer_;
  std::unique_ptr<SlotConfirmer> confirmer_;
  std::unique_ptr<Partitioner> partitioner_;
  std::shared_ptr<PartEnding> part_;
  std::vector<HostPosition> resume_points_;
  std::optional<Status> closed_;
  std::atomic<bool> interrupted_ = false;
  // Last: joined before the objects that they use are destroyed.
  std::vector<std::unique_ptr<Lane>> lanes_;
};

/// `part`: null but for a part of a two-phase job.
Result<std::unique_ptr<Sink>> open_sink(SinkOptions options, std::shared_ptr<const Schema> schema,
                                        std::shared_ptr<Pool> pool, OpenRetry& retry,
                                        const std::shared_ptr<PartEnding>& part) {
  Env& env = pool->env();
  auto places = take_places(options, *pool, retry);
  if (!places) return fail(places.error());
  Connection& connection = *places->front();
  const Deadline deadline = env.clock.now() + pool->config().connect.connect_timeout;
  auto target = until_settled(options, connection, deadline, [&] {
    return plan_target(options, *schema, env, connection, deadline);
  });
  if (!target) return fail(target.error());
  auto& [opened, plan, router, leaves] = *target;
  if (part) plan.outcome_source = OutcomeSource::kGid;
  auto dead_letters = DeadLetters::open(options, env);
  if (!dead_letters) return fail_at(options, dead_letters.error());
  auto partitioner = open_partitioner(options, opened, plan, leaves.get(), *pool, connection);
  if (!partitioner) return fail_at(options, partitioner.error());
  const Status published =
      ensure_replication(options, opened.table, connection, env.clock.now() + kClaimTimeout);
  if (!published) return fail_at(options, published.error());
  std::optional<Claim> claim;
  std::optional<StreamRows> streams;
  if (plan.by_stream) {
    auto opened_rows = open_streams(options, env, opened.table, connection);
    if (!opened_rows) return fail_at(options, opened_rows.error());
    streams = std::move(*opened_rows);
  } else if (plan.outcome_source == OutcomeSource::kEpoch) {
    auto claimed = claim_epochs(options, env, opened.table, router, connection);
    if (!claimed) return fail_at(options, claimed.error());
    claim = std::move(*claimed);
  }
  std::optional<TwoPhaseClaim> two_phase;
  if (plan.outcome_source == OutcomeSource::kGid && !part) {
    auto claimed = claim_two_phase(options, env, opened.table, std::move(places->front()));
    if (!claimed) return fail_at(options, claimed.error());
    two_phase = std::move(*claimed);
    places->erase(places->begin());
    // A server with few slots: each lane uses only one.
    if (epoch_transactions(options, *two_phase->connection) == 0) plan.take_whole_epochs();
  }
  std::optional<WriterSessions> sessions;
  if (WriterSessions::wanted(options)) {
    sessions.emplace(options.schema, options.sink_id, env.random);
  }
  const Status connected =
      connect_lanes(options, two_phase ? &*two_phase : nullptr, sessions, env, *places, retry);
  if (!connected) return fail(connected.error());
  auto sink = std::make_unique<SinkImpl>(std::move(pool), std::move(options), std::move(schema),
                                         std::move(plan), std::move(leaves), std::move(router),
                                         std::move(claim), std::move(two_phase), std::move(streams),
                                         std::move(*dead_letters));
  sink->use_partitions(std::move(*partitioner));
  sink->use_ending(part);
  if (auto started = sink->start(std::move(*places), std::move(sessions)); !started) {
    return fail(started.error());
  }
  return sink;
}

}  // namespace

Result<std::unique_ptr<Sink>> open_part_sink(SinkOptions options,
                                             std::shared_ptr<const Schema> schema, Env* env,
                                             const std::shared_ptr<PartEnding>& part,
                                             const std::shared_ptr<ConnectionPool>& pool) {
  try {
    auto chosen = choose_pool(options, schema.get(), env, pool.get());
    if (!chosen) return fail(chosen.error());
    OpenRetry retry(options, (*chosen)->env());
    return retry.run_whole([&] { return open_sink(options, schema, *chosen, retry, part); });
  } catch (const std::bad_alloc&) {
    return fail(Errc::kOutOfMemory, "out of memory");
  }
}

Result<std::unique_ptr<Sink>> Sink::open(SinkOptions options, std::shared_ptr<const Schema> schema,
                                         Env* env, const std::shared_ptr<ConnectionPool>& pool) {
  const bool replaces = options.write_mode == WriteMode::kReplace || options.delete_missing;
  auto opened = open_part_sink(std::move(options), schema, env, nullptr, pool);
  return opened && replaces ? make_whole_load(*std::move(opened), std::move(schema))
                            : std::move(opened);
}

}  // namespace pgsink
