#pragma once
// FlightSender: composes what is sent of a flight. Nothing waits for an answer:
//   Query "BEGIN …; SELECT xid, pid; settings; COPY … FROM STDIN"   CopyData…  CopyDone
//   Query "COMMIT"
// Before COMMIT a Bind/Execute/Sync proves that the table is what the rows were encoded for
// (plan/table_shape.h). Through a staging table another Query with the statement that applies it
// stands before COMMIT. With arrays, Bind/Execute/Sync stand in the place of COPY. Under two-phase
// commit PREPARE TRANSACTION stands in the place of COMMIT. Dead letters go in just before it.
//
// A COPY that fails to start or in the middle is safe: the server drops CopyData and CopyDone until
// the next Query, and the COMMIT of a failed transaction answers ROLLBACK.
//
// A flight of arrays may be a *series*, where no setting, role, epoch row or PREPARE belongs to the
// transaction: Bind/Execute that identifies it (and guards its order), Bind/Execute of the rows,
// Bind/Execute of that proof, Sync. The server runs a series as one transaction, which Sync commits
// or an error before it rolls back; without BEGIN and COMMIT it answers, and wakes us, once instead
// of three times. Source: PostgreSQL documentation, "Pipelining" of the extended query protocol.
//
// Every function fails only if the connection broke; other failures are the attempt's.

#include <optional>

#include "pgsink/lane/flight_encoder.h"
#include "pgsink/lane/lane_delivery.h"
#include "pgsink/lane/leaf_copier.h"
#include "pgsink/lane/target_plan.h"
#include "pgsink/partition/partitioner.h"

namespace pgsink {

class FlightSender {
 public:
  struct Setup {
    Clock& clock;
    const TargetPlanPointer& target;  ///< The plan in use, which may change between flights.
    const LaneDelivery& delivery;
    const RejectedRows& rejects;
    LeafCopier& leaves;
    const Partitioner* partitioner = nullptr;  ///< Null: partitions are not created.
  };
  FlightSender(Setup setup, FlightEncoder::Codecs codecs);
  /// The plan in use is another one, with these codecs. REQUIRES: no flight is on the wire.
  void adopt(FlightEncoder::Codecs codecs) { encoder_.adopt(std::move(codecs)); }

  /// Whether a flight may begin now. One of which something must be known in advance waits for its
  /// last row; one before which something must be asked, for the answers to those before it.
  bool may_begin(const Flight& flight, const LaneSession& session) const;
  /// Begins a new attempt: all that comes before the rows.
  Status begin(Flight& flight, LaneSession& session);
  /// Then: sends arrays to the end, or opens the COPY, to be filled by continue_copy().
  Status open_rows(Flight& flight, LaneSession& session);
  /// Sends up to one chunk, and the end of the flight once its last row is sent. False if there is
  /// nothing to send at present. With `stop` the flight is abandoned because of it.
  Result<bool> continue_copy(Flight& flight, LaneSession& session,
                             const std::optional<Error>& stop);
  /// Gives up a COPY that waits for more rows: the flight begins again later.
  static Status yield_copy(Flight& flight, LaneSession& session);

 private:
  Status begin_transaction(Flight& flight, LaneSession& session);
  bool makes_series(const Flight& flight, const LaneSession& session) const;
  Status open_series(Flight& flight, LaneSession& session) const;
  Status send_arrays(Flight& flight, LaneSession& session);
  Status apply_arrays(Flight& flight, LaneSession& session);
  Status end_copy(Flight& flight, LaneSession& session);
  static Status abandon_copy(Flight& flight, LaneSession& session);
  Status finish(Flight& flight, LaneSession& session);
  Status prove_shape(Flight& flight, LaneSession& session) const;
  Status conclude(Flight& flight, LaneSession& session);
  static Status undo(Flight& flight, LaneSession& session);
  static Status end_transaction(Flight& flight, LaneSession& session, std::string_view sql);

  const Plan& plan() const { return setup_.target->plan; }

  const Setup setup_;
  FlightEncoder encoder_;
};

}  // namespace pgsink
