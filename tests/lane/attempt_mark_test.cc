// The number in front of an attempt's statements, and what it says of a backend that waits.

#include "pgsink/lane/attempt_mark.h"

#include <gtest/gtest.h>

namespace pgsink {
namespace {

TEST(AttemptMark, SaysWhichAttemptCanBeCommitted) {
  EXPECT_EQ(last_attempt(mark_end(17) + "COMMIT"), 17U);
  // Attempt 17 is open.
  EXPECT_EQ(last_attempt(mark_begin(17) + "BEGIN; COPY t FROM STDIN"), 16U);
  for (const char* other :
       {"", "COMMIT", "SELECT 1 /* pgsink ends 17 */", "/* pgsink ends x */ "}) {
    EXPECT_EQ(last_attempt(other), 0U) << other;
  }
}

}  // namespace
}  // namespace pgsink
