// The command at a terminal, and what is completed there.

#include <array>
#include <chrono>
#include <csignal>
#include <poll.h>
#include <pty.h>
#include <sys/wait.h>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "shell/flags/flags.h"
#include "shell/prompt/word_completion.h"
#include "shell/shell_support.h"

namespace pgsink::test {
namespace {

using testing::AllOf;

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

/// Terminal runs the command on a terminal of its own, as somebody who types.
class Terminal {
 public:
  explicit Terminal(const std::string& history) {
    winsize size{};
    size.ws_row = 50;
    size.ws_col = 200;
    pid_ = ::forkpty(&file_, nullptr, nullptr, &size);
    if (pid_ == 0) {
      ::setenv("PGSINK_HISTORY", history.c_str(), 1);
      ::setenv("PGSINK_SECRET_PASSWORD", "s3cret'pw", 1);
      ::setenv("TERM", "xterm", 1);
      ::setenv("TZ", "Asia/Tokyo", 1);
      for (const int number : {SIGINT, SIGTERM, SIGPIPE}) ::signal(number, SIG_DFL);
      sigset_t none;
      ::sigemptyset(&none);
      ::sigprocmask(SIG_SETMASK, &none, nullptr);
      ::execl(PGSINK_COMMAND, PGSINK_COMMAND, nullptr);
      ::_exit(127);
    }
    expect("pgsink> ");
  }
  ~Terminal() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
    ::close(file_);
  }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  void type(const std::string& keys) {
    seen_.clear();
    ASSERT_EQ(::write(file_, keys.data(), keys.size()), static_cast<ssize_t>(keys.size()));
  }
  /// Waits until what came since the last keys holds a text, and returns it.
  std::string expect(const std::string& text) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (seen_.find(text) == std::string::npos && std::chrono::steady_clock::now() < deadline) {
      if (!read_some()) break;
    }
    EXPECT_THAT(seen_, HasSubstr(text));
    return seen_;
  }
  /// Waits until it listens: the prompt is there before the terminal is set.
  void settle() {
    expect("> ");
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
  /// Types a line and waits for the next prompt.
  std::string run(const std::string& line) {
    type(line + "\r");
    expect("\n");
    return expect("pgsink> ");
  }
  pid_t pid() const { return pid_; }
  /// The exit code, once it has ended.
  int end() {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (read_some() && std::chrono::steady_clock::now() < deadline) {
    }
    if (std::chrono::steady_clock::now() >= deadline) ::kill(pid_, SIGKILL);
    int status = 0;
    ::waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

 private:
  bool read_some() {
    pollfd polled{.fd = file_, .events = POLLIN, .revents = 0};
    if (::poll(&polled, 1, 1000) < 0) return false;
    if (polled.revents == 0) return true;
    std::array<char, 4096> part{};
    const ssize_t bytes = ::read(file_, part.data(), part.size());
    if (bytes <= 0) return false;
    seen_.append(part.data(), static_cast<size_t>(bytes));
    return true;
  }

  pid_t pid_ = -1;
  int file_ = -1;
  std::string seen_;
};

class AtTheTerminal : public testing::Test {
 protected:
  TemporaryFolder folder_;
  const std::string history_ = folder_.path() + "/history";
};

TEST_F(AtTheTerminal, StatementsRunWhenTheirEndIsTyped) {
  Terminal terminal(history_);
  terminal.type("SELECT 'a;b' AS x,\r");
  terminal.expect("   ...> ");
  terminal.type("  40 + 2 AS y; -- done\r");
  EXPECT_THAT(terminal.expect("pgsink> "), HasSubstr(" a;b | 42"));
  EXPECT_THAT(terminal.run("SELECT nope;"), AllOf(HasSubstr("<terminal>:1:8: "),
                                                  HasSubstr("error[PGS-1010]"), HasSubstr("^~~~")));
  EXPECT_THAT(terminal.run("SELECT 7 AS still;"), HasSubstr("\r\n     7\r\n"));
  // The machine's time zone, here that of Tokyo, decides nothing.
  EXPECT_THAT(terminal.run("SELECT (TIMESTAMPTZ '2024-03-10 20:00:00+00')::DATE::VARCHAR AS day;"),
              HasSubstr(" 2024-03-10\r\n"));
  terminal.type(".quit\r");
  EXPECT_EQ(terminal.end(), 0);
}

TEST_F(AtTheTerminal, PipelinesRunAndTheirConnectionsAreListedAndTested) {
  create_table("typed", "(id bigint)");
  Terminal terminal(history_);
  terminal.run(
      "CREATE CONNECTION typed TO postgresql (host = 'localhost', database = 'analytics', "
      "username = 'user', password = '${secret:password}', table = 'typed');");
  EXPECT_THAT(terminal.run("INSERT INTO typed VALUES (1), (2);"), HasSubstr("2 rows"));
  EXPECT_THAT(terminal.run(".sinks"), AllOf(HasSubstr("public.typed"), HasSubstr("localhost:5432"),
                                            Not(HasSubstr("s3cret"))));
  EXPECT_THAT(terminal.run("\\ds"), HasSubstr("public.typed"));
  EXPECT_THAT(terminal.run(".test typed"), HasSubstr("\r\n ok\r\n"));
  EXPECT_THAT(terminal.run(".test typd"), HasSubstr("did you mean 'typed'?"));
  terminal.run(".mode jsonl");
  EXPECT_THAT(terminal.run(".metrics typed"), HasSubstr("\"rows_written\":2"));
  EXPECT_THAT(terminal.run(".help"), AllOf(HasSubstr(".watch"), HasSubstr("\\timing")));
  EXPECT_THAT(terminal.run(".sink"), HasSubstr("did you mean .sinks?"));
  EXPECT_THAT(terminal.run(".mode xml"), HasSubstr("table, csv, json, jsonl or line"));
  terminal.run("CREATE TABLE of_the_engine AS SELECT 1 AS a;");
  EXPECT_THAT(terminal.run("\\dt"), HasSubstr("of_the_engine"));
  terminal.run("\\x");
  EXPECT_THAT(terminal.run("SELECT 5 AS five;"), HasSubstr("five = 5"));
  EXPECT_THAT(terminal.run("\\timing"), HasSubstr("timing is on"));
  EXPECT_THAT(terminal.run("SELECT 6 AS six;"), HasSubstr("Time: "));
  EXPECT_THAT(terminal.run(".read " + folder_.write("s.sql", "SELECT 8 AS eight; SELECT bad;")),
              AllOf(HasSubstr("eight = 8"), HasSubstr("s.sql:1:27: ")));
  terminal.settle();
  terminal.type("\x04");
  EXPECT_EQ(terminal.end(), 0);
}

TEST_F(AtTheTerminal, CtrlCGivesUpALineAndInterruptsAStatement) {
  Terminal terminal(history_);
  terminal.type("SELECT 'half\r");
  terminal.expect("   ...> ");
  terminal.settle();
  terminal.type("\x03");
  terminal.expect("pgsink> ");
  EXPECT_THAT(terminal.run("SELECT 1 AS whole;"), HasSubstr("whole"));
  terminal.type("SELECT count(*) FROM range(1000000000000) AS r(i) WHERE i % 7 = 3;\r");
  terminal.expect("\n");
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  terminal.type("\x03");
  terminal.expect("interrupted");
  terminal.expect("pgsink> ");
  EXPECT_THAT(terminal.run("SELECT 2 AS after_it;"), HasSubstr("after_it"));
  terminal.type(".watch 1\r");
  terminal.expect("after_it");
  terminal.expect("(1 row)\r\n\r\n after_it");
  terminal.type("\x03");
  terminal.expect("pgsink> ");
  terminal.settle();
  ::kill(terminal.pid(), SIGTERM);
  EXPECT_EQ(terminal.end(), 128 + SIGTERM);
}

TEST_F(AtTheTerminal, HistoryKeepsStatementsAndNoPassword) {
  {
    Terminal terminal(history_);
    terminal.run("SELECT 11 AS eleven;");
    terminal.run(
        "CREATE CONNECTION c TO postgresql (host = 'h', database = 'd', username = 'u', "
        "password = 'topsecret', table = 't');");
    terminal.type(".quit\r");
    EXPECT_EQ(terminal.end(), 0);
  }
  const std::string kept = read_file(history_);
  EXPECT_THAT(kept, AllOf(HasSubstr("eleven"), HasSubstr("***"), Not(HasSubstr("topsecret"))));
  EXPECT_EQ(std::filesystem::status(history_).permissions(), std::filesystem::perms(0600));
  Terminal again(history_);
  again.settle();
  again.type("\x10\x10\x10\r");  // Ctrl-P: .quit, the connection, the query
  EXPECT_THAT(again.expect("(1 row)"), HasSubstr("11"));
}

TEST_F(AtTheTerminal, TabCompletes) {
  Terminal terminal(history_);
  terminal.type("SEL\tlength('abc') AS n;\r");
  EXPECT_THAT(terminal.expect("pgsink> "), HasSubstr("\r\n 3\r\n"));
  terminal.type("CREATE CONNECTION c TO postgresql (copy_b\t");
  terminal.expect("atch_size");
}

// ---- words ---------------------------------------------------------------------------------

shell::WordLists lists() {
  return {.dot_commands = {".help", ".test", "\\dt"},
          .connections = {"events_sink", "Zeta"},
          .tables = {"events", "system.postgresql_statements"},
          .formats = {"csv", "json"}};
}

std::vector<std::string> completed(const std::string& text) {
  return shell::complete_word(text, lists()).words;
}

TEST(WordCompletion, KnowsWhatMayStandAtThePlace) {
  EXPECT_THAT(completed(".he"), ElementsAre(".help"));
  EXPECT_THAT(completed("\\d"), ElementsAre("\\dt"));
  EXPECT_THAT(completed(".test ev"), ElementsAre("events_sink"));
  EXPECT_THAT(completed(".mode "), ElementsAre("csv", "json"));
  EXPECT_THAT(completed("insert into ev"), ElementsAre("events", "events_sink"));
  EXPECT_THAT(completed("SELECT * FROM system.po"), ElementsAre("system.postgresql_statements"));
  EXPECT_THAT(completed("DROP CONNECTION z"), ElementsAre("Zeta"));
  EXPECT_THAT(completed("CREATE CONNECTION c TO postgresql (host = 'h', batch_ti"),
              ElementsAre("batch_timeout_ms"));
  EXPECT_THAT(completed("CREATE CONNECTION c TO stdin (form"), ElementsAre("format"));
  EXPECT_THAT(completed("CREATE CONNECTION c TO stdin (form = 'csv'); pipel"),
              ElementsAre("PIPELINE"));
  EXPECT_THAT(completed("CREATE CONNECTION c TO postgresql (host = 'batch_ti"), ElementsAre());
  EXPECT_THAT(completed("sel"), ElementsAre("SELECT"));
  EXPECT_EQ(shell::complete_word("SELECT 1; DRO", lists()).word_bytes, 3U);
}

// ---- generated texts -----------------------------------------------------------------------

TEST(Generated, CompletionAndManualNameEveryFlagAndCommand) {
  for (const std::string kind : {"bash", "zsh", "fish", "man"}) {
    const auto run = kind == "man" ? pgsink({"man"}) : pgsink({"completion", kind});
    ASSERT_EQ(run.exit_code, 0) << run.err;
    for (const shell::FlagInfo& flag : shell::flag_table()) {
      std::string name = (kind == "fish" ? "-l " : "--") + std::string(flag.name);
      if (kind == "man") {
        for (size_t at = 0; (at = name.find('-', at)) != std::string::npos; at += 2) {
          name.insert(at, "\\");
        }
      }
      EXPECT_THAT(run.out, HasSubstr(name)) << kind;
    }
    for (const shell::CommandInfo& command : shell::command_table()) {
      EXPECT_THAT(run.out, HasSubstr(std::string(command.name))) << kind;
    }
  }
  EXPECT_EQ(pgsink({"completion"}).exit_code, 2);
  EXPECT_THAT(pgsink({"completion", "fihs"}).err, HasSubstr("did you mean fish?"));
}

TEST(Generated, BashCompletesWithTheScript) {
  const auto complete = [](const std::string& words, int at) {
    return run_command({"/bin/bash", "-c",
                        "source <(" PGSINK_COMMAND " completion bash); COMP_WORDS=(" + words +
                            "); COMP_CWORD=" + std::to_string(at) +
                            "; _pgsink; echo \"${COMPREPLY[*]}\""})
        .out;
  };
  EXPECT_EQ(complete("pgsink --format js", 2), "json jsonl\n");
  EXPECT_EQ(complete("pgsink rec", 1), "recover\n");
  EXPECT_EQ(complete("pgsink recover --dec", 2), "--decided\n");
  EXPECT_EQ(complete("pgsink --metr", 1), "--metrics-listen\n");
  EXPECT_EQ(complete("pgsink completion z", 2), "zsh\n");
}

}  // namespace
}  // namespace pgsink::test
