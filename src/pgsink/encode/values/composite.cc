#include "pgsink/encode/values/composite.h"

#include <algorithm>
#include <array>

#include <pgproto/ascii.h>

#include "pgsink/encode/base/valid_rows.h"

namespace pgsink::encode {
namespace {

constexpr size_t kCountBytes = 4;
constexpr size_t kOidBytes = 4;

bool same_name(std::string_view a, std::string_view b, bool fold) {
  return fold ? pgproto::ascii::equal_folded(a, b) : a == b;
}

/// The field of that name, exact before folded; npos if there is none or several.
size_t find_field(const Field& source, std::string_view name) {
  constexpr size_t kNone = static_cast<size_t>(-1);
  for (const bool fold : {false, true}) {
    size_t found = kNone;
    size_t count = 0;
    for (size_t i = 0; i < source.children.size(); ++i) {
      if (!same_name(source.children[i].name, name, fold)) continue;
      found = i;
      ++count;
    }
    if (count == 1) return found;
    if (count > 1) return kNone;
  }
  return kNone;
}

// Server: record_recv(). int32 attribute count, then for each its type's OID and the field.
class CompositeField final : public FieldCodec {
 public:
  CompositeField(const Target& target, std::vector<size_t> fields, std::vector<CodecPointer> codecs)
      : fields_(std::move(fields)), codecs_(std::move(codecs)), names_(target.names) {
    for (const Target& part : target.parts) oids_.push_back(part.oid);
    constants_.resize(codecs_.size());
  }

  size_t measure(const ColumnView& column, const Block& block, size_t* row_bytes,
                 FaultList& faults) override {
    valid_.begin(column, block);
    const Block& rows = valid_.block();
    std::fill_n(value_bytes_.data(), rows.count, 0);
    constant_ = kCountBytes + codecs_.size() * kOidBytes;
    bool same = valid_.all();
    for (size_t k = 0; k < codecs_.size(); ++k) {
      const size_t before = faults.size();
      constants_[k] =
          codecs_[k]->measure(column.children[fields_[k]], rows, value_bytes_.data(), faults);
      constant_ += constants_[k];
      same &= constants_[k] != 0;
      name_faults(k, before, faults);
    }
    varying_ = !same;
    if (same) return kLengthBytes + constant_;
    for (size_t i = 0; i < rows.count; ++i) {
      value_bytes_[i] += constant_;
      row_bytes[valid_.position(i)] += kLengthBytes + value_bytes_[i];
    }
    if (!valid_.all()) {
      for (size_t i = 0; i < block.count; ++i) {
        if (!valid_.is_valid(i)) row_bytes[i] += kLengthBytes;
      }
    }
    return 0;
  }

  void use_portable_code() override {
    for (const CodecPointer& codec : codecs_) codec->use_portable_code();
  }

  void write_strided(std::byte* to, size_t stride, size_t count, bool exact) override {
    for (size_t i = 0; i < count; ++i) put_header(to + i * stride, constant_);
    size_t offset = kLengthBytes + kCountBytes;
    for (size_t k = 0; k < codecs_.size(); ++k) {
      for (size_t i = 0; i < count; ++i) pgproto::store_be(to + i * stride + offset, oids_[k]);
      offset += kOidBytes;
      codecs_[k]->write_strided(to + offset, stride, count, exact && k + 1 == codecs_.size());
      offset += constants_[k];
    }
  }

  void write_at(std::byte* const* rows, size_t offset, size_t count, bool exact) override {
    for (size_t i = 0; i < count; ++i) put_header(rows[i] + offset, constant_);
    offset += kLengthBytes + kCountBytes;
    for (size_t k = 0; k < codecs_.size(); ++k) {
      for (size_t i = 0; i < count; ++i) pgproto::store_be(rows[i] + offset, oids_[k]);
      offset += kOidBytes;
      codecs_[k]->write_at(rows, offset, count, exact && k + 1 == codecs_.size());
      offset += constants_[k];
    }
  }

  void write_moving(std::byte** rows, size_t offset, size_t count) override {
    const size_t used = valid_.gather(rows, offset, count, cursors_.data());
    for (size_t i = 0; i < used; ++i) {
      put_header(cursors_[i], value_bytes(i));
      cursors_[i] += kLengthBytes + kCountBytes;
    }
    for (size_t k = 0; k < codecs_.size(); ++k) {
      for (size_t i = 0; i < used; ++i) pgproto::store_be(cursors_[i], oids_[k]);
      codecs_[k]->write_moving(cursors_.data(), kOidBytes, used);
    }
    valid_.scatter(cursors_.data(), used, rows);
  }

 private:
  size_t value_bytes(size_t i) const { return varying_ ? value_bytes_[i] : constant_; }

  void put_header(std::byte* to, size_t bytes) const {
    pgproto::store_be(to, static_cast<int32_t>(bytes));
    pgproto::store_be(to + kLengthBytes, static_cast<int32_t>(codecs_.size()));
  }

  /// Faults of an attribute get its name and the position in the whole block.
  void name_faults(size_t attribute, size_t before, FaultList& faults) const {
    for (size_t f = before; f < faults.size(); ++f) {
      faults[f].position = valid_.position(faults[f].position);
      faults[f].fault.message.insert(0, "attribute \"" + names_[attribute] + "\": ");
    }
  }

  std::vector<size_t> fields_;
  std::vector<CodecPointer> codecs_;
  std::vector<std::string> names_;
  std::vector<pgproto::Oid> oids_;
  std::vector<size_t> constants_;  ///< Of each attribute in the current block; 0: varying.
  size_t constant_ = 0;
  bool varying_ = false;
  ValidRows valid_;
  std::array<size_t, kBlockRowsMax> value_bytes_{};
  std::array<std::byte*, kBlockRowsMax> cursors_{};
};

}  // namespace

Result<std::vector<size_t>> match_attributes(const Field& source, const Target& target) {
  constexpr size_t kNone = static_cast<size_t>(-1);
  std::vector<size_t> fields;
  size_t found = 0;
  std::string missing;
  for (const std::string& name : target.names) {
    const size_t field = find_field(source, name);
    fields.push_back(field);
    if (field != kNone) {
      ++found;
    } else {
      missing += (missing.empty() ? "\"" : ", \"") + name + "\"";
    }
  }
  const bool same_count = source.children.size() == target.names.size();
  if (found == target.names.size() && same_count) return fields;
  if (found == 0 && same_count) {
    for (size_t i = 0; i < fields.size(); ++i) fields[i] = i;
    return fields;
  }
  return pgproto::fail(
      Errc::kColumnType,
      "the struct has " + std::to_string(source.children.size()) + " fields, " + target.name +
          " has " + std::to_string(target.names.size()) + " attributes" +
          (missing.empty() ? "" : ", of which no field is named " + missing) +
          "; name every field as its attribute, or none of them (then position decides)");
}

CodecPointer composite_field(const Target& target, std::vector<size_t> fields,
                             std::vector<CodecPointer> attributes) {
  return std::make_unique<CompositeField>(target, std::move(fields), std::move(attributes));
}

}  // namespace pgsink::encode
