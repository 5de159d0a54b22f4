#include "shell/load/load_script.h"

#include <utility>
#include <variant>

#include <pgsink/ddl.h>
#include <pgsink/sink.h>

#include "shell/load/load_input.h"
#include "shell/load/load_query.h"
#include "shell/load/load_target.h"
#include "shell/script/secrets.h"

namespace pgsink::shell {
namespace {

using pgproto::Errc;
using pgproto::fail;
using pgproto::Result;

/// Whether the table of CREATE CONNECTION is known to exist. If the server cannot be asked, the
/// script will say why.
bool table_exists(const Flags& flags, const std::string& connection) {
  if (flags.check && !flags.check_online) return false;
  const auto statements = split_script(connection);
  if (statements.size() != 1) return false;
  const auto parsed = parse_statement(statements.front());
  if (!parsed || !std::holds_alternative<CreateConnection>(*parsed)) return false;
  const auto options = bind_connection(std::get<CreateConnection>(*parsed),
                                       make_substitution(flags.secret_directory, flags.variables));
  return options && describe_target(*options);
}

/// Names the flag that helps. The statement that the message proposes makes a text of every column
/// of CSV and JSON.
void advise(pgproto::Error& error) {
  if (error.code != Errc::kNoSuchTable) return;
  const size_t fix = error.message.find(" To fix it: CREATE TABLE");
  if (fix == std::string::npos) return;
  error.message.replace(fix, std::string::npos, " Create it, or give --create-table");
}

}  // namespace

Result<Script> compose_load(const Flags& flags, Engine& engine) {
  const auto input = find_input(flags.load, engine);
  if (!input) return fail(input.error());
  const auto connection = connection_statement(flags.load);
  if (!connection) return fail(connection.error());
  const auto query = compose_query(flags.load, *input, engine);
  if (!query) return fail(query.error());
  std::string text = *connection + query->source;
  if (!query->types.empty() && !table_exists(flags, *connection)) {
    text +=
        "-- Creates the table: its types are those that fit the first rows.\n"
        "CREATE PIPELINE create_table AS\nINSERT INTO target\n" +
        query->types + ";\n";
  }
  text += "CREATE PIPELINE load AS\nINSERT INTO target\n" + query->rows + ";\n";
  return Script{.name = "pgsink load", .text = std::move(text), .advise = advise};
}

}  // namespace pgsink::shell
