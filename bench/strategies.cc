#include "strategies.h"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <stdexcept>

#include "libpq_connection.h"
#include "writers.h"

namespace pgsink::bench {
namespace {

constexpr int64_t kEpochDifference_us = 946'684'800'000'000;  // 1970 to 2000
constexpr int64_t kSecond_us = 1'000'000;
constexpr size_t kParametersMax = 65535;
constexpr size_t kColumnsMax = 5;

// Oids of the columns and of their arrays. Source: pg_type.dat of the server.
constexpr std::array<Oid, kColumnsMax> kTypes{20, 23, 701, 25, 1184};
constexpr std::array<Oid, kColumnsMax> kArrayTypes{1016, 1007, 1022, 1009, 1185};
constexpr std::array<std::string_view, kColumnsMax> kTypeNames{"int8", "int4", "float8", "text",
                                                               "timestamptz"};
constexpr std::array<size_t, kColumnsMax> kSizes{8, 4, 8, Change::kTextBytes, 8};

size_t columns_of(WriteMode mode) { return mode == WriteMode::kDelete ? 1 : kColumnsMax; }

// ---- values ------------------------------------------------------------------------------------

template <typename T>
char* store(char* at, T value) {
  value = std::byteswap(value);
  std::memcpy(at, &value, sizeof value);
  return at + sizeof value;
}

char* store_value(char* at, const Change& row, size_t column) {
  switch (column) {
    case 0:
      return store(at, row.key);
    case 1:
      return store(at, row.amount);
    case 2:
      return store(at, std::bit_cast<uint64_t>(row.value));
    case 3:
      std::memcpy(at, row.text, sizeof row.text);
      return at + sizeof row.text;
    default:
      return store(at, row.time_us - kEpochDifference_us);
  }
}

/// A parameter list in binary form that is filled again for each statement.
class Parameters {
 public:
  void clear() {
    used_ = 0;
    lengths_.clear();
  }
  void add_rows(const Changes& changes, size_t begin, size_t count) {
    const size_t columns = columns_of(changes.mode());
    reserve(count * columns * Change::kTextBytes);
    for (size_t row = begin; row < begin + count; ++row) {
      for (size_t column = 0; column < columns; ++column) {
        end(store_value(at(), changes.row(row), column));
      }
    }
  }
  void add_arrays(const Changes& changes, size_t begin, size_t count) {
    constexpr size_t kHeaderBytes = 20;
    const size_t columns = columns_of(changes.mode());
    reserve(columns * (kHeaderBytes + count * (Change::kTextBytes + 4)));
    for (size_t column = 0; column < columns; ++column) {
      char* to = at();
      for (const auto word : {1U, 0U, kTypes[column], static_cast<uint32_t>(count), 1U}) {
        to = store(to, word);
      }
      for (size_t row = begin; row < begin + count; ++row) {
        to = store(to, static_cast<uint32_t>(kSizes[column]));
        to = store_value(to, changes.row(row), column);
      }
      end(to);
    }
  }
  void send(PGconn* connection, const char* statement) {
    values_.resize(lengths_.size());
    formats_.resize(lengths_.size(), 1);
    const char* value = buffer_.data();
    for (size_t i = 0; i < lengths_.size(); ++i) {
      values_[i] = value;
      value += lengths_[i];
    }
    if (PQsendQueryPrepared(connection, statement, static_cast<int>(lengths_.size()),
                            values_.data(), lengths_.data(), formats_.data(), 1) != 1) {
      throw std::runtime_error(PQerrorMessage(connection));
    }
  }

 private:
  void reserve(size_t bytes) {
    if (buffer_.size() < used_ + bytes) buffer_.resize(used_ + bytes);
  }
  char* at() { return buffer_.data() + used_; }
  void end(const char* end) {
    lengths_.push_back(static_cast<int>(end - at()));
    used_ = static_cast<size_t>(end - buffer_.data());
  }

