#include <algorithm>

#include <pgproto/ascii.h>

#include "pgsink/encode/base/shortened.h"
#include "pgsink/encode/base/staged.h"
#include "pgsink/encode/parse/parse.h"
#include "pgsink/encode/parse/xml_syntax.h"
#include "pgsink/encode/values/text_field.h"

namespace pgsink::encode {
namespace {

/// Removes `word` from the front of `text`.
bool take_prefix(std::string_view& text, std::string_view word) {
  if (!text.starts_with(word)) return false;
  text.remove_prefix(word.size());
  return true;
}

/// Removes XML's blanks from the front of `text`; false if there is none.
bool take_blanks(std::string_view& text) {
  const size_t count = std::min(text.find_first_not_of(" \t\r\n"), text.size());
  text.remove_prefix(count);
  return count != 0;
}

/// Removes `name = "value"`, with blanks before it, from the front of `text`.
bool take_attribute(std::string_view& text, std::string_view name, std::string_view& value) {
  if (!take_blanks(text) || !take_prefix(text, name)) return false;
  take_blanks(text);
  if (!take_prefix(text, "=")) return false;
  take_blanks(text);
  if (text.empty() || (text[0] != '"' && text[0] != '\'')) return false;
  const size_t end = text.find(text[0], 1);
  if (end == std::string_view::npos) return false;
  value = text.substr(1, end - 1);
  text.remove_prefix(end + 1);
  return true;
}

/// The encoding in the XML declaration, a part of `text`; at the end of `text` if there is none. It
/// is parsed as the server parses it (parse_xml_decl() in its xml.c).
std::string_view declared_encoding(std::string_view text) {
  std::string_view rest = text;
  std::string_view version;
  std::string_view encoding;
  const bool found = take_prefix(rest, "<?xml") && take_attribute(rest, "version", version) &&
                     take_attribute(rest, "encoding", encoding);
  return found ? encoding : text.substr(text.size());
}

/// Appends a text with its declaration changed to the encoding that it has: xml_in() knows that
/// text is in the client's encoding and ignores the declaration, but xml_recv() believes it.
void put_document(std::string_view text, Scratch& out) {
  constexpr std::string_view kUtf8 = "UTF-8";
  const std::string_view encoding = declared_encoding(text);
  const auto before = static_cast<size_t>(encoding.data() - text.data());
  if (before == text.size() || pgproto::ascii::equal_folded(encoding, kUtf8)) {
    return out.put_text(text);
  }
  out.put_text(text.substr(0, before));
  out.put_text(kUtf8);
  out.put_text(text.substr(before + encoding.size()));
}

/// Writes a document, and looks for faults in its syntax unless that is left to the server.
struct PutXml {
  using Value = std::string_view;
  TextRule rule;
  bool checks = true;

  void leave_to_server(bool leave) { checks = !leave; }
  bool operator()(std::string_view text, Scratch& out, Fault& fault) const {
    if (text_fault(text, rule, fault)) return false;
    if (const std::string why = checks ? xml_fault(text) : ""; !why.empty()) {
      fault = {sqlstate::kXmlContent, shortened(text) + " is not well-formed XML: " + why};
      return false;
    }
    put_document(text, out);
    return true;
  }
};

}  // namespace

bool parse_xml(const Target& target, std::string_view text, Scratch& out, Fault& fault) {
  return PutXml{text_rule(target)}(text, out, fault);
}

CodecPointer text_to_xml(const Field& source, const Target& target) {
  return staged_field(source, load_bytes, PutXml{text_rule(target)});
}

}  // namespace pgsink::encode
