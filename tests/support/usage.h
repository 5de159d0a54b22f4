#pragma once
// Usage is what a leak in this process would make grow.

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iterator>
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
};

}  // namespace pgsink::test
