#include "shell/load/load_script.h"

#include <algorithm>
#include <cstdlib>
#include <string_view>
#include <utility>
#include <vector>

#include <pgsink/ddl.h>
#include <pgsink/options.h>
#include <pgsink/sink.h>

#include "pgsink/options/names.h"
#include "shell/load/file_columns.h"
#include "shell/load/load_input.h"
#include "shell/load/target_url.h"
#include "shell/script/secrets.h"

namespace pgsink::shell {
namespace {

using pgproto::Errc;
using pgproto::fail;
using pgproto::Result;
using pgproto::Status;

/// The rows of a batch. Files come as fast as the engine reads them, which may be slower than the
/// server: with the usual 1,000 rows the server would get one small transaction for each chunk of
/// the engine, which takes a quarter more of its time.
constexpr size_t kBatchRows = 16384;

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

/// The parts of a text at a separator outside of double quotes, without blanks around them and
/// without the quotes.
Result<std::vector<std::string>> split_names(std::string_view flag, std::string_view text,
                                             char separator) {
  std::vector<std::string> names(1);
  bool quoted = false;
  bool was_quoted = false;
  size_t end = 0;  // Of the name, without the blanks after it.
  const auto wrong = [&] {
    return refuse(std::string(flag) +
                  " has a name that is empty, or a quote that is not closed: " + std::string(text));
  };
  for (size_t i = 0; i <= text.size(); ++i) {
    std::string& name = names.back();
    if (i == text.size() || (text[i] == separator && !quoted)) {
      name.resize(end);
      if (quoted || (name.empty() && !was_quoted)) return wrong();
      if (i == text.size()) break;
      names.emplace_back();
      end = 0;
      was_quoted = false;
    } else if (text[i] == '"') {
      const bool doubled = quoted && i + 1 < text.size() && text[i + 1] == '"';
      if (doubled) name += text[++i];
      if (!doubled) quoted = !quoted;
      was_quoted = true;
      end = name.size();
    } else if (quoted || text[i] != ' ' || !name.empty()) {
      name += text[i];
      if (quoted || text[i] != ' ') end = name.size();
    }
  }
  return names;
}

/// A list of columns as the options take it.
std::string column_list(const std::vector<std::string>& names) {
  std::string list;
  for (const std::string& name : names) {
    const bool plain = name.find_first_of(" ,\"") == std::string::npos;
    list.append(list.empty() ? "" : ", ").append(plain ? name : engine_identifier(name));
  }
  return list;
}

class Composer {
 public:
  Composer(const Flags& flags, Engine& engine)
      : flags_(flags), load_(flags.load), engine_(engine) {}

  Result<Script> compose() {
    auto input = find_input(load_, engine_);
    if (!input) return fail(input.error());
    input_ = std::move(*input);
    for (const auto step : {&Composer::check_flags, &Composer::connect, &Composer::select}) {
      if (auto done = (this->*step)(); !done) return fail(done.error());
    }
    std::string text = connection_;
    if (input_.from_stdin) text += source_;
    if (load_.create_table && !created_.empty() && !table_exists()) {
      text +=
          "-- The types of the columns that --create-table creates, from the first rows.\n"
          "CREATE PIPELINE create_table AS\nINSERT INTO target\n" +
          created_ + ";\n";
    }
    text += "CREATE PIPELINE load AS\nINSERT INTO target\n" + select_ + ";\n";
    return Script{.name = "pgsink load", .text = std::move(text), .advise = advise_load};
  }

 private:
  Status check_flags() {
    const auto names = load_.columns.empty() ? std::vector<std::string>()
                                             : split_names("--columns", load_.columns, ',');
    if (!names) return fail(names.error());
    columns_ = *names;
    if (!input_.csv()) {
      if (!load_.header) return refuse("--no-header is for CSV");
      if (!load_.delimiter.empty()) return refuse("--delimiter is for CSV");
      if (load_.null) return refuse("--null is for CSV");
    }
    if (!load_.header && columns_.empty()) {
      return refuse("--no-header: nothing names the columns; give --columns");
    }
    return {};
  }

  // ---- CREATE CONNECTION ----------------------------------------------------------------------

