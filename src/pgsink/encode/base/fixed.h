#pragma once
// Codecs whose fields have the same size for every value: integers, floats, dates, timestamps,
// uuid, …
//
// Preparing a block ends in Lanes: host-order values of the target's width, either the source's own
// memory (plus an addend, for another epoch) or converted ones in scratch. Storing them is then one
// loop for each width, for all types.

#include <array>
#include <type_traits>

#include "pgsink/encode/base/field.h"
#include "pgsink/encode/base/row_part.h"

namespace pgsink::encode {

/// Lanes are the values of one block, complete except for their byte order.
struct Lanes {
  const std::byte* values = nullptr;
  ptrdiff_t stride_bytes = 0;
  int64_t addend = 0;  ///< Added to each value; only for widths 4 and 8.
  /// 1, 2, 4, 8: host order. 12, 16: bytes as they go over the wire.
  uint32_t width = 0;
};

void store_strided(const Lanes& lanes, std::byte* to, size_t stride, size_t count, bool exact);
void store_at(const Lanes& lanes, std::byte* const* rows, size_t offset, size_t count, bool exact);
/// `valid` may be null: no NULL.
void store_moving(const Lanes& lanes, const uint8_t* valid, std::byte** rows, size_t offset,
                  size_t count);

/// store_runs stores the next counts[i] values one after the other at each places[i].
void store_runs(const Lanes& lanes, const uint32_t* counts, std::byte* const* places,
                size_t row_count);

/// FixedField is the part of a fixed-width codec that does not depend on the types.
class FixedField : public FieldCodec {
 public:
  explicit FixedField(uint32_t width) { lanes_.width = width; }

  size_t measure(const ColumnView& column, const Block& block, size_t* row_bytes,
                 FaultList& faults) final;
  void write_strided(std::byte* to, size_t stride, size_t count, bool exact) final {
    store_strided(lanes_, to, stride, count, exact);
  }
  void write_at(std::byte* const* rows, size_t offset, size_t count, bool exact) final {
    store_at(lanes_, rows, offset, count, exact);
  }
  void write_moving(std::byte** rows, size_t offset, size_t count) final {
    store_moving(lanes_, valid_, rows, offset, count);
  }

  const RowPart* row_part() const final { return &part_; }
  FixedField* as_fixed() final { return this; }

  /// load does what measure() does except for the sizes: it finds NULLs and sets lanes().
  void load(const ColumnView& column, const Block& block, FaultList& faults);

  /// direct_lanes points at `count` rows, however many, if their values can be stored unchanged.
  /// The caller must find the NULLs.
  virtual bool direct_lanes(const ColumnView& column, size_t first, size_t count,
                            Lanes& lanes) const {
    static_cast<void>(column);
    static_cast<void>(first);
    static_cast<void>(count);
    static_cast<void>(lanes);
    return false;
  }

  const Lanes& lanes() const { return lanes_; }
  /// One byte per row, 0 for NULL; null: no NULL in the block.
  const uint8_t* valid() const { return valid_; }

 protected:
  /// prepare sets lanes_. Values of NULL rows (see valid()) may be anything and are never a fault.
  virtual void prepare(const ColumnView& column, const Block& block, FaultList& faults) = 0;

  Lanes lanes_;

 private:
  const uint8_t* valid_ = nullptr;
  RowPart part_;
  std::array<uint8_t, kFlagBytes> valid_scratch_;
};

/// DirectField writes source values unchanged.
template <class T>
class DirectField final : public FixedField {
 public:
  DirectField() : FixedField(sizeof(T)) {}

  bool direct_lanes(const ColumnView& column, size_t first, size_t, Lanes& lanes) const override {
    lanes = {value_at(column, first), column.stride_bytes, 0, sizeof(T)};
    return true;
  }

 protected:
  void prepare(const ColumnView& column, const Block& block, FaultList&) override {
    if (block.indexes == nullptr) {
      lanes_.values = value_at(column, block.first);
      lanes_.stride_bytes = column.stride_bytes;
      return;
    }
    for_each_value<T>(column, block, [&](size_t i, const T& value) { scratch_[i] = value; });
    lanes_.values = reinterpret_cast<const std::byte*>(scratch_.data());
    lanes_.stride_bytes = sizeof(T);
  }

 private:
  std::array<T, kBlockRowsMax> scratch_;
};

/// ConvertField runs every value through an Op:
///
///   using Source, Lane;  // type in memory, and target value in host order (or wire bytes)
///   bool convert(Source value, Lane& lane) const;  // false: the value does not fit
///   Fault fault(Source value) const;
///
/// An Op with `static constexpr bool kDirect = true` also has kAddend, kDirectMin, kDirectBits and
/// `bool direct() const`: a block whose values are all in [kDirectMin, kDirectMin + 2^kDirectBits)
/// is written from the source's memory with kAddend added. That range may be smaller than the
/// target's.
template <class Op>
class ConvertField final : public FixedField {
 public:
  explicit ConvertField(Op op) : FixedField(sizeof(typename Op::Lane)), op_(op) {}

  bool direct_lanes(const ColumnView& column, size_t first, size_t count,
                    Lanes& lanes) const override {
    if constexpr (has_direct()) {
      if (!all_direct(column, {first, count, nullptr})) return false;
      lanes = {value_at(column, first), column.stride_bytes, Op::kAddend, sizeof(Lane)};
      return true;
    } else {
      return FixedField::direct_lanes(column, first, count, lanes);
    }
  }

 protected:
  using Source = typename Op::Source;
  using Lane = typename Op::Lane;

  void prepare(const ColumnView& column, const Block& block, FaultList& faults) override {
    if constexpr (has_direct()) {
      if (block.indexes == nullptr && all_direct(column, block)) {
        lanes_ = {value_at(column, block.first), column.stride_bytes, Op::kAddend, sizeof(Lane)};
        return;
      }
    }
    unsigned bad = 0;
    for_each_value<Source>(column, block, [&](size_t i, const Source& value) {
      bad |= op_.convert(value, scratch_[i]) ? 0U : 1U;
    });
    lanes_ = {reinterpret_cast<const std::byte*>(scratch_.data()), sizeof(Lane), 0, sizeof(Lane)};
    if (bad != 0) collect(column, block, faults);
  }

 private:
  static constexpr bool has_direct() {
    if constexpr (requires { Op::kDirect; }) {
      return Op::kDirect;
    } else {
      return false;
    }
  }

  /// One pass that the compiler vectorizes: a value outside the range sets a high bit.
  bool all_direct(const ColumnView& column, const Block& block) const {
    using Bits = std::make_unsigned_t<Source>;
    if (!op_.direct()) return false;
    Bits high = 0;
    for_each_value<Source>(column, block, [&](size_t, const Source& value) {
      high |= static_cast<Bits>(static_cast<Bits>(value) - static_cast<Bits>(Op::kDirectMin));
    });
    return high >> Op::kDirectBits == 0;
  }

  void collect(const ColumnView& column, const Block& block, FaultList& faults) {
    for_each_value<Source>(column, block, [&](size_t i, const Source& value) {
      if (valid() != nullptr && valid()[i] == 0) return;
      if (!op_.convert(value, scratch_[i])) faults.push_back({i, op_.fault(value)});
    });
  }

  Op op_;
  std::array<Lane, kBlockRowsMax> scratch_;
};

/// null_field writes NULL for every row.
CodecPointer null_field();
/// bool_bits_field writes bit-packed booleans as bool.
CodecPointer bool_bits_field();

}  // namespace pgsink::encode
