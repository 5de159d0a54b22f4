#pragma once
// The processor time of a private server, for machines where the clock on the wall says little
// because others use the processors too.

#include <cstdint>
#include <map>
#include <string>
#include <sys/types.h>

namespace pgsink::bench {

/// ServerClock counts what the child processes of a postmaster use from its making on. Those that
/// end in between do not count.
class ServerClock {
 public:
  explicit ServerClock(pid_t postmaster);
  double seconds() const;

 private:
  std::map<std::string, uint64_t> read() const;

  pid_t postmaster_;
  std::map<std::string, uint64_t> before_;
};

/// SharedNumber is one that a measured child hands to its parent.
class SharedNumber {
 public:
  SharedNumber();
  ~SharedNumber();
  SharedNumber(const SharedNumber&) = delete;
  SharedNumber& operator=(const SharedNumber&) = delete;
  void set(double value) { *value_ = value; }
  double get() const { return *value_; }

 private:
  double* value_;
};

}  // namespace pgsink::bench
