#pragma once
// ColumnArrays: rows of a RecordBatch → one array per column in binary form, the parameters of a
// statement over unnest($1, $2, …). It uses the same codecs as COPY, but stores a column's fields
// one after the other.
//
// Array: int32 dimensions (1), int32 "has NULLs", oid of the elements, int32 length, int32 lower
// bound (1), then per element int32 length (-1: NULL) and value. Source: array_recv() of the
// server.

#include <memory>
#include <span>
#include <vector>

#include <pgproto/bytes.h>
#include <pgproto/type_info.h>

#include "pgsink/encode/rows/row_encoder.h"

namespace pgsink {

/// OrderedField is a column whose values have one length, and which the server orders as numbers of
/// that length, most significant byte first.
struct OrderedField {
  size_t column = 0;
  bool is_signed = false;
  friend bool operator==(const OrderedField&, const OrderedField&) = default;
};

class ColumnArrays {
 public:
  /// Fails as RowEncoder::create() does.
  static Result<ColumnArrays> create(const std::vector<EncodeColumn>& columns,
                                     const pgproto::TypeMap& types);
  ColumnArrays(ColumnArrays&&) noexcept;
  ColumnArrays& operator=(ColumnArrays&&) noexcept;
  ~ColumnArrays();

  /// clear starts new arrays and keeps their memory.
  void clear();
  /// expect says how many rows will be appended, so that their memory is got at once, as far as the
  /// first rows tell how much it is.
  void expect(size_t rows);
  /// append adds rows. Rejected ones are left out of all arrays and appended to `rejected`. The
  /// batch must have the schema given to create().
  void append(const RecordBatch& batch, RowRange rows, std::vector<Rejection>& rejected);

  size_t row_count() const;
  /// The bytes of the longest array; the server takes no parameter of 1 GiB.
  size_t largest_bytes() const;
  /// array is one column's array, whole; valid until the next append() or clear().
  /// Without rows it is an empty array.
  pgproto::Bytes array(size_t column);
  /// fields is what that array holds: row_count() fields, each a length and a value.
  pgproto::Bytes fields(size_t column) const;
  /// ascending says whether each row's key is greater than that of the row before. The first of
  /// `key` counts most. Not where a value is NULL.
  bool ascending(std::span<const OrderedField> key) const;

 private:
  struct State;
  explicit ColumnArrays(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace pgsink
