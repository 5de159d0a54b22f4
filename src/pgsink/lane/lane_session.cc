#include "pgsink/lane/lane_session.h"

#include <cstring>
#include <utility>

#include "pgsink/sql/sql.h"

namespace pgsink {

LaneSession::LaneSession(Connection& connection, const Plan& plan, Random& random,
                         size_t statements_max)
    : connection_(connection),
      sql_(&plan.transactions(connection.is_direct())),
      // Behind a pooler another client's statements may have the same names: unnamed ones are safe.
      statements_(connection, random, connection.is_direct() ? statements_max : 0),
      number_unsaid_(sql_->guarded),
      planner_(sql_->planner),
      defaults_(sql_->defaults),
      stage_(sql_->stage) {}

void LaneSession::adopt(const Plan& plan) {
  sql_ = &plan.transactions(connection_.is_direct());
  planner_ = sql_->planner;
  defaults_ = sql_->defaults;
  stage_anew();
}

void LaneSession::stage_anew() {
  stage_ = sql_->stage;
  stage_request_ = 0;
  stage_error_.reset();
}

/// 0 if it was sent before, or there is nothing to send.
Result<pgproto::RequestId> LaneSession::say_once(std::string_view& sql) {
  if (sql.empty()) return 0;
  return protocol().query(std::exchange(sql, {}));
}

void LaneSession::prepare_for(Path path, FlightLog::Seq next) {
  if (std::exchange(number_unsaid_, false)) {
    std::ignore = protocol().query(sql_text(Sql::kSetFlight, {std::to_string(next - 1)}));
  }
  // Four settings in each transaction would cost as much as a dozen rows.
  std::ignore = say_once(planner_);
  // Whatever the role's defaults are: the staging table cannot be made by a read-only transaction.
  if (path != Path::kCopy) std::ignore = say_once(defaults_);
  if (stage_error_ && wire_.empty()) stage_anew();
  if (path == Path::kStaged && stage_request_ == 0) stage_request_ = say_once(stage_).value_or(0);
}

Result<LaneSession::Executed> LaneSession::execute(
    std::string_view sql, std::span<const pgproto::Oid> types,
    std::span<const pgproto::Session::Parameter> parameters) {
  const uint64_t prepared_before = statements_.prepared();
  const auto name = statements_.prepare(sql, types);
  if (!name) return fail(name.error());
  const bool parsed = statements_.prepared() != prepared_before;
  executed_ = *name;
  auto executed = execute_again(parameters);
  if (executed && parsed) --executed->first;
  return executed;
}

Result<LaneSession::Executed> LaneSession::execute_again(
    std::span<const pgproto::Session::Parameter> parameters) {
  const auto bound = protocol().bind("", executed_, parameters);
  if (!bound) return fail(bound.error());
  const auto executed = protocol().execute("");
  if (!executed) return fail(executed.error());
  return Executed{.first = *bound, .execute = *executed};
}

void LaneSession::append_copy(Bytes bytes) {
  std::memcpy(protocol().copy_space(bytes.size()).data(), bytes.data(), bytes.size());
  protocol().copy_commit(bytes.size());
}

Status LaneSession::drain() {
  const auto drained = connection_.drain_output(0, kNoDeadline);
  if (!drained) return fail(drained.error());
  return {};
}

void LaneSession::flight_inserted_after(FlightLog::Seq seq) {
  for (FlightLog::Seq& later : wire_) {
    if (later > seq) ++later;
  }
  if (sending_ > seq) ++sending_;
}

bool LaneSession::observe(const pgproto::Event& event) {
  const auto* error = std::get_if<pgproto::ErrorResponse>(&event.message);
  if (error != nullptr && (error->severity_plain == "FATAL" || error->severity_plain == "PANIC")) {
    fatal_ = error->to_error();
    return false;
  }
  statements_.observe(event);
  if (error != nullptr && stage_request_ != 0 && event.request == stage_request_) {
    stage_error_ = error->to_error();
  }
  return true;
}

bool LaneSession::is_stale(const pgproto::ErrorResponse& error, std::string_view sql) {
  return statements_.stale(error.sqlstate, error.routine, sql);
}

}  // namespace pgsink
