#pragma once
// The three that load the same rows into the same table: pgsink, libpq with a row encoder written
// by hand, and the server itself from a file.

#include <string>
#include <string_view>

#include <pgsink/options.h>

#include "measured_child.h"
#include "rows.h"
#include "support/postgres_server.h"

namespace pgsink::bench {

/// check ends the benchmark with what went wrong.
void check(const Status& status);

/// What stands before the first and after the last row of COPY (FORMAT binary).
std::span<const std::byte> copy_signature();
std::span<const std::byte> copy_end();

enum class Transport : uint8_t { kUnix, kTcp, kTls };

std::string_view transport_name(Transport transport);

/// Place is where rows go.
struct Place {
  test::PostgresServer& server;
  std::string database;
  std::string table;
  Transport transport = Transport::kUnix;
};

/// sink_options gives the options of a sink at that place, otherwise at their defaults.
SinkOptions sink_options(const Place& place);

/// libpq_conninfo is the same for libpq.
std::string libpq_conninfo(const Place& place);

/// pgsink_run writes all rows through a Sink, `batch_rows` at a time. The clock runs from the first
/// write() to the end of flush().
Run pgsink_run(const Rows& rows, SinkOptions options, size_t batch_rows);

/// libpq_run writes all rows by one COPY (FORMAT binary) in its own transaction, in pieces of 64
/// KiB. The clock runs from the COPY command to its completion.
Run libpq_run(const Rows& rows, const Place& place);

/// server_run lets the server COPY FROM `file`: what no client can beat on one connection.
Run server_run(const Place& place, const std::string& file);

/// write_copy_file writes the rows as COPY (FORMAT binary) takes them.
void write_copy_file(const Rows& rows, const std::string& file);

}  // namespace pgsink::bench