  std::vector<char> buffer_;
  size_t used_ = 0;
  std::vector<int> lengths_, formats_;
  std::vector<const char*> values_;
};

template <typename T>
void append_number(std::string& sql, T value) {
  std::array<char, 32> text;
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  sql.append(text.data(), end);
}

void append_literals(std::string& sql, const Change& row, size_t columns) {
  sql += '(';
  append_number(sql, row.key);
  if (columns > 1) {
    sql += ',';
    append_number(sql, row.amount);
    sql += ',';
    append_number(sql, row.value);
    sql.append(",'").append(row.text, sizeof row.text).append("',timestamptz '");
    const time_t seconds = row.time_us / kSecond_us;
    tm parts{};
    ::gmtime_r(&seconds, &parts);
    std::array<char, 48> time;
    size_t size = std::strftime(time.data(), time.size(), "%Y-%m-%d %H:%M:%S", &parts);
    size += static_cast<size_t>(std::snprintf(time.data() + size, time.size() - size, ".%06d+00'",
                                              static_cast<int>(row.time_us % kSecond_us)));
    sql.append(time.data(), size);
  }
  sql += ')';
}

// ---- statements --------------------------------------------------------------------------------

constexpr std::string_view kUpdateSet = "n = {}.n, v = {}.v, s = {}.s, at = {}.at";

std::string assignments(std::string_view from) {
  std::string text;
  for (const char letter : kUpdateSet) {
    if (letter == '}') continue;
    if (letter == '{') {
      text += from;
    } else {
      text += letter;
    }
  }
  return text;
}

/// The statement that applies the rows of `source`, a FROM item named g (k, n, v, s, at).
std::string apply_sql(WriteMode mode, bool merge, const std::string& source) {
  if (mode == WriteMode::kUpdate) {
    return "UPDATE changes AS t SET " + assignments("g") + " FROM " + source + " WHERE t.k = g.k";
  }
  if (mode == WriteMode::kDelete) {
    return "DELETE FROM changes AS t USING " + source + " WHERE t.k = g.k";
  }
  if (merge) {
    return "MERGE INTO changes AS t USING " + source +
           " ON t.k = g.k WHEN MATCHED THEN UPDATE SET " + assignments("g") +
           " WHEN NOT MATCHED THEN INSERT VALUES (g.k, g.n, g.v, g.s, g.at)";
  }
  const std::string insert = "INSERT INTO changes SELECT * FROM " + source;
  if (mode == WriteMode::kInsert) return insert;
  return insert + " ON CONFLICT (k) DO UPDATE SET " + assignments("EXCLUDED");
}

std::string row_sql(WriteMode mode) {
  if (mode == WriteMode::kUpdate) {
    return "UPDATE changes SET n = $2, v = $3, s = $4, at = $5 WHERE k = $1";
  }
  if (mode == WriteMode::kDelete) return "DELETE FROM changes WHERE k = $1";
  const std::string insert = "INSERT INTO changes VALUES ($1, $2, $3, $4, $5)";
  if (mode == WriteMode::kInsert) return insert;
  return insert + " ON CONFLICT (k) DO UPDATE SET " + assignments("EXCLUDED");
}

std::string named(WriteMode mode) {
  return mode == WriteMode::kDelete ? ") AS g(k)" : ") AS g(k, n, v, s, at)";
}

std::string values_sql(WriteMode mode, size_t rows) {
  std::string source = "(VALUES ";
  size_t parameter = 0;
  for (size_t row = 0; row < rows; ++row) {
    source += row == 0 ? "(" : ",(";
    for (size_t column = 0; column < columns_of(mode); ++column) {
      if (column > 0) source += ',';
      source.append("$").append(std::to_string(++parameter));
      if (row == 0) source.append("::").append(kTypeNames[column]);
    }
    source += ')';
  }
  return apply_sql(mode, false, source + named(mode));
}

std::string arrays_sql(WriteMode mode, bool merge) {
  std::string source = "unnest(";
  for (size_t column = 0; column < columns_of(mode); ++column) {
    if (column > 0) source += ", ";
    source.append("$").append(std::to_string(column + 1));
    source.append("::").append(kTypeNames[column]).append("[]");
  }
  return apply_sql(mode, merge, source + named(mode));
}

// ---- the ways ----------------------------------------------------------------------------------

/// Several transactions in libpq's pipeline. The server runs the statements up to a Sync as one
/// transaction, without BEGIN and COMMIT.
class Pipeline {
 public:
  Pipeline(PGconn* connection, size_t window) : connection_(connection), window_(window) {
    if (PQenterPipelineMode(connection) != 1) raise();
  }
  void commit() {
    if (PQpipelineSync(connection_) != 1) raise();
    if (++in_flight_ >= window_) wait_for_one();
  }
  void finish() {
    while (in_flight_ > 0) wait_for_one();
  }

 private:
  [[noreturn]] void raise() { throw std::runtime_error(PQerrorMessage(connection_)); }
  void wait_for_one() {
    for (;;) {
      PGresult* result = PQgetResult(connection_);
      const ExecStatusType status = result != nullptr ? PQresultStatus(result) : PGRES_COMMAND_OK;
      PQclear(result);
      if (status == PGRES_PIPELINE_SYNC) break;
      if (status != PGRES_COMMAND_OK) raise();
    }
    --in_flight_;
  }

