#pragma once
// The processor time of a private server, for machines where the clock on the wall says little
// because others use the processors too.

#include <cstdint>
#include <sys/types.h>

namespace pgsink::bench {

/// server_cpu_seconds is what the living child processes of `postmaster` have used so far.
double server_cpu_seconds(pid_t postmaster);

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
