#include "shell/load/load_query.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "shell/load/file_columns.h"
#include "shell/load/name_list.h"

namespace pgsink::shell {
namespace {

using pgproto::fail;
using pgproto::Result;
using pgproto::Status;

class QueryComposer {
 public:
  QueryComposer(const Flags::Load& load, const LoadInput& input, Engine& engine)
      : load_(load), input_(input), engine_(engine) {}

  Result<LoadQuery> compose() {
    if (auto fit = check_flags(); !fit) return fail(fit.error());
    if (!load_.columns.empty()) {
      auto names = split_names("--columns", load_.columns, ',');
      if (!names) return fail(names.error());
      columns_ = std::move(*names);
    }
    if (input_.from_stdin) {
      query_.source = "CREATE CONNECTION input TO stdin (" + stdin_options() + ");\n";
      query_.rows = select_from("input");
    } else if (auto made = input_.json() ? select_json() : select(); !made) {
      return fail(made.error());
    }
    return std::move(query_);
  }

 private:
  Status check_flags() const {
    if (!input_.csv()) {
      if (!load_.header) return refuse("--no-header is for CSV");
      if (!load_.delimiter.empty()) return refuse("--delimiter is for CSV");
      if (load_.null) return refuse("--null is for CSV");
    }
    if (!load_.header && load_.columns.empty()) {
      return refuse("--no-header: nothing names the columns; give --columns");
    }
    return {};
  }

  std::string select_from(const std::string& what) const {
    // Without a header the names are those of all fields.
    const bool some = !columns_.empty() && load_.header;
    return "SELECT " + (some ? identifiers(columns_) : "*") + "\nFROM " + what;
  }

  Status select() {
    query_.rows = select_from(input_.csv() ? read_csv() : read_parquet());
    if (!input_.csv() || !load_.create_table) return {};
    const auto columns = csv_columns(engine_, query_.rows);
    if (!columns) return fail(columns.error());
    set_types(*columns);
    return {};
  }

  Status select_json() {
    const bool chosen = !columns_.empty();
    const std::string from = "FROM " + read_json();
    if (!chosen || load_.create_table) {
      const auto found = json_columns(engine_, "SELECT json " + from);
      if (!found) return fail(found.error());
      if (!chosen) {
        for (const FileColumn& column : *found) columns_.push_back(column.name);
      }
      if (columns_.empty()) {
        return refuse("'" + load_.files.front() + "' has no rows, or none with a member");
      }
      if (load_.create_table) set_types(types_of_chosen(*found));
    }
    std::string items;
    for (size_t i = 0; i < columns_.size(); ++i) {
      items += std::string(i == 0 ? "" : ", ") + "member[" + std::to_string(i + 1) + "] AS " +
               engine_identifier(columns_[i]);
    }
    query_.rows = "SELECT " + items + "\nFROM (SELECT json_members(json, [" + literals(columns_) +
                  "], '" + (chosen ? "ignore" : "warn") + "') AS member\n    " + from + ")";
    return {};
  }

  /// The columns to load; one that no row has yet becomes text.
  std::vector<FileColumn> types_of_chosen(const std::vector<FileColumn>& found) const {
    std::vector<FileColumn> chosen;
    for (const std::string& name : columns_) {
      const auto column = std::ranges::find(found, name, &FileColumn::name);
      chosen.push_back(column == found.end() ? FileColumn{name, "VARCHAR"} : *column);
    }
    return chosen;
  }

  void set_types(const std::vector<FileColumn>& columns) {
    for (const FileColumn& column : columns) {
      query_.types += (query_.types.empty() ? "SELECT " : ",\n    ") +
                      std::string("CAST(NULL AS ") + column.type + ") AS " +
                      engine_identifier(column.name);
    }
    query_.types += "\nWHERE false";
  }

  // ---- what reads the files -------------------------------------------------------------------

  std::string files() const {
    const std::string list = literals(input_.patterns);
    return input_.patterns.size() > 1 ? "[" + list + "]" : list;
  }
  std::string by_name() const { return input_.several ? ", union_by_name = true" : ""; }

  std::string read_parquet() const { return "read_parquet(" + files() + by_name() + ")"; }

  std::string read_json() const {
    const bool lines = input_.format == LoadInput::Format::kNdjson;
    return "read_json_objects(" + files() + ", format = '" +
           (lines ? "newline_delimited" : "auto") + "')";
  }

  /// The dialect is that of COPY, and nothing is found out from the first rows. A record may be
  /// eight times as long as the engine's default allows; that takes no more memory.
  std::string read_csv() const {
    const std::string header =
        load_.header ? "true" + by_name() : "false, names = [" + literals(columns_) + "]";
    const std::string null = load_.null ? ", nullstr = " + engine_literal(*load_.null) : "";
    return "read_csv(" + files() + ", all_varchar = true, header = " + header +
           ",\n    delim = " + engine_literal(delimiter()) +
           ", quote = '\"', escape = '\"', allow_quoted_nulls = false" + null +
           ",\n    max_line_size = 16777216, buffer_size = 33554432)";
  }

  std::string stdin_options() const {
    std::string options = "type = 'source', format = ";
    options += input_.csv() ? "'csv'" : "'json'";
    if (!input_.csv()) return options;
    if (delimiter() != ",") options += ", delimiter = " + engine_literal(delimiter());
    if (load_.null) options += ", null = " + engine_literal(*load_.null);
    if (load_.header) return options;
    return options + ", header = false,\n    columns = MAP {" + literals(columns_, ": 'VARCHAR'") +
           "}";
  }

  std::string delimiter() const {
    if (load_.delimiter == "\\t") return "\t";
    if (!load_.delimiter.empty()) return load_.delimiter;
    return input_.format == LoadInput::Format::kTsv ? "\t" : ",";
  }

  const Flags::Load& load_;
  const LoadInput& input_;
  Engine& engine_;
  std::vector<std::string> columns_;  ///< Of --columns, or found in JSON.
  LoadQuery query_;
};

}  // namespace

Result<LoadQuery> compose_query(const Flags::Load& load, const LoadInput& input, Engine& engine) {
  return QueryComposer(load, input, engine).compose();
}

}  // namespace pgsink::shell
