#include "shell/text/json_text.h"

#include <charconv>
#include <cstdint>

#include <pgproto/utf8.h>

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

}  // namespace

std::optional<std::string> read_json_string(std::string_view text, size_t& at) {
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

std::string json_string(std::string_view text) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string out = "\"";
  const bool binary = pgproto::utf8_fault_at(text) != std::string_view::npos;
  if (binary) out += "\\\\x";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (binary) {
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    } else if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20) {
      out += "\\u00";
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    } else {
      out += c;
    }
  }
  return out + "\"";
}

}  // namespace pgsink::shell
