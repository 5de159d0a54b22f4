// Ends with 77, "skipped", where there is no Java or no Kafka.

#include <cstdio>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kafka/kafka_support.h"
#include "support/hang_guard.h"

namespace pgsink::test {
namespace {

std::unique_ptr<KafkaBroker> broker;

}  // namespace

KafkaBroker& shared_broker() {
  if (broker == nullptr) broker = std::make_unique<KafkaBroker>();
  return *broker;
}

}  // namespace pgsink::test

int main(int argc, char** argv) {
  testing::InitGoogleMock(&argc, argv);
  if (pgsink::test::kafka_jars().empty()) {
    std::puts("skipped: no Java, or no Kafka (third_party/setup.sh: fetch_kafka)");
    return 77;
  }
  pgsink::test::guard_against_hangs();
  const int failed = RUN_ALL_TESTS();
  pgsink::test::broker.reset();
  return failed;
}
