#include <pgproto/request_queue.h>

#include <gtest/gtest.h>

namespace {

using pgproto::PendingRequest;
using pgproto::RequestQueue;
using pgproto::session_table::Phase;

PendingRequest request(Phase kind, uint64_t position = 0) {
  PendingRequest made;
  made.kind = kind;
  made.position = position;
  return made;
}

PendingRequest copy_request(Phase kind) {
  PendingRequest made = request(kind);
  made.copy_announced = true;
  return made;
}

TEST(RequestQueue, NumbersRequestsFromOne) {
  RequestQueue queue;
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(queue.front_id(), 0U);
  EXPECT_EQ(queue.next_phase(), Phase::kIdle);
  EXPECT_EQ(queue.add(request(Phase::kQuery)), 1U);
  EXPECT_EQ(queue.add(request(Phase::kParse)), 2U);
  EXPECT_EQ(queue.size(), 2U);
  EXPECT_EQ(queue.front_id(), 1U);
  EXPECT_EQ(queue.next_phase(), Phase::kQuery);
}

TEST(RequestQueue, AnswersTheOldestFirst) {
  RequestQueue queue;
  queue.add(request(Phase::kParse));
  queue.add(request(Phase::kSync));
  queue.finish_front();
  EXPECT_EQ(queue.front_id(), 2U);
  EXPECT_EQ(queue.next_phase(), Phase::kSync);
  queue.finish_front();
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(queue.next_phase(), Phase::kIdle);
}

TEST(RequestQueue, KnowsWhetherTheOldestRequestWasSent) {
  RequestQueue queue;
  EXPECT_FALSE(queue.front_is_sent(100));
  queue.add(request(Phase::kQuery, 10));
  EXPECT_FALSE(queue.front_is_sent(10));
  EXPECT_TRUE(queue.front_is_sent(11));
}

TEST(RequestQueue, DropsWhatTheServerDiscardsUpToTheSync) {
  RequestQueue queue;
  queue.add(request(Phase::kParse));
  queue.add(request(Phase::kBind));
  queue.add(request(Phase::kSync));
  queue.add(request(Phase::kQuery));
  queue.skip_to_sync();
  EXPECT_EQ(queue.front_id(), 3U);
  EXPECT_EQ(queue.size(), 2U);
}

TEST(RequestQueue, DropsWhatIsSentLaterUpToTheSync) {
  RequestQueue queue;
  queue.add(request(Phase::kParse));
  queue.skip_to_sync();
  EXPECT_EQ(queue.add(request(Phase::kBind)), 2U);
  EXPECT_TRUE(queue.empty()) << "the server discards it";
  EXPECT_EQ(queue.add(request(Phase::kSync)), 3U);
  EXPECT_EQ(queue.front_id(), 3U);
  EXPECT_EQ(queue.add(request(Phase::kParse)), 4U);
  EXPECT_EQ(queue.size(), 2U);
}

TEST(RequestQueue, FollowsTheCopyOfTheOldestRequest) {
  RequestQueue queue;
  queue.add(request(Phase::kQuery));
  queue.add(copy_request(Phase::kQuery));
  EXPECT_FALSE(queue.front_announces_copy());
  EXPECT_FALSE(queue.front_copy_is_open()) << "the request before it is answered first";
  queue.finish_front();
  EXPECT_FALSE(queue.copy_refused()) << "the answer was to another request";
  EXPECT_TRUE(queue.front_announces_copy());
  EXPECT_TRUE(queue.front_copy_is_open());
  queue.copy_started();
  EXPECT_FALSE(queue.front_announces_copy());
  EXPECT_TRUE(queue.front_copy_is_open());
  queue.end_copy();
  EXPECT_FALSE(queue.front_copy_is_open());
}

TEST(RequestQueue, AnAnswerWhileTheCopyIsOpenRefusesIt) {
  RequestQueue queue;
  queue.add(copy_request(Phase::kQuery));
  queue.refuse_open_copy();
  EXPECT_TRUE(queue.copy_refused());
  queue.finish_front();
  queue.end_copy();
  queue.add(copy_request(Phase::kQuery));
  EXPECT_FALSE(queue.copy_refused()) << "of the previous COPY";
  queue.end_copy();
  queue.finish_front();
  EXPECT_FALSE(queue.copy_refused()) << "the client had ended it";
}

TEST(RequestQueue, ACopyThatTheServerDiscardsIsRefusedAtOnce) {
  RequestQueue queue;
  queue.add(request(Phase::kParse));
  queue.skip_to_sync();
  queue.add(copy_request(Phase::kExecute));
  EXPECT_TRUE(queue.copy_refused());
  EXPECT_TRUE(queue.empty());
}

}  // namespace
