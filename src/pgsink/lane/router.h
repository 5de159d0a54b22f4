#pragma once
// Router: which lane a row takes. Rows of equal keys take the same, so that their order is kept.

#include <optional>
#include <string>
#include <vector>

#include <pgsink/options.h>
#include <pgsink/record_batch.h>

#include "pgsink/client/catalog.h"
#include "pgsink/encode/rows/key_hash.h"
#include "pgsink/lane/unchanged_rows.h"
#include "pgsink/plan/plan.h"

namespace pgsink {

/// Share is the part of a batch for one lane: a range of its rows, or a list of them.
struct Share {
  size_t lane = 0;
  size_t begin = 0, count = 0;
  std::vector<uint32_t> indexes;  ///< Empty: rows [begin, begin + count).
};

class Router {
 public:
  static Result<Router> create(const SinkOptions& options, const CatalogTable& table,
                               const Plan& plan);

  size_t lanes() const { return lanes_; }
  /// Whether a row's lane depends on nothing but the row.
  bool hashes() const { return hash_.has_value() || all_to_one_; }
  /// The rule that assigns rows to lanes, as text: with the same number of lanes, equal rules send
  /// equal rows to the same lane. "" with one lane, or if lanes take turns.
  const std::string& rule() const { return rule_; }
  /// A warning for the operator; "" for none.
  const std::string& warning() const { return warning_; }
  /// route cuts a batch into shares, at least one, in the order of the rows. Where moves() says so,
  /// all lanes must be done with what is before the batch, and it before what is after.
  /// Not thread-safe.
  std::vector<Share> route(const RecordBatch& batch);
  bool moves(const RecordBatch& batch) { return unchanged_ && unchanged_->any_moves(batch); }

 private:
  Router(size_t lanes, size_t run_rows) : lanes_(lanes), run_rows_(run_rows) {}
  /// All rows take one lane: `why` is for the warning.
  void use_one_lane(std::string why);
  /// The key columns whose bytes are equal exactly if the keys are; the warning names the others.
  std::vector<std::string> hashable(const CatalogTable& table,
                                    const std::vector<std::string>& keys);
  /// Rows take the lane of the hash of these columns.
  Status use_hash(const std::vector<EncodeColumn>& hashed, const CatalogTable& table,
                  const Plan& plan);
  std::vector<Share> by_turns(size_t rows);
  std::vector<Share> by_hash(const RecordBatch& batch);

  size_t lanes_ = 1;
  std::string rule_;
  std::optional<KeyHash> hash_;
  /// With it: a batch whose rows move from one key to another takes one lane as a whole.
  std::optional<UnchangedRows> unchanged_;
  bool all_to_one_ = false;  ///< No hash tells which rows may meet.
  std::string warning_;
  std::vector<uint64_t> hashes_;
  size_t run_rows_ = 0;  ///< Rows that one lane gets before it is the next one's turn.
  size_t turn_ = 0, turn_rows_ = 0;
};

}  // namespace pgsink
