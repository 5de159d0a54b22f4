#include "pgsink/encode/values/array.h"

#include <algorithm>
#include <array>
#include <string>

#include "pgsink/encode/base/fixed.h"
#include "pgsink/encode/base/staged.h"
#include "pgsink/encode/values/nested.h"
#include "pgsink/encode/values/render.h"

namespace pgsink::encode {
namespace {

// Server: array_recv(). int32 dimension count, flags (1: has NULLs), element OID; then for each
// dimension its length and lower bound; then the elements as fields.
constexpr size_t kArrayHeaderBytes = 12;
constexpr size_t kDimensionBytes = 8;
constexpr size_t kFlagsOffset = 4;
/// Server: MaxArraySize, MaxAllocSize / sizeof(Datum).
constexpr size_t kElementsMax = 0x3fffffff / 8;

Fault shape_fault(std::string what) { return {sqlstate::kArrayShape, std::move(what)}; }

class ArrayField final : public StagedBase {
 public:
  ArrayField(pgproto::Oid element_oid, std::vector<int32_t> widths, CodecPointer element)
      : element_oid_(element_oid), widths_(std::move(widths)), element_(std::move(element)) {
    fixed_ = element_->as_fixed();
  }

  size_t measure(const ColumnView& column, const Block& block, size_t* row_bytes,
                 FaultList& faults) override {
    begin_block(column, block);
    if (find_runs(column, block)) return measure_runs(block, row_bytes);
    for (size_t i = 0; i < block.count; ++i) {
      if (is_null(i)) {
        staging_.put_null_field();
      } else {
        Fault fault;
        const size_t begin = staging_.begin_field();
        if (!put_array(column, block.row(i), fault)) faults.push_back({i, std::move(fault)});
        staging_.end_field(begin);
      }
      end_row(i, row_bytes);
    }
    return 0;
  }

  void use_portable_code() override { element_->use_portable_code(); }

  void write_strided(std::byte* to, size_t stride, size_t count, bool exact) override {
    if (!runs_) return StagedBase::write_strided(to, stride, count, exact);
    for (size_t i = 0; i < count; ++i) cursors_[i] = to + i * stride;
    write_runs(cursors_.data(), 0, count);
  }
  void write_at(std::byte* const* rows, size_t offset, size_t count, bool exact) override {
    if (!runs_) return StagedBase::write_at(rows, offset, count, exact);
    std::copy_n(rows, count, cursors_.data());
    write_runs(cursors_.data(), offset, count);
  }
  void write_moving(std::byte** rows, size_t offset, size_t count) override {
    if (!runs_) return StagedBase::write_moving(rows, offset, count);
    write_runs(rows, offset, count);
  }

 private:
  static constexpr size_t kOneDimensionBytes = kArrayHeaderBytes + kDimensionBytes;

  /// Whether the block's elements can be stored straight from the source: one dimension, rows one
  /// behind the other, elements of fixed width that need no conversion and are not NULL. Nothing is
  /// staged then.
  bool find_runs(const ColumnView& column, const Block& block) {
    runs_ = false;
    if (fixed_ == nullptr || widths_.size() != 1 || block.indexes != nullptr || block.count == 0 ||
        column.kind == ColumnKind::kStdVector || is_list_view(column)) {
      return false;
    }
    const ListItems front = list_items(column, block.first, widths_[0], scratch_[0]);
    const ListItems back =
        list_items(column, block.first + block.count - 1, widths_[0], scratch_[0]);
    const size_t count = back.first + back.count - front.first;
    if (count > kElementsMax ||
        !elements_are_plain({front.elements, front.first, count}, run_lanes_)) {
      return false;
    }
    list_counts(column, block, widths_[0], firsts_.data(), counts_.data());
    // A NULL list with elements would break the run.
    for (size_t i = 0; valid() != nullptr && i < block.count; ++i) {
      if (is_null(i) && counts_[i] != 0) return false;
    }
    runs_ = true;
    note_runs();
    return true;
  }

  void note_runs() {
    part_.form = RowPart::Form::kRuns;
    part_.valid = valid();
    part_.oid = element_oid_;
    part_.width = static_cast<uint8_t>(run_lanes_.width);
    part_.values = run_lanes_.values;
    part_.stride_bytes = run_lanes_.stride_bytes;
    part_.addend = static_cast<uint64_t>(run_lanes_.addend);
    part_.counts = counts_.data();
    part_.firsts = firsts_.data();
  }

