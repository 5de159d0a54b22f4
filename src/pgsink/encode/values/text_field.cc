#include "pgsink/encode/values/text_field.h"

#include <algorithm>
#include <array>
#include <string>
#include <type_traits>

#include <pgproto/utf8.h>

#include "pgsink/encode/base/loaders.h"
#include "pgsink/encode/base/row_part.h"
#include "pgsink/encode/base/shortened.h"
#include "pgsink/encode/base/text_kernels.h"

namespace pgsink::encode {
namespace {

class TextField final : public FieldCodec {
 public:
  TextField(Field source, const TextRule& rule)
      : source_(std::move(source)), rule_(rule), json_(rule.json), kernels_(&best_text_kernels()) {
    part_.version = rule.jsonb;
  }

  size_t measure(const ColumnView& column, const Block& block, size_t* row_bytes,
                 FaultList& faults) override {
    form_ = {load_validity(column, block, valid_scratch_.data()), rule_.jsonb};
    layout_ = block.indexes != nullptr ? Layout::kViews : layout_of(column.kind);
    plain_ = false;
    part_.valid = form_.valid;
    switch (layout_) {
      case Layout::kOffsets32:
        measure_offsets(offsets32_, column, block, row_bytes, faults);
        break;
      case Layout::kOffsets64:
        measure_offsets(offsets64_, column, block, row_bytes, faults);
        break;
      case Layout::kViews:
        measure_views(column, block, row_bytes, faults);
        break;
    }
    return 0;
  }

  void write_strided(std::byte* to, size_t stride, size_t count, bool) override {
    std::array<std::byte*, kBlockRowsMax> rows;
    for (size_t i = 0; i < count; ++i) rows[i] = to + i * stride;
    write_moving(rows.data(), 0, count);
  }
  void write_at(std::byte* const* rows, size_t offset, size_t count, bool) override {
    std::array<std::byte*, kBlockRowsMax> copies;
    std::copy_n(rows, count, copies.data());
    write_moving(copies.data(), offset, count);
  }
  void write_moving(std::byte** rows, size_t offset, size_t count) override {
    plain_ = write(rows, offset, count);
  }

  void defer_checks() override {
    may_defer_ = true;
    choose_checks();
  }
  bool leave_documents_to_server(bool leave) override {
    rule_.json = leave ? JsonFlavor::kNone : json_;
    choose_checks();
    return json_ != JsonFlavor::kNone;
  }
  void verify(size_t count, FaultList& faults) override {
    if (!deferred_ || plain_) return;
    switch (layout_) {
      case Layout::kOffsets32:
        return check(offsets32_, count, faults);
      case Layout::kOffsets64:
        return check(offsets64_, count, faults);
      case Layout::kViews:
        return check(ViewReader{views_.data()}, count, faults);
    }
  }

  void use_portable_code() override { kernels_ = &portable_text_kernels(); }
  const RowPart* row_part() const override { return &part_; }

 private:
  enum class Layout : uint8_t { kViews, kOffsets32, kOffsets64 };

  static Layout layout_of(ColumnKind kind) {
    if (kind == ColumnKind::kText32 || kind == ColumnKind::kBinary32) return Layout::kOffsets32;
    if (kind == ColumnKind::kText64 || kind == ColumnKind::kBinary64) return Layout::kOffsets64;
    return Layout::kViews;
  }

  bool write(std::byte** rows, size_t offset, size_t count) const {
    switch (layout_) {
      case Layout::kOffsets32:
        return kernels_->write_offsets32(offsets32_, form_, rows, offset, count);
      case Layout::kOffsets64:
        return kernels_->write_offsets64(offsets64_, form_, rows, offset, count);
      case Layout::kViews:
        break;
    }
    return kernels_->write_views({views_.data()}, form_, rows, offset, count);
  }

  void choose_checks() {
    deferred_ = may_defer_ && rule_.utf8 && !limited();  // Then a look at the bytes is all.
    part_.checked = deferred_;
  }

