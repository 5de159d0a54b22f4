#include "pgsink/lane/copy_place.h"

#include <algorithm>
#include <array>
#include <optional>

#include "pgsink/sql/control.h"

namespace pgsink {
namespace {

/// What stands before and after the table's name: "COPY t, line 8, column b". Source: the
/// translations of "COPY %s, line %llu" in the server's src/backend/po, PostgreSQL 14 to 18.
struct Form {
  std::string_view before, after;
  std::string_view after_column = {};
};
constexpr std::array kForms{
    Form{.before = "COPY ", .after = ", "},
    Form{.before = "", .after = "のCOPY、"},
    Form{.before = "", .after = " 복사, ", .after_column = " 열"},
};

/// What follows the table's name, where a line of the CONTEXT is about its COPY.
std::optional<std::string_view> after_table(std::string_view text, std::string_view table,
                                            const Form& form) {
  for (const std::string_view part : {form.before, table, form.after}) {
    if (!text.starts_with(part)) return std::nullopt;
    text.remove_prefix(part.size());
  }
  return text;
}

/// The place in "line 8, column b", or "8번째 줄, b 열".
CopyPlace place_of(std::string_view text, const Form& form) {
  constexpr std::string_view kDigits = "0123456789";
  const size_t first = std::min(text.find_first_of(kDigits), text.find('\n'));
  if (first == std::string_view::npos || text[first] == '\n') return {};
  text.remove_prefix(first);
  const size_t end = std::min(text.find_first_not_of(kDigits), text.size());
  CopyPlace place{.line = parse_number(text.substr(0, end))};
  text.remove_prefix(end);
  if (!form.after_column.empty()) {
    const size_t comma = text.find(", ");
    if (comma == std::string_view::npos || !text.ends_with(form.after_column)) return place;
    text.remove_suffix(form.after_column.size());
    place.column = text.substr(comma + 2);
    return place;
  }
  // A comma, perhaps with a blank, then one word for "column".
  const size_t blank = text.find(' ', 2);
  if (blank != std::string_view::npos) place.column = text.substr(blank + 1);
  return place;
}

}  // namespace

CopyPlace copy_place(std::string_view context, std::string_view table) {
  // The last line that fits: those before it are about triggers, which may COPY too.
  CopyPlace found{.others = context};
  for (size_t begin = 0; begin < context.size();) {
    const std::string_view line = context.substr(begin);
    for (const Form& form : kForms) {
      const auto rest = after_table(line, table, form);
      if (!rest) continue;
      found = place_of(*rest, form);
      found.others = found.line == 0 ? context : context.substr(0, begin == 0 ? 0 : begin - 1);
    }
    begin = std::min(context.find('\n', begin), context.size() - 1) + 1;
  }
  return found;
}

}  // namespace pgsink
