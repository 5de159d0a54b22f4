// The binary interface: what the library exports, how its structs lie in memory and what its
// functions take, compared with tests/golden/c/abi.txt. A line there may be added; if one has to
// change or go, PGSINK_C_ABI must grow.

#include <cstddef>
#include <fstream>
#include <iterator>
#include <regex>
#include <sstream>

#include "c/c_support.h"
#include "support/run_command.h"

namespace pgsink::test {
namespace {

std::string contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// The names that programs can link to, in order.
std::vector<std::string> exported() {
  const Captured nm =
      run_command({"/bin/sh", "-c", "nm -D --defined-only --format=posix " PGSINK_C_LIBRARY});
  EXPECT_EQ(nm.exit_code, 0) << nm.err;
  std::vector<std::string> names;
  std::istringstream lines(nm.out);
  for (std::string line; std::getline(lines, line);)
    names.push_back(line.substr(0, line.find(' ')));
  std::ranges::sort(names);
  return names;
}

/// The declarations of the header, each in one line.
std::vector<std::string> declared() {
  const std::string header = contents(PGSINK_SOURCE_DIR "/src/include/pgsink/pgsink_c.h");
  const std::regex declaration(R"(\nPGSINK_EXPORT ([^;]+);)");
  std::vector<std::string> found;
  for (std::sregex_iterator it(header.begin(), header.end(), declaration), end; it != end; ++it) {
    found.push_back(std::regex_replace((*it)[1].str(), std::regex(R"(\s+)"), " "));
  }
  std::ranges::sort(found);
  return found;
}

#define MEMBER(type, name)                                                           \
  lines.push_back(#type "." #name " " + std::to_string(offsetof(type, name)) + "+" + \
                  std::to_string(sizeof(type::name)))
std::vector<std::string> layout() {
  std::vector<std::string> lines;
  MEMBER(pgsink_error, size);
  MEMBER(pgsink_error, code);
  MEMBER(pgsink_error, sent);
  MEMBER(pgsink_error, retryable);
  MEMBER(pgsink_error, sqlstate);
  MEMBER(pgsink_error, rows_committed);
  MEMBER(pgsink_error, message);
  MEMBER(pgsink_error, detail);
  MEMBER(pgsink_error, hint);
  MEMBER(pgsink_error, where);
  MEMBER(pgsink_error, schema);
  MEMBER(pgsink_error, table);
  MEMBER(pgsink_error, column);
  MEMBER(pgsink_error, constraint);
  MEMBER(pgsink_error, owned);
  MEMBER(pgsink_option, key);
  MEMBER(pgsink_option, value);
  MEMBER(pgsink_callbacks, size);
  MEMBER(pgsink_callbacks, context);
  MEMBER(pgsink_callbacks, on_dead_letters);
  MEMBER(pgsink_callbacks, on_password);
  MEMBER(pgsink_callbacks, on_server_wait);
  MEMBER(pgsink_callbacks, on_flight);
  MEMBER(pgsink_job_options, size);
  MEMBER(pgsink_job_options, epoch);
  MEMBER(pgsink_job_options, host);
  MEMBER(pgsink_job_options, atomic);
  MEMBER(pgsink_job_options, replace);
  return lines;
}
#undef MEMBER

TEST(CAbi, IsTheOneThatIsWrittenDown) {
  std::string abi = "PGSINK_C_ABI " + std::to_string(pgsink_abi_version()) + "\n";
  for (const auto& lines : {declared(), layout()}) {
    for (const std::string& line : lines) abi += line + "\n";
  }
  EXPECT_EQ(abi, contents(PGSINK_SOURCE_DIR "/tests/golden/c/abi.txt"));
}

TEST(CAbi, ExportsWhatItDeclaresAndNothingElse) {
  std::vector<std::string> names;
  for (const std::string& line : declared()) {
    const size_t open = line.find('(');
    const size_t begin = line.find_last_of(" *", open) + 1;
    names.push_back(line.substr(begin, open - begin));
  }
  std::ranges::sort(names);
  EXPECT_EQ(exported(), names);
}

TEST(CAbi, TheNameOfTheLibraryHasItsNumber) {
  const Captured headers = run_command({"/bin/sh", "-c", "objdump -p " PGSINK_C_LIBRARY});
  EXPECT_EQ(headers.exit_code, 0) << headers.err;
  EXPECT_NE(headers.out.find("libpgsink_c.so." + std::to_string(PGSINK_C_ABI) + "\n"),
            std::string::npos);
}

}  // namespace
}  // namespace pgsink::test
