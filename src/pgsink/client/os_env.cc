// The operating system's Env: clocks, random source, threads and files. Sockets are in tcp.cc.

#include <cerrno>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <mutex>
#include <pthread.h>
#include <pwd.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <system_error>
#include <thread>
#include <unistd.h>

#include "pgsink/client/env.h"
#include "pgsink/client/os_command.h"
#include "pgsink/client/os_file_descriptor.h"
#include "pgsink/client/tcp.h"

namespace pgsink {

namespace {

class OsClock final : public Clock {
 public:
  TimePoint now() override {
    return std::chrono::time_point_cast<Duration>(std::chrono::steady_clock::now());
  }
  int64_t wall_us() override {
    const auto since_epoch = std::chrono::system_clock::now().time_since_epoch();
    return std::chrono::duration_cast<std::chrono::microseconds>(since_epoch).count();
  }
};

class OsRandom final : public Random {
 public:
  void fill(MutableBytes to) override {
    while (!to.empty()) {
      const ssize_t size = ::getrandom(to.data(), to.size(), 0);
      if (size < 0) {
        if (errno == EINTR) continue;
        // A predictable nonce would break authentication: better no program at all.
        pgproto::assertion_failed("getrandom() works", __FILE__, __LINE__);
      }
      to = to.subspan(static_cast<size_t>(size));
    }
  }
};

class OsMonitor final : public Monitor {
 public:
  void lock() override { mutex_.lock(); }
  void unlock() override { mutex_.unlock(); }
  void notify_all() override { condition_.notify_all(); }
  bool wait(Deadline deadline) override {
    // The caller holds the mutex before and after: the guard only passes it to the condition.
    std::unique_lock lock(mutex_, std::adopt_lock);
    bool in_time = true;
    if (deadline == kNoDeadline) {
      condition_.wait(lock);
    } else {
      in_time = condition_.wait_until(lock, deadline) == std::cv_status::no_timeout;
    }
    lock.release();
    return in_time;
  }

 private:
  std::mutex mutex_;
  std::condition_variable condition_;
};

class OsTask final : public Task {
 public:
  ~OsTask() override {
    PGPROTO_ASSERT(!thread_.joinable());
    if (thread_.joinable()) thread_.join();
  }
  void start(const std::string& name, std::function<void()> body) {
    thread_ = std::thread(std::move(body));
    ::pthread_setname_np(thread_.native_handle(), name.c_str());
  }
  void join() override {
    if (thread_.joinable()) thread_.join();
  }

 private:
  std::thread thread_;
};

class OsTasks final : public Tasks {
 public:
  Result<std::unique_ptr<Task>> spawn(std::string_view name, std::function<void()> body) override {
    try {
      // The kernel's limit is 15 characters and a NUL.
      const std::string short_name(name.substr(0, 15));
      auto task = std::make_unique<OsTask>();
      // Last: no failed allocation may leave a running thread without an owner.
      task->start(short_name, std::move(body));
      return task;
    } catch (const std::system_error& error) {
      return fail(Errc::kOutOfMemory,
                  "cannot start the thread " + std::string(name) + ": " + error.code().message());
    }
  }
  std::unique_ptr<Monitor> monitor() override { return std::make_unique<OsMonitor>(); }
};

class OsOutputFile final : public OutputFile {
 public:
  OsOutputFile(std::string path, int fd) : path_(std::move(path)), file_(fd) {}

  Status append(std::string_view bytes) override {
    while (!bytes.empty()) {
      const ssize_t written = ::write(file_.get(), bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return failed();
      bytes.remove_prefix(static_cast<size_t>(written));
    }
    return {};
  }
  Status sync() override {
    if (::fsync(file_.get()) != 0) return failed();
    return {};
  }
  Status truncate(uint64_t bytes) override {
    if (::ftruncate(file_.get(), static_cast<off_t>(bytes)) != 0) return failed();
    return {};
  }

 private:
  std::unexpected<Error> failed() const {
    return fail(Errc::kFile, path_ + ": " + describe_errno(errno));
  }

  std::string path_;
  FileDescriptor file_;
};

class OsFiles final : public Files {
 public:
  Result<Info> info(const std::string& path) override {
    struct stat status{};
    if (::stat(path.c_str(), &status) != 0) {
      return fail(Errc::kFile, path + ": " + describe_errno(errno));
    }
    Info info;
    info.mode = status.st_mode & 07777;
    info.regular = S_ISREG(status.st_mode);
    info.directory = S_ISDIR(status.st_mode);
    info.owner = status.st_uid;
    return info;
  }

