// The options of CREATE CONNECTION … TO stdin.

#include <algorithm>
#include <array>
#include <charconv>

#include "pgsink/ddl/substitute.h"
#include "pgsink/options/names.h"
#include "shell/sources/stdin_source.h"

namespace pgsink::shell {
namespace {

using Refusal = std::string;  ///< Empty: taken.

Refusal read_number(const OptionValue& value, int64_t min, int64_t max, int64_t& number) {
  const char* end = value.text.data() + value.text.size();
  const auto read = std::from_chars(value.text.data(), end, number);
  const bool whole = value.kind != OptionValue::Kind::kMap && read.ec == std::errc() &&
                     read.ptr == end && number >= min && number <= max;
  if (whole) return {};
  return "takes a whole number from " + std::to_string(min) + " to " + std::to_string(max);
}

struct StdinOption {
  std::string_view key;
  Refusal (*store)(const OptionValue& value, StdinOptions& options);
};

constexpr std::array<StdinOption, 8> kOptions{{
    {"type",
     [](const OptionValue& value, StdinOptions&) -> Refusal {
       return equal_without_case(value.text, "source") ? ""
                                                       : "can only be 'source': rows come from it";
     }},
    {"format",
     [](const OptionValue& value, StdinOptions& options) -> Refusal {
       options.csv = equal_without_case(value.text, "csv");
       return options.csv || equal_without_case(value.text, "json") ? "" : "takes 'json' or 'csv'";
     }},
    {"columns",
     [](const OptionValue& value, StdinOptions& options) -> Refusal {
       options.columns = value.map;
       return value.kind == OptionValue::Kind::kMap && !value.map.empty()
                  ? ""
                  : "takes MAP { 'name': 'TYPE', … }";
     }},
    {"batch_size",
     [](const OptionValue& value, StdinOptions& options) {
       int64_t number = 0;
       Refusal refusal = read_number(value, 1, 1'000'000, number);
       options.limits.batch_rows_max = static_cast<size_t>(number);
       return refusal;
     }},
    {"batch_timeout_ms",
     [](const OptionValue& value, StdinOptions& options) {
       int64_t number = 0;
       Refusal refusal = read_number(value, 1, 3'600'000, number);
       options.limits.delivery_timeout = std::chrono::milliseconds(number);
       return refusal;
     }},
    {"max_rejects",
     [](const OptionValue& value, StdinOptions& options) {
       int64_t number = 0;
       Refusal refusal = read_number(value, 0, INT64_MAX, number);
       options.limits.rejects_max = static_cast<uint64_t>(number);
       return refusal;
     }},
    {"header",
     [](const OptionValue& value, StdinOptions& options) -> Refusal {
       options.header = equal_without_case(value.text, "true");
       return options.header || equal_without_case(value.text, "false") ? ""
                                                                        : "takes true or false";
     }},
    {"delimiter",
     [](const OptionValue& value, StdinOptions& options) -> Refusal {
       const bool fits = value.text.size() == 1 && value.text != "\"" && value.text != "\n";
       if (fits) options.delimiter = value.text[0];
       return fits ? "" : "takes one character, for example ';'";
     }},
}};

class Binder {
 public:
  Binder(const CreateConnection& statement, const Substitution& substitution, Engine& engine)
      : statement_(statement), substitution_(substitution), engine_(engine) {}

  std::expected<StdinOptions, std::vector<Diagnostic>> bind() {
    for (const RawOption& raw : statement_.options) bind_option(raw);
    if (!given("format")) {
      add(Errc::kOptionValue, "the option format is missing: 'json' or 'csv'",
          statement_.name_position, statement_.name_length);
    }
    if (faults_.empty() && options_.csv && !options_.header && options_.columns.empty()) {
      add(Errc::kOptionConflict, "header = false: nothing names the columns; give columns",
          statement_.name_position, statement_.name_length);
    }
    for (const std::string_view key : {"header", "delimiter"}) {
      if (faults_.empty() && given(key) && !options_.csv) {
        add(Errc::kOptionConflict, std::string(key) + " is for format = 'csv'",
            given(key)->key_position, given(key)->key_length);
      }
    }
    if (faults_.empty()) return std::move(options_);
    return std::unexpected(std::move(faults_));
  }

 private:
  void add(Errc code, std::string message, SourcePosition begin, size_t length) {
    Diagnostic fault;
    fault.error.code = code;
    fault.error.message = std::move(message);
    fault.begin = begin;
    fault.length = length;
    faults_.push_back(std::move(fault));
  }

  const RawOption* given(std::string_view key) const {
    const auto found = std::ranges::find(statement_.options, key, &RawOption::key);
    return found == statement_.options.end() ? nullptr : &*found;
  }

  void bind_option(const RawOption& raw) {
    const auto info = std::ranges::find(kOptions, raw.key, &StdinOption::key);
    if (info == kOptions.end()) {
      const auto keys = stdin_option_keys();
      const std::string_view nearest = nearest_name(raw.key, keys);
      std::string all;
      for (const std::string_view key : keys) all.append(all.empty() ? "" : ", ").append(key);
      return add(
          Errc::kUnknownOption,
          "TO stdin has no option '" + raw.key + "'; " +
              (nearest.empty() ? "it has " + all : "did you mean " + std::string(nearest) + "?"),
          raw.key_position, raw.key_length);
    }
    if (given(raw.key) != &raw) {
      return add(Errc::kOptionConflict, "the option " + raw.key + " is given twice",
                 raw.key_position, raw.key_length);
    }
    OptionValue value = raw.value;
    if (value.kind == OptionValue::Kind::kText) {
      auto text = fill_in(value.text, substitution_, false);
      if (!text) {
        return add(text.error().code, text.error().message, raw.value_position, raw.value_length);
      }
      value.text = std::move(*text);
    }
    const Refusal refusal = info->store(value, options_);
    if (!refusal.empty()) {
      add(Errc::kOptionValue, raw.key + " " + refusal, raw.value_position, raw.value_length);
    } else if (raw.key == "columns") {
      check_types(raw);
    }
  }

  void check_types(const RawOption& raw) {
    for (const auto& [name, type] : options_.columns) {
      const auto bound = engine_.prepare("SELECT CAST(NULL AS " + type + ")");
      if (bound) continue;
      add(Errc::kOptionValue, "columns: the type of '" + name + "': " + bound.error().error.message,
          raw.value_position, raw.value_length);
    }
  }

  const CreateConnection& statement_;
  const Substitution& substitution_;
  Engine& engine_;
  StdinOptions options_;
  std::vector<Diagnostic> faults_;
};

}  // namespace

std::expected<StdinOptions, std::vector<Diagnostic>> bind_stdin(const CreateConnection& statement,
                                                                const Substitution& substitution,
                                                                Engine& engine) {
  return Binder(statement, substitution, engine).bind();
}

std::vector<std::string_view> stdin_option_keys() {
  std::vector<std::string_view> keys;
  keys.reserve(kOptions.size());
  for (const StdinOption& option : kOptions) keys.push_back(option.key);
  return keys;
}

}  // namespace pgsink::shell
