#include "pgsink/lane/attempt_mark.h"

#include "pgsink/sql/control.h"

namespace pgsink {
namespace {

constexpr std::string_view kBegins = "/* pgsink begins ";
constexpr std::string_view kEnds = "/* pgsink ends ";
constexpr std::string_view kClose = " */ ";

std::string mark(std::string_view word, uint64_t number) {
  return std::string(word) + std::to_string(number) + std::string(kClose);
}

}  // namespace

std::string mark_begin(uint64_t number) { return mark(kBegins, number); }
std::string mark_end(uint64_t number) { return mark(kEnds, number); }

uint64_t last_attempt(std::string_view query) {
  const bool begins = query.starts_with(kBegins);
  if (!begins && !query.starts_with(kEnds)) return 0;
  query.remove_prefix(begins ? kBegins.size() : kEnds.size());
  const uint64_t number = parse_number(query.substr(0, query.find(kClose)));
  // If the first attempt is open, that is 0: nothing is known then, and all of it counts.
  return begins && number > 0 ? number - 1 : number;
}

}  // namespace pgsink
