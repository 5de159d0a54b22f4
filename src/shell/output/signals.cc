#include "shell/output/signals.h"

#include <csignal>
#include <ctime>
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

void Signals::wait() {
  const sigset_t set = watched();
  while (!ending_) {
    const int signal = sigtimedwait(&set, nullptr, &kTick);
    if (signal > 0 && received_ != 0) {
      constexpr std::string_view kText =
          "pgsink: ended at once by the second signal; rows that were not reported as committed "
          "may or may not be in the table\n";
      [[maybe_unused]] const auto written = ::write(STDERR_FILENO, kText.data(), kText.size());
      _exit(128 + received_);
    }
    if (signal > 0) received_ = signal;
    if (received_ == 0) continue;
    const std::lock_guard lock(mutex_);
    if (interrupt_) interrupt_();
  }
}

}  // namespace pgsink::shell
