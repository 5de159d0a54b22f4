#include "support/hang_guard.h"

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <string>
#include <thread>
#include <unistd.h>

#include <gtest/gtest.h>

#include "support/patience.h"

namespace pgsink::test {
namespace {

using Clock = std::chrono::steady_clock;

class HangGuard final : public testing::EmptyTestEventListener {
 public:
  HangGuard() : time_max_(test_time_max()), thread_([this] { watch(); }) {}
  ~HangGuard() override {
    {
      const std::lock_guard lock(mutex_);
      ended_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }
  HangGuard(const HangGuard&) = delete;
  HangGuard& operator=(const HangGuard&) = delete;

  void OnTestStart(const testing::TestInfo& test) override {
    const std::lock_guard lock(mutex_);
    name_ = std::string(test.test_suite_name()) + "." + test.name();
    until_ = Clock::now() + time_max_;
    changed_.notify_all();
  }
  void OnTestEnd(const testing::TestInfo&) override {
    const std::lock_guard lock(mutex_);
    until_ = Clock::time_point::max();
  }

 private:
  void watch() {
    std::unique_lock lock(mutex_);
    while (!ended_) {
      if (until_ == Clock::time_point::max()) {
        changed_.wait(lock);
      } else if (changed_.wait_until(lock, until_) == std::cv_status::timeout &&
                 Clock::now() >= until_) {
        give_up();
      }
    }
  }
  [[noreturn]] void give_up() const {
    std::fflush(stdout);
    std::fprintf(stderr,
                 "[  FAILED  ] %s hangs: it has taken %lld s. The program ends here, without the "
                 "tests after it.\n",
                 name_.c_str(), static_cast<long long>(time_max_.count()));
    std::fflush(stderr);
    ::_exit(1);
  }

  const std::chrono::seconds time_max_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::string name_;
  Clock::time_point until_ = Clock::time_point::max();
  bool ended_ = false;
  std::thread thread_;  // Last: it uses the others.
};

}  // namespace

void guard_against_hangs() {
  testing::UnitTest::GetInstance()->listeners().Append(new HangGuard);  // GoogleTest deletes it.
}

}  // namespace pgsink::test
