#include "shell/load/load_input.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>
#include <sys/stat.h>

#include "shell/engine/query_tree.h"

namespace pgsink::shell {
namespace {

using pgproto::fail;
using pgproto::Result;
using Format = LoadInput::Format;

struct FormatName {
  std::string_view name;  ///< Of --input-format, and after the last dot of a file's name.
  Format format;
};
constexpr std::array kFormats = std::to_array<FormatName>({{"csv", Format::kCsv},
                                                           {"tsv", Format::kTsv},
                                                           {"json", Format::kJson},
                                                           {"ndjson", Format::kNdjson},
                                                           {"jsonl", Format::kNdjson},
                                                           {"parquet", Format::kParquet}});

std::optional<Format> format_called(std::string_view name) {
  const auto found = std::ranges::find(kFormats, name, &FormatName::name);
  if (found == kFormats.end()) return std::nullopt;
  return found->format;
}

struct Ending {
  std::optional<Format> format;
  bool packed = false;
};

/// What a name ends in, without regard to case.
Ending ending_of(std::string name) {
  std::ranges::transform(name, name.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  Ending ending;
  for (const std::string_view packed : {".gz", ".zst"}) {
    if (!name.ends_with(packed)) continue;
    name.resize(name.size() - packed.size());
    ending.packed = true;
  }
  const size_t dot = name.find_last_of("./");
  if (dot != std::string::npos) ending.format = format_called(name.substr(dot + 1));
  return ending;
}

/// A name that the engine takes for that file and no other.
std::string escaped(std::string_view name) {
  std::string pattern;
  for (const char c : name) {
    const bool special = c == '*' || c == '?' || c == '[';
    pattern += special ? std::string{'[', c, ']'} : std::string(1, c);
  }
  return pattern;
}

class Finder {
 public:
  Finder(const Flags::Load& load, Engine& engine) : load_(load), engine_(engine) {
    given_ = format_called(load.input_format);
  }

  Result<LoadInput> find() {
    if (std::ranges::find(load_.files, "-") != load_.files.end()) return find_stdin();
    for (const std::string& name : load_.files) {
      if (auto added = add(name); !added) return fail(added.error());
    }
    return std::move(input_);
  }

 private:
  Result<LoadInput> find_stdin() {
    if (load_.files.size() > 1) {
      return refuse("- is standard input, which is read alone: load the files by another command");
    }
    if (!given_) {
      return refuse("standard input has no name that ends in its format: give --input-format");
    }
    if (*given_ == Format::kParquet) {
      return refuse(
          "Parquet is read from its end, which standard input does not have: write it to a file");
    }
    input_.from_stdin = true;
    input_.format = *given_;
    return std::move(input_);
  }

  pgproto::Status add(const std::string& name) {
    struct stat file{};
    const bool remote = name.find("://") != std::string::npos;
    if (!remote && ::stat(name.c_str(), &file) == 0) {
      if (S_ISDIR(file.st_mode)) {
        return refuse("'" + name + "' is a folder: give the files in it, for example '" + name +
                      (name.ends_with('/') ? "" : "/") + "*.parquet'");
      }
      if (!S_ISREG(file.st_mode)) {
        return refuse("'" + name +
                      "' is a pipe or a device, which cannot be read twice: pass it as standard "
                      "input, by - and --input-format");
      }
      if (auto checked = check_content(name, file); !checked) return checked;
      return add_file(name, escaped(name));
    }
    if (remote) return add_file(name, name);
    if (name.find_first_of("*?[") == std::string::npos) {
      return refuse("there is no file '" + name + "'");
    }
    const auto matches = engine_text(
        engine_, "SELECT string_agg(file, chr(10)) FROM glob(" + engine_literal(name) + ")");
    if (!matches) return refuse("no file matches '" + name + "'");
    const bool several = matches->find('\n') != std::string::npos;
    for (size_t at = 0; at < matches->size();) {
      const size_t end = std::min(matches->find('\n', at), matches->size());
      const std::string match = matches->substr(at, end - at);
      if (::stat(match.c_str(), &file) == 0) {
        if (auto checked = check_content(match, file); !checked) return checked;
      }
      at = end + 1;
    }
    // The pattern may end in *, where only the files' names say the format.
    const std::string first = matches->substr(0, matches->find('\n'));
    if (auto added = add_file(ending_of(name).format ? name : first, name); !added) return added;
    input_.several = input_.several || several;
    return {};
  }

  /// The engine would take an empty file for one with a column of its own name.
  pgproto::Status check_content(const std::string& name, const struct stat& file) const {
    const auto format = given_ ? given_ : ending_of(name).format;
    const bool header = load_.header && (format == Format::kCsv || format == Format::kTsv);
    if (file.st_size > 0 || !header) return {};
    return refuse("'" + name + "' is empty: it does not even have a header");
  }

  pgproto::Status add_file(const std::string& name, std::string pattern) {
    const Ending ending = ending_of(name);
    const auto format = given_ ? given_ : ending.format;
    if (!format) {
      return refuse("the name '" + name +
                    "' does not end in a known format (.csv, .tsv, .json, .ndjson, .jsonl or "
                    ".parquet, also with .gz or .zst): give --input-format");
    }
    if (*format == Format::kParquet && ending.packed) {
      return refuse("'" + name + "' is a packed Parquet file, which cannot be read: unpack it");
    }
    if (!input_.patterns.empty() && input_.format != *format) {
      return refuse("'" + name + "' has another format than '" + load_.files.front() +
                    "': load files of each format by a command of their own");
    }
    input_.format = *format;
    input_.several = !input_.patterns.empty();
    input_.patterns.push_back(std::move(pattern));
    return {};
  }

  const Flags::Load& load_;
  Engine& engine_;
  std::optional<Format> given_;
  LoadInput input_;
};

}  // namespace

Result<LoadInput> find_input(const Flags::Load& load, Engine& engine) {
  return Finder(load, engine).find();
}

}  // namespace pgsink::shell
