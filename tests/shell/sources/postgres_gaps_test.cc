// The ways in which a server stops showing changes without a word: the command ends with an error
// that names each, while its pipeline runs and when it is started again.

#include <atomic>
#include <csignal>
#include <sstream>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "shell/shell_support.h"
#include "support/patience.h"

namespace pgsink::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

struct Gap {
  const char* name;
  const char* change;   ///< Rows are changed at "…", or else after it.
  const char* message;  ///< Part of it.
  int version = 0;      ///< The first that has it.
  const char* before = "CREATE PUBLICATION gap_pub FOR TABLE stock";
};

constexpr const char* kTwoRows = "INSERT INTO stock VALUES (1, 'a'), (2, 'b')";

class GapsOfTheCommand : public testing::TestWithParam<Gap> {
 protected:
  void SetUp() override {
    if (!can()) return;
    create_table("stock", "(id int PRIMARY KEY, v text)");
    create_table("mirror", "(id int PRIMARY KEY, v text)");
    does(kTwoRows);
    does("CREATE SCHEMA IF NOT EXISTS elsewhere; DROP TABLE IF EXISTS elsewhere.stock");
    does("ALTER ROLE \"user\" REPLICATION");
    does(GetParam().before);
    owned();
  }
  void TearDown() override {
    if (!can()) return;
    EXPECT_TRUE(becomes("SELECT count(*) FROM pg_replication_slots WHERE active", "0"));
    does(
        "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots;"
        "DROP PUBLICATION IF EXISTS gap_pub, other_pub; DROP SCHEMA elsewhere CASCADE;"
        "ALTER ROLE \"user\" NOREPLICATION");
  }

  /// Whether the server has what the gap is made by.
  static bool can() { return analytics_server().version() >= GetParam().version; }
  static void does(const std::string& sql) { analytics_server().sql(sql, "analytics"); }
  static std::string says(const std::string& sql) {
    return analytics_server().scalar(sql, "analytics");
  }
  static bool becomes(const std::string& sql, const std::string& value) {
    return eventually([&] { return says(sql) == value; });
  }
  static void owned() { does("ALTER TABLE stock OWNER TO \"user\""); }

  /// Each statement is a transaction of its own.
  static void change() {
    bool changed = false;
    const auto rows = [&] {
      owned();  // A table that was made anew, too.
      if (says("SELECT count(*) FROM stock") == "0") does(kTwoRows);
      does("INSERT INTO stock VALUES (10, 'x')");
      does("UPDATE stock SET v = 'y' WHERE id = 1");
      does("DELETE FROM stock WHERE id = 2");
      does("INSERT INTO stock VALUES (11, 'z')");
      changed = true;
    };
    std::istringstream parts(GetParam().change);
    for (std::string part; std::getline(parts, part, ';');) {
      if (part.find("…") == std::string::npos) {
        does(part);
      } else {
        rows();
      }
    }
    if (!changed) rows();
  }

  /// Runs the pipeline until it ends by itself; `act` runs beside it.
  template <typename Act>
  Captured run(Act act) {
    std::atomic<pid_t> pid = 0;
    RunOptions options;
    options.watch = [&](pid_t running, const std::string&) { pid = running; };
    std::thread thread([&] { act(pid); });
    Captured run = pgsink({"-c", script_}, options);
    thread.join();
    return run;
  }
  static bool has_copied() { return becomes("SELECT count(*) FROM mirror", "2"); }

  static std::string source() {
    std::string text =
        connection("changes", "stock", "publication = 'gap_pub', replication_slot = 'gap_slot'");
    const std::string sink = "type = 'sink'";
    return text.replace(text.find(sink), sink.size(), "type = 'source'");
  }

  const std::string script_ =
      source() + connection("mirror_sink", "mirror", "write_mode = 'changelog'") +
      "CREATE PIPELINE p AS INSERT INTO mirror_sink SELECT * FROM changes WHERE _op <> 'T';";
};

class RunningGaps : public GapsOfTheCommand {};

