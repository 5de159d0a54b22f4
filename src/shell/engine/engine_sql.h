#pragma once
// EngineSql: a statement for the engine put together from pieces of a script and pieces of our own,
// and the way back from a place in it to the place in the script.

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pgsink::shell {

class EngineSql {
 public:
  /// Appends text of our own.
  EngineSql& own(std::string_view text);
  /// Appends text from `source_offset` of the script.
  EngineSql& source(std::string_view text, size_t source_offset);

  const std::string& text() const { return text_; }
  /// The script's offset of the byte at `offset`; a byte of our own counts as the next of the
  /// script's, or else the last. nullopt if nothing is from the script.
  std::optional<size_t> source_offset(size_t offset) const;
  /// The same statement inside `before` and `after`.
  EngineSql wrapped(std::string_view before, std::string_view after) const;

 private:
  struct Piece {
    size_t begin = 0, bytes = 0, source_offset = 0;
  };
  std::string text_;
  std::vector<Piece> pieces_;
};

}  // namespace pgsink::shell
