#pragma once
// The rules of the house that a machine can check, each one row of a table.

#include <ostream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tidy/source.h"

namespace tidy {

using Words = std::vector<std::string_view>;

struct Finding {
  std::string path;
  size_t line = 0;
  std::string what;
};

/// Which of a file's views a rule reads.
using View = std::vector<std::string> SourceFile::*;

/// Rule is a ban on words, or a function of its own where words do not say it, and the proof that
/// it bites: a line that it must find and one that it must let pass.
struct Rule {
  std::string_view name;
  std::string_view why;
  Words in;           ///< Patterns of paths (as in a shell, but `*` also matches '/').
  Words except = {};  ///< Patterns of paths that the rule leaves alone.
  View view = &SourceFile::code;
  Words words = {};   ///< Banned, as whole words; case counts unless all letters are lower case.
  Words unless = {};  ///< A line with one of these is fine all the same.
  std::vector<Finding> (*check)(const SourceFile& file) = nullptr;

  std::string_view guilty_path, guilty;      ///< Must be found.
  std::string_view innocent_path, innocent;  ///< Must not.

  friend std::ostream& operator<<(std::ostream& out, const Rule& rule) { return out << rule.name; }
};

/// rules is the table.
std::span<const Rule> rules();

/// apply lists what a rule finds in one file.
std::vector<Finding> apply(const Rule& rule, const SourceFile& file);

/// Ratchet is how long a file or function may stay that is longer than it should be; it only
/// shrinks.
struct Ratchet {
  std::string path;
  std::string function;  ///< Empty: the file itself.
  size_t lines = 0;
};
inline constexpr size_t kFileLinesMax = 600;
inline constexpr size_t kFunctionLinesMax = 70;

/// read_ratchets reads tests/tidy/ratchet.txt: "PATH LINES" or "PATH FUNCTION LINES" a line, `#`
/// comments.
std::vector<Ratchet> read_ratchets(const SourceFile& file);
/// check_lengths compares the tree with the ratchets, both ways: longer is a fault, and so is an
/// entry that is no longer needed or no longer exact.
std::vector<Finding> check_lengths(std::span<const SourceFile> tree,
                                   std::span<const Ratchet> ratchets);

}  // namespace tidy
