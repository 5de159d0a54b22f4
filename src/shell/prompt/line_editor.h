#pragma once
// LineEditor: lines typed at a terminal, with editing, history and completion if libedit is
// available, plain input otherwise.

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace pgsink::shell {

/// Completion lists the words that may replace the word before the cursor.
struct Completion {
  size_t word_bytes = 0;           ///< Length of that word, in bytes before the cursor.
  std::vector<std::string> words;  ///< Each begins with that word, ignoring case.
};

class LineEditor {
 public:
  enum class Outcome { kLine, kCancelled, kEnd };
  using Completer = std::function<Completion(const std::string& before_cursor)>;

  /// `history_file` "" keeps the history only for this session. `interrupted` returns whether a
  /// signal came, which ends a read(); it is called every 100 ms.
  static std::unique_ptr<LineEditor> create(std::string history_file, Completer completer,
                                            std::function<bool()> interrupted);
  virtual ~LineEditor() = default;

  /// Reads a line, without its end. Cancelled: Ctrl-C was typed, or a signal came.
  virtual Outcome read(const std::string& prompt, std::string& line) = 0;
  /// Adds a statement to the history and its file.
  virtual void remember(const std::string& statement) = 0;
};

}  // namespace pgsink::shell
