#include "pgsink/lane/lane_delivery.h"

#include <utility>

#include "pgsink/sql/control.h"
#include "pgsink/sql/sql.h"

namespace pgsink {
namespace {

constexpr Duration kRenewTimeout = std::chrono::seconds(30);

class AtLeastOnce final : public LaneDelivery {
 public:
  AtLeastOnce(Env& env, std::string commit, const WriterSessions* sessions)
      : clock_(env.clock), commit_(std::move(commit)), sessions_(sessions) {}

  Status attach(Connection& connection) override {
    if (sessions_ == nullptr) return {};
    return sessions_->join(connection, clock_.now() + kAskTimeout);
  }
  Result<std::string> begin_sql(const Flight&, const TransactionSql& sql) const override {
    if (sessions_ == nullptr || !sql.pooled) return sql.identify;
    return sql.identify + sessions_->transaction_sql(sql.one_snapshot);
  }
  Result<std::string> end_sql(Flight& flight) const override {
    flight.attempt.ending = EndingKind::kCommit;
    return commit_;
  }
  Result<bool> is_done(Connection&, const Flight&, FlightLog::Seq) override {
    return fail(Errc::kInternal,
                "with at-least-once delivery only the transaction id tells the outcome");
  }
  bool is_fenced(const Error& error) const override {
    return sessions_ != nullptr && WriterGeneration::is_guard_failure(error);
  }
  void name_new_writer(Error& error, Connection& connection, FlightLog::Seq) override {
    if (sessions_ == nullptr) return;
    const Status newest = sessions_->check_newest(connection, clock_.now() + kAskTimeout);
    if (!newest) error = newest.error();
  }

 private:
  Clock& clock_;
  const std::string commit_;
  const WriterSessions* const sessions_;
};

class ExactlyOnce final : public LaneDelivery {
 public:
  ExactlyOnce(Env& env, std::string commit, const Epochs& epochs, LaneEpoch row)
      : env_(env),
        commit_(std::move(commit)),
        epochs_(epochs),
        base_(row.epoch),
        row_(std::move(row)) {}

  Status attach(Connection&) override {
    row_is_final_ = false;
    return {};
  }
  Result<std::string> begin_sql(const Flight& flight, const TransactionSql&) const override {
    LaneEpoch before = row_;
    before.epoch = base_ + flight.seq - 1;
    auto guard = epochs_.guard_sql(before, flight.through_position);
    if (guard) *guard += "; ";
    return guard;
  }
  Result<std::string> end_sql(Flight& flight) const override {
    flight.attempt.ending = EndingKind::kCommit;
    return commit_;
  }
  Result<bool> is_done(Connection& connection, const Flight& flight,
                       FlightLog::Seq committed_prefix) override {
    if (!row_is_final_) {
      if (auto renewed = renew(connection, committed_prefix); !renewed) {
        return fail(renewed.error());
      }
    }
    return base_ + flight.seq <= row_.epoch;
  }
  bool is_fenced(const Error& error) const override { return Epochs::is_guard_failure(error); }
  void name_new_writer(Error& error, Connection& connection,
                       FlightLog::Seq committed_prefix) override {
    const auto why = epochs_.explain(connection, row_, env_.clock.now() + kAskTimeout);
    if (why && *why) {
      error = **why;
    } else if (const Status renewed = renew(connection, committed_prefix); why && !renewed) {
      error = renewed.error();  // It is still our row, but an older version: a standby took over.
    }
  }

 private:
  Status renew(Connection& connection, FlightLog::Seq committed_prefix) {
    auto row = epochs_.renew(env_, connection, row_, env_.clock.now() + kRenewTimeout);
    if (!row) return fail(row.error());
    const uint64_t acknowledged = base_ + committed_prefix;
    if (row->epoch < acknowledged) {
      return fail(Errc::kOutcomeUnknown,
                  "the server has lost transactions that were committed (a failover or a "
                  "restore): the commit counter of lane " +
                      std::to_string(row->lane) + " is " + std::to_string(row->epoch) + ", and " +
                      std::to_string(acknowledged) +
                      " was acknowledged. Open the sink again, and send the input again from after "
                      "position " +
                      std::to_string(row->position.position));
    }
    row_ = std::move(*row);
    row_is_final_ = true;
    return {};
  }

  Env& env_;
  const std::string commit_;
  const Epochs& epochs_;
  const uint64_t base_;        ///< Flight 1 moves the row from this epoch to the next.
  LaneEpoch row_;              ///< As read last, with the token of this lane.
  bool row_is_final_ = false;  ///< It was renewed on this connection, which fences all before.
};

class TwoPhaseDelivery final : public LaneDelivery {
 public:
  TwoPhaseDelivery(Env& env, EpochCommitter& committer) : env_(env), committer_(committer) {}

  Status attach(Connection& connection) override {
    return committer_.two_phase().attach(connection, env_.clock.now() + kAskTimeout);
  }
  Result<std::string> begin_sql(const Flight&, const TransactionSql& sql) const override {
    return sql.identify;
  }
  /// A gid is never used twice.
  Result<std::string> end_sql(Flight& flight) const override {
    flight.attempt.ending = EndingKind::kPrepare;
    flight.attempt.gid = committer_.two_phase().make_gid(env_.random);
    return committer_.two_phase().prepare_sql(flight.attempt.gid);
  }
  Result<bool> is_done(Connection& connection, const Flight& flight, FlightLog::Seq) override {
    return committer_.two_phase().is_prepared(connection, flight.attempt.gid,
                                              env_.clock.now() + kAskTimeout);
  }
  void committed(const Flight& flight) override { committer_.prepared(flight); }
  std::optional<uint64_t> rows_of_epochs() const override { return committer_.rows_committed(); }
  std::string hint(const Error& error) const override {
    if (error.sqlstate == "53200") {
      return "raise max_prepared_transactions on the server, or use a larger transaction_size or "
             "fewer lanes";
    }
    if (error.sqlstate == "55P03") {
      return "what holds the lock may be a prepared transaction, for example one of this epoch "
             "with the same unique key, which is not committed before the epoch ends; "
             "pg_prepared_xacts lists them";
    }
    return {};
  }

 private:
  Env& env_;
  EpochCommitter& committer_;
};

}  // namespace

std::unique_ptr<LaneDelivery> deliver_at_least_once(Env& env, std::string commit,
                                                    const WriterSessions* sessions) {
  return std::make_unique<AtLeastOnce>(env, std::move(commit), sessions);
}

std::unique_ptr<LaneDelivery> deliver_exactly_once(Env& env, std::string commit,
                                                   const Epochs& epochs, LaneEpoch row) {
  return std::make_unique<ExactlyOnce>(env, std::move(commit), epochs, std::move(row));
}

std::unique_ptr<LaneDelivery> deliver_two_phase(Env& env, EpochCommitter& committer) {
  return std::make_unique<TwoPhaseDelivery>(env, committer);
}

}  // namespace pgsink
