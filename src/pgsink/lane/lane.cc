#include "pgsink/lane/lane.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <new>
#include <utility>

#include "pgsink/sql/sql.h"

namespace pgsink {
namespace {

using pgproto::as_text;
using pgproto::Event;
using Kind = FlightLog::Action::Kind;

// What is appended before it is handed to the kernel, headers included. From 64 KiB up the cost of
// the call no longer shows; the chunk must stay in L2 while it is written, sent and written again.
// A multiple of 16 KiB, so that TLS makes whole records of it and none of a few bytes.
constexpr size_t kSendBytes = size_t{128} << 10;

uint64_t to_u64(std::string_view text) {
  uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

std::string_view value_text(const pgproto::DataRow& row, size_t column) {
  if (column >= row.values.size() || !row.values[column]) return {};
  return as_text(*row.values[column]);
}

constexpr std::string_view kReadOnlyServer = "25006";

/// A pooler or an address that moved leads to a server that takes no writes: another may.
Error evicted_error() {
  Error error;
  error.code = Errc::kSessionAttributes;
  error.message = "the server takes no writes any more: it is looked for again";
  return error;
}

Error stopped_error() {
  Error error;
  error.code = Errc::kInterrupted;
  error.message = "the sink was aborted";
  return error;
}

}  // namespace

Lane::Lane(Setup setup, RowEncoder encoder, std::optional<ColumnArrays> arrays)
    : setup_(std::move(setup)),
      env_(setup_.env),
      inbox_(setup_.inbox),
      plan_(setup_.plan),
      encoder_(std::move(encoder)),
      arrays_(std::move(arrays)),
      log_(setup_.flights),
      committer_(setup_.committer),
      epochs_(setup_.epochs),
      epoch_(setup_.epoch),
      epoch_base_(setup_.epoch.epoch),
      leaves_seen_(env_.clock.now()),
      metrics_monitor_(env_.tasks.monitor()) {}

Lane::~Lane() {
  if (task_) task_->join();
}

Status Lane::start(PoolLease connection) {
  connection_ = std::move(connection);
  adopt();
  inbox_.started();
  auto task = env_.tasks.spawn("pgsink-lane", [this] { run(); });
  if (!task) {
    inbox_.ended();
    leave_connection();
    return fail(task.error());
  }
  task_ = std::move(*task);
  return {};
}

void Lane::run() {
  try {
    while (turn()) show_failing();
  } catch (const std::bad_alloc&) {
    // What was being read or written is half done: only closing the connection is safe.
    Error error;
    error.code = Errc::kOutOfMemory;
    error.message = "out of memory";
    log_.step(FlightLog::Stopped{std::move(error)}, env_.clock.now());
  }
  if (log_.stop_error()) {
    Error error = *log_.stop_error();
    name_new_writer(error);
    error = explain(std::move(error));
    note_error(error);
    inbox_.stop(error);
  }
  leave_connection();
  flights_.clear();  // Gives the memory of what will not be written back to the host.
  inbox_.ended();
}

void Lane::show_failing() {
  if (failing_shown_ == log_.failing()) return;
  failing_shown_ = log_.failing();
  const Monitor::Lock lock(*metrics_monitor_);
  metrics_.lanes_failing = failing_shown_ ? 1 : 0;
}

bool Lane::turn() {
  take_rows();
  if (news_.aborted) {
    log_.step(FlightLog::Stopped{stopped_error()}, env_.clock.now());
    return false;
  }
  if (connection_) {
    if (const auto answers = handle_answers(); !answers) {
      lost(answers.error());
      return true;
    }
  }
  find_some_leaves();
  const FlightLog::Action action = log_.next(env_.clock.now());
  if (done(action)) return false;
  if (sending_ != 0) {
    const auto sent = send_some();
    if (!sent) {
      lost(sent.error());
    } else if (!*sent) {
      wait(action.until);
    }
    return true;
  }
  perform(action);
  return true;
}

bool Lane::done(const FlightLog::Action& action) const {
  return action.kind == Kind::kFinished || (news_.closing && log_.all_committed());
}

void Lane::perform(const FlightLog::Action& action) {
  switch (action.kind) {
    case Kind::kConnect:
      return connect();
    case Kind::kFence:
      return fence_backend(action.backend);
    case Kind::kAskStatus:
      return ask_status(action.seq, action.xid);
    case Kind::kResolve:
      return resolve(action.seq);
    case Kind::kSend:
      return send(action);
    case Kind::kWait:
    case Kind::kFinished:
      return wait(action.until);
  }
}

void Lane::wait(Deadline deadline) {
  deadline = std::min(deadline, news_.wake_at);
  if (!connection_) return inbox_.wait(setup_.number, deadline);
  const auto moved = connection_->pump(deadline);
  if (!moved && moved.error().code != Errc::kTimeout) lost(moved.error());
}

// ---- rows in -----------------------------------------------------------------------------------

void Lane::take_rows() {
  const auto transaction_rows = static_cast<size_t>(plan_.transaction_rows);
  for (;;) {
    Flight* open = open_flight();
    const size_t rows = transaction_rows - (open != nullptr ? open->rows : 0);
    const size_t bytes = setup_.flight_bytes_max - (open != nullptr ? open->memory_bytes : 0);
    const auto since = open != nullptr ? std::optional(open->opened_at) : std::nullopt;
    news_ = inbox_.take(setup_.number, rows, bytes, since);
    const bool took = !news_.pieces.empty();
    if (took) add_pieces(std::exchange(news_.pieces, {}));
    open = open_flight();
    if (open != nullptr) {
      const auto why = trigger_of(*open);
      open->closed = why.has_value();
      open->trigger = why.value_or(open->trigger);
    }
    // Only a take() that found nothing to do arms the waker.
    if (!took && (open == nullptr || !open->closed)) return;
  }
}

/// What ends the open flight now, if anything.
std::optional<BatchTrigger> Lane::trigger_of(const Flight& open) const {
  if (open.rows >= static_cast<size_t>(plan_.transaction_rows)) return BatchTrigger::kRows;
  if (open.memory_bytes >= setup_.flight_bytes_max) return BatchTrigger::kBytes;
  if (news_.end_transaction) return news_.trigger;
  if (news_.memory_wanted && flights_.size() == 1) return BatchTrigger::kMemory;
  return std::nullopt;
}

Lane::Flight* Lane::open_flight() {
  return flights_.empty() || flights_.back().closed ? nullptr : &flights_.back();
}

void Lane::add_pieces(std::vector<Piece> pieces) {
  Flight* open = open_flight();
  if (open == nullptr) {
    log_.step(FlightLog::Added{}, env_.clock.now());
    open = &flights_.emplace_back();
    open->seq = log_.last_added();
    open->opened_at = news_.oldest;
  }
  for (Piece& piece : pieces) {
    open->rows += piece.rows.count;
    open->memory_bytes += piece.memory_bytes();
    open->last_batch = piece.source->number;
    if (piece.last) {
      open->through_batch = piece.source->number;
      open->through_position = piece.batch().position;
    }
    open->pieces.push_back(std::move(piece));
  }
}

Lane::Flight& Lane::flight(FlightLog::Seq seq) {
  return flights_[static_cast<size_t>(seq - flights_.front().seq)];
}

// ---- sending -----------------------------------------------------------------------------------

void Lane::send(const FlightLog::Action& action) {
  Flight& next = flight(action.seq);
  const Path path = plan_.path(next.memory_bytes);
  // What is said of the whole flight before its first row must wait for its last.
  const bool whole = path == Path::kArrays || plan_.truth == Truth::kEpoch || next.is_salvaged() ||
                     (setup_.partitioner != nullptr && path == Path::kCopy) || routes(path);
  if (whole && !next.closed) return wait(action.until);
  if (wants_leaves(next, path)) {
    if (!wire_.empty()) return wait(action.until);
    look_at_leaves();
  }
  next.attempt = {};
  if (routes(path) && next.attempts == 0) route_to_leaves(next);
  ++next.attempts;
  next.attempt.path = path;
  next.attempt.began = env_.clock.now();
  if (setup_.partitioner != nullptr) {
    next.attempt.partitions_known = setup_.partitioner->generation();
  }
  prepare_connection(action.seq, path);
  if (path == Path::kArrays) {
    if (const Status encoded = encode_arrays(next); !encoded) next.attempt.error = encoded.error();
    next.attempt.series = makes_series(next);
  }
  const auto request =
      next.attempt.series ? open_series(action.seq) : begin_transaction(action.seq, path);
  if (!request) return lost(request.error());
  next.attempt.first_request = *request;
  if (!next.attempt.series) next.attempt.identify_request = *request;
  log_.step(FlightLog::SendBegan{action.seq}, env_.clock.now());
  wire_.push_back(action.seq);
  count_in_flight();
  {
    const Monitor::Lock lock(*metrics_monitor_);
    metrics_.retry_count = log_.retry_count();
    const size_t rows = next.rows - next.salvage.left_out().size();
    if (action.possible_duplicate) metrics_.possible_duplicates += rows;
  }
  if (path == Path::kArrays) return send_arrays(next);
  sending_ = action.seq;
  append_copy(copy_header());
}

/// What a connection needs before its first flight of that kind, each in a transaction of its own.
void Lane::prepare_connection(FlightLog::Seq seq, Path path) {
  pgproto::Session& session = connection_->session();
  if (sql_->guarded && !guard_set_) {
    std::ignore = session.query(sql_text(Sql::kSetFlight, {std::to_string(seq - 1)}));
    guard_set_ = true;
  }
  // Four settings in each transaction would cost as much as a dozen rows.
  if (!sql_->planner.empty() && !planner_set_) {
    std::ignore = session.query(sql_->planner);
    planner_set_ = true;
  }
  // Whatever the role's defaults are: the staging table cannot be made by a read-only transaction.
  if (path != Path::kCopy && !sql_->defaults.empty() && !defaults_set_) {
    std::ignore = session.query(sql_->defaults);
    defaults_set_ = true;
  }
  if (path == Path::kStaged && !sql_->stage.empty() && stage_request_ == 0) {
    stage_request_ = session.query(sql_->stage).value_or(0);
  }
}

/// Everything before the rows.
Result<pgproto::RequestId> Lane::begin_transaction(FlightLog::Seq seq, Path path) {
  std::string sql = sql_->begin;
  if (epochs_ != nullptr) {
    LaneEpoch before = epoch_;
    before.epoch = epoch_base_ + seq - 1;
    const auto guard = epochs_->guard_sql(before, flight(seq).through_position);
    if (!guard) return fail(guard.error());
    sql += *guard + "; ";
  } else {
    sql += sql_->identify;
  }
  sql += sql_->settings;
  if (sql_->guarded) {
    sql += sql_text(Sql::kGuard, {std::to_string(seq - 1), std::to_string(seq)}) + "; ";
  }
  pgproto::Session& session = connection_->session();
  if (path == Path::kArrays) return session.query(sql);
  if (path == Path::kStaged) sql += sql_->stage_local;
  return session.query(sql + plan_.statements.copy, pgproto::Session::Copy::kIn);
}

Result<bool> Lane::send_some() {
  Flight& current = flight(sending_);
  if (log_.stop_error()) {
    abandon_copy(current, *log_.stop_error());
    return true;
  }
  if (connection_->session().copy_refused()) {
    end_copy(current);
    return true;
  }
  const auto encoded = encode_some(current);
  if (!encoded) return fail(encoded.error());
  if (sending_ != 0 && current.closed && !next_rows(current)) {
    end_copy(current);
    return true;
  }
  return *encoded;
}

/// The next rows to send, of one piece: all but those that are left out.
std::optional<RowRange> Lane::next_rows(Flight& current) const {
  Flight::Attempt& attempt = current.attempt;
  for (; attempt.piece < current.pieces.size(); ++attempt.piece, attempt.row = 0) {
    RowRange rows = current.pieces[attempt.piece].rows;
    while (attempt.row < rows.count && current.salvage.is_left_out(attempt.flight_row)) {
      ++attempt.row;
      ++attempt.flight_row;
    }
    if (attempt.row == rows.count) continue;
    const size_t end =
        std::min(current.salvage.limit(), current.salvage.next_left_out(attempt.flight_row));
    if (end <= attempt.flight_row) return std::nullopt;
    rows.begin += attempt.row;
    rows.count = std::min(rows.count - attempt.row, end - attempt.flight_row);
    return rows;
  }
  return std::nullopt;
}

Result<bool> Lane::encode_some(Flight& current) {
  pgproto::Session& session = connection_->session();
  Flight::Attempt& attempt = current.attempt;
  bool worked = false;
  size_t space_wanted = 1;
  while (const auto rows = next_rows(current)) {
    if (auto turned = turn_to_next_leaf(current); !turned) return fail(turned.error());
    const size_t taken = session.output().size() + pgproto::kMessageHeaderBytes;
    const size_t space_left = kSendBytes - std::min(taken, kSendBytes);
    if (space_left < space_wanted && !session.output().empty()) {
      const auto drained = connection_->drain_output(0, kNoDeadline);
      if (!drained) return fail(drained.error());
      return true;  // Look at the answers once a chunk.
    }
    const MutableBytes space = session.copy_space(std::max(space_left, space_wanted));
    const RecordBatch& batch = current.pieces[attempt.piece].batch();
    const RowEncoder::Step step = encoder_.encode(batch, *rows, space, rejected_);
    if (step.bytes > 0) session.copy_commit(step.bytes);
    if (const Status kept = leave_out_rejected(current, *rows); !kept) {
      abandon_copy(current, kept.error());
      return true;
    }
    worked = true;
    // An encoder that stops before the last row has met one that does not fit: what little room is
    // left is not worth another look, nor a CopyData of its own.
    space_wanted = step.rows > 0 ? kSendBytes : step.bytes_needed;
    attempt.encoded_bytes += step.bytes;
    attempt.row += step.rows;
    attempt.flight_row += step.rows;
    if (step.rows == rows->count) space_wanted = 1;
  }
  return worked;
}

void Lane::append_copy(Bytes bytes) {
  pgproto::Session& session = connection_->session();
  std::memcpy(session.copy_space(bytes.size()).data(), bytes.data(), bytes.size());
  session.copy_commit(bytes.size());
}

void Lane::end_copy(Flight& current) {
  pgproto::Session& session = connection_->session();
  const bool refused = session.copy_refused();
  if (!refused) append_copy(copy_trailer());
  session.copy_done();
  sending_ = 0;
  if (current.attempt.path == Path::kStaged && !refused) {
    const auto merging = session.query(plan_.statements.merge);
    if (!merging) return lost(merging.error());
  }
  if (auto asked = refused ? Status() : check_leaves(current); !asked) return lost(asked.error());
  const Status told = refused ? Status() : send_letters(current);
  if (!told) current.attempt.error = told.error();
  end_transaction(current, told ? ending(current) : undoing());
}

void Lane::abandon_copy(Flight& current, Error error) {
  connection_->session().copy_fail("pgsink abandons this batch");
  sending_ = 0;
  current.attempt.error = std::move(error);
  end_transaction(current, undoing());
}

// ---- answers -----------------------------------------------------------------------------------

Status Lane::handle_answers() {
  for (;;) {
    const auto event = connection_->ready_event();
    if (!event) return fail(event.error());
    if (!*event) return {};
    on_answer(**event);
    if (demoted_) return fail(evicted_error());
  }
}

void Lane::on_answer(const Event& event) {
  if (const auto* error = std::get_if<pgproto::ErrorResponse>(&event.message)) {
    if (error->severity_plain == "FATAL" || error->severity_plain == "PANIC") {
      fatal_ = error->to_error();
      return;  // The connection ends; what that means for the flights is the log's to say.
    }
  }
  if (statements_) statements_->observe(event);
  const auto* failed = std::get_if<pgproto::ErrorResponse>(&event.message);
  if (failed != nullptr && stage_request_ != 0 && event.request == stage_request_) {
    stage_error_ = failed->to_error();
  }
  if (wire_.empty()) return;
  Flight& oldest = flight(wire_.front());
  Flight::Attempt& attempt = oldest.attempt;
  const bool of_first = event.request == attempt.identify_request;
  const bool of_commit = attempt.commit_request != 0 && event.request == attempt.commit_request;
  if (event.request < attempt.first_request) return;
  count_statement(oldest, event);

  if (const auto* row = std::get_if<pgproto::DataRow>(&event.message)) {
    if (of_first && !attempt.identified && epochs_ == nullptr) on_row(oldest, *row);
  } else if (failed != nullptr) {
    if (!attempt.error) on_error(oldest, event, *failed);
  } else if (std::holds_alternative<pgproto::CopyInResponse>(event.message)) {
    if (of_first) attempt.started = true;
  } else if (const auto* complete = std::get_if<pgproto::CommandComplete>(&event.message)) {
    constexpr std::string_view kCopyTag = "COPY ";
    if (of_commit) attempt.commit_tag = complete->tag == attempt.done_tag;
    if (attempt.series && event.request == attempt.apply_request) attempt.applied = true;
    if (complete->tag.starts_with(kCopyTag)) {
      attempt.copied_rows += to_u64(complete->tag.substr(kCopyTag.size()));
    }
  } else if (std::holds_alternative<pgproto::ReadyForQuery>(event.message)) {
    if (of_commit) on_ready(oldest);
  }
}

void Lane::on_error(Flight& oldest, const Event& event, const pgproto::ErrorResponse& error) {
  Flight::Attempt& attempt = oldest.attempt;
  attempt.error = error.to_error();
  const bool of_letters =
      attempt.letters_last >= event.request && event.request >= attempt.letters_first;
  if (of_letters) attempt.error->message = "dead_letter_table: " + attempt.error->message;
  // Source: ExecWithCheckOptions() of the server, whose SQLSTATE is that of any privilege.
  const bool by_policy = error.routine == "ExecWithCheckOptions";
  attempt.row_fault = (attempt.started || event.request > attempt.identify_request) &&
                      !of_letters && (is_row_fault(*attempt.error) || by_policy);
  attempt.leaves_changed = attempt.leaves != nullptr && !is_transient(*attempt.error) &&
                           (event.request == attempt.leaf_check || !attempt.row_fault ||
                            error.routine == "ExecPartitionCheckEmitError");
  attempt.no_partition = setup_.partitioner != nullptr && error.routine == "ExecFindPartition";
  // Also when a flight before it failed, which was to prepare the statement.
  attempt.stale_statement =
      (attempt.path == Path::kArrays || of_letters) && statements_ &&
      statements_->stale(attempt.error->sqlstate, error.routine,
                         of_letters ? setup_.dead_letters->insert_sql() : plan_.statements.apply);
}

void Lane::on_row(Flight& oldest, const pgproto::DataRow& row) {
  oldest.attempt.identified = true;
  BackendIdentity backend{.pid = static_cast<int32_t>(to_u64(value_text(row, 1))),
                          .backend_start = std::string(value_text(row, 2))};
  if (!pooled_) backend = connection_->server().backend;
  log_.step(FlightLog::Identified{oldest.seq, to_u64(value_text(row, 0)), std::move(backend)},
            env_.clock.now());
}

void Lane::on_ready(Flight& oldest) {
  const FlightLog::Seq seq = oldest.seq;
  Flight::Attempt& attempt = oldest.attempt;
  const TimePoint now = env_.clock.now();
  wire_.pop_front();
  // Sync commits what went well up to it, and an error of that commit is an answer to it.
  if (attempt.series) attempt.commit_tag = attempt.applied && !attempt.error;
  FlightLog::Answered answered{
      .seq = seq, .error = std::nullopt, .repeat = attempt.stale_statement};
  if (!attempt.commit_tag && !attempt.error && oldest.salvage.searching()) {
    // The trial went well, and was undone.
    if (salvage(oldest, answered.error)) {
      log_.step(FlightLog::SetAside{seq}, now);
      return count_in_flight();
    }
  } else if (!attempt.commit_tag && go_through_parent(oldest)) {
    log_.step(FlightLog::SetAside{seq}, now);
    return count_in_flight();
  } else if (!attempt.commit_tag) {
    answered.error = stage_error_ && attempt.path == Path::kStaged ? stage_error_ : attempt.error;
    if (!answered.error) {
      answered.error.emplace();
      answered.error->code = Errc::kRolledBack;
      answered.error->message =
          std::string(attempt.done_tag) + " was answered by ROLLBACK without any error before";
    }
    // Only its own guard can fail the first of the flights: those behind it fail with it.
    if (seq == log_.committed_prefix() + 1 && Epochs::is_guard_failure(*answered.error)) {
      answered.error->code = Errc::kFenced;
    }
    explain_prepared(*answered.error);
    if (attempt.no_partition) restore_partitions(oldest, answered);
    if (!answered.repeat && salvage(oldest, answered.error)) {
      log_.step(FlightLog::SetAside{seq}, now);
      return count_in_flight();
    }
    // A guard that fails because of the flight before says nothing new.
    if (log_.fails_by_itself(seq)) note_error(*answered.error);
    const Monitor::Lock lock(*metrics_monitor_);
    ++metrics_.failed_writes;
  }
  const auto committed = log_.step(answered, now);
  if (committed) on_committed(*committed);
  count_in_flight();
  demoted_ = answered.error && answered.error->sqlstate == kReadOnlyServer;
}

void Lane::on_committed(FlightLog::Seq seq) {
  Flight& done_flight = flight(seq);
  const Flight::Attempt& attempt = done_flight.attempt;
  {
    const Monitor::Lock lock(*metrics_monitor_);
    // Known by its tag, or, if only the outcome survived the connection, by what was sent.
    const bool told = attempt.commit_tag && attempt.path == Path::kCopy;
    const size_t left_out = done_flight.salvage.left_out().size();
    metrics_.rows_written += told ? attempt.copied_rows : done_flight.rows - left_out;
    metrics_.rejected_rows += left_out;
    metrics_.bytes_written += attempt.encoded_bytes;
    ++metrics_.batches_sent;
    metrics_.batch_rows.observe(static_cast<double>(done_flight.rows));
    metrics_.batch_bytes.observe(static_cast<double>(attempt.encoded_bytes));
    ++metrics_.batches_by_trigger[static_cast<size_t>(done_flight.trigger)];
    metrics_.last_commit_wall_us = env_.clock.wall_us();
    metrics_.write_latency.observe(
        std::chrono::duration<double>(env_.clock.now() - attempt.began).count());
  }
  if (committer_ != nullptr) {
    committer_->prepared(attempt.gid, done_flight.last_batch,
                         done_flight.rows - done_flight.salvage.left_out().size());
  }
  done_flight.committed = true;
  done_flight.closed = true;
  done_flight.pieces.clear();
  while (!flights_.empty() && flights_.front().committed) {
    const Flight& first = flights_.front();
    if (first.through_batch > 0) report_durable(first.through_batch);
    flights_.pop_front();
  }
}

void Lane::report_durable(uint64_t through_batch) {
  if (setup_.confirmer != nullptr) return setup_.confirmer->committed(setup_.number, through_batch);
  inbox_.durable(setup_.number, through_batch);
}

}  // namespace pgsink
