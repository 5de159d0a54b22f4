#include "c/callbacks.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <span>
#include <string>

#include "c/json.h"

namespace pgsink::c {
namespace {

DeadLetterCallback dead_letter_callback(const pgsink_callbacks& callbacks) {
  return [function = callbacks.on_dead_letters,
          context = callbacks.context](std::span<const DeadLetter> letters) -> Status {
    const std::string json = letters_as_json(letters);
    const int refused = function(context, json.c_str(), json.size());
    if (refused == 0) return {};
    return fail(Errc::kRowRejected, "on_dead_letters returned " + std::to_string(refused) +
                                        " for " + std::to_string(letters.size()) +
                                        " rejected rows, the first of which is input row " +
                                        std::to_string(letters.front().input_row) + ": " +
                                        letters.front().message);
  };
}

PasswordCallback password_callback(const pgsink_callbacks& callbacks) {
  return [function = callbacks.on_password, context = callbacks.context]() -> Result<std::string> {
    std::string password(PGSINK_PASSWORD_MAX, '\0');
    const int length = function(context, password.data());
    if (length < 0 || length > PGSINK_PASSWORD_MAX) {
      return fail(Errc::kAuthentication, "on_password returned " + std::to_string(length) +
                                             ": expected the length of a password");
    }
    password.resize(static_cast<size_t>(length));
    return password;
  };
}

ServerWaitCallback wait_callback(const pgsink_callbacks& callbacks) {
  return
      [function = callbacks.on_server_wait, context = callbacks.context](const ServerWait& wait) {
        return function(context, wait.error.message.c_str(), wait.failures,
                        static_cast<uint64_t>(wait.pause.count()), wait.begins ? 1 : 0) == 0;
      };
}

FlightCallback flight_callback(const pgsink_callbacks& callbacks) {
  return [function = callbacks.on_flight, context = callbacks.context](const FlightEvent& event) {
    const std::string json = event_as_json(event);
    function(context, json.c_str(), json.size());
  };
}

/// Copies what the caller's struct has, which may be of an older version of the header.
Result<pgsink_callbacks> read_callbacks(const pgsink_callbacks& given) {
  if (given.size < offsetof(pgsink_callbacks, on_password)) {
    return fail(Errc::kUsage, "pgsink_callbacks.size is too small: set it to its sizeof");
  }
  pgsink_callbacks callbacks{};
  std::memcpy(&callbacks, &given, std::min(given.size, sizeof callbacks));
  return callbacks;
}

}  // namespace

Status set_callbacks(const pgsink_callbacks& given, SinkOptions& options) {
  const auto callbacks = read_callbacks(given);
  if (!callbacks) return fail(callbacks.error());
  if (callbacks->on_dead_letters != nullptr) {
    options.on_dead_letters = dead_letter_callback(*callbacks);
  }
  if (callbacks->on_password != nullptr) options.on_password = password_callback(*callbacks);
  if (callbacks->on_flight != nullptr) options.on_flight = flight_callback(*callbacks);
  if (callbacks->on_server_wait != nullptr) options.on_server_wait = wait_callback(*callbacks);
  return {};
}

}  // namespace pgsink::c
