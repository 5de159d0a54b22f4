#pragma once
// The words that may be completed at the cursor: commands of the prompt, words of statements, names
// of connections, keys of options.

#include <string>
#include <string_view>
#include <vector>

#include "shell/prompt/line_editor.h"

namespace pgsink::shell {

/// WordLists are the words known when a word is completed.
struct WordLists {
  std::vector<std::string> dot_commands;  ///< ".help", "\\?", …
  std::vector<std::string> connections;
  std::vector<std::string> tables;  ///< Tables of the engine, and of the schema system.
  std::vector<std::string> formats;
};

/// complete_word completes the last word of `text`, which is the statement up to the cursor.
Completion complete_word(std::string_view text, const WordLists& lists);

}  // namespace pgsink::shell
