// The parts of a job: sinks that write rows into its staging table, each row with the number of the
// part and its place in the order of all rows; or straight into the target, and in a two-phase job
// in one transaction, which is prepared.

#include <atomic>
#include <new>
#include <optional>
#include <utility>
#include <vector>

#include "pgsink/client/env.h"
#include "pgsink/job.h"
#include "pgsink/sink/batch_checks.h"
#include "pgsink/sink/job_target.h"
#include "pgsink/sink/job_ticket.h"
#include "pgsink/sink/part_attempt.h"
#include "pgsink/sink/part_sink.h"

namespace pgsink {
namespace {

// The order of a row: its partition, then its place there.
constexpr int kPlaceBits = 40;
constexpr uint32_t kPartitionsMax = uint32_t{1} << (62 - kPlaceBits);
constexpr size_t kOrdinalBytes = sizeof(int64_t);

/// What becomes of the input's columns.
struct Projection {
  std::shared_ptr<const Schema> staged;
  std::vector<size_t> columns;  ///< Of the input.
};

Result<Projection> project(const Schema& input, const JobTicket& ticket) {
  auto schema = std::make_shared<Schema>();
  Projection made;
  std::vector<bool> filled(ticket.columns.size(), false);
  for (size_t i = 0; i < input.size(); ++i) {
    size_t at = 0;
    while (at < ticket.columns.size() && ticket.columns[at].field.name != input[i].name) ++at;
    if (at == ticket.columns.size()) {
      return fail(Errc::kNoSuchColumn,
                  "open_part: the job was opened without a column \"" + input[i].name + "\"");
    }
    filled[at] = true;
    if (ticket.columns[at].staged_as.empty()) continue;
    schema->push_back(input[i]);
    schema->back().name = ticket.columns[at].staged_as;
    made.columns.push_back(i);
  }
  for (size_t i = 0; i < filled.size(); ++i) {
    if (filled[i]) continue;
    return fail(Errc::kNoSuchColumn, "open_part: the job was opened with a column \"" +
                                         ticket.columns[i].field.name +
                                         "\", which this partition lacks");
  }
  for (const std::string* name : {&ticket.part, &ticket.ordinal}) {
    Field number;
    number.name = *name;
    number.kind = ColumnKind::kInt64;
    schema->push_back(std::move(number));
  }
  made.staged = std::move(schema);
  return made;
}

/// A part that writes straight into the target, or nothing at all, has no projection.
class Part final : public Sink {
 public:
  Part(JobTicket ticket, uint32_t partition, int64_t number, std::shared_ptr<const Schema> schema,
       Projection projection, std::unique_ptr<PartAttempt> attempt, std::unique_ptr<Sink> inner)
      : ticket_(std::move(ticket)),
        partition_(partition),
        number_(number),
        schema_(std::move(schema)),
        projection_(std::move(projection)),
        attempt_(std::move(attempt)),
        inner_(std::move(inner)) {}

  Status write(RecordBatch batch) override {
    if (auto fits = check_schema(batch, *schema_); !fits) return fits;
    if (drops_rows()) return {};
    auto staged = stage(batch);
    return staged ? unless_prepared(inner_->write(*std::move(staged))) : fail(staged.error());
  }
  Result<bool> try_write(RecordBatch& batch) override {
    if (auto fits = check_schema(batch, *schema_); !fits) return fail(fits.error());
    if (drops_rows()) return true;
    if (!projection_.staged) return inner_->try_write(batch);
    return fail(Errc::kUsage, "try_write(): a part of a job takes rows by write()");
  }
  Status reject(std::span<const RejectedInput> inputs) override {
    return inner_ ? inner_->reject(inputs) : Status();
  }
  Status status() const override { return drops_rows() ? Status() : inner_->status(); }
  /// A part of a two-phase job is one transaction, which finish_part() ends.
  Status flush() override { return inner_ && !attempt_ ? inner_->flush() : status(); }
  Status finish() override { return close(); }
  Status close() override {
    if (!inner_ || drops_rows()) return {};
    return unless_prepared(inner_->close());
  }
  void interrupt() override {
    if (inner_) inner_->interrupt();
  }
  Result<Recovered> recover(uint64_t) override { return fail(unfit()); }
  Status prepare(uint64_t) override { return fail(unfit()); }
  Status commit(uint64_t) override { return fail(unfit()); }
  Status abort(uint64_t) override { return fail(unfit()); }
  Result<std::vector<StreamPosition>> claim(std::span<const StreamStart>) override {
    return fail(unfit());
  }
  Status release(std::span<const std::string>, ReleaseMode) override { return fail(unfit()); }
  uint64_t stream_position(const std::string&) const override { return 0; }
  Status stream_status(const std::string&) const override { return {}; }
  uint64_t durable_position() const override { return inner_ ? inner_->durable_position() : 0; }
  std::vector<HostPosition> resume_points() const override { return {}; }
  SinkMetrics metrics() const override { return inner_ ? inner_->metrics() : SinkMetrics(); }
  std::vector<std::string> warnings() const override {
    return inner_ ? inner_->warnings() : std::vector<std::string>();
  }

