#pragma once
// The rows of a changelog: what each does, that a delete carries nothing but its key, and which
// columns an update left unchanged.

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "pgsink/encode/base/field.h"

namespace pgsink::encode {

/// Changes says what the rows of a block do. The codecs of the change column and of the unchanged
/// columns note it when they measure the block, so they must come before the columns that ask.
struct Changes {
  std::array<bool, kBlockRowsMax> deletes{};
  bool any_deletes = false;
  /// For each row a bit for each column of the encoder, least significant first: set where the
  /// value is unchanged. Only valid if there is any.
  std::vector<uint8_t> unchanged;
  size_t unchanged_bytes = 0;  ///< Of a row.
  bool any_unchanged = false;

  /// Whether a row has no value in a column.
  bool lacks(size_t row, size_t column) const {
    if (deletes[row]) return true;
    if (!any_unchanged) return false;
    return (unchanged[row * unchanged_bytes + column / 8] >> (column % 8) & 1U) != 0;
  }
};

/// The letters of a row that inserts, and of one that deletes.
inline constexpr char kInsertLetter = 'I', kDeleteLetter = 'D';

/// make_change_codec writes what a row does as the "char" I, U or D, and notes the deletes.
Result<CodecPointer> make_change_codec(const Field& source, std::shared_ptr<Changes> changes);

/// make_unchanged_codec reads a JSON array of names of input columns, which may be those of
/// `names`: "" there stands for a column whose value is always given. It writes a bytea in which
/// get_bit() says whether a column is unchanged; NULL if none is. Deletes have no such columns.
Result<CodecPointer> make_unchanged_codec(const Field& source, std::vector<std::string> names,
                                          std::shared_ptr<Changes> changes);

/// unless_lacking writes NULL where the row has no value in that column of the encoder, whatever is
/// in its place, and otherwise what `codec` writes.
CodecPointer unless_lacking(CodecPointer codec, size_t column,
                            std::shared_ptr<const Changes> changes);

}  // namespace pgsink::encode
