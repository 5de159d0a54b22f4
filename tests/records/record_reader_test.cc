// How the bytes of a pipe are cut into records, and CSV records into fields.

#include "shell/records/record_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pgsink::test {
namespace {

using shell::CsvDialect;
using shell::CsvReader;
using shell::LineReader;
using shell::RecordReader;
using shell::TextRecord;
using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::string> records_of(RecordReader& reader, const std::string& text, size_t step) {
  std::vector<TextRecord> records;
  for (size_t at = 0; at < text.size(); at += step) {
    reader.push(std::string_view(text).substr(at, step));
    EXPECT_TRUE(reader.take(1000, records));
  }
  reader.end();
  EXPECT_TRUE(reader.take(1000, records));
  EXPECT_TRUE(reader.finished());
  std::vector<std::string> all;
  for (const TextRecord& record : records) {
    all.push_back(std::to_string(record.line) + ":" + record.text);
  }
  return all;
}

std::vector<std::string> csv_records(const std::string& text, size_t step, size_t width = 0,
                                     const CsvDialect& dialect = {}) {
  CsvReader reader(dialect);
  reader.set_width(width);
  return records_of(reader, text, step);
}

std::vector<std::string> line_records(const std::string& text, size_t step) {
  LineReader reader;
  return records_of(reader, text, step);
}

TEST(RecordReader, CutsTheSameRecordsHoweverTheBytesCome) {
  const std::string text = "a\r\n\n\"b\nb\",\"\"\"\n\"\r\nlast";
  for (size_t step = 1; step <= text.size(); ++step) {
    EXPECT_THAT(csv_records(text, step), ElementsAre("1:a", "3:\"b\nb\",\"\"\"\n\"", "6:last"))
        << step;
    EXPECT_THAT(line_records(text, step),
                ElementsAre("1:a", "3:\"b", "4:b\",\"\"\"", "5:\"", "6:last"))
        << step;
  }
}

TEST(RecordReader, SkipsAByteOrderMarkAtTheBeginningOnly) {
  const std::string mark = "\xef\xbb\xbf";
  const std::string text = mark + "a\n" + mark + "b\n";
  for (size_t step = 1; step <= text.size(); ++step) {
    EXPECT_THAT(line_records(text, step), ElementsAre("1:a", "2:" + mark + "b")) << step;
    EXPECT_THAT(csv_records(text, step), ElementsAre("1:a", "2:" + mark + "b")) << step;
  }
  EXPECT_THAT(line_records(mark, 1), ElementsAre());
  EXPECT_THAT(line_records("\xef\xbb", 1), ElementsAre("1:\xef\xbb"));
  EXPECT_THAT(line_records("\xef\xbb\n", 1), ElementsAre("1:\xef\xbb"));
}

TEST(RecordReader, RefusesWhatIsNoTextWithWhatToDo) {
  const std::pair<std::string, std::string> foreign[] = {
      {std::string("\x1f\x8b\x08\x00", 4), "gzip"},
      {"\x28\xb5\x2f\xfd", "zstd"},
      {std::string("\xff\xfe{\0", 4), "UTF-16"},
      {std::string("\xfe\xff\0{", 4), "UTF-16"},
  };
  for (const auto& [bytes, name] : foreign) {
    LineReader reader;
    std::vector<TextRecord> records;
    reader.push(bytes);
    const auto taken = reader.take(10, records);
    ASSERT_FALSE(taken) << name;
    EXPECT_THAT(taken.error().message, HasSubstr(name));
  }
}

TEST(RecordReader, BlankLinesAreNoneExceptInCsvOfOneField) {
  EXPECT_THAT(line_records("\n \t\nx\n\n", 3), ElementsAre("3:x"));
  EXPECT_THAT(csv_records("a,b\n\nc,d\n", 3, 2), ElementsAre("1:a,b", "3:c,d"));
  EXPECT_THAT(csv_records("a\n\n  \nb\n", 3, 1), ElementsAre("1:a", "2:", "3:  ", "4:b"));
}

TEST(RecordReader, AQuoteThatNobodyClosesTakesItsLineOnly) {
  const std::string text = "1,ok\n2,5\" disk\n3,ok\n8,7\" lp\n9,ok\n";
  const auto each_line = ElementsAre("1:1,ok", "2:2,5\" disk", "3:3,ok", "4:8,7\" lp", "5:9,ok");
  // At the beginning of a field it may be the first of many lines, until it turns out not to be.
  const std::string from_start = "1,ok\n2,\"5 disk\n3,ok\n8,\"7 lp\n9,ok\n";
  for (size_t step = 1; step <= text.size(); ++step) {
    EXPECT_THAT(csv_records(text, step, 2), each_line) << step;
    EXPECT_THAT(csv_records(from_start, step, 2),
                ElementsAre("1:1,ok", "2:2,\"5 disk", "3:3,ok", "4:8,\"7 lp", "5:9,ok"))
        << step;
    // The quotes fit together, the number of fields does not.
    EXPECT_THAT(csv_records("1,\"a\n2,ok\n3\",4,5\n6,ok\n", step, 2),
                ElementsAre("1:1,\"a", "2:2,ok", "3:3\",4,5", "4:6,ok"))
        << step;
    EXPECT_THAT(csv_records("1,\"a\n2,\"\n3,ok", step, 2), ElementsAre("1:1,\"a\n2,\"", "3:3,ok"));
  }
}

TEST(RecordReader, LinesAfterAnOpenQuoteAreGivenOutWhenNothingMoreComes) {
  CsvReader reader({});
  reader.set_width(2);
  std::vector<TextRecord> records;
  reader.push("1,\"open\n2,b\n3,c\n4,unfin");
  ASSERT_TRUE(reader.take(10, records));
  EXPECT_TRUE(records.empty()) << "it may go on";
  reader.end_with_whole_lines();
  ASSERT_TRUE(reader.take(10, records));
  ASSERT_EQ(records.size(), 3U);
  EXPECT_EQ(records[0].text, "1,\"open");
  EXPECT_EQ(records[2].text, "3,c");
  EXPECT_TRUE(reader.finished());
}

TEST(RecordReader, RefusesARecordWithoutEnd) {
  CsvReader reader({});
  std::vector<TextRecord> records;
  const std::string part(size_t{8} << 20, 'x');
  reader.push("1\n\"");
  for (int i = 0; i < 8; ++i) reader.push(part);
  const auto taken = reader.take(10, records);
  ASSERT_FALSE(taken);
  EXPECT_THAT(taken.error().message, HasSubstr("line 2: a record of more than 64 MiB"));
}

TEST(RecordReader, AnOpenQuoteHoldsBackNoMoreThanARecordMayHave) {
  CsvReader reader({});
  std::vector<TextRecord> records;
  reader.push("1,\"open\n");
  const std::string line = std::string((size_t{1} << 20) - 1, 'x') + "\n";
  for (size_t i = 0; i <= RecordReader::kRecordBytesMax >> 20; ++i) reader.push(line);
  ASSERT_TRUE(reader.take(1000, records));
  ASSERT_EQ(records.size(), 66U);
  EXPECT_EQ(records[0].text, "1,\"open");
  EXPECT_EQ(records[65].line, 66U);
}

TEST(SplitCsv, TellsNullFromEmptyAndSaysWhatIsWrong) {
  const auto fields = shell::split_csv("1,,\"\",\"a\"\"b\",", {});
  ASSERT_TRUE(fields);
  ASSERT_EQ(fields->size(), 5U);
  EXPECT_TRUE((*fields)[1].is_null);
  EXPECT_FALSE((*fields)[2].is_null);
  EXPECT_EQ((*fields)[3].text, "a\"b");
  EXPECT_TRUE((*fields)[4].is_null);
  EXPECT_EQ(shell::split_csv("x,\"a", {}).error(),
            "field 2: its opening quote has no closing quote");
  EXPECT_EQ(shell::split_csv("a\rb", {}).error(), "field 1: a carriage return outside of quotes");
}

TEST(SplitCsv, ObeysTheDialect) {
  const CsvDialect dialect{.delimiter = '|', .quote = '\'', .escape = '\\', .null = "\\N"};
  const auto fields = shell::split_csv(R"('a\'b\\c\d'|\N|'\N'||x"y)", dialect);
  ASSERT_TRUE(fields);
  ASSERT_EQ(fields->size(), 5U);
  EXPECT_EQ((*fields)[0].text, R"(a'b\c\d)");
  EXPECT_TRUE((*fields)[1].is_null);
  EXPECT_FALSE((*fields)[2].is_null);
  EXPECT_FALSE((*fields)[3].is_null);
  EXPECT_EQ((*fields)[4].text, "x\"y");
  EXPECT_THAT(csv_records("1|'a\\'\nb'\n2|c\n", 1, 2, dialect),
              ElementsAre("1:1|'a\\'\nb'", "3:2|c"));
}

}  // namespace
}  // namespace pgsink::test
