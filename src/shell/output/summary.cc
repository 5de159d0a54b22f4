#include "shell/output/summary.h"

#include <utility>

#include "shell/engine/cell_text.h"
#include "shell/text/numbers.h"

namespace pgsink::shell {
namespace {

struct Member {
  std::string name;
  std::string value;
  bool is_text = false;
};

std::vector<Member> members(const SinkReport& report) {
  return {{"pipeline", report.pipeline, true},
          {"connection", report.connection, true},
          {"table", report.table, true},
          {"outcome", report.outcome, true},
          {"rows_read", std::to_string(report.rows_read)},
          {"rows_written", std::to_string(report.rows_written)},
          {"rows_rejected", std::to_string(report.rows_rejected)},
          {"batches_retried", std::to_string(report.batches_retried)},
          {"bytes", std::to_string(report.bytes)},
          {"seconds", fixed(report.seconds, 6)},
          {"rows_per_second", fixed(report.rows_per_second(), 1)},
          {"megabytes_per_second", fixed(report.megabytes_per_second(), 3)},
          {"commit_p99_seconds", fixed(report.commit_p99_seconds, 6)},
          {"rows_delivered_before", std::to_string(report.rows_delivered_before)},
          {"rows_changed", std::to_string(report.rows_changed)}};
}

std::string csv_text(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    out += c;
    if (c == '"') out += c;
  }
  return out += '"';
}

}  // namespace

std::string summary_line(const SinkReport& report) {
  std::string line = report.pipeline.empty() ? "" : report.pipeline + " -> ";
  line += report.connection + " (" + report.table + "): ";
  if (report.outcome == kDryRun) {
    return line + grouped(report.rows_read) + (report.rows_read == 1 ? " row" : " rows") +
           " read, " + grouped(report.rows_rejected) + " would be rejected, " +
           bytes_text(static_cast<double>(report.bytes)) + ", " + fixed(report.seconds, 2) +
           " s; nothing was written";
  }
  line += grouped(report.rows_written) + (report.rows_written == 1 ? " row, " : " rows, ");
  if (report.rows_changed != report.rows_written) {
    line += grouped(report.rows_changed) + " changed, ";
  }
  if (report.rows_delivered_before > 0) {
    line += report.rows_delivered_before == report.rows_read ? "all " : "";
    line += grouped(report.rows_delivered_before) + " rows delivered before, ";
  }
  if (report.rows_rejected > 0) line += grouped(report.rows_rejected) + " rejected, ";
  if (report.batches_retried > 0) {
    line += grouped(report.batches_retried) +
            (report.batches_retried == 1 ? " batch retried, " : " batches retried, ");
  }
  line += bytes_text(static_cast<double>(report.bytes)) + ", " + fixed(report.seconds, 2) + " s, " +
          grouped(static_cast<uint64_t>(report.rows_per_second())) + " rows/s, " +
          fixed(report.megabytes_per_second(), 1) + " MB/s";
  if (report.outcome != "done") line += " (" + report.outcome + ")";
  return line;
}

std::string summary_members(const SinkReport& report) {
  std::string out;
  for (const Member& member : members(report)) {
    if (!out.empty()) out += ", ";
    append_json_string(out, member.name);
    out += ": ";
    if (member.is_text) {
      append_json_string(out, member.value);
    } else {
      out += member.value;
    }
  }
  return out;
}

std::string summary_json(const std::vector<SinkReport>& reports) {
  std::string out = "[";
  for (const SinkReport& report : reports) {
    out += out.size() > 1 ? ",\n  {" : "\n  {";
    out += summary_members(report) + "}";
  }
  return out += reports.empty() ? "]\n" : "\n]\n";
}

std::string summary_csv(const std::vector<SinkReport>& reports) {
  std::string out;
  for (const Member& member : members({})) out += (out.empty() ? "" : ",") + member.name;
  out += '\n';
  for (const SinkReport& report : reports) {
    bool first = true;
    for (const Member& member : members(report)) {
      if (!std::exchange(first, false)) out += ',';
      out += member.is_text ? csv_text(member.value) : member.value;
    }
    out += '\n';
  }
  return out;
}

}  // namespace pgsink::shell
