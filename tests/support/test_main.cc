// The main() of the test programs that have none of their own.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/hang_guard.h"

int main(int argc, char** argv) {
  testing::InitGoogleMock(&argc, argv);
  pgsink::test::guard_against_hangs();
  return RUN_ALL_TESTS();
}
