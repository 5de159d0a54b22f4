#pragma once
// FlightLog: the pure core of delivery. A flight is one transaction with its rows, numbered from 1.
// The log knows for each whether it must be sent, is on the wire, is committed, rolled back or
// unknown, and says what to do next. It uses no socket, thread, clock or lock, so that every order
// of answers, errors and cuts can be enumerated (tests/delivery/flight_log_test.cc).
//
// The rule of outcomes: a flight is committed if the tag COMMIT and the ReadyForQuery after it
// came. If the connection broke after COMMIT was handed over, the flight is unknown until, on a new
// connection, the old backend is fenced (it may still be executing what its receive buffer holds)
// and then pg_xact_status() is asked. "Committed" counts only if the server incarnation is
// unchanged: after a crash an xid whose WAL was lost is assigned again. "Not committed" always
// counts. What cannot be known is sent again and reported (possible_duplicate).
//
// A flight whose xid never arrived has one above those that the server had assigned before. So the
// transactions that committed between there and the fence, without those that the sink knows to be
// others of its own, are an upper limit for how many of these flights can be committed.
//
// If the target has a better source of the outcome than transaction ids (OutcomeSource), that is
// asked instead, and then no outcome stays unknown. Under two-phase commit "committed" means
// "prepared".

#include <deque>
#include <optional>
#include <string>
#include <variant>

#include "pgsink/client/connection.h"
#include "pgsink/options/retry.h"

namespace pgsink {

/// OutcomeSource is the source of the outcome of a flight whose answer was lost.
enum class OutcomeSource : uint8_t {
  kXid,    ///< pg_xact_status(), after the fence and only in the same incarnation.
  kEpoch,  ///< The epoch row, which itself fences the previous writer: no kFence. Implies an order
           ///< that also holds behind a pooler.
  kGid,    ///< Whether its prepared transaction exists, after the fence. It outlives a crash, so
           ///< the incarnation does not matter.
};

enum class XactStatus : uint8_t {
  kCommitted,
  kAborted,
  kInProgress,
  kTooOld,    ///< NULL: the server no longer remembers, or does not say.
  kInFuture,  ///< The server never handed out that xid, or has forgotten it in a crash.
};

class FlightLog {
 public:
  using Seq = uint64_t;

  struct Config {
    /// Flights on the wire at once; one behind a pooler, where the backend is not known.
    size_t window_max = 16;
    /// A flight must not commit after an earlier one failed: the flights carry a guard that makes
    /// the server roll them back, and the log sends all of them again, in order. Guards do not work
    /// behind a pooler, and are not needed there.
    bool ordered = false;
    OutcomeSource outcome_source = OutcomeSource::kXid;
    /// Repeating it changes nothing (deletes). Flights need no order and, by OutcomeSource::kXid,
    /// no xid: what is unknown is sent again and is not a duplicate. But the old backend must be
    /// gone, or it could undo later changes of others.
    bool idempotent = false;
    RetryPolicy retry{};  ///< Of one flight, and of connecting.
    uint64_t jitter_seed = 1;
  };

