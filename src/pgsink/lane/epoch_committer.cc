#include "pgsink/lane/epoch_committer.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace pgsink {
namespace {

// Time that a closing sink gives the server to roll back what is not needed.
constexpr Duration kCloseMax = std::chrono::seconds(5);

std::unexpected<Error> misuse(const std::string& what) { return fail(Errc::kUsage, what); }

std::string text_of(uint64_t epoch) { return "epoch " + std::to_string(epoch); }

}  // namespace

EpochCommitter::EpochCommitter(Setup setup)
    : env_(setup.env),
      where_(std::move(setup.where)),
      inbox_(setup.inbox),
      two_phase_(std::move(setup.two_phase)),
      one_at_a_time_(setup.one_at_a_time),
      monitor_(setup.env.tasks.monitor()),
      waiting_(setup.waiting),
      connection_(env_, two_phase_, std::move(setup.connection), std::move(setup.retry)),
      last_epoch_(setup.epoch) {}

EpochCommitter::Turn::Turn(EpochCommitter& owner) : owner_(owner) {
  const Monitor::Lock lock(*owner_.monitor_);
  while (owner_.busy_) owner_.monitor_->wait(kNoDeadline);
  owner_.busy_ = true;
}

EpochCommitter::Turn::~Turn() {
  const Monitor::Lock lock(*owner_.monitor_);
  owner_.busy_ = false;
  owner_.monitor_->notify_all();
}

void EpochCommitter::prepared(const Flight& flight) {
  const Monitor::Lock lock(*monitor_);
  prepared_.push_back(
      {flight.attempt.gid, flight.last_batch, {flight.rows_kept(), flight.rows_changed()}});
}

EpochCommitter::Counted EpochCommitter::counted() const {
  const Monitor::Lock lock(*monitor_);
  return counted_;
}

Status EpochCommitter::check_ready() const {
  const Monitor::Lock lock(*monitor_);
  if (!waiting_) return {};
  return misuse(text_of(*waiting_) +
                " is prepared and waits for the decision of the host that prepared it: call "
                "recover() before the first write(), or resolve it by hand with `pgsink recover`");
}

bool EpochCommitter::host_decides() const {
  const Monitor::Lock lock(*monitor_);
  return host_ != Host::kNone;
}

bool EpochCommitter::aborted() const {
  const Monitor::Lock lock(*monitor_);
  return host_ == Host::kAborted;
}

// ---- the phases --------------------------------------------------------------------------------

/// Seals what was accepted and waits until the lanes have prepared all of it.
Result<EpochCommitter::Epoch> EpochCommitter::seal_and_wait(uint64_t number) {
  const Inbox::Sealed sealed = inbox_.seal();
  if (auto all = inbox_.wait_prepared(sealed.through_batch); !all) return fail(all.error());
  Epoch epoch{number, sealed.through_batch, {}, sealed.position, {}};
  const Monitor::Lock lock(*monitor_);
  const auto later = std::ranges::partition(
      prepared_, [&](const Prepared& one) { return one.last_batch <= sealed.through_batch; });
  for (auto one = prepared_.begin(); one != later.begin(); ++one) {
    epoch.rows.written += one->rows.written;
    epoch.rows.changed += one->rows.changed;
    epoch.gids.push_back(std::move(one->gid));
  }
  prepared_.erase(prepared_.begin(), later.begin());
  return epoch;
}

/// A transaction that is gone counts as committed once its epoch is decided: so all must be there.
/// If the decision is on disk, so are they, which were written to the same log before it.
Status EpochCommitter::check_present(Connection& connection, const Epoch& epoch,
                                     Deadline deadline) const {
  if (epoch.gids.empty()) return {};
  const auto gone = two_phase_.missing(connection, epoch.gids, deadline);
  if (!gone) return fail(gone.error());
  if (gone->empty()) return {};
  return fail(Errc::kNoPreparedTransaction,
              text_of(epoch.number) + " cannot be committed: of its " +
                  std::to_string(epoch.gids.size()) + " prepared transactions " +
                  std::to_string(gone->size()) +
                  " are gone (a failover or a restore lost them, or somebody resolved them by "
                  "hand), the first is '" +
                  gone->front() + "'; reopen the sink and resume after its last epoch");
}

