#include "shell/engine_fault.h"

#include <charconv>
#include <cstdint>
#include <map>

namespace pgsink::shell {
namespace {

void append_utf8(std::string& out, uint32_t code) {
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xC0 | (code >> 6));
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else {
    out += static_cast<char>(0xE0 | (code >> 12));
    out += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  }
}

/// Reads a JSON string that starts at text[at] == '"'; leaves `at` behind it. nullopt if malformed.
std::optional<std::string> read_string(std::string_view text, size_t& at) {
  if (at >= text.size() || text[at] != '"') return std::nullopt;
  std::string out;
  for (++at; at < text.size(); ++at) {
    if (text[at] == '"') {
      ++at;
      return out;
    }
    if (text[at] != '\\') {
      out += text[at];
      continue;
    }
    if (++at == text.size()) return std::nullopt;
    switch (text[at]) {
      case 'n':
        out += '\n';
        break;
      case 't':
        out += '\t';
        break;
      case 'r':
        out += '\r';
        break;
      case 'b':
        out += '\b';
        break;
      case 'f':
        out += '\f';
        break;
      case 'u': {
        uint32_t code = 0;
        const char* digits = text.data() + at + 1;
        if (at + 4 >= text.size() ||
            std::from_chars(digits, digits + 4, code, 16).ptr != digits + 4) {
          return std::nullopt;
        }
        append_utf8(out, code);
        at += 4;
        break;
      }
      default:
        out += text[at];
    }
  }
  return std::nullopt;
}

/// Reads a flat object of strings, the only shape the engine writes. Empty if it is anything else.
std::map<std::string, std::string> read_object(std::string_view text) {
  std::map<std::string, std::string> members;
  size_t at = text.find("{\"exception_type\"");
  if (at == std::string_view::npos) return members;
  do {
    ++at;
    auto key = read_string(text, at);
    if (!key || at >= text.size() || text[at] != ':') return {};
    auto value = read_string(text, ++at);
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
