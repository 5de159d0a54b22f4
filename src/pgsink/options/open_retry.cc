#include "pgsink/options/open_retry.h"

#include <algorithm>

namespace pgsink {
namespace {

/// How often on_server_wait is asked.
constexpr Duration kTick = std::chrono::milliseconds(20);

/// The server answers, and says that it cannot serve now.
bool is_busy(const Error& error) { return error.sqlstate == "57P03" || error.sqlstate == "53300"; }

bool is_given(const SinkOptions& options, std::string_view key) {
  return std::ranges::find(options.given, key) != options.given.end();
}

/// A program sets members, a script writes keys.
bool asks_for_retries(const SinkOptions& options) {
  return is_given(options, "max_retries") || is_given(options, "retry_timeout_ms") ||
         options.max_retries != SinkOptions().max_retries || options.retry_timeout_ms != 0;
}

RetryPolicy policy_of(const SinkOptions& options) {
  // Options that were not checked: their check says what is wrong.
  if (!RetryRule::from(options.retry_on_errors)) return {.retries_max = 0};
  return RetryPolicy::from(options);
}

std::string seconds(Duration length) {
  return std::to_string((length + std::chrono::milliseconds(500)) / std::chrono::seconds(1)) + " s";
}

}  // namespace

OpenRetry::OpenRetry(const SinkOptions& options, Env& env)
    : options_(options),
      env_(env),
      policy_(policy_of(options)),
      persistent_(asks_for_retries(options)),
      backoff_(policy_, env.random.next_u64()),
      limit_(policy_),
      began_(env.clock.now()) {}

bool OpenRetry::allows(const Error& error) const {
  if (spent_ || policy_.retries_max == 0 || !policy_.rule.allows_reconnect(error)) return false;
  return persistent_ || is_busy(error);
}

Status OpenRetry::wait_after(Error error) {
  if (!allows(error)) return fail(std::move(error));
  const TimePoint now = env_.clock.now();
  if (auto again = limit_.failed(++failures_, error, now); !again) {
    spent_ = true;
    Error last = std::move(again.error());
    last.message += "; tried " + std::to_string(failures_) + " times in " + seconds(now - began_) +
                    " (max_retries = " + std::to_string(options_.max_retries) + ")";
    return fail(std::move(last));
  }
  return pause(error, backoff_.delay(failures_));
}

Status OpenRetry::pause(const Error& error, Duration length) {
  const auto monitor = env_.tasks.monitor();
  const Deadline until = env_.clock.now() + length;
  ServerWait wait{error, failures_, std::chrono::duration_cast<std::chrono::milliseconds>(length)};
  for (;;) {
    if (options_.on_server_wait && !options_.on_server_wait(wait)) {
      return fail(
          Errc::kInterrupted,
          "interrupted while it waited for the server; the last attempt failed: " + error.message);
    }
    wait.begins = false;
    const TimePoint now = env_.clock.now();
    if (now >= until) return {};
    const Monitor::Lock lock(*monitor);
    monitor->wait(std::min<Deadline>(until, now + kTick));
  }
}

Error not_retried(const SinkOptions& options, Env& env, Error error) {
  if (!OpenRetry(options, env).allows(error)) return error;
  error.message += "; a check tries once, a run tries again (max_retries = " +
                   std::to_string(options.max_retries) + ")";
  return error;
}

}  // namespace pgsink
