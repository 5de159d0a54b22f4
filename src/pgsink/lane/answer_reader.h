#pragma once
// AnswerReader: records what the server's answers mean for the oldest flight on the wire.

#include <string>

#include "pgsink/lane/flight.h"
#include "pgsink/lane/lane_metrics.h"
#include "pgsink/lane/lane_session.h"
#include "pgsink/lane/own_transactions.h"
#include "pgsink/lane/target_plan.h"

namespace pgsink {

class AnswerReader {
 public:
  struct Setup {
    Clock& clock;
    const TargetPlanPointer& target;  ///< The plan in use.
    FlightLog& log;                   ///< Learns the ids of transactions.
    LaneMetrics& metrics;
    OwnTransactions& transactions;    ///< Learns them too.
    std::string insert_letters;       ///< The statement that inserts dead letters; "": none.
    bool creates_partitions = false;  ///< The sink may create missing ones.
  };
  explicit AnswerReader(Setup setup) : setup_(std::move(setup)) {}

  /// Records an event in the attempt that it answers. True if that is the end of its transaction.
  bool read(const pgproto::Event& event, Flight& oldest, LaneSession& session) const;

 private:
  void on_row(const pgproto::DataRow& row, Flight& flight, LaneSession& session) const;
  static void on_complete(const pgproto::Event& event, std::string_view tag, Attempt& attempt);
  Failure failure_of(const pgproto::Event& event, const pgproto::ErrorResponse& error,
                     const Attempt& attempt, LaneSession& session) const;
  void take_copy_place(Failure& failure) const;
  void count(const pgproto::Event& event, const Flight& flight) const;
  std::string_view statement_of(pgproto::RequestId request, std::string_view tag,
                                const Attempt& attempt) const;

  const Plan& plan() const { return setup_.target->plan; }

  const Setup setup_;
};

}  // namespace pgsink