  Status connect() {
    const auto url = without_password(load_.url);
    if (!url) return refuse("--to: " + url.error().message);
    // Before any thread that could read the environment begins.
    if (url->password) setenv("PGPASSWORD", url->password->c_str(), 1);  // NOLINT
    add("url", url->text);
    auto table = split_names("--table", load_.table, '.');
    if (!table) return fail(table.error());
    if (table->size() > 2) {
      return refuse("--table takes a table or schema.table; a name with a dot needs double quotes");
    }
    if (table->size() == 2) add("schema", table->front());
    add("table", table->back());
    if (auto added = add_mode(); !added) return added;
    if (load_.create_table) append("create_table", "true");
    if (!load_.parallelism.empty()) add("parallelism", load_.parallelism);
    if (load_.atomic) append("atomic", "true");
    if (!load_.dead_letter_file.empty()) add("dead_letter_file", load_.dead_letter_file);
    for (const Flags::Load::Option& option : load_.options) {
      if (auto added = add_option(option); !added) return added;
    }
    if (!sizes_given_ && !input_.from_stdin) append("batch_size", std::to_string(kBatchRows));
    const std::string note =
        url->password ? "-- The password is not written here: it comes from PGPASSWORD or the "
                        "password file.\n"
                      : "";
    connection_ = note + "CREATE CONNECTION target TO postgresql (\n" + options_ + "\n);\n";
    return {};
  }

  Status add_mode() {
    const std::string& mode = load_.write_mode;
    if (!mode.empty()) add("write_mode", mode);
    if (load_.keys.empty()) return {};
    const bool conflict = mode == "upsert" || mode == "insert_ignore";
    if (!conflict && (mode.empty() || mode == "insert")) {
      return refuse(
          "--key says how --mode upsert, insert_ignore, update, delete and changelog find rows: "
          "give one of them");
    }
    std::vector<std::string> names;
    for (const std::string& key : load_.keys) {
      auto some = split_names("--key", key, ',');
      if (!some) return fail(some.error());
      names.insert(names.end(), some->begin(), some->end());
    }
    add(conflict ? "conflict_columns" : "key_columns", column_list(names));
    return {};
  }

  /// An option that no flag has.
  Status add_option(const Flags::Load::Option& option) {
    std::string key = option.name;
    std::ranges::transform(key, key.begin(), [](char c) {
      return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    });
    const OptionInfo* const info = find_option(key);
    if (info == nullptr) {
      const std::string_view nearest = nearest_option(key);
      return refuse("--option: there is no option '" + option.name + "'" +
                    (nearest.empty() ? "" : "; did you mean '" + std::string(nearest) + "'?"));
    }
    if (key == "url" || info->replaced_by_url) {
      return refuse("--option: " + key + " is a part of --to" +
                    (info->secret ? ", or comes from PGPASSWORD or the password file" : ""));
    }
    if (info->secret) return refuse("--option: " + key + " would be part of the script");
    constexpr std::string_view kSizes[] = {"batch_size", "use_copy", "copy_batch_size",
                                           "transaction_size"};
    sizes_given_ = sizes_given_ || std::ranges::find(kSizes, key) != std::end(kSizes);
    for (const auto& [name, flag] : kFlagOf) {
      if (name == key) return refuse("--option: " + key + " is given by " + std::string(flag));
    }
    if (info->type == OptionType::kMap) {
      append(key, option.value);
    } else {
      add(key, option.value);
    }
    return {};
  }

  void add(std::string_view key, const std::string& value) {
    const OptionInfo* const info = find_option(key);
    const bool number = info->type == OptionType::kInteger && !value.empty() &&
                        value.find_first_not_of("0123456789") == std::string::npos;
    append(key, number ? value : engine_literal(value));
  }
  void append(std::string_view key, const std::string& value) {
    options_.append(options_.empty() ? "    " : ",\n    ").append(key).append(" = ").append(value);
  }

  /// Whether the table is known to exist. If the server cannot be asked, the script will say why.
  bool table_exists() const {
    if (flags_.check && !flags_.check_online) return false;
    const auto statements = split_script(connection_);
    if (statements.size() != 1) return false;
    const auto parsed = parse_statement(statements.front());
    if (!parsed || !std::holds_alternative<CreateConnection>(*parsed)) return false;
    const auto options =
        bind_connection(std::get<CreateConnection>(*parsed),
                        make_substitution(flags_.secret_directory, flags_.variables));
    return options && describe_target(*options);
  }

  // ---- the query ------------------------------------------------------------------------------

  Status select() {
    if (input_.from_stdin) return select_stdin();
    const std::string reader = read_files();
    const std::string from = "FROM " + reader;
    if (input_.json()) return select_json(from);
    select_ =
        "SELECT " + (columns_.empty() || !load_.header ? "*" : identifiers(columns_)) + "\n" + from;
    if (!input_.csv() || !load_.create_table) return {};
    auto columns = csv_columns(engine_, select_);
    if (!columns) return fail(columns.error());
    create(*columns);
    return {};
  }

  Status select_stdin() {
    std::string options = "type = 'source', format = ";
    options += input_.csv() ? "'csv'" : "'json'";
    if (input_.csv()) {
      const std::string delimiter = this->delimiter();
      if (delimiter != ",") options += ", delimiter = " + engine_literal(delimiter);
      if (load_.null) options += ", null = " + engine_literal(*load_.null);
    }
    if (!load_.header) {
      std::string columns;
      for (const std::string& name : columns_) {
        columns += (columns.empty() ? "" : ", ") + engine_literal(name) + ": 'VARCHAR'";
      }
      options += ", header = false, columns = MAP {" + columns + "}";
    }
    source_ = "CREATE CONNECTION input TO stdin (" + options + ");\n";
    select_ = "SELECT " + (columns_.empty() || !load_.header ? "*" : identifiers(columns_)) +
              "\nFROM input";
    return {};
  }

