// The options of CREATE CONNECTION … TO stdin.

#include <algorithm>
#include <array>
#include <charconv>

#include "pgsink/ddl/substitute.h"
#include "pgsink/options/names.h"
#include "shell/sources/exact_types.h"
#include "shell/sources/stdin_source.h"

namespace pgsink::shell {
namespace {

using Refusal = std::string;  ///< Empty: accepted.

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

/// One byte that can separate or enclose fields.
Refusal read_character(const OptionValue& value, char& character) {
  const std::string text = value.text == "\\t" ? "\t" : value.text;
  const bool fits = value.kind != OptionValue::Kind::kMap && text.size() == 1 && text != "\n" &&
                    text != "\r" && text[0] > 0;
  if (fits) character = text[0];
  return fits ? "" : "takes one ASCII character, for example ';' or '\\t'";
}

constexpr std::array<StdinOption, 11> kOptions{{
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
     [](const OptionValue& value, StdinOptions&) -> Refusal {
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
     [](const OptionValue& value, StdinOptions& options) {
       return read_character(value, options.dialect.delimiter);
     }},
    {"quote", [](const OptionValue& value,
                 StdinOptions& options) { return read_character(value, options.dialect.quote); }},
    {"escape", [](const OptionValue& value,
                  StdinOptions& options) { return read_character(value, options.dialect.escape); }},
    {"null",
     [](const OptionValue& value, StdinOptions& options) -> Refusal {
       options.dialect.null = value.text;
       return value.kind != OptionValue::Kind::kMap &&
                      value.text.find_first_of("\r\n") == std::string::npos
                  ? ""
                  : "takes a text without line breaks, for example '\\N'";
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
    for (const std::string_view key : {"header", "delimiter", "quote", "escape", "null"}) {
      if (faults_.empty() && given(key) && !options_.csv) {
        refuse(*given(key), Errc::kOptionConflict, std::string(key) + " is for format = 'csv'");
      }
    }
    if (faults_.empty() && options_.csv) bind_dialect();
    if (faults_.empty()) return std::move(options_);
    return std::unexpected(std::move(faults_));
  }

 private:
  /// The same rules as COPY's options.
  void bind_dialect() {
    CsvDialect& dialect = options_.dialect;
    if (!given("escape")) dialect.escape = dialect.quote;
    const RawOption* const quote = given("quote");
    const RawOption* const delimiter = given("delimiter");
    const RawOption* const null = given("null");
    if (dialect.delimiter == dialect.quote) {
      const RawOption& one = quote != nullptr ? *quote : *delimiter;
      refuse(one, Errc::kOptionConflict, "delimiter and quote are the same character");
    }
    if (null != nullptr && (dialect.null.find(dialect.delimiter) != std::string::npos ||
                            dialect.null.find(dialect.quote) != std::string::npos)) {
      refuse(*null, Errc::kOptionConflict, "null holds the delimiter or the quote");
    }
  }

  void refuse(const RawOption& raw, Errc code, std::string message) {
    add(code, std::move(message), raw.key_position, raw.key_length);
  }

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
      auto text = fill_in(value.text, substitution_, TextKind::kPlain);
      if (!text) {
        return add(text.error().code, text.error().message, raw.value_position, raw.value_length);
      }
      value.text = std::move(*text);
    }
    const Refusal refusal = info->store(value, options_);
    if (!refusal.empty()) {
      add(Errc::kOptionValue, raw.key + " " + refusal, raw.value_position, raw.value_length);
    } else if (raw.key == "columns") {
      bind_columns(raw);
    }
  }

  void bind_columns(const RawOption& raw) {
    for (const auto& [name, type] : raw.value.map) {
      const auto refused = [&](const std::string& why) {
        add(Errc::kOptionValue, "columns: " + why, raw.value_position, raw.value_length);
      };
      const bool repeated = std::ranges::any_of(options_.columns, [&](const RecordColumn& column) {
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
      RecordColumn& column = options_.columns.emplace_back();
      column.name = name;
      column.declared = true;
      column.sql_type = type;
      column.type = exact_type_of(bound->columns()[0].type.get(), type);
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
