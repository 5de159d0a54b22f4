#pragma once
// KafkaConsumer: one member of a consumer group, over librdkafka. It reports changes of its
// assignment and leaves the answer to its user: nothing is read of a partition before assign(), and
// a partition stays a member's until unassign(). Not thread-safe; librdkafka's own threads fetch
// and send heartbeats.

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <pgproto/error.h>

#include "shell/kafka/kafka_options.h"

namespace pgsink::shell {

using pgproto::Errc;
using pgproto::fail;
using pgproto::Result;
using pgproto::Status;

/// KafkaPartition is a partition of a topic.
struct KafkaPartition {
  std::string topic;
  int32_t number = 0;

  auto operator<=>(const KafkaPartition&) const = default;
};

/// KafkaOffset is the next offset to read of a partition.
struct KafkaOffset {
  KafkaPartition partition;
  uint64_t offset = 0;
};

/// KafkaMessage is a message, in memory of librdkafka.
class KafkaMessage {
 public:
  struct Free {
    void operator()(void* message) const;
  };
  using Pointer = std::unique_ptr<void, Free>;
  explicit KafkaMessage(Pointer message) : message_(std::move(message)) {}

  KafkaPartition partition() const;
  uint64_t offset() const;
  /// nullopt: null, as in a tombstone.
  std::optional<std::string_view> value() const;
  std::optional<std::string_view> key() const;
  /// Milliseconds since 1970; nullopt: it has none.
  std::optional<int64_t> timestamp_ms() const;
  /// As a JSON array of objects with one member, in their order; nullopt: it has none.
  std::optional<std::string> headers() const;
  /// Whether it has a header of that name.
  bool has_header(const char* name) const;
  /// Bytes of key and value.
  size_t bytes() const;

 private:
  Pointer message_;
};

class KafkaConsumer {
 public:
  /// What poll() may return.
  struct Nothing {};
  struct Rebalance {
    enum class Kind : uint8_t { kAssigned, kRevoked, kLost };
    Kind kind = Kind::kAssigned;
    std::vector<KafkaPartition> partitions;
  };
  /// The end of a partition was reached: the next offset to read.
  struct End {
    KafkaOffset at;
  };
  /// The offset to read does not exist any more.
  struct OffsetGone {
    KafkaPartition partition;
  };
  using Polled = std::variant<Nothing, KafkaMessage, Rebalance, End, OffsetGone>;

  virtual ~KafkaConsumer() = default;

  /// Connects in the background; `joins`: and joins the group. Fails with kOptionUnsupported if
  /// this pgsink was built without Kafka, and with kOptionValue if librdkafka refuses a property.
  static Result<std::unique_ptr<KafkaConsumer>> create(const KafkaOptions& options, bool joins);

  /// Waits up to `wait` for a message, and less long for anything else. Errors that pass by
  /// themselves are not reported.
  virtual Result<Polled> poll(std::chrono::milliseconds wait) = 0;
  /// As poll(0), but leaves messages where they are, for a member that cannot take more: it stays
  /// in the group, and hears of rebalances.
  virtual Result<Polled> poll_group() = 0;
  /// Reads these partitions too, from there. Answers a Rebalance.
  virtual Status assign(const std::vector<KafkaOffset>& offsets) = 0;
  /// Does not read these partitions any more. Answers a Rebalance.
  virtual Status unassign(const std::vector<KafkaPartition>& partitions) = 0;
  /// Stores offsets of the group; `wait`: until the broker has them.
  virtual Status commit(const std::vector<KafkaOffset>& offsets, bool wait) = 0;
  /// The offsets of the group, of those partitions that have one.
  virtual Result<std::vector<KafkaOffset>> committed(
      const std::vector<KafkaPartition>& partitions) = 0;
  /// The first offset that exists, and the one after the last.
  struct Range {
    uint64_t first = 0, end = 0;
  };
  virtual Result<Range> range(const KafkaPartition& partition) = 0;
  /// As range(), from what was fetched last, without asking; nullopt: not known.
  virtual std::optional<Range> known_range(const KafkaPartition& partition) = 0;
  /// The identity of the cluster. Fails if no broker can be reached.
  virtual Result<std::string> cluster() = 0;
  /// Fails if no broker can be reached, or a topic does not exist.
  virtual Status check_topics(const std::vector<std::string>& topics) = 0;
};

}  // namespace pgsink::shell
