#include "pgsink/encode/values/numeric.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "pgsink/encode/base/copy_bytes.h"
#include "pgsink/encode/base/row_part.h"
#include "pgsink/encode/base/staged.h"
#include "pgsink/encode/values/shortest_float.h"

namespace pgsink::encode {
namespace {

using pgproto::store_be;

constexpr int64_t kDigitsPerGroup = 4;
constexpr int64_t kNumericHeaderBytes = 8;
constexpr uint16_t kPositive = 0x0000;
constexpr uint16_t kNegative = 0x4000;
constexpr int64_t kScaleMax = 0x3fff;                            ///< Server: NUMERIC_DSCALE_MAX.
constexpr int64_t kIntegerDigitsMax = 0x8000 * kDigitsPerGroup;  ///< Weight is an int16.

struct Header {
  uint16_t group_count = 0;
  int16_t weight = 0;
  uint16_t sign = kPositive;
  uint16_t scale = 0;
};

void put_header(std::byte* to, const Header& header) {
  store_be(to, header.group_count);
  store_be(to + 2, header.weight);
  store_be(to + 4, header.sign);
  store_be(to + 6, header.scale);
}

std::string limit_name(const NumericLimit& limit) {
  return "numeric(" + std::to_string(limit.precision) + "," + std::to_string(limit.scale) + ")";
}

std::string shown(const Digits& value) {
  constexpr size_t kShownMax = 60;
  std::string text;
  if (value.scale < -100 || value.scale > 100 + static_cast<int64_t>(value.digits.size())) {
    text = std::string(value.negative ? "-" : "") + std::string(value.digits.substr(0, kShownMax)) +
           "e" + std::to_string(-value.scale);
  } else {
    text = text_of(value);
  }
  if (text.size() > kShownMax) text = text.substr(0, kShownMax) + "…";
  return text;
}

/// Drops zeros behind the last digit that matters; the value stays.
Digits without_trailing_zeros(Digits value) {
  while (!value.digits.empty() && value.digits.back() == '0') {
    value.digits.remove_suffix(1);
    --value.scale;
  }
  return value;
}

bool check_limit(const Digits& value, const Digits& exact, const NumericLimit& limit,
                 Fault& fault) {
  if (exact.scale > limit.scale) {
    fault = {sqlstate::kNumberOutOfRange,
             shown(value) + " would be rounded: the type is " + limit_name(limit) + ", at most " +
                 std::to_string(limit.scale) + " digits behind the point"};
    return false;
  }
  const int64_t integer_digits = static_cast<int64_t>(exact.digits.size()) - exact.scale;
  if (integer_digits > limit.precision - limit.scale) {
    fault = {sqlstate::kNumberOutOfRange, shown(value) + " is out of range of " +
                                              limit_name(limit) + ": less than 10^" +
                                              std::to_string(limit.precision - limit.scale)};
    return false;
  }
  return true;
}

/// Groups of four digits, aligned to the decimal point. `exact` has no trailing zeros.
void put_groups(const Digits& exact, uint16_t scale, Scratch& out) {
  const auto digit_count = static_cast<int64_t>(exact.digits.size());
  const int64_t integer_digits = digit_count - exact.scale;  // may be negative: 0.00001
  // The first group holds the digit of weight integer_digits - 1.
  const auto floor_div = [](int64_t a, int64_t b) { return a >= 0 ? a / b : -((-a + b - 1) / b); };
  const int64_t weight = floor_div(integer_digits - 1, kDigitsPerGroup);
  // Digits missing in front of the first group's first digit.
  const int64_t lead = (weight + 1) * kDigitsPerGroup - integer_digits;
  const int64_t group_count = (lead + digit_count + kDigitsPerGroup - 1) / kDigitsPerGroup;
  std::byte* to = out.grow(static_cast<size_t>(kNumericHeaderBytes + 2 * group_count));
  put_header(to, {static_cast<uint16_t>(group_count), static_cast<int16_t>(weight),
                  exact.negative ? kNegative : kPositive, scale});
  to += kNumericHeaderBytes;
  int64_t at = -lead;
  for (int64_t group = 0; group < group_count; ++group, to += 2) {
    unsigned value = 0;
    for (int64_t k = 0; k < kDigitsPerGroup; ++k, ++at) {
      const bool inside = at >= 0 && at < digit_count;
      value = value * 10 +
              (inside ? static_cast<unsigned>(exact.digits[static_cast<size_t>(at)] - '0') : 0U);
    }
    store_be(to, static_cast<uint16_t>(value));
  }
}

std::string_view digits_of_magnitude(std::array<uint64_t, 4> words, DigitBuffer& buffer) {
  constexpr uint64_t kChunk = 1'000'000'000;
  size_t at = buffer.size();
  size_t top = 4;
  while (top > 0 && words[top - 1] == 0) --top;
  while (top > 0) {
    UInt128 remainder = 0;
    for (size_t i = top; i-- > 0;) {
      const UInt128 part = remainder << 64 | words[i];
      words[i] = static_cast<uint64_t>(part / kChunk);
      remainder = part % kChunk;
    }
    while (top > 0 && words[top - 1] == 0) --top;
    auto chunk = static_cast<uint64_t>(remainder);
    for (int k = 0; k < 9; ++k, chunk /= 10) buffer[--at] = static_cast<char>('0' + chunk % 10);
  }
  while (at < buffer.size() && buffer[at] == '0') ++at;
  return {buffer.data() + at, buffer.size() - at};
}

constexpr std::array<uint64_t, 20> kPowersOfTen = [] {
  std::array<uint64_t, 20> powers{};
  uint64_t power = 1;
  for (uint64_t& entry : powers) {
    entry = power;
    power *= 10;
  }
  return powers;
}();

struct PutDecimal {
  using Value = Decimal;
  NumericLimit limit;
  bool operator()(const Decimal& value, Scratch& out, Fault& fault) const {
    DigitBuffer buffer;
    return put_numeric(digits_of(value, buffer), limit, out, fault);
  }
};

struct PutInteger {
  using Value = Integer;
  NumericLimit limit;
  SmallNumeric small;
  bool operator()(const Integer& value, Scratch& out, Fault& fault) const {
    if (small.holds(value.magnitude)) {
      const size_t size =
          small.put(value.magnitude, value.negative, out.grow(SmallNumeric::kBytesMax));
      out.shrink_last(SmallNumeric::kBytesMax, size);
      return true;
    }
    DigitBuffer buffer;
    return put_numeric(digits_of(value, buffer), limit, out, fault);
  }
};

/// Reads d[.ddd]e±dd, which is not zero.
Digits digits_of_scientific(std::string_view text, DigitBuffer& buffer) {
  size_t count = 0;
  size_t at = 0;
  for (; text[at] != 'e'; ++at) {
    if (text[at] != '.') buffer[count++] = text[at];
  }
  int exponent = 0;
  const char* const begin = text.data() + at + (text[at + 1] == '+' ? 2 : 1);
  std::from_chars(begin, text.data() + text.size(), exponent);
  const int64_t scale = static_cast<int64_t>(count) - 1 - exponent;
  return {false, {buffer.data(), count}, scale, std::max<int64_t>(scale, 0)};
}

struct PutFloat {
  using Value = Float;
  NumericLimit limit;
  bool operator()(const Float& value, Scratch& out, Fault& fault) const {
    if (std::isnan(value.value)) {
      return put_numeric_special(NumericSpecial::kNan, limit, out, fault);
    }
    if (std::isinf(value.value)) {
      return put_numeric_special(
          value.value > 0 ? NumericSpecial::kInfinity : NumericSpecial::kMinusInfinity, limit, out,
          fault);
    }
    DigitBuffer buffer;
    const Digits shortest = digits_of(value, buffer);
    if (limit.rounds && without_trailing_zeros(shortest).scale > limit.scale) {
      return put_rounded(value, out, fault);
    }
    return put_numeric(shortest, limit, out, fault);
  }

