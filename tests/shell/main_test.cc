// The tests of the command need localhost:5432, secure.example.com and /certs for themselves, so
// that scripts can run as they are written. Unless they have them already, they start themselves
// again inside tests/support/in_namespace.

#include <cstdio>
#include <cstdlib>
#include <unistd.h>
#include <vector>

#include <gtest/gtest.h>

#include "support/hang_guard.h"

int main(int argc, char** argv) {
  if (std::getenv("PGSINK_TEST_NAMESPACE") == nullptr) {
    const char* script = PGSINK_SOURCE_DIR "/tests/support/in_namespace";
    std::vector<char*> command{const_cast<char*>(script), const_cast<char*>("--host"),
                               const_cast<char*>("secure.example.com"),
                               const_cast<char*>("/proc/self/exe")};
    const std::vector<char> self = [] {
      std::vector<char> path(4096);
      const ssize_t bytes = readlink("/proc/self/exe", path.data(), path.size() - 1);
      path.resize(bytes > 0 ? static_cast<size_t>(bytes) : 0);
      path.push_back('\0');
      return path;
    }();
    command[3] = const_cast<char*>(self.data());
    for (int i = 1; i < argc; ++i) command.push_back(argv[i]);
    command.push_back(nullptr);
    execv(script, command.data());
    std::perror(script);
    return 1;
  }
  testing::InitGoogleTest(&argc, argv);
  pgsink::test::guard_against_hangs();
  return RUN_ALL_TESTS();
}
