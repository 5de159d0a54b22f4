#include "pgsink/sink.h"

#include <algorithm>
#include <limits>
#include <new>
#include <utility>

#include "pgsink/client/catalog.h"
#include "pgsink/client/env.h"
#include "pgsink/client/salted_keys.h"
#include "pgsink/sink/dead_letters.h"
#include "pgsink/sink/epoch.h"
#include "pgsink/sink/epoch_committer.h"
#include "pgsink/sink/inbox.h"
#include "pgsink/sink/lane.h"
#include "pgsink/sink/partition.h"
#include "pgsink/sink/partition_scheme.h"
#include "pgsink/sink/plan.h"
#include "pgsink/sink/preflight.h"
#include "pgsink/sink/publication.h"
#include "pgsink/sink/schema_change.h"
#include "pgsink/sink/target.h"
#include "pgsink/sink/two_phase.h"
#include "pgsink/sink/warnings.h"
#include "pgsink/source.h"

namespace pgsink {
namespace {

// A transaction may hold this part of buffer_bytes, so that one can travel while the next fills.
constexpr int64_t kFlightsInBuffer = 4;

/// Opened is a connection to the target with what the catalog says of it.
struct Opened {
  ConnectOptions connect;
  std::unique_ptr<Connection> connection;
  CatalogTable table;
  std::optional<PartitionScheme> partitions;  ///< If the options speak of them.
};

/// Says in the error which connection it is about.
std::unexpected<Error> fail_at(const SinkOptions& options, Error error) {
  error.message = "connection \"" + options.connection_name + "\": " + error.message;
  return fail(std::move(error));
}

/// The table as it is, or as the options say to make it for the schema.
Result<CatalogTable> find_table(const SinkOptions& options, const Schema* schema,
                                Connection& connection, Deadline deadline) {
  const auto read = [&] {
    return read_table(connection, options.schema, options.table, deadline, options.set_role);
  };
  auto table = read();
  if (schema == nullptr) return table;
  if (!table && table.error().code == Errc::kNoSuchTable && options.create_table) {
    if (auto made = create_table(options, *schema, connection, deadline); !made) {
      return fail(made.error());
    }
    table = read();
  }
  if (!table) return table;
  if (options.schema_evolution == SchemaEvolution::kAddColumns) {
    const auto added = add_missing_columns(options, *table, *schema, connection, deadline);
    if (!added) return fail(added.error());
    if (*added) table = read();
  }
  if (table && options.schema_evolution == SchemaEvolution::kValidate) {
    if (auto all = check_complete(options, *table, *schema); !all) return fail(all.error());
  }
  return table;
}

/// `schema` is null if there is none yet.
Result<Opened> open_target(const SinkOptions& options, const Schema* schema, Env& env,
                           pgproto::SaltedKeyCache* salted_keys = nullptr) {
  Opened opened;
  auto connect = to_connect_options(options, env.files);
  if (!connect) return fail_at(options, connect.error());
  opened.connect = std::move(*connect);
  auto connection = Connection::open(env, opened.connect, salted_keys);
  if (!connection) return fail_at(options, connection.error());
  opened.connection = std::move(*connection);
  const Deadline deadline = env.clock.now() + opened.connect.connect_timeout;
  auto table = find_table(options, schema, *opened.connection, deadline);
  if (!table) return fail_at(options, table.error());
  opened.table = std::move(*table);
  if (auto can = check_foreign(options, opened.table); !can) return fail_at(options, can.error());
  auto partitions = check_partitions(options, opened.table, *opened.connection, deadline);
  if (!partitions) return fail_at(options, partitions.error());
  opened.partitions = std::move(*partitions);
  if (!options.dead_letter_table.empty()) {
    const bool may_create = schema != nullptr;
    const auto ready = ensure_dead_letter_table(options, may_create, *opened.connection, deadline);
    if (!ready) return fail_at(options, ready.error());
  }
  const auto switched = check_triggers(options, opened.table, *opened.connection, deadline);
  if (!switched) return fail_at(options, switched.error());
  return opened;
}

/// Null if rejected rows have nowhere to go.
Result<std::unique_ptr<DeadLetters>> open_dead_letters(const SinkOptions& options, Env& env) {
  if (!takes_dead_letters(options)) return nullptr;
  return DeadLetters::open(options, env);
}

/// Null if no partitions are to be created.
Result<std::unique_ptr<Partitioner>> open_partitioner(const SinkOptions& options, Env& env,
                                                      const Opened& opened, const Plan& plan,
                                                      pgproto::SaltedKeyCache* salted_keys) {
  if (!opened.partitions || !creates_partitions(options)) return nullptr;
  return Partitioner::open({.env = env,
                            .options = options,
                            .connect = opened.connect,
                            .salted_keys = salted_keys,
                            .scheme = *opened.partitions},
                           plan, opened.table, *opened.connection);
}

/// What can be said of the table before there is a schema: privileges, and keys if all columns
/// come.
Status check_target(const SinkOptions& options, const CatalogTable& table) {
  const WriteMode mode = options.write_mode;
  const bool inserts = mode != WriteMode::kUpdate && mode != WriteMode::kDelete;
  if (inserts && !table.has_insert_privilege &&
      std::ranges::none_of(table.columns, &CatalogColumn::insertable)) {
    return fail(Errc::kPrivilege,
                "the role may not INSERT into " + table.schema + "." + table.name);
  }
  if (mode == WriteMode::kInsert) return {};
  std::vector<const CatalogColumn*> all;
  all.reserve(table.columns.size());
  for (const CatalogColumn& column : table.columns) all.push_back(&column);
  if (const auto keys = find_keys(options, table, all); !keys) {
    Error error = keys.error();
    error.message = "table " + table.schema + "." + table.name + ": " + error.message;
    return fail(std::move(error));
  }
  return {};
}

/// What a delivery that is more than at-least-once needs of server and table.
Status check_delivery(const SinkOptions& options, Connection& connection, const CatalogTable& table,
                      Deadline deadline) {
  if (options.delivery == Delivery::kExactlyOnce) {
    return check_local_table(connection, table, "delivery = 'exactly_once'", deadline);
  }
  if (!options.use_2pc) return {};
  // A pooler lends connections, and with them the advisory lock that fences writers off.
  if (connection.server().backend.pid != connection.session().backend_process_id()) {
    return fail(Errc::kOptionConflict,
                "use_2pc does not work through a connection pooler: connect to the server itself");
  }
  return check_two_phase(connection, options, table, false, deadline);
}

Status check_schema(const RecordBatch& batch, const Schema& schema) {
  const auto& own = batch.schema();
  if (own.get() == &schema) return {};
  const bool fits = own != nullptr && own->size() == schema.size() &&
                    std::ranges::equal(*own, schema, [](const Field& a, const Field& b) {
                      return a.name == b.name && a.kind == b.kind && a.unit == b.unit &&
                             a.utc == b.utc && a.scale == b.scale && a.width == b.width;
                    });
  if (fits) return {};
  return fail(Errc::kUsage, "write(): the batch's schema is not the one given to open()");
}

/// Claim is what exactly-once holds of the target: the rows of this sink's lanes.
struct Claim {
  Epochs epochs;
  std::vector<LaneEpoch> rows;

