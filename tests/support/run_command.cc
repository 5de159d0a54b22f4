#include "support/run_command.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <stdexcept>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace pgsink::test {
namespace {

using Clock = std::chrono::steady_clock;

void check(bool done, const char* what) {
  if (!done) throw std::runtime_error(std::string(what) + ": " + std::strerror(errno));
}

struct Pipe {
  int read_end = -1, write_end = -1;
  Pipe() {
    std::array<int, 2> ends{};
    check(::pipe2(ends.data(), O_CLOEXEC) == 0, "pipe");
    read_end = ends[0];
    write_end = ends[1];
  }
};

void close_end(int& end) {
  if (end >= 0) ::close(end);
  end = -1;
}

// Only what is safe between fork and exec.
[[noreturn]] void become(char* const* arguments, char* const* environment, const char* directory,
                         int in, int out, int err) {
  ::dup2(in, 0);
  ::dup2(out, 1);
  ::dup2(err, 2);
  // The harness of a background job ignores SIGINT; what it starts should not.
  for (const int number : {SIGINT, SIGTERM, SIGPIPE}) ::signal(number, SIG_DFL);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  if (*directory != '\0' && ::chdir(directory) != 0) ::_exit(126);
  ::execve(arguments[0], arguments, environment);
  ::_exit(127);
}

std::vector<std::string> merged_environment(const RunOptions& options) {
  std::vector<std::string> merged;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    bool replaced = false;
    for (const auto& [name, value] : options.environment) {
      replaced = replaced || text.starts_with(name + "=");
    }
    if (!replaced) merged.push_back(text);
  }
  for (const auto& [name, value] : options.environment) merged.push_back(name + "=" + value);
  return merged;
}

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> list;
  for (const std::string& text : texts) list.push_back(const_cast<char*>(text.c_str()));
  list.push_back(nullptr);
  return list;
}

/// Appends what is there; false at the end of the stream.
bool read_some(int from, std::string& to) {
  std::array<char, 1 << 16> part{};
  const ssize_t bytes = ::read(from, part.data(), part.size());
  if (bytes < 0 && errno == EINTR) return true;
  if (bytes <= 0) return false;  // a terminal whose other side is gone says EIO
  to.append(part.data(), static_cast<size_t>(bytes));
  return true;
}

}  // namespace

Captured run_command(const std::vector<std::string>& command, const RunOptions& options) {
  Pipe in;
  Pipe out;
  Pipe err;
  if (options.terminal_columns >= 0) {
    close_end(err.read_end);
    close_end(err.write_end);
    winsize size{};
    size.ws_row = 24;
    size.ws_col = static_cast<unsigned short>(options.terminal_columns);
    check(::openpty(&err.read_end, &err.write_end, nullptr, nullptr, &size) == 0, "openpty");
  }
  if (options.close_stdout) close_end(out.read_end);
  const auto arguments = pointers(command);
  const auto environment_texts = merged_environment(options);
  const auto environment = pointers(environment_texts);
  const pid_t pid = ::fork();
  check(pid >= 0, "fork");
  if (pid == 0) {
    become(arguments.data(), environment.data(), options.directory.c_str(), in.read_end,
           out.write_end, err.write_end);
  }
  close_end(in.read_end);
  close_end(out.write_end);
  close_end(err.write_end);
  ::signal(SIGPIPE, SIG_IGN);

  Captured captured;
  size_t sent = 0;
  if (options.watch) options.watch(pid, captured.err);
  const auto deadline = Clock::now() + options.time_max;
  while (out.read_end >= 0 || err.read_end >= 0) {
    if (sent == options.input.size()) close_end(in.write_end);
    std::array<pollfd, 3> polled{pollfd{out.read_end, POLLIN, 0}, pollfd{err.read_end, POLLIN, 0},
                                 pollfd{in.write_end, POLLOUT, 0}};
    ::poll(polled.data(), polled.size(), 100);
    if (polled[0].revents != 0 && !read_some(out.read_end, captured.out)) close_end(out.read_end);
    if (polled[1].revents != 0) {
      if (!read_some(err.read_end, captured.err)) close_end(err.read_end);
      if (options.watch) options.watch(pid, captured.err);
    }
    if (polled[2].revents != 0) {
      const ssize_t bytes =
          ::write(in.write_end, options.input.data() + sent, options.input.size() - sent);
      sent = bytes < 0 ? options.input.size() : sent + static_cast<size_t>(bytes);
    }
    if (Clock::now() > deadline) ::kill(pid, SIGKILL);
  }
  close_end(in.write_end);
  int status = 0;
  rusage usage{};
  check(::wait4(pid, &status, 0, &usage) == pid, "wait4");
  captured.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  captured.peak_kilobytes = usage.ru_maxrss;
  return captured;
}

}  // namespace pgsink::test
