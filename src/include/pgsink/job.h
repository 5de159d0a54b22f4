#pragma once
// Job: one atomic write by many processes. A driver opens the job and gets a ticket; parts write
// under the ticket, on any machine, and return tokens; the driver commits the tokens.
//
//   auto job = pgsink::Job::open(options, schema, {.epoch = 20261201, .host = "nightly"});
//   // In tasks, with the text job->ticket():
//   auto part = pgsink::open_part(options, ticket, partition, schema);
//   (*part)->write(std::move(batch));
//   auto token = pgsink::finish_part(**part);
//   // In the driver again, or in another process by Job::resume(options, ticket):
//   (*job)->commit(tokens);  // all rows of these parts become visible at once
//
// Tickets and tokens are short texts without secrets, which may be stored, logged and lost. A task
// may run twice or die: only the parts whose tokens are committed count.

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include <pgsink/options.h>
#include <pgsink/record_batch.h>
#include <pgsink/sink.h>

namespace pgsink {

struct Env;

/// Atomic says how the rows of all parts become visible together.
enum class Atomic : uint8_t {
  kAuto,      ///< kStaging, which needs nothing of the server and shows all rows at one moment.
  kStaging,   ///< Parts write into a staging table; commit() moves the rows in one transaction.
  kTwoPhase,  ///< Each part writes the target in one transaction, which it prepares; commit()
              ///< decides that they are committed, and commits one after the other. For
              ///< WriteMode::kInsert.
  kNone       ///< Parts write into the target, and their rows are visible before commit().
};

/// JobOptions are what distinguishes a job from a sink.
struct JobOptions {
  /// The number of this write. One that is committed already is not written again; 0: the next
  /// number, so that each job writes.
  uint64_t epoch = 0;
  /// The counter of the epochs, such as the id of a query; "": none. If another host has numbered
  /// those before, open() fails, because what it wrote would count as done.
  std::string host{};
  Atomic atomic = Atomic::kAuto;
  /// The table holds the rows of the job and nothing else afterwards. Not with kNone.
  bool replace = false;
};

/// JobReport says what commit() did.
struct JobReport {
  uint64_t epoch = 0;
  uint64_t rows = 0;      ///< Rows of the parts that were committed.
  uint64_t changed = 0;   ///< Rows that the table's statement counted; 0 with kNone.
  uint64_t rejected = 0;  ///< Rows that the parts rejected.
  bool repeated = false;  ///< The epoch was committed before, and nothing was written now.
};

/// Job is the driver's side. One thread at a time. It holds no connection between its calls.
class Job {
 public:
  /// open connects, checks target, options and schema as Sink::open() does, and takes the job's
  /// name (the option sink_id) over: an earlier driver of that name cannot commit any more. It
  /// drops what dead drivers left. `schema` is that of the rows to come. Fails with kCannotResume
  /// if another host numbers the epochs, or if they were written into another table; with
  /// kOptionConflict for options that only a sink has. `env` is for simulations; null means the
  /// operating system's.
  static Result<std::unique_ptr<Job>> open(SinkOptions options,
                                           const std::shared_ptr<const Schema>& schema,
                                           const JobOptions& job = {}, Env* env = nullptr);
  /// resume continues a job in another process. It does not connect. Fails with kUsage if the text
  /// is not a ticket, or one of another table than that of the options.
  static Result<std::unique_ptr<Job>> resume(SinkOptions options, std::string_view ticket,
                                             Env* env = nullptr);
  /// The destructor keeps the job: it can be resumed by its ticket.
  virtual ~Job() = default;

  /// ticket is for open_part() and resume(). Valid as long as the job.
  virtual const std::string& ticket() const = 0;
  /// epoch is the number of this write.
  virtual uint64_t epoch() const = 0;
  /// committed says whether the epoch is known to be committed: then the parts need not write, and
  /// what they are given is dropped.
  virtual bool committed() const = 0;
  /// number gives a job that was opened without a number its epoch and host, for engines that say
  /// them only when a write ends, such as streams of Spark. It does not connect: commit() finds
  /// whether the epoch is committed, and fails with kCannotResume if another host numbers them.
  /// Fails with kUsage if the job has a number, or if `epoch` is 0.
  virtual Status number(uint64_t epoch, std::string host) = 0;
  /// commit makes the rows of these parts visible, all or none. The tokens must be those of all
  /// partitions, one for each: what is missing is not written. Idempotent, also in another process:
  /// a lost answer is looked up. Fails with kFenced if another driver has taken over, with
  /// kUsage for tokens of other jobs or two of one partition, and with kRolledBack if the staged
  /// rows are gone (a crash of the server empties the staging table): then run the job again.
  virtual Result<JobReport> commit(std::span<const std::string> tokens) = 0;
  /// abort drops what the parts have staged. Idempotent. What is in use at that moment stays for
  /// the next open() of that name. With kNone nothing is undone.
  virtual Status abort() = 0;
};

/// open_part opens a sink that writes one partition of a job. `schema` has the columns of
/// Job::open(), in any order; null: exactly those, for a partition without rows. Several sinks of
/// one partition may be open, such as a second attempt of a task: the one counts whose token is
/// committed. Fails as Sink::open(), and as resume().
Result<std::unique_ptr<Sink>> open_part(SinkOptions options, std::string_view ticket,
                                        uint32_t partition, std::shared_ptr<const Schema> schema,
                                        Env* env = nullptr);
/// finish_part closes the sink and returns its token. Fails as Sink::close(), with kOutcomeUnknown
/// if rows may be staged twice, and with kUsage if the sink is not from open_part(). The token
/// stays the same when it is called again.
Result<std::string> finish_part(Sink& part);

}  // namespace pgsink