  // ---- events -----------------------------------------------------------------------------------
  struct Added {};  ///< A flight with the next number exists. Its rows may still be coming in.
  struct Connected {
    Incarnation incarnation;
    BackendIdentity backend;  ///< pid 0 behind a pooler: each flight has another one.
    /// Transactions of this connection have ids from this one on; 0: unknown.
    uint64_t xid_begin = 0;
  };
  struct ConnectFailed {
    Error error;
  };
  struct SendBegan {  ///< Its BEGIN was appended to the current connection's output.
    Seq seq;
  };
  struct Identified {  ///< The server reported the transaction's id and its backend.
    Seq seq;
    uint64_t xid;
    BackendIdentity backend;
  };
  struct CommitHanded {  ///< The last byte of its COMMIT left this process.
    Seq seq;
    uint64_t rows = 0;  ///< How many it writes.
  };
  struct Answered {  ///< ReadyForQuery after COMMIT; no error: the tag was COMMIT.
    Seq seq;
    std::optional<Error> error;
    bool repeat = false;  ///< The error is worth another attempt whatever its class.
  };
  /// ReadyForQuery after ROLLBACK. The flight is sent again at once, without the rejected row or to
  /// search for it. In ordered modes nothing else is in flight until it is committed.
  struct SetAside {
    Seq seq;
  };
  /// Rows of it were given back to the host: it cannot be sent again, so that only its commit can
  /// keep the log from stopping.
  struct LetGo {
    Seq seq;
  };
  /// A part of its rows is a flight of its own now, with the next number; those that follow it
  /// moved up by one. It must not be known to be committed.
  struct Divided {
    Seq seq;
  };
  struct Lost {  ///< The connection broke. Whatever had arrived was reported before.
    Error error;
    /// The backend itself said why, and that was its last message: all that it had sent before has
    /// arrived. So a flight whose id has not arrived did not begin there.
    bool last_word = false;
  };
  struct Fenced {  ///< The backend that next() named has ended.
    /// It was waiting for its client, and this is the last attempt of which it had done anything;
    /// 0: unknown. Attempts with a higher number cannot be committed.
    uint64_t last_attempt = 0;
    /// Above the ids of all transactions that had ended then; 0: unknown.
    uint64_t xid_end = 0;
  };
  struct FenceFailed {
    Error error;
  };
  struct StatusAnswered {
    Seq seq;
    XactStatus status;
  };
  struct CommitsCounted {  ///< The answer to kCountCommits.
    uint64_t others = 0;   ///< So many that are not known to be of this sink.
    bool is_final = true;  ///< False: more of them will be known soon.
  };
  struct Resolved {  ///< The target's answer about a flight that kResolve asked for.
    Seq seq;
    bool committed;
  };
  struct ResolveFailed {
    Error error;
  };
  struct Stopped {  ///< Nothing more is sent; answers to what is on the wire are still awaited.
    Error error;
  };
  using Event = std::variant<Added, Connected, ConnectFailed, SendBegan, Identified, CommitHanded,
                             Answered, SetAside, LetGo, Divided, Lost, Fenced, FenceFailed,
                             StatusAnswered, CommitsCounted, Resolved, ResolveFailed, Stopped>;

  // ---- actions ----------------------------------------------------------------------------------
  struct Action {
    enum class Kind : uint8_t {
      kWait,  ///< For answers or new flights, at most until `until`.
      kConnect,
      kFence,         ///< Make sure that `backend` has ended.
      kAskStatus,     ///< Ask pg_xact_status(`xid`) for `seq`.
      kCountCommits,  ///< Count the committed transactions from `xid` to before `xid_end`.
      kResolve,       ///< Ask the epoch row or the list of prepared transactions for `seq`.
      kSend,          ///< Send `seq`.
      kFinished,      ///< Stopped, and nothing on the wire: stop_error() is final.
    };
    Kind kind = Kind::kWait;
    Seq seq = 0;
    uint64_t xid = 0, xid_end = 0;
    uint64_t without_xid = 0;  ///< kCountCommits: so many flights are in question.
    BackendIdentity backend;
    Deadline until = kNoDeadline;
    /// kSend: an earlier attempt may have committed, for which this was not said yet.
    bool possible_duplicate = false;
  };

  explicit FlightLog(Config config);

  /// step takes one event and returns the flight that it proved committed, if any. A flight is
  /// returned once. REQUIRES: the event is possible now (a flight answered is on the wire, …).
  std::optional<Seq> step(const Event& event, TimePoint now);
  /// next returns what to do now. Pure: asking twice gives the same answer.
  Action next(TimePoint now) const;

  Seq last_added() const { return last_added_; }
  /// All flights up to this one are committed.
  Seq committed_prefix() const { return first_seq() - 1; }
  bool all_committed() const { return flights_.empty(); }
  size_t on_the_wire() const { return on_the_wire_; }
  /// Set once the log stopped, by Stopped or by a failure that cannot be retried.
  const std::optional<Error>& stop_error() const { return stop_error_; }
  /// The number that the next SendBegan gives to its attempt.
  uint64_t next_attempt() const { return attempts_ + 1; }
  /// Whether the failure of this flight, answered now, is its own: in ordered modes the flights
  /// after the first uncommitted one fail because of it.
  bool fails_by_itself(Seq seq) const { return !config_.ordered || seq == first_seq(); }
  /// Whether this failure is worth another attempt.
  bool retries(const Error& error) const { return config_.retry.rule.allows(error); }
  /// The flight whose failure stopped the log; 0 if none did.
  Seq stop_seq() const { return stop_seq_; }
  /// Flights whose outcome was still unknown when the log finished.
  size_t unknown_count() const;
  uint64_t retry_count() const { return retry_count_; }
  /// Whether something failed, and nothing has succeeded since.
  bool failing() const { return limit_.failing(); }
  /// The whole state as one line of text, for traces and tests: times only as due or not.
  std::string describe(TimePoint now) const;