Status EpochCommitter::decide_and_commit(const Epoch& epoch) {
  bool decided = false;
  return with_connection([&](Connection& connection, Deadline deadline) -> Status {
    if (!decided) {
      // The answer to an earlier attempt may have been lost: then the row knows.
      const auto row = two_phase_.read(connection, deadline);
      if (!row) return fail(row.error());
      decided =
          *row && (*row)->generation == two_phase_.generation() && (*row)->epoch >= epoch.number;
    }
    if (!decided) {
      if (auto there = check_present(connection, epoch, deadline); !there) return there;
      if (auto done =
              two_phase_.decide(connection, epoch.number, epoch.position, epoch.gids, deadline);
          !done) {
        return done;
      }
      decided = true;
    }
    const auto committed = two_phase_.commit_decided(env_, connection, deadline);
    if (!committed) return fail(committed.error());
    return {};
  });
}

void EpochCommitter::count_committed(const Epoch& epoch) {
  {
    const Monitor::Lock lock(*monitor_);
    counted_.written += epoch.rows.written;
    counted_.changed += epoch.rows.changed;
  }
  inbox_.committed(epoch.through_batch);
}

Status EpochCommitter::end_epoch() {
  const Turn turn(*this);
  if (!inbox_.has_unsealed()) return inbox_.flush();
  const auto epoch = seal_and_wait(last_epoch_ + 1);
  if (!epoch) return fail(epoch.error());
  if (auto committed = decide_and_commit(*epoch); !committed) {
    inbox_.stop(committed.error());
    return committed;
  }
  last_epoch_ = epoch->number;
  settled_through_ = epoch->through_batch;
  count_committed(*epoch);
  return {};
}

Status EpochCommitter::finish() {
  const Turn turn(*this);
  return with_connection([&](Connection& connection, Deadline deadline) {
    return two_phase_.finish(connection, deadline);
  });
}

// ---- the host's decisions ----------------------------------------------------------------------

Status EpochCommitter::check_host() const {
  if (aborted()) return misuse("an epoch was aborted: reopen the sink and call recover()");
  if (host_decides()) return {};
  return misuse(
      "prepare(), commit() and abort() are for a host that decides when epochs end: it calls "
      "recover() right after open(), with 0 if it has committed none");
}

Result<TwoPhase::Recovered> EpochCommitter::recover(uint64_t last_committed_epoch) {
  const Turn turn(*this);
  if (host_decides()) return misuse("recover() was called before");
  TwoPhase::Recovered recovered;
  const Status done = with_connection([&](Connection& connection, Deadline deadline) -> Status {
    const auto resolved = two_phase_.recover(env_, connection, last_committed_epoch, deadline);
    if (!resolved) return fail(resolved.error());
    recovered = *resolved;
    return {};
  });
  if (!done) return fail(done.error());
  if (recovered.epoch < last_committed_epoch) {
    return fail(Errc::kOutcomeUnknown,
                "the host knows " + text_of(last_committed_epoch) +
                    " to be committed, but the database is at " + text_of(recovered.epoch) +
                    ", position " + std::to_string(recovered.position.position) +
                    " (a failover, a restore, or another database): go back to that epoch and "
                    "call recover(" +
                    std::to_string(recovered.epoch) + ")");
  }
  if (!inbox_.take_over_epochs(recovered.position)) {
    return misuse("recover() must be called before the first write()");
  }
  last_epoch_ = recovered.epoch;
  const Monitor::Lock lock(*monitor_);
  waiting_.reset();
  host_ = Host::kDecides;
  return recovered;
}

