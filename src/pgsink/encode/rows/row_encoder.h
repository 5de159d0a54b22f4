#pragma once
// RowEncoder: rows of a RecordBatch → the tuples of COPY … (FORMAT binary), directly into the
// chunk.
//
// Column at a time over blocks of a few hundred rows: `measure` adds up sizes (and may reject a
// row), a prefix sum places the rows, `write` stores length and value at each row's cursor and
// cannot fail. Which pair of functions serves a column is chosen once, from its source kind and the
// target's type. Where the processor has AVX-512, FusedRows and RowWriter write what was measured.
// Tuple: int16 field count, then per field int32 length (-1: NULL) and value.
// Source: PostgreSQL documentation, COPY, "Binary Format".

#include <memory>
#include <string>
#include <vector>

#include <pgproto/bytes.h>
#include <pgproto/type_info.h>

#include <pgsink/record_batch.h>

#include "pgsink/encode/base/value_rules.h"

namespace pgsink {

/// EncodeColumn says that source column `source_index` (described by `source`) goes to a table
/// column.
struct EncodeColumn {
  size_t source_index = 0;
  Field source;
  std::string target_name;  ///< For messages.
  pgproto::Oid target_oid = 0;
  int32_t type_modifier = -1;  ///< For example of numeric(18,4), varchar(20), char(3).
  enum class Role : uint8_t {
    kValue,
    kKey,     ///< A row whose value is NULL is rejected.
    kChange,  ///< Text that says what the row does, written as the "char" I, U or D.
    /// JSON array of the names of the input columns whose values an update left unchanged, written
    /// as a bytea with a bit for each column; NULL if there are none.
    kUnchanged,
    /// As kValue, but NULL, and not looked at, where a kChange column before it says D or a
    /// kUnchanged column before it names it.
    kUnlessLacking,
  };
  Role role = Role::kValue;
  /// Whether it says something about the row, and the table has no such column.
  bool is_note() const { return role == Role::kChange || role == Role::kUnchanged; }
  bool not_null = false;  ///< Of a value: a row where it is NULL is rejected.
  /// Of a domain: values travel as its base type, and the domain's rules apply when they enter the
  /// table.
  bool as_base_type = false;
  encode::ValueRules rules{};
};

/// Rejection is a row whose value cannot become the column's type without changing.
struct Rejection {
  size_t row = 0;     ///< Row of the batch.
  size_t column = 0;  ///< Index into the encoder's columns.
  Error error;  ///< kRowRejected; names column, value (shortened), limit; SQLSTATE as the server's
                ///< would be.
};

/// Kernels says which code may run: the best for this processor, or only portable code (for tests
/// and comparisons).
enum class Kernels : uint8_t { kBest, kPortable };

class RowEncoder {
 public:
  /// create chooses the functions. Fails with kColumnType naming column, source and target type,
  /// and what would work. `types` must hold each target OID that is not built in, transitively.
  static Result<RowEncoder> create(const std::vector<EncodeColumn>& columns,
                                   const pgproto::TypeMap& types, Kernels kernels = Kernels::kBest);
  RowEncoder(RowEncoder&&) noexcept;
  RowEncoder& operator=(RowEncoder&&) noexcept;
  ~RowEncoder();

  /// leave_documents_to_server says whether documents (texts for columns of json, jsonb and xml)
  /// are written without looking for faults in their syntax: the server rejects those that have
  /// one. create() makes an encoder that looks. False if there are no such texts.
  bool leave_documents_to_server(bool leave);

  struct Step {
    size_t rows = 0;   ///< Rows consumed from the front of `rows`, rejected ones included.
    size_t bytes = 0;  ///< Bytes written from the start of `out`.
    /// With rows == 0: the next row alone needs that many bytes. Text is checked while it is
    /// written, so that row may still be rejected then.
    size_t bytes_needed = 0;
  };
  /// encode writes as many rows from the front of `rows` as fit into `out`. Rejected rows are left
  /// out and appended to `rejected`. The batch must have the schema given to create(). No
  /// allocation per row. Not thread-safe: one encoder per lane.
  Step encode(const RecordBatch& batch, RowRange rows, pgproto::MutableBytes out,
              std::vector<Rejection>& rejected);

 private:
  struct State;
  explicit RowEncoder(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// The 19 bytes before the first tuple: signature, flags, extension length.
pgproto::Bytes copy_header();
/// The 2 bytes after the last tuple.
pgproto::Bytes copy_trailer();

}  // namespace pgsink