  size_t run_bytes(size_t i) const {
    if (is_null(i)) return kLengthBytes;
    return kLengthBytes + array_bytes(counts_[i], run_lanes_.width);
  }

  size_t measure_runs(const Block& block, size_t* row_bytes) {
    const bool same =
        valid() == nullptr &&
        std::all_of(counts_.begin(), counts_.begin() + static_cast<ptrdiff_t>(block.count),
                    [this](uint32_t n) { return n == counts_[0]; });
    part_.equal_runs = same;
    if (same) return run_bytes(0);
    for (size_t i = 0; i < block.count; ++i) row_bytes[i] += run_bytes(i);
    return 0;
  }

  void write_runs(std::byte** rows, size_t offset, size_t count) {
    std::array<std::byte*, kBlockRowsMax> places;
    for (size_t i = 0; i < count; ++i) {
      std::byte* const to = rows[i] + offset;
      const auto bytes = static_cast<uint32_t>(run_bytes(i) - kLengthBytes);
      places[i] = to + kLengthBytes + kOneDimensionBytes;
      rows[i] = to + kLengthBytes + bytes;
      if (is_null(i)) {
        store<uint32_t>(to, ~uint32_t{0});
        rows[i] = to + kLengthBytes;
      } else {
        put_array_head(to, array_head(element_oid_, counts_[i], run_lanes_.width));
      }
    }
    store_runs(run_lanes_, counts_.data(), places.data(), count);
  }

  bool put_array(const ColumnView& column, size_t row, Fault& fault) {
    const size_t begin = staging_.size();
    const size_t depth = widths_.size();
    const ListItems items = list_items(column, row, widths_[0], scratch_[0]);
    put_header(items.count == 0 ? 0 : depth);
    if (items.count == 0) return true;
    lengths_.fill(0);
    lengths_[0] = items.count;
    elements_ = 0;
    has_null_ = false;
    if (!put_level(items, 0, fault)) return false;
    if (elements_ > kElementsMax) {
      fault = {sqlstate::kProgramLimit, "an array of " + std::to_string(elements_) +
                                            " elements exceeds the server's limit of " +
                                            std::to_string(kElementsMax)};
      return false;
    }
    std::byte* at = staging_.data() + begin;
    pgproto::store_be(at + kFlagsOffset, int32_t{has_null_ ? 1 : 0});
    at += kArrayHeaderBytes;
    for (size_t level = 0; level < depth; ++level, at += kDimensionBytes) {
      pgproto::store_be(at, static_cast<int32_t>(lengths_[level]));
    }
    return true;
  }

  void put_header(size_t dimensions) {
    staging_.put(static_cast<int32_t>(dimensions));
    staging_.put(int32_t{0});
    staging_.put(element_oid_);
    for (size_t level = 0; level < dimensions; ++level) {
      staging_.put(int32_t{0});  // length, known at the end
      staging_.put(int32_t{1});  // lower bound
    }
  }

  /// Puts the items of one list: elements at the innermost level, lists above it.
  bool put_level(const ListItems& items, size_t level, Fault& fault) {
    if (level + 1 == widths_.size()) return put_elements(items, fault);
    for (size_t i = 0; i < items.count; ++i) {
      const size_t row = items.first + i;
      if (is_null_at(*items.elements, row)) {
        fault = {sqlstate::kNullNotAllowed,
                 "list " + std::to_string(i + 1) + " of dimension " + std::to_string(level + 2) +
                     " is NULL, which an array of several dimensions cannot hold"};
        return false;
      }
      const ListItems inner =
          list_items(*items.elements, row, widths_[level + 1], scratch_[level + 1]);
      if (inner.count == 0) {
        fault = shape_fault("list " + std::to_string(i + 1) + " of dimension " +
                            std::to_string(level + 2) +
                            " is empty, which an array of several dimensions cannot hold");
        return false;
      }
      size_t& length = lengths_[level + 1];
      if (length == 0) length = inner.count;
      if (length != inner.count) {
        fault = shape_fault("lists of dimension " + std::to_string(level + 2) + " have " +
                            std::to_string(length) + " and " + std::to_string(inner.count) +
                            " items, but an array must be rectangular");
        return false;
      }
      if (!put_level(inner, level + 1, fault)) return false;
    }
    return true;
  }

