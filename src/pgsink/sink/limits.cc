#include "pgsink/sink/limits.h"

#include <algorithm>
#include <limits>

namespace pgsink {
namespace {

// So many transactions fit into buffer_bytes: at least so many in all, and of each lane, so that
// one can be sent while the next fills. More would be smaller, and each has a cost of its own.
constexpr int64_t kFlightsInBufferMin = 4;
constexpr int64_t kFlightsOfLane = 2;
// If a lane prepares one transaction per epoch, two epochs share the buffer: one is being written
// while the next one fills; and with keys one statement takes all rows of an epoch.
constexpr size_t kEpochsInBuffer = 2;
constexpr size_t kKeyedEpochBytesMax = size_t{256} << 20;
// Where the flights of arrays of all lanes stop growing by themselves. The client holds each flight
// twice, as arrays and as what is sent, and the server once; larger flights gain little:
// bench/python_rivals.py, `upsert` and `shuffled`. A lane's own are never smaller than the minimum.
constexpr size_t kArraysFlightBytes = size_t{5} << 18;
constexpr size_t kArraysFlightBytesMin = size_t{1} << 19;

}  // namespace

size_t flight_bytes_max(const SinkOptions& options, const Plan& plan) {
  if (plan.one_transaction || plan.atomic) return std::numeric_limits<size_t>::max();
  const int64_t flights = std::max(kFlightsInBufferMin, kFlightsOfLane * options.parallelism);
  const int64_t share = options.buffer_bytes / flights;
  // Arrays cost less than a staging table: a transaction does not outgrow them by itself, although
  // it may take one row more than fits.
  const bool arrays = plan.transactions_grow && plan.arrays_bytes_max > 0;
  const auto bytes = static_cast<size_t>(share);
  if (!arrays) return bytes;
  const size_t part = kArraysFlightBytes / static_cast<size_t>(options.parallelism);
  return std::min(bytes, std::max(part, kArraysFlightBytesMin));
}

size_t epoch_transactions(const SinkOptions& options, const Connection& connection) {
  const auto half = static_cast<size_t>(connection.server().max_prepared_transactions) / 2;
  return (half - std::min(half, static_cast<size_t>(options.parallelism))) / 2;
}

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
    limits.bytes_max = flight_bytes_max(options, plan) * transactions;
  }
  if (transaction_rows > 0) limits.rows_max = transaction_rows * transactions;
  return limits;
}

}  // namespace pgsink
