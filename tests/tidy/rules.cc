#include "tidy/rules.h"

#include <algorithm>
#include <cctype>
#include <fnmatch.h>
#include <map>

#include "tidy/rooms.h"
#include "tidy/words.h"

namespace tidy {
namespace {

bool is_identifier(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }

bool matches(std::string_view path, const Words& patterns) {
  return std::any_of(patterns.begin(), patterns.end(), [&](std::string_view pattern) {
    return fnmatch(std::string(pattern).c_str(), std::string(path).c_str(), 0) == 0;
  });
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

// A word ends where an identifier ends. A call such as "poll(" is not one of a member: x.poll(,
// x->poll(; and "::exit(" is not one of a class: Inbox::exit(. A path such as
// "/home/" is not the middle of one: $work/home/.
bool has_word(std::string_view line, std::string_view word) {
  for (size_t at = line.find(word); at != std::string_view::npos; at = line.find(word, at + 1)) {
    const size_t end = at + word.size();
    const char before = at == 0 ? ' ' : line[at - 1];
    if ((is_identifier(word.front()) || word.front() == ':') && is_identifier(before)) continue;
    if (is_identifier(word.back()) && end < line.size() && is_identifier(line[end])) continue;
    if (word.front() == '/' && (is_identifier(before) || before == '.' || before == '}')) continue;
    if (word.back() == '(' && (before == '.' || before == '>')) continue;
    return true;
  }
  return false;
}

size_t columns(std::string_view line) {
  return static_cast<size_t>(std::count_if(line.begin(), line.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xc0) !=
           0x80;  // UTF-8: continuation bytes do not count
  }));
}

std::vector<Finding> long_lines(const SourceFile& file) {
  std::vector<Finding> found;
  for (size_t i = 0; i < file.text.size(); ++i) {
    if (columns(file.text[i]) > 100) found.push_back({file.path, i + 1, "longer than 100 columns"});
  }
  return found;
}

std::vector<Finding> blank_ends(const SourceFile& file) {
  std::vector<Finding> found;
  for (size_t i = 0; i < file.text.size(); ++i) {
    const std::string& line = file.text[i];
    if (line.ends_with(' ') || line.find('\t') != std::string::npos || line.ends_with('\r')) {
      found.push_back({file.path, i + 1, "a tab, or a blank at the line's end"});
    }
  }
  return found;
}

std::vector<Finding> missing_pragma_once(const SourceFile& file) {
  if (!file.text.empty() && file.text[0] == "#pragma once") return {};
  return {{file.path, 1, "the first line is not #pragma once"}};
}

std::vector<Finding> unknown_top_level(const SourceFile& file) {
  static const Words kAllowed = {
      "CMakeLists.txt",  "CMakePresets.json", "README.md", "LICENSE",    "CHANGELOG.md",
      "CONTRIBUTING.md", "proto/*",           "src/*",     "bench/*",    "tests/*",
      "fuzz/*",          "third_party/*",     "docs/*",    "examples/*", ".*"};
  if (matches(file.path, kAllowed)) return {};
  return {{file.path, 1, "no such name belongs at the top of the repository"}};
}

// `static T x = …;`, `static T x{…};`, `static T x;` that is not constant. A parenthesis before the
// name ends makes it a function.
std::vector<Finding> mutable_statics(const SourceFile& file) {
  std::vector<Finding> found;
  for (size_t i = 0; i < file.bare.size(); ++i) {
    std::string_view line = file.bare[i];
    line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
    if (!line.starts_with("static ") && !line.starts_with("inline static ")) continue;
    const std::string_view head = line.substr(0, std::min(line.find_first_of(";={"), line.size()));
    if (head.find('(') != std::string_view::npos || has_word(head, "constexpr")) continue;
    const bool pointer = head.find('*') != std::string_view::npos;
    if (!pointer && has_word(head, "const")) continue;
    if (pointer && has_word(head.substr(head.rfind('*')), "const")) continue;
    if (head.size() == line.size()) continue;  // a declaration that goes on: a function's
    found.push_back({file.path, i + 1, "static state that can change"});
  }
  return found;
}

std::vector<Finding> repeated_blank_lines(const SourceFile& file) {
  std::vector<Finding> found;
  for (size_t i = 1; i < file.text.size(); ++i) {
    if (file.text[i].empty() && file.text[i - 1].empty()) {
      found.push_back({file.path, i + 1, "two blank lines together"});
    }
  }
  return found;
}

const Words kCpp = {"*.h", "*.cc"};
const Words kLibraries = {"proto/*.h", "proto/*.cc", "src/include/*.h", "src/pgsink/*.h",
                          "src/pgsink/*.cc"};
const Words kProduct = {"proto/*.h", "proto/*.cc", "src/*.h", "src/*.cc"};
const Words kEverything = {"*"};
const Words kTables = {"proto/pgproto/tables/*"};  // generated: nobody reads them through
// The files that meet the operating system for the library.
const Words kSockets = {"src/pgsink/client/os_*", "src/pgsink/client/env*.cc",
                        "src/pgsink/client/tcp.cc", "src/pgsink/client/tls*.cc"};

const std::vector<Rule>& table() {
  static const std::string kColumns100 = [] {
    std::string text;
    for (size_t i = 0; i < 100; ++i) text += "→";
    return text;
  }();
  static const std::string kColumns101 = kColumns100 + "x";
  static const std::vector<Rule> kRules = {
      // ---- rooms: include only from your own room or one below it (rooms.cc) -----------------
      {.name = "IncludesRunDown",
       .why = "a room knows only the rooms that its row in tests/tidy/rooms.cc names",
       .in = kProduct,
       .check = includes_that_run_up,
       .guilty_path = "src/pgsink/delivery/two_phase.cc",
       .guilty = "#include \"pgsink/lane/lane.h\"",
       .innocent_path = "src/pgsink/lane/lane.cc",
       .innocent = "#include \"pgsink/delivery/two_phase.h\"\n#include <pgproto/bytes.h>"},
      {.name = "EveryFolderIsARoom",
       .why = "a file outside the rooms escapes their order",
       .in = kProduct,
       .check = unknown_rooms,
       .guilty_path = "src/pgsink/lane/flight/flight.cc",
       .guilty = "int a = 0;",
       .innocent_path = "src/pgsink/lane/flight.cc",
       .innocent = "int a = 0;"},
      {.name = "TestsMirrorTheRooms",
       .why = "the test of a room is found under the room's name",
       .in = {"tests/*/*"},
       .check = unmirrored_tests,
       .guilty_path = "tests/encode/lanes_test.cc",
       .guilty = "TEST(Lanes, Write) {}",
       .innocent_path = "tests/lane/lanes_test.cc",
       .innocent = "TEST(Lanes, Write) {}"},
      {.name = "PublicHeadersStandAlone",
       .why = "a public header that includes a private one does not compile at a user's",
       .in = {"src/include/*", "proto/include/*"},
       .check = private_includes,
       .guilty_path = "src/include/pgsink/sink.h",
       .guilty = "#include <pgsink/lane/lane.h>",
       .innocent_path = "src/include/pgsink/sink.h",
       .innocent = "#include <pgsink/options.h>\n#include <pgproto/error.h>\n#include <string>"},
      {.name = "DuckdbOnlyInShell",
       .why = "users of the library never need an SQL engine",
       .in = kCpp,
       .except = {"src/shell/*", "tests/shell/*", "bench/*", "tests/tidy/*"},
       .words = {"#include <duckdb", "#include \"duckdb"},
       .guilty_path = "src/pgsink/ddl/parser.cc",
       .guilty = "#include <duckdb.h>",
       .innocent_path = "src/shell/engine/engine.cc",
       .innocent = "#include <duckdb.h>"},
      {.name = "RecordsStandAlone",
       .why = "they are tested and fuzzed without the SQL engine",
       .in = {"src/shell/records/*"},
       .words = {"#include <duckdb", "#include \"duckdb", "#include \"shell/"},
       .unless = {"shell/records/"},
       .guilty_path = "src/shell/records/exact_type.cc",
       .guilty = "#include \"shell/engine/engine.h\"",
       .innocent_path = "src/shell/records/exact_type.cc",
       .innocent = "#include \"shell/records/json_reader.h\""},
      {.name = "SimdjsonOnlyInRecords",
       .why =
           "the libraries need OpenSSL and zlib alone; one class hides the parser from the command",
       .in = kCpp,
       .except = {"src/shell/records/*", "tests/tidy/*"},
       .words = {"#include <simdjson"},
       .guilty_path = "src/pgsink/encode/parse/json_value.cc",
       .guilty = "#include <simdjson.h>",
       .innocent_path = "src/shell/records/json_reader.cc",
       .innocent = "#include <simdjson.h>"},
      {.name = "LibpqOnlyAsRivalAndOracle",
       .why = "the protocol is our own; libpq is compared with, not built on",
       .in = kCpp,
       .except = {"bench/*", "tests/*", "fuzz/conninfo_fuzz.cc"},
       .words = {"libpq-fe.h", "PGconn", "PQexec", "PQconnectdb"},
       .guilty_path = "src/pgsink/client/connect.cc",
       .guilty = "#include <libpq-fe.h>",
       .innocent_path = "bench/copy_bench.cc",
       .innocent = "#include <libpq-fe.h>"},
      {.name = "TlsOnlyInItsTransport",
       .why = "one file family holds all that TLS can get wrong",
       .in = kCpp,
       .except = {"src/pgsink/client/tls*", "tests/*", "bench/*"},
       .words = {"openssl/ssl.h", "SSL_CTX_new(", "SSL_new("},
       .guilty_path = "src/pgsink/client/tcp.cc",
       .guilty = "#include <openssl/ssl.h>",
       .innocent_path = "src/pgsink/client/tls.cc",
       .innocent = "#include <openssl/ssl.h>"},
      {.name = "CryptoOnlyWhereItAuthenticates",
       .why = "libcrypto serves TLS, SCRAM, MD5 and the random source",
       .in = kProduct,
       .except = {"src/pgsink/client/tls*", "src/pgsink/client/os_*", "src/pgsink/client/env*.cc",
                  "proto/pgproto/scram*", "proto/pgproto/md5*", "proto/pgproto/session_auth*",
                  "src/shell/*"},
       .words = {"#include <openssl/"},
       .guilty_path = "src/pgsink/lane/lane.cc",
       .guilty = "#include <openssl/sha.h>",
       .innocent_path = "proto/pgproto/scram.cc",
       .innocent = "#include <openssl/evp.h>"},

      // ---- the seams of Env -----------------------------------------------------------------
      {.name = "ThreadsOnlyThroughEnv",
       .why = "a simulation replaces Tasks and Monitor; a raw primitive escapes it",
       .in = kProduct,
       .except = {"src/pgsink/client/os_*", "src/pgsink/client/env*.cc", "src/shell/*"},
       .words = {"std::thread",
                 "std::jthread",
                 "std::mutex",
                 "std::shared_mutex",
                 "std::timed_mutex",
                 "std::recursive_mutex",
                 "std::condition_variable",
                 "std::condition_variable_any",
                 "std::async",
                 "std::future",
                 "std::promise",
                 "std::call_once",
                 "std::once_flag",
                 "std::this_thread",
                 "#include <thread>",
                 "#include <mutex>",
                 "#include <future>",
                 "#include <condition_variable>",
                 "pthread_create(",
                 "pthread_mutex_lock(",
                 "fork("},
       .guilty_path = "src/pgsink/lane/lane.cc",
       .guilty = "  std::mutex mutex_;",
       .innocent_path = "src/pgsink/client/os_tasks.cc",
       .innocent = "  std::mutex mutex_;"},
      {.name = "TimeOnlyThroughEnv",
       .why = "a simulation replaces Clock; real time must not decide anything",
       .in = kProduct,
       .except = {"src/pgsink/client/os_*", "src/pgsink/client/env*.cc", "src/shell/*"},
       .words = {"steady_clock::now", "system_clock::now", "high_resolution_clock::now",
                 "clock_gettime(", "gettimeofday(", "time(nullptr)", "time(NULL)", "sleep_for",
                 "sleep_until", "usleep(", "nanosleep(", "sleep("},
       .guilty_path = "src/pgsink/options/retry.cc",
       .guilty = "auto now = std::chrono::steady_clock::now();",
       .innocent_path = "src/pgsink/options/retry.cc",
       .innocent = "auto now = env.clock.now();"},
      {.name = "RandomOnlyThroughEnv",
       .why = "a simulation replays one seed; a second source of chance breaks the replay",
       .in = kProduct,
       .except = {"src/pgsink/client/os_*", "src/pgsink/client/env*.cc", "src/shell/*"},
       .words = {"random_device", "std::rand", "rand(", "getrandom(", "getentropy(", "RAND_bytes(",
                 "std::mt19937", "std::mt19937_64"},
       .guilty_path = "proto/pgproto/scram.cc",
       .guilty = "RAND_bytes(nonce, sizeof nonce);",
       .innocent_path = "src/pgsink/client/os_random.cc",
       .innocent = "getrandom(to, size, 0);"},
      {.name = "EnvironmentAndFilesOnlyThroughEnv",
       .why = "Files is the only way to the environment and to files",
       .in = kLibraries,
       .except = {"src/pgsink/client/os_*", "src/pgsink/client/env*.cc"},
       .words = {"getenv", "std::getenv", "secure_getenv", "setenv(", "fopen(", "std::ifstream",
                 "std::ofstream", "std::fstream", "std::filesystem", "getpwuid_r(", "getpwuid("},
       .guilty_path = "src/pgsink/client/connect_options.cc",
       .guilty = "const char* user = std::getenv(\"PGUSER\");",
       .innocent_path = "src/pgsink/client/connect_options.cc",
       .innocent = "auto user = files.environment(\"PGUSER\");"},
      {.name = "SocketsOnlyInTransports",
       .why = "Network and Transport are the only way to a peer",
       .in = kLibraries,
       .except = kSockets,
       .words = {"socket(", "socketpair(", "::connect(", "poll(", "recv(", "recvmsg(", "sendmsg(",
                 "getaddrinfo(", "#include <sys/socket.h>", "#include <poll.h>",
                 "#include <netdb.h>"},
       .guilty_path = "src/pgsink/client/connection.cc",
       .guilty = "const int fd = ::socket(AF_INET, SOCK_STREAM, 0);",
       .innocent_path = "src/pgsink/client/tcp.cc",
       .innocent = "const int fd = ::socket(AF_INET, SOCK_STREAM, 0);"},
      {.name = "ErrnoEndsAtTheTransport",
       .why = "above it there is one kind of error, with its cause in words",
       .in = kLibraries,
       .except = kSockets,
       .words = {"errno", "strerror(", "std::strerror"},
       .guilty_path = "src/pgsink/client/connection.cc",
       .guilty = "if (errno == EINTR) continue;",
       .innocent_path = "src/pgsink/client/tcp.cc",
       .innocent = "if (errno == EINTR) continue;"},

      // ---- what a library does not do -------------------------------------------------------
      {.name = "NoMutableStatics",
       .why = "two sinks in one process, or in one simulation, must not know each other",
       .in = kProduct,
       .check = mutable_statics,
       .guilty_path = "src/pgsink/lane/metrics.cc",
       .guilty = "  static int calls = 0;",
       .innocent_path = "src/pgsink/lane/metrics.cc",
       .innocent = "  static constexpr int kCalls = 0;\n  static Result<int> open(int a);"},
      {.name = "NoThreadLocal",
       .why = "a fiber of the simulation is no thread",
       .in = kProduct,
       .view = &SourceFile::bare,
       .words = {"thread_local", "__thread"},
       .guilty_path = "src/pgsink/lane/lane.cc",
       .guilty = "thread_local char scratch[64];",
       .innocent_path = "src/pgsink/lane/lane.cc",
       .innocent = "// no thread_local here"},
      {.name = "LibrariesAreSilent",
       .why = "observation is through metrics and errors; a library does not end the process",
       .in = kLibraries,
       .except = {"proto/pgproto/error.cc"},
       .view = &SourceFile::bare,
       .words = {"stdout", "stderr", "std::cout", "std::cerr", "printf(", "std::printf", "puts(",
                 "fputs(", "std::fputs", "fprintf(", "std::fprintf", "::abort(", "::exit(",
                 "_exit(", "std::abort", "std::exit", "std::terminate", "perror(", "syslog("},
       .guilty_path = "src/pgsink/lane/lane.cc",
       .guilty = "std::fprintf(stderr, \"lost\\n\");",
       .innocent_path = "src/shell/main.cc",
       .innocent = "std::fprintf(stderr, \"lost\\n\");"},
      {.name = "ErrorsAreValues",
       .why = "no exception crosses a public boundary, so none is thrown",
       .in = kLibraries,
       .view = &SourceFile::bare,
       .words = {"throw", "std::throw_with_nested", "std::rethrow_exception"},
       .guilty_path = "src/pgsink/plan/plan.cc",
       .guilty = "throw std::runtime_error(\"no\");",
       .innocent_path = "src/pgsink/plan/plan.cc",
       .innocent = "// never throw here"},
      {.name = "SqlTextInItsFiles",
       .why = "SQL is written where it can be read together, with its quoting",
       .in = {"src/include/*.h", "src/pgsink/*.h", "src/pgsink/*.cc"},
       .except = {"src/pgsink/sql/sql*", "src/pgsink/sql/replication_sql.h",
                  "src/pgsink/sql/job_sql.h", "src/pgsink/client/catalog.cc",
                  "src/pgsink/client/identity.cc", "src/pgsink/client/connection.cc",
                  "src/pgsink/client/connect.cc"},
       .words = {"\"SELECT ", "\"INSERT INTO ", "\"UPDATE ", "\"DELETE FROM ", "\"MERGE INTO ",
                 "\"BEGIN;", "\"BEGIN ISOLATION", "\"SET LOCAL ", "\"COMMIT PREPARED ",
                 "\"PREPARE TRANSACTION ", "FROM STDIN", "\"TRUNCATE ", "\"LOCK TABLE "},
       .guilty_path = "src/pgsink/lane/lane.cc",
       .guilty = "session.query(\"SELECT pg_current_xact_id()\");",
       .innocent_path = "src/pgsink/lane/lane.cc",
       .innocent = "// SELECT pg_current_xact_id() names the transaction"},

      // ---- form -----------------------------------------------------------------------------
      {.name = "LinesFitTheScreen",
       .why = "100 columns, as .clang-format has it; counted in characters",
       .in = {"*.h", "*.cc", "*CMakeLists.txt", "*.cmake", "*/run", "*/setup.sh",
              "examples/quickstart", "*.sql"},
       .check = long_lines,
       .guilty_path = "src/a.cc",
       .guilty = kColumns101,
       .innocent_path = "src/a.cc",
       .innocent = kColumns100},
      {.name = "NoBlankEnds",
       .why = "they make differences that nobody sees",
       .in = {"*.h", "*.cc", "*.md", "*CMakeLists.txt", "*.cmake", "*/run", "*/setup.sh", "*.sql"},
       .except = {"tests/shell/spec/*"},  // the user's text, as it came
       .check = blank_ends,
       .guilty_path = "docs/a.md",
       .guilty = "text ",
       .innocent_path = "docs/a.md",
       .innocent = "text"},
      {.name = "OneBlankLine",
       .why = "one is enough to part two things",
       .in = {"*.h", "*.cc", "*.md", "*CMakeLists.txt", "*.cmake"},
       .check = repeated_blank_lines,
       .guilty_path = "docs/a.md",
       .guilty = "text\n\n\ntext",
       .innocent_path = "docs/a.md",
       .innocent = "text\n\ntext"},
      {.name = "HeadersAreIncludedOnce",
       .why = "a header included twice is defined twice",
       .in = {"*.h"},
       .check = missing_pragma_once,
       .guilty_path = "src/pgsink/a.h",
       .guilty = "#include <string>",
       .innocent_path = "src/pgsink/a.h",
       .innocent = "#pragma once\n#include <string>"},
      {.name = "TheTopIsTidy",
       .why = "the top level holds exactly what the architecture names",
       .in = kEverything,
       .check = unknown_top_level,
       .guilty_path = "scripts/build.sh",
       .guilty = "echo",
       .innocent_path = "tests/run",
       .innocent = "echo"},

      // ---- words ----------------------------------------------------------------------------
      {.name = "PlainEnglish",
       .why = "comments, messages and pages use the words of the field; the table is in words.cc",
       .in = {"proto/*", "src/*", "docs/*.md", "README.md", "CONTRIBUTING.md", "examples/*"},
       .except = {"proto/pgproto/tables/*", "docs/reference/benchmarks-raw.md"},
       .check = find_phrases,
       .guilty_path = "src/pgsink/lane/lane.h",
       .guilty = "/// The rows behind the failed one.",
       .innocent_path = "src/pgsink/lane/lane.h",
       .innocent = "/// The rows after the failed one."},
      {.name = "NothingUnfinished",
       .why = "what is in the tree is done; what is not done is not in the tree",
       .in = kEverything,
       .except = {"tests/tidy/*"},
       .view = &SourceFile::text,
       .words = {"todo", "fixme", "xxx", "for now", "stub", "stubbed", "not implemented",
                 "not yet implemented", "unimplemented"},
       .guilty_path = "src/pgsink/plan/plan.cc",
       .guilty = "// TODO: sort the keys",
       .innocent_path = "third_party/setup.sh",
       .innocent = "mktemp -d a.XXXXXX"},
      {.name = "EveryTestRuns",
       .why = "a test that is switched off proves nothing",
       .in = {"tests/*", "bench/*", "fuzz/*"},
       // They say which extension or version the server lacks.
       .except = {"tests/tidy/*", "tests/plan/vector_test.cc", "tests/plan/temporal_key_test.cc"},
       .view = &SourceFile::text,
       .words = {"GTEST_SKIP", "GTEST_SKIP_", "TEST(DISABLED_", "DISABLED TRUE", "DISABLED ON"},
       .guilty_path = "tests/lane/lanes_test.cc",
       .guilty = "  GTEST_SKIP() << \"no server\";",
       .innocent_path = "tests/lane/lanes_test.cc",
       .innocent = "TEST(Lane, SkipsNothing) {"},
      {.name = "NoPathsOfOneMachine",
       .why = "the repository works wherever it is cloned",
       .in = kEverything,
       .except = {"tests/tidy/*"},
       .view = &SourceFile::text,
       .words = {"\x2fwork/", "/root/", "/home/", "/tmp/helper"},
       .guilty_path = "docs/a.md",
       .guilty = "See /root/notes.",
       .innocent_path = "docs/a.md",
       .innocent = "See $work/notes."},
      {.name = "NoRegistryHosts",
       .why = "packages come through their ordinary clients, wherever those point",
       .in = kEverything,
       .except = {"tests/tidy/*"},
       .view = &SourceFile::text,
       .words = {"registry.npm", "npmjs.", "deb.debian", "crates.io", "pypi.org", "conan.io"},
       .guilty_path = "third_party/setup.sh",
       .guilty = "curl https://registry.npm.example/",
       .innocent_path = "third_party/setup.sh",
       .innocent = "npm pack duckdb@1.4.1"},
  };
  return kRules;
}

}  // namespace

