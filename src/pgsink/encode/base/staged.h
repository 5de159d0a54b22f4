#pragma once
// StagedField: codecs whose values must be computed before their size is known (numeric, text of
// numbers, JSON, arrays, parsed text). measure() computes whole fields into scratch; write() copies
// them, so the written fields are the measured ones by construction.

#include "pgsink/encode/base/loaders.h"
#include "pgsink/encode/base/row_part.h"
#include "pgsink/encode/base/scratch.h"

namespace pgsink::encode {

/// StagedBase keeps the fields of a block, length words included, one after the other.
class StagedBase : public FieldCodec {
 public:
  void write_strided(std::byte* to, size_t stride, size_t count, bool exact) override;
  void write_at(std::byte* const* rows, size_t offset, size_t count, bool exact) override;
  void write_moving(std::byte** rows, size_t offset, size_t count) override;
  const RowPart* row_part() const final { return &part_; }

 protected:
  /// begin_block finds the NULLs and drops the fields of the previous block.
  void begin_block(const ColumnView& column, const Block& block);
  bool is_null(size_t i) const { return valid_ != nullptr && valid_[i] == 0; }
  const uint8_t* valid() const { return valid_; }
  /// end_row records that the field of row i ends here.
  void end_row(size_t i, size_t* row_bytes) {
    ends_[i + 1] = staging_.size();
    part_.heap = staging_.data();
    row_bytes[i] += ends_[i + 1] - ends_[i];
  }

  Scratch staging_;
  RowPart part_;

 private:
  const uint8_t* valid_ = nullptr;
  std::array<uint8_t, kFlagBytes> valid_scratch_;
  std::array<size_t, kBlockRowsMax + 1> ends_{};
};

/// StagedField runs a Put over each value:
///
///   using Value;  // the type that its loader fills
///   // Appends the value, without length; false with a fault.
///   bool operator()(const Value& value, Scratch& out, Fault& fault);
///   // Only of documents: see FieldCodec::leave_documents_to_server().
///   void leave_to_server(bool leave);
template <class Put>
class StagedField final : public StagedBase {
 public:
  using Value = typename Put::Value;
  StagedField(Field source, Loader<Value> load, Put put)
      : source_(std::move(source)), load_(load), put_(std::move(put)) {}

  size_t measure(const ColumnView& column, const Block& block, size_t* row_bytes,
                 FaultList& faults) override {
    begin_block(column, block);
    load_(column, block, valid(), source_, values_.data());
    for (size_t i = 0; i < block.count; ++i) {
      if (is_null(i)) {
        staging_.put_null_field();
      } else {
        const size_t begin = staging_.begin_field();
        Fault fault;
        if (!put_(values_[i], staging_, fault)) faults.push_back({i, std::move(fault)});
        staging_.end_field(begin);
      }
      end_row(i, row_bytes);
    }
    return 0;
  }
  bool leave_documents_to_server(bool leave) override {
    if constexpr (requires { put_.leave_to_server(leave); }) {
      put_.leave_to_server(leave);
      return true;
    }
    return FieldCodec::leave_documents_to_server(leave);
  }

 private:
  Field source_;
  Loader<Value> load_;
  Put put_;
  std::array<Value, kBlockRowsMax> values_{};
};

template <class Put>
CodecPointer staged_field(const Field& source, Loader<typename Put::Value> load, Put put) {
  return std::make_unique<StagedField<Put>>(source, load, std::move(put));
}

}  // namespace pgsink::encode
