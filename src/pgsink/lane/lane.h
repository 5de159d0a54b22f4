#pragma once
// Lane: one task = one connection + one encoder. Readable blocking code around FlightLog: it takes
// rows from the inbox, cuts them into flights, encodes each straight into the session's output, and
// turns the server's answers into events of the log.
//
// A flight is sent without waiting for any answer, and the next flights follow:
//   Query "BEGIN …; SELECT xid, pid; settings; COPY … FROM STDIN"   CopyData…  CopyDone   Query
//   "COMMIT"
// Through a staging table another Query with the statement that applies it stands before COMMIT.
// With arrays, Bind/Execute/Sync stand in the place of COPY; where nothing else is in the way the
// whole flight is one such series, which Sync commits (flight_sender.cc). Under two-phase commit
// PREPARE TRANSACTION stands in the place of COMMIT, and then "committed" reads as "prepared" here:
// how a flight ends is an Ending, all else is the same (lane_delivery.cc). A COPY that fails to start
// or in the middle is safe: the server drops CopyData and CopyDone until the next Query, and the
// COMMIT of a failed transaction answers ROLLBACK.

#include <deque>
#include <memory>
#include <optional>

#include <pgsink/metrics.h>

#include "pgsink/client/pool.h"
#include "pgsink/client/statement_cache.h"
#include "pgsink/delivery/epoch_rows.h"
#include "pgsink/delivery/flight_log.h"
#include "pgsink/delivery/salvage.h"
#include "pgsink/delivery/writer_sessions.h"
#include "pgsink/encode/rows/column_arrays.h"
#include "pgsink/encode/rows/row_encoder.h"
#include "pgsink/lane/dead_letters.h"
#include "pgsink/lane/epoch_committer.h"
#include "pgsink/lane/inbox.h"
#include "pgsink/lane/slot_confirmer.h"
#include "pgsink/partition/leaves.h"
#include "pgsink/partition/partitioner.h"
#include "pgsink/plan/plan.h"

namespace pgsink {

class Lane {
 public:
  struct Setup {
    Env& env;
    Inbox& inbox;
    size_t number = 0;  ///< Of the lane, in the inbox.
    const Plan& plan;
    FlightLog::Config flights;
    size_t flight_bytes_max = 0;  ///< A transaction ends when its rows hold that much memory.
    std::string name;             ///< The connection's, for messages.
    /// Exactly-once: the row of this lane as claim() left it.
    const Epochs* epochs = nullptr;
    LaneEpoch epoch{};
    /// At least once under a sink_id: whose sessions these are.
    const WriterSessions* sessions = nullptr;
    /// Two-phase commit: who commits what this lane prepares.
    EpochCommitter* committer = nullptr;
    /// Who reports what is durable; null: the lane itself.
    SlotConfirmer* confirmer = nullptr;
    /// Where rejected rows go; null: one stops the sink.
    DeadLetters* dead_letters = nullptr;
    /// Who creates missing partitions; null: nobody.
    Partitioner* partitioner = nullptr;
    /// Partitions that rows may be copied into directly, and what finds them; null: none.
    LeafCatalog* leaves = nullptr;
    std::optional<LeafFinder> leaf_finder{};
    std::string origin;         ///< That marks its transactions; "": none.
    size_t statements_max = 0;  ///< Prepared statements kept; 0: none is named.
  };
  /// `arrays` if the plan has a path that needs them.
  Lane(Setup setup, RowEncoder encoder, std::optional<ColumnArrays> arrays);
  /// Waits for the task. REQUIRES: the inbox was closed, stopped or aborted.
  ~Lane();

  /// Starts the task on a connection that is open already. Its place in the pool is the lane's
  /// until the task ends.
  Status start(PoolLease connection);
  void read_metrics(SinkMetrics& metrics) const;

 private:
  struct Flight {
    FlightLog::Seq seq = 0;
    std::vector<Piece> pieces;
    size_t rows = 0, memory_bytes = 0;
    bool closed = false;                         ///< No more rows will join it.
    BatchTrigger trigger = BatchTrigger::kRows;  ///< What closed it.
    TimePoint opened_at{};
    uint64_t last_batch = 0;                           ///< That it has rows of.
    uint64_t through_batch = 0, through_position = 0;  ///< Of the last batch that ends in it.

