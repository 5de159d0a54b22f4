#include "pgsink/lane/failure.h"

#include "pgsink/delivery/salvage.h"
#include "pgsink/options/retry.h"

namespace pgsink {

FailureKind classify_failure(const ServerFailure& failure) {
  // Sources: the server's execMain.c and execPartition.c.
  const bool by_policy = failure.routine == "ExecWithCheckOptions";  // A privilege's SQLSTATE.
  const bool not_in_its_partition = failure.routine == "ExecPartitionCheckEmitError";
  const bool in_no_partition = failure.routine == "ExecFindPartition";

  if (failure.part == AttemptPart::kShapeProof) {
    if (failure.stale_statement) return FailureKind::kStaleStatement;
    return is_transient(failure.error) ? FailureKind::kOther : FailureKind::kShapeChanged;
  }
  const bool about_rows =
      failure.part == AttemptPart::kRows || failure.part == AttemptPart::kLeafCheck;
  const bool of_row =
      about_rows && (may_be_row_fault(failure.error, failure.reads_text) || by_policy);
  if (failure.into_leaves && !is_transient(failure.error) &&
      (failure.part == AttemptPart::kLeafCheck || !of_row || not_in_its_partition)) {
    return FailureKind::kLeavesChanged;
  }
  if (failure.creates_partitions && of_row && in_no_partition) return FailureKind::kNoPartition;
  if (failure.stale_statement) return FailureKind::kStaleStatement;
  return of_row ? FailureKind::kRow : FailureKind::kOther;
}

}  // namespace pgsink
