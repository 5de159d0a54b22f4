#include "shell/engine/engine_fault.h"

#include <charconv>
#include <map>

#include "shell/text/json_text.h"

namespace pgsink::shell {
namespace {

/// Reads a flat object of strings, the only shape the engine writes. Empty if it is anything else.
std::map<std::string, std::string> read_object(std::string_view text) {
  std::map<std::string, std::string> members;
  size_t at = text.find("{\"exception_type\"");
  if (at == std::string_view::npos) return members;
  do {
    ++at;
    auto key = read_json_string(text, at);
    if (!key || at >= text.size() || text[at] != ':') return {};
    auto value = read_json_string(text, ++at);
    if (!value) return {};
    members.emplace(std::move(*key), std::move(*value));
  } while (at < text.size() && text[at] == ',');
  return members;
}

}  // namespace

EngineFault parse_engine_error(std::string_view text) {
  EngineFault fault;
  fault.error.code = pgproto::Errc::kQuery;
  const auto members = read_object(text);
  const auto member = [&](const char* key) {
    const auto found = members.find(key);
    return found == members.end() ? std::string() : found->second;
  };
  fault.error.message = members.empty() ? std::string(text) : member("exception_message");
  while (!fault.error.message.empty() && fault.error.message.back() == '\n') {
    fault.error.message.pop_back();
  }
  fault.interrupted = member("exception_type") == "INTERRUPT";
  const std::string position = member("position");
  size_t offset = 0;
  if (!position.empty() &&
      std::from_chars(position.data(), position.data() + position.size(), offset).ec ==
          std::errc()) {
    fault.offset = offset;
  }
  return fault;
}

}  // namespace pgsink::shell
