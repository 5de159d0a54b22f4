#pragma once
// Rehearsal: finds out what a sink would do with rows, without writing any.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <pgsink/options.h>

#include "pgsink/client/env.h"
#include "pgsink/encode/rows/row_encoder.h"

namespace pgsink {

class Rehearsal {
 public:
  /// Connects, does the checks of test_connection(), checks that the columns of `schema` fit the
  /// table, and disconnects. Creates and changes nothing.
  static Result<std::unique_ptr<Rehearsal>> open(const SinkOptions& options, const Schema& schema,
                                                 Env* env = nullptr);

  /// Why rows cannot be encoded: what open() of a sink would create first. "" if they can.
  const std::string& missing() const { return missing_; }
  /// encode encodes a batch of the schema, discards the bytes and returns their number. Rejected
  /// rows are appended to `rejected`. Faults that only the server finds, by constraints and
  /// triggers, are not reported. REQUIRES: missing() is "".
  Result<size_t> encode(const RecordBatch& batch, std::vector<Rejection>& rejected);

 private:
  Rehearsal() = default;

  std::string missing_;
  std::optional<RowEncoder> encoder_;
  std::vector<std::byte> scratch_;
};

}  // namespace pgsink