    // Of rejected rows: see rejected_rows.cc.
    Salvage salvage;
    std::optional<Error> suspicion;   ///< Of the last attempt that failed while searching.
    std::vector<DeadLetter> letters;  ///< Of the rows left out.
    size_t letters_told = 0;          ///< So many of them went to file and callback.
    uint32_t attempts = 0;
    // Which partitions its rows belong to: see leaf_copier.cc.
    std::shared_ptr<const Leaves> leaves;  ///< Among which they were sought.
    std::vector<uint32_t> leaf_of_row;     ///< As far as found.
    size_t pieces_found = 0;
    std::vector<uint32_t> row_order;  ///< What its pieces refer to, if they were cut.

    /// The number in the sink's input, from 1, of its n-th row (from 0).
    uint64_t input_row(uint64_t n) const;
    /// The first and the last number of its rows in the sink's input.
    std::pair<uint64_t, uint64_t> input_rows() const;
    /// The piece that holds a row of the flight, and which of its rows that is.
    std::pair<const Piece*, size_t> locate(size_t row) const;
    bool is_salvaged() const { return salvage.searching() || !salvage.left_out().empty(); }

    struct Attempt {
      Path path = Path::kCopy;
      size_t piece = 0, row = 0;  ///< What is encoded next …
      size_t flight_row = 0;      ///< … as a row of the flight.
      pgproto::RequestId first_request = 0, identify_request = 0, commit_request = 0;
      bool series = false;                   ///< Without BEGIN and COMMIT: see flight_sender.cc.
      pgproto::RequestId apply_request = 0;  ///< Of a series …
      bool applied = false;                  ///< … and whether it was done.
      uint64_t commit_end = 0;  ///< appended_position() behind COMMIT; 0 while it is not appended.
      std::string_view done_tag;  ///< The tag that proves it done; "" if it is to be undone.
      std::string gid;            ///< Two-phase commit.
      bool identified = false, commit_tag = false;
      bool stale_statement = false;
      bool no_partition = false;      ///< `error` says that a row has none.
      uint64_t partitions_known = 0;  ///< Partitioner::generation() when it was sent.
      bool started = false;  ///< The server waits for the rows: it is about them that it complains.
      bool row_fault = false;                                  ///< `error` speaks of a row.
      pgproto::RequestId letters_first = 0, letters_last = 0;  ///< Requests of the dead letters.
      uint64_t copied_rows = 0, encoded_bytes = 0;
      // Of rows that go straight into their partitions: see leaf_copier.cc.
      std::shared_ptr<const Leaves> leaves;   ///< Null if all go through the parent.
      std::vector<const Leaf*> piece_leaves;  ///< Where each piece goes; null: through the parent.
      const Leaf* leaf = nullptr;             ///< Of the COPY under way; null: of the parent.
      pgproto::RequestId leaf_check = 0;
      bool leaves_changed = false;  ///< `error` says that they are others than we know.
      TimePoint began{};
      std::optional<Error> error;
    } attempt;
    bool committed = false;
  };

  void run();
  /// One round: news from the inbox, answers, something to send, or a wait. False when all is done.
  bool turn();
  void show_failing();
  void take_rows();
  Flight* open_flight();
  std::optional<BatchTrigger> trigger_of(const Flight& open) const;
  void add_pieces(std::vector<Piece> pieces);
  bool done(const FlightLog::Action& action) const;

  // sending
  void send(const FlightLog::Action& action);
  void prepare_connection(FlightLog::Seq seq, Path path);
  Result<pgproto::RequestId> begin_transaction(FlightLog::Seq seq, Path path);
  Status encode_arrays(Flight& flight);
  bool makes_series(const Flight& flight) const;
  Result<pgproto::RequestId> open_series(FlightLog::Seq seq);
  void send_arrays(Flight& flight);
  Result<pgproto::RequestId> execute_arrays();
  /// Encodes and sends up to one chunk. False if there is nothing left to encode or end at present.
  Result<bool> send_some();
  Result<bool> encode_some(Flight& flight);
  std::optional<RowRange> next_rows(Flight& flight) const;
  void append_copy(Bytes bytes);
  void end_copy(Flight& flight);
  void abandon_copy(Flight& flight, Error error);
  /// Ending is the statement that ends a flight's transaction, and its tag if that worked.
  struct Ending {
    std::string sql;
    std::string_view tag;
  };
  Result<Ending> ending(Flight& flight);
  static Ending undoing();
  void end_transaction(Flight& flight, Result<Ending> ending);