  PGconn* connection_;
  size_t window_, in_flight_ = 0;
};

class Rival {
 public:
  Rival(const Changes& changes, const Strategy& strategy, const std::string& conninfo, size_t rows,
        size_t batch_rows, size_t window)
      : changes_(changes),
        strategy_(strategy),
        connection_(conninfo),
        rows_(rows),
        batch_rows_(std::min(batch_rows, rows)),
        window_(window) {
    if (strategy.nested_loops) {
      connection_.run("SET enable_hashjoin = off");
      connection_.run("SET enable_mergejoin = off");
    }
    prepare_shape();
  }

  void apply() {
    switch (strategy_.shape) {
      case Shape::kRows:
        return apply_rows();
      case Shape::kLiterals:
        return apply_literals();
      case Shape::kCopy:
      case Shape::kCopyBegun:
        return apply_copy();
      case Shape::kStaged:
      case Shape::kStagedMerge:
        return apply_staged();
      case Shape::kRowsPipelined:
        return apply_pipelined([this](size_t row) { return add_statement(row, 1, "row"); });
      case Shape::kValues:
        return apply_pipelined([this](size_t row) {
          const size_t count = std::min(values_rows_, batch_end(row) - row);
          return add_statement(row, count, count == values_rows_ ? "values" : "rest");
        });
      case Shape::kArrays:
      case Shape::kArraysMerge:
      case Shape::kAny:
        return apply_pipelined([this](size_t row) {
          parameters_.clear();
          parameters_.add_arrays(changes_, row, batch_end(row) - row);
          parameters_.send(connection_.get(), "arrays");
          return batch_end(row) - row;
        });
    }
  }

 private:
  void prepare(const char* name, const std::string& sql, const std::vector<Oid>& types) {
    connection_.prepare(name, sql, types);
  }

  void prepare_shape() {
    const WriteMode mode = changes_.mode();
    const size_t columns = columns_of(mode);
    const std::vector<Oid> types(kTypes.begin(), kTypes.begin() + static_cast<ptrdiff_t>(columns));
    const std::vector<Oid> arrays(kArrayTypes.begin(),
                                  kArrayTypes.begin() + static_cast<ptrdiff_t>(columns));
    switch (strategy_.shape) {
      case Shape::kRows:
      case Shape::kRowsPipelined:
        return prepare("row", row_sql(mode), types);
      case Shape::kLiterals:
      case Shape::kCopy:
      case Shape::kCopyBegun:
        return;
      case Shape::kValues:
        values_rows_ = std::min(batch_rows_, kParametersMax / columns);
        prepare("values", values_sql(mode, values_rows_), {});
        if (const size_t rest = batch_rows_ % values_rows_; rest > 0) {
          prepare("rest", values_sql(mode, rest), {});
        }
        return;
      case Shape::kAny:
        return prepare("arrays", "DELETE FROM changes WHERE k = ANY ($1)", arrays);
      case Shape::kArrays:
      case Shape::kArraysMerge:
        return prepare("arrays", arrays_sql(mode, strategy_.shape == Shape::kArraysMerge), arrays);
      case Shape::kStaged:
      case Shape::kStagedMerge:
        return connection_.run(std::string("CREATE TEMPORARY TABLE staged ON COMMIT DELETE ROWS ") +
                               "AS SELECT " + (columns == 1 ? "k" : "*") +
                               " FROM changes WITH NO DATA");
    }
  }

  size_t batch_end(size_t row) const {
    return std::min((row / batch_rows_ + 1) * batch_rows_, rows_);
  }

  size_t add_statement(size_t row, size_t count, const char* statement) {
    parameters_.clear();
    parameters_.add_rows(changes_, row, count);
    parameters_.send(connection_.get(), statement);
    return count;
  }

  /// `statement` sends one that starts at a row, and says how many it takes.
  template <typename Statement>
  void apply_pipelined(Statement&& statement) {
    Pipeline pipeline(connection_.get(), window_);
    for (size_t row = 0; row < rows_;) {
      const size_t end = batch_end(row);
      while (row < end) row += statement(row);
      pipeline.commit();
    }
    pipeline.finish();
  }

  void apply_rows() {
    for (size_t row = 0; row < rows_;) {
      const size_t end = batch_end(row);
      connection_.run("BEGIN");
      for (; row < end; ++row) {
        add_statement(row, 1, "row");
        connection_.finish();
      }
      connection_.run("COMMIT");
    }
  }

