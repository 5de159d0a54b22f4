#include "pgsink/ddl/substitute.h"

#include <algorithm>

#include "pgsink/ddl/lexer.h"

namespace pgsink {
namespace {

using Lookup = std::function<std::optional<std::string>(const std::string& name)>;

bool is_name_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/// Names of variables are words. Names of secrets are also file names: '.' and '-' are common
/// there, but a path that leaves the directory is not allowed.
bool is_secret_name(std::string_view name) {
  const auto allowed = [](char c) { return is_name_char(c) || c == '-' || c == '.'; };
  return !name.empty() && name.front() != '.' && std::ranges::all_of(name, allowed);
}
bool is_variable_name(std::string_view name) {
  const bool digit_first = !name.empty() && name.front() >= '0' && name.front() <= '9';
  return !name.empty() && !digit_first && std::ranges::all_of(name, is_name_char);
}

Result<std::string> look_up(const Lookup& lookup, std::string_view name, std::string missing) {
  std::optional<std::string> value;
  if (lookup) value = lookup(std::string(name));
  if (!value) return pgproto::fail(Errc::kMissingSecret, std::move(missing));
  return std::move(*value);
}

constexpr std::string_view kSecret = "secret:";
constexpr std::string_view kEnvironment = "env:";

/// A value as a part of a connection string, whose form its beginning says. Commas, colons and
/// brackets stay: a variable may hold a list of hosts.
std::string quoted_for_url(std::string_view value, std::string_view url) {
  const bool is_uri = url.starts_with("postgresql://") || url.starts_with("postgres://");
  std::string quoted;
  for (const char c : value) {
    if (is_name_char(c) || std::string_view("-.~,:[]").contains(c)) {
      quoted += c;
    } else if (is_uri) {
      constexpr std::string_view kDigits = "0123456789ABCDEF";
      const auto byte = static_cast<unsigned char>(c);
      quoted += {'%', kDigits[byte >> 4], kDigits[byte & 15]};
    } else {
      quoted += {'\\', c};
    }
  }
  return quoted;
}

/// The value of one reference, given without its ${ }.
Result<std::string> resolve(std::string_view reference, const Substitution& substitution,
                            TextKind kind) {
  std::string shown = "${" + std::string(reference) + "}";
  if (reference == "uuid") {
    if (kind == TextKind::kTransactionId) return shown;
    return pgproto::fail(Errc::kOptionValue,
                         "${uuid} is filled in for each prepared transaction: only "
                         "prepared_transaction_id may hold it");
  }
  if (reference.starts_with(kSecret)) {
    const std::string_view name = reference.substr(kSecret.size());
    if (is_secret_name(name)) {
      return look_up(
          substitution.secret, name,
          shown + " is not a known secret: put it into the file " + std::string(name) +
              " of the secret directory (--secret-dir), or into the environment variable "
              "PGSINK_SECRET_ and its name in upper case");
    }
  } else if (reference.starts_with(kEnvironment)) {
    const std::string_view name = reference.substr(kEnvironment.size());
    if (is_variable_name(name)) {
      return look_up(substitution.environment, name,
                     shown + " is not set in the environment: set " + std::string(name));
    }
  } else if (is_variable_name(reference)) {
    return look_up(substitution.variable, reference,
                   shown + " is not set: give --set " + std::string(reference) +
                       "=value; or did you mean ${secret:NAME} or ${env:NAME}?");
  }
  return pgproto::fail(Errc::kOptionValue,
                       "this text has a ${…} that is none of ${secret:NAME}, ${env:NAME}, ${uuid} "
                       "and ${NAME}; write $${ for a literal ${");
}

}  // namespace

Result<std::string> fill_in(std::string_view text, const Substitution& substitution,
                            TextKind kind) {
  std::string filled;
  while (!text.empty()) {
    const size_t dollar = std::min(text.find('$'), text.size());
    filled += text.substr(0, dollar);
    text.remove_prefix(dollar);
    if (text.starts_with("$${")) {
      if (kind == TextKind::kTransactionId) {
        return pgproto::fail(Errc::kOptionValue, "this text cannot contain a literal ${");
      }
      filled += "${";
      text.remove_prefix(3);
    } else if (text.starts_with("${")) {
      const size_t close = text.find('}');
      if (close == std::string_view::npos) {
        return pgproto::fail(Errc::kOptionValue,
                             "a ${ of this text is not closed by }; write $${ for the two "
                             "characters themselves");
      }
      const std::string_view reference = text.substr(2, close - 2);
      auto value = resolve(reference, substitution, kind);
      if (!value) return value;
      const bool is_part = kind == TextKind::kUrl && !filled.empty() &&
                           (reference.starts_with(kSecret) || reference.starts_with(kEnvironment));
      filled += is_part ? quoted_for_url(*value, filled) : *value;
      text.remove_prefix(close + 1);
    } else if (!text.empty()) {
      filled += '$';
      text.remove_prefix(1);
    }
    if (filled.size() > DdlLimits::kValueBytesMax) {
      return pgproto::fail(Errc::kLimit, "the value has more than " +
                                             std::to_string(DdlLimits::kValueBytesMax) +
                                             " bytes, ${…} filled in");
    }
  }
  return filled;
}

}  // namespace pgsink
