#pragma once
// StreamControl: sources whose rows come from streams (pgsink/stream.h) that move between the
// processes of a group. Such a source says which streams it has got and which it must give up, and
// waits for the answers of the pipeline that reads it; meanwhile it returns rows of the others.

#include <optional>
#include <string>
#include <vector>

#include <pgproto/error.h>

#include <pgsink/stream.h>

namespace pgsink::shell {

/// StreamBegin is where a stream is to be read from: the first of the positions. No micro-batch
/// holds rows on both sides of one of them.
struct StreamBegin {
  std::string stream;
  std::vector<uint64_t> positions;
};

class StreamControl {
 public:
  virtual ~StreamControl() = default;

  /// A pipeline begins to read. `by_sinks`: its sinks know where each stream goes on, and every
  /// StreamChange is to be answered; otherwise the source stores positions itself. Streams that an
  /// earlier pipeline had are given up.
  virtual void begin_run(bool by_sinks) = 0;

  struct StreamChange {
    bool assigned = false;  ///< Otherwise they are to be given up.
    bool discard = false;   ///< They are another process's already.
    std::vector<StreamStart> streams;
  };
  /// What is to be answered by begin_streams() or end(), until it is; nullopt: nothing.
  virtual std::optional<StreamChange> change() const = 0;
  /// The sinks have claimed the streams.
  virtual pgproto::Status begin_streams(const std::vector<StreamBegin>& streams) = 0;
  /// The sinks have released the streams.
  virtual pgproto::Status end() = 0;
  /// Is called while the pipeline waits for its sinks, every few milliseconds.
  virtual pgproto::Status keep_alive() = 0;
  /// Gives all streams up, drops what was read of them, and joins the group again.
  virtual pgproto::Status restart() = 0;
};

}  // namespace pgsink::shell
