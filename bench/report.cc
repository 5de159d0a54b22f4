#include "report.h"

#include <algorithm>
#include <cstdio>
#include <exception>
#include <fstream>
#include <stdexcept>

namespace pgsink::bench {
namespace {

/// Ends a run that was told to insist on its goals.
class GoalMissed : public std::exception {
 public:
  const char* what() const noexcept override { return "a goal was missed"; }
};

}  // namespace

Flags::Flags(std::span<char* const> arguments, std::map<std::string, std::string> known)
    : values_(std::move(known)) {
  for (size_t i = 1; i < arguments.size(); ++i) {
    const std::string word = arguments[i];
    const auto found = word.starts_with("--") ? values_.find(word.substr(2)) : values_.end();
    if (found == values_.end()) {
      std::string names;
      for (const auto& [name, value] : values_) names += " --" + name;
      throw std::runtime_error("unknown flag " + word + "; known are" + names);
    }
    if (found->second == "no") {
      found->second = "yes";
    } else if (++i < arguments.size()) {
      found->second = arguments[i];
    } else {
      throw std::runtime_error(word + " lacks its value");
    }
  }
}

size_t Flags::count(const std::string& name) const {
  const std::string& value = text(name);
  if (value.empty() || value.find_first_not_of("0123456789") != std::string::npos) {
    throw std::runtime_error("--" + name + ": not a number: " + value);
  }
  return std::stoull(value);
}

std::vector<std::string> Flags::list(const std::string& name) const {
  std::vector<std::string> items;
  std::string_view rest = text(name);
  while (!rest.empty()) {
    const size_t comma = std::min(rest.find(','), rest.size());
    items.emplace_back(rest.substr(0, comma));
    rest.remove_prefix(std::min(comma + 1, rest.size()));
  }
  return items;
}

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::ranges::sort(values);
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

std::string fixed(double value, int decimals) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", decimals, value);
  return text;
}

Table::Table(std::vector<std::string> head) {
  std::vector<std::string> line;
  for (size_t i = 0; i < head.size(); ++i) line.emplace_back(i == 0 ? "---" : "---:");
  rows_.push_back(std::move(head));
  rows_.push_back(std::move(line));
}

void Table::add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }

std::string Table::markdown() const {
  std::string text;
  for (const auto& row : rows_) {
    for (const std::string& cell : row) text += "| " + cell + " ";
    text += "|\n";
  }
  return text;
}

std::string section(std::string_view question, std::string_view method, const Table& answer) {
  std::string text = "## ";
  text.append(question).append("\n\n").append(method).append("\n\n");
  return text + answer.markdown() + "\n";
}

std::string with_commas(size_t number) {
  std::string text = std::to_string(number);
  for (size_t at = text.size(); at > 3;) text.insert(at -= 3, ",");
  return text;
}

void Goals::at_most(std::string what, double measured, double limit, int decimals) {
  add(std::move(what), measured, "≤ " + fixed(limit, decimals), decimals, measured <= limit);
}

void Goals::at_least(std::string what, double measured, double limit, int decimals) {
  add(std::move(what), measured, "≥ " + fixed(limit, decimals), decimals, measured >= limit);
}

void Goals::add(std::string what, double measured, const std::string& limit, int decimals,
                bool met) {
  table_.add({std::move(what), limit, fixed(measured, decimals + 1), met ? "yes" : "**no**"});
  if (!met) ++missed_;
}

std::string Figures::json() const {
  std::string text = "{";
  for (const auto& [name, value] : values_) {
    char number[64];
    std::snprintf(number, sizeof number, "%.9g", value);
    text += (text.size() > 1 ? ",\n \"" : "\n \"") + name + "\": " + number;
  }
  return text + "\n}\n";
}

void write_file(const std::string& file, std::string_view text) {
  if (file.empty()) return;
  std::ofstream out(file, std::ios::trunc);
  out << text;
  out.close();
  if (!out) throw std::runtime_error("cannot write " + file);
}

void finish(const Flags& flags, const Report& report) {
  const std::string details = report.details + report.goals.markdown();
  std::fputs((report.page + details).c_str(), stdout);
  write_file(flags.text("markdown"), report.page);
  write_file(flags.text("details"), details);
  write_file(flags.text("json"), report.figures.json());
  if (flags.is_set("enforce") && report.goals.missed() > 0) throw GoalMissed();
}

int run_main(std::string_view program, std::span<char* const> arguments,
             const std::function<void(std::span<char* const>)>& body) {
  try {
    body(arguments);
    return 0;
  } catch (const GoalMissed& missed) {
    say(std::string(program) + ": " + missed.what());
    return 2;
  } catch (const std::exception& error) {
    say(std::string(program) + ": " + error.what());
    return 1;
  }
}

void say(const std::string& line) {
  std::fprintf(stderr, "%s\n", line.c_str());
  std::fflush(stderr);
}

}  // namespace pgsink::bench
