#pragma once
// A bound on every test.

namespace pgsink::test {

/// A test that takes longer than test_time_max() (patience.h) is named as failed from now on. The
/// program ends with it, because a thread that waits for ever cannot be stopped. Call it once,
/// after InitGoogleTest().
void guard_against_hangs();

}  // namespace pgsink::test
