#include "shell/connections/prometheus.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <sys/resource.h>
#include <unistd.h>

#include "shell/flags/version.h"

namespace pgsink::shell {
namespace {

/// Rows that wait this long without any commit make no progress.
constexpr int64_t kStuckUs = 30'000'000;

std::string number(double value) {
  std::array<char, 32> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  return {text.data(), end};
}

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\' || c == '"') out += '\\';
    if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
  return out;
}

using Label = std::pair<std::string_view, std::string_view>;

/// Writes families of series, each with its HELP and TYPE once.
class Writer {
 public:
  void family(std::string_view name, std::string_view type, std::string_view help) {
    name_ = name;
    text_.append("# HELP ").append(name).append(" ").append(help).append("\n");
    text_.append("# TYPE ").append(name).append(" ").append(type).append("\n");
  }
  void sample(std::initializer_list<Label> labels, double value, std::string_view suffix = "") {
    text_.append(name_).append(suffix);
    char before = '{';
    for (const auto& [label, content] : labels) {
      text_ += before;
      text_.append(label).append("=\"").append(escaped(content)).append("\"");
      before = ',';
    }
    if (labels.size() > 0) text_ += '}';
    text_.append(" ").append(number(value)).append("\n");
  }
  template <typename Counts>
  void histogram(std::string_view connection, std::string_view mode, const Counts& counts) {
    uint64_t below = 0;
    for (size_t i = 0; i < counts.kBounds.size(); ++i) {
      below += counts.counts[i];
      sample({{"connection", connection}, {"mode", mode}, {"le", number(counts.kBounds[i])}},
             double(below), "_bucket");
    }
    sample({{"connection", connection}, {"mode", mode}, {"le", "+Inf"}}, double(counts.count),
           "_bucket");
    sample({{"connection", connection}, {"mode", mode}}, counts.sum, "_sum");
    sample({{"connection", connection}, {"mode", mode}}, double(counts.count), "_count");
  }
  std::string take() { return std::move(text_); }

 private:
  std::string name_;
  std::string text_;
};

/// One number of each connection.
struct Single {
  std::string_view name;
  std::string_view type;
  std::string_view help;
  double (*value)(const ConnectionReport& report);
};

using Report = ConnectionReport;
constexpr std::array<Single, 19> kSingles{{
    {"pgsink_accepted_rows_total", "counter", "Rows that were handed to the sink.",
     [](const Report& r) { return double(r.metrics.rows_accepted); }},
    {"pgsink_rows_total", "counter", "Rows that are known to be committed.",
     [](const Report& r) { return double(r.metrics.rows_written); }},
    {"pgsink_changed_rows_total", "counter",
     "Rows that the server inserted, updated or deleted for them.",
     [](const Report& r) { return double(r.metrics.rows_changed); }},
    {"pgsink_rejected_rows_total", "counter", "Rows that could not be written.",
     [](const Report& r) { return double(r.metrics.rejected_rows); }},
    {"pgsink_possible_duplicate_rows_total", "counter",
     "Rows that were sent again while the outcome of the first attempt was unknown.",
     [](const Report& r) { return double(r.metrics.possible_duplicates); }},
    {"pgsink_sent_bytes_total", "counter", "Encoded rows of committed batches.",
     [](const Report& r) { return double(r.metrics.bytes_written); }},
    {"pgsink_failed_batches_total", "counter", "Attempts of batches that did not commit.",
     [](const Report& r) { return double(r.metrics.failed_writes); }},
    {"pgsink_retries_total", "counter", "Batches that were sent again.",
     [](const Report& r) { return double(r.metrics.retry_count); }},
    {"pgsink_connections_opened_total", "counter", "Connections that were opened.",
     [](const Report& r) { return double(r.metrics.connections_opened); }},
    {"pgsink_connections_broken_total", "counter", "Connections that broke while in use.",
     [](const Report& r) { return double(r.metrics.connections_broken); }},
    {"pgsink_connections", "gauge", "Connections that are open.",
     [](const Report& r) { return double(r.metrics.connections_open); }},
    {"pgsink_lanes_failing", "gauge",
     "Lanes that are retrying after a failure, with nothing committed since.",
     [](const Report& r) { return double(r.metrics.lanes_failing); }},
    {"pgsink_sinks_stopped", "gauge", "Sinks that have failed for good.",
     [](const Report& r) { return double(r.metrics.sinks_stopped); }},
    {"pgsink_connections_max", "gauge", "The limit of connections, connection_pool_size.",
     [](const Report& r) { return double(r.connections_max); }},
    {"pgsink_inflight_rows", "gauge", "Rows that are sent, with their outcome not known yet.",
     [](const Report& r) { return double(r.metrics.in_flight_rows); }},
    {"pgsink_buffered_bytes", "gauge", "Memory of the rows that are accepted and not durable.",
     [](const Report& r) { return double(r.metrics.buffered_bytes); }},
    {"pgsink_buffered_bytes_max", "gauge", "The limit of that, buffer_bytes of each running sink.",
     [](const Report& r) {
       return double(r.buffer_bytes) * double(std::max<size_t>(r.live_sinks, 1));
     }},
    {"pgsink_last_commit_timestamp_seconds", "gauge", "Time of the last committed batch; 0: never.",
     [](const Report& r) { return double(r.metrics.last_commit_wall_us) / 1e6; }},
    {"pgsink_last_error_timestamp_seconds", "gauge", "Time of the last error; 0: never.",
     [](const Report& r) { return double(r.metrics.last_error_wall_us) / 1e6; }},
}};

double resident_bytes() {
  std::ifstream file("/proc/self/statm");
  double pages = 0;
  double resident = 0;
  file >> pages >> resident;
  return resident * double(sysconf(_SC_PAGESIZE));
}

double open_files() {
  std::error_code ignored;
  double count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd", ignored)) {
    (void)entry;
    ++count;
  }
  return count;
}

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) { return double(t.tv_sec) + double(t.tv_usec) / 1e6; };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

