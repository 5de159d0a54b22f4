// Random text for every type that reads text, against the server: what the encoder takes must read
// back as the value that the server itself makes of the text; what it rejects must be rejected by
// the server too, unless the server would round it or the text is no form that
// docs/reference/types.md names. Then the same where the encoder is to round as the server does.
//
// PGSINK_TEXTS_PER_TYPE sets how many texts each type gets; the seeds are the same ones always.

#include <algorithm>
#include <array>
#include <cstdlib>
#include <iostream>
#include <random>
#include <regex>
#include <set>

#include <pgsink/encode/rows/row_encoder.h>

#include <gtest/gtest.h>

#include "support/arrow_builder.h"
#include "support/copy_harness.h"
#include "support/random_texts.h"
#include "support/server_verdict.h"

namespace pgsink {
namespace {

using test::CopyTable;
using test::Encoded;
using test::Nullable;
using test::SqlRows;
using test::TextType;
using test::Verdict;

size_t texts_per_type() {
  const char* wanted = std::getenv("PGSINK_TEXTS_PER_TYPE");
  constexpr size_t kTexts = 2500;
  return wanted != nullptr ? std::strtoul(wanted, nullptr, 10) : kTexts;
}
/// So many are compared at a time.
constexpr size_t kTextsAtOnce = 20'000;

/// Whether the elements of an array's text are not all at one depth. Servers before 17 take some of
/// those, and lose elements.
bool is_ragged(const std::string& text) {
  std::set<int> depths;
  int depth = 0;
  bool quoted = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\\') {
      ++i;
    } else if (c == '"') {
      quoted = !quoted;
    } else if (!quoted && (c == '{' || c == '}')) {
      depth += c == '{' ? 1 : -1;
    } else if (!quoted && c != ',' && c != ' ') {
      depths.insert(depth);
    }
  }
  return depths.size() > 1;
}

/// Whether a rejection says why the server's value is not taken: the session decides about it, or
/// the type cannot hold it all. tests/encode/parse/text_forms_test.cc compares when that is said.
bool says_why(const Rejection& rejection) {
  constexpr std::array kReasons{"session's DateStyle", "names a time zone",
                                "has a time zone",     "time at which the server reads",
                                "has a time of day",   "would be rounded"};
  return std::ranges::any_of(kReasons, [&](const char* reason) {
    return rejection.error.message.find(reason) != std::string::npos;
  });
}

/// How many of the texts of a type were taken, and how many differ from the server.
struct Tally {
  size_t texts = 0, taken = 0, wrong = 0;
};

void compare(const std::string& database, const TextType& type, std::mt19937_64& engine,
             bool rounds, size_t count, Tally& tally) {
  Nullable<std::string> texts;
  for (size_t i = 0; i < count; ++i) texts.emplace_back(test::random_text(engine, type));
  const std::vector<Verdict> verdicts = test::ask_server(database, type.sql_type, type.base, texts);
  CopyTable table(test::shared_server(), database, "taken", {type.sql_type});
  test::ArrowNode column = test::arrow_text("u", texts);
  column.name = "c0";
  const RecordBatch batch = test::import_columns({std::move(column)});
  std::vector<EncodeColumn> columns = test::encode_columns(batch, table.columns());
  columns[0].rules.rounds = rounds;
  auto encoder = RowEncoder::create(columns, table.types());
  ASSERT_TRUE(encoder);
  const Encoded encoded = test::encode_all(*encoder, batch, {0, batch.row_count(), nullptr});
  std::vector<const Rejection*> rejected(count, nullptr);
  for (const Rejection& rejection : encoded.rejected) rejected[rejection.row] = &rejection;
  std::string form_text = *type.form == 0 ? "[^]*" : type.form;
  // Rounded are also what has more digits than the type.
  for (size_t at = 0; rounds && (at = form_text.find("{1,6}", at)) != std::string::npos; ++at) {
    form_text.replace(at, 5, "{1,9}");
  }
  const std::regex form(form_text);
  const bool is_array = std::string_view(type.sql_type).ends_with("[]");
  std::vector<uint32_t> sent;
  size_t wrong = 0;
  for (uint32_t i = 0; i < count && wrong < 8; ++i) {
    const Verdict& verdict = verdicts[i];
    if (rejected[i] == nullptr) {
      if (verdict.takes) sent.push_back(i);
      if (verdict.takes || type.server_checks) continue;
      ++wrong;
      ADD_FAILURE() << "taken: \"" << *texts[i] << "\", the server: " << verdict.shown;
    } else if (verdict.takes && (rounds || !verdict.rounds) && std::regex_match(*texts[i], form) &&
               !says_why(*rejected[i]) && !(is_array && is_ragged(*texts[i]))) {
      ++wrong;
      ADD_FAILURE() << "rejected: \"" << *texts[i] << "\" (" << rejected[i]->error.message
                    << "), the server: " << verdict.shown;
    }
  }
  EXPECT_GE(sent.size(), count / 20) << "too few of the texts are values";
  const Encoded good =
      test::encode_all(*encoder, batch, {0, sent.size(), sent.data()}, size_t{1} << 16);
  ASSERT_EQ(table.copy(good.tuples), "");
  const SqlRows rows = table.rows();
  ASSERT_EQ(rows.size(), sent.size());
  tally.texts += count;
  tally.taken += sent.size();
  for (size_t i = 0; i < rows.size() && wrong < 16; ++i) {
    if (rows[i][0] == verdicts[sent[i]].shown) continue;
    ++wrong;
    ADD_FAILURE() << "\"" << *texts[sent[i]] << "\" became " << rows[i][0].value_or("NULL")
                  << ", the server makes of it " << verdicts[sent[i]].shown;
  }
  tally.wrong += wrong;
}

/// Compares as many texts of each type as are wanted.
void run(bool rounds) {
  test::PostgresServer& server = test::shared_server();
  const std::string database = server.create_database("text_property");
  server.sql(test::text_types_sql(), database);
  uint64_t seed = rounds ? 1000 : 1;
  for (const TextType& type : test::text_types()) {
    SCOPED_TRACE(type.sql_type);
    // tests/encode/parse/text_forms_test.cc says what differs there.
    if (server.version() < 150000 && std::string_view(type.sql_type).starts_with("interval")) {
      continue;
    }
    std::mt19937_64 engine(seed++);
    Tally tally;
    while (tally.texts < texts_per_type() && tally.wrong == 0 &&
           !testing::Test::HasFatalFailure()) {
      compare(database, type, engine, rounds,
              std::min(kTextsAtOnce, texts_per_type() - tally.texts), tally);
    }
    std::cout << "| " << type.sql_type << " | " << tally.texts << " | " << tally.taken << " | "
              << tally.wrong << " |\n";
  }
}

TEST(TextProperty, TheEncoderTakesWhatTheServerTakesAndMakesTheSameOfIt) { run(false); }
TEST(TextProperty, TheEncoderRoundsWhatTheServerRoundsAndAsItDoes) { run(true); }

}  // namespace
}  // namespace pgsink
