#include "measured_child.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <malloc.h>
#include <stdexcept>
#include <string>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <tuple>
#include <unistd.h>
#include <utility>

namespace pgsink::bench {
namespace {

[[noreturn]] void raise_error(const std::string& what) { throw std::runtime_error(what); }

double seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
}

rusage usage() {
  rusage now{};
  ::getrusage(RUSAGE_SELF, &now);
  return now;
}

double cpu_seconds(const rusage& now) { return seconds(now.ru_utime) + seconds(now.ru_stime); }

// One of the lines "VmHWM:   1234 kB".
int64_t status_bytes(const std::string& name) {
  std::ifstream status("/proc/self/status");
  std::string line;
  while (std::getline(status, line)) {
    if (line.starts_with(name + ":")) return std::stoll(line.substr(name.size() + 1)) * 1024;
  }
  raise_error("/proc/self/status has no " + name);
}

void reset_peak() {
  std::ofstream file("/proc/self/clear_refs");
  file << "5" << std::flush;
  if (!file) raise_error("cannot reset the peak of the memory through /proc/self/clear_refs");
}

class ChildMeter final : public Meter {
 public:
  void start() override {
    reset_peak();
    resident_bytes_ = status_bytes("VmRSS");
    file_bytes_ = status_bytes("RssFile");
    began_usage_ = usage();
    began_ = std::chrono::steady_clock::now();
  }
  void stop() override {
    const auto ended = std::chrono::steady_clock::now();
    const rusage ended_usage = usage();
    sample_.wall_s = std::chrono::duration<double>(ended - began_).count();
    sample_.cpu_s = cpu_seconds(ended_usage) - cpu_seconds(began_usage_);
    sample_.waits = static_cast<uint64_t>(ended_usage.ru_nvcsw - began_usage_.ru_nvcsw);
    const int64_t grown = status_bytes("VmHWM") - resident_bytes_;
    const int64_t libraries = status_bytes("RssFile") - file_bytes_;
    sample_.memory_bytes = static_cast<uint64_t>(std::max<int64_t>(grown - libraries, 0));
  }
  const Sample& sample() const { return sample_; }

 private:
  std::chrono::steady_clock::time_point began_;
  rusage began_usage_{};
  int64_t resident_bytes_ = 0, file_bytes_ = 0;
  Sample sample_;
};

// What a child tells its parent, through a pipe.
struct Report {
  Sample sample;
  std::array<char, 1024> error{};
};

void set_error(Report& report, const char* what) {
  std::snprintf(report.error.data(), report.error.size(), "%s", what);
}

void send_report(int pipe, const Report& report) {
  if (::write(pipe, &report, sizeof report) != sizeof report) ::_exit(1);
}

class Pipe {
 public:
  Pipe() {
    if (::pipe(ends_.data()) != 0) raise_error("pipe");
  }
  ~Pipe() {
    close_end(0);
    close_end(1);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  int reader() const { return ends_[0]; }
  int writer() const { return ends_[1]; }
  void close_end(size_t end) {
    if (ends_[end] >= 0) ::close(std::exchange(ends_[end], -1));
  }

 private:
  std::array<int, 2> ends_{-1, -1};
};

pid_t start_child() {
  std::fflush(nullptr);
  // Freed pages that the child would find resident would hide what it needs.
  ::malloc_trim(0);
  const pid_t pid = ::fork();
  if (pid < 0) raise_error(std::string("fork: ") + std::strerror(errno));
  if (pid == 0) ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  return pid;
}

Report read_report(Pipe& pipe) {
  pipe.close_end(1);
  Report report;
  if (::read(pipe.reader(), &report, sizeof report) != sizeof report) {
    raise_error("a measured process ended without a result");
  }
  if (report.error[0] != '\0') raise_error(report.error.data());
  return report;
}

// ---- counting ----------------------------------------------------------------------------------

// A call that no run makes otherwise marks where counting begins and ends.
constexpr long kMark = SYS_getppid;

class MarkingMeter final : public Meter {
 public:
  void start() override { ::syscall(kMark); }
  void stop() override { ::syscall(kMark); }
};

void count_call(long number, Calls& calls) {
  switch (number) {
    case SYS_write:
    case SYS_writev:
    case SYS_sendto:
    case SYS_sendmsg:
    case SYS_sendmmsg:
    case SYS_pwrite64:
      ++calls.writes;
      return;
    case SYS_read:
    case SYS_readv:
    case SYS_recvfrom:
    case SYS_recvmsg:
    case SYS_recvmmsg:
    case SYS_pread64:
      ++calls.reads;
      return;
#ifdef SYS_poll
    case SYS_poll:
    case SYS_select:
    case SYS_epoll_wait:
#endif
    case SYS_ppoll:
    case SYS_pselect6:
    case SYS_epoll_pwait:
    case SYS_futex:
      ++calls.waits;
      return;
    default:
      ++calls.others;
      return;
  }
}

// Follows a stopped child and its threads to their end.
class Tracer {
 public:
  explicit Tracer(pid_t child) : child_(child) {
    int status = 0;
    if (::waitpid(child_, &status, 0) != child_ || !WIFSTOPPED(status)) {
      raise_error("system calls cannot be counted: ptrace is not allowed here");
    }
    constexpr long kOptions = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL;
    if (::ptrace(PTRACE_SETOPTIONS, child_, nullptr, kOptions) != 0) raise_error("ptrace");
    resume(child_, 0);
  }

