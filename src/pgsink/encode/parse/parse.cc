#include "pgsink/encode/parse/parse.h"

#include <algorithm>
#include <array>

#include "pgsink/encode/base/shortened.h"
#include "pgsink/encode/base/staged.h"
#include "pgsink/encode/values/text_field.h"

namespace pgsink::encode {
namespace {

using Parse = bool (*)(const Target& target, std::string_view text, Scratch& out, Fault& fault);

bool parse_text(const Target& target, std::string_view text, Scratch& out, Fault& fault) {
  if (text_fault(text, text_rule(target), fault)) return false;
  if (target.kind == TargetKind::kJsonb) out.put(int8_t{1});
  out.put_text(text);
  return true;
}

constexpr std::array<Parse, kTargetKindCount> kParsers = [] {
  std::array<Parse, kTargetKindCount> parsers{};
  const auto set = [&](TargetKind kind, Parse parse) {
    parsers[static_cast<size_t>(kind)] = parse;
  };
  using T = TargetKind;
  set(T::kBool, parse_bool);
  for (const T kind : {T::kInt2, T::kInt4, T::kInt8, T::kOid}) set(kind, parse_integer);
  for (const T kind : {T::kFloat4, T::kFloat8}) set(kind, parse_float);
  set(T::kNumeric, parse_numeric);
  for (const T kind :
       {T::kText, T::kVarchar, T::kBpchar, T::kName, T::kJson, T::kJsonb, T::kInput}) {
    set(kind, parse_text);
  }
  set(T::kXml, parse_xml);
  set(T::kChar, parse_char);
  set(T::kBytea, parse_bytea);
  set(T::kDate, parse_date);
  for (const T kind : {T::kTime, T::kTimetz}) set(kind, parse_time);
  for (const T kind : {T::kTimestamp, T::kTimestamptz}) set(kind, parse_timestamp);
  set(T::kInterval, parse_interval);
  set(T::kUuid, parse_uuid);
  for (const T kind : {T::kInet, T::kCidr}) set(kind, parse_inet);
  for (const T kind : {T::kMacaddr, T::kMacaddr8}) set(kind, parse_macaddr);
  for (const T kind : {T::kBit, T::kVarbit}) set(kind, parse_bits);
  set(T::kEnum, parse_label);
  set(T::kComposite, parse_composite);
  set(T::kArray, parse_array);
  set(T::kRange, parse_range);
  set(T::kMultirange, parse_multirange);
  return parsers;
}();
static_assert(std::find(kParsers.begin(), kParsers.end(), nullptr) == kParsers.end());

struct PutParsed {
  using Value = std::string_view;
  Target target;
  Parse parse;
  bool operator()(std::string_view text, Scratch& out, Fault& fault) const {
    return parse(target, text, out, fault);
  }
};

}  // namespace

bool parse_value(const Target& target, std::string_view text, Scratch& out, Fault& fault) {
  return kParsers[static_cast<size_t>(target.kind)](target, text, out, fault);
}

Fault parse_fault(const Target& target, std::string_view text, std::string_view wanted) {
  return {sqlstate::kInvalidText, shortened(text) + " is not a value of " + target.name +
                                      "; wanted is " + std::string(wanted)};
}

CodecPointer text_to_parsed(const Field& source, const Target& target) {
  return staged_field(source, load_bytes,
                      PutParsed{target, kParsers[static_cast<size_t>(target.kind)]});
}

}  // namespace pgsink::encode
