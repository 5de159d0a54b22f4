#pragma once
// QueryTree: a query as the engine's parser sees it, and a reader that follows columns through it:
// which columns of the tables below come out as they are, under which names.

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "shell/engine/engine.h"
#include "shell/records/json_reader.h"

namespace pgsink::shell {

/// QueryTree owns the tree of one query. Movable; nodes live as long as it does.
class QueryTree {
 public:
  /// Nullopt if the engine does not parse it, or it is not a query.
  static std::optional<QueryTree> parse(Engine& engine, const std::string& sql);

  const JsonNode& root() const { return root_; }

 private:
  std::unique_ptr<JsonReader> reader_ = std::make_unique<JsonReader>();
  JsonNode root_;
};

/// engine_text is the text that a query yields in its first row and column; nullopt if it fails or
/// yields none.
std::optional<std::string> engine_text(Engine& engine, const std::string& sql);

/// node_text is the text of a member of a node; "" if there is none.
std::string node_text(const JsonNode& node, std::string_view key);

/// TreeReader follows columns. Anything that it does not understand ends the reading: it never
/// guesses.
class TreeReader {
 public:
  /// How an expression uses a column in it.
  enum class Use : uint8_t { kNone, kText, kNumber, kOther };

  /// Output is a column of a relation, and which column of a table below it is as it was.
  struct Output {
    std::string name;
    std::optional<size_t> origin{};
  };
  struct Relation {
    std::string name;
    std::vector<Output> columns;
    /// Origins whose hidden column comes with the relation, if they have one: a further column of
    /// the table below that stars bring along, and that a select list can name.
    std::set<size_t> hides{};
    bool listed = false;  ///< A select list would have to name the hidden ones.
  };
  /// Item is a name or a star in a select list.
  struct Item {
    bool last = false;  ///< The query's last step: its output is the query's.
    bool star = false;
    bool has_alias = false;
    bool plain = false;           ///< Nothing but a name, or a star without EXCLUDE and the like.
    bool beside_star = false;     ///< The list has a star, too.
    bool repeated = false;        ///< The list names the same column before.
    size_t offset = 0;            ///< In the query's text.
    std::vector<Output> outputs;  ///< What it yields.
    std::set<size_t> hides;       ///< Of the relation that it reads.
  };

  virtual ~TreeReader() = default;

  /// The columns that a query returns; nullopt if the tree does not show them. The entries of its
  /// select lists are in items() afterwards.
  std::optional<std::vector<Output>> read(const QueryTree& tree);
  const std::vector<Item>& items() const { return items_; }

 protected:
  /// The columns of a table, or of a function in a FROM; `node` is its reference. Nullopt: unknown.
  virtual std::optional<Relation> read_table(const JsonNode& node) = 0;
  /// An expression does something with a column.
  virtual void note(size_t origin, Use use) = 0;
  /// Whether the query may contain joins, groups, ORDER BY and the like. Otherwise they end the
  /// reading.
  virtual bool allows_all() const { return false; }

 private:
  using Scope = std::map<std::string, Relation>;

  std::optional<Relation> read_node(const JsonNode& node, Scope scope, bool last);
  bool read_with(const JsonNode& node, Scope& scope);
  std::optional<Relation> read_union(const JsonNode& node, const Scope& scope, bool last);
  std::optional<Relation> read_select(const JsonNode& node, const Scope& scope, bool last);
  std::optional<Relation> read_from(const JsonNode& from, const Scope& scope);
  std::optional<Relation> read_join(const JsonNode& from, const Scope& scope);
  bool read_item(const JsonNode& node, Item item);
  bool read_star(const JsonNode& item, Item& read);
  bool resolve(const JsonNode& reference, Output& output);
  const Output* find(std::string_view name) const;
  void note_column(const Output& output, Use use);
  bool visit(const JsonNode& node, Use use);
  bool visit_all(const JsonNode& node, Use use);
  bool visit_beside(const std::vector<const JsonNode*>& parts, const JsonNode& node);

  const Relation* relation_ = nullptr;      ///< Of the current SELECT.
  std::vector<Output>* outputs_ = nullptr;  ///< Its list so far.
  std::vector<Item> items_;
};

}  // namespace pgsink::shell
