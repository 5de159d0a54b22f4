#pragma once
// The rows of a changelog: what each does, and that a delete carries nothing but its key.

#include <array>
#include <memory>

#include "pgsink/encode/base/field.h"

namespace pgsink::encode {

/// Deletes says which rows of a block are deletes. The codec of the change column notes them when
/// it measures the block, so it must come before the columns that ask.
struct Deletes {
  std::array<bool, kBlockRowsMax> rows{};
  bool any = false;
};

/// The letter of a row that deletes.
inline constexpr char kDeleteLetter = 'D';

/// make_change_codec writes what a row does as the "char" I, U or D, and notes the deletes.
Result<CodecPointer> make_change_codec(const Field& source, std::shared_ptr<Deletes> deletes);

/// unless_deleted writes NULL for deletes, whatever value they have, and otherwise what `codec`
/// writes.
CodecPointer unless_deleted(CodecPointer codec, std::shared_ptr<const Deletes> deletes);

}  // namespace pgsink::encode
