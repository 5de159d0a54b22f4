#include "shell/sources/postgres_source.h"

#include <algorithm>
#include <utility>

#include <pgproto/pgoutput.h>

#include <pgsink/source.h>

#include "shell/engine/engine.h"

namespace pgsink::shell {
namespace {

class PostgresSource final : public UnboundedSource {
 public:
  PostgresSource(SinkOptions options, Reporter& reporter)
      : options_(std::move(options)), reporter_(reporter) {}

  Limits limits() const override { return {}; }
  bool is_endless() const override { return true; }
  bool open_waits() const override { return true; }

  Result<SourceShape> open(const std::function<bool()>&) override {
    auto opened = Source::open(options_);
    if (!opened) return std::unexpected(opened.error());
    source_ = std::move(*opened);
    SourceShape shape;
    for (const Field& field : *source_->schema()) {
      shape.raw.push_back({field.name});
      shape.columns.push_back({field.name, engine_identifier(field.name)});
    }
    return shape;
  }

  std::string_view why_not_exactly_once() const override {
    return "a query may make any number of rows of one transaction. With write_mode = 'changelog' "
           "a table with a key becomes equal to the source's all the same; in a program, "
           "replicate() delivers exactly once";
  }

  Status begin(uint64_t durable, const SinkOptions* first) override {
    if (started_) return {};
    auto memory =
        first == nullptr ? nullptr : remember_in_target(*first, source_->replication_slot());
    if (auto begun = source_->start(durable, std::move(memory)); !begun) return begun;
    started_ = true;
    for (const std::string& warning : source_->warnings()) reporter_.warning(warning);
    return {};
  }

  std::shared_ptr<const Schema> report_unchanged(bool without_truncates) override {
    if (!started_) source_->report_unchanged();
    without_truncates_ = without_truncates;
    return source_->schema();
  }

  /// A transaction is never split, whatever the limit of rows is.
  Result<Rows> next(size_t, TimePoint deadline) override {
    if (finished_) return Rows{.batch = empty(), .rejected = {}, .end = true};
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    auto batch = source_->next(std::max(left, std::chrono::milliseconds(0)));
    if (!batch) return std::unexpected(batch.error());
    if (!*batch) return Rows{.batch = empty(), .rejected = {}, .end = false};
    snapshot_ = (*batch)->snapshot;
    position_ = (*batch)->position;
    if ((*batch)->truncate && without_truncates_) {
      Rows none{.batch = empty(), .rejected = {}, .end = false};
      none.batch.position = position_;
      return none;
    }
    return Rows{.batch = std::move((*batch)->rows), .rejected = {}, .end = false};
  }

  /// What was read and not returned comes again in the next run.
  void finish() override { finished_ = true; }

  std::string place(size_t row) const override {
    const std::string where = snapshot_ ? "piece " + std::to_string(position_) + " of the snapshot"
                                        : "the transaction up to " + pgproto::format_lsn(position_);
    return "row " + std::to_string(row + 1) + " of " + where;
  }

  RejectedInput input(size_t row) const override {
    RejectedInput input;
    input.number = row + 1;
    input.text = place(row);
    return input;
  }

  Status committed(uint64_t position) override {
    source_->confirm(position);
    return {};
  }

 private:
  RecordBatch empty() const { return {source_->schema(), {}, 0, 0, {}}; }

  const SinkOptions options_;
  Reporter& reporter_;
  std::unique_ptr<Source> source_;
  bool started_ = false, finished_ = false, snapshot_ = false, without_truncates_ = false;
  uint64_t position_ = 0;
};

}  // namespace

std::unique_ptr<UnboundedSource> make_postgres_source(SinkOptions options, Reporter& reporter) {
  return std::make_unique<PostgresSource>(std::move(options), reporter);
}

}  // namespace pgsink::shell
