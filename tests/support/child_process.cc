#include "support/child_process.h"

#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdexcept>
#include <sys/wait.h>
#include <unistd.h>

namespace pgsink::test {

RunAs server_user() {
  if (::geteuid() != 0) return {::geteuid(), ::getegid()};
  for (const char* name : {"postgres", "nobody"}) {
    if (const passwd* entry = ::getpwnam(name)) return {entry->pw_uid, entry->pw_gid};
  }
  throw std::runtime_error("we are root, and there is neither a user postgres nor a user nobody");
}

namespace {

// Between fork and exec only what a signal handler may do: other threads' locks are held for ever.
[[noreturn]] void become(char* const* arguments, RunAs user, int input, int output) {
  ::setsid();
  ::dup2(input, 0);
  ::dup2(output, 1);
  ::dup2(output, 2);
  if (::geteuid() == 0 && user.uid != 0) {
    if (::setgroups(0, nullptr) != 0 || ::setgid(user.gid) != 0 || ::setuid(user.uid) != 0) {
      ::_exit(126);
    }
  }
  if (::chdir("/") != 0) ::_exit(126);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::execv(arguments[0], arguments);
  ::_exit(127);
}

pid_t start(const std::vector<std::string>& command, RunAs user, int input, int output) {
  std::vector<char*> arguments;
  for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  const pid_t pid = ::fork();
  if (pid < 0) throw std::runtime_error(std::string("fork: ") + std::strerror(errno));
  if (pid == 0) become(arguments.data(), user, input, output);
  return pid;
}

}  // namespace

pid_t start_process(const std::vector<std::string>& command, RunAs user,
                    const std::string& log_file) {
  const int input = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  const int output = ::open(log_file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (output < 0) throw std::runtime_error("cannot write " + log_file);
  const pid_t pid = start(command, user, input, output);
  ::close(input);
  ::close(output);
  return pid;
}

int wait_process(pid_t pid) {
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR) return -1;
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int run_process(const std::vector<std::string>& command, RunAs user, const std::string& log_file) {
  return wait_process(start_process(command, user, log_file));
}

Janitor::Janitor(const std::string& directory) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("pipe");
  // `read` returns when the last copy of the writing end is gone, however we ended.
  const std::string script =
      "trap '' HUP INT TERM QUIT; read _; "
      "if pid=$(head -n 1 \"$1/data/postmaster.pid\" 2>/dev/null); then "
      "kill -QUIT \"$pid\" 2>/dev/null; n=0; "
      "while kill -0 \"$pid\" 2>/dev/null && [ $n -lt 100 ]; do sleep 0.05; n=$((n+1)); done; "
      "kill -KILL \"$pid\" 2>/dev/null; fi; rm -rf \"$1\"";
  const int output = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  pid_ = start({"/bin/sh", "-c", script, "janitor", directory}, {0, 0}, ends[0], output);
  ::close(output);
  ::close(ends[0]);
  pipe_ = ends[1];
}

Janitor::~Janitor() {
  ::close(pipe_);
  wait_process(pid_);
}

}  // namespace pgsink::test
