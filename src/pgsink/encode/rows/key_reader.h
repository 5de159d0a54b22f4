#pragma once
// KeyReader: the values of one column in the form in which they will be sent, for decisions before
// sending.

#include <array>
#include <cstdint>
#include <memory>

#include <pgproto/bytes.h>
#include <pgproto/type_info.h>

#include "pgsink/encode/rows/row_encoder.h"

namespace pgsink {

class KeyReader {
 public:
  /// Chooses the functions, as RowEncoder::create() does.
  static Result<KeyReader> create(const EncodeColumn& column, const pgproto::TypeMap& types);
  KeyReader(KeyReader&&) noexcept;
  KeyReader& operator=(KeyReader&&) noexcept;
  ~KeyReader();

  /// The maximum of rows for one read().
  static constexpr size_t kRowsMax = 256;
  static constexpr int32_t kNull = -1;
  static constexpr int32_t kRejected = -2;  ///< The value cannot become the column's type.

  /// Values are the binary forms of some rows' values, valid until the next read().
  struct Values {
    std::array<const std::byte*, kRowsMax> data;
    std::array<int32_t, kRowsMax> size;  ///< In bytes, kNull or kRejected.

    pgproto::Bytes bytes(size_t i) const { return {data[i], static_cast<size_t>(size[i])}; }
  };
  /// read returns the values of the first rows of `rows`, at most kRowsMax. Not thread-safe.
  const Values& read(const RecordBatch& batch, RowRange rows);

 private:
  struct State;
  explicit KeyReader(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace pgsink
