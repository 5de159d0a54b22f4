#include "pgsink/options/retry.h"

#include <algorithm>
#include <array>

#include "pgsink/options/names.h"

namespace pgsink {
namespace {

// Prefixes of SQLSTATEs. Source: PostgreSQL documentation, "PostgreSQL Error Codes".
constexpr std::array<std::string_view, 15> kTransientSqlstates{
    "08",     // connection exceptions
    "25006",  // read only: this server was demoted, another may be the primary
    "40001",  // serialization failure
    "40P01",  // deadlock detected
    // Resources; not 53200: slots of max_prepared_transactions do not become free by themselves.
    "53000", "53100", "53300", "53400",
    "55006",                    // object in use
    "55P03",                    // lock not available
    "57P01", "57P02", "57P03",  // shutdown, crash, starting up
    "57P05",                    // idle session timeout
    "25P03",                    // idle in transaction timeout
};

struct Condition {
  std::string_view name;
  std::string_view sqlstate;  ///< Or its prefix.
};

// Failures that can pass without a change. Source: PostgreSQL documentation, "PostgreSQL Error
// Codes".
constexpr Condition kConditions[] = {
    {"connection_exception", "08"},
    {"connection_does_not_exist", "08003"},
    {"connection_failure", "08006"},
    {"sqlclient_unable_to_establish_sqlconnection", "08001"},
    {"sqlserver_rejected_establishment_of_sqlconnection", "08004"},
    {"transaction_resolution_unknown", "08007"},
    {"protocol_violation", "08P01"},
    {"invalid_transaction_state", "25"},
    {"read_only_sql_transaction", "25006"},
    {"idle_in_transaction_session_timeout", "25P03"},
    {"transaction_timeout", "25P04"},
    {"transaction_rollback", "40"},
    {"serialization_failure", "40001"},
    {"transaction_integrity_constraint_violation", "40002"},
    {"statement_completion_unknown", "40003"},
    {"deadlock_detected", "40P01"},
    {"insufficient_resources", "53"},
    {"disk_full", "53100"},
    {"out_of_memory", "53200"},
    {"too_many_connections", "53300"},
    {"configuration_limit_exceeded", "53400"},
    {"object_not_in_prerequisite_state", "55"},
    {"object_in_use", "55006"},
    {"cant_change_runtime_param", "55P02"},
    {"lock_not_available", "55P03"},
    {"operator_intervention", "57"},
    {"query_canceled", "57014"},
    {"admin_shutdown", "57P01"},
    {"crash_shutdown", "57P02"},
    {"cannot_connect_now", "57P03"},
    {"database_dropped", "57P04"},
    {"idle_session_timeout", "57P05"},
    {"system_error", "58"},
    {"io_error", "58030"},
    {"undefined_file", "58P01"},
    {"duplicate_file", "58P02"},
    {"internal_error", "XX"},
    {"data_corrupted", "XX001"},
    {"index_corrupted", "XX002"},
    // short words
    {"deadlock", "40P01"},
    {"serialization", "40001"},
    {"connection", "08"},
    {"connection", "57P01"},
    {"connection", "57P02"},
    {"connection", "57P03"},
    {"timeout", "57014"},
    {"timeout", "55P03"},
    {"timeout", "25P03"},
    {"timeout", "25P04"},
    {"timeout", "57P05"},
};

// Known names, and permanent.
constexpr std::string_view kPermanentNames[] = {
    "integrity_constraint_violation",
    "restrict_violation",
    "not_null_violation",
    "foreign_key_violation",
    "unique_violation",
    "check_violation",
    "exclusion_violation",
    "data_exception",
    "numeric_value_out_of_range",
    "invalid_text_representation",
    "string_data_right_truncation",
    "syntax_error",
    "insufficient_privilege",
    "undefined_table",
    "undefined_column",
};
constexpr std::string_view kPermanentClasses[] = {"22", "23", "42"};

/// The failure of a lost connection, whatever message came last.
constexpr std::string_view kConnectionFailure = "08006";
constexpr std::string_view kNoConnection = "08001";
constexpr std::string_view kQueryCanceled = "57014";

std::unexpected<Error> refuse_permanent(const std::string& condition) {
  return fail(
      Errc::kOptionValue,
      "retry_on_errors: " + condition +
          " would fail the same way each time, and is never retried (nor is anything of the "
          "classes 22, 23 and 42)");
}

std::unexpected<Error> refuse_unknown(const std::string& condition) {
  std::vector<std::string_view> names;
  names.reserve(std::size(kConditions));
  for (const Condition& known : kConditions) names.push_back(known.name);
  std::string message = "retry_on_errors: there is no condition \"" + condition + "\"";
  const std::string_view nearest = nearest_name(condition, names);
  if (!nearest.empty()) message.append(" (did you mean \"").append(nearest).append("\"?)");
  return fail(Errc::kOptionValue, message);
}

}  // namespace

Result<RetryRule> RetryRule::from(const std::vector<std::string>& conditions) {
  RetryRule rule;
  for (const std::string& condition : conditions) {
    const bool code = !condition.empty() && condition.front() < 'a';
    const size_t before = rule.listed_.size();
    if (code) {
      rule.listed_.push_back(condition);
    } else {
      for (const Condition& known : kConditions) {
        if (known.name == condition) rule.listed_.emplace_back(known.sqlstate);
      }
    }
    const bool permanent =
        code ? std::ranges::any_of(
                   kPermanentClasses,
                   [&](std::string_view known) { return condition.starts_with(known); })
             : std::ranges::find(kPermanentNames, condition) != std::end(kPermanentNames);
    if (permanent) return refuse_permanent(condition);
    if (rule.listed_.size() == before) return refuse_unknown(condition);
  }
  return rule;
}

bool RetryRule::lists(std::string_view sqlstate) const {
  return std::ranges::any_of(
      listed_, [&](const std::string& beginning) { return sqlstate.starts_with(beginning); });
}

bool RetryRule::allows(const Error& error) const {
  return listed_.empty() ? is_transient(error) : lists(error.sqlstate.view());
}

bool RetryRule::allows_reconnect(const Error& error) const {
  if (!is_transient(error)) return false;
  return listed_.empty() || lists(kConnectionFailure) || lists(kNoConnection) ||
         lists(error.sqlstate.view()) || (error.code == Errc::kTimeout && lists(kQueryCanceled));
}

bool is_transient(const Error& error) {
  switch (error.code) {
    case Errc::kConnect:
    case Errc::kTimeout:
    case Errc::kConnectionLost:
    case Errc::kSessionAttributes:
      return true;
    default:
      return std::ranges::any_of(kTransientSqlstates, [&](std::string_view prefix) {
        return error.sqlstate.view().starts_with(prefix);
      });
  }
}

RetryPolicy RetryPolicy::from(const SinkOptions& options) {
  return {.rule = RetryRule::from(options.retry_on_errors).value(),
          .retries_max = static_cast<uint32_t>(options.max_retries),
          .timeout = std::chrono::milliseconds(options.retry_timeout_ms),
          .backoff = std::chrono::milliseconds(options.retry_backoff_ms)};
}

Status RetryLimit::failed(uint32_t failures, const Error& error, TimePoint now) {
  if (!failing_since_) failing_since_ = now;
  if (failures > retries_max_) return fail(error);
  const Duration failing = now - *failing_since_;
  if (timeout_ == Duration{} || failing < timeout_) return {};
  Error late = error;
  late.message += "; nothing has succeeded for " +
                  std::to_string(failing / std::chrono::milliseconds(1)) +
                  " ms, which is more than retry_timeout_ms allows";
  return fail(std::move(late));
}

Duration Backoff::delay(uint32_t attempt) {
  state_ ^= state_ << 13;
  state_ ^= state_ >> 7;
  state_ ^= state_ << 17;
  const uint32_t doublings = std::min<uint32_t>(attempt > 0 ? attempt - 1 : 0, 20);
  const int64_t ceiling = std::min<int64_t>(cap_.count(), base_.count() << doublings);
  return Duration(
      static_cast<int64_t>(state_ % (static_cast<uint64_t>(std::max<int64_t>(ceiling, 0)) + 1)));
}

}  // namespace pgsink
