#pragma once
// Collects the events that answer one query into a QueryResult.

#include <optional>

#include <pgproto/backend.h>

#include "pgsink/client/connection.h"

namespace pgsink {

/// QueryCollector takes the messages of one query up to its ReadyForQuery. The first ErrorResponse
/// becomes the error; later rows are dropped.
class QueryCollector {
 public:
  /// take returns true once the answer is complete.
  bool take(const pgproto::BackendMessage& message);
  /// The routine of the server that raised the error; "" without one.
  const std::string& error_routine() const { return error_routine_; }
  /// The result or the error. Call it once, after take() returned true.
  Result<QueryResult> finish();

 private:
  void take_description(const pgproto::RowDescription& description);
  void take_row(const pgproto::DataRow& row);
  void take_error(const pgproto::ErrorResponse& response);

  QueryResult result_;
  size_t bytes_ = 0;
  std::optional<Error> error_;
  std::string error_routine_;
};

}  // namespace pgsink
