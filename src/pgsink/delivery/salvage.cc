#include "pgsink/delivery/salvage.h"

#include <algorithm>
#include <span>

#include "pgsink/options/retry.h"

namespace pgsink {

namespace {

// Of the connection, the session or the server, whatever rows were sent. Source: PostgreSQL
// documentation, "PostgreSQL Error Codes".
constexpr std::string_view kNeverOfARow[] = {
    "08",             // connection exceptions
    "25",             // invalid transaction state
    "26",             // invalid statement name
    "28",             // invalid authorization
    "2D",             // invalid transaction termination
    "3D",             // invalid catalog name
    "40",             // transaction rollback
    "53",             // insufficient resources
    "57",             // operator intervention
    "58",             // system error
    "F0",             // configuration file
    "XX001", "XX002"  // data and index corrupted
};

// These are of the statement, unless they are raised in a function that it calls for a row: a
// trigger may use them for what it likes.
constexpr std::string_view kOfTheStatement[] = {
    "0A",  // feature not supported
    "21",  // cardinality violation
    "3F",  // invalid schema name
    "42",  // syntax error or access rule violation
    "55",  // object not in prerequisite state
};

bool begins_with_any(std::string_view sqlstate, std::span<const std::string_view> beginnings) {
  return std::ranges::any_of(
      beginnings, [&](std::string_view beginning) { return sqlstate.starts_with(beginning); });
}

}  // namespace

bool may_be_row_fault(const pgproto::Error& error, bool reads_text) {
  if (error.code != pgproto::Errc::kServer) return false;
  if (is_transient(error)) return false;
  const std::string_view sqlstate = error.sqlstate.view();
  if (begins_with_any(sqlstate, kNeverOfARow)) return false;
  // The server's CONTEXT names the line of a COPY or the function.
  return reads_text || !error.where.empty() || !begins_with_any(sqlstate, kOfTheStatement);
}

bool Salvage::is_left_out(size_t row) const { return std::ranges::binary_search(left_out_, row); }

size_t Salvage::next_left_out(size_t row) const {
  const auto found = std::ranges::lower_bound(left_out_, row);
  return found == left_out_.end() ? kNoLimit : *found;
}

size_t Salvage::sent_row(size_t n) const {
  for (const size_t out : left_out_) {
    if (out > n) break;
    ++n;
  }
  return n;
}

void Salvage::leave_out(size_t row) {
  const auto at = std::ranges::lower_bound(left_out_, row);
  if (at == left_out_.end() || *at != row) left_out_.insert(at, row);
}

size_t Salvage::sent_between(size_t from, size_t to) const {
  const auto first = std::ranges::lower_bound(left_out_, from);
  const auto last = std::ranges::lower_bound(left_out_, to);
  return to - from - static_cast<size_t>(last - first);
}

/// Tries half of the rows that may be to blame, or finds the one. The first trial is one without
/// rows, which costs the least: if it fails, no row is to blame.
std::optional<size_t> Salvage::look_between() {
  const size_t suspects = sent_between(good_, bad_);
  limit_ = kNoLimit;
  if (suspects == 0) return std::nullopt;
  if (!statement_passed_) {
    limit_ = 0;
    return std::nullopt;
  }
  size_t row = good_;
  if (suspects == 1) {
    while (is_left_out(row)) ++row;
    good_ = row;
    return row;
  }
  for (size_t half = suspects / 2; half > 0; ++row) {
    if (!is_left_out(row)) --half;
  }
  limit_ = row;
  return std::nullopt;
}

std::optional<size_t> Salvage::failed(size_t rows) {
  bad_ = std::min(limit_, rows);
  // What went well with fewer rows fails now (a deferred constraint can do that): all are suspect.
  if (sent_between(std::min(good_, bad_), bad_) == 0) good_ = 0;
  return look_between();
}

std::optional<size_t> Salvage::passed() {
  if (trying_no_rows()) statement_passed_ = true;
  good_ = limit_;
  return look_between();
}

}  // namespace pgsink
