#include "server_cpu.h"

#include <fstream>
#include <stdexcept>
#include <string>
#include <sys/mman.h>

namespace pgsink::bench {

double server_cpu_seconds(pid_t postmaster) {
  const std::string base = "/proc/" + std::to_string(postmaster) + "/task/";
  std::ifstream children(base + std::to_string(postmaster) + "/children");
  uint64_t total_ns = 0;
  std::string child;
  while (children >> child) {
    uint64_t ns = 0;  // The first number: time on a processor.
    std::ifstream("/proc/" + child + "/schedstat") >> ns;
    total_ns += ns;
  }
  if (total_ns == 0) throw std::runtime_error("/proc does not say what the server has used");
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
