#include "shell/load/load_script.h"

#include <string_view>
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
bool table_exists(const Flags& flags, const std::string& connection,
                  const ServerWaitCallback& on_wait, const TraceCallback& on_trace) {
  if (flags.check && !flags.check_online) return false;
  const auto statements = split_script(connection);
  if (statements.size() != 1) return false;
  const auto parsed = parse_statement(statements.front());
  if (!parsed || !std::holds_alternative<CreateConnection>(*parsed)) return false;
  auto options = bind_connection(std::get<CreateConnection>(*parsed),
                                 make_substitution(flags.secret_directory, flags.variables));
  if (!options) return false;
  // A check tries once, and says why that fails when the connection itself is checked.
  if (flags.check || flags.dry_run) options->max_retries = 0;
  options->on_server_wait = on_wait;
  options->on_trace = on_trace;
  return describe_target(*options).has_value();
}

/// Whether the name in: it has no column "a;b" that …, looks like several fields of CSV.
bool is_a_whole_header(std::string_view message) {
  constexpr std::string_view kBefore = "no column \"";
  const size_t at = message.find(kBefore);
  if (at == std::string_view::npos) return false;
  const std::string_view rest = message.substr(at + kBefore.size());
  return rest.substr(0, rest.find('"')).find_first_of(",;|\t") != std::string_view::npos;
}

/// Names the flag that helps, instead of a statement that would not: it makes a text of every
/// column of CSV and JSON, or a column of a whole line.
void advise(pgproto::Error& error) {
  std::string help;
  if (error.code == Errc::kNoSuchTable) help = " Create it, or give --create-table";
  if (error.code == Errc::kNoSuchColumn && is_a_whole_header(error.message)) {
    help = " If these are several fields, give the character between them by --delimiter";
  }
  const size_t fix = error.message.find(" To fix it: ");
  if (help.empty() || fix == std::string::npos) return;
  error.message.replace(fix, std::string::npos, help);
}

}  // namespace

Result<Script> compose_load(const Flags& flags, Engine& engine, const ServerWaitCallback& on_wait,
                            const TraceCallback& on_trace) {
  const auto input = find_input(flags.load, engine);
  if (!input) return fail(input.error());
  const auto connection = connection_statement(flags.load);
  if (!connection) return fail(connection.error());
  const auto query = compose_query(flags.load, *input, engine);
  if (!query) return fail(query.error());
  std::string text = *connection + query->source;
  if (!query->types.empty() && !table_exists(flags, *connection, on_wait, on_trace)) {
    text +=
        "-- Creates the table: its types are those that fit the first rows.\n"
        "CREATE PIPELINE create_table AS\nINSERT INTO target\n" +
        query->types + ";\n";
  }
  text += "CREATE PIPELINE load AS\nINSERT INTO target\n" + query->rows + ";\n";
  return Script{.name = "pgsink load", .text = std::move(text), .advise = advise};
}

}  // namespace pgsink::shell
