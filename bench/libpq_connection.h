#pragma once
// A libpq connection that closes itself, and errors as exceptions: the benchmarks end with them.

#include <memory>
#include <span>
#include <string>
#include <vector>

#include <libpq-fe.h>

namespace pgsink::bench {

/// LibpqConnection is the rival. Every function throws std::runtime_error with libpq's message.
class LibpqConnection {
 public:
  explicit LibpqConnection(const std::string& conninfo);

  /// Runs a statement to its end.
  void run(const std::string& sql);
  /// Runs a COPY … FROM STDIN until it waits for data.
  void begin_copy(const std::string& sql);
  void put(std::span<const std::byte> data);
  /// Ends the COPY and waits for its outcome.
  void end_copy();
  /// Prepares a statement; parameters without a type have that which the statement says.
  void prepare(const char* name, const std::string& sql, const std::vector<Oid>& types);
  /// Waits for the outcome of a statement that was sent.
  void finish();
  /// For what has no function here.
  PGconn* get() const { return connection_.get(); }

 private:
  struct Closer {
    void operator()(PGconn* connection) const { PQfinish(connection); }
  };
  void expect(ExecStatusType status, PGresult* result);

  std::unique_ptr<PGconn, Closer> connection_;
};

}  // namespace pgsink::bench
