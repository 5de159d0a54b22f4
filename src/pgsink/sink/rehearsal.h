#pragma once
// Rehearsal: what a sink would make of rows, without writing any.

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
  /// Connects, checks what test_connection() does and that the columns of `schema` fit the table,
  /// and hangs up. Creates and changes nothing.
  static Result<std::unique_ptr<Rehearsal>> open(const SinkOptions& options, const Schema& schema,
                                                 Env* env = nullptr);

  /// Why rows cannot be encoded: what open() of a sink would create first. "" if they can.
  const std::string& missing() const { return missing_; }
  /// encode encodes a batch of the schema and throws the bytes away; returns their number. Rows
  /// that cannot become what the columns are, are appended to `rejected`. What only the server can
  /// tell, by constraints and triggers, is not known. REQUIRES: missing() is "".
  Result<size_t> encode(const RecordBatch& batch, std::vector<Rejection>& rejected);

 private:
  Rehearsal() = default;

  std::string missing_;
  std::optional<RowEncoder> encoder_;
  std::vector<std::byte> scratch_;
};

}  // namespace pgsink