void append_process(Writer& out) {
  out.family("process_resident_memory_bytes", "gauge", "Memory that the process has.");
  out.sample({}, resident_bytes());
  out.family("process_cpu_seconds_total", "counter", "Processor time that the process used.");
  out.sample({}, cpu_seconds());
  out.family("process_open_fds", "gauge", "File descriptors that the process has open.");
  out.sample({}, open_files());
}

/// What a source of streams counts.
struct OfSource {
  const char* name;
  const char* type;
  const char* help;
  double (*value)(const SourceReport& source);
};
constexpr std::array<OfSource, 5> kOfSources{{
    {"pgsink_source_streams", "gauge", "Partitions that this process reads.",
     [](const SourceReport& s) { return double(s.streams.size()); }},
    {"pgsink_source_records_total", "counter", "Messages read.",
     [](const SourceReport& s) { return double(s.records); }},
    {"pgsink_source_rejected_total", "counter", "Malformed messages.",
     [](const SourceReport& s) { return double(s.rejected); }},
    {"pgsink_source_rebalances_total", "counter", "Changes of the partitions it reads.",
     [](const SourceReport& s) { return double(s.rebalances); }},
    {"pgsink_source_fenced_total", "counter",
     "How often another process had taken partitions that this one believed to have.",
     [](const SourceReport& s) { return double(s.fenced); }},
}};

/// What is known of each partition.
struct OfStream {
  const char* name;
  const char* help;
  double (*value)(const StreamReport& stream);
};
constexpr std::array<OfStream, 2> kOfStreams{{
    {"pgsink_source_lag_records", "Messages of the partition that were not read yet.",
     [](const StreamReport& s) { return double(s.lag_records); }},
    {"pgsink_source_lag_seconds", "Age of the message that was read last; 0 without a lag.",
     [](const StreamReport& s) { return s.lag_seconds; }},
}};

