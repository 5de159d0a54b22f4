#pragma once
// A script is a conversation between a Session and a server that is only bytes. It can be replayed
// as a whole, with its input cut into pieces, and with the connection ending early; the events must
// not depend on how the network cuts, and an early end must always be noticed.

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <pgproto/session.h>

namespace pgsink::test {

/// One turn: what the owner of the session does, then what the server answers.
struct Step {
  std::function<void(pgproto::Session&)> act;
  /// Given the bytes that the session sent since the last turn. May keep state between turns, so a
  /// Script is made anew for each replay.
  std::function<std::string(std::string_view sent)> reply;
};
using Script = std::vector<Step>;
using ScriptMaker = std::function<Script()>;

/// say is a turn without an action of the owner whose answer is fixed.
Step say(std::string reply);
/// ask is a turn whose answer is fixed.
Step ask(std::function<void(pgproto::Session&)> act, std::string reply);
/// startup_steps is a startup without authentication that ends in ReadyForQuery.
Step trusted_startup();

/// What came of a replay.
struct Outcome {
  std::vector<std::string> events;  ///< "1 CommandComplete COPY 2": request, then the message.
  std::string sent;                 ///< All bytes of the session.
  std::vector<size_t> boundaries;   ///< Ends of the server's messages, in bytes of its stream.
  size_t received = 0;              ///< Bytes that the server said.
  std::string error;                ///< next_event()'s, as text; "" if it never failed.
  pgproto::Errc code{};             ///< Of that error.
  bool ended = false;               ///< The connection was ended early…
  pgproto::Status end;              ///< …and this is what received_eof() said.
  size_t pending = 0;               ///< Requests still unanswered.
};

/// How to cut: a piece ends after each byte for whose position (1 = after the first) this is true.
using Cutter = std::function<bool(size_t position)>;

/// run_script plays a script. Input is handed over in pieces; after `eof_at` bytes the connection
/// ends.
Outcome run_script(const ScriptMaker& make, const Cutter& cut = {}, size_t eof_at = SIZE_MAX,
                   pgproto::SessionLimits limits = {});

/// replay_everywhere plays a script whole, then cut at every byte, in two parts at every place, and
/// ended at every byte: GoogleTest failures say where the events differed, or an end went
/// unnoticed. Returns the whole outcome.
Outcome replay_everywhere(const ScriptMaker& make, pgproto::SessionLimits limits = {});

}  // namespace pgsink::test
