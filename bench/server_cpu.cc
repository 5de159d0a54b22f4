#include "server_cpu.h"

#include <fstream>
#include <stdexcept>
#include <string>
#include <sys/mman.h>

namespace pgsink::bench {

ServerClock::ServerClock(pid_t postmaster) : postmaster_(postmaster), before_(read()) {}

std::map<std::string, uint64_t> ServerClock::read() const {
  const std::string pid = std::to_string(postmaster_);
  std::ifstream children("/proc/" + pid + "/task/" + pid + "/children");
  std::map<std::string, uint64_t> times_ns;
  std::string child;
  while (children >> child) {
    // The first number: time on a processor.
    std::ifstream("/proc/" + child + "/schedstat") >> times_ns[child];
  }
  if (times_ns.empty()) throw std::runtime_error("/proc does not say what the server has used");
  return times_ns;
}

double ServerClock::seconds() const {
  uint64_t total_ns = 0;
  for (const auto& [child, time_ns] : read()) {
    const auto known = before_.find(child);
    total_ns += time_ns - (known == before_.end() ? 0 : known->second);
  }
  return static_cast<double>(total_ns) * 1e-9;
}

SharedNumber::SharedNumber() {
  void* page =
      ::mmap(nullptr, sizeof(double), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) throw std::runtime_error("mmap");
  value_ = static_cast<double*>(page);
}

SharedNumber::~SharedNumber() { ::munmap(value_, sizeof(double)); }

}  // namespace pgsink::bench