  Status select_json(const std::string& from) {
    const bool chosen = !columns_.empty();
    if (columns_.empty() || load_.create_table) {
      const auto found = json_columns(engine_, "SELECT json " + from);
      if (!found) return fail(found.error());
      std::vector<FileColumn> loaded;
      for (const FileColumn& column : *found) {
        const bool wanted =
            columns_.empty() || std::ranges::find(columns_, column.name) != columns_.end();
        if (wanted) loaded.push_back(column);
      }
      if (loaded.empty()) {
        return refuse("'" + input_.patterns.front() + "' has no rows, or none with the columns");
      }
      if (load_.create_table) create(loaded);
      if (columns_.empty()) {
        for (const FileColumn& column : loaded) columns_.push_back(column.name);
      }
    }
    std::string names;
    std::string items;
    for (size_t i = 0; i < columns_.size(); ++i) {
      names += (i == 0 ? "" : ", ") + engine_literal(columns_[i]);
      items += std::string(i == 0 ? "" : ", ") + "member[" + std::to_string(i + 1) + "] AS " +
               engine_identifier(columns_[i]);
    }
    select_ = "SELECT " + items + "\nFROM (SELECT json_members(json, [" + names + "], '" +
              (chosen ? "ignore" : "warn") + "') AS member " + from + ")";
    return {};
  }

  void create(const std::vector<FileColumn>& columns) {
    for (const FileColumn& column : columns) {
      created_ += (created_.empty() ? "SELECT " : ", ") + std::string("CAST(NULL AS ") +
                  column.type + ") AS " + engine_identifier(column.name);
    }
    created_ += "\nWHERE false";
  }

  /// The engine's function that reads the files, with its arguments.
  std::string read_files() const {
    std::string files;
    for (const std::string& pattern : input_.patterns) {
      files += (files.empty() ? "" : ", ") + engine_literal(pattern);
    }
    if (input_.patterns.size() > 1) files = "[" + files + "]";
    const std::string by_name = input_.several ? ", union_by_name = true" : "";
    if (input_.format == LoadInput::Format::kParquet)
      return "read_parquet(" + files + by_name + ")";
    if (input_.json()) {
      const bool lines = input_.format == LoadInput::Format::kNdjson;
      return "read_json_objects(" + files + ", format = '" +
             (lines ? "newline_delimited" : "auto") + "')";
    }
    std::string options = ",\n    delim = " + engine_literal(delimiter()) +
                          ", quote = '\"', escape = '\"', allow_quoted_nulls = false";
    if (load_.null) options += ", nullstr = " + engine_literal(*load_.null);
    if (!load_.header) {
      std::string names;
      for (const std::string& name : columns_) {
        names += (names.empty() ? "" : ", ") + engine_literal(name);
      }
      return "read_csv(" + files + ", all_varchar = true, header = false, names = [" + names + "]" +
             options + ")";
    }
    return "read_csv(" + files + ", all_varchar = true, header = true" + options + by_name + ")";
  }

  std::string delimiter() const {
    if (load_.delimiter == "\\t") return "\t";
    if (!load_.delimiter.empty()) return load_.delimiter;
    return input_.format == LoadInput::Format::kTsv ? "\t" : ",";
  }

  static std::string identifiers(const std::vector<std::string>& names) {
    std::string list;
    for (const std::string& name : names) {
      list += (list.empty() ? "" : ", ") + engine_identifier(name);
    }
    return list;
  }

  const Flags& flags_;
  const Flags::Load& load_;
  Engine& engine_;
  LoadInput input_;
  std::vector<std::string> columns_;  ///< Of --columns, or found in JSON.
  std::string options_;               ///< In CREATE CONNECTION.
  bool sizes_given_ = false;          ///< Some --option says how many rows go at once.
  std::string connection_, source_;   ///< Statements.
  std::string created_;               ///< The query that has the types of a created table.
  std::string select_;                ///< The query that reads the rows.
};

}  // namespace

Result<Script> compose_load(const Flags& flags, Engine& engine) {
  return Composer(flags, engine).compose();
}

void advise_load(pgproto::Error& error) {
  if (error.code != Errc::kNoSuchTable) return;
  // The statement that the message proposes makes a text of every column of CSV and JSON.
  const size_t fix = error.message.find(" To fix it: CREATE TABLE");
  if (fix != std::string::npos) {
    error.message.replace(fix, std::string::npos, " Create it, or give --create-table");
  }
}

}  // namespace pgsink::shell
