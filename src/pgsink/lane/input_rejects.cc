#include "pgsink/lane/input_rejects.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace pgsink {
namespace {

/// How long its answer may take: it waits for locks on the table at most.
constexpr Duration kWriteTimeout = std::chrono::minutes(1);

}  // namespace

InputRejects::InputRejects(Setup setup)
    : setup_(std::move(setup)), monitor_(setup_.env.tasks.monitor()) {}

uint64_t InputRejects::count() const {
  const Monitor::Lock lock(*monitor_);
  return count_;
}

Status InputRejects::check_takes(std::span<const RejectedInput> inputs) const {
  if (inputs.empty() || setup_.dead_letters != nullptr) return {};
  Error error = inputs.front().error;
  error.code = Errc::kRowRejected;
  error.message =
      "record " + std::to_string(inputs.front().number) + " of the input: " + error.message;
  return fail(std::move(error));
}

Status InputRejects::count(std::span<const RejectedInput> inputs, uint64_t rows_accepted) {
  if (inputs.empty()) return {};
  const auto letters = make_letters(inputs, rows_accepted);
  if (!letters) return fail(letters.error());
  return {};
}

Status InputRejects::reject(std::span<const RejectedInput> inputs, uint64_t rows_accepted) {
  if (inputs.empty()) return {};
  if (auto takes = check_takes(inputs); !takes) return takes;
  const auto letters = make_letters(inputs, rows_accepted);
  if (!letters) return fail(letters.error());
  if (auto told = setup_.dead_letters->tell(*letters); !told) return told;
  if (setup_.dead_letters->insert_sql().empty()) return {};
  for (size_t first = 0; first < letters->size();) {
    const size_t count = DeadLetters::inserted_together(std::span(*letters).subspan(first));
    if (auto written = write(std::span(*letters).subspan(first, count)); !written) return written;
    first += count;
  }
  return {};
}

Result<std::vector<DeadLetter>> InputRejects::make_letters(std::span<const RejectedInput> inputs,
                                                           uint64_t rows_accepted) {
  std::vector<DeadLetter> letters;
  for (const RejectedInput& input : inputs) {
    const DeadLetter& letter = letters.emplace_back(
        letter_of(input, setup_.name, setup_.plan.table, setup_.env.clock.wall_us()));
    uint64_t rejected = 0;
    {
      const Monitor::Lock lock(*monitor_);
      rejected = ++count_;
    }
    const auto counted = setup_.dead_letters->count(letter, rows_accepted + rejected);
    if (!counted) return fail(counted.error());
  }
  return letters;
}

Status InputRejects::write(std::span<const DeadLetter> letters) {
  Backoff backoff(setup_.retry, setup_.env.random.next_u64());
  RetryLimit limit(setup_.retry);
  LetterForm form = LetterForm::kUtf8;
  for (uint32_t failures = 1;; ++failures) {
    const Status written = write_once(letters, form);
    if (written) return {};
    const Error& error = written.error();
    if (escape_more(form, error)) continue;
    const bool lost = error.code == Errc::kConnect || error.code == Errc::kConnectionLost ||
                      error.code == Errc::kTimeout;
    const bool again =
        lost ? setup_.retry.rule.allows_reconnect(error) : setup_.retry.rule.allows(error);
    const Status counted = limit.failed(failures, error, setup_.env.clock.now());
    if (!again || !counted) {
      Error last = again ? counted.error() : error;
      last.message =
          "connection \"" + setup_.name + "\": dead letters of malformed input: " + last.message;
      return fail(std::move(last));
    }
    pause(backoff.delay(failures));
  }
}

Status InputRejects::write_once(std::span<const DeadLetter> letters, LetterForm form) {
  std::unique_ptr<Connection> connection;
  {
    const Monitor::Lock lock(*monitor_);
    connection = std::move(connection_);
  }
  if (connection == nullptr) {
    auto opened = Connection::open(setup_.env, setup_.connect, setup_.salted_keys);
    if (!opened) return fail(opened.error());
    connection = std::move(*opened);
  }
  const Deadline deadline = setup_.env.clock.now() + kWriteTimeout;
  const std::optional<std::string> parameter = DeadLetters::table_parameter(letters, form);
  // A self-contained transaction: nothing else is set up on this connection.
  const TransactionSql& texts = setup_.plan.pooled;
  auto done = connection->query(texts.begin + texts.settings, deadline);
  if (done) {
    done = connection->query(setup_.dead_letters->insert_sql(), std::span(&parameter, 1), deadline);
  }
  if (done) done = connection->query(setup_.plan.commit, deadline);
  // After an error the connection is closed, and with it its state.
  if (!done) return fail(done.error());
  const Monitor::Lock lock(*monitor_);
  if (connection_ == nullptr) connection_ = std::move(connection);
  return {};
}

void InputRejects::pause(Duration delay) {
  const Deadline until = setup_.env.clock.now() + delay;
  const auto sleeping = setup_.env.tasks.monitor();
  const Monitor::Lock lock(*sleeping);
  while (sleeping->wait(until)) {
  }
}

}  // namespace pgsink
