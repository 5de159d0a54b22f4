#include "writers.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>
#include <stdexcept>
#include <utility>
#include <vector>

#include <pgsink/sink.h>

#include "libpq_connection.h"

namespace pgsink::bench {
namespace {

constexpr size_t kPieceBytes = size_t{64} << 10;
constexpr std::string_view kSignature("PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0", 19);
constexpr std::string_view kEnd("\377\377", 2);

/// Encodes all rows in pieces of up to 64 KiB and hands each to `put`.
template <typename Put>
void encode_all(const Rows& rows, Put&& put) {
  const auto buffer = std::make_unique_for_overwrite<std::byte[]>(kPieceBytes);
  const std::span<std::byte> piece(buffer.get(), kPieceBytes);
  std::memcpy(piece.data(), kSignature.data(), kSignature.size());
  size_t used = kSignature.size();
  for (size_t row = 0; row < rows.row_count();) {
    used += rows.encode_rows(row, rows.row_count(), piece.subspan(used));
    if (row == rows.row_count()) break;
    put(std::span<const std::byte>(piece.first(used)));
    used = 0;
  }
  std::memcpy(piece.data() + used, kEnd.data(), kEnd.size());
  put(std::span<const std::byte>(piece.first(used + kEnd.size())));
}

}  // namespace

void check(const Status& status) {
  if (!status) throw std::runtime_error(status.error().to_string());
}

std::span<const std::byte> copy_signature() { return std::as_bytes(std::span(kSignature)); }
std::span<const std::byte> copy_end() { return std::as_bytes(std::span(kEnd)); }

std::string_view transport_name(Transport transport) {
  constexpr std::array<std::string_view, 3> kNames{"unix", "tcp", "tls"};
  return kNames[static_cast<size_t>(transport)];
}

SinkOptions sink_options(const Place& place) {
  SinkOptions options;
  options.connection_name = "bench";
  options.host = place.transport == Transport::kUnix ? place.server.socket_dir() : "127.0.0.1";
  options.port = std::to_string(place.server.port());
  options.database = place.database;
  options.username = "postgres";
  options.table = place.table;
  options.ssl_mode = place.transport == Transport::kTls ? "require" : "disable";
  return options;
}

std::string libpq_conninfo(const Place& place) {
  const bool unix_socket = place.transport == Transport::kUnix;
  std::string text =
      place.server.conninfo(place.database, unix_socket ? test::Via::kUnix : test::Via::kTcp);
  text += " gssencmode=disable";
  if (place.transport == Transport::kTls) text += " sslmode=require";  // the last word counts
  return text;
}

Run pgsink_run(const Rows& rows, SinkOptions options, size_t batch_rows) {
  return [&rows, options = std::move(options), batch_rows](Meter& meter) {
    std::vector<RecordBatch> batches;
    for (size_t at = 0; at < rows.row_count(); at += batch_rows) {
      batches.push_back(rows.batch(at, std::min(batch_rows, rows.row_count() - at)));
    }
    auto sink = Sink::open(options, rows.schema());
    if (!sink) throw std::runtime_error(sink.error().to_string());
    rows.touch();
    meter.start();
    for (RecordBatch& batch : batches) check((*sink)->write(std::move(batch)));
    check((*sink)->flush());
    meter.stop();
    check((*sink)->close());
  };
}

Run libpq_run(const Rows& rows, const Place& place) {
  return [&rows, conninfo = libpq_conninfo(place), table = place.table](Meter& meter) {
    LibpqConnection connection(conninfo);
    rows.touch();
    meter.start();
    connection.begin_copy("COPY " + table + " FROM STDIN (FORMAT binary)");
    encode_all(rows, [&](std::span<const std::byte> piece) { connection.put(piece); });
    connection.end_copy();
    meter.stop();
  };
}

Run server_run(const Place& place, const std::string& file) {
  return [conninfo = libpq_conninfo(place), table = place.table, file](Meter& meter) {
    LibpqConnection connection(conninfo);
    meter.start();
    connection.run("COPY " + table + " FROM '" + file + "' (FORMAT binary)");
    meter.stop();
  };
}

void write_copy_file(const Rows& rows, const std::string& file) {
  std::ofstream out(file, std::ios::binary | std::ios::trunc);
  encode_all(rows, [&](std::span<const std::byte> piece) {
    out.write(reinterpret_cast<const char*>(piece.data()),
              static_cast<std::streamsize>(piece.size()));
  });
  out.close();
  if (!out) throw std::runtime_error("cannot write " + file);
}

}  // namespace pgsink::bench