  std::vector<uint64_t> positions() const {
    std::vector<uint64_t> all;
    all.reserve(rows.size());
    for (const LaneEpoch& row : rows) all.push_back(row.position);
    return all;
  }
};

/// How long the former writer's transactions may keep us waiting.
constexpr Duration kClaimTimeout = std::chrono::seconds(30);

Result<Claim> claim_epochs(const SinkOptions& options, Env& env, const CatalogTable& table,
                           const Router& router, Connection& connection) {
  if (router.lanes() > 1 && !router.hashes()) {
    return fail(Errc::kOptionConflict,
                "exactly-once with parallelism needs partition_by = 'hash(…)': a replay must take "
                "the same lanes");
  }
  const Deadline deadline = env.clock.now() + kClaimTimeout;
  if (auto fits = check_delivery(options, connection, table, deadline); !fits) {
    return fail(fits.error());
  }
  const std::string sink_id = two_phase_sink_id(options);
  auto epochs = Epochs::create(options.schema, sink_id);
  if (!epochs) return fail(epochs.error());
  if (auto made = epochs->ensure_table(connection, deadline); !made) return fail(made.error());
  const auto lanes = static_cast<int>(options.parallelism);
  // Rows are routed by the number of lanes: with another number a replay would write some twice.
  const auto first = epochs->read(connection, 0, deadline);
  if (!first) return fail(first.error());
  const auto last = epochs->read(connection, lanes - 1, deadline);
  if (!last) return fail(last.error());
  const auto beyond = epochs->read(connection, lanes, deadline);
  if (!beyond) return fail(beyond.error());
  if (*first && (!*last || *beyond)) {
    return fail(Errc::kOptionConflict, "parallelism: sink_id \"" + sink_id +
                                           "\" was written with " + (*beyond ? "more" : "fewer") +
                                           " lanes than " + std::to_string(lanes) +
                                           "; use the number of before, or another sink_id");
  }
  auto rows = epochs->claim(env, connection, lanes, deadline);
  if (!rows) return fail(rows.error());
  return Claim{std::move(*epochs), std::move(*rows)};
}

// ---- two-phase commit --------------------------------------------------------------------------

/// What is claimed of the target: the sink, with what former runs left.
struct TwoPhaseClaim {
  TwoPhase two_phase;
  std::unique_ptr<Connection> connection;
  uint64_t epoch = 0, position = 0;
  std::optional<uint64_t> waiting;
};

/// Resolves what former runs left, as far as that is known: an epoch that waits for its host's
/// decision goes on waiting, for recover().
Result<TwoPhaseClaim> claim_two_phase(const SinkOptions& options, Env& env,
                                      const CatalogTable& table,
                                      std::unique_ptr<Connection> connection) {
  const Deadline deadline = env.clock.now() + kClaimTimeout;
  if (auto fits = check_delivery(options, *connection, table, deadline); !fits) {
    return fail(fits.error());
  }
  auto claimed = TwoPhase::claim(
      *connection, {table.schema, two_phase_sink_id(options), options.prepared_transaction_id},
      deadline);
  if (!claimed) return fail(claimed.error());
  TwoPhaseClaim claim{*std::move(claimed), std::move(connection), 0, 0, std::nullopt};
  auto waiting = claim.two_phase.first_waiting(*claim.connection, deadline);
  if (!waiting) return fail(waiting.error());
  claim.waiting = *waiting;
  if (claim.waiting) {
    const auto committed = claim.two_phase.commit_decided(env, *claim.connection, deadline);
    if (!committed) return fail(committed.error());
    const auto row = claim.two_phase.read(*claim.connection, deadline);
    if (!row) return fail(row.error());
    if (*row) claim.epoch = (*row)->epoch;
    if (*row) claim.position = (*row)->position;
  } else {
    const auto recovered = claim.two_phase.recover(env, *claim.connection, {}, deadline);
    if (!recovered) return fail(recovered.error());
    claim.epoch = recovered->epoch;
    claim.position = recovered->position;
  }
  return claim;
}

// Where a lane prepares one transaction an epoch, two epochs share the buffer: one is being written
// while the next one fills; and with keys one statement takes all of an epoch's rows.
constexpr size_t kEpochsInBuffer = 2;
constexpr size_t kKeyedEpochBytesMax = size_t{256} << 20;

/// The memory of the rows that one transaction may hold.
size_t flight_bytes_max(const SinkOptions& options) {
  return static_cast<size_t>(options.buffer_bytes / kFlightsInBuffer / options.parallelism);
}

/// So many transactions an epoch may prepare because of its rows, and as many because of its bytes,
/// beside the last one of each lane: two epochs, of which one is being committed, must find place
/// on the server.
size_t epoch_transactions(const SinkOptions& options, const Connection& connection) {
  const auto half = static_cast<size_t>(connection.server().max_prepared_transactions) / 2;
  return (half - std::min(half, static_cast<size_t>(options.parallelism))) / 2;
}

/// When an epoch ends although nobody asked for it.
Inbox::Limits::Epochs epoch_limits(const SinkOptions& options, const Plan& plan,
                                   const TwoPhaseClaim& claim) {
  const auto transaction_rows = static_cast<size_t>(options.transaction_size);
  Inbox::Limits::Epochs limits{.one_transaction = plan.one_transaction,
                               .rows_max = std::numeric_limits<size_t>::max(),
                               .position = claim.position};
  size_t transactions = 1;
  if (plan.one_transaction) {
    limits.bytes_max =
        std::min(static_cast<size_t>(options.buffer_bytes) / kEpochsInBuffer, kKeyedEpochBytesMax);
  } else {
    transactions = epoch_transactions(options, *claim.connection);
    limits.bytes_max = flight_bytes_max(options) * transactions;
  }
  if (transaction_rows > 0) limits.rows_max = transaction_rows * transactions;
  return limits;
}

// ---- the sink ----------------------------------------------------------------------------------

class SinkImpl final : public Sink {
 public:
  SinkImpl(std::unique_ptr<OsEnv> own_env, Env& env, std::unique_ptr<SharedSaltedKeys> salted_keys,
           SinkOptions options, std::shared_ptr<const Schema> schema, Plan plan, Router router,
           std::optional<Claim> claim, std::optional<TwoPhaseClaim> two_phase,
           std::unique_ptr<DeadLetters> dead_letters, const ConnectOptions& connect)
      : own_env_(std::move(own_env)),
        salted_keys_(std::move(salted_keys)),
        options_(std::move(options)),
        schema_(std::move(schema)),
        plan_(std::move(plan)),
        claim_(std::move(claim)),
        dead_letters_(std::move(dead_letters)),
        inbox_(env,
               {.buffer_bytes = static_cast<size_t>(options_.buffer_bytes),
                .batch_rows = static_cast<size_t>(plan_.batch_rows),
                .batch_bytes = static_cast<size_t>(options_.batch_bytes),
                .batch_timeout = std::chrono::milliseconds(options_.batch_timeout_ms),
                .whole_batches = plan_.truth == Truth::kEpoch,
                .committed = claim_ ? claim_->positions() : std::vector<uint64_t>{},
                .epochs = two_phase ? std::optional(epoch_limits(options_, plan_, *two_phase))
                                    : std::nullopt},
               std::move(router)),
        env_(env) {
    if (!two_phase) return;
    committer_ = std::make_unique<EpochCommitter>(
        EpochCommitter::Setup{.env = env_,
                              .inbox = inbox_,
                              .two_phase = std::move(two_phase->two_phase),
                              .connection = std::move(two_phase->connection),
                              .connect = connect,
                              .salted_keys = salted_keys_.get(),
                              .retry = RetryRule::from(options_.retry_on_errors).value(),
                              .retries_max = static_cast<uint32_t>(options_.max_retries),
                              .backoff = std::chrono::milliseconds(options_.retry_backoff_ms),
                              .one_at_a_time = plan_.one_transaction,
                              .epoch = two_phase->epoch,
                              .waiting = two_phase->waiting});
  }

