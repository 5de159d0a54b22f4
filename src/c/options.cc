#include "c/options.h"

#include <algorithm>
#include <string>
#include <utility>

#include <pgsink/ddl.h>

#include "c/callbacks.h"

namespace pgsink::c {
namespace {

constexpr std::string_view kNameKey = "connection_name";

/// Values of a program are what they are: ${…} is for scripts.
std::string literal(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t next = std::min(text.find("${", at), text.size());
    out += text.substr(at, next - at);
    at = next;
    if (at == text.size()) break;
    out += "$${";
    at += 2;
  }
  return out;
}

/// An entry of a map, "session_variables.work_mem": its map's row, or null.
const OptionInfo* map_of(std::string_view key) {
  const size_t dot = key.find('.');
  if (dot == std::string_view::npos) return nullptr;
  const OptionInfo* info = find_option(key.substr(0, dot));
  return info != nullptr && info->type == OptionType::kMap ? info : nullptr;
}

class Reader {
 public:
  /// False, with a reason, for what no message of the table is about.
  Status add(const pgsink_option& option) {
    if (option.key == nullptr || option.value == nullptr) {
      return fail(Errc::kUsage, "a key or a value of the options is NULL");
    }
    const std::string_view key = option.key;
    if (key == kNameKey) {
      statement_.name = option.value;
    } else if (const OptionInfo* map = map_of(key)) {
      add_entry(*map, key.substr(map->key.size() + 1), option.value);
    } else if (std::ranges::find(statement_.options, key, &RawOption::key) !=
               statement_.options.end()) {
      return fail(Errc::kOptionConflict, "the option " + std::string(key) + " is given twice");
    } else {
      RawOption& raw = next(key);
      // The placeholder of a prepared transaction's name is the option's own.
      raw.value.text = key == "prepared_transaction_id" ? option.value : literal(option.value);
    }
    return {};
  }

  Result<SinkOptions> bind() {
    statement_.system = "postgresql";
    if (statement_.name.empty()) statement_.name = "pgsink";
    auto bound = bind_connection(statement_, {});
    if (bound) return *std::move(bound);
    Error error = bound.error().front().error;
    for (size_t i = 1; i < bound.error().size(); ++i) {
      error.message += "; " + bound.error()[i].error.message;
    }
    return fail(std::move(error));
  }

 private:
  RawOption& next(std::string_view key) {
    RawOption& raw = statement_.options.emplace_back();
    raw.key = key;
    // Faults are reported in the order of the options.
    raw.key_position.offset = raw.value_position.offset = statement_.options.size();
    return raw;
  }
  void add_entry(const OptionInfo& map, std::string_view name, std::string_view value) {
    const auto found = std::ranges::find(statement_.options, map.key, &RawOption::key);
    RawOption& raw = found == statement_.options.end() ? next(map.key) : *found;
    raw.value.kind = OptionValue::Kind::kMap;
    raw.value.map.emplace_back(literal(name), literal(value));
  }

  CreateConnection statement_;
};

}  // namespace

Result<SinkOptions> bind_options(const pgsink_option* options, size_t count) {
  if (options == nullptr && count > 0) return fail(Errc::kUsage, "the options are NULL");
  Reader reader;
  for (size_t i = 0; i < count; ++i) {
    if (auto added = reader.add(options[i]); !added) return fail(added.error());
  }
  return reader.bind();
}

Result<SinkOptions> bind_options(const pgsink_option* options, size_t count,
                                 const pgsink_callbacks* callbacks) {
  auto bound = bind_options(options, count);
  if (!bound || callbacks == nullptr) return bound;
  if (auto set = set_callbacks(*callbacks, *bound); !set) return fail(set.error());
  return bound;
}

}  // namespace pgsink::c
