#include "pgsink/encode/text_field.h"

#include <array>
#include <string>

#include "pgsink/encode/copy_bytes.h"
#include "pgsink/encode/source.h"
#include "pgsink/encode/utf8.h"

namespace pgsink::encode {
namespace {

constexpr std::byte kJsonbVersion{1};

class TextField final : public FieldCodec {
 public:
  TextField(Field source, const TextRule& rule) : source_(std::move(source)), rule_(rule) {}

  size_t measure(const ColumnView& column, const Block& block, size_t* row_bytes,
                 FaultList& faults) override {
    valid_ = load_validity(column, block, valid_scratch_.data());
    load_bytes(column, block, valid_, source_, values_.data());
    check(block, faults);
    const size_t prefix = kLengthBytes + (rule_.jsonb ? 1 : 0);
    if (valid_ == nullptr) {
      for (size_t i = 0; i < block.count; ++i) row_bytes[i] += prefix + values_[i].size();
      return 0;
    }
    for (size_t i = 0; i < block.count; ++i) {
      row_bytes[i] += valid_[i] != 0 ? prefix + values_[i].size() : kLengthBytes;
    }
    return 0;
  }

  void write_strided(std::byte* to, size_t stride, size_t count, bool) override {
    for (size_t i = 0; i < count; ++i) write_one(to + i * stride, i);
  }
  void write_at(std::byte* const* rows, size_t offset, size_t count, bool) override {
    for (size_t i = 0; i < count; ++i) write_one(rows[i] + offset, i);
  }
  void write_moving(std::byte** rows, size_t offset, size_t count) override {
    for (size_t i = 0; i < count; ++i) rows[i] = write_one(rows[i] + offset, i);
  }

 private:
  std::byte* write_one(std::byte* to, size_t i) const {
    if (valid_ != nullptr && valid_[i] == 0) {
      store<uint32_t>(to, ~uint32_t{0});
      return to + kLengthBytes;
    }
    const std::string_view value = values_[i];
    const size_t version = rule_.jsonb ? 1 : 0;
    pgproto::store_be(to, static_cast<uint32_t>(value.size() + version));
    to += kLengthBytes;
    if (version != 0) *to++ = kJsonbVersion;
    copy_bytes(to, reinterpret_cast<const std::byte*>(value.data()), value.size());
    return to + value.size();
  }

  void check(const Block& block, FaultList& faults) const {
    const bool limited = rule_.characters_max != 0 || rule_.bytes_max != 0;
    for (size_t i = 0; i < block.count; ++i) {
      const std::string_view value = values_[i];
      const bool plain = (!rule_.utf8 || is_plain_ascii(value)) && value.size() < kFieldBytesMax;
      if (plain && !limited) continue;
      if (valid_ != nullptr && valid_[i] == 0) continue;
      Fault fault;
      if (text_fault(value, rule_, fault)) faults.push_back({i, std::move(fault)});
    }
  }

  Field source_;
  TextRule rule_;
  const uint8_t* valid_ = nullptr;
  std::array<uint8_t, kFlagBytes> valid_scratch_;
  std::array<std::string_view, kBlockRowsMax> values_;
};

bool spaces_only(std::string_view text) {
  return text.find_first_not_of(' ') == std::string_view::npos;
}

/// The bytes behind the first `characters` characters.
std::string_view behind(std::string_view text, size_t characters) {
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
    const size_t at = utf8_fault_at(value);
    if (at != std::string_view::npos) {
      const bool nul = value[at] == '\0';
      fault = {sqlstate::kEncoding,
               shortened(value) + (nul ? " has a NUL byte" : " is not valid UTF-8") + " at byte " +
                   std::to_string(at) + (nul ? ", which no text of PostgreSQL can hold" : "")};
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
  const size_t characters = utf8_length(value);
  if (characters <= rule.characters_max) return false;
  if (rule.spaces_may_exceed && spaces_only(behind(value, rule.characters_max))) return false;
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
    case TargetKind::kJsonb:
      rule.jsonb = true;
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
