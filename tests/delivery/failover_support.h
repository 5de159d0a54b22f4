#pragma once
// Ten writers under load, and what happens to them in the middle of it.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <functional>
#include <latch>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <pgsink/batch_of.h>

#include <gtest/gtest.h>

#include "pgsink/sink.h"
#include "support/patience.h"
#include "support/postgres_server.h"

namespace pgsink::test {

constexpr int64_t kWriters = 10;
constexpr int64_t kBatchRows = 50;

struct WriterRow {
  int64_t writer = 0;
  int64_t id = 0;
};

/// Batch n of a writer holds the ids after (n - 1) * kBatchRows up to n * kBatchRows.
inline RecordBatch writer_batch(int64_t writer, uint64_t n) {
  std::vector<WriterRow> rows;
  for (int64_t i = 1; i <= kBatchRows; ++i) {
    rows.push_back({writer, static_cast<int64_t>(n - 1) * kBatchRows + i});
  }
  RecordBatch made =
      batch_of(std::move(rows), column("writer", &WriterRow::writer), column("id", &WriterRow::id));
  made.position = n;
  return made;
}

/// One sink from open to close; `half_way` counts the writers that are, or that ended before.
inline void write_batches(const SinkOptions& options, int64_t writer, uint64_t batches,
                          std::latch& opened, std::atomic<int64_t>& half_way,
                          std::atomic<uint64_t>& duplicates) {
  auto sink = Sink::open(options, writer_batch(0, 1).schema());
  opened.arrive_and_wait();
  ASSERT_TRUE(sink) << sink.error().to_string();
  for (uint64_t n = 1; n <= batches; ++n) {
    const Status written = (*sink)->write(writer_batch(writer, n));
    ASSERT_TRUE(written) << written.error().to_string();
    if (n == batches / 2) ++half_way;
    if (n % 20 == 0) {
      const Status flushed = (*sink)->flush();
      ASSERT_TRUE(flushed) << flushed.error().to_string();
    }
  }
  const Status closed = (*sink)->close();
  EXPECT_TRUE(closed) << closed.error().to_string();
  duplicates += (*sink)->metrics().possible_duplicates;
}

/// Ten writers write `batches` each; `disaster` happens when half of them are half way. Returns how
/// many rows were counted as possible duplicates.
inline uint64_t write_through(const SinkOptions& options, uint64_t batches,
                              const std::function<void()>& disaster) {
  std::latch opened(kWriters);  // The disaster must not meet a sink that is being opened.
  std::atomic<int64_t> half_way = 0;
  std::atomic<uint64_t> duplicates = 0;
  std::vector<std::thread> writers;
  for (int64_t writer = 0; writer < kWriters; ++writer) {
    SinkOptions own = options;
    if (own.delivery == Delivery::kExactlyOnce) own.sink_id = "writer " + std::to_string(writer);
    writers.emplace_back([&, own, writer] {
      write_batches(own, writer, batches, opened, half_way, duplicates);
      if (::testing::Test::HasFatalFailure()) ++half_way;  // Nobody shall wait for it.
    });
  }
  EXPECT_TRUE(eventually([&] { return half_way >= kWriters / 2; }));
  try {
    disaster();
  } catch (const std::exception& error) {  // Whoever writes must be joined first.
    ADD_FAILURE() << error.what();
  }
  for (std::thread& writer : writers) writer.join();
  return duplicates;
}

}  // namespace pgsink::test