std::span<const Rule> rules() { return table(); }

std::vector<Finding> apply(const Rule& rule, const SourceFile& file) {
  if (!matches(file.path, rule.in) || matches(file.path, rule.except)) return {};
  if (rule.check != nullptr) return rule.check(file);
  std::vector<Finding> found;
  const std::vector<std::string>& lines = file.*rule.view;
  for (size_t i = 0; i < lines.size(); ++i) {
    const std::string& line = lines[i];
    std::string lowered;  // made when a word without capitals asks for it
    for (const std::string_view word : rule.words) {
      const bool any_case = rule.view == &SourceFile::text && lower(word) == word;
      if (any_case && lowered.empty()) lowered = lower(line);
      if (!has_word(any_case ? lowered : line, word)) continue;
      const bool excused = std::any_of(
          rule.unless.begin(), rule.unless.end(),
          [&](std::string_view excuse) { return line.find(excuse) != std::string::npos; });
      if (!excused) found.push_back({file.path, i + 1, "'" + std::string(word) + "'"});
    }
  }
  return found;
}

std::vector<Ratchet> read_ratchets(const SourceFile& file) {
  std::vector<Ratchet> ratchets;
  for (const std::string& line : file.text) {
    if (line.empty() || line.starts_with('#')) continue;
    const size_t first = line.find(' '), last = line.rfind(' ');
    Ratchet ratchet;
    ratchet.path = line.substr(0, first);
    if (last > first) ratchet.function = line.substr(first + 1, last - first - 1);
    ratchet.lines = std::stoul(line.substr(last + 1));
    ratchets.push_back(std::move(ratchet));
  }
  return ratchets;
}

