#pragma once
// RowDigest: a number over rows in their order. A host that must prove that its input has not
// changed stores the digest with each position (RecordBatch::position_proof) and compares it when
// it reads the input again.
//
//   RowDigest digest;
//   digest.add(batch);
//   batch.position = digest.rows();
//   batch.position_proof = digest.text();

#include <cstdint>
#include <string>
#include <vector>

#include <pgsink/record_batch.h>

namespace pgsink {

/// RowDigest counts rows and computes their digest. One thread at a time; copies are independent.
class RowDigest {
 public:
  /// add includes the rows of a batch, or `count` of them from `begin` on, after the rows before.
  /// All batches must have the same schema. Takes a few nanoseconds per value, and no memory.
  void add(const RecordBatch& batch);
  void add(const RecordBatch& batch, size_t begin, size_t count);

  /// text is 16 hexadecimal digits, the same in every process and build. It is equal if the same
  /// rows came in the same order, under the same column names and types, however they were cut into
  /// batches and whatever the order of the named columns; otherwise different, except by a chance
  /// of one in 2^64. NULL differs from every value. It protects from mistakes, not from forgery.
  std::string text() const;
  /// Number of rows added.
  uint64_t rows() const { return rows_; }

 private:
  std::vector<uint64_t> columns_;  ///< A running number for each column.
  uint64_t rows_ = 0;
};

}  // namespace pgsink
