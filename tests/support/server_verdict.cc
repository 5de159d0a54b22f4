#include "support/server_verdict.h"

#include <stdexcept>

#include <pgsink/encode/rows/row_encoder.h>

#include "support/copy_harness.h"

namespace pgsink::test {

std::vector<Verdict> ask_server(const std::string& database, const std::string& sql_type,
                                const std::string& base, const Nullable<std::string>& texts) {
  PostgresServer& server = shared_server();
  CopyTable table(server, database, "probes", {"bytea"});
  ArrowNode column = arrow_text("z", texts);
  column.name = "c0";
  const RecordBatch batch = import_columns({std::move(column)});
  auto encoder = RowEncoder::create(encode_columns(batch, table.columns()), table.types());
  const std::string failed =
      table.copy(encode_all(*encoder, batch, {0, batch.row_count(), nullptr}).tuples);
  if (!failed.empty()) throw std::runtime_error(failed);
  const SqlRows rows = server.sql(
      "SET timezone = 'UTC'; SET datestyle = 'ISO, YMD'; SET intervalstyle = 'postgres';"
      "CREATE OR REPLACE FUNCTION probe(raw bytea, OUT takes bool, OUT rounds bool, OUT shown text)"
      " LANGUAGE plpgsql AS $probe$ DECLARE t text; v " +
          sql_type + "; w " + base +
          ";"
          " BEGIN t := convert_from(raw, 'UTF8'); v := t; takes := true; shown := v::text;"
          " w := t; rounds := v::" +
          base +
          "::text <> w::text AND"
          "   (shown !~ '^-?[0-9.]+$' OR (v::" +
          base +
          ")::text::numeric <> w::text::numeric);"
          " EXCEPTION WHEN OTHERS THEN takes := coalesce(takes, false); rounds := takes;"
          " shown := coalesce(shown, SQLSTATE || ' ' || SQLERRM); END $probe$;"
          "SELECT (p).takes, (p).rounds, (p).shown FROM"
          " (SELECT probe(c0) AS p, position_ FROM probes OFFSET 0) q ORDER BY position_",
      database);
  std::vector<Verdict> verdicts;
  for (const auto& row : rows) {
    verdicts.push_back({row[0] == "t", row[1] == "t", row[2].value_or("")});
  }
  return verdicts;
}

}  // namespace pgsink::test
