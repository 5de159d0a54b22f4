#pragma once
// DeadLetters: where the rejected rows of a sink go, for all its lanes. The table takes them in the
// transaction of the good rows beside them; the file and the callback before that transaction
// commits, so that a row can be in them twice but never nowhere.

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include <pgsink/dead_letter.h>
#include <pgsink/options.h>
#include <pgsink/record_batch.h>

#include "pgsink/client/connection.h"
#include "pgsink/client/env.h"
#include "pgsink/lane/dead_letter_file.h"
#include "pgsink/lane/letter_form.h"

namespace pgsink {

/// cut_text is the beginning of a text that is not too long for a letter.
std::string_view cut_text(std::string_view text);

/// letter_of makes a letter of input that never became a row.
DeadLetter letter_of(const RejectedInput& input, const std::string& connection,
                     const std::string& table, int64_t wall_us);

/// row_as_json renders all columns of a row of the batch.
std::string row_as_json(const RecordBatch& batch, size_t row);

/// ensure_dead_letter_table creates options.dead_letter_table if it is missing and that is wanted,
/// or checks that it has the columns that pgsink fills, as the role that writes. Fails with
/// kControlTable naming those it lacks, or kPrivilege with what to GRANT.
Status ensure_dead_letter_table(const SinkOptions& options, bool may_create, Connection& connection,
                                Deadline deadline);

class DeadLetters {
 public:
  /// Opens the file, if there is to be one. Null if rejected rows have no destination.
  static Result<std::unique_ptr<DeadLetters>> open(const SinkOptions& options, Env& env);

  /// count adds a rejected row. Fails, naming the limit, if there are too many now: max_rejects, or
  /// max_reject_ratio of the rows seen so far. `rows_seen` are those of the input up to the end of
  /// this one's flight.
  Status count(const DeadLetter& letter, uint64_t rows_seen);
  /// forget takes back so many that were counted: their rows are looked at again.
  void forget(size_t letters);
  /// tell hands letters to the file, until they are on disk, and to the callback.
  Status tell(std::span<const DeadLetter> letters);
  /// The statement that inserts letters into the table, "" without one; its parameter is
  /// table_parameter(). In any other form than kUtf8 that is ASCII.
  const std::string& insert_sql() const { return insert_sql_; }
  static std::string table_parameter(std::span<const DeadLetter> letters, LetterForm form);
  /// How many of them, from the first on, one statement takes into the table. REQUIRES: not empty.
  static size_t inserted_together(std::span<const DeadLetter> letters);

 private:
  DeadLetters(const SinkOptions& options, Env& env);

  const int64_t rejects_max_;
  const std::optional<double> ratio_max_;
  const DeadLetterCallback callback_;
  std::string insert_sql_;
  std::unique_ptr<Monitor> monitor_;
  uint64_t seen_ = 0;                     ///< Guarded by monitor_.
  uint64_t rejected_ = 0;                 ///< Guarded by monitor_.
  std::unique_ptr<DeadLetterFile> file_;  ///< Guarded by file_monitor_.
  std::unique_ptr<Monitor> file_monitor_;
};

}  // namespace pgsink
