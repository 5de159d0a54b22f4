#include "shell/run/stream_holder.h"

#include <algorithm>
#include <utility>

#include "shell/run/source_rejects.h"

namespace pgsink::shell {

Outcome StreamHolder::answer() {
  const auto change = control_.change();
  if (!change) return {};
  if (change->assigned) return claim(change->streams);
  std::vector<std::string> names;
  for (const StreamStart& stream : change->streams) names.push_back(stream.stream);
  const auto mode = change->discard ? ReleaseMode::kDiscard : ReleaseMode::kDrain;
  if (auto released = release(names, mode); !released) return released;
  if (auto ended = control_.end(); !ended) {
    return std::unexpected(source_fault(pipeline_, ended.error()));
  }
  return {};
}

Outcome StreamHolder::claim(const std::vector<StreamStart>& streams) {
  std::vector<StreamBegin> begins;
  begins.reserve(streams.size());
  for (const StreamStart& stream : streams) begins.push_back({stream.stream, {}});
  for (const Held& held : sinks_) {
    const auto positions = held.sink->sink().claim(streams);
    if (!positions) return std::unexpected(held.sink->stopped_by(positions.error()));
    for (const StreamPosition& claimed : *positions) {
      const auto begin = std::ranges::find(begins, claimed.stream, &StreamBegin::stream);
      begin->positions.push_back(claimed.position);
    }
  }
  for (const StreamStart& stream : streams) streams_.insert(stream.stream);
  if (auto begun = control_.begin_streams(begins); !begun) {
    return std::unexpected(source_fault(pipeline_, begun.error()));
  }
  return {};
}

Outcome StreamHolder::release(const std::vector<std::string>& streams, ReleaseMode mode) {
  std::vector<std::string> ours;
  std::ranges::copy_if(streams, std::back_inserter(ours),
                       [&](const std::string& name) { return streams_.contains(name); });
  for (Held& held : sinks_) {
    const Status released = held.sink->sink().release(ours, mode);
    if (!released) return std::unexpected(held.sink->stopped_by(released.error()));
    std::erase_if(held.waiting, [&](const Written& one) {
      return std::ranges::find(ours, one.stream) != ours.end();
    });
  }
  for (const std::string& stream : ours) streams_.erase(stream);
  return {};
}

std::expected<bool, Faults> StreamHolder::rejoin_if_fenced() {
  const auto is_fenced = [&](const std::string& stream) {
    return std::ranges::any_of(
        sinks_, [&](const Held& held) { return !held.sink->sink().stream_status(stream); });
  };
  const auto lost = std::ranges::find_if(streams_, is_fenced);
  if (lost == streams_.end()) return false;
  pipeline_.context.reporter.warning(
      "source " + pipeline_.source->name + ": another process has taken over '" + *lost +
      "', so the group has dropped this one: it joins the group again");
  const std::vector<std::string> all(streams_.begin(), streams_.end());
  if (auto released = release(all, ReleaseMode::kDiscard); !released) {
    return std::unexpected(std::move(released.error()));
  }
  if (auto joined = control_.restart(); !joined) {
    return std::unexpected(source_fault(pipeline_, joined.error()));
  }
  return true;
}

void StreamHolder::wrote(const BranchSink& sink, uint64_t number, const std::string& stream,
                         uint64_t position) {
  const auto held = std::ranges::find(sinks_, &sink, [](const Held& one) { return one.sink; });
  held->waiting.push_back({number, stream, position});
}

uint64_t StreamHolder::committed_through(uint64_t last) {
  for (Held& held : sinks_) {
    const Sink& sink = held.sink->sink();
    while (!held.waiting.empty()) {
      const Written& first = held.waiting.front();
      if (sink.stream_position(first.stream) < first.position) break;
      held.waiting.pop_front();
    }
    if (!held.waiting.empty()) last = std::min(last, held.waiting.front().number - 1);
  }
  return last;
}

}  // namespace pgsink::shell
