#include "shell/load/load_target.h"

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include <pgsink/options.h>

#include "pgsink/client/conninfo.h"
#include "shell/engine/engine.h"
#include "shell/load/load_input.h"
#include "shell/load/name_list.h"

namespace pgsink::shell {
namespace {

using pgproto::fail;
using pgproto::Result;
using pgproto::Status;

/// The rows of a batch. Files come as fast as the engine reads them, which may be slower than the
/// server: with the usual 1,000 rows the server would get one small transaction for each chunk of
/// the engine, which takes a quarter more of its time.
constexpr size_t kBatchRows = 16384;
/// The options that say how many rows go at once.
constexpr std::string_view kSizes[] = {"batch_size", "use_copy", "copy_batch_size",
                                       "transaction_size"};

/// The options that have a flag.
constexpr std::pair<std::string_view, std::string_view> kFlagOf[] = {
    {"table", "--table"},
    {"schema", "--table schema.table"},
    {"write_mode", "--mode"},
    {"conflict_columns", "--key"},
    {"key_columns", "--key"},
    {"create_table", "--create-table"},
    {"parallelism", "--parallel"},
    {"atomic", "--atomic"},
    {"dead_letter_file", "--dead-letters"},
};

/// As libpq reads it after "keyword=".
std::string conninfo_value(const std::string& value) {
  const bool plain = !value.empty() && value.find_first_of(" \t\n\r\f\v'\\=") == std::string::npos;
  if (plain) return value;
  std::string text = "'";
  for (const char c : value) {
    if (c == '\'' || c == '\\') text += '\\';
    text += c;
  }
  return text += '\'';
}

class Target {
 public:
  explicit Target(const Flags::Load& load) : load_(load) {}

  Result<std::string> statement() {
    for (const auto step : {&Target::add_place, &Target::add_mode, &Target::add_options}) {
      if (auto added = (this->*step)(); !added) return fail(added.error());
    }
    return "CREATE CONNECTION target TO postgresql (\n" + options_ + "\n);\n";
  }

 private:
  Status add_place() {
    add("url", load_.url);
    const auto table = split_names("--table", load_.table, '.');
    if (!table) return fail(table.error());
    if (table->size() > 2) {
      return refuse("--table takes a table or schema.table; a name with a dot needs double quotes");
    }
    if (table->size() == 2) add("schema", table->front());
    add("table", table->back());
    return {};
  }

  Status add_mode() {
    const std::string& mode = load_.write_mode;
    if (!mode.empty()) add("write_mode", mode);
    if (load_.keys.empty()) return {};
    const bool conflict = mode == "upsert" || mode == "insert_ignore";
    if (mode.empty() || mode == "insert" || mode == "replace") {
      return refuse(
          "--key says how --mode upsert, insert_ignore, update, delete and changelog find rows: "
          "give one of them");
    }
    std::vector<std::string> names;
    for (const std::string& key : load_.keys) {
      const auto some = split_names("--key", key, ',');
      if (!some) return fail(some.error());
      names.insert(names.end(), some->begin(), some->end());
    }
    add(conflict ? "conflict_columns" : "key_columns", column_list(names));
    return {};
  }

  Status add_options() {
    if (load_.create_table) append("create_table", "true");
    if (!load_.parallelism.empty()) add("parallelism", load_.parallelism);
    if (load_.atomic) append("atomic", "true");
    if (!load_.dead_letter_file.empty()) add("dead_letter_file", load_.dead_letter_file);
    const bool from_stdin = load_.files.front() == "-";
    bool sized = from_stdin;  // Rows of a pipe go on when they are there.
    for (const Flags::Load::Option& option : load_.options) {
      std::string key = option.name;
      std::ranges::transform(key, key.begin(), [](char c) {
        return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
      });
      if (auto fits = check_option(option.name, key); !fits) return fits;
      sized = sized || std::ranges::find(kSizes, key) != std::end(kSizes);
      if (find_option(key)->type == OptionType::kMap) {
        append(key, option.value);
      } else {
        add(key, option.value);
      }
    }
    if (!sized) append("batch_size", std::to_string(kBatchRows));
    return {};
  }

  /// Whether it is an option, and no flag has it.
  static Status check_option(const std::string& written, std::string_view key) {
    const OptionInfo* const info = find_option(key);
    if (info == nullptr) {
      const std::string_view nearest = nearest_option(key);
      return refuse("--option: there is no option '" + written + "'" +
                    (nearest.empty() ? "" : "; did you mean '" + std::string(nearest) + "'?"));
    }
    if (key == "url" || info->replaced_by_url) {
      return refuse("--option: " + std::string(key) + " is a part of --to" +
                    (info->secret ? ", or comes from PGPASSWORD or the password file" : ""));
    }
    for (const auto& [name, flag] : kFlagOf) {
      if (name != key) continue;
      return refuse("--option: " + std::string(key) + " is given by " + std::string(flag));
    }
    return {};
  }

  void add(std::string_view key, const std::string& value) {
    const bool number = find_option(key)->type == OptionType::kInteger && !value.empty() &&
                        value.find_first_not_of("0123456789") == std::string::npos;
    append(key, number ? value : engine_literal(value));
  }
  void append(std::string_view key, const std::string& value) {
    options_.append(options_.empty() ? "    " : ",\n    ").append(key).append(" = ").append(value);
  }

  const Flags::Load& load_;
  std::string options_;
};

}  // namespace

Status take_password(Flags::Load& load) {
  const auto pairs = split_conninfo(load.url);
  if (!pairs) return refuse("--to: " + pairs.error().message);
  std::optional<std::string> password;
  std::string rest;
  for (const auto& [keyword, value] : *pairs) {
    if (keyword == "sslpassword") {
      return refuse(
          "--to: sslpassword would be part of the script: use a key without a password, or a "
          "service file");
    }
    if (keyword == "password") {
      password = value;
      continue;
    }
    rest += (rest.empty() ? "" : " ") + keyword + "=" + conninfo_value(value);
  }
  // ${secret:NAME} is not a password yet: a script may have it.
  if (!password || password->find("${") != std::string::npos) return {};
  setenv("PGPASSWORD", password->c_str(), 1);  // NOLINT(concurrency-mt-unsafe)
  load.url = rest;
  return {};
}

Result<std::string> connection_statement(const Flags::Load& load) {
  return Target(load).statement();
}

}  // namespace pgsink::shell