  Result<std::string> token() {
    if (auto closed = close(); !closed) return fail(closed.error());
    if (attempt_) return token_of(attempt_->prepared());
    const SinkMetrics counted = metrics();
    if (projection_.staged && counted.possible_duplicates > 0) {
      return fail(Errc::kOutcomeUnknown,
                  "finish_part: " + std::to_string(counted.possible_duplicates) +
                      " rows may be staged twice, because the outcome of a transaction could not "
                      "be found out: write this partition again, with another part");
    }
    return write_token({.writer = ticket_.writer,
                        .partition = partition_,
                        .part = number_,
                        .rows = counted.rows_written,
                        .rejected = counted.rejected_rows});
  }

 private:
  static Error unfit() {
    return fail(Errc::kUsage, "the parts of a job are committed by Job::commit()").error();
  }

  /// Whether what is written counts for nothing: the job is committed already, or another attempt
  /// of this partition has prepared its rows.
  bool drops_rows() const { return !inner_ || other_.load(); }

  /// A failure does not matter if another attempt has prepared its rows: it may be the reason, if
  /// it holds the keys of this one's.
  Status unless_prepared(Status outcome) {
    if (outcome || !attempt_) return outcome;
    if (const auto other = attempt_->look_for_other(); !other || !*other) return outcome;
    other_ = true;
    return {};
  }

  std::string token_of(const std::optional<PreparedPart>& prepared) const {
    PartToken token{.writer = ticket_.writer, .partition = partition_, .part = number_};
    if (prepared) {
      token.part = prepared->part;
      token.rows = prepared->rows;
      token.rejected = prepared->rejected;
      token.gid = prepared->gid;
    }
    if (!drops_rows()) token.rejected = metrics().rejected_rows;
    return write_token(token);
  }

  /// The batch with the columns of the staging table. It owns the given one.
  Result<RecordBatch> stage(RecordBatch& batch) {
    if (!projection_.staged) return std::move(batch);
    const size_t rows = batch.row_count();
    const int64_t first = next_.fetch_add(static_cast<int64_t>(rows));
    if (first + static_cast<int64_t>(rows) >= int64_t{1} << kPlaceBits) {
      return fail(Errc::kLimit, "write(): a partition of a job has at most 2^40 rows");
    }
    struct Owned {
      RecordBatch batch;
      std::vector<int64_t> places;
      int64_t part;
    };
    auto owned = std::make_shared<Owned>();
    owned->part = number_;
    owned->places.resize(rows);
    for (size_t i = 0; i < rows; ++i) {
      owned->places[i] =
          (static_cast<int64_t>(partition_) << kPlaceBits) + first + static_cast<int64_t>(i);
    }
    std::vector<ColumnView> columns;
    columns.reserve(projection_.columns.size() + 2);
    for (const size_t column : projection_.columns) columns.push_back(batch.columns()[column]);
    ColumnView part;
    part.kind = ColumnKind::kInt64;
    part.values = &owned->part;  // Stride 0: the same for all rows.
    columns.push_back(part);
    ColumnView place;
    place.kind = ColumnKind::kInt64;
    place.values = owned->places.data();
    place.stride_bytes = sizeof(int64_t);
    columns.push_back(place);
    const size_t bytes = batch.memory_bytes() + rows * kOrdinalBytes;
    const uint64_t position = batch.position;
    owned->batch = std::move(batch);
    RecordBatch staged(projection_.staged, std::move(columns), rows, bytes,
                       [owned]() mutable { owned.reset(); });
    staged.position = position;
    return staged;
  }

