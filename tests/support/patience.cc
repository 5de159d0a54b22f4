#include "support/patience.h"

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <sys/wait.h>
#include <thread>

namespace pgsink::test {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kInterval{2};

}  // namespace

bool eventually(const std::function<bool()>& holds, std::chrono::milliseconds patience) {
  const auto end = Clock::now() + patience;
  while (!holds()) {
    if (Clock::now() >= end) return false;
    std::this_thread::sleep_for(kInterval);
  }
  return true;
}

std::optional<int> wait_for_child(pid_t child, std::chrono::milliseconds patience) {
  int status = 0;
  const auto ended = [&] {
    const pid_t found = ::waitpid(child, &status, WNOHANG);
    return found == child || (found < 0 && errno != EINTR);
  };
  if (eventually(ended, patience)) return status;
  ::kill(child, SIGKILL);
  ::waitpid(child, &status, 0);
  return std::nullopt;
}

std::chrono::seconds test_time_max() {
  constexpr std::chrono::seconds kTimeMax{900};
  const char* const asked = std::getenv("PGSINK_TEST_SECONDS");
  return asked != nullptr ? std::chrono::seconds(std::atoi(asked)) : kTimeMax;
}

}  // namespace pgsink::test
