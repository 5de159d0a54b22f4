#pragma once
// Sources: the unbounded sources that CREATE CONNECTION made, by name. Queries see each as a view.

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "shell/engine/engine.h"
#include "shell/sources/source_feed.h"
#include "shell/sources/unbounded_source.h"

namespace pgsink::shell {

class Sources {
 public:
  struct Source {
    std::string name;
    std::string function;  ///< The engine's name of its feed.
    std::unique_ptr<UnboundedSource> rows;
    SourceFeed feed;
    bool opened = false;
    bool has_columns = false;  ///< Once opened: it was not at its end before it had a row.
  };

  /// `engine` is set once it is open: what it knows of the sources must outlive it.
  void set_engine(Engine* engine) { engine_ = engine; }

  /// Adds a source; in the place of one of the same name, if there is one.
  void put(const std::string& name, std::unique_ptr<UnboundedSource> rows);
  bool contains(const std::string& name) const { return sources_.contains(name); }
  /// False if there is none of that name.
  bool drop(const std::string& name);
  std::vector<std::string> names() const;

  /// Opens every source whose name stands in a statement, which may read it, and makes its view.
  /// Under `checking` those whose open() waits stay closed. Returns one that the statement cannot
  /// read: it stays closed, or has no columns.
  Result<const Source*> open_mentioned(std::string_view statement, bool checking,
                                       const std::function<bool()>& stop);

  /// Gives the open columns of a source the types for what queries do with them.
  Status set_uses(Source& source, std::span<const ColumnUse> uses);
  /// What the types of open columns may have to do with an error of a query; or "".
  std::string type_note();
  /// An open source with open columns; null if there is none.
  Source* with_open_columns();

  /// forget_bound(), bind statements, then bound(): the sources that they read.
  void forget_bound();
  std::vector<Source*> bound();

 private:
  Status open(Source& source, const std::function<bool()>& stop);
  Status reset_uses(Source& source);
  Status make_view(const Source& source, const SourceShape& shape);

  Engine* engine_ = nullptr;
  size_t made_ = 0;
  std::map<std::string, std::unique_ptr<Source>> sources_;
  std::vector<std::unique_ptr<Source>> gone_;  ///< The engine still knows their functions.
};

}  // namespace pgsink::shell
