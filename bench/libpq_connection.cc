#include "libpq_connection.h"

#include <stdexcept>

namespace pgsink::bench {

LibpqConnection::LibpqConnection(const std::string& conninfo)
    : connection_(PQconnectdb(conninfo.c_str())) {
  if (PQstatus(connection_.get()) != CONNECTION_OK) {
    throw std::runtime_error(PQerrorMessage(connection_.get()));
  }
}

void LibpqConnection::expect(ExecStatusType status, PGresult* result) {
  const ExecStatusType seen = PQresultStatus(result);
  PQclear(result);
  if (seen != status) throw std::runtime_error(PQerrorMessage(connection_.get()));
}

void LibpqConnection::run(const std::string& sql) {
  expect(PGRES_COMMAND_OK, PQexec(connection_.get(), sql.c_str()));
}

void LibpqConnection::begin_copy(const std::string& sql) {
  expect(PGRES_COPY_IN, PQexec(connection_.get(), sql.c_str()));
}

void LibpqConnection::put(std::span<const std::byte> data) {
  if (PQputCopyData(connection_.get(), reinterpret_cast<const char*>(data.data()),
                    static_cast<int>(data.size())) != 1) {
    throw std::runtime_error(PQerrorMessage(connection_.get()));
  }
}

void LibpqConnection::end_copy() {
  if (PQputCopyEnd(connection_.get(), nullptr) != 1) {
    throw std::runtime_error(PQerrorMessage(connection_.get()));
  }
  expect(PGRES_COMMAND_OK, PQgetResult(connection_.get()));
  while (PGresult* rest = PQgetResult(connection_.get())) PQclear(rest);
}

void LibpqConnection::prepare(const char* name, const std::string& sql,
                              const std::vector<Oid>& types) {
  expect(PGRES_COMMAND_OK, PQprepare(connection_.get(), name, sql.c_str(),
                                     static_cast<int>(types.size()), types.data()));
}

void LibpqConnection::finish() {
  expect(PGRES_COMMAND_OK, PQgetResult(connection_.get()));
  while (PGresult* rest = PQgetResult(connection_.get())) PQclear(rest);
}

}  // namespace pgsink::bench
