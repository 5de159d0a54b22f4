#pragma once
// What the benchmarks share in reporting: flags, medians, tables in Markdown, goals, figures in
// JSON. The page docs/reference/benchmarks.md asks one question a section and answers it with one
// table; its appendix docs/reference/benchmarks-raw.md has everything else that was measured.

#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pgsink::bench {

/// Flags reads "--name VALUE" and "--name" words. Throws std::runtime_error on an unknown one.
class Flags {
 public:
  /// `known` are the names and their defaults; "no" is the default of a flag without a value.
  Flags(std::span<char* const> arguments, std::map<std::string, std::string> known);

  const std::string& text(const std::string& name) const { return values_.at(name); }
  size_t count(const std::string& name) const;
  bool is_set(const std::string& name) const { return values_.at(name) != "no"; }
  std::vector<std::string> list(const std::string& name) const;

 private:
  std::map<std::string, std::string> values_;
};

/// median of the values; the mean of the two in the middle of an even number.
double median(std::vector<double> values);

/// fixed writes a number with that many decimals.
std::string fixed(double value, int decimals);

/// Table is a table in Markdown.
class Table {
 public:
  explicit Table(std::vector<std::string> head);
  void add(std::vector<std::string> row);
  std::string markdown() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

/// section is one question of the page: its title, how it was measured, its table.
std::string section(std::string_view question, std::string_view method, const Table& answer);

/// with_commas writes a whole number with commas: 1,000,000.
std::string with_commas(size_t number);

/// Goals collects what is promised, what was measured, and whether the promise holds.
class Goals {
 public:
  void at_most(std::string what, double measured, double limit, int decimals = 2);
  void at_least(std::string what, double measured, double limit, int decimals = 2);
  size_t missed() const { return missed_; }
  std::string markdown() const { return table_.markdown(); }

 private:
  void add(std::string what, double measured, const std::string& limit, int decimals, bool met);

  Table table_{{"goal", "limit", "measured", "met"}};
  size_t missed_ = 0;
};

/// Figures collects "name: number" for programs that compare runs.
class Figures {
 public:
  void add(std::string name, double value) { values_.emplace_back(std::move(name), value); }
  std::string json() const;

 private:
  std::vector<std::pair<std::string, double>> values_;
};

/// Report is what a benchmark has to say.
struct Report {
  std::string page;     ///< Sections for docs/reference/benchmarks.md.
  std::string details;  ///< For the appendix, in front of the goals.
  Figures figures;
  Goals goals;
};

/// write_file replaces the file by the text; "" is no file. Throws std::runtime_error.
void write_file(const std::string& file, std::string_view text);

/// finish prints a report and writes its parts where --markdown (the page), --details (the
/// appendix) and --json (the figures) say. A goal that was missed is an error under --enforce.
void finish(const Flags& flags, const Report& report);

/// run_main runs `body` and makes an exit status of how it ends: 0; 1 for errors, which are
/// printed; 2 for goals missed with --enforce.
int run_main(std::string_view program, std::span<char* const> arguments,
             const std::function<void(std::span<char* const>)>& body);

/// say prints a line of progress at once.
void say(const std::string& line);

}  // namespace pgsink::bench
