// Texts in the forms that PostgreSQL documents, in every type, against the server: what the encoder
// makes of a text is what the server's cast makes of it, or both refuse. The texts that the server
// takes and the encoder refuses stand in kRefusals, each with its reason.

#include "support/text_forms.h"

#include <algorithm>
#include <iostream>
#include <set>

#include <pgsink/encode/base/wire_type.h>
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
using test::TextForms;
using test::Verdict;

constexpr const char* kDateStyle = "DateStyle says which number is the day";
constexpr const char* kClock = "it is the time at which the server reads it";
constexpr const char* kZoneName = "the session says what the name of a zone means";
constexpr const char* kDropsZone = "the type has no zone, and the server would drop it";
constexpr const char* kDropsTime = "the type has no time of day, and the server would drop it";
constexpr const char* kDropsDate = "the type has no date, and the server would drop it";
constexpr const char* kRounds = "the server would round it";
constexpr const char* kCuts = "the server would cut it";
constexpr const char* kWraps = "the server would make another number of it";
constexpr const char* kLosesFraction = "the server forgets a fraction of a day after a time";
constexpr const char* kRemoved = "never documented, and refused by later versions";
constexpr const char* kScanned = "not documented: blanks between the bytes";

/// A text that the server takes, in some version, and the encoder does not.
struct Refusal {
  std::string_view sql_type, text;
  const char* reason;
};

