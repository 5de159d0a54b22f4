#include "pgsink/sink/whole_load.h"

#include <atomic>
#include <utility>
#include <vector>

namespace pgsink {
namespace {

/// Rows after flush() would begin a second load, which deletes those of the first.
class WholeLoad final : public Sink {
 public:
  WholeLoad(std::unique_ptr<Sink> sink, std::shared_ptr<const Schema> schema)
      : schema_(std::move(schema)), sink_(std::move(sink)) {}

  Status write(RecordBatch batch) override {
    if (ended_) return fail(ended());
    has_rows_ = has_rows_ || batch.row_count() > 0;
    return sink_->write(std::move(batch));
  }
  Result<bool> try_write(RecordBatch& batch) override {
    if (ended_) return fail(ended());
    const bool rows = batch.row_count() > 0;
    auto taken = sink_->try_write(batch);
    if (taken && *taken && rows) has_rows_ = true;
    return taken;
  }
  Status reject(std::span<const RejectedInput> inputs) override { return sink_->reject(inputs); }
  Status status() const override { return sink_->status(); }
  Status flush() override {
    return end([&] { return sink_->flush(); });
  }
  Status close() override {
    return end([&] { return sink_->close(); });
  }
  Status finish() override {
    return end([&] { return sink_->finish(); });
  }
  void interrupt() override { sink_->interrupt(); }
  Result<Recovered> recover(uint64_t epoch) override { return sink_->recover(epoch); }
  Status prepare(uint64_t epoch) override { return sink_->prepare(epoch); }
  Status commit(uint64_t epoch) override { return sink_->commit(epoch); }
  Status abort(uint64_t epoch) override { return sink_->abort(epoch); }
  Result<std::vector<StreamPosition>> claim(std::span<const StreamStart> streams) override {
    return sink_->claim(streams);
  }
  Status release(std::span<const std::string> streams, ReleaseMode mode) override {
    return sink_->release(streams, mode);
  }
  uint64_t stream_position(const std::string& stream) const override {
    return sink_->stream_position(stream);
  }
  Status stream_status(const std::string& stream) const override {
    return sink_->stream_status(stream);
  }
  uint64_t durable_position() const override { return sink_->durable_position(); }
  std::vector<HostPosition> resume_points() const override { return sink_->resume_points(); }
  SinkMetrics metrics() const override { return sink_->metrics(); }
  std::vector<std::string> warnings() const override { return sink_->warnings(); }

 private:
  static Error ended() {
    return fail(Errc::kUsage,
                "write(): this load has ended with flush(), and further rows would replace its "
                "own: open a new sink for the next load")
        .error();
  }

  template <typename F>
  Status end(F&& body) {
    if (!ended_ && !has_rows_) {
      // A batch without rows is a transaction all the same.
      const std::vector<ColumnView> none(schema_->size());
      if (auto written = sink_->write(RecordBatch(schema_, none, 0, 0, {})); !written) {
        return written;
      }
    }
    ended_ = true;
    return std::forward<F>(body)();
  }

  const std::shared_ptr<const Schema> schema_;
  const std::unique_ptr<Sink> sink_;
  std::atomic<bool> has_rows_ = false, ended_ = false;
};

}  // namespace

std::unique_ptr<Sink> make_whole_load(std::unique_ptr<Sink> sink,
                                      std::shared_ptr<const Schema> schema) {
  return std::make_unique<WholeLoad>(std::move(sink), std::move(schema));
}

}  // namespace pgsink
