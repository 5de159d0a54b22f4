#include "support/session_script.h"

#include <algorithm>
#include <cstring>

#include <gtest/gtest.h>

#include "support/backend_encoder.h"

namespace pgsink::test {

using namespace pgproto;

namespace {

class Player {
 public:
  Player(const Cutter& cut, size_t eof_at, SessionLimits limits)
      : cut_(cut), eof_at_(eof_at), session_(limits) {}

  Outcome play(const Script& script) {
    for (const Step& step : script) {
      if (step.act) step.act(session_);
      drain();
      take_output();
      const std::string reply = step.reply ? step.reply(unread_) : "";
      unread_.clear();
      note_boundaries(reply);
      if (!hand_over(reply)) break;
    }
    take_output();
    outcome_.pending = session_.pending_requests();
    return std::move(outcome_);
  }

 private:
  // Messages end where their lengths say; the one byte that answers SSLRequest has none.
  void note_boundaries(std::string_view reply) {
    size_t at = 0;
    if (reply.size() == 1) {
      outcome_.boundaries.push_back(outcome_.received + 1);
      return;
    }
    while (at + 5 <= reply.size()) {
      const size_t length = load_be<uint32_t>(as_bytes(reply).data() + at + 1);
      if (length + 1 > reply.size() - at) break;
      at += length + 1;
      outcome_.boundaries.push_back(outcome_.received + at);
    }
  }

  // False if the connection ended.
  bool hand_over(std::string_view reply) {
    size_t piece = 0;
    for (size_t i = 0; i < reply.size(); ++i) {
      ++outcome_.received;
      ++piece;
      const bool end = outcome_.received == eof_at_;
      if (end || i + 1 == reply.size() || (cut_ && cut_(outcome_.received))) {
        give(reply.substr(i + 1 - piece, piece));
        piece = 0;
      }
      if (end) {
        outcome_.ended = true;
        outcome_.end = session_.received_eof();
        return false;
      }
    }
    return true;
  }

  void give(std::string_view bytes) {
    while (!bytes.empty()) {
      const MutableBytes space = session_.receive_space();
      ASSERT_FALSE(space.empty());
      const size_t count = std::min(space.size(), bytes.size());
      std::memcpy(space.data(), bytes.data(), count);
      session_.received(count);
      bytes.remove_prefix(count);
      drain();
    }
    take_output();
  }

  void drain() {
    while (outcome_.error.empty()) {
      auto event = session_.next_event();
      if (!event) {
        outcome_.error = event.error().to_string();
        outcome_.code = event.error().code;
      } else if (*event) {
        outcome_.events.push_back(std::to_string((*event)->request) + " " +
                                  describe((*event)->message));
      } else {
        return;
      }
    }
  }

  // The transport takes what it is given in uneven pieces.
  void take_output() {
    for (size_t count = 1; !session_.output().empty(); count = count * 3 + 1) {
      const size_t size = std::min(count, session_.output().size());
      const std::string_view piece = as_text(session_.output().first(size));
      unread_.append(piece);
      outcome_.sent.append(piece);
      session_.output_sent(size);
    }
    EXPECT_EQ(session_.sent_position(), session_.appended_position());
    EXPECT_EQ(session_.sent_position(), outcome_.sent.size());
  }

  const Cutter& cut_;
  const size_t eof_at_;
  Session session_;
  Outcome outcome_;
  std::string unread_;
};

void expect_same(const Outcome& whole, const Outcome& other, const std::string& how) {
  EXPECT_EQ(whole.events, other.events) << how;
  EXPECT_EQ(whole.error, other.error) << how;
  EXPECT_EQ(whole.sent, other.sent) << how;
  EXPECT_EQ(whole.pending, other.pending) << how;
}

void expect_early_end_noticed(const Outcome& whole, const Outcome& ended, const std::string& how) {
  ASSERT_TRUE(ended.ended) << how;
  ASSERT_LE(ended.events.size(), whole.events.size()) << how;
  EXPECT_TRUE(std::equal(ended.events.begin(), ended.events.end(), whole.events.begin())) << how;
  EXPECT_FALSE(ended.end.has_value()) << how << ": the end went unnoticed";
}

}  // namespace

Step say(std::string reply) {
  return {nullptr, [reply](std::string_view) { return reply; }};
}

Step ask(std::function<void(Session&)> act, std::string reply) {
  return {std::move(act), [reply](std::string_view) { return reply; }};
}

Step trusted_startup() {
  return ask(
      [](Session& session) {
        StartupConfig config;
        config.user = "u";
        ASSERT_TRUE(session.startup(std::move(config)));
      },
      authentication(Authentication::Code::kOk) + encode(ready('I')));
}

Outcome run_script(const ScriptMaker& make, const Cutter& cut, size_t eof_at,
                   SessionLimits limits) {
  return Player(cut, eof_at, limits).play(make());
}

Outcome replay_everywhere(const ScriptMaker& make, SessionLimits limits) {
  const Outcome whole = run_script(make, {}, SIZE_MAX, limits);
  const Cutter every_byte = [](size_t) { return true; };
  expect_same(whole, run_script(make, every_byte, SIZE_MAX, limits), "cut at every byte");
  for (size_t at = 1; at < whole.received; ++at) {
    const std::string place = " at byte " + std::to_string(at);
    const Cutter once = [at](size_t position) { return position == at; };
    expect_same(whole, run_script(make, once, SIZE_MAX, limits), "cut in two" + place);
    if (whole.error.empty()) {
      expect_early_end_noticed(whole, run_script(make, {}, at, limits), "ended" + place);
    }
  }
  for (const size_t boundary : whole.boundaries) {
    const std::string place = " after the message that ends at byte " + std::to_string(boundary);
    expect_early_end_noticed(whole, run_script(make, every_byte, boundary, limits),
                             "ended" + place);
  }
  return whole;
}

}  // namespace pgsink::test
