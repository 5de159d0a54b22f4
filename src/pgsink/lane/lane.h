#pragma once
// Lane: one task with one connection, which turns rows into transactions. A loop of four steps
// around FlightLog, which decides what comes next:
//   take      rows from the inbox, cut into flights            (Intake)
//   answers   of the server, as events of the log              (AnswerReader, FlightSettler)
//   next      what the log wants
//   perform   it: connect, ask what became of a flight, send   (LaneLink, outcome.h, FlightSender)
// A LaneDelivery has everything that depends on the delivery guarantee of the sink.

#include <memory>
#include <optional>
#include <string>

#include "pgsink/client/pool.h"
#include "pgsink/lane/answer_reader.h"
#include "pgsink/lane/flight_sender.h"
#include "pgsink/lane/flight_settler.h"
#include "pgsink/lane/flight_sizes.h"
#include "pgsink/lane/flight_trace.h"
#include "pgsink/lane/intake.h"
#include "pgsink/lane/lane_link.h"
#include "pgsink/lane/lane_log.h"
#include "pgsink/lane/outcome.h"
#include "pgsink/lane/own_transactions.h"
#include "pgsink/lane/target_plan.h"

namespace pgsink {

class Lane {
 public:
  struct Setup {
    Env& env;
    Inbox& inbox;
    size_t number = 0;  ///< Of the lane, in the inbox.
    TargetPlans& plans;
    OwnTransactions& transactions;  ///< Of all lanes.
    FlightLog::Config flights;
    size_t flight_bytes_max = 0;  ///< A transaction ends when its rows hold that much memory.
    const SinkOptions& options;   ///< Its name for messages, and the host's callbacks.
    std::string origin;           ///< The replication origin of its transactions; "": none.
    size_t statements_max = 0;    ///< Prepared statements kept; 0: none is named.
    /// Receives the lane's reports of durable batches.
    DurableReports& reports;
    /// Where rejected rows go; null: one stops the sink.
    DeadLetters* dead_letters = nullptr;
    /// Creates missing partitions; null: they are not created.
    Partitioner* partitioner = nullptr;
  };
  /// A lane that goes by the first plan.
  static Result<std::unique_ptr<Lane>> create(Setup setup, std::unique_ptr<LaneDelivery> delivery);
  /// Waits for the task. REQUIRES: the inbox was closed, stopped or aborted.
  ~Lane();

  /// Starts the task on a connection that is open already. Its place in the pool is the lane's
  /// until the task ends.
  Status start(PoolLease connection);
  void read_metrics(SinkMetrics& metrics) const { metrics_.read(metrics); }

 private:
  /// What a lane needs for itself of a plan.
  struct PlanTools {
    FlightEncoder::Codecs codecs;
    RepeatedKeys repeated_keys;
    std::optional<LeafFinder> finder;  ///< If the plan has a catalog of partitions.
  };
  static Result<PlanTools> make_tools(const TargetPlan& target);

  Lane(Setup setup, std::unique_ptr<LaneDelivery> delivery, PlanTools tools);
  void run();
  /// One round. False when all is done.
  bool turn();
  bool nothing_to_send();
  bool done(const FlightLog::Action& action) const;
  void perform(const FlightLog::Action& action);
  void wait(Deadline deadline);

  void connect();
  void begin_session();
  void lost(Error error);
  void ask_outcome(const FlightLog::Action& action);
  void send(const FlightLog::Action& action);
  void drop_gone(Flight& flight) const;
  bool any_in_doubt() const;
  bool resolve_doubt(Flight& flight);
  Status look_at_table(Flight& flight);
  Status adopt(TargetPlanPointer target);
  void fail_unsent(const Flight& flight, Error error);
  void continue_rows(Deadline until);
  Status handle_answers();
  void count_in_flight();
  void tell_progress();

  void end();
  Error stop_cause();
  std::optional<FlightLog::Seq> step(const FlightLog::Event& event);

  Setup setup_;
  Env& env_;
  FlightLog log_;
  FlightQueue flights_;
  LaneMetrics metrics_;
  FlightTrace trace_;
  LaneLog lines_;
  const std::unique_ptr<LaneDelivery> delivery_;
  TargetPlanPointer target_;  ///< The plan in use.
  LaneLink link_;
  Intake intake_;
  FlightSizes sizes_;
  RejectedRows rejects_;
  LeafCopier leaves_;
  FlightSender sender_;
  AnswerReader answers_;
  FlightSettler settler_;
  OwnAtFence own_;
  OwnTransactions::Progress told_;
  std::unique_ptr<Task> task_;
};

}  // namespace pgsink