const Refusal kRefusals[] = {
    {"oid", "-1", kWraps},
    {"oid", "-2147483648", kWraps},
    {"numeric(6,2)", "0.005", kRounds},
    {"numeric(6,2)", "99.999", kRounds},
    {"varchar(5)", "abcde   ", kCuts},
    {"\"char\"", "ab", kCuts},
    {"\"char\"", "\\101", kCuts},
    {"\"char\"", "ä", kCuts},
    {"date", "J2451187.5", kDropsTime},
    {"date", "1999-01-08 04:05", kDropsTime},
    {"date", "99-Jan-08", kDateStyle},
    {"date", "99/01/08", kDateStyle},
    {"date", "44-03-15 BC", kDateStyle},
    {"date", "now", kClock},
    {"date", "today", kClock},
    {"date", "tomorrow", kClock},
    {"date", "yesterday", kClock},
    {"date", "Jan 8 1999 00:00 PST", kZoneName},
    {"date", "y2001m02d04", kRemoved},
    {"time", "04:05:06 PST", kZoneName},
    {"time", "04:05:06-08", kDropsZone},
    {"time", "2003-04-12 04:05:06", kDropsDate},
    {"time", "2003-04-12 04:05:06 America/New_York", kDropsDate},
    {"time", "04:05:06 BC", kDropsDate},
    {"time", "now", kClock},
    {"time", "04:05:06.1234567", kRounds},
    {"time(3)", "04:05:06.7894", kRounds},
    {"time(3)", "04:05:06.7895 PM", kRounds},
    {"time(3)", "23:59:59.9999", kRounds},
    {"timetz", "04:05:06 PST", kZoneName},
    {"timetz", "04:05:06 PDT", kZoneName},
    {"timetz", "04:05:06 GMT+3", kZoneName},
    {"timetz", "2003-04-12 04:05:06 America/New_York", kDropsDate},
    {"timestamp", "1999-01-08 04:05:06 -8:00", kDropsZone},
    {"timestamp", "January 8 04:05:06 1999 PST", kZoneName},
    {"timestamp", "1999-01-08 04:05:06 America/New_York", kZoneName},
    {"timestamp", "now", kClock},
    {"timestamp", "today", kClock},
    {"timestamp", "tomorrow 04:05", kClock},
    {"timestamp", "yesterday allballs", kClock},
    {"timestamp", "1999-01-08 04:05:06.1234567", kRounds},
    {"timestamptz", "January 8 04:05:06 1999 PST", kZoneName},
    {"timestamptz", "Thu Jan 08 04:05:06 1999 CET", kZoneName},
    {"timestamptz", "1999-01-08 04:05:06 America/New_York", kZoneName},
    {"timestamptz", "1999-01-08 04:05:06 Europe/Berlin", kZoneName},
    {"timestamptz", "1999-01-08 04:05:06 GMT+3", kZoneName},
    {"timestamptz", "2024-06-15 12:00 PDT", kZoneName},
    {"timestamptz", "1999-01-08 04:05:06 EST5EDT", kZoneName},
    {"timestamptz", "now", kClock},
    {"timestamptz", "today", kClock},
    {"timestamp(2)", "1999-01-08 04:05:06.785", kRounds},
    {"timestamp(2)", "1999-12-31 23:59:59.995", kRounds},
    {"interval", "0.1 years", kRounds},
    {"interval", "1.0000001 seconds", kRounds},
    {"interval", "P1.1Y", kRounds},
    {"interval", "1 day ago 2 hours", kRemoved},
    {"interval", "1 hours minutes", kRemoved},
    {"interval", "04:05 0.5 day", kLosesFraction},
    {"interval(2)", "1.255 seconds", kRounds},
    {"interval(2)", "04:05:06.789", kRounds},
    {"interval year to month", "1 year 2 mons 3 days", kCuts},
    {"interval day to minute", "1 day 04:05:06", kCuts},
    {"interval second(1)", "5.55", kRounds},
    {"macaddr", "08 00 2b 01 02 03", kScanned},
    {"price", "99.999", kRounds},
    {"name", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", kCuts},
    {"name", "ääääääääääääääääääääääääääääääää", kCuts},
};

const Refusal* refusal_of(const TextForms& forms, const std::string& text) {
  const Refusal* const found = std::ranges::find_if(kRefusals, [&](const Refusal& refusal) {
    return refusal.sql_type == forms.sql_type && refusal.text == text;
  });
  return found == std::end(kRefusals) ? nullptr : found;
}

/// Before 15 a server cuts fractions of units larger than seconds, in an order of its own, and
/// counts microseconds as double: the encoder takes none of those.
bool differs_before_15(std::string_view sql_type, std::string_view text) {
  return test::shared_server().version() < 150000 && sql_type.starts_with("interval") &&
         (text.find('.') != std::string_view::npos || text.find("us") != std::string_view::npos);
}

/// How the texts came out.
struct Tally {
  size_t texts = 0, equal = 0, both_refuse = 0, server_refuses = 0, listed = 0;
};

class Comparison {
 public:
  Comparison(std::string database, const TextForms& forms)
      : database_(std::move(database)),
        forms_(forms),
        texts_(forms.texts.begin(), forms.texts.end()),
        table_(test::shared_server(), database_, "typed", {forms.sql_type}),
        batch_(make_batch()),
        encoder_(
            RowEncoder::create(test::encode_columns(batch_, table_.columns()), table_.types())) {}

  void run(Tally& tally) {
    ASSERT_TRUE(encoder_);
    const std::vector<Verdict> verdicts =
        test::ask_server(database_, forms_.sql_type, forms_.base, texts_);
    std::vector<uint32_t> sent;
    judge(verdicts, sent, tally);
    const std::vector<std::string> stored = store(sent);
    ASSERT_EQ(stored.size(), sent.size());
    for (size_t i = 0; i < sent.size(); ++i) {
      EXPECT_EQ(stored[i], verdicts[sent[i]].shown) << "\"" << *texts_[sent[i]] << "\"";
      if (stored[i] == verdicts[sent[i]].shown) ++tally.equal;
    }
  }

 private:
  RecordBatch make_batch() const {
    test::ArrowNode column = test::arrow_text("u", texts_);
    column.name = "c0";
    return test::import_columns({std::move(column)});
  }

  /// Everything but the values of those that both take.
  void judge(const std::vector<Verdict>& verdicts, std::vector<uint32_t>& sent, Tally& tally) {
    const Encoded encoded = test::encode_all(*encoder_, batch_, {0, batch_.row_count(), nullptr});
    std::vector<std::string> rejected(texts_.size());
    for (const Rejection& rejection : encoded.rejected) {
      rejected[rejection.row] = rejection.error.message;
    }
    for (uint32_t i = 0; i < texts_.size(); ++i) {
      ++tally.texts;
      if (differs_before_15(forms_.sql_type, *texts_[i])) continue;
      const Refusal* const listed = refusal_of(forms_, *texts_[i]);
      const bool takes = rejected[i].empty();
      if (takes) {
        EXPECT_EQ(listed, nullptr) << "is listed, and taken: \"" << *texts_[i] << "\"";
        EXPECT_TRUE(verdicts[i].takes || forms_.server_checks)
            << "taken: \"" << *texts_[i] << "\", the server: " << verdicts[i].shown;
        if (verdicts[i].takes) sent.push_back(i);
        if (!verdicts[i].takes) ++tally.server_refuses;
      } else if (!verdicts[i].takes) {
        ++tally.both_refuse;
      } else {
        EXPECT_NE(listed, nullptr) << "rejected: \"" << *texts_[i] << "\" (" << rejected[i]
                                   << "), the server: " << verdicts[i].shown;
        if (listed != nullptr) ++tally.listed;
      }
    }
  }

  /// Sends them as the sink does, and reads what became of them.
  std::vector<std::string> store(const std::vector<uint32_t>& sent) {
    const Encoded good = test::encode_all(*encoder_, batch_, {0, sent.size(), sent.data()});
    SqlRows rows;
    if (goes_as_text()) {
      CopyTable staged(test::shared_server(), database_, "staged", {"text"});
      EXPECT_EQ(staged.copy(good.tuples), "");
      rows = test::shared_server().sql(
          "SET timezone = 'UTC'; SET datestyle = 'ISO, YMD'; SET intervalstyle = 'postgres';"
          "SELECT c0::" +
              std::string(forms_.sql_type) + "::text FROM staged ORDER BY position_",
          database_);
    } else {
      EXPECT_EQ(table_.copy(good.tuples), "");
      rows = table_.rows();
    }
    std::vector<std::string> stored;
    for (const auto& row : rows) stored.push_back(row[0].value_or("NULL"));
    return stored;
  }

  bool goes_as_text() const {
    const test::ColumnType& type = table_.columns().front();
    const auto target =
        encode::resolve_target(type.oid, type.type_modifier, table_.types(), type.rules);
    return target && encode::goes_as_text(*target);
  }

  const std::string database_;
  const TextForms& forms_;
  const Nullable<std::string> texts_;
  CopyTable table_;
  RecordBatch batch_;
  Result<RowEncoder> encoder_;
};

bool has_extension(const std::string& name, const std::string& database) {
  test::PostgresServer& server = test::shared_server();
  const bool has =
      !server.sql("SELECT FROM pg_available_extensions WHERE name = '" + name + "'", database)
           .empty();
  if (has) server.sql("CREATE EXTENSION IF NOT EXISTS " + name, database);
  return has;
}

TEST(TextForms, BecomeWhatTheServerMakesOfThem) {
  test::PostgresServer& server = test::shared_server();
  const std::string database = server.create_database("text_forms");
  server.sql(test::text_types_sql(), database);
  Tally tally;
  size_t types = 0;
  for (const TextForms& forms : test::text_forms()) {
    SCOPED_TRACE(forms.sql_type);
    if (*forms.extension != 0 && !has_extension(forms.extension, database)) continue;
    ++types;
    Comparison(database, forms).run(tally);
  }
  EXPECT_GE(tally.texts, 640U);
  EXPECT_GE(types, 46U);
  std::cout << tally.texts << " texts in " << types << " types: " << tally.equal << " equal, "
            << tally.both_refuse << " refused by both, " << tally.server_refuses
            << " by the server only, " << tally.listed << " listed refusals\n";
}

TEST(TextForms, ListsNoRefusalOfATextThatIsNotCompared) {
  for (const Refusal& refusal : kRefusals) {
    const bool known = std::ranges::any_of(test::text_forms(), [&](const TextForms& forms) {
      return refusal.sql_type == forms.sql_type &&
             std::ranges::find(forms.texts, refusal.text) != forms.texts.end();
    });
    EXPECT_TRUE(known) << refusal.sql_type << ": " << refusal.text;
  }
}

}  // namespace
}  // namespace pgsink
