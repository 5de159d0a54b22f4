#pragma once
// StreamHolder: which streams the sinks of a pipeline have claimed for its source, and what of them
// is durable. Between a StreamControl, which gets and gives up streams, and the sinks, which
// remember how far each is committed.

#include <cstdint>
#include <deque>
#include <set>
#include <string>
#include <vector>

#include "shell/run/branch_sink.h"
#include "shell/run/pipeline.h"
#include "shell/sources/stream_control.h"

namespace pgsink::shell {

class StreamHolder {
 public:
  /// Both outlive this.
  StreamHolder(const Pipeline& pipeline, StreamControl& control)
      : pipeline_(pipeline), control_(control) {}
  /// A sink with streams = true, which outlives the last call.
  void add_sink(BranchSink& sink) { sinks_.push_back({.sink = &sink, .waiting = {}}); }
  bool empty() const { return sinks_.empty(); }

  /// Claims what the source has got, and releases what it must give up, if there is such a change.
  Outcome answer();
  /// Whether another process has taken a stream over that the source believes to have. Then all of
  /// them are released, and the source joins its group again.
  std::expected<bool, Faults> rejoin_if_fenced();

  /// A sink was given the rows of a micro-batch.
  void wrote(const BranchSink& sink, uint64_t number, const std::string& stream, uint64_t position);
  /// Up to which micro-batch everything is durable in all sinks; `last` if nothing waits.
  uint64_t committed_through(uint64_t last);

 private:
  struct Written {
    uint64_t number = 0;  ///< Of the micro-batch.
    std::string stream;
    uint64_t position = 0;
  };
  struct Held {
    BranchSink* sink = nullptr;
    std::deque<Written> waiting;  ///< Not durable, as far as it is known.
  };

  Outcome claim(const std::vector<StreamStart>& streams);
  Outcome release(const std::vector<std::string>& streams, ReleaseMode mode);

  const Pipeline& pipeline_;
  StreamControl& control_;
  std::vector<Held> sinks_;
  std::set<std::string> streams_;
};

}  // namespace pgsink::shell