  bool is_null(size_t i) const { return form_.valid != nullptr && form_.valid[i] == 0; }
  /// Whether the rule asks more of a value than what its bytes are.
  bool limited() const {
    return rule_.characters_max != 0 || rule_.bytes_max != 0 || rule_.json != JsonFlavor::kNone;
  }
  size_t head_bytes() const { return kLengthBytes + (rule_.jsonb ? 1 : 0); }

  /// Rows one after the other in the heap: all their bytes are checked in one pass.
  template <class Offset>
  void measure_offsets(OffsetReader<Offset>& values, const ColumnView& column, const Block& block,
                       size_t* row_bytes, FaultList& faults) {
    values = {value_at(column, block.first), static_cast<const char*>(column.heap)};
    part_.form = sizeof(Offset) == 4 ? RowPart::Form::kText32 : RowPart::Form::kText64;
    part_.values = values.offsets;
    part_.heap = static_cast<const std::byte*>(column.heap);
    const auto begin = static_cast<size_t>(values.offset(0));
    const auto bytes = static_cast<size_t>(values.offset(block.count)) - begin;
    const bool plain =
        !rule_.utf8 || deferred_ || kernels_->is_plain_ascii(values.heap + begin, bytes);
    if (!plain || limited() || bytes >= kFieldBytesMax) check(values, block.count, faults);
    add_sizes(values, block.count, row_bytes);
  }

  void measure_views(const ColumnView& column, const Block& block, size_t* row_bytes,
                     FaultList& faults) {
    load_bytes(column, block, form_.valid, source_, views_.data());
    part_.form = RowPart::Form::kViews;
    part_.values = reinterpret_cast<const std::byte*>(views_.data());
    const ViewReader values{views_.data()};
    bool plain = true;
    for (size_t i = 0; i < block.count; ++i) {
      const std::string_view value = views_[i];
      plain &= value.size() < kFieldBytesMax;
      if (rule_.utf8 && !deferred_) plain &= kernels_->is_plain_ascii(value.data(), value.size());
    }
    if (!plain || limited()) check(values, block.count, faults);
    add_sizes(values, block.count, row_bytes);
  }

  template <class Reader>
  void add_sizes(const Reader& values, size_t count, size_t* row_bytes) {
    const size_t head = head_bytes();
    if constexpr (std::is_same_v<Reader, OffsetReader<int32_t>>) {
      if (kernels_->add_sizes32 != nullptr) {
        part_.value_bytes_max = kernels_->add_sizes32(values, form_.valid, head, count, row_bytes);
        return;
      }
    }
    size_t most = 0;
    if (form_.valid == nullptr) {
      for (size_t i = 0; i < count; ++i) {
        const size_t bytes = values[i].size();
        row_bytes[i] += head + bytes;
        most = std::max(most, bytes);
      }
    } else {
      for (size_t i = 0; i < count; ++i) {
        const size_t bytes = values[i].size();
        row_bytes[i] += is_null(i) ? kLengthBytes : head + bytes;
        most = std::max(most, bytes);
      }
    }
    part_.value_bytes_max = most;
  }

  template <class Reader>
  void check(const Reader& values, size_t count, FaultList& faults) const {
    for (size_t i = 0; i < count; ++i) {
      Fault fault;
      if (!is_null(i) && text_fault(values[i], rule_, fault)) {
        faults.push_back({i, std::move(fault)});
      }
    }
  }