TEST_P(RunningGaps, EndThePipelineWithAnErrorThatNamesThem) {
  if (!can()) return;
  const Captured ended = run([](const std::atomic<pid_t>&) {
    EXPECT_TRUE(has_copied());
    // The changes follow the snapshot by the slot's own name.
    EXPECT_TRUE(becomes(
        "SELECT count(*) FROM pg_replication_slots WHERE active AND slot_name = 'gap_slot'", "1"));
    change();
  });
  EXPECT_EQ(ended.exit_code, 1) << ended.err;
  EXPECT_THAT(ended.err, AllOf(HasSubstr(GetParam().message), HasSubstr("open the source again")));
  EXPECT_EQ(says("SELECT count(*) FROM mirror WHERE v IS NULL"), "0");
}

INSTANTIATE_TEST_SUITE_P(
    Gap, RunningGaps,
    testing::Values(
        Gap{"PublicationDropped", "DROP PUBLICATION gap_pub", "publication \"gap_pub\" "},
        Gap{"PublicationRenamed", "ALTER PUBLICATION gap_pub RENAME TO other_pub",
            "publication \"gap_pub\" "},
        Gap{"TableTakenOut", "ALTER PUBLICATION gap_pub DROP TABLE stock",
            "does not hold it any more"},
        Gap{"FewerActions", "ALTER PUBLICATION gap_pub SET (publish = 'insert')",
            "insert instead of"},
        Gap{"ColumnList", "ALTER PUBLICATION gap_pub SET TABLE stock (id)", "column", 150000},
        Gap{"RowFilter", "ALTER PUBLICATION gap_pub SET TABLE stock WHERE (id < 5)", "row filter",
            150000},
        Gap{"TableRemade", "DROP TABLE stock; CREATE TABLE stock (id int PRIMARY KEY, v text)",
            "dropped"},
        Gap{"TableRemadeOfAll", "DROP TABLE stock; CREATE TABLE stock (id int PRIMARY KEY, v text)",
            "dropped", 0, "CREATE PUBLICATION gap_pub FOR ALL TABLES"},
        Gap{"TableMoved",
            "ALTER TABLE stock SET SCHEMA elsewhere;"
            "CREATE TABLE stock (id int PRIMARY KEY, v text)",
            "it is called elsewhere.stock now"}),
    [](const auto& test) { return test.param.name; });

class StoppedGaps : public GapsOfTheCommand {};

TEST_P(StoppedGaps, AreToldAtTheNextStart) {
  if (!can()) return;
  const Captured first = run([](const std::atomic<pid_t>& pid) {
    EXPECT_TRUE(has_copied());
    does("INSERT INTO stock VALUES (3, 'c')");
    EXPECT_TRUE(becomes("SELECT count(*) FROM mirror", "3"));
    kill(pid, SIGINT);
  });
  EXPECT_EQ(first.exit_code, 130) << first.err;
  EXPECT_TRUE(becomes("SELECT count(*) FROM pg_replication_slots WHERE active", "0"));
  change();
  const Captured next = pgsink({"-c", script_});
  EXPECT_EQ(next.exit_code, 1) << next.err;
  EXPECT_THAT(next.err, AllOf(HasSubstr(GetParam().message), HasSubstr("lost")));
  EXPECT_EQ(says("SELECT string_agg(id || v, ' ' ORDER BY id) FROM mirror"), "1a 2b 3c");
}

INSTANTIATE_TEST_SUITE_P(
    Gap, StoppedGaps,
    testing::Values(Gap{"TableTakenOut", "ALTER PUBLICATION gap_pub DROP TABLE stock",
                        "does not hold table public.stock"},
                    Gap{"PublicationDropped", "DROP PUBLICATION gap_pub",
                        "publication \"gap_pub\" is missing"},
                    Gap{"PublicationRemade",
                        "DROP PUBLICATION gap_pub;…;CREATE PUBLICATION gap_pub FOR TABLE stock",
                        "was dropped and recreated"},
                    Gap{"SlotRemade",
                        "SELECT pg_drop_replication_slot('gap_slot');…;"
                        "SELECT pg_create_logical_replication_slot('gap_slot', 'pgoutput')",
                        "somebody else recreated, advanced or read it"},
                    Gap{"SlotAdvanced",
                        "…;SELECT pg_replication_slot_advance('gap_slot', pg_current_wal_lsn())",
                        "somebody else recreated, advanced or read it"}),
    [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace pgsink::test
