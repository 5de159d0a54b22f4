#pragma once
// LineEditor: lines typed at a terminal, with editing, history and completion where libedit is
// there, and plain ones elsewhere.

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace pgsink::shell {

/// Completion is what may stand in the place of the word before the cursor.
struct Completion {
  size_t word_bytes = 0;           ///< Of the text before the cursor.
  std::vector<std::string> words;  ///< Each with that word as its beginning, but for case.
};

class LineEditor {
 public:
  enum class Outcome { kLine, kCancelled, kEnd };
  using Completer = std::function<Completion(const std::string& before_cursor)>;

  /// `history_file` "" keeps none beyond this session. `interrupted` says that a signal came, which
  /// ends a read(); it is asked every 100 ms.
  static std::unique_ptr<LineEditor> create(std::string history_file, Completer completer,
                                            std::function<bool()> interrupted);
  virtual ~LineEditor() = default;

  /// Reads a line, without its end. Cancelled: Ctrl-C was typed, or a signal came.
  virtual Outcome read(const std::string& prompt, std::string& line) = 0;
  /// Remembers a statement, and writes it to the file.
  virtual void remember(const std::string& statement) = 0;
};

}  // namespace pgsink::shell
