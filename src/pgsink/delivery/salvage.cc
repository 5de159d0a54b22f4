#include "pgsink/delivery/salvage.h"

#include <algorithm>
#include <array>

namespace pgsink {

bool is_row_fault(const pgproto::Error& error) {
  if (error.code != pgproto::Errc::kServer) return false;
  // Data, integrity, WITH CHECK OPTION; "raise" and "assert" of triggers; index entries too large.
  constexpr std::array<std::string_view, 6> kBeginnings{"22",    "23",    "44",
                                                        "P0001", "P0004", "54000"};
  return std::ranges::any_of(kBeginnings, [&](std::string_view beginning) {
    return error.sqlstate.view().starts_with(beginning);
  });
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
  if (trying_no_rows()) {
    statement_passed_ = true;
  } else {
    good_ = limit_;
  }
  return look_between();
}

}  // namespace pgsink
