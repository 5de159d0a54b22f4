#pragma once
// NumberList: a list of numbers as the text of an extension's type: pgvector's and cube.

#include <array>
#include <string>

#include "pgsink/encode/base/field.h"
#include "pgsink/encode/base/wire_type.h"

namespace pgsink::encode {

/// NumberListType is what such a type holds.
struct NumberListType;

/// number_list_type is null for every other target.
const NumberListType* number_list_type(const Target& target);

class NumberList {
 public:
  /// number is what the numbers of such a target are.
  static Target number(const Target& target);

  /// NumberList writes `source`, a list, for such a target. `numbers` is the codec of its elements
  /// for number(target).
  NumberList(const Field& source, const Target& target, CodecPointer numbers);

  /// append appends the text of a row that is not NULL. False with a fault if the type cannot hold
  /// the list or one of its numbers.
  bool append(const ColumnView& column, size_t row, std::string& to, Fault& fault);

 private:
  /// Of each field of a block of elements.
  static constexpr size_t kSlotBytes = kLengthBytes + sizeof(double);

  bool fits(size_t count, Fault& fault) const;
  bool encode(const ColumnView& elements, size_t first, size_t count, Fault& fault, size_t& at);
  bool append_number(size_t i, size_t index, std::string& to, Fault& fault) const;

  const NumberListType* type_;
  std::string name_;
  int32_t dimensions_;    ///< -1: any number of them.
  int32_t width_;         ///< Of the list, if that is fixed.
  CodecPointer numbers_;  ///< Of the elements.
  std::array<std::byte, kBlockRowsMax * kSlotBytes> fields_{};
};

}  // namespace pgsink::encode
