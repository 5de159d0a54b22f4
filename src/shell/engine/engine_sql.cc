#include "shell/engine/engine_sql.h"

namespace pgsink::shell {

EngineSql& EngineSql::own(std::string_view text) {
  text_ += text;
  return *this;
}

EngineSql& EngineSql::source(std::string_view text, size_t source_offset) {
  pieces_.push_back({text_.size(), text.size(), source_offset});
  text_ += text;
  return *this;
}

std::optional<size_t> EngineSql::source_offset(size_t offset) const {
  for (const Piece& piece : pieces_) {
    if (offset < piece.begin) return piece.source_offset;
    if (offset < piece.begin + piece.bytes) return piece.source_offset + (offset - piece.begin);
  }
  if (pieces_.empty()) return std::nullopt;
  const Piece& last = pieces_.back();
  return last.source_offset + (last.bytes == 0 ? 0 : last.bytes - 1);
}

EngineSql EngineSql::wrapped(std::string_view before, std::string_view after) const {
  EngineSql out;
  out.text_.append(before).append(text_).append(after);
  out.pieces_ = pieces_;
  for (Piece& piece : out.pieces_) piece.begin += before.size();
  return out;
}

}  // namespace pgsink::shell
