#include "c/json.h"

#include <array>
#include <charconv>
#include <string_view>
#include <type_traits>

#include "pgsink/encode/values/render.h"
#include "pgsink/lane/dead_letter_file.h"

namespace pgsink::c {
namespace {

void append(std::string& to, std::string_view text) { encode::append_text_as_json(text, to); }
void append(std::string& to, bool value) { to += value ? "true" : "false"; }
template <typename T>
  requires(std::is_arithmetic_v<T> && !std::is_same_v<T, bool>)
void append(std::string& to, T value) {
  std::array<char, 32> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  to.append(text.data(), end);
}

/// Object writes the members of one object.
class Object {
 public:
  explicit Object(std::string& to) : to_(to) { to_ += '{'; }
  ~Object() { to_ += '}'; }
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;

  /// Begins a member whose value is written next.
  std::string& member(std::string_view name) {
    if (!first_) to_ += ',';
    first_ = false;
    append(to_, name);
    to_ += ':';
    return to_;
  }
  template <typename T>
  void add(std::string_view name, const T& value) {
    append(member(name), value);
  }

 private:
  std::string& to_;
  bool first_ = true;
};

template <typename Range, typename F>
void append_array(std::string& to, const Range& range, F&& one) {
  to += '[';
  bool first = true;
  for (const auto& value : range) {
    if (!first) to += ',';
    first = false;
    one(value);
  }
  to += ']';
}

template <typename Histogram>
void append_histogram(std::string& to, const Histogram& histogram) {
  Object object(to);
  object.add("count", histogram.count);
  object.add("sum", histogram.sum);
  object.add("p50", histogram.quantile(0.5));
  object.add("p99", histogram.quantile(0.99));
  append_array(object.member("bounds"), Histogram::kBounds, [&](double v) { append(to, v); });
  append_array(object.member("counts"), histogram.counts, [&](uint64_t v) { append(to, v); });
}

void append_statement(std::string& to, const StatementMetrics& statement) {
  Object object(to);
  object.add("text", std::string_view(statement.text));
  object.add("calls", statement.calls);
  object.add("failures", statement.failures);
  object.add("rows", statement.rows);
  object.add("total_seconds", statement.total_seconds);
  object.add("max_seconds", statement.max_seconds);
}

void append_counters(Object& object, const SinkMetrics& metrics) {
  object.add("rows_accepted", metrics.rows_accepted);
  object.add("rows_written", metrics.rows_written);
  object.add("rows_changed", metrics.rows_changed);
  object.add("bytes_written", metrics.bytes_written);
  object.add("batches_sent", metrics.batches_sent);
  object.add("failed_writes", metrics.failed_writes);
  object.add("rejected_rows", metrics.rejected_rows);
  object.add("retry_count", metrics.retry_count);
  object.add("possible_duplicates", metrics.possible_duplicates);
  object.add("in_flight_rows", metrics.in_flight_rows);
  object.add("buffered_bytes", metrics.buffered_bytes);
  object.add("connections_opened", metrics.connections_opened);
  object.add("connections_broken", metrics.connections_broken);
  object.add("connections_open", metrics.connections_open);
  object.add("lanes_failing", metrics.lanes_failing);
  object.add("sinks_stopped", metrics.sinks_stopped);
}

}  // namespace

std::string metrics_as_json(const SinkMetrics& metrics) {
  std::string json;
  {
    Object object(json);
    object.add("connection_name", std::string_view(metrics.connection_name));
    append_counters(object, metrics);
    append_histogram(object.member("write_latency_seconds"), metrics.write_latency);
    append_histogram(object.member("batch_rows"), metrics.batch_rows);
    append_histogram(object.member("batch_bytes"), metrics.batch_bytes);
    {
      Object triggers(object.member("batches_by_trigger"));
      for (size_t i = 0; i < metrics.batches_by_trigger.size(); ++i) {
        triggers.add(batch_trigger_name(static_cast<BatchTrigger>(i)),
                     metrics.batches_by_trigger[i]);
      }
    }
    {
      Object errors(object.member("errors"));
      for (const auto& [sqlstate, count] : metrics.errors) errors.add(sqlstate, count);
    }
    append_array(object.member("statements"), metrics.statements,
                 [&](const StatementMetrics& one) { append_statement(json, one); });
    object.add("last_error", std::string_view(metrics.last_error));
    object.add("last_error_us", metrics.last_error_wall_us);
    object.add("last_commit_us", metrics.last_commit_wall_us);
  }
  return json;
}

std::string columns_as_json(std::span<const TargetColumn> columns) {
  std::string json;
  append_array(json, columns, [&](const TargetColumn& column) {
    Object object(json);
    object.add("name", std::string_view(column.name));
    object.add("type", std::string_view(column.type));
    object.add("nullable", column.nullable);
    object.add("default", std::string_view(column.default_text));
    object.add("key", column.is_key);
    object.add("generated", column.is_generated);
    object.add("ordinal", column.ordinal);
  });
  return json;
}

std::string report_as_json(const JobReport& report) {
  return "{\"epoch\":" + std::to_string(report.epoch) + ",\"rows\":" + std::to_string(report.rows) +
         ",\"changed\":" + std::to_string(report.changed) +
         ",\"rejected\":" + std::to_string(report.rejected) +
         ",\"repeated\":" + (report.repeated ? "true" : "false") + "}";
}

std::string texts_as_json(std::span<const std::string> texts) {
  std::string json;
  append_array(json, texts, [&](const std::string& text) { append(json, std::string_view(text)); });
  return json;
}

std::string letters_as_json(std::span<const DeadLetter> letters) {
  std::string json;
  append_array(json, letters, [&](const DeadLetter& letter) { json += letter_as_json(letter); });
  return json;
}

std::string event_as_json(const FlightEvent& event) {
  static constexpr std::array<std::string_view, 4> kKinds{"sent", "committed", "failed", "lost"};
  std::string json;
  {
    Object object(json);
    object.add("kind", kKinds[static_cast<size_t>(event.kind)]);
    object.add("connection", event.connection);
    object.add("table", event.table);
    object.add("lane", event.lane);
    object.add("flight", event.flight);
    object.add("attempt", uint64_t{event.attempt});
    object.add("rows", event.rows);
    object.add("bytes", event.bytes);
    object.add("queued_us", event.queued_wall_us);
    object.add("sent_us", event.sent_wall_us);
    object.add("time_us", event.wall_us);
    if (event.error != nullptr) {
      object.add("message", std::string_view(event.error->message));
      object.add("sqlstate", event.error->sqlstate.view());
    }
  }
  return json;
}

}  // namespace pgsink::c
