#pragma once
// LeafCopier: rows that are copied straight into their partitions (leaves.h): one COPY a partition,
// and after the last one a check that they still belong to the table.
//
// Only the first attempt of a flight goes that way. If it fails for any reason, the next one goes
// through the parent, whose errors name the row and the cause.

#include <optional>
#include <span>

#include "pgsink/lane/flight_queue.h"
#include "pgsink/lane/lane_session.h"

namespace pgsink {

class LeafCopier {
 public:
  explicit LeafCopier(Clock& clock) : clock_(clock), looked_at_(clock.now()) {}
  /// From now on these are the partitions; null: all rows go through the parent. What was found of
  /// flights that were not sent is sought again. REQUIRES: `finder` is there if `catalog` is.
  void adopt(LeafCatalog* catalog, std::optional<LeafFinder> finder, FlightQueue& flights);

  /// Whether flights on this path may go straight into partitions.
  bool serves(Path path) const { return catalog_ != nullptr && path == Path::kCopy; }
  /// Finds the partitions of one more piece while earlier flights are in progress: the server must
  /// not wait for that.
  void find_some(FlightQueue& flights);

  /// Whether look() should be called before this flight.
  bool wants_look(const Flight& flight, Path path) const;
  /// Reads the current partitions: other sessions create some too. REQUIRES: no request is pending.
  void look(Connection& connection);
  /// Decides which rows of a new flight go where, and cuts it accordingly.
  void route(Flight& flight);

  /// If the next rows belong to another partition, ends the current COPY and begins another one.
  static Status turn(Attempt& attempt, LaneSession& session);
  /// Asks whether the partitions that were used still belong to the table.
  static Status check(Attempt& attempt, LaneSession& session);
  /// The partitions of an attempt were wrong: none is used directly before the next look.
  void give_up(const Attempt& attempt);

 private:
  void find(Flight& flight);

  Clock& clock_;
  LeafCatalog* catalog_ = nullptr;
  std::optional<LeafFinder> finder_;
  std::shared_ptr<const Leaves> given_up_;
  bool is_stale_ = false;  ///< There may be more partitions than we know.
  TimePoint looked_at_;
};

}  // namespace pgsink
