#include "shell/engine/query_plan.h"

#include "shell/text/json_text.h"

namespace pgsink::shell {
namespace {

/// Deeper plans are not looked at: each level is a call here.
constexpr size_t kDepthMax = 500;

/// Reads the JSON of a plan: objects, arrays and strings. Anything else ends the reading.
class PlanReader {
 public:
  explicit PlanReader(std::string_view text) : text_(text) {}

  PlanNode read() {
    PlanNode root;
    skip_blanks();
    if (!take('[')) return root;
    skip_blanks();
    node(root, 0);
    return failed_ ? PlanNode() : root;
  }

 private:
  void skip_blanks() { at_ = std::min(text_.find_first_not_of(" \n\r\t,:", at_), text_.size()); }
  bool take(char c) {
    skip_blanks();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  std::string string() {
    skip_blanks();
    auto text = read_json_string(text_, at_);
    if (!text) failed_ = true;
    return text.value_or("");
  }

  void node(PlanNode& node, size_t depth) {
    if (!take('{') || depth > kDepthMax) failed_ = true;
    while (!failed_ && !take('}')) {
      const std::string key = string();
      skip_blanks();
      if (key == "name") {
        node.name = string();
        while (node.name.ends_with(' ')) node.name.pop_back();
      } else if (key == "children" && take('[')) {
        while (!failed_ && !take(']')) this->node(node.children.emplace_back(), depth + 1);
      } else if (key == "extra_info" && take('{')) {
        while (!failed_ && !take('}')) extra(node);
      } else {
        (void)value(0);
      }
    }
  }

  void extra(PlanNode& node) {
    const std::string key = string();
    const std::string text = value(0);
    if (key == "Expression") node.expression = text;
    if (key == "Table") node.table = text;
  }

  /// The value's text; for an array the texts one after the other.
  std::string value(size_t depth) {
    if (depth > kDepthMax) failed_ = true;
    std::string all;
    if (take('[')) {
      while (!failed_ && !take(']')) all += value(depth + 1);
    } else if (take('{')) {
      while (!failed_ && !take('}')) {
        (void)string();
        all += value(depth + 1);
      }
    } else {
      all = string();
    }
    return all;
  }

  std::string_view text_;
  size_t at_ = 0;
  bool failed_ = false;
};

/// Splits "(a) AND (b) AND (c)" at its outermost ANDs.
std::vector<std::string_view> terms(std::string_view text) {
  std::vector<std::string_view> found;
  size_t begin = 0;
  size_t depth = 0;
  bool quoted = false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\'') quoted = !quoted;
    if (quoted) continue;
    if (text[i] == '(') ++depth;
    if (text[i] == ')' && depth > 0) --depth;
    if (depth == 0 && text.substr(i).starts_with(" AND ")) {
      found.push_back(text.substr(begin, i - begin));
      begin = i + 5;
    }
  }
  found.push_back(text.substr(begin));
  return found;
}

/// Without the brackets around all of it.
std::string_view unwrapped(std::string_view text) {
  while (text.starts_with('(') && text.ends_with(')')) {
    size_t depth = 0;
    bool quoted = false;
    for (size_t i = 0; i + 1 < text.size(); ++i) {
      if (text[i] == '\'') quoted = !quoted;
      if (quoted) continue;
      if (text[i] == '(') ++depth;
      if (text[i] == ')') --depth;
      if (depth == 0) return text;
    }
    text = text.substr(1, text.size() - 2);
  }
  return text;
}

}  // namespace

PlanNode parse_plan(std::string_view json) { return PlanReader(json).read(); }

EngineResult<PlanNode> plan_of(Engine& engine, const std::string& sql) {
  auto query = engine.prepare("EXPLAIN (FORMAT json) " + sql);
  if (!query) return std::unexpected(query.error());
  if (auto started = query->start(); !started) return std::unexpected(started.error());
  const auto chunk = query->next();
  if (!chunk) return std::unexpected(chunk.error());
  if (!chunk->filled() || duckdb_data_chunk_get_column_count(chunk->get()) < 2) return PlanNode();
  auto* texts = static_cast<duckdb_string_t*>(
      duckdb_vector_get_data(duckdb_data_chunk_get_vector(chunk->get(), 1)));
  return parse_plan({duckdb_string_t_data(texts), duckdb_string_t_length(*texts)});
}

std::vector<std::string> compared_texts(std::string_view expression, std::string_view column) {
  std::vector<std::string> found;
  expression = unwrapped(expression);
  const auto parts = terms(expression);
  if (parts.size() > 1) {
    for (const std::string_view part : parts) {
      for (std::string& text : compared_texts(part, column)) found.push_back(std::move(text));
    }
    return found;
  }
  const std::string before = std::string(column) + " = '";
  if (!expression.starts_with(before) || !expression.ends_with('\'')) return found;
  const std::string_view quoted = expression.substr(before.size());
  std::string text;
  for (size_t i = 0; i + 1 < quoted.size(); ++i) {
    if (quoted[i] == '\'') {
      // A quote that is not doubled ends the text: then this is more than one comparison.
      ++i;
      if (i + 1 >= quoted.size() || quoted[i] != '\'') return found;
    }
    text += quoted[i];
  }
  found.push_back(std::move(text));
  return found;
}

}  // namespace pgsink::shell
