#pragma once
// Rules about words: phrases that are not plain English, and files that are named but do not exist.

#include <span>
#include <string_view>
#include <vector>

#include "tidy/rules.h"

namespace tidy {

/// Phrase is a banned phrase and what to write in its place.
struct Phrase {
  std::string_view key;           ///< A word that each match contains, in lower case.
  std::string_view pattern;       ///< A regular expression; case does not matter.
  std::string_view instead;       ///< What to write.
  std::string_view guilty;        ///< A line that it must find.
  std::string_view innocent;      ///< A line that contains the key and is allowed.
  std::string_view allowed = {};  ///< What is removed from a line before it is searched.
};

/// banned_phrases is the table. It applies to comments, messages and documentation alike.
std::span<const Phrase> banned_phrases();

/// find_phrases lists the banned phrases of one file.
std::vector<Finding> find_phrases(const SourceFile& file);

/// missing_files lists files of this repository that comments and pages name, and that do not
/// exist. A name without a folder may be anywhere.
std::vector<Finding> missing_files(std::span<const SourceFile> tree);

}  // namespace tidy
