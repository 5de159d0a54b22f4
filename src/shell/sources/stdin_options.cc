// The options of CREATE CONNECTION … TO stdin.

#include <algorithm>
#include <array>

#include "pgsink/options/names.h"
#include "shell/sources/option_binder.h"
#include "shell/sources/stdin_source.h"

namespace pgsink::shell {
namespace {

using Refusal = OptionBinder::Refusal;

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
       Refusal refusal = OptionBinder::read_number(value, 1, 1'000'000, number);
       options.limits.batch_rows_max = static_cast<size_t>(number);
       return refusal;
     }},
    {"batch_timeout_ms",
     [](const OptionValue& value, StdinOptions& options) {
       int64_t number = 0;
       Refusal refusal = OptionBinder::read_number(value, 1, 3'600'000, number);
       options.limits.delivery_timeout = std::chrono::milliseconds(number);
       return refusal;
     }},
    {"max_rejects",
     [](const OptionValue& value, StdinOptions& options) {
       int64_t number = 0;
       Refusal refusal = OptionBinder::read_number(value, 0, INT64_MAX, number);
       options.limits.rejects_max = static_cast<uint64_t>(number);
       return refusal;
     }},
    {"header",
     [](const OptionValue& value, StdinOptions& options) {
       return OptionBinder::read_flag(value, options.header);
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

/// The same rules as COPY's options.
void check_dialect(OptionBinder& binder, CsvDialect& dialect) {
  if (binder.given("escape") == nullptr) dialect.escape = dialect.quote;
  const RawOption* const quote = binder.given("quote");
  const RawOption* const delimiter = binder.given("delimiter");
  const RawOption* const null = binder.given("null");
  if (dialect.delimiter == dialect.quote) {
    const RawOption& one = quote != nullptr ? *quote : *delimiter;
    binder.refuse(one, Errc::kOptionConflict, "delimiter and quote are the same character");
  }
  if (null != nullptr && (dialect.null.find(dialect.delimiter) != std::string::npos ||
                          dialect.null.find(dialect.quote) != std::string::npos)) {
    binder.refuse(*null, Errc::kOptionConflict, "null holds the delimiter or the quote");
  }
}

}  // namespace

std::expected<StdinOptions, std::vector<Diagnostic>> bind_stdin(const CreateConnection& statement,
                                                                const Substitution& substitution,
                                                                Engine& engine) {
  StdinOptions options;
  OptionBinder binder(statement, substitution, engine, "stdin", stdin_option_keys());
  binder.bind([&](std::string_view key, const OptionValue& value) {
    return std::ranges::find(kOptions, key, &StdinOption::key)->store(value, options);
  });
  options.columns = binder.take_columns();
  if (binder.given("format") == nullptr) {
    binder.refuse(Errc::kOptionValue, "the option format is missing: 'json' or 'csv'");
  }
  if (binder.clean() && options.csv && !options.header && options.columns.empty()) {
    binder.refuse(Errc::kOptionConflict, "header = false: nothing names the columns; give columns");
  }
  for (const std::string_view key : {"header", "delimiter", "quote", "escape", "null"}) {
    if (binder.clean() && binder.given(key) != nullptr && !options.csv) {
      binder.refuse(*binder.given(key), Errc::kOptionConflict,
                    std::string(key) + " is for format = 'csv'");
    }
  }
  if (binder.clean() && options.csv) check_dialect(binder, options.dialect);
  if (binder.clean()) return options;
  return std::unexpected(binder.take_faults());
}

std::vector<std::string_view> stdin_option_keys() {
  std::vector<std::string_view> keys;
  keys.reserve(kOptions.size());
  for (const StdinOption& option : kOptions) keys.push_back(option.key);
  return keys;
}

}  // namespace pgsink::shell
