#include "shell/run/log_events.h"

#include <array>
#include <string_view>

namespace pgsink::shell {
namespace {

using Say = void (Reporter::*)(std::string_view);
/// By LogEvent::Kind. What needs nobody's attention is for debugging.
constexpr std::array<Say, 6> kLevels{
    &Reporter::debug,    // kConnected
    &Reporter::warning,  // kLost
    &Reporter::info,     // kReconnected
    &Reporter::warning,  // kFailover
    &Reporter::info,     // kFenced
    &Reporter::debug,    // kLeftOut: the summary counts them
};

}  // namespace

void report_event(const LogEvent& event, Reporter& reporter) {
  (reporter.*kLevels.at(static_cast<size_t>(event.kind)))(event.message);
}

}  // namespace pgsink::shell
