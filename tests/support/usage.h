#pragma once
// Usage is what a leak in this process would make grow.

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>
#include <unistd.h>

namespace pgsink::test {

struct Usage {
  size_t memory = 0;  ///< Resident bytes.
  size_t descriptors = 0, threads = 0;

  static Usage now() {
    const auto entries = [](const char* directory) {
      const std::filesystem::directory_iterator all(directory);
      return static_cast<size_t>(std::distance(begin(all), end(all)));
    };
    Usage usage;
    size_t all_pages = 0, pages = 0;
    std::ifstream("/proc/self/statm") >> all_pages >> pages;
    usage.memory = pages * static_cast<size_t>(sysconf(_SC_PAGESIZE));
    usage.descriptors = entries("/proc/self/fd");
    usage.threads = entries("/proc/self/task");
    return usage;
  }
  /// The same once it is no more than `before`, or after some seconds: a proxy between closes its
  /// sockets a moment later.
  static Usage settled(const Usage& before) {
    Usage usage = now();
    for (int i = 0; i < 500; ++i) {
      if (usage.descriptors <= before.descriptors && usage.threads <= before.threads) break;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
      usage = now();
    }
    return usage;
  }
};

}  // namespace pgsink::test