 private:
  /// Server: float8_numeric() and float4_numeric() take the digits that the type surely has.
  bool put_rounded(const Float& value, Scratch& out, Fault& fault) const {
    const int digits =
        value.single ? std::numeric_limits<float>::digits10 : std::numeric_limits<double>::digits10;
    std::array<char, 32> text;
    const auto end = std::to_chars(text.data(), text.data() + text.size(), std::fabs(value.value),
                                   std::chars_format::scientific, digits - 1);
    DigitBuffer buffer;
    Digits number = digits_of_scientific({text.data(), end.ptr}, buffer);
    number.negative = std::signbit(value.value);
    return put_numeric(number, limit, out, fault);
  }
};

/// Decimals of up to 128 bits. Values that fit 64 bits, which is nearly all, wait in slots of equal
/// size; the others are staged.
class DecimalField final : public FieldCodec {
 public:
  DecimalField(const Field& source, const NumericLimit& limit)
      : scale_(source.scale), small_(source.scale, limit), put_{limit} {}

  size_t measure(const ColumnView& column, const Block& block, size_t* row_bytes,
                 FaultList& faults) override {
    valid_ = load_validity(column, block, valid_scratch_.data());
    staging_.clear();
    switch (column.kind) {
      case ColumnKind::kDecimal32:
        measure_as<int32_t>(column, block, row_bytes, faults);
        break;
      case ColumnKind::kDecimal64:
        measure_as<int64_t>(column, block, row_bytes, faults);
        break;
      default:
        measure_as<Int128>(column, block, row_bytes, faults);
        break;
    }
    part_.form = RowPart::Form::kSlots;
    part_.values = reinterpret_cast<const std::byte*>(slots_.data());
    part_.heap = staging_.data();
    return 0;
  }
  const RowPart* row_part() const override { return &part_; }
  void use_portable_code() override { vector_code_ = false; }

