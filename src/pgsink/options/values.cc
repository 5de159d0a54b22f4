#include "pgsink/options/values.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <expected>

#include <pgproto/ascii.h>
#include <pgproto/pgoutput.h>
#include <pgproto/utf8.h>

#include "pgsink/options/names.h"

namespace pgsink {
namespace {

using Kind = OptionValue::Kind;

std::unexpected<Error> refuse(const OptionInfo& info, std::string_view takes) {
  return pgproto::fail(Errc::kOptionValue, std::string(info.key) + " takes " + std::string(takes));
}

std::string range_text(const OptionInfo& info) {
  return " from " + std::to_string(info.min) + " to " + std::to_string(info.max);
}

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

template <typename Number>
std::optional<Number> parse_number(std::string_view text) {
  text = pgproto::ascii::trim(text);
  if (text.starts_with('+') && !text.starts_with("+-")) text.remove_prefix(1);
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::string join(const std::vector<std::string_view>& parts, char separator) {
  std::string joined;
  for (const std::string_view part : parts) {
    if (!joined.empty()) joined += separator;
    joined += part;
  }
  return joined;
}

}  // namespace

std::vector<std::string_view> split_list(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const size_t end = text.find(separator);
    parts.push_back(pgproto::ascii::trim(text.substr(0, end)));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

std::vector<std::string_view> option_aliases(const OptionInfo& info) {
  if (info.aliases.empty()) return {};
  return split_list(info.aliases, '|');
}

Result<std::string> read_text(const OptionValue& value, const OptionInfo& info) {
  if (value.kind != Kind::kText) return refuse(info, "text in single quotes");
  if (value.text.find('\0') != std::string::npos) {
    return refuse(info, "text without a zero byte, which PostgreSQL cannot hold");
  }
  if (!info.secret && !pgproto::utf8_is_text(value.text)) return refuse(info, "valid UTF-8");
  return value.text;
}

Result<int64_t> read_integer(const OptionValue& value, const OptionInfo& info) {
  const bool readable = value.kind == Kind::kInteger || value.kind == Kind::kText;
  const auto number = readable ? parse_number<int64_t>(value.text) : std::nullopt;
  if (!number || *number < info.min || *number > info.max) {
    return refuse(info, "a whole number" + range_text(info));
  }
  return *number;
}

Result<double> read_decimal(const OptionValue& value, const OptionInfo& info) {
  const bool readable =
      value.kind == Kind::kInteger || value.kind == Kind::kDecimal || value.kind == Kind::kText;
  const auto number = readable ? parse_number<double>(value.text) : std::nullopt;
  if (!number || std::isnan(*number) || *number < static_cast<double>(info.min) ||
      *number > static_cast<double>(info.max)) {
    return refuse(info, "a number" + range_text(info));
  }
  return *number;
}

Result<bool> read_boolean(const OptionValue& value, const OptionInfo& info) {
  if (value.kind == Kind::kBoolean || value.kind == Kind::kText) {
    if (equal_without_case(value.text, "true")) return true;
    if (equal_without_case(value.text, "false")) return false;
  }
  return refuse(info, "true or false");
}

Result<Choice> read_choice(const OptionValue& value, const OptionInfo& info) {
  const std::vector<std::string_view> choices = split_list(info.choices, '|');
  std::string wanted(pgproto::ascii::trim(value.text));
  std::ranges::replace(wanted, ' ', '_');
  for (size_t i = 0; i < choices.size() && value.kind == Kind::kText; ++i) {
    if (equal_without_case(choices[i], wanted)) return Choice{i, choices[i]};
  }
  std::string takes = "one of";
  for (size_t i = 0; i < choices.size(); ++i) {
    takes.append(i == 0 ? " '" : ", '").append(choices[i]).append("'");
  }
  return refuse(info, takes);
}

namespace {

/// Reads and removes the first name of a list in `rest`; nullopt if it is malformed.
std::optional<std::string> next_name(std::string_view& rest) {
  rest = pgproto::ascii::trim(rest);
  std::string name;
  if (!rest.starts_with('"')) {
    const size_t end = std::min(rest.find(','), rest.size());
    name = pgproto::ascii::trim(rest.substr(0, end));
    rest.remove_prefix(end);
    const bool quote_inside = name.find('"') != std::string::npos;
    return quote_inside || name.empty() ? std::nullopt : std::optional(name);
  }
  for (size_t i = 1; i < rest.size(); ++i) {
    if (rest[i] == '"' && (i + 1 == rest.size() || rest[i + 1] != '"')) {
      rest = pgproto::ascii::trim(rest.substr(i + 1));
      return name.empty() ? std::nullopt : std::optional(name);
    }
    if (rest[i] == '"') ++i;
    name += rest[i];
  }
  return std::nullopt;
}

}  // namespace

Result<std::vector<std::string>> read_names(const OptionValue& value, const OptionInfo& info) {
  auto text = read_text(value, info);
  if (!text) return std::unexpected(std::move(text.error()));
  std::vector<std::string> names;
  std::string_view rest = *text;
  while (true) {
    auto name = next_name(rest);
    if (!name || (!rest.empty() && rest.front() != ',')) {
      return refuse(info, "column names separated by commas, such as 'a, b' or '\"a,b\", c'");
    }
    if (std::ranges::find(names, *name) != names.end()) return refuse(info, "each column once");
    names.push_back(std::move(*name));
    if (rest.empty()) return names;
    rest.remove_prefix(1);
  }
}

namespace {

/// Settings that the sink controls itself, and what to use instead.
struct ReservedSetting {
  std::string_view name;
  std::string_view instead;
};
constexpr std::array<ReservedSetting, 5> kReservedSettings{{
    {"role", "use the option set_role"},
    {"session_authorization", "use the option set_role or another username"},
    {"transaction_isolation", "use the option isolation_level"},
    {"client_encoding", "everything is sent as UTF-8"},
    {"standard_conforming_strings", "the sink's own statements need it on"},
}};

std::optional<std::string> setting_fault(std::string_view name) {
  if (name.empty()) return "a name for each setting, and one is empty";
  if (lower_ascii(name).starts_with("pgsink.")) {
    return "no settings that begin with 'pgsink.': the sink keeps its own there";
  }
  for (const ReservedSetting& reserved : kReservedSettings) {
    if (equal_without_case(name, reserved.name)) {
      return "no '" + std::string(reserved.name) + "': " + std::string(reserved.instead);
    }
  }
  return std::nullopt;
}

}  // namespace

Result<std::vector<std::pair<std::string, std::string>>> read_settings(const OptionValue& value,
                                                                       const OptionInfo& info) {
  if (value.kind != Kind::kMap) return refuse(info, "MAP { 'name': 'value', … }");
  for (size_t i = 0; i < value.map.size(); ++i) {
    const auto& [name, setting] = value.map[i];
    if (auto fault = setting_fault(name)) return refuse(info, *fault);
    if (!pgproto::utf8_is_text(name) || !pgproto::utf8_is_text(setting)) {
      return refuse(info, "valid UTF-8 without zero bytes");
    }
    for (size_t j = 0; j < i; ++j) {
      if (equal_without_case(value.map[j].first, name)) {
        return refuse(info, "each setting once; upper and lower case are the same");
      }
    }
  }
  return value.map;
}

Result<std::string> read_hosts(const OptionValue& value, const OptionInfo& info) {
  auto text = read_text(value, info);
  if (!text) return std::unexpected(std::move(text.error()));
  const std::vector<std::string_view> hosts = split_list(*text, ',');
  if (hosts.size() == 1 && hosts[0].empty()) return std::string();  // as if left out
  for (const std::string_view host : hosts) {
    if (host.empty()) return refuse(info, "a name between two commas");
    if (host.find("://") != std::string_view::npos) {
      return refuse(info, "host names; a URL goes into the option url");
    }
    const bool path = host.front() == '/' || host.front() == '@';
    const size_t colon = host.find(':');
    if (!path && colon != std::string_view::npos && colon == host.rfind(':')) {
      return refuse(info, "host names; the port goes into the option port");
    }
    if (host.front() == '[') return refuse(info, "IPv6 addresses without brackets");
    if (!path && std::ranges::any_of(host, is_blank)) return refuse(info, "names without blanks");
  }
  return join(hosts, ',');
}

Result<std::string> read_traceparent(const OptionValue& value, const OptionInfo& info) {
  auto text = read_text(value, info);
  if (!text || text->empty()) return text;
  if (!is_traceparent(*text)) {
    return refuse(info,
                  "version, trace, parent and flags in lower-case hexadecimal digits, such as " +
                      std::string(info.example));
  }
  return text;
}

Result<std::string> read_ports(const OptionValue& value, const OptionInfo& info) {
  std::vector<std::string> ports;
  for (const std::string_view part : split_list(value.text, ',')) {
    OptionValue one = value;
    one.text = part;
    auto port = read_integer(one, info);
    if (!port) {
      return refuse(info, "a whole number" + range_text(info) + ", or such numbers in one text, " +
                              "separated by commas, one for each host");
    }
    ports.push_back(std::to_string(*port));
  }
  return join(std::vector<std::string_view>(ports.begin(), ports.end()), ',');
}

Result<std::string> read_require_auth(const OptionValue& value, const OptionInfo& info) {
  constexpr std::string_view kTakes =
      "methods separated by commas: none, password, md5, scram-sha-256, each once; either all or "
      "none with a '!' before it";
  auto text = read_text(value, info);
  if (!text) return std::unexpected(std::move(text.error()));
  if (pgproto::ascii::trim(*text).empty()) return std::string();
  std::vector<std::string_view> methods = split_list(*text, ',');
  const bool negated = methods[0].starts_with('!');
  for (size_t i = 0; i < methods.size(); ++i) {
    std::string_view method = methods[i];
    if (method.starts_with('!') != negated) return refuse(info, kTakes);
    if (negated) method.remove_prefix(1);
    const bool known =
        method == "none" || method == "password" || method == "md5" || method == "scram-sha-256";
    const auto before = methods.begin() + static_cast<std::ptrdiff_t>(i);
    if (!known || std::find(methods.begin(), before, methods[i]) != before) {
      return refuse(info, kTakes);
    }
  }
  return join(methods, ',');
}

Result<std::string> read_partition_by(const OptionValue& value, const OptionInfo& info) {
  constexpr std::string_view kTakes = "'hash(column, …)' or 'round_robin', each column once";
  auto text = read_text(value, info);
  if (!text) return std::unexpected(std::move(text.error()));
  const std::string_view rule = pgproto::ascii::trim(*text);
  if (rule.empty() || equal_without_case(rule, "round_robin")) return lower_ascii(rule);
  const size_t open = rule.find('(');
  if (open == std::string_view::npos || rule.back() != ')') return refuse(info, kTakes);
  const std::string kind = lower_ascii(pgproto::ascii::trim(rule.substr(0, open)));
  OptionValue inside;
  inside.text = rule.substr(open + 1, rule.size() - open - 2);
  const auto columns = read_names(inside, info);
  if (!columns || kind != "hash") return refuse(info, kTakes);
  return kind + "(" + inside.text + ")";
}

Result<std::string> read_transaction_id(const OptionValue& value, const OptionInfo& info) {
  // Source: PostgreSQL's GIDSIZE is 200 with the closing zero. A UUID has 36 characters.
  constexpr std::string_view kUuid = "${uuid}";
  constexpr size_t kUuidBytes = 36;
  constexpr size_t kGidBytesMax = 199;
  auto text = read_text(value, info);
  if (!text) return std::unexpected(std::move(text.error()));
  const size_t place = text->find(kUuid);
  const bool once = place != std::string::npos && text->find(kUuid, place + 1) == std::string::npos;
  if (!once || place == 0) {
    return refuse(info, "a unique prefix followed by one ${uuid}: 'myapp_${uuid}'");
  }
  if (text->size() - kUuid.size() + kUuidBytes > kGidBytesMax) {
    return refuse(info,
                  "at most " + std::to_string(kGidBytesMax) + " bytes with the UUID filled in");
  }
  return text;
}

Result<std::vector<std::string>> read_conditions(const OptionValue& value, const OptionInfo& info) {
  auto text = read_text(value, info);
  if (!text) return std::unexpected(std::move(text.error()));
  std::vector<std::string> conditions;
  if (pgproto::ascii::trim(*text).empty()) return conditions;
  for (const std::string_view part : split_list(*text, ',')) {
    const auto is_code = [](char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z'); };
    const auto is_name = [](char c) { return (c >= 'a' && c <= 'z') || c == '_'; };
    const bool code = part.size() >= 2 && part.size() <= 5 && std::ranges::all_of(part, is_code);
    const bool name = !part.empty() && std::ranges::all_of(part, is_name);
    if (!code && !name) {
      return refuse(info,
                    "condition names such as deadlock_detected, classes such as 08 and "
                    "SQLSTATEs such as 40001, separated by commas");
    }
    conditions.emplace_back(part);
  }
  return conditions;
}

Result<std::string> read_position(const OptionValue& value, const OptionInfo& info) {
  auto text = read_text(value, info);
  if (!text || text->empty() || pgproto::parse_lsn(*text)) return text;
  return refuse(info, "a position in the log such as 16/B374D848");
}

Result<std::string> read_partition_interval(const OptionValue& value, const OptionInfo& info) {
  if (value.kind == Kind::kText || value.kind == Kind::kInteger) {
    std::string interval = lower_ascii(pgproto::ascii::trim(value.text));
    for (const std::string_view unit : {"hour", "day", "week", "month", "year"}) {
      if (interval == unit) return interval;
    }
    const auto count = parse_number<int64_t>(interval);
    if (count && *count >= 1) return std::to_string(*count);
  }
  return refuse(info, "'hour', 'day', 'week', 'month', 'year' or a whole number of at least 1");
}

}  // namespace pgsink
