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

/// The value of one reference, given without its ${ }.
Result<std::string> resolve(std::string_view reference, const Substitution& substitution,
                            bool keeps_uuid) {
  constexpr std::string_view kSecret = "secret:";
  constexpr std::string_view kEnvironment = "env:";
  std::string shown = "${" + std::string(reference) + "}";
  if (reference == "uuid") {
    if (keeps_uuid) return shown;
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
                            bool keeps_uuid) {
  std::string filled;
  while (!text.empty()) {
    const size_t dollar = std::min(text.find('$'), text.size());
    filled += text.substr(0, dollar);
    text.remove_prefix(dollar);
    if (text.starts_with("$${")) {
      if (keeps_uuid) {
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
      auto value = resolve(text.substr(2, close - 2), substitution, keeps_uuid);
      if (!value) return value;
      filled += *value;
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
