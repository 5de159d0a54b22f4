#pragma once
// SlotConfirmer delays reports of durable batches until the sink's own replication slot has decoded
// them (option confirm_slot).
//
// The lanes report what they committed. A task asks the server how far its log is on disk, which is
// after those commits, reads the slot up to there, confirms to the server that it has, and only
// then passes the reports on. Reports that come meanwhile share the next round. The slot is read
// only for this: its rows are dropped, and its position moves on with what was read.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pgsink/lane/inbox.h"
#include "pgsink/options/retry.h"
#include "pgsink/replication/replication_session.h"

namespace pgsink {

class SlotConfirmer final : public DurableReports {
 public:
  struct Setup {
    Env& env;
    Inbox& inbox;
    ConnectOptions connect;
    std::string name;  ///< Of the connection, for errors.
    std::string slot, publication;
    RetryPolicy retry{};
  };
  /// REQUIRES: slot and publication exist.
  explicit SlotConfirmer(Setup setup);
  ~SlotConfirmer() override { close(); }

  /// Opens the first session, so that permanent failures are found here, and starts the task. Later
  /// failures that outlast the retries stop the inbox, for example a slot that is gone.
  Status start();
  void durable(size_t lane, uint64_t number) override;
  /// Ends the task; what is not confirmed by then is never reported.
  void close();

 private:
  struct Report {
    size_t lane = 0;
    uint64_t number = 0;
  };

  void run();
  Status connect();
  void drop_connection();
  Status read();
  Status take(const pgproto::BackendMessage& message);
  Status ask_target();
  Status say_status();
  void pass_on();
  bool closing() const;
  Deadline soon() const { return env_.clock.now() + kAskTimeout; }

  Env& env_;
  const Setup setup_;
  const std::unique_ptr<Monitor> monitor_;

  // Guarded by monitor_; only the task changes stream_, and reads it freely.
  std::vector<Report> reports_;
  bool closing_ = false;
  std::unique_ptr<Connection> stream_;

  // Used by the task only.
  std::unique_ptr<Connection> asking_;
  BackendIdentity former_;       ///< The session that streamed last and may still hold the slot.
  std::vector<Report> waiting_;  ///< Reports for what lies before target_.
  pgproto::Lsn target_ = 0;
  pgproto::Lsn seen_ = 0;  ///< The slot has decoded all of the log up to here.
  bool in_transaction_ = false;
  bool progress_ = false;  ///< The server sent something on this connection.
  struct StatusTimes {
    Deadline due = kAtOnce;
    Duration interval{};
  } status_;

  std::unique_ptr<Task> task_;
};

}  // namespace pgsink
