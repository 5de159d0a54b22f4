#include "pgsink/encode/base/fixed.h"

namespace pgsink::encode {
namespace {

using pgproto::big_endian;

template <size_t width>
struct Word;
template <>
struct Word<1> {
  using Type = uint8_t;
};
template <>
struct Word<2> {
  using Type = uint16_t;
};
template <>
struct Word<4> {
  using Type = uint32_t;
};
template <>
struct Word<8> {
  using Type = uint64_t;
};

/// A value plus the addend: an epoch, for dates and times.
template <size_t width>
inline auto load_word(const std::byte* from, uint64_t addend) {
  using T = typename Word<width>::Type;
  const T value = load<T>(from);
  if constexpr (width >= 4) {
    return static_cast<T>(value + static_cast<T>(addend));
  } else {
    return value;
  }
}

template <size_t width>
inline void store_value(std::byte* to, const std::byte* from, uint64_t addend) {
  if constexpr (width > 8) {
    std::memcpy(to, from, width);
  } else {
    store(to, big_endian(load_word<width>(from, addend)));
  }
}

/// Length and value; with `loose` up to 3 bytes after them may be overwritten.
template <size_t width, bool loose>
inline void store_field(std::byte* to, const std::byte* from, uint64_t addend) {
  constexpr bool kLittle = std::endian::native == std::endian::little;
  if constexpr (kLittle && (width == 4 || (loose && width < 4))) {
    const auto value = load_word<width>(from, addend);
    const uint64_t length = big_endian(static_cast<uint32_t>(width));
    store<uint64_t>(to, length | static_cast<uint64_t>(big_endian(value)) << 32);
  } else {
    store<uint32_t>(to, big_endian(static_cast<uint32_t>(width)));
    store_value<width>(to + kLengthBytes, from, addend);
  }
}

template <size_t width, bool loose>
void strided(const Lanes& lanes, std::byte* to, size_t stride, size_t count) {
  const std::byte* from = lanes.values;
  const auto addend = static_cast<uint64_t>(lanes.addend);
  for (size_t i = 0; i < count; ++i, to += stride, from += lanes.stride_bytes) {
    store_field<width, loose>(to, from, addend);
  }
}

template <size_t width, bool loose>
void at_rows(const Lanes& lanes, std::byte* const* rows, size_t offset, size_t count) {
  const std::byte* from = lanes.values;
  const auto addend = static_cast<uint64_t>(lanes.addend);
  for (size_t i = 0; i < count; ++i, from += lanes.stride_bytes) {
    store_field<width, loose>(rows[i] + offset, from, addend);
  }
}

template <size_t width>
void moving(const Lanes& lanes, const uint8_t* valid, std::byte** rows, size_t offset,
            size_t count) {
  const std::byte* from = lanes.values;
  const auto addend = static_cast<uint64_t>(lanes.addend);
  if (valid == nullptr) {
    for (size_t i = 0; i < count; ++i, from += lanes.stride_bytes) {
      std::byte* const to = rows[i] + offset;
      store_field<width, false>(to, from, addend);
      rows[i] = to + kLengthBytes + width;
    }
    return;
  }
  // Where the values of NULL rows are written, so that no branch is needed.
  std::array<std::byte, 16> trash;
  for (size_t i = 0; i < count; ++i, from += lanes.stride_bytes) {
    std::byte* const to = rows[i] + offset;
    const bool is_valid = valid[i] != 0;
    store<uint32_t>(to, is_valid ? big_endian(static_cast<uint32_t>(width)) : ~uint32_t{0});
    std::byte* const value = to + kLengthBytes;
    store_value<width>(is_valid ? value : trash.data(), from, addend);
    rows[i] = value + (is_valid ? width : 0);
  }
}

template <class F>
void with_width(uint32_t width, F&& f) {
  switch (width) {
    case 1:
      return f(std::integral_constant<size_t, 1>{});
    case 2:
      return f(std::integral_constant<size_t, 2>{});
    case 4:
      return f(std::integral_constant<size_t, 4>{});
    case 8:
      return f(std::integral_constant<size_t, 8>{});
    case 12:
      return f(std::integral_constant<size_t, 12>{});
    default:
      break;
  }
  PGPROTO_ASSERT(width == 16);
  f(std::integral_constant<size_t, 16>{});
}

RowPart::Form form_of(uint32_t width) {
  using Form = RowPart::Form;
  constexpr std::array<Form, 17> kForms = [] {
    std::array<Form, 17> forms{};
    forms[1] = Form::kFixed1;
    forms[2] = Form::kFixed2;
    forms[4] = Form::kFixed4;
    forms[8] = Form::kFixed8;
    forms[12] = Form::kFixed12;
    forms[16] = Form::kFixed16;
    return forms;
  }();
  return kForms[width];
}

class NullField final : public FieldCodec {
 public:
  size_t measure(const ColumnView&, const Block&, size_t*, FaultList&) override {
    return kLengthBytes;
  }
  void write_strided(std::byte* to, size_t stride, size_t count, bool) override {
    for (size_t i = 0; i < count; ++i) store<uint32_t>(to + i * stride, ~uint32_t{0});
  }
  void write_at(std::byte* const* rows, size_t offset, size_t count, bool) override {
    for (size_t i = 0; i < count; ++i) store<uint32_t>(rows[i] + offset, ~uint32_t{0});
  }
  void write_moving(std::byte** rows, size_t offset, size_t count) override {
    write_at(rows, offset, count, true);
    for (size_t i = 0; i < count; ++i) rows[i] += offset + kLengthBytes;
  }
  const RowPart* row_part() const override { return &part_; }

