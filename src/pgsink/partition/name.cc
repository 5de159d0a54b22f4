#include "pgsink/partition/name.h"

#include <algorithm>
#include <array>
#include <utility>

namespace pgsink {
namespace {

using pgproto::fail;

std::string_view default_template(PartitionType type) {
  switch (type) {
    case PartitionType::kRange:
      return "{table}_{start}";
    case PartitionType::kList:
      return "{table}_{value}";
    case PartitionType::kHash:
      break;
  }
  return "{table}_{remainder}";
}

std::string_view known_placeholders(PartitionType type) {
  switch (type) {
    case PartitionType::kRange:
      return "{table}, {start} and {end}, these with a format such as {start:%Y%m%d}";
    case PartitionType::kList:
      return "{table} and {value}";
    case PartitionType::kHash:
      break;
  }
  return "{table}, {remainder} and {modulus}";
}

std::unexpected<Error> not_a_template(const std::string& what, PartitionType type) {
  return fail(Errc::kOptionValue, "partition_name: " + what + "; it takes text with " +
                                      std::string(known_placeholders(type)));
}

}  // namespace

std::optional<PartitionName::Part> PartitionName::placeholder(std::string_view text,
                                                              PartitionType type) {
  using Kind = Part::Kind;
  struct Known {
    std::string_view word;
    Kind kind;
    std::optional<PartitionType> type;
  };
  static constexpr std::array<Known, 6> kKnown{
      {{"table", Kind::kTable, std::nullopt},
       {"start", Kind::kStart, PartitionType::kRange},
       {"end", Kind::kEnd, PartitionType::kRange},
       {"value", Kind::kValue, PartitionType::kList},
       {"remainder", Kind::kRemainder, PartitionType::kHash},
       {"modulus", Kind::kModulus, PartitionType::kHash}}};
  const size_t colon = std::min(text.find(':'), text.size());
  const auto* const found = std::ranges::find(kKnown, text.substr(0, colon), &Known::word);
  if (found == kKnown.end() || (found->type && found->type != type)) return std::nullopt;
  const bool takes_format = found->kind == Kind::kStart || found->kind == Kind::kEnd;
  if (colon == text.size()) return Part{.kind = found->kind};
  if (!takes_format || colon + 1 == text.size()) return std::nullopt;
  return Part{.kind = found->kind, .text = std::string(text.substr(colon + 1))};
}

Result<PartitionName> PartitionName::parse(std::string_view text, PartitionType type) {
  if (text.empty()) text = default_template(type);
  PartitionName name;
  std::string plain;
  const auto end_plain = [&] {
    if (!plain.empty()) name.parts_.push_back({.kind = Part::Kind::kText, .text = plain});
    plain.clear();
  };
  while (!text.empty()) {
    const char c = text.front();
    const bool brace = c == '{' || c == '}';
    if (!brace || (text.size() > 1 && text[1] == c)) {
      plain += c;
      text.remove_prefix(brace ? 2 : 1);
      continue;
    }
    const size_t close = text.find('}');
    if (c == '}' || close == std::string_view::npos) {
      return not_a_template("an unmatched brace", type);
    }
    const std::string_view inside = text.substr(1, close - 1);
    auto part = placeholder(inside, type);
    if (!part) return not_a_template("{" + std::string(inside) + "} is not a placeholder", type);
    if (auto known = RangeRule::check_format(part->text); !known) return fail(known.error());
    end_plain();
    name.parts_.push_back(std::move(*part));
    text.remove_prefix(close + 1);
  }
  end_plain();
  const bool tells_apart = std::ranges::any_of(name.parts_, [](const Part& part) {
    return part.kind != Part::Kind::kText && part.kind != Part::Kind::kTable &&
           part.kind != Part::Kind::kModulus;
  });
  if (!tells_apart) return not_a_template("all partitions would have one name", type);
  return name;
}

Status PartitionName::check_distinct(const RangeRule& rule) const {
  // Neighbours, and ranges that are a day, a month, a year and a decade apart.
  std::vector<RangeSpan> spans;
  if (!rule.is_time()) {
    spans.push_back(rule.around(0));
    if (rule.is_finite(spans[0].last + 1)) spans.push_back(rule.around(spans[0].last + 1));
  } else {
    for (const std::string_view day :
         {"2000-01-01", "2000-01-02", "2000-01-11", "2000-02-01", "2001-01-01", "2010-01-01"}) {
      spans.push_back(rule.around(rule.parse(day).value_or(0)));
      const int64_t next = spans.back().last + 1;
      spans.push_back(rule.around(next));
    }
  }
  for (const RangeSpan& one : spans) {
    for (const RangeSpan& other : spans) {
      const std::string name = of_range("t", rule, one);
      if (one == other || name != of_range("t", rule, other)) continue;
      return fail(Errc::kOptionConflict,
                  "partition_name: the ranges from " + rule.from_sql(one) + " and from " +
                      rule.from_sql(other) + " would both be named \"" + name +
                      "\" (of a table t): use a format that tells them apart");
    }
  }
  return {};
}

std::string PartitionName::of_range(std::string_view table, const RangeRule& rule,
                                    const RangeSpan& span) const {
  std::string name;
  for (const Part& part : parts_) {
    if (part.kind == Part::Kind::kTable) {
      name += table;
    } else if (part.kind == Part::Kind::kStart) {
      name += rule.name_of_start(span, part.text);
    } else if (part.kind == Part::Kind::kEnd) {
      name += rule.name_of_end(span, part.text);
    } else {
      name += part.text;
    }
  }
  return name;
}

std::string PartitionName::of_value(std::string_view table, std::string_view value) const {
  std::string name;
  for (const Part& part : parts_) {
    name += part.kind == Part::Kind::kTable   ? table
            : part.kind == Part::Kind::kValue ? value
                                              : std::string_view(part.text);
  }
  return name;
}

std::string PartitionName::of_remainder(std::string_view table, uint64_t modulus,
                                        uint64_t remainder) const {
  std::string name;
  for (const Part& part : parts_) {
    if (part.kind == Part::Kind::kTable) {
      name += table;
    } else if (part.kind == Part::Kind::kRemainder) {
      name += std::to_string(remainder);
    } else if (part.kind == Part::Kind::kModulus) {
      name += std::to_string(modulus);
    } else {
      name += part.text;
    }
  }
  return name;
}

}  // namespace pgsink
