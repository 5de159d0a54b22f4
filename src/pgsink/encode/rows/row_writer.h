#pragma once
// RowWriter: rows of any columns, on processors that have AVX-512 VBMI. Chosen at run time;
// elsewhere the columns write themselves (FieldCodec::write_…).
//
// A block is written in windows: as many rows as take a few kilobytes of the chunk, so that the
// passes over the columns find their part of it in the first-level cache, and the next window
// follows in memory. One function knows every form of fields (RowPart): no virtual call, and values
// move in whole registers under a mask of their size, so that no byte after a field is written. A
// column that only its codec can write leaves a gap, which is filled at the end.

#include <array>
#include <memory>
#include <span>
#include <vector>

#include "pgsink/encode/base/field.h"
#include "pgsink/encode/base/row_part.h"

namespace pgsink::encode {

class RowWriter {
 public:
  /// plan takes the columns of a row, which must live as long as this. Null if the processor does
  /// not support it.
  static std::unique_ptr<RowWriter> plan(std::span<FieldCodec* const> columns);

  /// measure is FieldCodec::measure() of column `index`.
  size_t measure(size_t index, const ColumnView& column, const Block& block, size_t* row_bytes,
                 FaultList& faults);

  /// write stores the first `count` measured rows at the front of `out`, where they must fit. Row
  /// i has same_bytes + row_bytes[i] bytes. False if what was written must be verified.
  bool write(size_t count, size_t same_bytes, const size_t* row_bytes, pgproto::MutableBytes out);

 private:
  /// A column that only its codec can write.
  struct Gap {
    RowPart part;
    std::array<std::byte*, kBlockRowsMax> places{};
    std::array<size_t, kBlockRowsMax> sizes{};
  };
  struct Column {
    FieldCodec* codec = nullptr;
    std::unique_ptr<Gap> gap;
  };

  RowWriter() = default;

  std::vector<Column> columns_;
  std::vector<const RowPart*> parts_;  ///< Of each column.
  std::array<std::byte*, kBlockRowsMax> cursors_{};
};

/// row_writer_store stores rows [first, first + count) of the parts' block, row i at cursors[i],
/// which it moves. False if a checked byte may not be in 1 … 127.
bool row_writer_store(std::span<const RowPart* const> parts, size_t first, size_t count,
                      std::byte** cursors);

}  // namespace pgsink::encode