void append_sources(Writer& out, const std::vector<SourceReport>& sources) {
  if (sources.empty()) return;
  for (const OfSource& one : kOfSources) {
    out.family(one.name, one.type, one.help);
    for (const SourceReport& s : sources) out.sample({{"source", s.name}}, one.value(s));
  }
  for (const OfStream& one : kOfStreams) {
    out.family(one.name, "gauge", one.help);
    for (const SourceReport& source : sources) {
      for (const StreamReport& s : source.streams) {
        out.sample({{"source", source.name},
                    {"topic", s.topic},
                    {"partition", std::to_string(s.partition)}},
                   one.value(s));
      }
    }
  }
}

}  // namespace

std::string write_mode_name(WriteMode mode) {
  constexpr std::array<const char*, 7> kNames{"insert",        "upsert",    "update", "delete",
                                              "insert_ignore", "changelog", "replace"};
  return kNames[static_cast<size_t>(mode)];
}

std::string prometheus_text(const std::vector<ConnectionReport>& connections,
                            const std::vector<SourceReport>& sources) {
  Writer out;
  out.family("pgsink_build_info", "gauge", "The versions that run; always 1.");
  out.sample({{"version", version_number()}, {"commit", version_commit()}}, 1);
  for (const Single& single : kSingles) {
    out.family(single.name, single.type, single.help);
    for (const Report& r : connections) {
      out.sample({{"connection", r.metrics.connection_name}, {"mode", r.mode}}, single.value(r));
    }
  }
  out.family("pgsink_batches_total", "counter", "Committed batches, by what ended them.");
  for (const Report& r : connections) {
    for (size_t i = 0; i < kBatchTriggerCount; ++i) {
      out.sample({{"connection", r.metrics.connection_name},
                  {"mode", r.mode},
                  {"trigger", batch_trigger_name(static_cast<BatchTrigger>(i))}},
                 double(r.metrics.batches_by_trigger[i]));
    }
  }
  out.family("pgsink_errors_total", "counter",
             "Errors by SQLSTATE; client: errors without one from the server.");
  for (const Report& r : connections) {
    auto errors = r.metrics.errors;
    errors.try_emplace("client", 0);
    for (const auto& [sqlstate, count] : errors) {
      out.sample(
          {{"connection", r.metrics.connection_name}, {"mode", r.mode}, {"sqlstate", sqlstate}},
          double(count));
    }
  }
  out.family("pgsink_write_duration_seconds", "histogram",
             "From the first byte of a batch to its outcome.");
  for (const Report& r : connections) {
    out.histogram(r.metrics.connection_name, r.mode, r.metrics.write_latency);
  }
  out.family("pgsink_batch_rows", "histogram", "Rows of committed batches.");
  for (const Report& r : connections) {
    out.histogram(r.metrics.connection_name, r.mode, r.metrics.batch_rows);
  }
  out.family("pgsink_batch_bytes", "histogram", "Encoded bytes of committed batches.");
  for (const Report& r : connections) {
    out.histogram(r.metrics.connection_name, r.mode, r.metrics.batch_bytes);
  }
  append_sources(out, sources);
  append_process(out);
  return out.take();
}

std::vector<std::string> not_ready(const std::vector<ConnectionReport>& connections,
                                   int64_t now_wall_us) {
  std::vector<std::string> reasons;
  for (const Report& r : connections) {
    const SinkMetrics& m = r.metrics;
    if (r.live_sinks == 0) continue;
    // Rows that came after a pause do not wait since the commit before it.
    const int64_t stuck_us = now_wall_us - std::max(m.last_commit_wall_us, m.waiting_since_wall_us);
    if (m.sinks_stopped > 0) {
      reasons.push_back(m.connection_name + ": stopped for good: " + m.last_error);
    } else if (m.connections_open == 0) {
      reasons.push_back(m.connection_name + ": no connection to the server" +
                        (m.last_error.empty() ? "" : "; last error: " + m.last_error));
    } else if (m.waiting_since_wall_us > 0 && stuck_us > kStuckUs) {
      reasons.push_back(m.connection_name + ": rows wait, and nothing was committed for " +
                        std::to_string(stuck_us / 1'000'000) + " s");
    }
  }
  return reasons;
}

}  // namespace pgsink::shell
