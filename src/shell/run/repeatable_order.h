#pragma once
// Plans whose rows may come in another order each time, and how they are made to repeat it.

#include <optional>
#include <string>

#include "shell/engine/engine.h"
#include "shell/engine/query_plan.h"

namespace pgsink::shell {

/// The operator of a plan that gives rows in no fixed order where several threads run it, such as
/// a hash join, an aggregate, or an ORDER BY, whose ties come in any order; nullopt if none does.
std::optional<std::string> operator_without_order(const PlanNode& plan);

/// OneEngineThread has the engine run everything in one thread while it lives, if it is more than
/// one now: then every operator gives the same rows in the same order each time.
class OneEngineThread {
 public:
  explicit OneEngineThread(Engine& engine);
  ~OneEngineThread();
  OneEngineThread(const OneEngineThread&) = delete;
  OneEngineThread& operator=(const OneEngineThread&) = delete;

  /// Whether there were more before.
  bool changed() const { return !threads_before_.empty(); }

 private:
  Engine& engine_;
  std::string threads_before_;  ///< "" if nothing was changed.
};

/// Whether the engine keeps the order of rows in operators that can: the user may have turned it
/// off.
bool keeps_insertion_order(Engine& engine);

}  // namespace pgsink::shell
