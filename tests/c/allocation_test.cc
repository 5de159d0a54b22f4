// When memory is short a call fails with an error, and nothing leaks. This file replaces the
// program's operator new by one that can fail in one thread.

#include <atomic>
#include <memory>
#include <utility>

#include "c/c_support.h"
#include "pgsink/client/env.h"

namespace {

// In the thread that calls: the sink's own threads have theirs.
thread_local long allocations_left = -1;  // -1: none fails.
thread_local bool has_failed = false;

bool must_fail() {
  if (allocations_left < 0) return false;
  if (allocations_left > 0) {
    --allocations_left;
    return false;
  }
  allocations_left = -1;
  has_failed = true;
  return true;
}

}  // namespace

#include "support/failing_new.h"

namespace pgsink::test {
namespace {

/// A producer whose own memory never fails.
struct Unfailing {
  Unfailing() : left(std::exchange(allocations_left, -1)) {}
  ~Unfailing() { allocations_left = left; }
  Unfailing(const Unfailing&) = delete;
  Unfailing& operator=(const Unfailing&) = delete;

  long left;
};
void make_unfailing_stream(ArrowArrayStream* to, StreamState state) {
  static ArrowArrayStream plain;
  make_stream(to, state);
  plain = *to;
  to->get_schema = [](ArrowArrayStream* self, ArrowSchema* schema) {
    const Unfailing now;
    return plain.get_schema(self, schema);
  };
  to->get_next = [](ArrowArrayStream* self, ArrowArray* batch) {
    const Unfailing now;
    return plain.get_next(self, batch);
  };
}

/// Runs a call with ever later failures until it meets none; each that does must say so. `stride`
/// leaves some of them out where a call has many.
template <typename F>
int fail_each_allocation(F&& one_call, long stride = 1) {
  int failures = 0;
  for (long n = 0;; n += n < 40 ? 1 : stride) {
    has_failed = false;
    CError error;
    const int code = one_call(n, &error);
    allocations_left = -1;
    if (!has_failed) {
      EXPECT_EQ(code, 0) << error.message;
      return failures;
    }
    ++failures;
    // It may do without that memory; if not, it says what was missing.
    if (code == 0) continue;
    EXPECT_EQ(code, 9002) << "allocation " << n << ": " << error.message;
    EXPECT_NE(std::string(error.message).find("out of memory"), std::string::npos);
    if (testing::Test::HasFailure()) return failures;
  }
}

// Otherwise nobody would join it, which ends the process.
TEST(Tasks, NoThreadIsStartedThatCannotBeOwned) {
  OsEnv os;
  for (long n = 0;; ++n) {
    has_failed = false;
    std::atomic<bool> ran = false;
    std::unique_ptr<Task> task;
    allocations_left = n;
    try {
      auto spawned = os.env().tasks.spawn("pgsink-test", [&ran] { ran = true; });
      if (spawned) task = std::move(*spawned);
    } catch (const std::bad_alloc&) {
      EXPECT_TRUE(has_failed);
    }
    allocations_left = -1;
    if (task) task->join();
    EXPECT_EQ(ran, task != nullptr) << n;
    if (has_failed) continue;
    EXPECT_GE(n, 2) << "it allocates";
    return;
  }
}

TEST_F(CTest, OpenWithoutMemoryIsAnError) {
  const int failures = fail_each_allocation(
      [&](long n, pgsink_error* error) {
        ArrowSchema schema;
        make_schema(&schema);
        pgsink_sink* sink = nullptr;
        allocations_left = n;
        const int code =
            pgsink_sink_open(options_.data(), options_.size(), &schema, nullptr, &sink, error);
        allocations_left = -1;
        EXPECT_EQ(sink != nullptr, code == 0);
        pgsink_sink_free(sink);
        return code;
      },
      29);
  EXPECT_GT(failures, 40);
}

TEST_F(CTest, WriteWithoutMemoryIsAnErrorAndLosesNothing) {
  pgsink_sink* sink = open();
  int64_t accepted = 0;
  const int failures = fail_each_allocation([&](long n, pgsink_error* error) {
    ArrowArray batch;
    make_batch(&batch, accepted * 10, 10);
    allocations_left = n;
    const int code = pgsink_sink_write(sink, nullptr, &batch, 0, error);
    allocations_left = -1;
    if (code == 0) ++accepted;
    if (pgsink_sink_status(sink, nullptr) == 0) return code;
    // It could not take the batch as a whole. What it has accepted before it writes.
    EXPECT_EQ(pgsink_sink_close(sink, nullptr), 9002);
    pgsink_sink_free(sink);
    sink = open();
    return code;
  });
  EXPECT_GT(failures, 3);
  CError error;
  EXPECT_EQ(pgsink_sink_close(sink, &error), 0) << error.message;
  pgsink_sink_free(sink);
  EXPECT_EQ(scalar("SELECT count(*) FROM t"), std::to_string(accepted * 10));
}

TEST_F(CTest, AStreamWithoutMemoryIsReleased) {
  const int failures = fail_each_allocation(
      [&](long n, pgsink_error* error) {
        sql("TRUNCATE t");
        pgsink_sink* const sink = open();
        ArrowArrayStream stream;
        make_unfailing_stream(&stream, {.batches = 2, .rows = 5});
        allocations_left = n;
        const int code = pgsink_sink_write_stream(sink, &stream, 0, nullptr, error);
        allocations_left = -1;
        pgsink_sink_free(sink);
        return code;
      },
      4);
  EXPECT_GT(failures, 3);
}

TEST_F(CTest, TextsWithoutMemoryAreErrors) {
  pgsink_sink* const sink = open();
  const auto each = [&](auto&& ask) {
    return fail_each_allocation(
        [&](long n, pgsink_error* error) {
          CText json;
          allocations_left = n;
          const int code = ask(&json.text, error);
          allocations_left = -1;
          return code;
        },
        7);
  };
  EXPECT_GT(each([&](char** to, pgsink_error* error) {
              return pgsink_sink_metrics_json(sink, to, error);
            }),
            3);
  EXPECT_GT(each([&](char** to, pgsink_error* error) { return pgsink_options_json(to, error); }),
            3);
  pgsink_sink_free(sink);
}

}  // namespace
}  // namespace pgsink::test
