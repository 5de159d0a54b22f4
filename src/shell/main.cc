// pgsink: the command.

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <thread>
#include <unistd.h>
#include <vector>

#include <pgsink/options.h>

#include "shell/connections/engine_functions.h"
#include "shell/connections/metrics_http.h"
#include "shell/connections/prometheus.h"
#include "shell/connections/system_tables.h"
#include "shell/engine/cell_text.h"
#include "shell/flags/flag_texts.h"
#include "shell/flags/flags.h"
#include "shell/flags/version.h"
#include "shell/load/load_script.h"
#include "shell/load/load_target.h"
#include "shell/output/trace_file.h"
#include "shell/prompt/interactive.h"
#include "shell/recover.h"
#include "shell/run/runner.h"
#include "shell/run/server_wait.h"
#include "shell/sources/sources.h"
#include "shell/text/text_file.h"

namespace pgsink::shell {
namespace {

enum Exit : int { kDone = 0, kFailed = 1, kUsage = 2, kRejected = 3, kSignal = 128 };

/// Otherwise a file or socket that is opened later gets the number of a closed one, and what the
/// command prints goes there.
void open_standard_descriptors() {
  for (int descriptor = STDIN_FILENO; descriptor <= STDERR_FILENO; ++descriptor) {
    // open() takes the lowest free number.
    if (::fcntl(descriptor, F_GETFD) == -1) std::ignore = ::open("/dev/null", O_RDWR);
  }
}

Engine::Settings engine_settings() {
  Engine::Settings settings;
  // One core stays free for the lane that encodes and sends the engine's rows.
  const unsigned cores = std::thread::hardware_concurrency();
  settings.threads = cores > 2 ? cores - 1 : 1;
  std::error_code ignored;
  const auto folder = std::filesystem::temp_directory_path(ignored);
  settings.spill_directory = (folder / ("pgsink-" + std::to_string(getpid()))).string();
  return settings;
}

/// The scripts of --file and --command, or of standard input.
Result<std::vector<Script>> read_scripts(const Flags& flags) {
  std::vector<Flags::Input> inputs = flags.inputs;
  if (inputs.empty()) inputs.push_back({true, "-"});
  std::vector<Script> scripts;
  for (const Flags::Input& input : inputs) {
    if (!input.is_file) {
      scripts.push_back({"<command>", input.value});
      continue;
    }
    auto text = read_script(input.value);
    if (!text) return pgproto::fail(std::move(text.error()));
    scripts.push_back({input.value == "-" ? "<stdin>" : input.value, std::move(*text)});
  }
  return scripts;
}

Status write_summary(const std::string& path, const std::vector<SinkReport>& reports) {
  if (path.empty()) return {};
  return write_text_file(path,
                         path.ends_with(".csv") ? summary_csv(reports) : summary_json(reports));
}

/// The endpoint of --metrics-listen; null if it was not given.
Result<std::unique_ptr<MetricsHttp>> serve_metrics(const Flags& flags,
                                                   const Connections& connections) {
  if (flags.metrics_listen.empty()) return nullptr;
  MetricsHttp::Pages pages;
  pages["/metrics"] = [&connections] {
    return MetricsHttp::Answer{
        200, "text/plain; version=0.0.4; charset=utf-8",
        prometheus_text(connections.reports(), connections.source_reports())};
  };
  pages["/livez"] = [] { return MetricsHttp::Answer{.body = "ok\n"}; };
  pages["/readyz"] = [&connections] {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    const auto reasons = not_ready(
        connections.reports(), std::chrono::duration_cast<std::chrono::microseconds>(now).count());
    std::string body = reasons.empty() ? "{\"ready\": true" : "{\"ready\": false, \"reasons\": [";
    for (size_t i = 0; i < reasons.size(); ++i) {
      if (i > 0) body += ", ";
      append_json_string(body, reasons[i]);
    }
    body += reasons.empty() ? "}\n" : "]}\n";
    return MetricsHttp::Answer{reasons.empty() ? 200 : 503, "application/json", body};
  };
  return MetricsHttp::start(flags.metrics_listen, std::move(pages));
}

int print(const std::string& text) {
  Output output(stdout);
  output.write(text);
  return output.flush() ? kDone : kFailed;
}

int exit_code(const std::vector<SinkReport>& reports, const Signals& signals, bool done) {
  if (signals.received() != 0) return kSignal + signals.received();
  if (!done) return kFailed;
  for (const SinkReport& report : reports) {
    if (report.rows_rejected > 0) return kRejected;
  }
  return kDone;
}

/// W3C: what does not have the form is ignored.
std::string trace_of_environment() {
  const char* const trace = std::getenv("TRACEPARENT");
  return trace != nullptr && is_traceparent(trace) ? trace : "";
}

int run(Flags flags, const TraceCallback& on_trace) {
  Reporter reporter(flags.color, flags.log_level, flags.log_format);
  const bool load = flags.command == Flags::Command::kLoad;
  const bool interactive =
      !load && flags.inputs.empty() && isatty(STDIN_FILENO) == 1 && !flags.check && !flags.dry_run;
  auto scripts = interactive || load ? Result<std::vector<Script>>(std::vector<Script>())
                                     : read_scripts(flags);
  if (!scripts) {
    reporter.error(scripts.error().message);
    return kUsage;
  }
  const Status taken = load ? take_password(flags.load) : Status();
  if (!taken) {
    reporter.error(taken.error().message);
    return kUsage;
  }
  Signals signals;
  signals.limit(std::chrono::seconds(flags.shutdown_timeout_s), !interactive);
  Connections connections;
  Sources sources;
  SystemTables system_tables(connections,
                             [&reporter](const std::string& text) { reporter.warning(text); });
  auto engine = Engine::open(engine_settings());
  auto ready = engine ? register_engine_functions(**engine, connections)
                      : Status(std::unexpected(engine.error()));
  if (ready) ready = system_tables.add_to(**engine);
  if (!ready) {
    reporter.error(ready.error().to_string());
    return kFailed;
  }
  if (load) {
    auto script = compose_load(flags, **engine, server_wait("target", signals, reporter), on_trace);
    if (signals.received() != 0) return kSignal + signals.received();
    if (!script) {
      reporter.error(script.error().message);
      return kUsage;
    }
    if (flags.load.print_script) return print(script->text);
    scripts->push_back(std::move(*script));
  }
  const auto endpoint = serve_metrics(flags, connections);
  if (!endpoint) {
    reporter.error(endpoint.error().message);
    return kUsage;
  }
  if (*endpoint) reporter.info("metrics at http://" + (*endpoint)->address() + "/metrics");
  sources.set_engine(engine->get());
  Output output(stdout);
  Runner runner(flags, **engine, connections, sources, system_tables, signals, output, reporter);
  runner.set_trace(on_trace);
  bool done = true;
  for (const Script& script : *scripts) done = done && runner.run(script);
  if (interactive) {
    reporter.info("pgsink " + version_number() + ": statements end in ';', .help lists commands");
    Interactive({.flags = flags,
                 .engine = **engine,
                 .connections = connections,
                 .sources = sources,
                 .signals = signals,
                 .output = output,
                 .reporter = reporter,
                 .runner = runner})
        .run();
  }
  if (auto written = write_summary(flags.summary_file, runner.reports()); !written) {
    reporter.error(written.error().message);
    done = false;
  }
  return exit_code(runner.reports(), signals, done);
}

int run_recover(const Flags& flags, const TraceCallback& on_trace) {
  Reporter reporter(flags.color, flags.log_level);
  std::vector<Script> scripts;
  if (flags.recover.url.empty()) {
    auto read = read_scripts(flags);
    if (!read) {
      reporter.error(read.error().message);
      return kUsage;
    }
    scripts = std::move(*read);
  }
  Output output(stdout);
  return recover(flags, scripts, on_trace, output, reporter) ? kDone : kFailed;
}

/// Runs what the flags say, with the file of --trace.
int run_traced(const Flags& flags) {
  const auto trace = flags.trace_file.empty() ? Result<std::unique_ptr<TraceFile>>(nullptr)
                                              : TraceFile::create(flags.trace_file);
  if (!trace) {
    Reporter(flags.color, flags.log_level, flags.log_format).error(trace.error().message);
    return kUsage;
  }
  const TraceCallback on_trace = *trace ? (*trace)->callback() : nullptr;
  return flags.command == Flags::Command::kRecover ? run_recover(flags, on_trace)
                                                   : run(flags, on_trace);
}

}  // namespace
}  // namespace pgsink::shell

int main(int argc, char** argv) {
  using namespace pgsink::shell;
  open_standard_descriptors();
  const std::vector<std::string_view> arguments(argv + 1, argv + argc);
  auto flags = parse_flags(arguments);
  if (!flags) {
    std::fprintf(stderr, "pgsink: %s\nTry 'pgsink --help'.\n", flags.error().c_str());
    return kUsage;
  }
  if (flags->help) return print(help_text());
  if (flags->version) return print(version_text());
  if (flags->command == Flags::Command::kOptions) {
    return print(flags->json ? pgsink::option_json() : pgsink::option_documentation());
  }
  if (flags->command == Flags::Command::kCompletion) return print(completion_script(flags->shell));
  if (flags->command == Flags::Command::kManual) return print(manual_page());
  if (flags->traceparent.empty()) flags->traceparent = trace_of_environment();
  return run_traced(*flags);
}