  Field source_;
  TextRule rule_;  ///< What is checked at present.
  const JsonFlavor json_;
  const TextKernels* kernels_;
  bool may_defer_ = false;
  bool deferred_ = false;
  bool plain_ = false;  ///< The last bytes written need no further check.
  Layout layout_ = Layout::kViews;
  TextForm form_;
  RowPart part_;
  OffsetReader<int32_t> offsets32_;
  OffsetReader<int64_t> offsets64_;
  std::array<uint8_t, kFlagBytes> valid_scratch_;
  std::array<std::string_view, kBlockRowsMax> views_;
};

bool spaces_only(std::string_view text) {
  return text.find_first_not_of(' ') == std::string_view::npos;
}

std::string json_fault_text(std::string_view value, const JsonFault& found) {
  const std::string at = " at byte " + std::to_string(found.at);
  if (found.escape) return "has \\u0000" + at + ", which jsonb cannot hold";
  if (found.at == value.size()) return "is not JSON: it ends too early";
  return "is not JSON" + at + ": " + shortened(value.substr(found.at));
}

/// The bytes after the first `characters` characters.
std::string_view after(std::string_view text, size_t characters) {
  size_t at = 0;
  for (; at < text.size(); ++at) {
    if ((static_cast<unsigned char>(text[at]) & 0xc0U) == 0x80U) continue;
    if (characters-- == 0) break;
  }
  return text.substr(at);
}

}  // namespace

bool text_fault(std::string_view value, const TextRule& rule, Fault& fault) {
  if (value.size() >= kFieldBytesMax) {
    fault = {sqlstate::kProgramLimit, "a value of " + std::to_string(value.size()) +
                                          " bytes exceeds the server's limit of 1 GiB a field"};
    return true;
  }
  if (rule.utf8) {
    const size_t at = pgproto::utf8_fault_at(value);
    if (at != std::string_view::npos) {
      const bool nul = value[at] == '\0';
      fault = {sqlstate::kEncoding,
               shortened(value) + (nul ? " has a NUL byte" : " is not valid UTF-8") + " at byte " +
                   std::to_string(at) + (nul ? ", which no text of PostgreSQL can hold" : "")};
      return true;
    }
  }
  if (rule.json != JsonFlavor::kNone) {
    if (const auto found = find_json_fault(value, rule.json)) {
      fault = {found->escape ? sqlstate::kUntranslatable : sqlstate::kInvalidText,
               shortened(value) + " " + json_fault_text(value, *found)};
      return true;
    }
  }
  if (rule.bytes_max != 0 && value.size() > rule.bytes_max) {
    fault = {sqlstate::kNameTooLong, shortened(value) + " has " + std::to_string(value.size()) +
                                         " bytes, the type holds " +
                                         std::to_string(rule.bytes_max)};
    return true;
  }
  if (rule.characters_max == 0 || value.size() <= rule.characters_max) return false;
  const size_t characters = pgproto::utf8_length(value);
  if (characters <= rule.characters_max) return false;
  if (rule.spaces_may_exceed && spaces_only(after(value, rule.characters_max))) return false;
  fault = {sqlstate::kStringTooLong, shortened(value) + " has " + std::to_string(characters) +
                                         " characters, the type holds " +
                                         std::to_string(rule.characters_max)};
  return true;
}

TextRule text_rule(const Target& target) {
  constexpr int32_t kHeader = 4;  // Server: VARHDRSZ is part of the modifier
  constexpr size_t kNameBytesMax = 63;
  TextRule rule;
  const auto characters =
      target.type_modifier > kHeader ? static_cast<size_t>(target.type_modifier - kHeader) : 0;
  switch (target.kind) {
    case TargetKind::kBytea:
      rule.utf8 = false;
      break;
    case TargetKind::kJson:
      rule.json = JsonFlavor::kJson;
      break;
    case TargetKind::kJsonb:
      rule.jsonb = true;
      rule.json = JsonFlavor::kJsonb;
      break;
    case TargetKind::kName:
      rule.bytes_max = kNameBytesMax;
      break;
    case TargetKind::kVarchar:
      rule.characters_max = characters;
      break;
    case TargetKind::kBpchar:
      rule.characters_max = characters;
      rule.spaces_may_exceed = true;
      break;
    default:
      break;
  }
  return rule;
}

CodecPointer text_field(const Field& source, const TextRule& rule) {
  return std::make_unique<TextField>(source, rule);
}

}  // namespace pgsink::encode
