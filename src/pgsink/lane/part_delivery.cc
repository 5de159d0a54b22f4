#include <utility>

#include "pgsink/lane/lane_delivery.h"
#include "pgsink/sql/control.h"

namespace pgsink {
namespace {

class PartDelivery final : public LaneDelivery {
 public:
  PartDelivery(Env& env, std::shared_ptr<PartEnding> ending)
      : clock_(env.clock), ending_(std::move(ending)) {}

  Status attach(Connection&) override { return {}; }
  Result<std::string> begin_sql(const Flight&, const TransactionSql& sql) const override {
    return sql.identify + ending_->parts().begin_sql();
  }
  Result<std::string> end_sql(Flight& flight) const override {
    if (ending_->outcome()) return fail(Errc::kInternal, "a part of a job is one transaction");
    flight.attempt.ending = EndingKind::kPrepare;
    flight.attempt.gid = counted(flight).gid;
    return PreparedParts::prepare_sql(flight.attempt.gid);
  }
  /// Several attempts of a flight share a gid: the backend of the one before was ended meanwhile.
  Result<bool> is_done(Connection& connection, const Flight& flight, FlightLog::Seq) override {
    return PreparedParts::is_prepared(connection, flight.attempt.gid, clock_.now() + kAskTimeout);
  }
  void committed(const Flight& flight) override { ending_->prepared(counted(flight)); }
  bool is_fenced(const Error& error) const override {
    return PreparedParts::is_guard_failure(error);
  }
  void name_new_writer(Error& error, Connection&, FlightLog::Seq) override {
    error.message =
        "the job of this part was committed or aborted, or another driver has opened it: nothing "
        "of this part is written";
  }
  std::string hint(const Error& error) const override {
    if (error.sqlstate == "53200") {
      return "each partition of the job takes a prepared transaction: raise "
             "max_prepared_transactions on the server, use fewer partitions, or atomic = "
             "'staging'";
    }
    if (error.sqlstate == "55P03") {
      return "what holds the lock may be another attempt of this partition, with the same unique "
             "keys, or a prepared part of another job: pg_prepared_xacts lists them";
    }
    return {};
  }

 private:
  PreparedPart counted(const Flight& flight) const {
    return ending_->counted(flight.rows_kept(), flight.rows - flight.rows_kept());
  }

  Clock& clock_;
  const std::shared_ptr<PartEnding> ending_;
};

}  // namespace

std::unique_ptr<LaneDelivery> deliver_part(Env& env, std::shared_ptr<PartEnding> ending) {
  return std::make_unique<PartDelivery>(env, std::move(ending));
}

}  // namespace pgsink