  void write_strided(std::byte* to, size_t stride, size_t count, bool) override {
    for (size_t i = 0; i < count; ++i) write_one(to + i * stride, slots_[i]);
  }
  void write_at(std::byte* const* rows, size_t offset, size_t count, bool) override {
    for (size_t i = 0; i < count; ++i) write_one(rows[i] + offset, slots_[i]);
  }
  void write_moving(std::byte** rows, size_t offset, size_t count) override {
    for (size_t i = 0; i < count; ++i) {
      std::byte* const to = rows[i] + offset;
      write_one(to, slots_[i]);
      rows[i] = to + slots_[i].bytes;
    }
  }

 private:
  static_assert(FieldSlot::kBytes == kLengthBytes + SmallNumeric::kBytesMax);

  template <class T>
  void measure_as(const ColumnView& column, const Block& block, size_t* row_bytes,
                  FaultList& faults) {
    const bool contiguous =
        block.indexes == nullptr && column.stride_bytes == static_cast<ptrdiff_t>(sizeof(T));
    if (vector_code_ && contiguous) return measure_eights<T>(column, block, row_bytes, faults);
    for_each_value<T>(column, block, [&](size_t i, T value) {
      measure_one<T>(i, value, faults);
      row_bytes[i] += slots_[i].bytes;
    });
  }

  template <class T>
  void measure_eights(const ColumnView& column, const Block& block, size_t* row_bytes,
                      FaultList& faults) {
    const std::byte* const values = value_at(column, block.first);
    std::array<uint8_t, kBlockRowsMax / 8> misfits;
    small_.put_slots(values, sizeof(T), block.count, slots_.data(), row_bytes, misfits.data());
    for (size_t i = 0; i < block.count; i += 8) {
      if (misfits[i / 8] == 0) continue;
      for (size_t k = i; k < std::min(i + 8, block.count); ++k) {
        row_bytes[k] -= slots_[k].bytes;
        measure_one<T>(k, load<T>(values + k * sizeof(T)), faults);
        row_bytes[k] += slots_[k].bytes;
      }
    }
    for (size_t i = 0; valid_ != nullptr && i < block.count; ++i) {
      if (valid_[i] != 0) continue;
      row_bytes[i] -= slots_[i].bytes - kLengthBytes;
      put_null(i);
    }
  }

  void put_null(size_t i) {
    store<uint32_t>(slots_[i].field.data(), ~uint32_t{0});
    slots_[i].bytes = kLengthBytes;
  }

  template <class T>
  void measure_one(size_t i, T value, FaultList& faults) {
    if (valid_ != nullptr && valid_[i] == 0) return put_null(i);
    FieldSlot& slot = slots_[i];
    const bool negative = value < 0;
    const auto wide = static_cast<UInt128>(value);
    const UInt128 magnitude = negative ? 0 - wide : wide;
    const auto low = static_cast<uint64_t>(magnitude);
    const auto high = static_cast<uint64_t>(magnitude >> 64);
    if (high != 0 || !small_.holds(low))
      return stage(i, {{low, high, 0, 0}, negative, scale_}, faults);
    const size_t size = small_.put(low, negative, slot.field.data() + kLengthBytes);
    store_be(slot.field.data(), static_cast<uint32_t>(size));
    slot.bytes = static_cast<uint32_t>(kLengthBytes + size);
  }

