#include "shell/load/file_columns.h"

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <string_view>

#include "shell/records/column_samples.h"
#include "shell/records/json_reader.h"

namespace pgsink::shell {
namespace {

using pgproto::Errc;
using pgproto::fail;
using pgproto::Result;
using pgproto::Status;

/// As many as the engine itself looks at.
constexpr size_t kSampleRowsMax = 20480;

/// The text of a row; nullopt for NULL.
std::optional<std::string_view> text_at(duckdb_vector vector, idx_t row) {
  uint64_t* const validity = duckdb_vector_get_validity(vector);
  if (validity != nullptr && !duckdb_validity_row_is_valid(validity, row)) return std::nullopt;
  auto& text = static_cast<duckdb_string_t*>(duckdb_vector_get_data(vector))[row];
  return std::string_view(duckdb_string_t_data(&text), duckdb_string_t_length(text));
}

/// Sampler is given the chunks of a query's first rows, and then makes columns of them.
struct Sampler {
  std::vector<std::string> names;
  std::vector<ColumnSamples> samples;

  std::vector<FileColumn> columns() const {
    std::vector<FileColumn> columns;
    for (size_t i = 0; i < names.size(); ++i) {
      // The column is created for what it seems to hold: 1.10 is a number, which keeps its zero.
      const ColumnUse use{.passed = true, .number = true, .other = true};
      columns.push_back({names[i], samples[i].type(use, false).name});
    }
    return columns;
  }
};

using Look = std::function<Status(const OwnedChunk&)>;

Status look_at_rows(Query& query, const Look& look) {
  const auto failed = [](const EngineFault& fault) { return fail(fault.error); };
  if (auto started = query.start(); !started) return failed(started.error());
  while (true) {
    const auto chunk = query.next();
    if (!chunk) return failed(chunk.error());
    if (!chunk->filled()) return {};
    if (auto looked = look(*chunk); !looked) return looked;
  }
}

Result<Query> first_rows(Engine& engine, const std::string& query) {
  auto prepared = engine.prepare(query + "\nLIMIT " + std::to_string(kSampleRowsMax));
  if (!prepared) return fail(prepared.error().error);
  return std::move(*prepared);
}

}  // namespace

Result<std::vector<FileColumn>> csv_columns(Engine& engine, const std::string& query) {
  auto rows = first_rows(engine, query);
  if (!rows) return fail(rows.error());
  Sampler sampler;
  for (const Column& column : rows->columns()) sampler.names.push_back(column.name);
  sampler.samples.resize(sampler.names.size());
  const auto looked = look_at_rows(*rows, [&](const OwnedChunk& chunk) -> Status {
    for (size_t i = 0; i < sampler.samples.size(); ++i) {
      duckdb_vector vector = duckdb_data_chunk_get_vector(chunk.get(), i);
      for (idx_t row = 0; row < duckdb_data_chunk_get_size(chunk.get()); ++row) {
        const auto text = text_at(vector, row);
        if (text) sampler.samples[i].add_text(*text);
      }
    }
    return {};
  });
  if (!looked) return fail(looked.error());
  return sampler.columns();
}

Result<std::vector<FileColumn>> json_columns(Engine& engine, const std::string& query) {
  auto rows = first_rows(engine, query);
  if (!rows) return fail(rows.error());
  Sampler sampler;
  std::map<std::string, size_t, std::less<>> by_name;
  JsonReader reader;
  const auto looked = look_at_rows(*rows, [&](const OwnedChunk& chunk) -> Status {
    duckdb_vector vector = duckdb_data_chunk_get_vector(chunk.get(), 0);
    for (idx_t row = 0; row < duckdb_data_chunk_get_size(chunk.get()); ++row) {
      const auto text = text_at(vector, row);
      if (!text) continue;
      const auto members = reader.read_object(*text);
      if (!members) return fail(Errc::kQuery, "a row is not an object of JSON: " + members.error());
      for (const JsonMember& member : *members) {
        const auto [found, added] =
            by_name.try_emplace(std::string(member.key), sampler.names.size());
        if (added) {
          sampler.names.emplace_back(member.key);
          sampler.samples.emplace_back();
        }
        sampler.samples[found->second].add_json(member.value);
      }
    }
    return {};
  });
  if (!looked) return fail(looked.error());
  return sampler.columns();
}

}  // namespace pgsink::shell
