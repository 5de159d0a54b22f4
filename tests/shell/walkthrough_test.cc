// The pages that a reader follows step by step, followed: files are written as a page shows them,
// its commands are run, and they print what the page says.

#include <cstdlib>
#include <filesystem>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "shell/shell_support.h"

namespace pgsink::test {
namespace {

/// A command of a page, and what it prints there.
struct Step {
  std::string command;
  std::vector<std::string> output;
};

/// What differs from run to run is replaced, and so are blanks at the ends of lines, which a page
/// does not have.
std::vector<std::string> lines_of(const std::string& text) {
  static const std::regex kTimes(R"([0-9.]+ s(, [0-9,]+ rows/s, [0-9.]+ MB/s)?)");
  std::vector<std::string> lines;
  std::istringstream all(text);
  for (std::string line; std::getline(all, line);) {
    line.erase(line.find_last_not_of(' ') + 1);
    lines.push_back(std::regex_replace(line, kTimes, "some time"));
  }
  while (!lines.empty() && lines.back().empty()) lines.pop_back();
  return lines;
}

/// Whether a line is as a page shows it, where "…" stands for anything.
bool is_as_shown(const std::string& line, const std::string& shown) {
  static const std::regex kSpecial(R"([.^$|()\[\]{}*+?\\])");
  std::string pattern = std::regex_replace(shown, kSpecial, R"(\$&)");
  pattern = std::regex_replace(pattern, std::regex("…"), ".*");
  return std::regex_match(line, std::regex(pattern));
}

class Walkthrough {
 public:
  explicit Walkthrough(const std::string& page)
      : page_(read_file(std::string(PGSINK_SOURCE_DIR) + "/" + page)) {}

  /// Follows the page from its beginning to its end. Returns how many commands it ran.
  size_t follow() {
    std::istringstream text(page_);
    std::string language;
    std::string block;
    bool inside = false;
    for (std::string line; std::getline(text, line);) {
      if (!line.starts_with("```")) {
        if (inside) block += line + "\n";
        continue;
      }
      if (inside) end_block(language, block);
      language = line.substr(3);
      block.clear();
      inside = !inside;
    }
    return commands_;
  }

 private:
  void end_block(const std::string& language, const std::string& block) {
    if (language == "sql") folder_.write("load.sql", block);
    if (language == "csv") folder_.write("orders.csv", block);
    if (language != "console") return;
    std::vector<Step> steps;
    std::istringstream text(block);
    for (std::string line; std::getline(text, line);) {
      if (line.starts_with("$ ")) {
        steps.push_back({line.substr(2), {}});
      } else {
        steps.back().output.push_back(line);
      }
    }
    for (const Step& step : steps) run(step);
  }

  void run(const Step& step) {
    if (step.command.starts_with("export ")) return;  // What it exports is set.
    ++commands_;
    std::string shown;
    for (const std::string& line : step.output) shown += line + "\n";
    const std::string command = std::filesystem::path(PGSINK_COMMAND).parent_path();
    RunOptions options;
    options.directory = folder_.path();
    options.environment = {
        {"PATH", command + ":" + analytics_server().bin_dir() + ":" + std::getenv("PATH")},
        {"PGSINK_SECRET_PASSWORD", "s3cret'pw"},
        {"PGHOST", "localhost"},
        {"PGUSER", "user"},
        {"PGPASSWORD", "s3cret'pw"},
        {"PGDATABASE", "analytics"},
        {"PGCLIENTENCODING", "UTF8"}};
    const Captured ran = run_command({"/bin/sh", "-c", "{ " + step.command + "; } 2>&1"}, options);
    const auto lines = lines_of(ran.out);
    const auto wanted = lines_of(shown);
    bool same = lines.size() == wanted.size();
    for (size_t i = 0; same && i < lines.size(); ++i) same = is_as_shown(lines[i], wanted[i]);
    EXPECT_TRUE(same) << step.command << " prints\n" << ran.out << "and the page shows\n" << shown;
  }

  const std::string page_;
  TemporaryFolder folder_;
  size_t commands_ = 0;
};

TEST(Walkthrough, TheReadmesScriptLoadsItsRows) {
  PostgresServer& server = analytics_server();
  server.sql("DROP TABLE IF EXISTS clicks; GRANT CREATE ON SCHEMA public TO \"user\"", "analytics");
  EXPECT_EQ(Walkthrough("README.md").follow(), 1U);
  EXPECT_EQ(server.scalar("SELECT concat_ws(' ', count(*), count(DISTINCT id), max(id), min(kind), "
                          "max(happened_at) AT TIME ZONE 'UTC') FROM clicks",
                          "analytics"),
            "1000000 1000000 999999 click 2024-05-01 12:00:00");
}

TEST(Walkthrough, TheFirstLoadGoesAsItsTutorialSays) {
  analytics_server().sql(
      "DROP TABLE IF EXISTS orders, orders_rejected; GRANT CREATE ON SCHEMA public TO \"user\"",
      "analytics");
  EXPECT_EQ(Walkthrough("docs/tutorials/first-load.md").follow(), 8U);
}

}  // namespace
}  // namespace pgsink::test