  void apply_literals() {
    const WriteMode mode = changes_.mode();
    const std::string whole = apply_sql(mode, false, "(VALUES \n" + named(mode));
    const size_t cut = whole.find('\n');
    std::string sql;
    for (size_t row = 0; row < rows_;) {
      const size_t end = batch_end(row);
      sql.assign("BEGIN; ").append(whole, 0, cut);
      for (bool first = true; row < end; ++row, first = false) {
        if (!first) sql += ',';
        append_literals(sql, changes_.row(row), columns_of(mode));
      }
      sql.append(whole, cut + 1).append("; COMMIT");
      connection_.run(sql);
    }
  }

  void apply_copy() {
    const bool begun = strategy_.shape == Shape::kCopyBegun;
    const std::string copy =
        std::string(begun ? "BEGIN; " : "") + "COPY changes FROM STDIN (FORMAT binary)";
    for (size_t row = 0; row < rows_;) {
      connection_.begin_copy(copy);
      put_batch(row, batch_end(row));
      row = batch_end(row);
      connection_.end_copy();
      if (begun) connection_.run("COMMIT");
    }
  }

  void apply_staged() {
    const std::string apply =
        apply_sql(changes_.mode(), strategy_.shape == Shape::kStagedMerge, "staged AS g") +
        "; COMMIT";
    for (size_t row = 0; row < rows_;) {
      const size_t end = batch_end(row);
      connection_.begin_copy("BEGIN; COPY staged FROM STDIN (FORMAT binary)");
      put_batch(row, end);
      row = end;
      connection_.end_copy();
      connection_.run(apply);
    }
  }

  void put_batch(size_t row, size_t end) {
    connection_.put(copy_signature());
    while (row < end) row += put_rows(row, end);
    connection_.put(copy_end());
  }

  /// Some rows as binary COPY, about 64 KiB.
  size_t put_rows(size_t row, size_t end) {
    constexpr size_t kRowBytesMax = 128, kPieceBytes = 65536;
    const size_t columns = columns_of(changes_.mode());
    const size_t count = std::min(end - row, kPieceBytes / kRowBytesMax);
    piece_.resize(kPieceBytes);
    char* to = piece_.data();
    for (size_t i = row; i < row + count; ++i) {
      to = store(to, static_cast<uint16_t>(columns));
      for (size_t column = 0; column < columns; ++column) {
        to = store(to, static_cast<uint32_t>(kSizes[column]));
        to = store_value(to, changes_.row(i), column);
      }
    }
    connection_.put(std::as_bytes(std::span(piece_.data(), to)));
    return count;
  }

  const Changes& changes_;
  Strategy strategy_;
  LibpqConnection connection_;
  size_t rows_, batch_rows_, window_;
  size_t values_rows_ = 0;
  Parameters parameters_;
  std::vector<char> piece_;
};

}  // namespace

std::vector<Strategy> strategies(WriteMode mode, size_t batch_rows) {
  // Below, the planner takes the same plan by itself.
  constexpr size_t kHashesFrom = 5000;
  std::vector<Strategy> made{{Shape::kRows, false, "rows one by one"},
                             {Shape::kRowsPipelined, false, "pipelined rows"},
                             {Shape::kLiterals, false, "VALUES, literals"}};
  const auto add = [&](Shape shape, bool joins, const std::string& name) {
    if (!joins || batch_rows >= kHashesFrom) made.push_back({shape, false, name});
    if (joins) made.push_back({shape, true, name + ", nested loops"});
  };
  const bool joins = mode == WriteMode::kUpdate || mode == WriteMode::kDelete;
  add(Shape::kValues, joins, "VALUES, parameters");
  add(Shape::kArrays, joins, "unnest");
  if (mode == WriteMode::kInsert) {
    add(Shape::kCopy, false, "COPY");
    add(Shape::kCopyBegun, false, "BEGIN, COPY, COMMIT");
    return made;
  }
  add(Shape::kStaged, joins, "COPY, then join");
  if (mode == WriteMode::kUpsert) {
    made.back().name = "COPY, then INSERT";
    add(Shape::kArraysMerge, true, "unnest, MERGE");
    add(Shape::kStagedMerge, true, "COPY, then MERGE");
  }
  if (mode == WriteMode::kDelete) add(Shape::kAny, false, "= ANY");
  return made;
}

Run strategy_run(const Changes& changes, const Strategy& strategy, std::string conninfo,
                 size_t rows, size_t batch_rows, size_t window) {
  return
      [&changes, strategy, conninfo = std::move(conninfo), rows, batch_rows, window](Meter& meter) {
        Rival rival(changes, strategy, conninfo, rows, batch_rows, window);
        changes.touch();
        meter.start();
        rival.apply();
        meter.stop();
      };
}

}  // namespace pgsink::bench
