#pragma once
// The repository's files as the rules look at them.

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace tidy {

/// SourceFile is one file in three views of the same lines, so that a rule about code is not set
/// off by a comment, nor one about comments by code.
struct SourceFile {
  std::string path;               ///< From the repository's root, '/' between names.
  std::vector<std::string> text;  ///< As it is.
  std::vector<std::string> code;  ///< C++ only: comments blanked; otherwise as `text`.
  std::vector<std::string> bare;  ///< C++ only: comments and what stands in quotes blanked.
};

/// source_file makes the views of one file's contents.
SourceFile source_file(std::string path, std::string_view contents);

/// read_tree reads every text file of the repository, build folders and what .gitignore names left
/// out.
std::vector<SourceFile> read_tree(const std::filesystem::path& root);

/// FunctionLength says how many lines a function takes, from its signature's last line to its
/// brace.
struct FunctionLength {
  std::string name;
  size_t line = 0;  ///< Of the opening brace, from 1.
  size_t lines = 0;
};
/// function_lengths finds the functions of a C++ file by its braces.
std::vector<FunctionLength> function_lengths(const SourceFile& file);

}  // namespace tidy