  // straight into partitions
  bool routes(Path path) const { return setup_.leaves != nullptr && path == Path::kCopy; }
  void route_to_leaves(Flight& flight);
  void find_some_leaves();
  void find_leaves(Flight& flight);
  bool wants_leaves(const Flight& flight, Path path) const;
  void look_at_leaves();
  void cut_by_partitions(Flight& flight, std::span<const uint32_t> numbers);
  Status turn_to_next_leaf(Flight& flight);
  Status check_leaves(Flight& flight);
  bool go_through_parent(const Flight& flight);

  // rejected rows
  Status leave_out_rejected(Flight& flight, RowRange rows);
  Status leave_out(Flight& flight, size_t row, const Error& error);
  Status send_letters(Flight& flight);
  bool salvage(Flight& flight, std::optional<Error>& error);
  void restore_partitions(Flight& flight, FlightLog::Answered& answered);

  // receiving
  Status handle_answers();
  void on_answer(const pgproto::Event& event);
  void on_row(Flight& flight, const pgproto::DataRow& row);
  void on_error(Flight& flight, const pgproto::Event& event, const pgproto::ErrorResponse& error);
  void on_ready(Flight& flight);
  void on_committed(FlightLog::Seq seq);
  void report_durable(uint64_t through_batch);

  // connection
  void perform(const FlightLog::Action& action);
  void connect();
  void adopt();
  void drop_connection();
  void leave_connection();
  void lost(Error error);
  void fence_backend(const BackendIdentity& backend);
  bool meets_one_server();
  void ask_status(FlightLog::Seq seq, uint64_t xid);
  Status attach(Connection& connection);
  void resolve(FlightLog::Seq seq);
  Result<bool> is_done(FlightLog::Seq seq);
  Status renew_epoch();
  void explain_prepared(Error& error) const;
  /// Says who took over, if the log stopped because of that.
  void name_new_writer(Error& error);
  void wait(Deadline deadline);

  Flight& flight(FlightLog::Seq seq);
  /// Says which row of the sink's input, counted from 1, an error is about.
  static void name_row(Error& error, uint64_t row);
  Error explain(Error cause) const;
  std::string what_else_is_there(FlightLog::Seq failed) const;
  void note_error(const Error& error);
  /// Counts the statement that an event of a flight's attempt ends.
  void count_statement(const Flight& flight, const pgproto::Event& event);
  void count_call(std::string_view text, const Flight& flight, uint64_t rows, bool failed);
  void count_in_flight();

  Setup setup_;
  Env& env_;
  Inbox& inbox_;
  const Plan& plan_;
  RowEncoder encoder_;
  std::optional<ColumnArrays> arrays_;
  FlightLog log_;
  std::deque<Flight> flights_;       ///< From the first not committed to the open one.
  std::deque<FlightLog::Seq> wire_;  ///< Sent, in the order of sending.
  FlightLog::Seq sending_ = 0;       ///< The flight whose COPY is open for sending; 0: none.
  std::vector<Rejection> rejected_;
  Inbox::Taken news_;

  EpochCommitter* const committer_;
  const Epochs* epochs_;
  LaneEpoch epoch_;             ///< Its row as read last, with the token of this lane.
  const uint64_t epoch_base_;   ///< Flight 1 moves the row from this epoch to the next.
  bool epoch_renewed_ = false;  ///< On this connection: the row is the truth.

  PoolLease connection_;
  BackendIdentity backend_;  ///< Of the connection, or of the one before it.
  bool pooled_ = false;
  const TransactionSql* sql_ = nullptr;  ///< For that kind of connection.
  std::optional<StatementCache> statements_;
  std::shared_ptr<const Leaves> leaves_given_up_;  ///< They were others, the server said.
  bool leaves_stale_ = false;                      ///< There may be more than we know.
  TimePoint leaves_seen_;                          ///< When that was last looked at.
  bool failing_shown_ = false;                     ///< As the metrics have it.
  bool guard_set_ = false;                ///< The session knows the flight before the next.
  bool defaults_set_ = false;             ///< The session is as the plan wants it.
  bool planner_set_ = false;              ///< The session has the planner settings of the mode.
  pgproto::RequestId stage_request_ = 0;  ///< That made the staging table; 0: it is not there.
  std::optional<Error> stage_error_;
  bool demoted_ = false;        ///< The server takes no writes any more.
  std::optional<Error> fatal_;  ///< The server's last word on this connection.

  TimePoint answered_at_{};  ///< When the last statement was.
  std::unique_ptr<Monitor> metrics_monitor_;
  SinkMetrics metrics_;  ///< Guarded by metrics_monitor_.
  std::unique_ptr<Task> task_;
};

}  // namespace pgsink