  const JobTicket ticket_;
  const uint32_t partition_;
  const int64_t number_;
  const std::shared_ptr<const Schema> schema_;
  const Projection projection_;
  const std::unique_ptr<PartAttempt> attempt_;  ///< Null but in a two-phase job.
  const std::unique_ptr<Sink> inner_;           ///< Null: the job is committed already.
  std::atomic<int64_t> next_ = 0;
  std::atomic<bool> other_ = false;  ///< attempt_ has found another one.
};

Result<std::unique_ptr<Sink>> open_one(SinkOptions options, std::string_view text,
                                       uint32_t partition, std::shared_ptr<const Schema> schema,
                                       Env* env) {
  if (partition >= kPartitionsMax) {
    return fail(Errc::kLimit, "open_part: partitions are numbered from 0 to " +
                                  std::to_string(kPartitionsMax - 1));
  }
  take_replace(options);  // It is the driver's to do.
  if (auto fits = check_job_options(options); !fits) return fail(fits.error());
  auto ticket = read_ticket_for(options, text);
  if (!ticket) return fail(ticket.error());
  if (schema == nullptr) schema = std::make_shared<const Schema>(schema_of(*ticket));
  auto projection = project(*schema, *ticket);
  if (!projection) return fail(projection.error());
  OsEnv own_env;
  Random& random = env != nullptr ? env->random : own_env.env().random;
  const auto number = static_cast<int64_t>(random.next_u64() >> 1);
  const bool direct = ticket->atomic != Atomic::kStaging;
  if (direct) *projection = {};
  std::unique_ptr<PartAttempt> attempt;
  std::unique_ptr<Sink> inner;
  if (!ticket->committed && ticket->atomic == Atomic::kTwoPhase) {
    auto begun = PartAttempt::open(options, *ticket, partition, number, env);
    if (!begun) return fail(begun.error());
    attempt = *std::move(begun);
  }
  if (!ticket->committed && !(attempt && attempt->has_other())) {
    auto opened = open_part_sink(part_options(std::move(options), *ticket),
                                 direct ? schema : projection->staged, env,
                                 attempt ? attempt->ending() : nullptr, nullptr);
    if (!opened && opened.error().code == Errc::kNoSuchTable && !direct) {
      return fail(Errc::kFenced, "open_part: the staging table of job \"" + ticket->sink_id +
                                     "\" is gone: the job was committed or aborted, or another "
                                     "driver has opened it");
    }
    if (!opened) return opened;
    inner = *std::move(opened);
  }
  return std::make_unique<Part>(*std::move(ticket), partition, number, std::move(schema),
                                *std::move(projection), std::move(attempt), std::move(inner));
}

}  // namespace

Result<std::unique_ptr<Sink>> open_part(SinkOptions options, std::string_view ticket,
                                        uint32_t partition, std::shared_ptr<const Schema> schema,
                                        Env* env) {
  try {
    return open_one(std::move(options), ticket, partition, std::move(schema), env);
  } catch (const std::bad_alloc&) {
    return fail(Errc::kOutOfMemory, "out of memory");
  }
}

Result<std::string> finish_part(Sink& part) {
  auto* const known = dynamic_cast<Part*>(&part);
  if (known == nullptr) {
    return fail(Errc::kUsage, "finish_part: the sink is not one of open_part()");
  }
  try {
    return known->token();
  } catch (const std::bad_alloc&) {
    return fail(Errc::kOutOfMemory, "out of memory");
  }
}

}  // namespace pgsink