  Calls follow() {
    for (;;) {
      int status = 0;
      const pid_t pid = ::waitpid(-1, &status, __WALL);
      if (pid < 0) {
        if (errno == EINTR) continue;
        raise_error("waitpid");
      }
      if (WIFEXITED(status) || WIFSIGNALED(status)) {
        if (pid == child_) return calls_;
        continue;
      }
      resume(pid, on_stop(pid, status));
    }
  }

 private:
  // The signal to hand on.
  int on_stop(pid_t pid, int status) {
    const int signal = WSTOPSIG(status);
    if (signal == (SIGTRAP | 0x80)) {
      on_call(pid);
      return 0;
    }
    // New threads begin with SIGSTOP; SIGTRAP tells of their creation.
    return signal == SIGSTOP || signal == SIGTRAP ? 0 : signal;
  }

  void on_call(pid_t pid) {
    __ptrace_syscall_info info{};
    if (::ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info) <= 0) return;
    if (info.op != PTRACE_SYSCALL_INFO_ENTRY) return;
    const long number = static_cast<long>(info.entry.nr);
    if (number == kMark) {
      counting_ = !counting_;
    } else if (counting_) {
      count_call(number, calls_);
    }
  }

  static void resume(pid_t pid, int signal) {
    ::ptrace(PTRACE_SYSCALL, pid, nullptr, static_cast<long>(signal));
  }

  pid_t child_;
  bool counting_ = false;
  Calls calls_;
};

void run_child(const Run& run, Meter& meter, Report& report) {
  try {
    run(meter);
  } catch (const std::exception& error) {
    set_error(report, error.what());
  }
}

}  // namespace

Sample measure(const Run& run) {
  Pipe pipe;
  const pid_t pid = start_child();
  if (pid == 0) {
    Report report;
    ChildMeter meter;
    run_child(run, meter, report);
    report.sample = meter.sample();
    send_report(pipe.writer(), report);
    ::_exit(0);
  }
  const Report report = read_report(pipe);
  ::waitpid(pid, nullptr, 0);
  return report.sample;
}

Calls count_calls(const Run& run) {
  Pipe pipe;
  const pid_t pid = start_child();
  if (pid == 0) {
    if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) ::_exit(1);
    ::raise(SIGSTOP);
    Report report;
    MarkingMeter meter;
    run_child(run, meter, report);
    send_report(pipe.writer(), report);
    ::_exit(0);
  }
  const Calls calls = Tracer(pid).follow();
  std::ignore = read_report(pipe);
  return calls;
}

}  // namespace pgsink::bench
