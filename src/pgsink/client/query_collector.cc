#include "pgsink/client/query_collector.h"

#include <utility>

namespace pgsink {

std::string QueryResult::scalar() const {
  if (rows.size() != 1 || rows[0].empty()) return {};
  return rows[0][0].value_or("");
}

bool QueryCollector::take(const pgproto::BackendMessage& message) {
  if (const auto* description = std::get_if<pgproto::RowDescription>(&message)) {
    take_description(*description);
  } else if (const auto* row = std::get_if<pgproto::DataRow>(&message)) {
    take_row(*row);
  } else if (const auto* done = std::get_if<pgproto::CommandComplete>(&message)) {
    result_.tag = done->tag;
  } else if (const auto* error = std::get_if<pgproto::ErrorResponse>(&message)) {
    take_error(*error);
  }
  return std::holds_alternative<pgproto::ReadyForQuery>(message);
}

Result<QueryResult> QueryCollector::finish() {
  if (error_) return fail(*std::move(error_));
  return std::move(result_);
}

void QueryCollector::take_description(const pgproto::RowDescription& description) {
  result_.rows.clear();
  result_.columns.clear();
  bytes_ = 0;
  for (const auto& field : description.fields) result_.columns.emplace_back(field.name);
}

void QueryCollector::take_row(const pgproto::DataRow& row) {
  if (error_) return;
  std::vector<std::optional<std::string>> values;
  values.reserve(row.values.size());
  for (const auto& value : row.values) {
    bytes_ += sizeof(values[0]) + (value ? value->size() : 0);
    if (value) {
      values.emplace_back(std::string(pgproto::as_text(*value)));
    } else {
      values.emplace_back();
    }
  }
  if (bytes_ <= kQueryResultBytesMax) {
    result_.rows.push_back(std::move(values));
    return;
  }
  error_.emplace();
  error_->code = Errc::kLimit;
  error_->sent = true;
  error_->message = "the result of a query is larger than the " +
                    std::to_string(kQueryResultBytesMax) + " bytes allowed";
  result_.rows.clear();
}

void QueryCollector::take_error(const pgproto::ErrorResponse& response) {
  if (error_) return;
  error_ = response.to_error();
  error_->sent = true;
  error_routine_ = response.routine;
}

}  // namespace pgsink
