// classify_failure() row by row, and the sentences that a lane says about failures.

#include "pgsink/lane/failure.h"

#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "pgsink/lane/lane_messages.h"

namespace pgsink {
namespace {

using Kind = FailureKind;
using Part = AttemptPart;

Error server_error(std::string_view sqlstate) {
  Error error;
  error.code = pgproto::Errc::kServer;
  error.sqlstate = pgproto::Sqlstate(sqlstate);
  error.message = "what the server said";
  return error;
}

struct Row {
  std::string_view name;
  Kind expected = Kind::kOther;
  std::string_view sqlstate;
  std::string_view routine;
  Part part = Part::kRows;
  bool into_leaves = false;
  bool creates_partitions = false;
  bool stale_statement = false;
};

const std::vector<Row>& rows() {
  static const std::vector<Row> kRows{
      // Rows are to blame for what the server says about data and constraints …
      {"data", Kind::kRow, "22003", "int4_mul"},
      {"constraint", Kind::kRow, "23505", "_bt_check_unique"},
      {"check option of a view", Kind::kRow, "44000", "ExecWithCheckOptions"},
      {"trigger", Kind::kRow, "P0001", "exec_stmt_raise"},
      {"row too large", Kind::kRow, "54000", "index_form_tuple"},
      {"policy", Kind::kRow, "42501", "ExecWithCheckOptions"},
      {"a SQLSTATE of its own", Kind::kRow, "45000", "exec_stmt_raise"},
      {"no data found", Kind::kRow, "P0002", "exec_stmt_execsql"},
      // … once the server has rows of this flight to complain about.
      {"before the rows", Kind::kOther, "22003", "int4div", Part::kBegin},
      {"policy before the rows", Kind::kOther, "42501", "ExecWithCheckOptions", Part::kBegin},
      {"of a dead letter", Kind::kOther, "23505", "_bt_check_unique", Part::kDeadLetters},
      // Nothing that another attempt could mend by leaving a row out:
      {"privilege", Kind::kOther, "42501", "aclcheck_error"},
      {"no such table", Kind::kOther, "42P01", "parserOpenTable"},
      {"deadlock", Kind::kOther, "40P01", "DeadLockReport"},
      {"disk full", Kind::kOther, "53100", "mdextend"},

      // Straight into partitions, whatever will not pass by itself sends the flight to the parent …
      {"leaf: check fails", Kind::kLeavesChanged, "22012", "int4div", Part::kLeafCheck, true},
      {"leaf: dropped", Kind::kLeavesChanged, "42P01", "parserOpenTable", Part::kRows, true},
      {"leaf: before the rows", Kind::kLeavesChanged, "42501", "aclcheck_error", Part::kBegin,
       true},
      {"leaf: bounds changed", Kind::kLeavesChanged, "23514", "ExecPartitionCheckEmitError",
       Part::kRows, true},
      {"leaf: dead letters", Kind::kLeavesChanged, "42P01", "parserOpenTable", Part::kDeadLetters,
       true},
      // … and says that the partitions are others, unless a row is to blame, or it passes.
      {"leaf: a row's fault", Kind::kRow, "23505", "_bt_check_unique", Part::kRows, true},
      {"leaf: passes", Kind::kOther, "40P01", "DeadLockReport", Part::kRows, true},
      {"leaf: check passes", Kind::kOther, "55P03", "LockAcquire", Part::kLeafCheck, true},
      {"parent: bounds of a partition", Kind::kRow, "23514", "ExecPartitionCheckEmitError"},

      // The proof that the table is what the rows are encoded for blames no row, nor partitions.
      {"shape", Kind::kShapeChanged, "22012", "int4div", Part::kShapeProof},
      {"shape of leaves", Kind::kShapeChanged, "22012", "int4div", Part::kShapeProof, true},
      {"shape passes", Kind::kOther, "40001", "heap_update", Part::kShapeProof},
      {"stale proof", Kind::kStaleStatement, "26000", "FetchPreparedStatement", Part::kShapeProof,
       true, false, true},

      // A partition that is missing may be created, if the sink does that.
      {"no partition", Kind::kNoPartition, "23514", "ExecFindPartition", Part::kRows, false, true},
      {"no partition, none created", Kind::kRow, "23514", "ExecFindPartition"},
      {"no partition of a leaf", Kind::kNoPartition, "23514", "ExecFindPartition", Part::kRows,
       true, true},
      {"no partition for a dead letter", Kind::kOther, "23514", "ExecFindPartition",
       Part::kDeadLetters, false, true},

      // A statement that was gone ran nothing.
      {"stale", Kind::kStaleStatement, "26000", "FetchPreparedStatement", Part::kRows, false, false,
       true},
      {"stale before the rows", Kind::kStaleStatement, "0A000", "RevalidateCachedQuery",
       Part::kBegin, false, false, true},
      {"stale insert of dead letters", Kind::kStaleStatement, "0A000", "RevalidateCachedQuery",
       Part::kDeadLetters, false, false, true},
      {"stale insert beside partitions", Kind::kLeavesChanged, "26000", "FetchPreparedStatement",
       Part::kDeadLetters, true, false, true},
  };
  return kRows;
}

TEST(Failure, Table) {
  for (const Row& row : rows()) {
    const Error error = server_error(row.sqlstate);
    EXPECT_EQ(classify_failure({.error = error,
                                .routine = row.routine,
                                .part = row.part,
                                .into_leaves = row.into_leaves,
                                .creates_partitions = row.creates_partitions,
                                .stale_statement = row.stale_statement}),
              row.expected)
        << row.name;
  }
}

/// Only what a server says can be a row's fault: not what the client says of it.
TEST(Failure, OfTheClientIsNoRows) {
  Error error = server_error("22003");
  error.code = pgproto::Errc::kRowRejected;
  EXPECT_EQ(classify_failure({.error = error, .routine = "", .part = Part::kRows}), Kind::kOther);
}

TEST(Failure, IsDescribed) {
  Failure failure{.error = server_error("23505")};
  EXPECT_EQ(describe_failure(failure, "").message, "what the server said");
  EXPECT_EQ(describe_failure(failure, "raise it").message, "what the server said: raise it");
  failure.input_row = 7;
  EXPECT_EQ(describe_failure(failure, "raise it").message,
            "what the server said: raise it (input row 7)");
  failure.part = Part::kDeadLetters;
  EXPECT_EQ(describe_failure(failure, "").message,
            "dead_letter_table: what the server said (input row 7)");
  EXPECT_EQ(describe_failure(failure, "").sqlstate, "23505");
  Error error = describe_failure(failure, "");
  suggest_dead_letters(error);
  EXPECT_TRUE(error.message.ends_with(
      "; correct the row, or set dead_letter_table to store such rows and write the others"));
}

TEST(Failure, StopIsDescribed) {
  using Rest = StopReport::Rest;
  StopReport report{.connection = "c", .table = "s.t", .rows_committed = 20};
  const auto text = [&] { return describe_stop(server_error("23505"), report).message; };
  report.rows_accepted = 20;
  EXPECT_EQ(text(), "connection \"c\", table s.t: what the server said. 20 rows are committed");
  report.rows_accepted = 30;
  EXPECT_EQ(text(),
            "connection \"c\", table s.t: what the server said. 20 rows are committed; rows "
            "accepted after them were not written");
  report.failed = {.rows = 10, .first = 21, .last = 30};
  EXPECT_EQ(text(),
            "connection \"c\", table s.t: what the server said. 20 rows are committed; rows 21 to "
            "30 were one transaction and were rolled back");
  report.rows_accepted = 31;
  EXPECT_EQ(text(),
            "connection \"c\", table s.t: what the server said. 20 rows are committed; rows 21 to "
            "30 were one transaction and were rolled back; rows accepted after row 30 were not "
            "written");
  report.failed->last = 40;
  report.flights_unknown = 2;
  report.rest = Rest::kPart;
  report.from_row = 21;
  EXPECT_EQ(
      text(),
      "connection \"c\", table s.t: what the server said. 20 rows are committed; 10 of rows 21 to "
      "40 were one transaction and were rolled back; of 2 transactions the outcome is unknown: "
      "they may have committed; of the rows accepted from row 21 on, only some were written");
  report.failed.reset();
  report.flights_unknown = 0;
  report.rest = Rest::kNoneFromRow;
  EXPECT_EQ(text(),
            "connection \"c\", table s.t: what the server said. 20 rows are committed; rows "
            "accepted from row 21 on were not written");
}

}  // namespace
}  // namespace pgsink
