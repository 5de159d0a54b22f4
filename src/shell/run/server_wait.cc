#include "shell/run/server_wait.h"

#include <utility>

namespace pgsink::shell {

ServerWaitCallback server_wait(std::string connection, const Signals& signals, Reporter& reporter) {
  return [connection = std::move(connection), &signals, &reporter](const ServerWait& wait) {
    if (signals.received() != 0) return false;
    if (wait.begins) {
      reporter.warning("connection \"" + connection + "\": " + wait.error.message +
                       "; trying again in " + std::to_string(wait.pause.count()) + " ms");
    }
    return true;
  };
}

}  // namespace pgsink::shell
