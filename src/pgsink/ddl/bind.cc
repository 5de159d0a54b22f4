// From the options as written to SinkOptions. Everything that can be checked without a server is
// checked here, and all faults are reported together.

#include <algorithm>
#include <map>

#include <pgsink/ddl.h>

#include "pgsink/ddl/lexer.h"
#include "pgsink/ddl/secrets.h"
#include "pgsink/ddl/substitute.h"
#include "pgsink/options/names.h"
#include "pgsink/options/option_checks.h"
#include "pgsink/options/values.h"

namespace pgsink {
namespace {

/// The maximum of bytes of a script's text in a message, cut between characters.
std::string shortened(std::string_view text) {
  constexpr size_t kShownBytesMax = 60;
  if (text.size() <= kShownBytesMax) return std::string(text);
  size_t end = kShownBytesMax;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return std::string(text.substr(0, end)) + "…";
}

/// A value as shown in messages: as written, so that the content of ${…} stays hidden.
std::string shown_value(const OptionValue& value) {
  if (value.kind == OptionValue::Kind::kMap) return "this MAP";
  if (holds_a_password(value.text)) return "this connection string";
  if (value.kind == OptionValue::Kind::kText) return "'" + shortened(value.text) + "'";
  return shortened(value.text);
}

class Binder {
 public:
  Binder(const CreateConnection& statement, const Substitution& substitution)
      : statement_(statement), substitution_(substitution) {}

  std::expected<SinkOptions, std::vector<Diagnostic>> bind() {
    options_.connection_name = statement_.name;
    if (system_is_ours()) {
      for (const RawOption& option : statement_.options) bind_option(option);
      add_defaults();
      check_together();
    }
    for (const auto& [key, option] : given_) options_.given.emplace_back(key);
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
    // In the order of the script; faults at one place in the order in which they were found.
    const auto place = std::ranges::upper_bound(
        faults_, begin.offset, {}, [](const Diagnostic& other) { return other.begin.offset; });
    faults_.insert(place, std::move(fault));
  }
  void add_at_key(const RawOption& option, Errc code, std::string message) {
    add(code, std::move(message), option.key_position, option.key_length);
  }
  void add_at_value(const RawOption& option, Errc code, std::string message) {
    faulty_.push_back(option.key);
    add(code, std::move(message), option.value_position, option.value_length);
  }

  /// Whether the options are those of a PostgreSQL connection; a misspelt name still counts.
  bool system_is_ours() {
    const std::string& system = statement_.system;
    if (system == "postgresql") return true;
    const bool meant = system == "postgres" || system == "pg" || system == "pgsql" ||
                       system == "psql" || system == "postgressql" || system == "postgre";
    Errc code = Errc::kSyntax;
    std::string message = "'" + shortened(system) + "' is not a system to connect to; ";
    if (system == "stdin" || system == "kafka") {
      code = Errc::kOptionUnsupported;
      message = "TO " + system +
                " is a source of the command pgsink; a sink of the library writes to postgresql";
    } else {
      message += meant ? "did you mean postgresql?"
                       : "it can only be postgresql, or for a source stdin or kafka";
    }
    add(code, std::move(message), statement_.system_position, statement_.system_length);
    return meant;
  }

  void bind_option(const RawOption& raw) {
    const OptionInfo* info = find_option(raw.key);
    if (info == nullptr) return add_unknown(raw);
    const auto [first, inserted] = given_.emplace(raw.key, &raw);
    if (!inserted) {
      add_at_key(raw, Errc::kOptionConflict,
                 "the option " + raw.key + " is given twice, first in line " +
                     std::to_string(first->second->key_position.line));
      return;
    }
    auto value = filled(raw);
    if (!value) {
      return add_at_value(raw, value.error().code, std::move(value.error().message));
    }
    SinkOptions alone;
    if (auto stored = info->store(*value, *info, alone); !stored) {
      std::string message = std::move(stored.error().message);
      const bool of_a_map =
          info->type == OptionType::kMap && raw.value.kind == OptionValue::Kind::kMap;
      if (!info->secret && !of_a_map) message += ", not " + shown_value(raw.value);
      return add_at_value(raw, stored.error().code, std::move(message));
    }
    // Cannot fail: it succeeded above.
    (void)info->store(*value, *info, options_);
  }

  void add_unknown(const RawOption& raw) {
    const std::string_view nearest = nearest_option(raw.key);
    add_at_key(raw, Errc::kUnknownOption,
               "there is no option '" + shortened(raw.key) + "'; " +
                   (nearest.empty() ? "'pgsink options' lists all there are"
                                    : "did you mean " + std::string(nearest) + "?"));
    if (!nearest.empty()) faulty_.emplace_back(nearest);
  }

  /// The value with every ${…} filled in.
  Result<OptionValue> filled(const RawOption& raw) const {
    OptionValue value = raw.value;
    if (value.kind == OptionValue::Kind::kText) {
      const TextKind kind = raw.key == "url"                       ? TextKind::kUrl
                            : raw.key == "prepared_transaction_id" ? TextKind::kTransactionId
                                                                   : TextKind::kPlain;
      auto text = fill_in(value.text, substitution_, kind);
      if (!text) return std::unexpected(std::move(text.error()));
      value.text = std::move(*text);
    }
    for (auto& [name, setting] : value.map) {
      auto name_filled = fill_in(name, substitution_, TextKind::kPlain);
      if (!name_filled) return std::unexpected(std::move(name_filled.error()));
      auto setting_filled = fill_in(setting, substitution_, TextKind::kPlain);
      if (!setting_filled) return std::unexpected(std::move(setting_filled.error()));
      name = std::move(*name_filled);
      setting = std::move(*setting_filled);
    }
    return value;
  }

  void add_defaults() {
    if (!given_.contains("batch_bytes")) {
      options_.batch_bytes = std::min(options_.batch_bytes, options_.buffer_bytes);
    }
  }

  bool is_faulty(std::string_view key) const {
    return !key.empty() && std::ranges::find(faulty_, key) != faulty_.end();
  }

  /// A contradiction with an option that is wrong itself is not reported: it would only confuse.
  void check_together() {
    const auto given = [this](std::string_view key) { return given_.contains(key); };
    for (OptionFault& fault : option_faults(options_, given)) {
      if (is_faulty(fault.key) || is_faulty(fault.other)) continue;
      const auto at = given_.find(fault.key);
      if (at == given_.end()) {
        add(fault.error.code, std::move(fault.error.message), statement_.name_position,
            statement_.name_length);
        continue;
      }
      const RawOption& raw = *at->second;
      // A fault inside a text is described with parts of the text.
      const bool inside = fault.key == "url" && fault.other.empty();
      if (inside && raw.value.text.find("${") != std::string::npos) {
        fault.error.message =
            "url: with ${…} filled in, it is not a connection string that libpq accepts";
      }
      add_at_key(raw, fault.error.code, std::move(fault.error.message));
    }
  }

  const CreateConnection& statement_;
  const Substitution& substitution_;
  SinkOptions options_;
  std::map<std::string_view, const RawOption*> given_;
  std::vector<std::string> faulty_;
  std::vector<Diagnostic> faults_;
};

}  // namespace

std::expected<SinkOptions, std::vector<Diagnostic>> bind_connection(
    const CreateConnection& statement, const Substitution& substitution) {
  return Binder(statement, substitution).bind();
}

}  // namespace pgsink
