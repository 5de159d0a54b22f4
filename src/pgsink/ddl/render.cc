#include <algorithm>

#include <pgproto/utf8.h>

#include <pgsink/ddl.h>

#include "pgsink/ddl/secrets.h"

namespace pgsink {
namespace {

/// Cell is one character of a line as it is shown.
struct Cell {
  char32_t character = 0;
  bool marked = false;  ///< The caret line marks it.
};

/// What may be sent to a terminal: no control character but the tab, and no invalid UTF-8.
char32_t printable(const pgproto::CodePoint& point) {
  constexpr char32_t kReplacement = 0xfffd;
  const char32_t c = point.value;
  const bool control = (c < 0x20 && c != '\t') || (c >= 0x7f && c <= 0x9f);
  return control ? kReplacement : c;
}

std::string printable_text(std::string_view text) {
  std::string shown;
  for (size_t i = 0; i < text.size();) {
    const pgproto::CodePoint point = pgproto::code_point_at(text, i);
    const bool line_break = point.value == '\n' || point.value == '\r';
    pgproto::utf8_append(shown, line_break ? U' ' : printable(point));
    i += point.bytes;
  }
  return shown;
}

/// Line is the line of a script that contains a position, as offsets, without its line break.
struct Line {
  size_t begin = 0;
  size_t end = 0;
};

Line line_around(std::string_view script, size_t offset) {
  Line line;
  const size_t before = offset == 0 ? std::string_view::npos : script.rfind('\n', offset - 1);
  line.begin = before == std::string_view::npos ? 0 : before + 1;
  line.end = std::min(script.find('\n', offset), script.size());
  if (line.end > std::max(line.begin, offset) && script[line.end - 1] == '\r') --line.end;
  return line;
}

/// The cells of a line; a hidden part becomes three stars.
std::vector<Cell> cells_of(std::string_view script, Line line, size_t mark_begin, size_t mark_end) {
  const std::vector<HiddenBytes> secrets = find_secrets(script);
  auto hidden = secrets.begin();
  std::vector<Cell> cells;
  size_t i = line.begin;
  while (i < line.end) {
    while (hidden != secrets.end() && hidden->end <= i) ++hidden;
    if (hidden != secrets.end() && hidden->begin <= i) {
      const bool marked = mark_begin < hidden->end && mark_end > hidden->begin;
      cells.insert(cells.end(), 3, Cell{.character = U'*', .marked = marked});
      i = hidden->end;
      continue;
    }
    const pgproto::CodePoint point = pgproto::code_point_at(script, i);
    cells.push_back({.character = printable(point), .marked = i >= mark_begin && i < mark_end});
    i += point.bytes;
  }
  if (std::ranges::none_of(cells, &Cell::marked))
    cells.push_back({.character = U' ', .marked = true});
  return cells;
}

/// The part of a long line around the mark; generated scripts have lines of megabytes.
std::vector<Cell> shortened(std::vector<Cell> cells) {
  constexpr size_t kCellsMax = 160;
  constexpr size_t kCellsBeforeMark = 60;
  if (cells.size() <= kCellsMax) return cells;
  const auto mark = std::ranges::find(cells, true, &Cell::marked);
  const auto at = static_cast<size_t>(mark - cells.begin());
  const size_t first = at > kCellsBeforeMark ? at - kCellsBeforeMark : 0;
  const size_t last = std::min(first + kCellsMax, cells.size());
  std::vector<Cell> part(cells.begin() + static_cast<std::ptrdiff_t>(first),
                         cells.begin() + static_cast<std::ptrdiff_t>(last));
  if (first > 0) part.front() = {.character = U'…'};
  if (last < cells.size()) part.back() = {.character = U'…', .marked = part.back().marked};
  return part;
}

/// The line, and the carets below it. Tabs are repeated, so that both lines stay aligned.
void append_marked_line(const std::vector<Cell>& cells, std::string& text) {
  std::string carets;
  bool marked_before = false;
  size_t carets_end = 0;
  for (const Cell& cell : cells) {
    pgproto::utf8_append(text, cell.character);
    if (cell.marked) {
      carets += marked_before ? '~' : '^';
      marked_before = true;
      carets_end = carets.size();
    } else {
      carets += cell.character == U'\t' ? '\t' : ' ';
    }
  }
  while (text.ends_with(' ')) text.pop_back();
  text.append("\n").append(carets, 0, carets_end).append("\n");
}

}  // namespace

std::string render_diagnostic(const Diagnostic& diagnostic, std::string_view file,
                              std::string_view script) {
  const Error& error = diagnostic.error;
  std::string text;
  if (!file.empty()) text += printable_text(file) + ":";
  text += std::to_string(diagnostic.begin.line) + ":" + std::to_string(diagnostic.begin.column) +
          ": error[" + errc_name(error.code) + "]: " + printable_text(error.message);
  if (error.sqlstate.is_set()) text.append(" (SQLSTATE ").append(error.sqlstate.view()).append(")");
  text += "\n";
  const size_t offset = diagnostic.begin.offset;
  if (!script.empty() && offset <= script.size()) {
    const size_t mark_end = offset + std::clamp<size_t>(diagnostic.length, 1, script.size() + 1);
    append_marked_line(shortened(cells_of(script, line_around(script, offset), offset, mark_end)),
                       text);
  }
  if (!error.detail.empty()) text += "detail: " + printable_text(error.detail) + "\n";
  if (!error.hint.empty()) text += "hint: " + printable_text(error.hint) + "\n";
  if (!error.where.empty()) text += "context: " + printable_text(error.where) + "\n";
  return text;
}

}  // namespace pgsink
