#pragma once
// Streams: numbered inputs whose order counts, such as a partition of a Kafka topic, a file or a
// shard. Any number of processes write one table, each the streams that it has claimed, and each
// record is written exactly once, whichever process reads it.
//
//   options.delivery = pgsink::Delivery::kExactlyOnce;
//   options.streams = true;                             // positions are kept for each stream
//   auto sink = pgsink::Sink::open(options, schema);
//   auto positions = (*sink)->claim({{.stream = "clicks/3"}});   // former owners are fenced
//   batch.stream = "clicks/3";
//   batch.position = 4711;                              // grows within the stream
//   (*sink)->write(std::move(batch));
//   (*sink)->release({"clicks/3"});                     // waits until it is durable

#include <cstdint>
#include <string>

namespace pgsink {

/// StreamStart names a stream that Sink::claim() takes over.
struct StreamStart {
  std::string stream;  ///< Any name that is unique under the sink_id; at most kStreamBytesMax.
  /// The position from which to begin if nobody has claimed the stream before. It is stored with
  /// the claim, so a later claim returns it even if nothing was written.
  uint64_t position = 0;
};

/// The largest size of the name of a stream, in bytes.
inline constexpr size_t kStreamBytesMax = 1000;

/// StreamPosition is how far a stream is committed: RecordBatch::position of its last batch, by
/// this process or another.
struct StreamPosition {
  std::string stream;
  uint64_t position = 0;
};

/// ReleaseMode is what Sink::release() does with rows that are accepted and not durable.
enum class ReleaseMode : uint8_t {
  kDrain,    ///< Waits until they are durable.
  kDiscard,  ///< Drops those that were not sent. The next owner begins where the last commit ended.
};

}  // namespace pgsink
