#pragma once
// Upserts over a slow line: pgsink with its window of flights and a libpq client that waits for
// every answer, once on a quiet server and once with every tenth transaction failing by a
// serialization failure, a deadlock or the end of its backend. After each run the table must hold
// what the batches leave one by one, and the transactions must have committed in their order.

#include <string>
#include <vector>

#include "support/wire_proxy.h"
#include "writers.h"

namespace pgsink::bench {

/// SlowUpserts is one table at the other end of a slow line.
class SlowUpserts {
 public:
  static constexpr int64_t kBatchRows = 1000;

  /// Way is one way of writing, with what it reached in each round.
  struct Way {
    std::string name;
    bool faults = false;
    std::vector<double> rows_per_s;
  };
  enum : size_t { kSteps, kSingle, kPgsink, kStepsFaulty, kPgsinkFaulty };

  SlowUpserts(Place place, const test::WireProxy& proxy, int64_t flights);

  /// Runs each way once a round. Throws if a table is not what it must be.
  std::vector<Way> run(size_t rounds);

 private:
  void make_table(bool faults);
  double libpq(bool transaction);
  double pgsink();
  void check_table(bool faults, bool pipelined);

  Place place_;
  uint16_t port_;
  int64_t flights_;
};

}  // namespace pgsink::bench
