#include "shell/run/sink_watch.h"

#include <chrono>

namespace pgsink::shell {
namespace {

/// How often it looks.
constexpr std::chrono::milliseconds kTick{50};

}  // namespace

SinkWatch::SinkWatch(const Sink& sink, Engine& engine) : sink_(sink), engine_(engine) {
  thread_ = std::thread([this] { run(); });
}

SinkWatch::~SinkWatch() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

/// Interrupts again and again: the engine may begin its work just after one.
void SinkWatch::run() {
  std::unique_lock lock(mutex_);
  do {
    if (!sink_.status()) engine_.interrupt();
  } while (!changed_.wait_for(lock, kTick, [this] { return ending_; }));
}

}  // namespace pgsink::shell
