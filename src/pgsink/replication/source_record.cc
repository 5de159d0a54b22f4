#include "pgsink/replication/source_record.h"

#include <algorithm>
#include <utility>

#include <pgproto/pgoutput.h>

namespace pgsink {

Status SourceRecord::load(std::unique_ptr<SourceMemory> memory,
                          std::vector<std::string>& warnings) {
  if (!memory) return {};
  auto state = memory->read();
  if (state) {
    state_ = std::move(*state);
    memory_ = std::move(memory);
    return {};
  }
  Error error = std::move(state.error());
  if (error.code != Errc::kPrivilege && error.code != Errc::kControlTable) return fail(error);
  if (!options_.tables.empty()) {
    error.message += "; with the option tables it says which tables have their snapshot";
    return fail(std::move(error));
  }
  warnings.push_back("connection \"" + options_.connection_name +
                     "\": changes that are lost while pgsink does not run will not be noticed, "
                     "because nothing can be remembered in the target: " +
                     error.message);
  return {};
}

bool SourceRecord::accepts(uint64_t least) const {
  const auto accepted = pgproto::parse_lsn(options_.accept_gap_until);
  return accepted && *accepted >= least;
}

/// `until` is the position to be accepted, `least` the one that is enough.
Status SourceRecord::lost(const std::string& what, uint64_t until, uint64_t least) {
  if (accepts(least)) {
    begins_at_ = *pgproto::parse_lsn(options_.accept_gap_until);
    return {};
  }
  return fail(Errc::kReplication, what + how_to_go_on(true, until));
}

Status SourceRecord::check(const SourceSlots::There& there, const std::string& server,
                           const StateNow& now, uint64_t after) {
  if (!memory_ || state_.seen == 0) return {};
  const uint64_t left_at = std::max(state_.seen, after);
  const std::string slot = "replication_slot \"" + options_.replication_slot + "\"";
  const std::string since = " after " + pgproto::format_lsn(left_at);
  const uint64_t least = std::max(left_at, there.confirmed);
  if (state_.server != server) {
    return lost("the server is not the one that was read before (system identifier " + server +
                    " instead of " + state_.server + "): the changes" + since +
                    " of that one may be lost.",
                std::max(there.log_end, least), there.confirmed);
  }
  if (!there.slot) {
    // An empty target becomes equal by a new snapshot, unless its position is known.
    if (options_.snapshot && !memory_->position_is_known() && memory_->is_empty()) return {};
    return lost(slot + " is gone, and with it the changes" + since + ", which are lost.", left_at,
                left_at);
  }
  if (there.confirmed > left_at) {
    return lost(slot + " is at " + pgproto::format_lsn(there.confirmed) +
                    ", and pgsink left it at " + pgproto::format_lsn(left_at) +
                    ": somebody else recreated, advanced or read it, and the changes between "
                    "these are lost.",
                there.confirmed, least);
  }
  return check_tables(there, now, left_at);
}

Status SourceRecord::check_tables(const SourceSlots::There& there, const StateNow& now,
                                  uint64_t left_at) {
  const uint64_t least = std::max(left_at, there.confirmed);
  std::vector<PublicationState> kept;
  for (const PublicationState& before : publications_from_text(state_.published)) {
    const auto state = now(before);
    if (!state) return fail(state.error());
    if (!*state) continue;
    const std::string change = difference(before, **state, options_.publication);
    if (change.empty()) {
      kept.push_back(before);
      continue;
    }
    const std::string what = "table " + before.schema + "." + before.name +
                             ": while pgsink was not running, " + change + "; changes after " +
                             pgproto::format_lsn(left_at) + " may be lost.";
    const uint64_t until = std::max(there.log_end, least);
    if (options_.tables.empty()) return lost(what, until, least);
    // The changes of the other tables are there, so nothing is skipped.
    const bool dropped = (*state)->name.empty();
    if (!accepts(least) || (!dropped && (*state)->shown != "t")) {
      return fail(Errc::kReplication, what + how_to_go_on(true, until));
    }
    if (!dropped) kept.push_back(**state);
  }
  if (!options_.tables.empty()) state_.published = to_text(kept);
  return {};
}

bool SourceRecord::has_table(uint32_t oid) const {
  if (!memory_ || state_.seen == 0) return false;
  const auto tables = publications_from_text(state_.published);
  return std::ranges::any_of(
      tables, [&](const PublicationState& one) { return one.table_oid == std::to_string(oid); });
}

Status SourceRecord::begin(const std::string& server, std::span<const PublicationState> now,
                           uint64_t position) {
  if (!memory_) return {};
  const uint64_t seen = state_.server == server ? std::max(state_.seen, position) : position;
  const SourceState state{std::max(seen, begins_at_), server, to_text(now)};
  if (auto written = memory_->write(state); !written) return written;
  state_ = state;
  return {};
}

bool SourceRecord::writes(uint64_t position) const {
  return memory_ != nullptr && position > state_.seen;
}

Status SourceRecord::keep(uint64_t position) {
  if (!writes(position)) return {};
  SourceState state = state_;
  state.seen = position;
  if (auto written = memory_->write(state); !written) return written;
  state_ = std::move(state);
  return {};
}

}  // namespace pgsink