  ~SinkImpl() override {
    inbox_.abort();
    lanes_.clear();
    if (committer_) committer_->close();
  }

  /// Partitions that rows miss are created. REQUIRES: not started.
  void create_partitions(std::unique_ptr<Partitioner> partitioner) {
    partitioner_ = std::move(partitioner);
  }

  /// Starts a lane on each connection.
  Status start(const ConnectOptions& connect,
               std::vector<std::unique_ptr<Connection>> connections) {
    warnings_ = open_warnings(options_, connect.hosts.size(), connections.front()->server());
    if (partitioner_) std::ranges::move(partitioner_->warnings(), std::back_inserter(warnings_));
    for (auto& connection : connections) {
      if (auto started = start_lane(connect, std::move(connection)); !started) return started;
    }
    return {};
  }

  Status write(RecordBatch batch) override {
    return guarded([&]() -> Status {
      if (auto ready = check_batch(batch); !ready) return ready;
      for (;;) {
        const auto pushed = inbox_.push(batch, true);
        if (!pushed) return fail(pushed.error());
        if (*pushed) return {};
        if (auto ended = make_room(); !ended) return ended;
      }
    });
  }
  Result<bool> try_write(RecordBatch& batch) override {
    bool taken = false;
    const Status done = guarded([&]() -> Status {
      if (auto ready = check_batch(batch); !ready) return ready;
      const auto pushed = inbox_.push(batch, false);
      if (!pushed) return fail(pushed.error());
      taken = *pushed;
      return {};
    });
    if (!done) return fail(done.error());
    return taken;
  }
  Status flush() override {
    return guarded([&]() -> Status {
      if (!committer_) return inbox_.flush();
      if (!committer_->host_decides()) return committer_->end_epoch();
      return fail(
          Errc::kUsage,
          "flush(): the host decides when epochs are committed: use prepare() and commit()");
    });
  }
  Status close() override {
    return guarded([&]() -> Status {
      if (!committer_) return inbox_.close();
      if (!closed_) closed_ = close_epochs();
      return *closed_;
    });
  }
  Result<Recovered> recover(uint64_t last_committed_epoch) override {
    Recovered recovered;
    const Status done = by_host([&](EpochCommitter& committer) -> Status {
      const auto stands = committer.recover(last_committed_epoch);
      if (!stands) return fail(stands.error());
      recovered = {stands->epoch, stands->position};
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
  uint64_t durable_position() const override { return inbox_.durable_position(); }
  SinkMetrics metrics() const override {
    SinkMetrics metrics;
    metrics.connection_name = options_.connection_name;
    inbox_.read_gauges(metrics);
    for (const auto& lane : lanes_) lane->read_metrics(metrics);
    if (committer_) metrics.rows_written = committer_->rows_committed();
    return metrics;
  }
  std::vector<std::string> warnings() const override { return warnings_; }

 private:
  /// What must be so before a batch is accepted: its schema, and partitions for its rows.
  Status check_batch(const RecordBatch& batch) {
    if (auto fits = check_schema(batch, *schema_); !fits) return fits;
    if (committer_) {
      if (auto ready = committer_->check_ready(); !ready) return ready;
    }
    // What exactly-once knows to be there already is not written again.
    const bool replayed =
        plan_.truth == Truth::kEpoch && batch.position <= inbox_.durable_position();
    return partitioner_ && !replayed ? ensure_partitions(batch) : Status();
  }

  /// Ends the epoch because a batch finds no room in it.
  Status make_room() {
    if (!committer_->host_decides()) return committer_->end_epoch();
    return fail(Errc::kLimit,
                "write(): the rows of this epoch fill buffer_bytes (" +
                    std::to_string(options_.buffer_bytes) +
                    "): prepare() it, having committed the one before, or raise buffer_bytes");
  }

  Status ensure_partitions(const RecordBatch& batch) {
    const Status there = partitioner_->ensure(batch);
    const bool locked = !there && there.error().sqlstate == "55P03";
    if (!locked || !committer_ || committer_->host_decides()) return there;
    // What this epoch prepared may hold that lock, until it is committed.
    if (auto ended = committer_->end_epoch(); !ended) return ended;
    return partitioner_->ensure(batch);
  }

  Status close_epochs() {
    Status outcome;
    if (!committer_->host_decides()) {
      outcome = committer_->end_epoch();
      if (outcome) outcome = inbox_.close();
    } else if (inbox_.has_unsealed() && !committer_->aborted()) {
      outcome =
          fail(Errc::kUsage, "close(): what was accepted behind the last prepare() is not written");
    }
    inbox_.abort();
    inbox_.wait_ended();
    committer_->close();
    return outcome;
  }

  template <typename F>
  Status by_host(F&& body) {
    return guarded([&]() -> Status {
      if (committer_) return std::forward<F>(body)(*committer_);
      return fail(Errc::kUsage,
                  "recover(), prepare(), commit() and abort() are for sinks with use_2pc = true");
    });
  }

  Status start_lane(const ConnectOptions& connect, std::unique_ptr<Connection> connection) {
    auto encoder = RowEncoder::create(plan_.columns, plan_.types);
    if (!encoder) return fail(encoder.error());
    std::optional<ColumnArrays> arrays;
    if (!plan_.statements.apply.empty()) {
      auto made = ColumnArrays::create(plan_.columns, plan_.types);
      if (!made) return fail(made.error());
      arrays = std::move(*made);
    }
    Lane::Setup setup{.env = env_,
                      .inbox = inbox_,
                      .number = lanes_.size(),
                      .plan = plan_,
                      .connect = connect,
                      .flights = {.window_max = static_cast<size_t>(options_.in_flight_max),
                                  .ordered = plan_.ordered,
                                  .truth = plan_.truth,
                                  .idempotent = plan_.idempotent,
                                  // Listed wrongly, check_options() would have refused it.
                                  .retry = RetryRule::from(options_.retry_on_errors).value(),
                                  .retries_max = static_cast<uint32_t>(options_.max_retries),
                                  .backoff = std::chrono::milliseconds(options_.retry_backoff_ms),
                                  .jitter_seed = env_.random.next_u64()},
                      .flight_bytes_max = plan_.one_transaction ? std::numeric_limits<size_t>::max()
                                                                : flight_bytes_max(options_),
                      .name = options_.connection_name,
                      .epochs = claim_ ? &claim_->epochs : nullptr,
                      .epoch = claim_ ? claim_->rows[lanes_.size()] : LaneEpoch{},
                      .committer = committer_.get(),
                      .dead_letters = dead_letters_.get(),
                      .partitioner = partitioner_.get(),
                      .origin = session_origin(options_.replication_origin, lanes_.size()),
                      .statements_max = options_.use_prepared_statements
                                            ? static_cast<size_t>(options_.statement_cache_size)
                                            : 0,
                      .salted_keys = salted_keys_.get()};
    lanes_.push_back(
        std::make_unique<Lane>(std::move(setup), std::move(*encoder), std::move(arrays)));
    return lanes_.back()->start(std::move(connection));
  }

  /// Memory that runs out is an Error at this boundary, not an exception.
  template <typename F>
  static Status guarded(F&& body) {
    try {
      return std::forward<F>(body)();
    } catch (const std::bad_alloc&) {
      return fail(Errc::kOutOfMemory, "out of memory");
    }
  }

  std::unique_ptr<OsEnv> own_env_;
  std::unique_ptr<SharedSaltedKeys> salted_keys_;
  const SinkOptions options_;
  const std::shared_ptr<const Schema> schema_;
  const Plan plan_;
  std::vector<std::string> warnings_;
  const std::optional<Claim> claim_;
  const std::unique_ptr<DeadLetters> dead_letters_;
  Inbox inbox_;
  Env& env_;
  std::unique_ptr<EpochCommitter> committer_;
  std::unique_ptr<Partitioner> partitioner_;
  std::optional<Status> closed_;
  std::vector<std::unique_ptr<Lane>> lanes_;  // Last: joined before what they work on goes.
};

Result<std::unique_ptr<Sink>> open_sink(SinkOptions options, std::shared_ptr<const Schema> schema,
                                        Env* env) {
  if (schema == nullptr) return fail(Errc::kUsage, "Sink::open: no schema");
  if (auto faults = check_options(options); !faults.empty())
    return fail_at(options, faults.front());
  if (options.type == ConnectionType::kSource) {
    return fail_at(options, fail(Errc::kUsage, "type = 'source': it is read, not written").error());
  }
  std::unique_ptr<OsEnv> own_env;
  if (env == nullptr) {
    own_env = std::make_unique<OsEnv>();
    env = &own_env->env();
  }
  auto salted_keys = std::make_unique<SharedSaltedKeys>(env->tasks);
  auto opened = open_target(options, schema.get(), *env, salted_keys.get());
  if (!opened) return fail(opened.error());
  auto plan = make_plan(options, opened->table, *schema);
  if (!plan) return fail_at(options, plan.error());
  auto router = Router::create(options, opened->table, plan->columns, plan->keys,
                               static_cast<size_t>(plan->run_rows));
  if (!router) return fail_at(options, router.error());
  auto dead_letters = open_dead_letters(options, *env);
  if (!dead_letters) return fail_at(options, dead_letters.error());
  auto partitioner = open_partitioner(options, *env, *opened, *plan, salted_keys.get());
  if (!partitioner) return fail_at(options, partitioner.error());
  const Status published = ensure_replication(options, opened->table, *opened->connection,
                                              env->clock.now() + kClaimTimeout);
  if (!published) return fail_at(options, published.error());
  std::optional<Claim> claim;
  if (plan->truth == Truth::kEpoch) {
    auto claimed = claim_epochs(options, *env, opened->table, *router, *opened->connection);
    if (!claimed) return fail_at(options, claimed.error());
    claim = std::move(*claimed);
  }
  std::optional<TwoPhaseClaim> two_phase;
  std::vector<std::unique_ptr<Connection>> connections;
  if (plan->truth == Truth::kGid) {
    auto claimed = claim_two_phase(options, *env, opened->table, std::move(opened->connection));
    if (!claimed) return fail_at(options, claimed.error());
    two_phase = std::move(*claimed);
    // A server with few places: each lane makes do with one.
    if (epoch_transactions(options, *two_phase->connection) == 0) plan->take_whole_epochs();
  } else {
    connections.push_back(std::move(opened->connection));
  }
  while (connections.size() < router->lanes()) {
    auto another = Connection::open(*env, opened->connect, salted_keys.get());
    if (!another) return fail_at(options, another.error());
    if (two_phase) {
      const Status attached =
          two_phase->two_phase.attach(**another, env->clock.now() + kClaimTimeout);
      if (!attached) return fail_at(options, attached.error());
    }
    connections.push_back(std::move(*another));
  }
  const Status marked = mark_sessions(connections, options.replication_origin,
                                      env->clock.now() + opened->connect.connect_timeout);
  if (!marked) return fail_at(options, marked.error());
  auto sink = std::make_unique<SinkImpl>(std::move(own_env), *env, std::move(salted_keys),
                                         std::move(options), std::move(schema), std::move(*plan),
                                         std::move(*router), std::move(claim), std::move(two_phase),
                                         std::move(*dead_letters), opened->connect);
  sink->create_partitions(std::move(*partitioner));
  if (auto started = sink->start(opened->connect, std::move(connections)); !started) {
    return fail(started.error());
  }
  return sink;
}

}  // namespace

Result<std::unique_ptr<Sink>> Sink::open(SinkOptions options, std::shared_ptr<const Schema> schema,
                                         Env* env) {
  try {
    return open_sink(std::move(options), std::move(schema), env);
  } catch (const std::bad_alloc&) {
    return fail(Errc::kOutOfMemory, "out of memory");
  }
}

Status test_connection(const SinkOptions& options, Env* env) {
  if (options.type == ConnectionType::kSource) return Source::test(options, env);
  try {
    OsEnv own_env;
    if (env == nullptr) env = &own_env.env();
    const auto opened = open_target(options, nullptr, *env);
    const bool to_be_made =
        !opened && opened.error().code == Errc::kNoSuchTable && options.create_table;
    if (to_be_made) return {};
    if (!opened) return fail(opened.error());
    Status fits = check_target(options, opened->table);
    if (fits) {
      const Deadline deadline = env->clock.now() + opened->connect.connect_timeout;
      fits = check_delivery(options, *opened->connection, opened->table, deadline);
      if (fits) fits = check_replication(options, opened->table, *opened->connection, deadline);
    }
    return fits ? fits : fail_at(options, fits.error());
  } catch (const std::bad_alloc&) {
    return fail(Errc::kOutOfMemory, "out of memory");
  }
}

}  // namespace pgsink
