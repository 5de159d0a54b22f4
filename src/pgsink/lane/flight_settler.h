#pragma once
// FlightSettler: decides what becomes of a flight once the server has ended its transaction.

#include "pgsink/lane/durable_reports.h"
#include "pgsink/lane/flight_queue.h"
#include "pgsink/lane/lane_delivery.h"
#include "pgsink/lane/lane_metrics.h"
#include "pgsink/lane/leaf_copier.h"
#include "pgsink/lane/rejected_rows.h"
#include "pgsink/partition/partitioner.h"

namespace pgsink {

class FlightSettler {
 public:
  struct Setup {
    Clock& clock;
    size_t lane = 0;
    const Plan& plan;
    FlightLog& log;
    FlightQueue& flights;
    LaneMetrics& metrics;
    LaneDelivery& delivery;
    const RejectedRows& rejects;
    LeafCopier& leaves;
    Partitioner* partitioner = nullptr;  ///< Null: partitions are not created.
    DurableReports& reports;
  };
  explicit FlightSettler(Setup setup) : setup_(setup), log_(setup.log) {}

  /// The attempt's transaction has ended. REQUIRES: the flight is off the wire.
  void settle(Flight& flight, LaneSession& session);
  /// The flight is committed, however that is known; under two-phase commit, prepared.
  void committed(FlightLog::Seq seq);

 private:
  enum class Verdict : uint8_t {
    kCommitted,
    kTrialPassed,    ///< What was only tried went well, and was undone.
    kThroughParent,  ///< It went straight into partitions: now send it through the parent.
    kFailed,
  };
  Verdict verdict(const Flight& flight) const;
  static void note_doubt(Flight& flight);
  void through_parent(const Flight& flight);
  void trial_passed(Flight& flight);
  void failed(Flight& flight, LaneSession& session);
  bool goes_row_by_row(const Flight& flight, const Failure& failure) const;
  Failure failure_of(const Flight& flight, const LaneSession& session) const;
  bool restore_partitions(const Flight& flight, Failure& failure);
  void set_aside(const Flight& flight);

  const Setup setup_;
  FlightLog& log_;
};

}  // namespace pgsink
