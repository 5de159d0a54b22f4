#include "shell/output/signals.h"

#include <csignal>
#include <ctime>
#include <string>
#include <string_view>
#include <unistd.h>

namespace pgsink::shell {
namespace {

/// A parent that started this process with a signal ignored (a shell does so for background jobs
/// with SIGINT) wants it ignored.
bool is_ignored(int signal) {
  struct sigaction action{};
  sigaction(signal, nullptr, &action);
  return action.sa_handler == SIG_IGN;
}

sigset_t watched() {
  sigset_t set;
  sigemptyset(&set);
  if (!is_ignored(SIGINT)) sigaddset(&set, SIGINT);
  if (!is_ignored(SIGTERM)) sigaddset(&set, SIGTERM);
  return set;
}

/// How often the stop function is called again after a signal, and how long the destructor may
/// take.
constexpr timespec kTick{.tv_sec = 0, .tv_nsec = 50'000'000};

[[noreturn]] void end_at_once(std::string_view why, int signal) {
  const std::string text = "pgsink: ended at once " + std::string(why) +
                           "; rows that were not reported as committed may or may not be in the "
                           "table\n";
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, text.data(), text.size());
  _exit(128 + signal);
}

}  // namespace

Signals::Signals() {
  const sigset_t set = watched();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  // A closed standard output is an error of the statement that prints, not the end of the command.
  std::signal(SIGPIPE, SIG_IGN);
  thread_ = std::thread([this] { wait(); });
}

Signals::~Signals() {
  ending_ = true;
  thread_.join();
}

void Signals::on_signal(std::function<void()> interrupt) {
  const std::lock_guard lock(mutex_);
  interrupt_ = std::move(interrupt);
}

void Signals::limit(std::chrono::seconds longest, bool interrupts) {
  longest_s_ = longest.count();
  limits_interrupts_ = interrupts;
}

void Signals::wait() {
  using std::chrono::steady_clock;
  const sigset_t set = watched();
  steady_clock::time_point since;
  while (!ending_) {
    const int signal = sigtimedwait(&set, nullptr, &kTick);
    if (signal > 0 && received_ != 0) end_at_once("by the second signal", received_);
    if (signal > 0) {
      since = steady_clock::now();
      received_ = signal;
    }
    if (received_ == 0) continue;
    const bool limited = longest_s_ > 0 && (received_ == SIGTERM || limits_interrupts_);
    if (limited && steady_clock::now() - since >= std::chrono::seconds(longest_s_)) {
      end_at_once("because --shutdown-timeout is over", received_);
    }
    const std::lock_guard lock(mutex_);
    if (interrupt_) interrupt_();
  }
}

}  // namespace pgsink::shell
