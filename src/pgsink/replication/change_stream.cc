#include "pgsink/replication/change_stream.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <utility>

namespace pgsink {

using namespace pgproto::pgoutput;
using pgproto::as_text;
using pgproto::Tuple;
using pgproto::TupleValue;
using Kind = pgproto::TupleValue::Kind;

std::string commit_time(int64_t microseconds) {
  using namespace std::chrono;
  constexpr sys_days kEpoch = year{2000} / January / 1;
  const auto instant =
      sys_time<std::chrono::microseconds>(kEpoch) + std::chrono::microseconds(microseconds);
  const auto day = floor<days>(instant);
  const year_month_day date(day);
  const hh_mm_ss time(instant - day);
  const auto digits = [](int64_t value, size_t width) {
    std::string text = std::to_string(value);
    if (text.size() < width) text.insert(0, width - text.size(), '0');
    return text;
  };
  return digits(static_cast<int>(date.year()), 4) + "-" +
         digits(static_cast<unsigned>(date.month()), 2) + "-" +
         digits(static_cast<unsigned>(date.day()), 2) + " " + digits(time.hours().count(), 2) +
         ":" + digits(time.minutes().count(), 2) + ":" + digits(time.seconds().count(), 2) + "." +
         digits(time.subseconds().count(), 6) + "+00";
}

namespace {

std::string json_string(std::string_view text) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string json = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') json += '\\';
    if (static_cast<unsigned char>(c) >= ' ') {
      json += c;
    } else {
      json += std::string("\\u00") + kHex[static_cast<unsigned char>(c) >> 4] + kHex[c & 15];
    }
  }
  return json + '"';
}

}  // namespace

std::shared_ptr<const Schema> source_schema(const SourceTable& table, bool unchanged) {
  std::vector<std::string> names;
  names.reserve(table.columns.size() + 4);
  for (const auto& column : table.columns) names.push_back(column.name);
  for (const auto name : {kOperationColumn, kLsnColumn, kCommitTimeColumn}) {
    names.emplace_back(name);
  }
  if (unchanged) names.emplace_back(kUnchangedColumn);
  return text_schema(names);
}

ChangeStream::ChangeStream(SourceTable table, std::shared_ptr<const Schema> schema, uint64_t after,
                           size_t transaction_bytes_max)
    : table_(std::move(table)),
      rows_(std::move(schema)),
      transaction_bytes_max_(transaction_bytes_max),
      reports_unchanged_(rows_.schema()->back().name == kUnchangedColumn),
      after_(after) {}

void ChangeStream::begin_connection() {
  mapped_.reset();
  rows_.clear();
}

std::unexpected<Error> ChangeStream::stop(std::string why) const {
  return fail(Errc::kReplication, "table " + table_.full_name() + ": " + std::move(why));
}

Status ChangeStream::take(const Any& message) {
  return std::visit([this](const auto& one) { return on(one); }, message);
}

/// Messages about no table are the business of TablesStream.
template <typename Other>
Status ChangeStream::on(const Other&) {
  return {};
}

Status ChangeStream::on(const Begin& begin) {
  truncated_ = false;
  lsn_text_ = pgproto::format_lsn(begin.commit_lsn);
  time_text_ = commit_time(begin.commit_us);
  return {};
}

Status ChangeStream::on(const Commit& commit) {
  const bool known = commit.end_lsn <= after_;
  if (!known && truncated_) {
    // A truncate is a separate batch, which must not be confirmed alone if more rows follow.
    ChangeRows alone(rows_.schema());
    for (size_t i = 0; i < table_.columns.size(); ++i) alone.add(std::nullopt);
    for (const std::string_view text :
         {std::string_view("T"), std::string_view(lsn_text_), std::string_view(time_text_)}) {
      alone.add(text);
    }
    alone.end_row();
    const uint64_t position = rows_.rows() > 0 ? after_ : commit.end_lsn;
    ready_.push_back({.rows = alone.take(position), .position = position, .truncate = true});
  }
  if (!known && rows_.rows() > 0) {
    ready_.push_back({.rows = rows_.take(commit.end_lsn), .position = commit.end_lsn});
  }
  rows_.clear();
  after_ = std::max(after_, commit.end_lsn);
  return {};
}

Status ChangeStream::on(const Relation& relation) {
  if (relation.schema != table_.schema || relation.name != table_.name) {
    if (relation.oid == table_.oid) {
      return stop("it is called " + std::string(relation.schema) + "." +
                  std::string(relation.name) + " now: open the source with that name");
    }
    return {};
  }
  if (relation.oid != table_.oid) {
    return stop(
        "it is another table of that name than when the source was opened (dropped and "
        "recreated, or moved), so changes may be lost: empty the target, drop the slot "
        "and open the source again for a new snapshot");
  }
  Mapped mapped;
  mapped.oid = relation.oid;
  mapped.width = relation.columns.size();
  mapped.from.resize(table_.columns.size());
  mapped.key.resize(table_.columns.size());
  const bool whole = relation.replica_identity == 'f';
  const bool keyed = std::ranges::any_of(table_.columns, &SourceTable::Column::primary);
  for (size_t i = 0; i < relation.columns.size(); ++i) {
    const Column& column = relation.columns[i];
    const auto ours = std::ranges::find(table_.columns, column.name, &SourceTable::Column::name);
    const std::string name = "column \"" + std::string(column.name) + "\"";
    if (ours == table_.columns.end()) {
      return stop(name +
                  " was added since the source was opened: add it to the target and open the "
                  "source again");
    }
    if (ours->type_oid != column.type_oid) {
      return stop(name +
                  " has another type than when the source was opened: change the target too and "
                  "open the source again");
    }
    const auto at = static_cast<size_t>(ours - table_.columns.begin());
    mapped.from[at] = i;
    mapped.key[at] = whole ? ours->primary || !keyed : column.key;
  }
  // NULL in its place would overwrite the target's values.
  const auto missing =
      std::ranges::find_if(mapped.from, [](const std::optional<size_t>& from) { return !from; });
  if (missing != mapped.from.end()) {
    const auto at = static_cast<size_t>(missing - mapped.from.begin());
    return stop("column \"" + table_.columns[at].name +
                "\" is not sent any more: it was dropped or renamed, or the publication's column "
                "list leaves it out; publish it again, or open the source again to go on without "
                "it");
  }
  mapped_ = std::move(mapped);
  return {};
}

