#pragma once
// Waiting in tests, always with a bound: what does not come is a failure that says so, not a hang.
// The bounds are for hangs only. No test passes or fails because of how fast a machine is.

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <sys/types.h>

namespace pgsink::test {

/// How long a test waits for what must happen. Only a hang takes longer, also on a machine that is
/// busy with other things.
inline constexpr std::chrono::seconds kPatience{60};

/// Asks every few milliseconds until `holds` says yes; false if it does not within `patience`.
bool eventually(const std::function<bool()>& holds, std::chrono::milliseconds patience = kPatience);

/// Waits for a child process to end; its status as of waitpid(). A child that does not end within
/// `patience` is killed: then nullopt.
std::optional<int> wait_for_child(pid_t child, std::chrono::milliseconds patience = kPatience);

/// How long one test may take before hang_guard.h ends the program: PGSINK_TEST_SECONDS, or far
/// more than the slowest test takes under the sanitizers.
std::chrono::seconds test_time_max();

}  // namespace pgsink::test
