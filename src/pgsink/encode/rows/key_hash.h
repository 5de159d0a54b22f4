#pragma once
// KeyHash: a number for each row that is equal if the keys are, so that equal keys take the same
// lane.

#include <memory>
#include <vector>

#include <pgproto/type_info.h>

#include "pgsink/encode/rows/row_encoder.h"

namespace pgsink {

class KeyHash {
 public:
  /// Whether values of a built-in type are equal exactly when their binary forms are. The caller
  /// knows whether a collation or an extension decides otherwise.
  static bool fits(pgproto::Oid type, int32_t modifier, const pgproto::TypeMap& types);
  /// `columns` are the keys. Fails with kColumnType if values of a type can be equal for the server
  /// and yet differ in their bytes (numeric, float, interval, …).
  static Result<KeyHash> create(const std::vector<EncodeColumn>& columns,
                                const pgproto::TypeMap& types);
  KeyHash(KeyHash&&) noexcept;
  KeyHash& operator=(KeyHash&&) noexcept;
  ~KeyHash();

  /// hash stores the numbers of some rows of the batch. A row whose key cannot be encoded gets any
  /// number: its lane will reject it. Not thread-safe.
  void hash(const RecordBatch& batch, RowRange rows, uint64_t* hashes);

 private:
  struct State;
  explicit KeyHash(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace pgsink