  bool put_elements(const ListItems& items, Fault& fault) {
    elements_ += items.count;
    if (put_plain_elements(items)) return true;
    for (size_t done = 0; done < items.count; done += kBlockRowsMax) {
      const Block block{items.first + done, std::min(items.count - done, kBlockRowsMax), nullptr};
      if (!put_block(*items.elements, block, done, fault)) return false;
    }
    return true;
  }

  /// Fixed-width elements without NULL go straight from the source to staging, however many.
  bool put_plain_elements(const ListItems& items) {
    Lanes lanes;
    if (!elements_are_plain(items, lanes)) return false;
    const size_t stride = kLengthBytes + lanes.width;
    store_strided(lanes, staging_.grow(items.count * stride), stride, items.count, true);
    return true;
  }

  bool elements_are_plain(const ListItems& items, Lanes& lanes) const {
    if (fixed_ == nullptr || items.elements->validity_bytes != nullptr) return false;
    const ColumnView& elements = *items.elements;
    if (elements.validity_bits != nullptr &&
        !bits_all_set(elements.validity_bits, static_cast<size_t>(elements.offset) + items.first,
                      items.count)) {
      return false;
    }
    return fixed_->direct_lanes(elements, items.first, items.count, lanes);
  }

  bool put_block(const ColumnView& elements, const Block& block, size_t done, Fault& fault) {
    std::fill_n(element_bytes_.data(), block.count, 0);
    const size_t same = element_->measure(elements, block, element_bytes_.data(), faults_);
    if (!faults_.empty()) {
      const size_t number = done + faults_.front().position + 1;
      fault = std::move(faults_.front().fault);
      fault.message.insert(0, "element " + std::to_string(number) + ": ");
      faults_.clear();
      return false;
    }
    size_t total = 0;
    for (size_t i = 0; i < block.count; ++i) total += same + element_bytes_[i];
    std::byte* at = staging_.grow(total);
    if (same != 0) {
      element_->write_strided(at, same, block.count, true);
      has_null_ |= same == kLengthBytes;
      return true;
    }
    for (size_t i = 0; i < block.count; ++i) {
      cursors_[i] = at;
      at += element_bytes_[i];
    }
    element_->write_moving(cursors_.data(), 0, block.count);
    for (size_t i = 0; i < block.count && !has_null_; ++i) {
      // Each cursor is now behind its field; a field of a length word alone is NULL or empty.
      const bool bare = element_bytes_[i] == kLengthBytes;
      has_null_ = bare && load<int32_t>(cursors_[i] - kLengthBytes) == -1;
    }
    return true;
  }

  pgproto::Oid element_oid_;
  std::vector<int32_t> widths_;
  CodecPointer element_;
  FixedField* fixed_ = nullptr;  ///< element_, if it is one.

  // Of the block at hand.
  bool runs_ = false;
  Lanes run_lanes_;
  std::array<uint32_t, kBlockRowsMax> counts_{};
  std::array<uint32_t, kBlockRowsMax> firsts_{};

  // Of the array at hand.
  std::array<size_t, kArrayDimensionsMax> lengths_{};
  size_t elements_ = 0;
  bool has_null_ = false;

  std::array<ColumnView, kArrayDimensionsMax> scratch_;
  FaultList faults_;
  std::array<size_t, kBlockRowsMax> element_bytes_{};
  std::array<std::byte*, kBlockRowsMax> cursors_{};
};

/// Whether the element type makes something of a list by itself.
bool takes_lists(TargetKind kind) {
  return kind == TargetKind::kJson || kind == TargetKind::kJsonb || kind == TargetKind::kArray;
}

}  // namespace

Result<ArrayShape> array_shape(const Field& source, const Target& target) {
  ArrayShape shape;
  const bool flat = takes_lists(target.parts[0].kind) || source.kind == ColumnKind::kMap;
  const Field* field = &source;
  while (is_list(field->kind) || field->kind == ColumnKind::kMap) {
    if (shape.widths.size() == kArrayDimensionsMax) {
      return pgproto::fail(Errc::kColumnType,
                           "lists nest deeper than the 6 dimensions of PostgreSQL's arrays");
    }
    shape.widths.push_back(field->width);
    field = &field->children[0];
    if (flat) break;
  }
  shape.element = field;
  return shape;
}

CodecPointer array_field(const Target& target, const ArrayShape& shape, CodecPointer element) {
  return std::make_unique<ArrayField>(target.parts[0].oid, shape.widths, std::move(element));
}

}  // namespace pgsink::encode
