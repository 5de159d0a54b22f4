#include "pgsink/partition/bound.h"

#include <charconv>
#include <utility>

namespace pgsink {
namespace {

using Constants = std::vector<BoundConstant>;

class Reader {
 public:
  explicit Reader(std::string_view text) : rest_(text) {}

  bool take(std::string_view word) {
    if (!rest_.starts_with(word)) return false;
    rest_.remove_prefix(word.size());
    return true;
  }
  bool done() const { return rest_.empty(); }
  bool number(uint64_t& value) {
    const auto [end, fault] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), value);
    if (fault != std::errc()) return false;
    rest_.remove_prefix(static_cast<size_t>(end - rest_.data()));
    return true;
  }
  /// "(constant, …)".
  bool constants(Constants& to) {
    if (!take("(")) return false;
    do {
      BoundConstant constant;
      if (!read(constant)) return false;
      to.push_back(std::move(constant));
    } while (take(", "));
    return take(")");
  }

 private:
  bool read(BoundConstant& constant) {
    if (take("'")) return quoted(constant.text);
    const size_t end = rest_.find_first_of(",)");
    if (end == std::string_view::npos || end == 0) return false;
    constant.text = rest_.substr(0, end);
    rest_.remove_prefix(end);
    using Kind = BoundConstant::Kind;
    if (constant.text == "NULL") constant.kind = Kind::kNull;
    if (constant.text == "MINVALUE") constant.kind = Kind::kMin;
    if (constant.text == "MAXVALUE") constant.kind = Kind::kMax;
    return true;
  }
  /// After the opening quote. With standard_conforming_strings only quotes are doubled.
  bool quoted(std::string& text) {
    while (!rest_.empty()) {
      const char c = rest_.front();
      rest_.remove_prefix(1);
      if (c == '\'' && !take("'")) return true;
      text += c;
    }
    return false;
  }

  std::string_view rest_;
};

}  // namespace

std::optional<PartitionBound> parse_partition_bound(std::string_view text) {
  using Kind = PartitionBound::Kind;
  Reader reader(text);
  PartitionBound bound;
  bool read = false;
  if (reader.take("DEFAULT")) {
    read = true;
  } else if (reader.take("FOR VALUES IN ")) {
    bound.kind = Kind::kList;
    read = reader.constants(bound.values);
  } else if (reader.take("FOR VALUES FROM ")) {
    bound.kind = Kind::kRange;
    read = reader.constants(bound.from) && reader.take(" TO ") && reader.constants(bound.to);
  } else if (reader.take("FOR VALUES WITH (modulus ")) {
    bound.kind = Kind::kHash;
    read = reader.number(bound.modulus) && reader.take(", remainder ") &&
           reader.number(bound.remainder) && reader.take(")");
  }
  if (!read || !reader.done()) return std::nullopt;
  return bound;
}

}  // namespace pgsink
