#include "pgsink/encode/rows/number_list.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>

#include "pgsink/encode/values/nested.h"
#include "pgsink/encode/values/number_text.h"

namespace pgsink::encode {

struct NumberListType {
  std::string_view name;
  bool twice;  ///< double precision, otherwise real or less.
  enum class Form : uint8_t {
    kAll,       ///< [1.5,0]
    kNonZeros,  ///< {1:1.5}/2: zeros are left out.
  } form;
  char open, close;
  bool finite;  ///< Neither NaN nor infinity, and at least one number.
};

namespace {

using Form = NumberListType::Form;

constexpr std::array kTypes{
    NumberListType{"vector", false, Form::kAll, '[', ']', true},
    NumberListType{"halfvec", false, Form::kAll, '[', ']', true},
    NumberListType{"sparsevec", false, Form::kNonZeros, '{', '}', true},
    NumberListType{"cube", true, Form::kAll, '(', ')', false},
};

/// What pgvector says of all that it does not hold.
constexpr std::string_view kDataException = "22000";

}  // namespace

const NumberListType* number_list_type(const Target& target) {
  const auto* const found = std::ranges::find_if(
      kTypes, [&](const NumberListType& type) { return is_named(target, type.name); });
  return found == kTypes.end() ? nullptr : found;
}

Target NumberList::number(const Target& target) {
  const NumberListType* const type = number_list_type(target);
  Target number;
  number.rules = target.rules;
  // As pgvector's casts do, and its input of text: embeddings have more digits than it keeps.
  if (!type->twice) number.rules.rounds = true;
  number.kind = type->twice ? TargetKind::kFloat8 : TargetKind::kFloat4;
  number.name = target_kind_name(number.kind);
  return number;
}

NumberList::NumberList(const Field& source, const Target& target, CodecPointer numbers)
    : type_(number_list_type(target)),
      name_(target.name),
      dimensions_(target.type_modifier),
      width_(source.width),
      numbers_(std::move(numbers)) {}

bool NumberList::fits(size_t count, Fault& fault) const {
  if (!type_->finite) return true;
  const auto wanted = static_cast<size_t>(std::max(dimensions_, 0));
  if (count != 0 && (dimensions_ < 0 || count == wanted)) return true;
  fault = {kDataException,
           "a list of " + std::to_string(count) + " numbers does not fit: " + name_ + " has " +
               (dimensions_ < 0 ? "at least 1" : std::to_string(wanted)) + " dimensions"};
  return false;
}

/// Encodes a block of elements into fields_. Of a fault `at` is the element in the block.
bool NumberList::encode(const ColumnView& elements, size_t first, size_t count, Fault& fault,
                        size_t& at) {
  std::array<size_t, kBlockRowsMax> sizes{};
  FaultList faults;
  numbers_->measure(elements, Block{first, count, nullptr}, sizes.data(), faults);
  if (!faults.empty()) {
    at = faults.front().position;
    fault = std::move(faults.front().fault);
    return false;
  }
  std::array<std::byte*, kBlockRowsMax> cursors;
  for (size_t i = 0; i < count; ++i) cursors[i] = fields_.data() + i * kSlotBytes;
  numbers_->write_moving(cursors.data(), 0, count);
  return true;
}

/// Appends element i of the block, which is the number `index` of the list, counted from 1.
bool NumberList::append_number(size_t i, size_t index, std::string& to, Fault& fault) const {
  const std::byte* const field = fields_.data() + i * kSlotBytes;
  if (pgproto::load_be<int32_t>(field) < 0) {
    fault = {sqlstate::kNullNotAllowed, "it is NULL, which " + name_ + " cannot hold"};
    return false;
  }
  Float number;
  if (type_->twice) {
    number = {std::bit_cast<double>(pgproto::load_be<uint64_t>(field + kLengthBytes)), false};
  } else {
    number = {std::bit_cast<float>(pgproto::load_be<uint32_t>(field + kLengthBytes)), true};
  }
  if (type_->finite && !std::isfinite(number.value)) {
    fault = {kDataException, float_text(number) + ", which " + name_ + " cannot hold"};
    return false;
  }
  if (type_->form == Form::kNonZeros) {
    if (number.value == 0) return true;
    if (to.back() != type_->open) to += ',';
    to += std::to_string(index) + ':';
  } else if (index != 1) {
    to += ',';
  }
  append_float(number, to);
  return true;
}

bool NumberList::append(const ColumnView& column, size_t row, std::string& to, Fault& fault) {
  ColumnView scratch;
  const ListItems items = list_items(column, row, width_, scratch);
  if (!fits(items.count, fault)) return false;
  to += type_->open;
  for (size_t done = 0; done < items.count; done += kBlockRowsMax) {
    const size_t count = std::min(kBlockRowsMax, items.count - done);
    size_t at = 0;
    bool good = encode(*items.elements, items.first + done, count, fault, at);
    for (size_t i = 0; good && i < count; ++i) {
      at = i;
      good = append_number(i, done + i + 1, to, fault);
    }
    if (!good) {
      fault.message.insert(0, "number " + std::to_string(done + at + 1) + ": ");
      return false;
    }
  }
  to += type_->close;
  if (type_->form == Form::kNonZeros) to += "/" + std::to_string(items.count);
  return true;
}

}  // namespace pgsink::encode
