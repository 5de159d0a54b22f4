#include "pgsink/sink/job_commit.h"

#include <charconv>
#include <map>
#include <tuple>
#include <utility>

#include "pgsink/sql/control.h"
#include "pgsink/sql/sql.h"

namespace pgsink {
namespace {

/// The number in a command's tag: "INSERT 0 5" is 5.
uint64_t rows_of_tag(std::string_view tag) {
  uint64_t rows = 0;
  const size_t last = tag.rfind(' ');
  if (last != std::string_view::npos) {
    std::from_chars(tag.data() + last + 1, tag.data() + tag.size(), rows);
  }
  return rows;
}

Result<QueryResult> query(Connection& connection, const std::string& text) {
  return connection.query(text, kNoDeadline);
}

}  // namespace

Result<Winners> read_tokens(std::span<const std::string> texts, const JobTicket& ticket) {
  Winners winners;
  std::map<uint32_t, int64_t> parts;
  for (const std::string& text : texts) {
    const auto token = read_token(text);
    if (!token) return fail(token.error());
    const std::string partition = std::to_string(token->partition);
    if (token->writer != ticket.writer) {
      return fail(Errc::kUsage, "commit(): the token of partition " + partition +
                                    " is one of another job: pass those that parts of this ticket "
                                    "returned");
    }
    const auto [known, added] = parts.emplace(token->partition, token->part);
    if (!added && known->second == token->part) continue;
    if (!added) {
      return fail(Errc::kUsage, "commit(): two parts of partition " + partition +
                                    ": pass the token of one of its attempts");
    }
    if (winners.parts.size() > 1) winners.parts += ",";
    winners.parts += std::to_string(token->part);
    if (!token->gid.empty()) winners.gids.push_back(token->gid);
    winners.rows += token->rows;
    winners.rejected += token->rejected;
  }
  winners.parts += "}";
  return winners;
}

Result<JobReport> JobCommit::run(Connection& connection, const JobPlan* plan) {
  auto done = attempt(connection, plan);
  if (!done && !connection.broken()) {
    std::ignore = connection.query(sql_text(Sql::kAbandon), kNoDeadline);
  }
  return done;
}

Result<JobReport> JobCommit::attempt(Connection& connection, const JobPlan* plan) {
  JobReport report{.epoch = ticket_.epoch, .rows = winners_.rows, .rejected = winners_.rejected};
  // The first transaction that has this row decides: it is locked until the end.
  const auto locked = query(connection, sql_text(Sql::kBegin, {"READ COMMITTED"}) + "; " +
                                            sql_text(Sql::kDurable) + "; " + rows_.lock_sql());
  if (!locked) return fail(locked.error());
  const auto before = check_row(JobRows::parse(*locked));
  if (!before) return fail(before.error());
  if (*before) {
    report.repeated = true;
    const auto left = query(connection, sql_text(Sql::kAbandon));
    return left ? Result<JobReport>(report) : fail(left.error());
  }
  if (auto there = check_prepared(connection); !there) return fail(there.error());
  const auto decide = rows_.decide_sql(ticket_.epoch, ticket_.host, ticket_.writer, winners_.gids);
  if (!decide) return fail(decide.error());
  const auto decided = query(connection, *decide);
  if (!decided) return fail(decided.error());
  if (plan != nullptr) {
    const auto changed = move(connection, *plan);
    if (!changed) return fail(changed.error());
    report.changed = *changed;
  }
  const auto committed = query(connection, sql_text(Sql::kCommit));
  if (!committed) return fail(committed.error());
  if (committed->tag == "COMMIT") return report;
  return fail(Errc::kRolledBack, "the server answered COMMIT with " + committed->tag);
}

/// Whether the epoch is committed already.
Result<bool> JobCommit::check_row(const std::optional<JobRow>& row) const {
  const std::string job = "job \"" + ticket_.sink_id + "\"";
  if (!row) {
    return fail(Errc::kFenced, job + " has no row in " + rows_.table() +
                                   ": it was deleted, and with it what is committed");
  }
  if (row->decided_by == ticket_.writer) return true;
  if (auto known = rows_.check_host(*row, ticket_.host); !known) return fail(known.error());
  const bool owns = row->writer == ticket_.writer;
  // The host gives a number to one input only: who wrote it does not matter.
  if (row->epoch >= ticket_.epoch && ticket_.numbered) return true;
  if (owns) return false;
  if (row->epoch > ticket_.epoch) {
    return fail(Errc::kOutcomeUnknown,
                job + " was continued by " + row->writer_name + ", up to epoch " +
                    std::to_string(row->epoch) + ": whether this driver's epoch " +
                    std::to_string(ticket_.epoch) +
                    " was committed before is not known. Run one driver at a time, and give "
                    "epochs numbers of your own");
  }
  if (row->writer.empty()) return fail(aborted());
  return fail(Errc::kFenced, job + " was taken over by " + row->writer_name +
                                 ": nothing of this driver's epoch " +
                                 std::to_string(ticket_.epoch) +
                                 " is written. Run only one of the two, or give each its own "
                                 "sink_id");
}

/// What is gone before the decision was never committed: somebody rolled it back.
Status JobCommit::check_prepared(Connection& connection) const {
  if (winners_.gids.empty()) return {};
  const auto gids = sql_array(winners_.gids);
  if (!gids) return fail(gids.error());
  const auto there = query(connection, sql_text(Sql::kPartsPrepared, {*gids}));
  if (!there) return fail(there.error());
  const uint64_t found = parse_number(there->scalar());
  if (found == winners_.gids.size()) return {};
  return fail(Errc::kRolledBack,
              "the parts of job \"" + ticket_.sink_id + "\" have prepared " +
                  std::to_string(winners_.gids.size()) + " transactions, and " +
                  std::to_string(found) +
                  " are there: the server has failed over to a standby that lacks them, or "
                  "somebody has rolled them back. Nothing of epoch " +
                  std::to_string(ticket_.epoch) + " is written: run the job again");
}

Result<uint64_t> JobCommit::move(Connection& connection, const JobPlan& plan) {
  const JobStatements& statements = plan.statements;
  const auto stage = rows_.quoted_stage(ticket_.stage);
  if (!stage) return fail(stage.error());
  // As long as this transaction holds the staging table, nobody drops it.
  const auto staged = query(
      connection,
      plan.settings + sql_text(Sql::kJobCount, {*stage, statements.quoted_part, winners_.parts}));
  if (!staged && staged.error().sqlstate == "42P01") return fail(aborted());
  if (!staged) return fail(staged.error());
  const uint64_t found = parse_number(staged->scalar());
  if (found != winners_.rows) return fail(lost(found));
  if (ticket_.replace) {
    const auto emptied = query(
        connection, sql_text(Sql::kEmpty, {statements.quoted_target, statements.quoted_target}));
    if (!emptied) return fail(emptied.error());
  }
  const std::string rows =
      sql_text(Sql::kJobRows, {*stage, statements.quoted_part, winners_.parts});
  if (!statements.missing.empty()) {
    const auto deleted = query(connection, rows + statements.missing);
    if (!deleted) return fail(deleted.error());
  }
  const auto moved = query(connection, rows + statements.merge);
  if (!moved) return fail(moved.error());
  return rows_of_tag(moved->tag);
}

Error JobCommit::aborted() const {
  return fail(Errc::kRolledBack, "job \"" + ticket_.sink_id +
                                     "\" was aborted, and what its parts wrote is gone. Nothing "
                                     "of epoch " +
                                     std::to_string(ticket_.epoch) +
                                     " is written: run the job again")
      .error();
}
Error JobCommit::lost(uint64_t found) const {
  return fail(Errc::kRolledBack,
              "the parts of job \"" + ticket_.sink_id + "\" have staged " +
                  std::to_string(winners_.rows) + " rows, and " + std::to_string(found) +
                  " are there: the server has crashed or failed over since, which empties a "
                  "staging table. Nothing of epoch " +
                  std::to_string(ticket_.epoch) + " is written: run the job again")
      .error();
}

}  // namespace pgsink
