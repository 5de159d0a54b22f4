#pragma once
// Which words may stand where the cursor is: commands of the prompt, words of statements, names of
// connections, keys of options.

#include <string>
#include <string_view>
#include <vector>

#include "shell/prompt/line_editor.h"

namespace pgsink::shell {

/// WordLists is what is known when a word is to be completed.
struct WordLists {
  std::vector<std::string> dot_commands;  ///< ".help", "\\?", …
  std::vector<std::string> connections;
  std::vector<std::string> tables;  ///< Of the engine, and of the schema system.
  std::vector<std::string> formats;
};

/// complete_word completes the last word of `text`, which is the statement up to the cursor.
Completion complete_word(std::string_view text, const WordLists& lists);

}  // namespace pgsink::shell