 private:
  enum class State : uint8_t { kToSend, kOnWire, kUnknown, kCommitted };
  struct Flight {
    State state = State::kToSend;
    bool commit_handed = false;
    bool possible_duplicate = false;  ///< An attempt may have committed …
    bool duplicate_said = false;      ///< … and the one after it was told so.
    bool set_aside = false;
    bool let_go = false;
    uint32_t failures = 0;
    uint32_t status_asked = 0;
    uint64_t xid = 0;        ///< 0: unknown.
    uint64_t xid_begin = 0;  ///< Unknown outcome: it is not lower; 0: unknown.
    uint64_t rows = 0;
    uint64_t attempt = 0;
    BackendIdentity backend;
    Incarnation incarnation;
    TimePoint not_before{};
  };

  std::optional<Seq> on(const Added&, TimePoint);
  std::optional<Seq> on(const Connected&, TimePoint);
  std::optional<Seq> on(const ConnectFailed&, TimePoint);
  std::optional<Seq> on(const SendBegan&, TimePoint);
  std::optional<Seq> on(const Identified&, TimePoint);
  std::optional<Seq> on(const CommitHanded&, TimePoint);
  std::optional<Seq> on(const Answered&, TimePoint);
  std::optional<Seq> on(const SetAside&, TimePoint);
  std::optional<Seq> on(const LetGo&, TimePoint);
  std::optional<Seq> on(const Divided&, TimePoint);
  std::optional<Seq> on(const Lost&, TimePoint);
  std::optional<Seq> on(const Fenced&, TimePoint);
  std::optional<Seq> on(const FenceFailed&, TimePoint);
  std::optional<Seq> on(const StatusAnswered&, TimePoint);
  std::optional<Seq> on(const CommitsCounted&, TimePoint);
  std::optional<Seq> on(const Resolved&, TimePoint);
  std::optional<Seq> on(const ResolveFailed&, TimePoint);
  std::optional<Seq> on(const Stopped&, TimePoint);

  Seq first_seq() const { return last_added_ + 1 - flights_.size(); }
  Flight& flight(Seq seq) { return flights_[static_cast<size_t>(seq - first_seq())]; }
  const Flight& flight(Seq seq) const { return flights_[static_cast<size_t>(seq - first_seq())]; }
  void set_state(Flight& flight, State state);
  std::optional<Seq> commit(Seq seq);
  void fail_flight(Seq seq, const Error& error, bool repeat, TimePoint now);
  void send_again(Flight& flight, const Error& why);
  void send_again_as_unknown(Flight& flight);
  /// Whether it is unknown, ran on the backend that is fenced, and its xid never arrived.
  bool lacks_xid(const Flight& flight) const;
  Seq seq_of(const Flight& flight) const;
  /// Whether continuing next to a backend that may still work would break a guarantee: an older
  /// value over a newer, or a prepared transaction that is not recorded.
  bool must_fence() const {
    return config_.ordered || config_.idempotent || config_.outcome_source == OutcomeSource::kGid;
  }
  void stop(const Error& error, Seq seq);
  std::optional<Seq> first_unknown() const;
  std::optional<Seq> sendable(TimePoint now, Deadline& wake_at) const;

  Config config_;
  Backoff backoff_;
  RetryLimit limit_;
  std::deque<Flight> flights_;  ///< From the first that is not committed to the last added.
  Seq last_added_ = 0;
  size_t on_the_wire_ = 0;
  size_t unknown_ = 0;  ///< Those in state kUnknown.
  bool connected_ = false;
  Incarnation incarnation_;
  BackendIdentity backend_;
  uint64_t xid_begin_ = 0;  ///< Transactions to come on this connection have no lower id.
  std::optional<BackendIdentity> fenced_;
  uint64_t fenced_xid_end_ = 0;
  uint32_t connect_failures_ = 0;
  TimePoint connect_not_before_{};
  bool gave_up_connecting_ = false;
  std::optional<Error> stop_error_;
  Seq stop_seq_ = 0;
  uint64_t retry_count_ = 0;
  uint64_t attempts_ = 0;
};

}  // namespace pgsink
