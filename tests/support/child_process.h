#pragma once
// Starting and ending the processes of a test: as another user when we are root, and never left
// behind.

#include <string>
#include <sys/types.h>
#include <vector>

namespace pgsink::test {

/// The user under whom PostgreSQL runs: ours, or when that is root, `postgres` or else `nobody`.
struct RunAs {
  uid_t uid;
  gid_t gid;
};
RunAs server_user();

/// Starts a program as that user, in a session of its own, with stdout and stderr appended to
/// `log_file`. Throws std::runtime_error if it cannot.
pid_t start_process(const std::vector<std::string>& command, RunAs user,
                    const std::string& log_file);

/// Runs a program to its end; its exit status (128 + signal if killed).
int run_process(const std::vector<std::string>& command, RunAs user, const std::string& log_file);

/// Waits for a child; its exit status as above.
int wait_process(pid_t pid);

/// Janitor outlives us just long enough: when its creator closes it or dies, it stops the server
/// whose postmaster.pid lies in `directory`/data and removes the directory.
class Janitor {
 public:
  explicit Janitor(const std::string& directory);
  ~Janitor();
  Janitor(const Janitor&) = delete;
  Janitor& operator=(const Janitor&) = delete;

 private:
  pid_t pid_ = -1;
  int pipe_ = -1;
};

}  // namespace pgsink::test
