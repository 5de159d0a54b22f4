#pragma once
// FlightSender: composes the messages of a flight. It never waits for an answer:
//   Query "BEGIN …; SELECT xid, pid; settings; COPY … FROM STDIN"   CopyData…  CopyDone
//   Query "COMMIT"
// Before COMMIT a Bind/Execute/Sync proves that the table is what the rows were encoded for
// (plan/table_shape.h). With a staging table, another Query with the statement that applies it
// comes before COMMIT. With arrays, Bind/Execute/Sync replace COPY. Under two-phase commit PREPARE
// TRANSACTION replaces COMMIT. Dead letters are sent just before it.
//
// A COPY that fails to start or in the middle is safe: the server drops CopyData and CopyDone until
// the next Query, and the COMMIT of a failed transaction answers ROLLBACK.
//
// A flight of arrays may be a *series*, where no setting, role, epoch row or PREPARE belongs to the
// transaction: Bind/Execute that identifies it and guards its order, Bind/Execute of the rows,
// Bind/Execute of that proof, Sync. Without an order to guard, the proof identifies it, followed by
// Flush. The server runs a series as one transaction, which Sync commits or an error before it
// rolls back; without BEGIN and COMMIT it answers, and wakes us, once or twice instead of three
// times. Source: PostgreSQL documentation, "Pipelining" of the extended query protocol.
//
// Row by row, between BEGIN and COMMIT, there is one Bind/Execute for each row, and a Sync after
// the last. The server passes over all rows after one that fails, so the answers name it.
//
// Every function fails only if the connection broke; other failures are the attempt's.

#include <optional>

#include "pgsink/lane/flight_encoder.h"
#include "pgsink/lane/lane_delivery.h"
#include "pgsink/lane/leaf_copier.h"
#include "pgsink/lane/repeated_keys.h"
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
  FlightSender(Setup setup, FlightEncoder::Codecs codecs, RepeatedKeys repeated_keys);
  /// The plan in use is another one, with what belongs to it. It must live until the next one is
  /// adopted. REQUIRES: no flight is on the wire.
  void adopt(const Plan& plan, FlightEncoder::Codecs codecs, RepeatedKeys repeated_keys);

  /// Whether a flight may begin now. If something must be known about it in advance, it waits for
  /// its last row; if something must be asked first, for the answers to earlier flights.
  bool may_begin(const Flight& flight, const LaneSession& session) const;
  /// Begins a new attempt of that number: all that comes before the rows.
  Status begin(Flight& flight, LaneSession& session, uint64_t number);
  /// Then: sends arrays to the end, or opens the COPY or begins with the statements that
  /// continue_rows() sends.
  Status open_rows(Flight& flight, LaneSession& session);
  /// Sends up to one chunk, and the end of the flight once its last row is sent. False if there is
  /// nothing to send at present. With `stop` the flight is abandoned for that reason.
  Result<bool> continue_rows(Flight& flight, LaneSession& session,
                             const std::optional<Error>& stop);
  /// See FlightEncoder::check_documents().
  bool check_documents() { return encoder_.check_documents(); }
  /// Gives up a COPY that waits for more rows: the flight begins again later.
  static Status yield_copy(Flight& flight, LaneSession& session);

 private:
  Path path_of(const Flight& flight, const LaneSession& session) const;
  Status begin_transaction(Flight& flight, LaneSession& session);
  bool makes_series(const Flight& flight, const LaneSession& session) const;
  Status open_series(Flight& flight, LaneSession& session) const;
  Status send_arrays(Flight& flight, LaneSession& session);
  Status apply_arrays(Flight& flight, LaneSession& session);
  Result<bool> continue_copy(Flight& flight, LaneSession& session);
  Result<bool> continue_statements(Flight& flight, LaneSession& session);
  Status end_statements(Flight& flight, LaneSession& session);
  Status end_copy(Flight& flight, LaneSession& session);
  static Status abandon_copy(Flight& flight, LaneSession& session);
  Status finish(Flight& flight, LaneSession& session);
  Status prove_shape(Flight& flight, LaneSession& session);
  Status prove_series(Flight& flight, LaneSession& session);
  static Status prove(Flight& flight, LaneSession& session, std::string_view sql);
  Status conclude(Flight& flight, LaneSession& session);
  static Status undo(Flight& flight, LaneSession& session);
  static Status end_transaction(Flight& flight, LaneSession& session, std::string_view sql);

  const Plan& plan() const { return setup_.target->plan; }

  const Setup setup_;
  FlightEncoder encoder_;
  RepeatedKeys repeated_keys_;
};

}  // namespace pgsink
