#pragma once
// Flags: the command line. One table has every flag; parsing, --help and the nearest flag of an
// error come from it.

#include <cstdint>
#include <expected>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pgsink::shell {

enum class Format : uint8_t { kTable, kCsv, kJson, kJsonLines, kLine };
enum class When : uint8_t { kAuto, kAlways, kNever };
/// LogLevel is what is printed on stderr besides errors: nothing, what a pipeline did, and each
/// statement.
enum class LogLevel : uint8_t { kError, kInfo, kDebug };
enum class LogFormat : uint8_t { kText, kJson };

/// What `pgsink recover` does to prepared transactions and to what jobs have left.
enum class Recovery : uint8_t { kList, kCommitDecided, kCommit, kRollback, kLeftovers, kAbandon };

/// Flags are the parsed command line.
struct Flags {
  enum class Command : uint8_t { kRun, kLoad, kOptions, kRecover, kCompletion, kManual };
  struct Input {
    bool is_file = false;
    std::string value;  ///< A path, "-" for standard input, or the statements themselves.
  };
  Command command = Command::kRun;
  std::vector<Input> inputs;  ///< In order; empty: standard input.
  std::map<std::string, std::string> variables;
  std::string secret_directory;
  std::string summary_file;
  Format format = Format::kTable;
  When progress = When::kAuto;
  When color = When::kAuto;
  LogLevel log_level = LogLevel::kInfo;
  LogFormat log_format = LogFormat::kText;
  std::string metrics_listen;   ///< "": no endpoint.
  std::string traceparent;      ///< Of connections that name no trace and no application.
  std::string trace_file;       ///< "": none.
  int shutdown_timeout_s = 60;  ///< From a signal to the end; 0: no limit.
  bool check = false;
  bool check_online = false;
  bool dry_run = false;
  uint64_t dry_run_rows = 0;  ///< The maximum for each pipeline.
  std::string shell;          ///< `pgsink completion bash|zsh|fish`
  bool json = false;          ///< `pgsink options --json`, `pgsink recover --json`
  struct Recover {
    std::string url;         ///< Instead of a script.
    std::string connection;  ///< "": all connections of the script.
    Recovery what = Recovery::kList;
    std::string gid;
    std::string job;  ///< Its sink_id.
  } recover;
  /// `pgsink load`: the values of its flags, as they were given; "" or empty if they were not.
  struct Load {
    std::vector<std::string> files;  ///< Names and patterns; "-" is standard input.
    std::string url, table;
    std::string write_mode;
    std::vector<std::string> keys;  ///< Each a list of columns.
    std::string parallelism;
    std::string dead_letter_file;
    bool create_table = false;
    bool atomic = false;
    struct Option {
      std::string name, value;
    };
    std::vector<Option> options;  ///< Of CREATE CONNECTION.
    std::string input_format;
    std::string delimiter;
    std::optional<std::string> null;
    bool header = true;
    std::string columns;
    bool print_script = false;
  } load;
  bool help = false;
  bool version = false;
};

/// The commands that accept a flag; bits.
enum FlagOf : unsigned {
  kOfRun = 1,
  kOfOptions = 2,
  kOfRecover = 4,
  kOfNone = 8,
  kOfLoad = 16,
  kOfAll = 31
};

/// FlagInfo is one flag, for help, completion and the manual.
struct FlagInfo {
  std::string_view name;     ///< Without the dashes.
  char letter;               ///< '\0': none.
  std::string_view value;    ///< Name of the value in --help; "" if it has none; a|b|c: choices.
  std::string_view meaning;  ///< '\n' breaks a line.
  unsigned commands = kOfRun;
  bool optional = false;  ///< The value may be left out; if not, it comes after '='.
};
/// flag_table lists all flags, in the order of --help.
std::vector<FlagInfo> flag_table();

/// CommandInfo is a command after the program's name.
struct CommandInfo {
  std::string_view name;
  Flags::Command command;
  FlagOf of;
  std::string_view argument;  ///< a|b|c: what must follow; another word: names; "" for nothing.
  std::string_view meaning;
};
std::span<const CommandInfo> command_table();
/// split_choices splits a|b|c; empty if there is no '|'.
std::vector<std::string_view> split_choices(std::string_view value);

/// parse_flags reads the arguments after the program's name, or returns what is wrong with them,
/// naming the nearest flag or choice.
std::expected<Flags, std::string> parse_flags(std::span<const std::string_view> arguments);
/// The text of --help.
std::string help_text();

}  // namespace pgsink::shell
