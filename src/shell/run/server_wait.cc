#include "shell/run/server_wait.h"

namespace pgsink::shell {

ServerWaitCallback server_wait(const std::string& connection, const Signals& signals,
                               Reporter& reporter) {
  return
      [name = "connection \"" + connection + "\": ", &signals, &reporter](const ServerWait& wait) {
        if (signals.received() != 0) return false;
        if (wait.begins) {
          // Errors of what is asked after the login name the connection already.
          const std::string& message = wait.error.message;
          reporter.warning((message.starts_with(name) ? "" : name) + message +
                           "; trying again in " + std::to_string(wait.pause.count()) + " ms");
        }
        return true;
      };
}

}  // namespace pgsink::shell
