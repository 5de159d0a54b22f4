#include "shell/run/sink_watch.h"

#include <chrono>

namespace pgsink::shell {
namespace {

/// How often it looks, and how long the destructor may take.
constexpr std::chrono::milliseconds kTick{50};

}  // namespace

SinkWatch::SinkWatch(const Sink& sink, Engine& engine) : sink_(sink), engine_(engine) {
  thread_ = std::thread([this] { run(); });
}

SinkWatch::~SinkWatch() {
  ending_ = true;
  thread_.join();
}

/// Interrupts again and again: the engine may begin its work just after one.
void SinkWatch::run() {
  while (!ending_) {
    if (!sink_.status()) engine_.interrupt();
    std::this_thread::sleep_for(kTick);
  }
}

}  // namespace pgsink::shell
