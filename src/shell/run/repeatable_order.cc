#include "shell/run/repeatable_order.h"

#include <algorithm>
#include <array>
#include <span>
#include <string_view>

namespace pgsink::shell {
namespace {

/// Operators that keep the order of their inputs; leaves have one of their own.
constexpr std::array<std::string_view, 8> kOrdered{"PROJECTION",      "FILTER",          "UNNEST",
                                                   "INOUT_FUNCTION",  "UNION",           "LIMIT",
                                                   "STREAMING_LIMIT", "STREAMING_WINDOW"};
/// Leaves that read what another operator of the plan has gathered.
constexpr std::array<std::string_view, 2> kGathered{"CTE_SCAN", "DELIM_SCAN"};

/// The value of a setting as text; "" if the engine does not say.
std::string setting(Engine& engine, std::string_view name) {
  auto query =
      engine.prepare("SELECT CAST(current_setting(" + engine_literal(name) + ") AS VARCHAR)");
  if (!query || !query->start()) return "";
  const auto chunk = query->next();
  if (!chunk || !chunk->filled()) return "";
  auto* text = static_cast<duckdb_string_t*>(
      duckdb_vector_get_data(duckdb_data_chunk_get_vector(chunk->get(), 0)));
  return {duckdb_string_t_data(text), duckdb_string_t_length(*text)};
}

bool contains(std::span<const std::string_view> names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

}  // namespace

std::optional<std::string> operator_without_order(const PlanNode& plan) {
  if (plan.name.empty()) return "an unknown operator";
  const bool ordered =
      plan.children.empty() ? !contains(kGathered, plan.name) : contains(kOrdered, plan.name);
  if (!ordered) return plan.name;
  for (const PlanNode& child : plan.children) {
    if (auto found = operator_without_order(child)) return found;
  }
  return std::nullopt;
}

OneEngineThread::OneEngineThread(Engine& engine) : engine_(engine) {
  const std::string threads = setting(engine, "threads");
  if (threads != "1" && engine.execute("SET threads = 1")) threads_before_ = threads;
}

OneEngineThread::~OneEngineThread() {
  if (!threads_before_.empty()) (void)engine_.execute("SET threads = " + threads_before_);
}

bool keeps_insertion_order(Engine& engine) {
  return setting(engine, "preserve_insertion_order") == "true";
}

}  // namespace pgsink::shell