  Result<std::string> read(const std::string& path, size_t bytes_max) override {
    const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (file.get() < 0) return fail(Errc::kFile, path + ": " + describe_errno(errno));
    std::string text;
    char block[16384];
    for (;;) {
      const ssize_t size = ::read(file.get(), block, sizeof block);
      if (size < 0 && errno == EINTR) continue;
      if (size < 0) return fail(Errc::kFile, path + ": " + describe_errno(errno));
      if (size == 0) return text;
      text.append(block, static_cast<size_t>(size));
      if (text.size() > bytes_max) {
        return fail(Errc::kLimit,
                    path + " is larger than the " + std::to_string(bytes_max) + " bytes allowed");
      }
    }
  }

  Result<std::unique_ptr<OutputFile>> open_to_append(const std::string& path) override {
    constexpr int kFlags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW;
    const int fd = ::open(path.c_str(), kFlags, 0600);
    if (fd < 0) return fail(Errc::kFile, path + ": " + describe_errno(errno));
    auto file = std::make_unique<OsOutputFile>(path, fd);
    if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
      return fail(Errc::kFile, path + (errno == EWOULDBLOCK ? ": another one is writing to it"
                                                            : ": " + describe_errno(errno)));
    }
    if (auto entry = sync_folder(path); !entry) return fail(entry.error());
    return file;
  }

  Result<bool> rename(const std::string& from, const std::string& to) override {
    // A link fails where a rename would replace an existing file.
    if (::link(from.c_str(), to.c_str()) != 0) {
      if (errno == EEXIST) return false;
      return fail(Errc::kFile, from + ": " + describe_errno(errno));
    }
    if (::unlink(from.c_str()) != 0) {
      return fail(Errc::kFile, from + ": " + describe_errno(errno));
    }
    if (auto entry = sync_folder(to); !entry) return fail(entry.error());
    return true;
  }

  Result<std::string> line_of(const std::string& command, Duration longest) override {
    return run_for_line(command, longest);
  }
  std::optional<std::string> environment(const std::string& name) override {
    const char* value = std::getenv(name.c_str());
    if (value == nullptr) return std::nullopt;
    return std::string(value);
  }

  std::string user_name() override {
    return password_entry([](const passwd& entry) { return std::string(entry.pw_name); });
  }

  std::string home_directory() override {
    if (auto home = environment("HOME"); home.has_value() && !home->empty()) return *home;
    return password_entry([](const passwd& entry) { return std::string(entry.pw_dir); });
  }

 private:
  /// When this returns, the file's entry in its directory is on disk.
  static Status sync_folder(const std::string& path) {
    const size_t slash = path.rfind('/');
    const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
    const FileDescriptor directory(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (directory.get() < 0 || ::fsync(directory.get()) != 0) {
      return fail(Errc::kFile, folder + ": " + describe_errno(errno));
    }
    return {};
  }

  template <typename Member>
  static std::string password_entry(Member member) {
    passwd entry{};
    passwd* found = nullptr;
    std::vector<char> buffer(16384);
    ::getpwuid_r(::geteuid(), &entry, buffer.data(), buffer.size(), &found);
    return found == nullptr ? std::string() : member(*found);
  }
};

}  // namespace

struct OsEnv::Parts {
  OsClock clock;
  OsRandom random;
  OsTasks tasks;
  OsFiles files;
  std::unique_ptr<Network> network = make_socket_network(clock);
};

OsEnv::OsEnv()
    : parts_(std::make_unique<Parts>()),
      env_{parts_->clock, parts_->random, *parts_->network, parts_->tasks, parts_->files} {}

OsEnv::~OsEnv() = default;

}  // namespace pgsink
