#include "support/copy_harness.h"

#include <memory>
#include <stdexcept>

#include <libpq-fe.h>

namespace pgsink::test {
namespace {

using Answer = std::unique_ptr<PGresult, decltype(&PQclear)>;

std::string error_of(PGresult* result) {
  const char* code = PQresultErrorField(result, PG_DIAG_SQLSTATE);
  return std::string(code != nullptr ? code : "?????") + " " + PQresultErrorMessage(result);
}

}  // namespace

struct CopyTable::Link {
  std::unique_ptr<PGconn, decltype(&PQfinish)> connection;

  explicit Link(const std::string& conninfo) : connection(PQconnectdb(conninfo.c_str()), PQfinish) {
    if (PQstatus(connection.get()) != CONNECTION_OK) fail();
  }
  [[noreturn]] void fail() const { throw std::runtime_error(PQerrorMessage(connection.get())); }

  Answer run(const std::string& text, ExecStatusType wanted) const {
    Answer answer(PQexec(connection.get(), text.c_str()), PQclear);
    if (PQresultStatus(answer.get()) != wanted) throw std::runtime_error(error_of(answer.get()));
    return answer;
  }
  SqlRows rows(const std::string& text) const {
    const Answer answer = run(text, PGRES_TUPLES_OK);
    SqlRows all;
    for (int i = 0; i < PQntuples(answer.get()); ++i) {
      SqlRow& row = all.emplace_back();
      for (int k = 0; k < PQnfields(answer.get()); ++k) {
        if (PQgetisnull(answer.get(), i, k) != 0) {
          row.emplace_back();
        } else {
          row.emplace_back(std::string(PQgetvalue(answer.get(), i, k),
                                       static_cast<size_t>(PQgetlength(answer.get(), i, k))));
        }
      }
    }
    return all;
  }
  void put(const void* bytes, size_t size) const {
    if (PQputCopyData(connection.get(), static_cast<const char*>(bytes), static_cast<int>(size)) !=
        1) {
      fail();
    }
  }
};

namespace {

pgproto::TypeInfo::Kind kind_of(char typtype, bool array) {
  return array ? pgproto::TypeInfo::Kind::kArray : static_cast<pgproto::TypeInfo::Kind>(typtype);
}

/// Reads one type; 0 OIDs mean none.
template <class Link>
pgproto::TypeInfo read_type(const Link& link, pgproto::Oid oid) {
  const std::string id = std::to_string(oid);
  const SqlRows rows = link.rows(
      "SELECT format_type(t.oid, NULL), t.typtype, t.typinput = 'array_in'::regproc,"
      " CASE WHEN r.rngtypid = t.oid THEN r.rngsubtype"
      "      WHEN r.rngmultitypid = t.oid THEN r.rngtypid ELSE t.typelem END,"
      " t.typbasetype, t.typtypmod, t.typrelid"
      " FROM pg_type t LEFT JOIN pg_range r ON t.oid IN (r.rngtypid, r.rngmultitypid)"
      " WHERE t.oid = " +
      id);
  const SqlRow& row = rows.at(0);
  pgproto::TypeInfo type;
  type.oid = oid;
  type.name = *row[0];
  type.kind = kind_of(row[1]->at(0), *row[2] == "t");
  type.element_oid = static_cast<pgproto::Oid>(std::stoul(*row[3]));
  type.base_oid = static_cast<pgproto::Oid>(std::stoul(*row[4]));
  type.type_modifier = std::stoi(*row[5]);
  if (type.kind == pgproto::TypeInfo::Kind::kDomain) {
    // All domains peeled off: the modifier that counts is that of the innermost one having one.
    while (true) {
      const SqlRows base =
          link.rows("SELECT typtype, typbasetype, typtypmod FROM pg_type WHERE oid = " +
                    std::to_string(type.base_oid));
      if (base[0][0] != "d") break;
      type.base_oid = static_cast<pgproto::Oid>(std::stoul(*base[0][1]));
      if (type.type_modifier == -1) type.type_modifier = std::stoi(*base[0][2]);
    }
  }
  for (const SqlRow& attribute : link.rows(
           "SELECT attname, atttypid, atttypmod FROM pg_attribute WHERE attrelid = " + *row[6] +
           " AND attnum > 0 AND NOT attisdropped ORDER BY attnum")) {
    type.attributes.push_back({*attribute[0], static_cast<pgproto::Oid>(std::stoul(*attribute[1])),
                               std::stoi(*attribute[2])});
  }
  for (const SqlRow& label : link.rows("SELECT enumlabel FROM pg_enum WHERE enumtypid = " + id +
                                       " ORDER BY enumsortorder")) {
    type.labels.push_back(*label[0]);
  }
  return type;
}

}  // namespace

Encoded encode_all(RowEncoder& encoder, const RecordBatch& batch, RowRange rows, size_t out_bytes) {
  Encoded encoded;
  std::vector<std::byte> out(out_bytes);
  while (rows.count > 0) {
    const RowEncoder::Step step = encoder.encode(batch, rows, out, encoded.rejected);
    if (step.bytes > out.size() || step.rows > rows.count) throw std::runtime_error("overrun");
    encoded.tuples.insert(encoded.tuples.end(), out.begin(),
                          out.begin() + static_cast<ptrdiff_t>(step.bytes));
    if (step.rows == 0) {
      if (step.bytes_needed <= out.size()) throw std::runtime_error("no progress");
      // Exactly what was asked for must do, unless the row turns out bad while it is written.
      std::vector<std::byte> larger(step.bytes_needed);
      const RowRange one{rows.begin, 1, rows.indexes};
      const size_t rejected = encoded.rejected.size();
      const RowEncoder::Step again = encoder.encode(batch, one, larger, encoded.rejected);
      const bool rejects = encoded.rejected.size() != rejected;
      if (again.rows != 1 || again.bytes != (rejects ? 0 : larger.size())) {
        throw std::runtime_error("bytes_needed was wrong");
      }
      if (!rejects) encoded.tuples.insert(encoded.tuples.end(), larger.begin(), larger.end());
      rows.begin += 1;
      rows.count -= 1;
      continue;
    }
    rows.begin += step.rows;
    rows.count -= step.rows;
  }
  return encoded;
}

std::vector<EncodeColumn> encode_columns(const RecordBatch& batch,
                                         const std::vector<ColumnType>& types) {
  std::vector<EncodeColumn> columns;
  for (size_t i = 0; i < types.size(); ++i) {
    const Field& field = batch.schema()->at(i);
    columns.push_back({.source_index = i,
                       .source = field,
                       .target_name = field.name,
                       .target_oid = types[i].oid,
                       .type_modifier = types[i].type_modifier,
                       .rules = {}});
    columns.back().rules = types[i].rules;
  }
  return columns;
}

CopyTable::CopyTable(PostgresServer& server, const std::string& database, std::string name,
                     const std::vector<std::string>& sql_types)
    : link_(std::make_unique<Link>(server.conninfo(database))), name_(std::move(name)) {
  std::string list = "position_ serial";
  for (size_t i = 0; i < sql_types.size(); ++i) {
    list += ", c" + std::to_string(i) + " " + sql_types[i];
  }
  link_->run(
      "SET client_min_messages = warning; SET timezone = 'UTC'; SET datestyle = 'ISO, YMD';"
      " SET intervalstyle = 'postgres'; DROP TABLE IF EXISTS " +
          name_ + "; CREATE UNLOGGED TABLE " + name_ + " (" + list + ")",
      PGRES_COMMAND_OK);
  const encode::ValueRules rules{.server_version = PQserverVersion(link_->connection.get())};
  for (const SqlRow& row :
       link_->rows("SELECT atttypid, atttypmod FROM pg_attribute WHERE attrelid = '" + name_ +
                   "'::regclass AND attnum > 1 ORDER BY attnum")) {
    columns_.push_back({static_cast<pgproto::Oid>(std::stoul(*row[0])), std::stoi(*row[1]), rules});
  }
  std::vector<pgproto::Oid> wanted;
  for (const ColumnType& column : columns_) wanted.push_back(column.oid);
  while (!wanted.empty()) {
    const pgproto::Oid oid = wanted.back();
    wanted.pop_back();
    if (oid == 0 || types_.contains(oid)) continue;
    const pgproto::TypeInfo type = read_type(*link_, oid);
    wanted.push_back(type.element_oid);
    wanted.push_back(type.base_oid);
    for (const auto& attribute : type.attributes) wanted.push_back(attribute.type_oid);
    types_.emplace(oid, type);
  }
}

CopyTable::~CopyTable() = default;

std::string CopyTable::column_list(const std::string& suffix) const {
  std::string list;
  for (size_t i = 0; i < columns_.size(); ++i) {
    list += (i == 0 ? "c" : ", c") + std::to_string(i) + suffix;
  }
  return list;
}

std::string CopyTable::copy(const std::vector<std::byte>& tuples) {
  link_->run("COPY " + name_ + " (" + column_list("") + ") FROM STDIN (FORMAT binary)",
             PGRES_COPY_IN);
  link_->put(copy_header().data(), copy_header().size());
  constexpr size_t kPiece = 1 << 20;
  for (size_t at = 0; at < tuples.size(); at += kPiece) {
    link_->put(tuples.data() + at, std::min(kPiece, tuples.size() - at));
  }
  link_->put(copy_trailer().data(), copy_trailer().size());
  PGconn* const connection = link_->connection.get();
  if (PQputCopyEnd(connection, nullptr) != 1) link_->fail();
  std::string error;
  while (const Answer answer{PQgetResult(connection), PQclear}) {
    if (PQresultStatus(answer.get()) != PGRES_COMMAND_OK) error = error_of(answer.get());
  }
  return error;
}

SqlRows CopyTable::rows() {
  return link_->rows("SELECT " + column_list("::text") + " FROM " + name_ + " ORDER BY position_");
}

std::vector<std::byte> CopyTable::binary() {
  link_->run("COPY (SELECT " + column_list("") + " FROM " + name_ +
                 " ORDER BY position_) TO STDOUT (FORMAT binary)",
             PGRES_COPY_OUT);
  PGconn* const connection = link_->connection.get();
  std::vector<std::byte> bytes;
  char* row = nullptr;
  int size = 0;
  while ((size = PQgetCopyData(connection, &row, 0)) > 0) {
    const auto* from = reinterpret_cast<const std::byte*>(row);
    bytes.insert(bytes.end(), from, from + size);
    PQfreemem(row);
  }
  while (const Answer answer{PQgetResult(connection), PQclear}) {
  }
  const size_t header = copy_header().size();
  const size_t trailer = copy_trailer().size();
  if (bytes.size() < header + trailer) throw std::runtime_error("the binary COPY is cut short");
  return {bytes.begin() + static_cast<ptrdiff_t>(header),
          bytes.end() - static_cast<ptrdiff_t>(trailer)};
}

void CopyTable::truncate() { link_->run("TRUNCATE " + name_, PGRES_COMMAND_OK); }

}  // namespace pgsink::test
