// A server whose disk is full: nothing is lost, and when there is room again the sink goes on by
// itself. It is here because the tests of the command have a small disk.

#include <filesystem>
#include <fstream>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

#include <pgsink/batch_of.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pgsink/sink.h"
#include "support/postgres_server.h"

namespace pgsink::test {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

constexpr int64_t kBatchRows = 500;
constexpr int64_t kBatches = 40;

/// A folder of the server's user on /small, which in_namespace made, and a file that takes most of
/// the room there.
class SmallDisk {
 public:
  explicit SmallDisk(const std::string& owner_of) {
    std::filesystem::create_directory(folder_);
    struct stat owner{};
    if (stat(owner_of.c_str(), &owner) != 0 ||
        chown(folder_.c_str(), owner.st_uid, owner.st_gid) != 0) {
      throw std::runtime_error("cannot give " + folder_ + " to the server");
    }
    std::ofstream(filler_) << std::string(size_t{44} << 20, 'x');
  }
  ~SmallDisk() {
    free();
    std::filesystem::remove_all(folder_);
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;

  const std::string& path() const { return folder_; }
  void free() { std::filesystem::remove(filler_); }

 private:
  const std::string folder_ = "/small/tablespace", filler_ = "/small/filler";
};

struct Row {
  int64_t id = 0;
  std::string text;
};

RecordBatch batch(int64_t n) {
  std::vector<Row> rows;
  for (int64_t i = 0; i < kBatchRows; ++i) {
    rows.push_back({n * kBatchRows + i, std::string(1500, static_cast<char>('a' + i % 26))});
  }
  RecordBatch made = batch_of(std::move(rows), column("id", &Row::id), column("text", &Row::text));
  made.position = static_cast<uint64_t>(n) + 1;
  return made;
}

class DiskFullTest : public testing::TestWithParam<WriteMode> {};

TEST_P(DiskFullTest, TheSinkGoesOnWhenThereIsRoomAgain) {
  const auto server = PostgresServer::start();
  SmallDisk disk(server->data_dir());
  server->sql("CREATE TABLESPACE small LOCATION '" + disk.path() + "'");
  server->sql("CREATE TABLE t (id bigint PRIMARY KEY, text text) TABLESPACE small");
  SinkOptions options;
  options.connection_name = "test";
  options.host = server->socket_dir();
  options.port = std::to_string(server->port());
  options.database = "postgres";
  options.username = "postgres";
  options.table = "t";
  options.write_mode = GetParam();
  options.batch_size = options.transaction_size = kBatchRows;
  options.retry_backoff_ms = 20;
  options.max_retries = 10'000;
  auto sink = Sink::open(options, batch(0).schema());
  ASSERT_TRUE(sink) << sink.error().to_string();

  Status outcome;
  std::thread writing([&] {
    for (int64_t n = 0; n < kBatches && outcome; ++n) outcome = (*sink)->write(batch(n));
    if (outcome) outcome = (*sink)->flush();
  });
  const auto end = std::chrono::steady_clock::now() + 60s;
  while ((*sink)->metrics().errors["53100"] < 3 && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(10ms);
  }
  const SinkMetrics full = (*sink)->metrics();
  EXPECT_GE(full.errors.contains("53100") ? full.errors.at("53100") : 0, 3U);
  EXPECT_THAT(full.last_error, HasSubstr("No space left on device"));
  EXPECT_EQ(full.errors.size(), 1U) << "what fails because of the first failure is no error";
  EXPECT_EQ(full.lanes_failing, 1U);
  EXPECT_LT(full.rows_written, static_cast<uint64_t>(kBatches * kBatchRows));
  EXPECT_EQ(server->scalar("SELECT count(*) % " + std::to_string(kBatchRows) + " FROM t"), "0");
  disk.free();
  writing.join();
  ASSERT_TRUE(outcome) << outcome.error().to_string();
  EXPECT_EQ(server->scalar("SELECT count(*) || ' ' || count(DISTINCT id) FROM t"),
            std::to_string(kBatches * kBatchRows) + " " + std::to_string(kBatches * kBatchRows));
  EXPECT_EQ((*sink)->metrics().possible_duplicates, 0U);
  EXPECT_EQ((*sink)->metrics().lanes_failing, 0U);
  EXPECT_TRUE((*sink)->close());
  sink->reset();
  server->sql("DROP TABLE t");
  server->sql("DROP TABLESPACE small");
}

INSTANTIATE_TEST_SUITE_P(Modes, DiskFullTest,
                         testing::Values(WriteMode::kInsert, WriteMode::kUpsert),
                         [](const auto& test) {
                           return test.param == WriteMode::kInsert ? "Insert" : "Upsert";
                         });

}  // namespace
}  // namespace pgsink::test
