// Exactly once by streams: each flight moves the rows of its streams, from where its first batch of
// each begins to where its last one ends.

#include <algorithm>
#include <utility>

#include "pgsink/lane/lane_delivery.h"
#include "pgsink/sql/control.h"

namespace pgsink {
namespace {

constexpr Duration kStreamRenewTimeout = std::chrono::seconds(30);

/// FlightMove is the move of one claim.
struct FlightMove {
  StreamClaim* claim = nullptr;
  uint64_t before = 0, after = 0;
};

std::vector<FlightMove> moves_of(const Flight& flight) {
  std::vector<FlightMove> moves;
  for (const Piece& piece : flight.pieces) {
    const Accepted& source = *piece.source;
    const uint64_t after = source.batch.position;
    auto move = std::ranges::find(moves, source.claim.get(), &FlightMove::claim);
    if (move == moves.end()) {
      moves.push_back({source.claim.get(), source.stream_from, after});
      continue;
    }
    // Pieces may be in the order of their partitions.
    move->before = std::min(move->before, source.stream_from);
    move->after = std::max(move->after, after);
  }
  return moves;
}

class ExactlyOnceByStream final : public LaneDelivery {
 public:
  ExactlyOnceByStream(Env& env, std::string commit, const StreamRows& rows, StreamClaims& claims,
                      size_t lane)
      : env_(env), commit_(std::move(commit)), rows_(rows), claims_(claims), lane_(lane) {}

  Status attach(Connection&) override {
    rows_are_final_ = false;
    return {};
  }

  Result<std::string> begin_sql(const Flight& flight, const TransactionSql&) const override {
    std::vector<StreamMove> moves;
    for (const FlightMove& move : moves_of(flight)) {
      moves.push_back({.stream = move.claim->stream,
                       .before = move.before,
                       .after = move.after,
                       .writer = claims_.writer_of(*move.claim)});
    }
    if (moves.empty()) return std::string();  // All of its streams are gone.
    auto guard = rows_.guard_sql(moves);
    if (guard) *guard += "; ";
    return guard;
  }

  Result<std::string> end_sql(Flight& flight) const override {
    flight.attempt.ending = EndingKind::kCommit;
    return commit_;
  }

  /// Only streams that are still ours tell: another writer moves its own on. If none is, the
  /// outcome concerns only those who have them now; the flight counts as committed if all before it
  /// are, so that those that are sent again follow each other.
  Result<bool> is_done(Connection& connection, const Flight& flight,
                       FlightLog::Seq committed_prefix) override {
    if (!rows_are_final_) {
      if (auto renewed = renew(connection); !renewed) return fail(renewed.error());
    }
    for (const FlightMove& move : moves_of(flight)) {
      if (move.claim->is_gone()) continue;
      const auto row = std::ranges::find(final_rows_, move.claim->stream, &StreamRow::stream);
      if (row != final_rows_.end()) return row->position >= move.after;
    }
    return flight.seq == committed_prefix + 1;
  }

  void committed(const Flight& flight) override {
    for (const FlightMove& move : moves_of(flight)) claims_.acknowledge(*move.claim, move.after);
  }

  bool is_gone(const Piece& piece) const override { return piece.source->claim->is_gone(); }
  bool loses_parts() const override { return true; }

  Result<bool> find_lost(const Flight& flight, Connection& connection) override {
    if (auto looked = look(connection); !looked) return fail(looked.error());
    return std::ranges::any_of(flight.pieces, [&](const Piece& piece) { return is_gone(piece); });
  }

  bool is_fenced(const Error& error) const override { return StreamRows::is_guard_failure(error); }

  /// It was not another writer, or find_lost() would have dropped its streams.
  void name_new_writer(Error& error, Connection& connection, FlightLog::Seq) override {
    if (const Status renewed = renew(connection); !renewed) error = renewed.error();
  }

 private:
  /// Finds out which streams other writers have.
  Status look(Connection& connection) {
    const std::vector<StreamRow> held = claims_.rows_of(lane_);
    if (held.empty()) return {};
    const auto now = rows_.read(connection, held, env_.clock.now() + kAskTimeout);
    if (!now) return fail(now.error());
    for (const StreamRow& row : held) {
      const auto found = std::ranges::find(*now, row.stream, &StreamRow::stream);
      if (found != now->end() && StreamRows::same_claim(found->writer, row.writer)) continue;
      const StreamRow* const other = found == now->end() ? nullptr : &*found;
      claims_.lose(row.stream, row.writer, rows_.fenced(row.stream, other));
    }
    return {};
  }

  Status renew(Connection& connection) {
    if (auto looked = look(connection); !looked) return looked;
    const std::vector<StreamRow> held = claims_.rows_of(lane_);
    std::vector<StreamRow> ours;
    if (!held.empty()) {
      auto renewed = rows_.renew(env_, connection, held, env_.clock.now() + kStreamRenewTimeout);
      if (!renewed) return fail(renewed.error());
      ours = std::move(*renewed);
    }
    for (const StreamRow& row : ours) {
      claims_.renewed(row);
      if (auto there = check_acknowledged(row); !there) return there;
    }
    if (ours.size() < held.size()) {  // Claimed by others between the two.
      if (auto looked = look(connection); !looked) return looked;
    }
    final_rows_ = std::move(ours);
    rows_are_final_ = true;
    return {};
  }

  Status check_acknowledged(const StreamRow& row) const {
    const uint64_t acknowledged = claims_.acknowledged(row.stream);
    if (row.position >= acknowledged) return {};
    return fail(Errc::kOutcomeUnknown,
                "the server has lost transactions that were committed (a failover or a restore): "
                "stream \"" +
                    row.stream + "\" is at position " + std::to_string(row.position) + ", and " +
                    std::to_string(acknowledged) +
                    " was acknowledged. Open the sink again, claim its streams, and continue from "
                    "the positions that claim() returns");
  }

  Env& env_;
  const std::string commit_;
  const StreamRows& rows_;
  StreamClaims& claims_;
  const size_t lane_;
  std::vector<StreamRow> final_rows_;  ///< As renewed on this connection, …
  bool rows_are_final_ = false;        ///< … which fences all before.
};

}  // namespace

std::unique_ptr<LaneDelivery> deliver_by_stream(Env& env, std::string commit,
                                                const StreamRows& rows, StreamClaims& claims,
                                                size_t lane) {
  return std::make_unique<ExactlyOnceByStream>(env, std::move(commit), rows, claims, lane);
}

}  // namespace pgsink
