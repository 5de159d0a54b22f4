#pragma once
// InputRejects: dead letters of input that never became rows. They are not part of any flight: a
// separate connection, opened on first use, writes them into the table.

#include <memory>
#include <span>
#include <vector>

#include "pgsink/client/connection.h"
#include "pgsink/client/env.h"
#include "pgsink/lane/dead_letters.h"
#include "pgsink/options/retry.h"
#include "pgsink/plan/plan.h"

namespace pgsink {

class InputRejects {
 public:
  struct Setup {
    Env& env;
    const ConnectOptions& connect;
    pgproto::SaltedKeyCache* salted_keys = nullptr;
    const Plan& plan;
    std::string name;                     ///< Name of the connection, for dead letters and
                                          ///< messages.
    DeadLetters* dead_letters = nullptr;  ///< Null: they have nowhere to go.
    RetryPolicy retry;
  };
  explicit InputRejects(Setup setup);

  /// As Sink::reject(). `rows_accepted` are the rows of the input that were good so far.
  Status reject(std::span<const RejectedInput> inputs, uint64_t rows_accepted);
  /// For input that a flight carries: fails if it has nowhere to go.
  Status check_takes(std::span<const RejectedInput> inputs) const;
  /// The same: counts it. Fails if there is too much now.
  Status count(std::span<const RejectedInput> inputs, uint64_t rows_accepted);
  /// How many there were.
  uint64_t count() const;

 private:
  Result<std::vector<DeadLetter>> make_letters(std::span<const RejectedInput> inputs,
                                               uint64_t rows_accepted);
  Status write(std::span<const DeadLetter> letters);
  Status write_once(std::span<const DeadLetter> letters, LetterForm form);
  void pause(Duration delay);

  const Setup setup_;
  std::unique_ptr<Monitor> monitor_;
  uint64_t count_ = 0;                      ///< Guarded by monitor_.
  std::unique_ptr<Connection> connection_;  ///< Guarded by monitor_; null while one writes.
};

}  // namespace pgsink
