#include "shell/load/name_list.h"

#include "shell/engine/engine.h"
#include "shell/load/load_input.h"

namespace pgsink::shell {
namespace {

std::string joined(const std::vector<std::string>& parts) {
  std::string list;
  for (const std::string& part : parts) list.append(list.empty() ? "" : ", ").append(part);
  return list;
}

}  // namespace

pgproto::Result<std::vector<std::string>> split_names(std::string_view flag, std::string_view text,
                                                      char separator) {
  std::vector<std::string> names(1);
  bool quoted = false;
  bool was_quoted = false;
  size_t end = 0;  // Of the name, without the blanks after it.
  for (size_t i = 0; i <= text.size(); ++i) {
    std::string& name = names.back();
    if (i == text.size() || (text[i] == separator && !quoted)) {
      name.resize(end);
      if (quoted || (name.empty() && !was_quoted)) {
        return refuse(
            std::string(flag) +
            " has a name that is empty, or a quote that is not closed: " + std::string(text));
      }
      if (i == text.size()) break;
      names.emplace_back();
      end = 0;
      was_quoted = false;
    } else if (text[i] == '"') {
      const bool doubled = quoted && i + 1 < text.size() && text[i + 1] == '"';
      if (doubled) name += text[++i];
      if (!doubled) quoted = !quoted;
      was_quoted = true;
      end = name.size();
    } else if (quoted || text[i] != ' ' || !name.empty()) {
      name += text[i];
      if (quoted || text[i] != ' ') end = name.size();
    }
  }
  return names;
}

std::string column_list(const std::vector<std::string>& names) {
  std::vector<std::string> parts;
  parts.reserve(names.size());
  for (const std::string& name : names) {
    const bool plain = name.find_first_of(" ,\"") == std::string::npos;
    parts.push_back(plain ? name : engine_identifier(name));
  }
  return joined(parts);
}

std::string identifiers(const std::vector<std::string>& names) {
  std::vector<std::string> parts;
  parts.reserve(names.size());
  for (const std::string& name : names) parts.push_back(engine_identifier(name));
  return joined(parts);
}

std::string literals(const std::vector<std::string>& texts, std::string_view after) {
  std::vector<std::string> parts;
  parts.reserve(texts.size());
  for (const std::string& text : texts) parts.push_back(engine_literal(text).append(after));
  return joined(parts);
}

}  // namespace pgsink::shell
