#pragma once
// Auditor says whether a sink has kept its promises. It believes what was offered, what the sink
// said to its host, and what stands in the table, and nothing else. The numbers are those of the
// invariants in docs/explanation/architecture.md, "Faults".

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include <pgsink/batch_of.h>

#include <gtest/gtest.h>

#include "support/postgres_server.h"

namespace pgsink::test {

/// What the audited sink is to keep.
enum class Promise : uint8_t { kAtLeastOnce, kLastOfKey, kExactlyOnce, kTwoPhase, kByStreams };

struct AuditedRow {
  int64_t key = 0, seq = 0;
  std::string checksum;
};

class Auditor {
 public:
  static constexpr int64_t kBatchRows = 20;
  static constexpr int64_t kKeys = 37;
  static constexpr int64_t kFactor = 2654435761, kModulus = int64_t{1} << 32;

  Auditor(PostgresServer& server, std::string database, Promise promise)
      : server_(server), database_(std::move(database)), promise_(promise) {}

  /// Batch n, as often as it is asked for. Batch 0 has a schema only.
  RecordBatch offer(uint64_t n) {
    std::vector<AuditedRow> rows;
    for (int64_t i = 1; n > 0 && i <= kBatchRows; ++i) {
      const int64_t seq = static_cast<int64_t>(n - 1) * kBatchRows + i;
      rows.push_back({promise_ == Promise::kLastOfKey ? seq % kKeys : seq, seq,
                      std::to_string(seq) + ":" + std::to_string(seq * kFactor % kModulus)});
    }
    offered_ = std::max(offered_, n);
    RecordBatch made =
        batch_of(std::move(rows), column("key", &AuditedRow::key), column("seq", &AuditedRow::seq),
                 column("checksum", &AuditedRow::checksum));
    made.position = n;
    return made;
  }
  /// The sink has said that all batches up to n are durable.
  void acknowledge(uint64_t n) {
    acknowledged_ = std::max(acknowledged_, n);
    if (n >= replayed_) replays_ = false;
  }
  uint64_t acknowledged() const { return acknowledged_; }
  /// The sink has counted rows that may be there twice, or the host has sent them again.
  void allow_duplicates(uint64_t rows) { duplicates_ += rows; }

  /// The host sends batches again that a former sink was given, up to n.
  void replay(uint64_t n) {
    replayed_ = n;
    replays_ = n > acknowledged_;
  }

  /// What any reader may see at any moment; while the server is away it sees nothing.
  void look() {
    SqlRows rows;
    try {
      rows = query_libpq(server_.conninfo(database_), promise_ == Promise::kLastOfKey
                                                          ? "SELECT key, seq FROM t"
                                                          : "SELECT 0, count(*) FROM t");
    } catch (const std::runtime_error&) {
      return;
    }
    // Until a replay has come to where the last sink was, older rows come again.
    if (replays_) seen_.clear();
    for (const SqlRow& row : rows) {
      const int64_t seq = std::stoll(*row[1]);
      if (promise_ != Promise::kLastOfKey) {
        EXPECT_EQ(seq % kBatchRows, 0) << "I5: a part of a transaction is seen";
      } else if (!replays_) {
        int64_t& before = seen_[std::stoll(*row[0])];
        if (seq < before && older_over_newer_.empty()) {
          older_over_newer_ = "key " + *row[0] + ": row " + std::to_string(seq) + " over row " +
                              std::to_string(before);
        }
        before = seq;
      }
    }
  }

  /// What must hold once everything is acknowledged and the sink is closed.
  void check_end() {
    const auto rows = static_cast<int64_t>(acknowledged_) * kBatchRows;
    EXPECT_EQ(scalar("SELECT count(*) FROM t WHERE checksum IS DISTINCT FROM seq || ':' || seq * " +
                     std::to_string(kFactor) + " % " + std::to_string(kModulus) + " OR seq > " +
                     std::to_string(static_cast<int64_t>(offered_) * kBatchRows)),
              "0")
        << "I2: rows that nobody has offered";
    if (promise_ == Promise::kLastOfKey) {
      // Transactions of unknown outcome are sent again one after the other: until the last of them
      // is there, a reader sees the rows of the first.
      EXPECT_TRUE(older_over_newer_.empty() || duplicates_ > 0)
          << "I4: an older row over a newer one, " << older_over_newer_;
      EXPECT_EQ(scalar("SELECT count(*) || ' ' || sum(seq) FROM t"), last_of_keys(rows))
          << "I1, I3: not what the rows one by one would have left";
    } else {
      EXPECT_EQ(scalar("SELECT count(DISTINCT seq) FROM t WHERE seq <= " + std::to_string(rows)),
                std::to_string(rows))
          << "I1: acknowledged rows are missing";
      const auto twice = std::stoull(scalar("SELECT count(*) - count(DISTINCT seq) FROM t"));
      EXPECT_LE(twice, promise_ == Promise::kAtLeastOnce ? duplicates_ : 0)
          << "I3: rows are there twice";
    }
    EXPECT_EQ(scalar("SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database()"),
              "0")
        << "I8: prepared transactions are left";
    EXPECT_EQ(wait_for("SELECT count(*) FROM pg_stat_activity WHERE usename = 'writer'", "0"), "0")
        << "I8: sessions are left";
    EXPECT_EQ(wait_for("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'", "0"), "0")
        << "I8: advisory locks are left";
  }

 private:
  std::string scalar(const std::string& text) { return server_.scalar(text, database_); }
  /// The server notices a moment later that a client has hung up.
  std::string wait_for(const std::string& text, const std::string& value) {
    std::string found;
    for (int i = 0; i < 500; ++i) {
      found = scalar(text);
      if (found == value) break;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return found;
  }
  static std::string last_of_keys(int64_t rows) {
    int64_t sum = 0;
    for (int64_t seq = rows; seq > rows - kKeys; --seq) sum += seq;
    return std::to_string(kKeys) + " " + std::to_string(sum);
  }

  PostgresServer& server_;
  std::string database_;
  Promise promise_;
  uint64_t offered_ = 0, acknowledged_ = 0, duplicates_ = 0, replayed_ = 0;
  std::atomic<bool> replays_ = false;
  std::map<int64_t, int64_t> seen_;
  std::string older_over_newer_;  ///< The first one that look() saw.
};

}  // namespace pgsink::test