std::vector<Finding> check_lengths(std::span<const SourceFile> tree,
                                   std::span<const Ratchet> ratchets) {
  std::map<std::pair<std::string, std::string>, size_t> allowed;
  for (const Ratchet& ratchet : ratchets) allowed[{ratchet.path, ratchet.function}] = ratchet.lines;
  std::vector<Finding> found;
  const auto judge = [&](const SourceFile& file, const std::string& function, size_t line,
                         size_t lines, size_t lines_max) {
    const auto ratchet = allowed.find({file.path, function});
    const std::string what = function.empty() ? "the file" : "the function " + function;
    if (ratchet == allowed.end()) {
      if (lines <= lines_max) return;
      found.push_back({file.path, line,
                       what + " takes " + std::to_string(lines) + " lines, more than " +
                           std::to_string(lines_max) + ": what second thing lives in it?"});
    } else {
      if (lines != ratchet->second) {
        found.push_back({file.path, line,
                         what + " takes " + std::to_string(lines) + " lines; ratchet.txt says " +
                             std::to_string(ratchet->second) +
                             (lines < ratchet->second ? ": lower it, or take the entry out"
                                                      : ": it may only shrink")});
      }
      allowed.erase(ratchet);
    }
  };
  for (const SourceFile& file : tree) {
    if (!matches(file.path, kProduct) || matches(file.path, kTables)) continue;
    judge(file, "", 1, file.text.size(), kFileLinesMax);
    for (const FunctionLength& function : function_lengths(file)) {
      judge(file, function.name, function.line, function.lines, kFunctionLinesMax);
    }
  }
  for (const auto& [key, lines] : allowed) {
    found.push_back({key.first, 1, "ratchet.txt names '" + key.second + "', which is not there"});
  }
  return found;
}

}  // namespace tidy