  void stage(size_t i, const Decimal& value, FaultList& faults) {
    FieldSlot& slot = slots_[i];
    const size_t begin = staging_.begin_field();
    Fault fault;
    if (!put_(value, staging_, fault)) faults.push_back({i, std::move(fault)});
    staging_.end_field(begin);
    const size_t place = begin - kLengthBytes;
    slot.bytes = static_cast<uint32_t>(staging_.size() - place);
    if (slot.bytes <= slot.field.size()) {
      std::memcpy(slot.field.data(), staging_.data() + place, slot.bytes);
    } else {
      store(slot.field.data(), place);
    }
  }

  void write_one(std::byte* to, const FieldSlot& slot) const {
    const std::byte* from = slot.field.data();
    if (slot.bytes > slot.field.size()) from = staging_.data() + load<size_t>(from);
    copy_bytes(to, from, slot.bytes);
  }

  int32_t scale_;
  SmallNumeric small_;
  PutDecimal put_;
  bool vector_code_ = SmallNumeric::vector_code_supported();
  const uint8_t* valid_ = nullptr;
  Scratch staging_;
  std::array<uint8_t, kFlagBytes> valid_scratch_;
  RowPart part_;
  std::array<FieldSlot, kBlockRowsMax> slots_;
};

}  // namespace

NumericLimit numeric_limit(const Target& target) {
  constexpr int32_t kHeader = 4;  // Server: VARHDRSZ
  if (target.type_modifier < kHeader) return {};
  const int32_t packed = target.type_modifier - kHeader;
  return {(packed >> 16) & 0xffff, ((packed & 0x7ff) ^ 1024) - 1024, target.rules.rounds};
}

Digits rounded(const Digits& value, int64_t scale, std::string& buffer) {
  if (value.scale <= scale) return value;
  const auto count = static_cast<int64_t>(value.digits.size());
  const int64_t kept = count - (value.scale - scale);
  const bool up = kept >= 0 && kept < count && value.digits[static_cast<size_t>(kept)] >= '5';
  buffer.assign(value.digits.substr(0, kept > 0 ? static_cast<size_t>(kept) : 0));
  if (up) {
    size_t at = buffer.size();
    while (at > 0 && buffer[at - 1] == '9') buffer[--at] = '0';
    if (at > 0) {
      ++buffer[at - 1];
    } else {
      buffer.insert(0, "1");
    }
  }
  return {value.negative, buffer, scale, value.shown_scale};
}

Digits digits_of(const Decimal& value, DigitBuffer& buffer) {
  return {value.negative, digits_of_magnitude(value.words, buffer), value.scale,
          std::max<int64_t>(value.scale, 0)};
}

Digits digits_of(const Integer& value, DigitBuffer& buffer) {
  return {value.negative, digits_of_magnitude({value.magnitude, 0, 0, 0}, buffer), 0, 0};
}

Digits digits_of(const Float& value, DigitBuffer& buffer) {
  const bool negative = std::signbit(value.value);
  const double magnitude = std::fabs(value.value);
  ShortestBuffer text;
  const char* const end = value.single ? put_shortest(static_cast<float>(magnitude), text)
                                       : put_shortest(magnitude, text);
  Digits digits = digits_of_scientific({text.data(), end}, buffer);
  if (buffer[0] == '0') return {};  // zero, and numeric has no minus zero
  digits.negative = negative;
  return digits;
}

bool put_numeric(const Digits& value, const NumericLimit& limit, Scratch& out, Fault& fault) {
  const bool limited = limit.precision != 0;
  const int64_t scale = limited ? std::max(limit.scale, 0) : value.shown_scale;
  std::string buffer;
  Digits exact = without_trailing_zeros(value);
  if (limited && limit.rounds && exact.scale > limit.scale) {
    exact = without_trailing_zeros(rounded(exact, limit.scale, buffer));
  }
  if (scale > kScaleMax) {
    fault = {sqlstate::kNumberOutOfRange, shown(value) + " has " + std::to_string(scale) +
                                              " digits behind the point, numeric holds " +
                                              std::to_string(kScaleMax)};
    return false;
  }
  if (exact.digits.empty()) {
    put_header(out.grow(kNumericHeaderBytes), {0, 0, kPositive, static_cast<uint16_t>(scale)});
    return true;
  }
  if (limited && !check_limit(value, exact, limit, fault)) return false;
  if (static_cast<int64_t>(exact.digits.size()) - exact.scale > kIntegerDigitsMax) {
    fault = {sqlstate::kNumberOutOfRange,
             shown(value) + " has more than " + std::to_string(kIntegerDigitsMax) +
                 " digits before the point, the most that numeric holds"};
    return false;
  }
  put_groups(exact, static_cast<uint16_t>(scale), out);
  return true;
}

SmallNumeric::SmallNumeric(int64_t scale, const NumericLimit& limit) {
  constexpr int64_t kScaleEnd = 20;
  constexpr int64_t kGroupsInAll = 5;
  if (scale < 0 || scale >= kScaleEnd) return;
  const auto pad = static_cast<size_t>((kDigitsPerGroup - scale % kDigitsPerGroup) % 4);
  factor_ = kPowersOfTen[pad];
  magnitude_end_ = ~uint64_t{0} / factor_;
  int64_t shown_scale = scale;
  if (limit.precision != 0) {
    const int64_t integer_digits = limit.precision - limit.scale;
    if (limit.scale < scale || integer_digits < 0) {
      magnitude_end_ = 0;
      return;
    }
    const auto digits = static_cast<size_t>(integer_digits + scale);
    if (digits < kPowersOfTen.size()) {
      magnitude_end_ = std::min(magnitude_end_, kPowersOfTen[digits]);
    }
    shown_scale = limit.scale;
  }
  const int64_t fraction_groups = (scale + static_cast<int64_t>(pad)) / kDigitsPerGroup;
  const int64_t weight = kGroupsInAll - 1 - fraction_groups;
  head_ = static_cast<uint64_t>(weight & 0xffff) << 32 | static_cast<uint64_t>(shown_scale);
}

bool put_numeric_special(NumericSpecial value, const NumericLimit& limit, Scratch& out,
                         Fault& fault) {
  if (value != NumericSpecial::kNan && limit.precision != 0) {
    fault = {sqlstate::kNumberOutOfRange, "an infinite value does not fit " + limit_name(limit)};
    return false;
  }
  put_header(out.grow(kNumericHeaderBytes), {0, 0, static_cast<uint16_t>(value), 0});
  return true;
}

std::string text_of(const Digits& value) {
  std::string text(value.digits);
  if (value.scale < 0 && !text.empty()) text.append(static_cast<size_t>(-value.scale), '0');
  const auto scale = static_cast<size_t>(std::max<int64_t>(value.scale, 0));
  if (text.size() <= scale) text.insert(0, scale + 1 - text.size(), '0');
  if (scale != 0) text.insert(text.size() - scale, ".");
  if (value.negative && !value.digits.empty()) text.insert(0, "-");
  return text;
}

bool integer_of(const Digits& value, Integer& integer) {
  const Digits exact = without_trailing_zeros(value);
  if (exact.digits.empty()) {
    integer = {};
    return true;
  }
  constexpr int64_t kZerosMax = 20;
  if (exact.scale > 0 || exact.scale < -kZerosMax) return false;
  uint64_t magnitude = 0;
  const auto append = [&](unsigned digit) {
    return !__builtin_mul_overflow(magnitude, uint64_t{10}, &magnitude) &&
           !__builtin_add_overflow(magnitude, uint64_t{digit}, &magnitude);
  };
  for (const char c : exact.digits) {
    if (!append(static_cast<unsigned>(c - '0'))) return false;
  }
  for (int64_t zeros = -exact.scale; zeros > 0; --zeros) {
    if (!append(0)) return false;
  }
  integer = {magnitude, value.negative};
  return true;
}

CodecPointer decimal_to_numeric(const Field& source, const Target& target) {
  const NumericLimit limit = numeric_limit(target);
  if (source.kind == ColumnKind::kDecimal256) {
    return staged_field(source, load_decimal, PutDecimal{limit});
  }
  return std::make_unique<DecimalField>(source, limit);
}
CodecPointer integer_to_numeric(const Field& source, const Target& target) {
  const NumericLimit limit = numeric_limit(target);
  return staged_field(source, load_integer, PutInteger{limit, SmallNumeric(0, limit)});
}
CodecPointer float_to_numeric(const Field& source, const Target& target) {
  return staged_field(source, load_float, PutFloat{numeric_limit(target)});
}

}  // namespace pgsink::encode
