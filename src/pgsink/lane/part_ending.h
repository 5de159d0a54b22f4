#pragma once

#include <memory>
#include <optional>
#include <utility>

#include "pgsink/delivery/prepared_parts.h"

namespace pgsink {

/// PartEnding is what a part of a two-phase job and its lane share. Thread-safe.
class PartEnding {
 public:
  /// `numbers`: partition and part; its rows are counted when it ends.
  PartEnding(Env& env, PreparedParts parts, PreparedPart numbers)
      : parts_(std::move(parts)), numbers_(std::move(numbers)), monitor_(env.tasks.monitor()) {}

  const PreparedParts& parts() const { return parts_; }
  /// The part with these rows, and its gid.
  PreparedPart counted(uint64_t rows, uint64_t rejected) const {
    PreparedPart part = numbers_;
    part.rows = rows;
    part.rejected = rejected;
    part.gid = parts_.gid(part);
    return part;
  }
  void prepared(PreparedPart part) {
    const Monitor::Lock lock(*monitor_);
    prepared_ = std::move(part);
  }
  /// nullopt if nothing is prepared.
  std::optional<PreparedPart> outcome() const {
    const Monitor::Lock lock(*monitor_);
    return prepared_;
  }

 private:
  const PreparedParts parts_;
  const PreparedPart numbers_;
  const std::unique_ptr<Monitor> monitor_;
  std::optional<PreparedPart> prepared_;  // Guarded by monitor_.
};

}  // namespace pgsink
