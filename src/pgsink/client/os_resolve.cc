#include "pgsink/client/os_resolve.h"

#include <algorithm>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <netdb.h>
#include <new>
#include <sys/socket.h>
#include <system_error>
#include <thread>

namespace pgsink {

namespace {

struct AddressListFreer {
  void operator()(addrinfo* list) const { ::freeaddrinfo(list); }
};
using AddressList = std::unique_ptr<addrinfo, AddressListFreer>;

struct Answer {
  int code = 0;  // of getaddrinfo()
  std::vector<std::string> addresses;
};

Answer ask(const std::string& host, int flags) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags;
  addrinfo* found = nullptr;
  Answer answer;
  answer.code = ::getaddrinfo(host.c_str(), nullptr, &hints, &found);
  if (answer.code != 0) return answer;
  const AddressList list(found);
  for (const addrinfo* entry = list.get(); entry != nullptr; entry = entry->ai_next) {
    char text[NI_MAXHOST] = "";
    if (::getnameinfo(entry->ai_addr, entry->ai_addrlen, text, sizeof text, nullptr, 0,
                      NI_NUMERICHOST) != 0) {
      continue;
    }
    if (std::find(answer.addresses.begin(), answer.addresses.end(), text) ==
        answer.addresses.end()) {
      answer.addresses.emplace_back(text);
    }
  }
  return answer;
}

// One lookup, shared by the resolving thread and the waiting one. Both own it, so that the waiter
// can leave at its deadline while getaddrinfo(), which cannot be stopped, continues.
struct Question {
  std::mutex mutex;
  std::condition_variable answered;
  bool done = false;
  Answer answer;
};

}  // namespace

Result<std::vector<std::string>> resolve_host(const std::string& host, Deadline deadline) {
  // No host name holds one. It is the rest of a password whose '@' ended the user's part of a URL:
  // neither shown, nor sent to a name server.
  if (host.find('@') != std::string::npos) {
    return fail(Errc::kConnect,
                "a host name contains \"@\", which none can: in a URL, write the \"@\" of a "
                "password or user name as %40");
  }
  if (const Answer numeric = ask(host, AI_NUMERICHOST); numeric.code == 0) return numeric.addresses;
  const auto question = std::make_shared<Question>();
  try {
    std::thread([question, host] {
      Answer answer;
      try {
        answer = ask(host, 0);
      } catch (const std::bad_alloc&) {
        answer.code = EAI_MEMORY;
      }
      const std::lock_guard lock(question->mutex);
      question->answer = std::move(answer);
      question->done = true;
      question->answered.notify_all();
    }).detach();
  } catch (const std::system_error& error) {
    return fail(Errc::kOutOfMemory, "cannot start a thread to look up the host name \"" + host +
                                        "\": " + error.code().message());
  }
  std::unique_lock lock(question->mutex);
  const auto done = [&] { return question->done; };
  if (deadline == kNoDeadline) {
    question->answered.wait(lock, done);
  } else if (!question->answered.wait_until(lock, deadline, done)) {
    return fail(Errc::kTimeout, "the host name \"" + host + "\" was not resolved in time");
  }
  if (question->answer.code != 0 || question->answer.addresses.empty()) {
    return fail(Errc::kConnect, "the host name \"" + host + "\" does not resolve: " +
                                    ::gai_strerror(question->answer.code));
  }
  return std::move(question->answer.addresses);
}

}  // namespace pgsink
