#include "pgsink/client/os_command.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <fcntl.h>
#include <optional>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pgsink/client/os_file_descriptor.h"

namespace pgsink {
namespace {

constexpr size_t kLineBytesMax = size_t{64} << 10;  // Tokens are a few kilobytes.
constexpr int kWaitMs = 10;

std::unexpected<Error> fail_by_system(const char* what, int error) {
  return fail(Errc::kFile, std::string(what) + ": " + describe_errno(error));
}

/// Starts it with its own group of processes, so that what it starts ends with it, and without the
/// signals that this thread blocks.
Result<pid_t> start_shell(const std::string& command, int output) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
  sigset_t none;
  sigset_t defaults;
  sigemptyset(&none);
  sigemptyset(&defaults);
  sigaddset(&defaults, SIGPIPE);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &defaults);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
  std::string shell = "sh";
  std::string flag = "-c";
  std::string text = command;
  std::array<char*, 4> arguments{shell.data(), flag.data(), text.data(), nullptr};
  pid_t child = -1;
  const int failed =
      ::posix_spawn(&child, "/bin/sh", &actions, &attributes, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (failed != 0) return fail_by_system("/bin/sh", failed);
  return child;
}

/// What it writes, up to the end. False if the deadline passed.
bool read_output(int from, std::string& text, Deadline deadline) {
  std::array<char, 4096> block{};
  for (;;) {
    const auto now = std::chrono::steady_clock::now();
    if (now >= deadline) return false;
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - now).count();
    pollfd polled{from, POLLIN, 0};
    const int ready = ::poll(&polled, 1, static_cast<int>(std::clamp<int64_t>(left, 1, 60'000)));
    if (ready < 0 && errno != EINTR) return false;
    if (ready <= 0) continue;
    const ssize_t got = ::read(from, block.data(), block.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return true;
    const size_t kept = std::min(static_cast<size_t>(got), kLineBytesMax - text.size());
    text.append(block.data(), kept);
  }
}

/// Its status; nullopt if the deadline passed, 0 if the host waits for all children itself.
std::optional<int> wait_for_end(pid_t child, Deadline deadline) {
  for (;;) {
    int status = 0;
    const pid_t ended = ::waitpid(child, &status, WNOHANG);
    if (ended == child) return status;
    if (ended < 0 && errno != EINTR) return 0;
    if (std::chrono::steady_clock::now() >= deadline) return std::nullopt;
    ::poll(nullptr, 0, kWaitMs);
  }
}

}  // namespace

Result<std::string> run_for_line(const std::string& command, Duration longest) {
  const Deadline deadline = std::chrono::steady_clock::now() + longest;
  int ends[2] = {-1, -1};
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail_by_system("pipe", errno);
  const FileDescriptor from(ends[0]);
  FileDescriptor to(ends[1]);
  const auto child = start_shell(command, to.get());
  if (!child) return fail(child.error());
  to.reset();
  std::string text;
  const bool all = read_output(from.get(), text, deadline);
  const auto status = all ? wait_for_end(*child, deadline) : std::nullopt;
  if (!status) {
    ::kill(-*child, SIGKILL);
    ::waitpid(*child, nullptr, 0);
    return fail(Errc::kFile,
                "it has not ended within connection_timeout_ms, and was ended: " + command);
  }
  if (*status != 0) {
    const bool exited = WIFEXITED(*status);
    return fail(Errc::kFile, (exited ? "it failed with exit code " : "it was ended by signal ") +
                                 std::to_string(exited ? WEXITSTATUS(*status) : WTERMSIG(*status)) +
                                 ": " + command);
  }
  text.resize(std::min(text.find('\n'), text.size()));
  if (text.ends_with('\r')) text.pop_back();
  if (text.empty()) return fail(Errc::kFile, "it wrote no line: " + command);
  return text;
}

}  // namespace pgsink
