#include "shell/sources/option_binder.h"

#include <algorithm>
#include <charconv>

#include "pgsink/ddl/substitute.h"
#include "pgsink/options/names.h"
#include "shell/sources/exact_types.h"

namespace pgsink::shell {

void OptionBinder::bind(const Store& store) {
  for (const RawOption& raw : statement_.options) bind_option(raw, store);
}

const RawOption* OptionBinder::given(std::string_view key) const {
  const auto found = std::ranges::find(statement_.options, key, &RawOption::key);
  return found == statement_.options.end() ? nullptr : &*found;
}

void OptionBinder::refuse(const RawOption& raw, Errc code, std::string message) {
  add(code, std::move(message), raw.key_position, raw.key_length);
}

void OptionBinder::refuse(Errc code, std::string message) {
  add(code, std::move(message), statement_.name_position, statement_.name_length);
}

void OptionBinder::add(Errc code, std::string message, SourcePosition begin, size_t length) {
  Diagnostic fault;
  fault.error.code = code;
  fault.error.message = std::move(message);
  fault.begin = begin;
  fault.length = length;
  faults_.push_back(std::move(fault));
}

bool OptionBinder::fill(const RawOption& raw, std::string& text) {
  auto filled = fill_in(text, substitution_, TextKind::kPlain);
  if (!filled) {
    add(filled.error().code, filled.error().message, raw.value_position, raw.value_length);
    return false;
  }
  text = std::move(*filled);
  return true;
}

void OptionBinder::bind_option(const RawOption& raw, const Store& store) {
  if (std::ranges::find(keys_, raw.key) == keys_.end()) {
    const std::string_view nearest = nearest_name(raw.key, keys_);
    std::string all;
    for (const std::string_view key : keys_) all.append(all.empty() ? "" : ", ").append(key);
    return add(
        Errc::kUnknownOption,
        "TO " + std::string(system_) + " has no option '" + raw.key + "'; " +
            (nearest.empty() ? "it has " + all : "did you mean " + std::string(nearest) + "?"),
        raw.key_position, raw.key_length);
  }
  if (given(raw.key) != &raw) {
    return add(Errc::kOptionConflict, "the option " + raw.key + " is given twice", raw.key_position,
               raw.key_length);
  }
  OptionValue value = raw.value;
  if (value.kind == OptionValue::Kind::kText && !fill(raw, value.text)) return;
  for (auto& entry : value.map) {
    if (!fill(raw, entry.second)) return;
  }
  const Refusal refusal = store(raw.key, value);
  if (!refusal.empty()) {
    add(Errc::kOptionValue, raw.key + " " + refusal, raw.value_position, raw.value_length);
  } else if (raw.key == "columns") {
    bind_columns(raw);
  }
}

void OptionBinder::bind_columns(const RawOption& raw) {
  for (const auto& [name, type] : raw.value.map) {
    const auto refused = [&](const std::string& why) {
      add(Errc::kOptionValue, "columns: " + why, raw.value_position, raw.value_length);
    };
    const bool repeated = std::ranges::any_of(columns_, [&](const RecordColumn& column) {
      return equal_without_case(column.name, name);
    });
    if (repeated) {
      refused("'" + name + "' is given twice");
      continue;
    }
    const auto bound = engine_.prepare("SELECT CAST(NULL AS " + type + ")");
    if (!bound) {
      refused("the type of '" + name + "': " + bound.error().error.message);
      continue;
    }
    RecordColumn& column = columns_.emplace_back();
    column.name = name;
    column.declared = true;
    column.sql_type = type;
    column.type = exact_type_of(bound->columns()[0].type.get(), type);
  }
}

OptionBinder::Refusal OptionBinder::read_number(const OptionValue& value, int64_t min, int64_t max,
                                                int64_t& number) {
  const char* end = value.text.data() + value.text.size();
  const auto read = std::from_chars(value.text.data(), end, number);
  const bool whole = value.kind != OptionValue::Kind::kMap && read.ec == std::errc() &&
                     read.ptr == end && number >= min && number <= max;
  if (whole) return {};
  return "takes a whole number from " + std::to_string(min) + " to " + std::to_string(max);
}

OptionBinder::Refusal OptionBinder::read_flag(const OptionValue& value, bool& flag) {
  flag = equal_without_case(value.text, "true");
  return flag || equal_without_case(value.text, "false") ? "" : "takes true or false";
}

}  // namespace pgsink::shell