Status EpochCommitter::prepare(uint64_t epoch) {
  const Turn turn(*this);
  if (auto host = check_host(); !host) return host;
  if (epoch <= last_epoch_) {
    return misuse("prepare(" + std::to_string(epoch) + "): " + text_of(last_epoch_) +
                  " was prepared or committed before, and epochs only grow");
  }
  if (one_at_a_time_ && !epochs_.empty() && inbox_.has_unsealed()) {
    return misuse("prepare(" + std::to_string(epoch) + "): commit() " +
                  text_of(epochs_.back().number) +
                  " first: its prepared transactions hold locks, or places of "
                  "max_prepared_transactions, that these rows may need");
  }
  auto sealed = seal_and_wait(epoch);
  if (!sealed) return fail(sealed.error());
  const Status recorded = with_connection([&](Connection& connection, Deadline deadline) -> Status {
    if (auto there = check_present(connection, *sealed, deadline); !there) return there;
    return two_phase_.record(connection, epoch, sealed->position, sealed->gids, deadline);
  });
  if (!recorded) {
    inbox_.stop(recorded.error());
    return recorded;
  }
  last_epoch_ = epoch;
  settled_through_ = sealed->through_batch;
  epochs_.push_back(*std::move(sealed));
  return {};
}

Status EpochCommitter::commit(uint64_t epoch) {
  const Turn turn(*this);
  if (auto host = check_host(); !host) return host;
  const auto found = std::ranges::find(epochs_, epoch, &Epoch::number);
  if (found == epochs_.end()) {
    const uint64_t first = epochs_.empty() ? last_epoch_ + 1 : epochs_.front().number;
    // Committed already: engines repeat a call whose result they do not know.
    if (epoch < first) return {};
    return misuse("commit(" + std::to_string(epoch) + "): it is not prepared");
  }
  // Deciding an epoch decides those before it, which are recorded.
  if (auto committed = decide_and_commit(*found); !committed) {
    inbox_.stop(committed.error());
    return committed;
  }
  const auto end = std::next(found);
  for (auto one = epochs_.begin(); one != end; ++one) count_committed(*one);
  epochs_.erase(epochs_.begin(), end);
  return {};
}

Status EpochCommitter::abort(uint64_t epoch) {
  const Turn turn(*this);
  if (auto host = check_host(); !host) return host;
  const auto found = std::ranges::find(epochs_, epoch, &Epoch::number);
  if (found == epochs_.end()) {
    return misuse("abort(" + std::to_string(epoch) + "): it is " +
                  (epoch > last_epoch_ ? "not prepared" : "committed"));
  }
  // Later rows are rolled back too, so the lanes must not prepare any more.
  {
    const Monitor::Lock lock(*monitor_);
    host_ = Host::kAborted;
  }
  Error why;
  why.code = Errc::kUsage;
  why.message = "the host has aborted " + text_of(epoch) +
                ": reopen the sink and resume after the last committed epoch";
  inbox_.stop(std::move(why));
  if (!inbox_.lanes().wait_none()) {
    return fail(Errc::kInterrupted,
                where_ +
                    ": abort() was interrupted; what it has not rolled back, recover() does "
                    "when the sink is opened again");
  }
  const Status done = with_connection([&](Connection& connection, Deadline deadline) {
    return two_phase_.abort(env_, connection, epoch, deadline);
  });
  if (!done) return done;
  epochs_.erase(found, epochs_.end());
  settled_through_ = inbox_.accepted_batches();
  return {};
}

void EpochCommitter::close() {
  const Turn turn(*this);
  Connection* const connection = connection_.get();
  if (connection != nullptr && settled_through_ < inbox_.accepted_batches()) {
    // No recorded epoch is touched: all of them have smaller numbers.
    const Deadline deadline = env_.clock.now() + kCloseMax;
    std::ignore = two_phase_.abort(env_, *connection, last_epoch_ + 1, deadline);
  }
  connection_.give_back();
}

// ---- the connection ----------------------------------------------------------------------------

Status EpochCommitter::with_connection(const DecidingConnection::Work& work) {
  const Status done = connection_.run(work);
  if (!done) return fail(explain(done.error()));
  return {};
}

Error EpochCommitter::explain(Error cause) const {
  cause.message =
      where_ + ": " + cause.message + ". " + std::to_string(rows_committed()) +
      " rows are committed. When the sink is opened again, each other epoch is committed or "
      "rolled back completely";
  return cause;
}

}  // namespace pgsink
