#pragma once
// FlightSettler: decides what happens to a flight once the server has ended its transaction.

#include "pgsink/lane/durable_reports.h"
#include "pgsink/lane/flight_sender.h"
#include "pgsink/lane/flight_sizes.h"
#include "pgsink/lane/flight_trace.h"
#include "pgsink/lane/lane_delivery.h"
#include "pgsink/lane/lane_log.h"
#include "pgsink/lane/lane_metrics.h"
#include "pgsink/lane/leaf_copier.h"
#include "pgsink/lane/rejected_rows.h"
#include "pgsink/lane/target_plan.h"
#include "pgsink/partition/partitioner.h"

namespace pgsink {

class FlightSettler {
 public:
  struct Setup {
    Clock& clock;
    size_t lane = 0;
    const TargetPlanPointer& target;  ///< The plan in use.
    FlightLog& log;
    FlightQueue& flights;
    LaneMetrics& metrics;
    const FlightTrace& trace;
    LaneLog& lines;
    LaneDelivery& delivery;
    FlightSizes& sizes;
    const RejectedRows& rejects;
    LeafCopier& leaves;
    FlightSender& sender;
    Partitioner* partitioner = nullptr;  ///< Null: partitions are not created.
    DurableReports& reports;
  };
  explicit FlightSettler(Setup setup) : setup_(setup), log_(setup.log) {}

  /// The attempt's transaction has ended. If it may have failed because the table has changed, the
  /// flight is set aside, in doubt. REQUIRES: the flight is off the wire.
  void settle(Flight& flight, LaneSession& session);
  /// The table has not changed: the attempt counts as it ended. REQUIRES: the flight was in
  /// doubt, and to the log it is on the wire.
  void settle_without_doubt(Flight& flight, LaneSession& session);
  /// The flight is committed, however that is known; under two-phase commit, prepared.
  void committed(FlightLog::Seq seq);

 private:
  enum class Verdict : uint8_t {
    kCommitted,
    kTrialPassed,    ///< A trial of some rows succeeded, and was rolled back.
    kThroughParent,  ///< It went straight into partitions: now send it through the parent.
    kFailed,
  };
  Verdict verdict(const Flight& flight) const;
  bool doubts(Flight& flight, const LaneSession& session) const;
  void through_parent(Flight& flight);
  void trial_passed(Flight& flight);
  void failed(Flight& flight, LaneSession& session);
  bool checks_documents_now(const Flight& flight, const Failure& failure) const;
  bool goes_by_copy(const Flight& flight, const Failure& failure) const;
  bool goes_row_by_row(const Flight& flight, const Failure& failure) const;
  Failure failure_of(const Flight& flight, const LaneSession& session) const;
  bool cut_at_fault(Flight& flight, const Failure& failure, LaneSession& session) const;
  bool restore_partitions(const Flight& flight, Failure& failure);
  void set_aside(const Flight& flight);

  const Setup setup_;
  FlightLog& log_;
};

}  // namespace pgsink