Status ChangeStream::check_width(const Tuple& tuple) const {
  if (tuple.size() == mapped_->width) return {};
  return fail(Errc::kProtocol, "a row of " + table_.full_name() + " has " +
                                   std::to_string(tuple.size()) + " columns, but " +
                                   std::to_string(mapped_->width) + " were described");
}

Status ChangeStream::add(std::string_view operation, const Tuple& row, std::string_view unchanged) {
  if (auto fits = check_width(row); !fits) return fits;
  for (const auto& from : mapped_->from) {
    const TupleValue value = from ? row[*from] : TupleValue{};
    if (value.kind == Kind::kBinary) {
      return fail(Errc::kProtocol, "the replication stream holds a binary value");
    }
    rows_.add(value.kind == Kind::kText ? std::optional(as_text(value.bytes)) : std::nullopt);
  }
  rows_.add(operation);
  rows_.add(lsn_text_);
  rows_.add(time_text_);
  if (!unchanged.empty()) rows_.add(unchanged);
  rows_.end_row();
  if (rows_.bytes() <= transaction_bytes_max_) return {};
  return stop("the transaction that ends at " + lsn_text_ + " holds more than the " +
              std::to_string(transaction_bytes_max_) +
              " bytes that a whole transaction may (half of buffer_bytes): raise buffer_bytes");
}

Status ChangeStream::on(const Insert& insert) {
  if (!is_ours(insert.relation)) return {};
  return add("I", insert.row);
}

/// Values that the update did not change are taken from the old row, if the message has it. Others
/// are noted in unchanged_.
Status ChangeStream::fill_unchanged(const Update& update, Tuple& row) {
  for (size_t at = 0; at < mapped_->from.size(); ++at) {
    if (!mapped_->from[at] || *mapped_->from[at] >= row.size()) continue;
    const size_t i = *mapped_->from[at];
    if (row[i].kind != Kind::kUnchanged) continue;
    const bool sent =
        update.old_kind == OldRow::kWhole || (update.old_kind == OldRow::kKey && mapped_->key[at]);
    if (sent && i < update.old_row.size() && update.old_row[i].kind != Kind::kUnchanged) {
      row[i] = update.old_row[i];
      continue;
    }
    const std::string& name = table_.columns[at].name;
    if (!reports_unchanged_) {
      return stop("an update at " + lsn_text_ + " left a large (TOASTed) value of column \"" +
                  name +
                  "\" alone, and the server does not send it: write whole rows to a changelog (in "
                  "a script by SELECT * without expressions, in a program with "
                  "Source::report_unchanged()); or ALTER TABLE … REPLICA IDENTITY FULL, then "
                  "drop the slot and take a new snapshot into an empty target");
    }
    unchanged_ += (unchanged_.empty() ? "[" : ",") + json_string(name);
  }
  if (!unchanged_.empty()) unchanged_ += "]";
  return {};
}

/// Whether the update changed the key, so that it is another row for a reader that knows rows by
/// key.
bool ChangeStream::moves(const Update& update, const Tuple& row) const {
  if (update.old_kind == OldRow::kNone || update.old_row.size() != row.size()) return false;
  for (size_t i = 0; i < mapped_->from.size(); ++i) {
    if (!mapped_->key[i] || !mapped_->from[i]) continue;
    const TupleValue& before = update.old_row[*mapped_->from[i]];
    const TupleValue& after = row[*mapped_->from[i]];
    if (before.kind != after.kind || as_text(before.bytes) != as_text(after.bytes)) return true;
  }
  return false;
}

Status ChangeStream::on(const Update& update) {
  if (!is_ours(update.relation)) return {};
  if (auto fits = check_width(update.row); !fits) return fits;
  Tuple row = update.row;
  unchanged_.clear();
  if (auto filled = fill_unchanged(update, row); !filled) return filled;
  if (!moves(update, row)) return add("U", row, unchanged_);
  if (auto gone = add("D", update.old_row); !gone) return gone;
  return add("I", row, unchanged_);
}

Status ChangeStream::on(const Delete& gone) {
  if (!is_ours(gone.relation)) return {};
  return add("D", gone.old_row);
}

Status ChangeStream::on(const Truncate& truncate) {
  if (!mapped_ || std::ranges::find(truncate.relations, mapped_->oid) == truncate.relations.end()) {
    return {};
  }
  rows_.clear();  // The truncate removes everything that this transaction did before.
  truncated_ = true;
  return {};
}

}  // namespace pgsink