 private:
  RowPart part_;  ///< Its initial state means NULL.
};

class BoolBitsField final : public FixedField {
 public:
  BoolBitsField() : FixedField(1) {}

 protected:
  void prepare(const ColumnView& column, const Block& block, FaultList&) override {
    const auto* bits = static_cast<const uint8_t*>(column.values);
    const auto offset = static_cast<size_t>(column.offset);
    if (block.indexes == nullptr) {
      expand_bits(bits, offset + block.first, block.count, flags_.data());
    } else {
      for (size_t i = 0; i < block.count; ++i) {
        const size_t bit = offset + block.indexes[i];
        flags_[i] = static_cast<uint8_t>((bits[bit >> 3] >> (bit & 7)) & 1U);
      }
    }
    lanes_.values = reinterpret_cast<const std::byte*>(flags_.data());
    lanes_.stride_bytes = 1;
  }

 private:
  std::array<uint8_t, kFlagBytes> flags_;
};

}  // namespace

void store_strided(const Lanes& lanes, std::byte* to, size_t stride, size_t count, bool exact) {
  with_width(lanes.width, [&](auto width) {
    if (exact) {
      strided<width(), false>(lanes, to, stride, count);
    } else {
      strided<width(), true>(lanes, to, stride, count);
    }
  });
}

void store_at(const Lanes& lanes, std::byte* const* rows, size_t offset, size_t count, bool exact) {
  with_width(lanes.width, [&](auto width) {
    if (exact) {
      at_rows<width(), false>(lanes, rows, offset, count);
    } else {
      at_rows<width(), true>(lanes, rows, offset, count);
    }
  });
}

void store_moving(const Lanes& lanes, const uint8_t* valid, std::byte** rows, size_t offset,
                  size_t count) {
  with_width(lanes.width, [&](auto width) { moving<width()>(lanes, valid, rows, offset, count); });
}

void FixedField::load(const ColumnView& column, const Block& block, FaultList& faults) {
  valid_ = load_validity(column, block, valid_scratch_.data());
  prepare(column, block, faults);
  part_.form = form_of(lanes_.width);
  part_.valid = valid_;
  part_.values = lanes_.values;
  part_.stride_bytes = lanes_.stride_bytes;
  part_.addend = static_cast<uint64_t>(lanes_.addend);
}

void store_runs(const Lanes& lanes, const uint32_t* counts, std::byte* const* places,
                size_t row_count) {
  with_width(lanes.width, [&](auto width) {
    const std::byte* from = lanes.values;
    const auto addend = static_cast<uint64_t>(lanes.addend);
    for (size_t row = 0; row < row_count; ++row) {
      std::byte* to = places[row];
      for (uint32_t i = 0; i < counts[row]; ++i) {
        store_field<width(), false>(to, from, addend);
        to += kLengthBytes + width();
        from += lanes.stride_bytes;
      }
    }
  });
}

size_t FixedField::measure(const ColumnView& column, const Block& block, size_t* row_bytes,
                           FaultList& faults) {
  load(column, block, faults);
  const size_t bytes = kLengthBytes + lanes_.width;
  if (valid_ == nullptr) return bytes;
  // Without a branch: NULLs often come in random order.
  const size_t width = lanes_.width;
  const uint8_t* const valid = valid_;
  for (size_t i = 0; i < block.count; ++i) {
    row_bytes[i] += kLengthBytes + (width & (0 - static_cast<size_t>(valid[i])));
  }
  return 0;
}

CodecPointer null_field() { return std::make_unique<NullField>(); }
CodecPointer bool_bits_field() { return std::make_unique<BoolBitsField>(); }

}  // namespace pgsink::encode
