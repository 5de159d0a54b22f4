#include "pgsink/lane/stream_claimer.h"

#include <algorithm>
#include <utility>

namespace pgsink {
namespace {

/// How long to wait for transactions of former owners.
constexpr Duration kStreamClaimTimeout = std::chrono::seconds(30);

Status check_names(std::span<const StreamStart> streams) {
  std::vector<std::string_view> names;
  for (const StreamStart& start : streams) {
    if (start.stream.empty() || start.stream.size() > kStreamBytesMax) {
      return fail(Errc::kUsage, "claim(): the name of a stream has " +
                                    std::to_string(start.stream.size()) +
                                    " bytes; it may have 1 to " + std::to_string(kStreamBytesMax));
    }
    names.push_back(start.stream);
  }
  std::ranges::sort(names);
  const auto twice = std::ranges::adjacent_find(names);
  if (twice == names.end()) return {};
  return fail(Errc::kUsage, "claim(): the stream \"" + std::string(*twice) + "\" is given twice");
}

}  // namespace

StreamClaimer::StreamClaimer(Setup setup)
    : setup_(std::move(setup)), claims_(setup_.env, setup_.lanes) {}

Result<std::vector<StreamPosition>> StreamClaimer::claim(std::span<const StreamStart> streams) {
  if (auto named = check_names(streams); !named) return fail(named.error());
  std::vector<StreamPosition> positions;
  if (streams.empty()) return positions;
  Backoff backoff(setup_.retry, setup_.env.random.next_u64());
  RetryLimit limit(setup_.retry);
  for (uint32_t failures = 1;; ++failures) {
    const auto rows = claim_once(streams);
    if (rows) {
      claims_.add(*rows);
      for (const StreamRow& row : *rows) positions.push_back({row.stream, row.position});
      return positions;
    }
    connection_.reset();
    const Error& error = rows.error();
    const bool lost = error.code == Errc::kConnect || error.code == Errc::kConnectionLost ||
                      error.code == Errc::kTimeout;
    const bool again =
        lost ? setup_.retry.rule.allows_reconnect(error) : setup_.retry.rule.allows(error);
    const Status counted = limit.failed(failures, error, setup_.env.clock.now());
    if (!again || !counted) {
      Error last = again ? counted.error() : error;
      last.message = "connection \"" + setup_.name + "\": claim(): " + last.message;
      return fail(std::move(last));
    }
    pause(backoff.delay(failures));
  }
}

Status StreamClaimer::release(std::span<const std::string> streams, ReleaseMode mode,
                              const std::function<Status(uint64_t batch)>& drain) {
  if (auto held = claims_.check_claimed(streams); !held) return held;
  if (mode == ReleaseMode::kDrain) {
    if (auto durable = drain(claims_.last_batch(streams)); !durable) return durable;
    for (const std::string& stream : streams) {
      if (auto ours = claims_.status(stream); !ours) return ours;
    }
  }
  claims_.drop(streams);
  return {};
}

Result<std::vector<StreamRow>> StreamClaimer::claim_once(std::span<const StreamStart> streams) {
  if (connection_ == nullptr) {
    auto opened = Connection::open(setup_.env, setup_.connect, setup_.salted_keys);
    if (!opened) return fail(opened.error());
    connection_ = std::move(*opened);
  }
  const Deadline deadline = setup_.env.clock.now() + kStreamClaimTimeout;
  return setup_.rows.claim(setup_.env, *connection_, streams, deadline);
}

void StreamClaimer::pause(Duration delay) const {
  const Deadline until = setup_.env.clock.now() + delay;
  const auto sleeping = setup_.env.tasks.monitor();
  const Monitor::Lock lock(*sleeping);
  while (sleeping->wait(until)) {
  }
}

}  // namespace pgsink
