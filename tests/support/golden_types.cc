#include "support/golden_types.h"

#include <sstream>
#include <stdexcept>

#include <pgproto/bytes.h>

#include "support/copy_decoder.h"

namespace pgsink::test {
namespace {

// OIDs of types that are not built in differ from database to database: in a golden they are
// counted from here.
constexpr pgproto::Oid kFirstUserOid = 16'384;
constexpr pgproto::Oid kGoldenOids = 100'000;

constexpr const char* kDays = "v - date '1970-01-01'";
constexpr const char* kMicros = "trunc(extract(epoch FROM v) * 1000000)";

}  // namespace

std::string golden_types_sql() {
  return "CREATE TYPE mood AS ENUM ('sad', 'ok', 'very, \"happy\"');"
         "CREATE DOMAIN price AS numeric(8,2) CHECK (VALUE >= 0);"
         "CREATE TYPE pair AS (key text, value int4);"
         "CREATE TYPE product AS (name text, cost price, feeling mood, tags text[], extra pair);";
}

const std::vector<GoldenType>& golden_types() {
  static const std::vector<GoldenType> kTypes = {
      {"bool", "bool", {"t", "f"}},
      {"int2", "int2", {"0", "1", "-1", "32767", "-32768"}, "v"},
      {"int4", "int4", {"0", "1", "-1", "42", "2147483647", "-2147483648"}, "v"},
      {"int8",
       "int8",
       {"0", "1", "-1", "42", "1700000000", "9223372036854775807", "-9223372036854775808"},
       "v"},
      {"oid", "oid", {"0", "1", "16384", "4294967295"}},
      {"float4",
       "float4",
       {"0", "-0", "1.5", "0.1", "3.4028235e38", "1.1754944e-38", "1e-45", "8388609", "Infinity",
        "-Infinity", "NaN"}},
      {"float8",
       "float8",
       {"0", "-0", "1.5", "0.1", "1e23", "1.7976931348623157e308", "2.2250738585072014e-308",
        "5e-324", "9007199254740993", "0.30000000000000004", "Infinity", "-Infinity", "NaN"}},
      {"numeric",
       "numeric",
       {"0",
        "0.00",
        "1",
        "-1",
        "42",
        "9999",
        "10000",
        "10001",
        "100000000",
        "0.0001",
        "0.00010",
        "0.00001",
        "1.5",
        "1.50",
        "-12345.6789",
        "12345678901234567890.123456789",
        "100000000.00000001",
        "1e100",
        "1e-100",
        "9223372036854775807",
        "-32768",
        "NaN",
        "Infinity",
        "-Infinity"},
       "v"},
      {"numeric_18_4",
       "numeric(18,4)",
       {"0", "0.0001", "-0.0001", "1", "12345.6789", "99999999999999.9999", "-99999999999999.9999",
        "10000", "NaN"}},
      {"text", "text", {"", "a", "Zoë", "漢字", "😀", "tab\tline\nback\\slash", "  blanks  "}},
      {"varchar", "varchar(5)", {"", "abcde", "äöüßé", "a    "}},
      {"bpchar", "char(5)", {"", "abcde", "äö", "a"}},
      {"name", "name", {"", "a", "a name with blanks", "größe"}},
      {"char", "\"char\"", {"a", "Z", " "}},
      {"bytea", "bytea", {"\\x", "\\x00", "\\x0001feff", "\\x5c275c", "\\xc328"}},
      {"date",
       "date",
       {"1970-01-01", "2000-01-01", "1999-12-31", "2024-02-29", "0001-01-01", "0001-12-31 BC",
        "4714-11-24 BC", "0005-02-29 BC", "5874897-12-31", "infinity", "-infinity"},
       kDays},
      {"time",
       "time",
       {"00:00:00", "00:00:00.000001", "12:34:56.789", "23:59:59.999999", "24:00:00", "06:00:00"},
       kMicros},
      {"time_3", "time(3)", {"00:00:00.001", "23:59:59.999", "12:00:00"}},
      {"timetz",
       "timetz",
       {"00:00:00+00", "12:34:56.789+01", "23:59:59.999999-08", "24:00:00+15:59:59",
        "06:30:00+05:45", "00:00:00-15:59"}},
      {"timestamp",
       "timestamp",
       {"1970-01-01 00:00:00", "2000-01-01 00:00:00", "1999-12-31 23:59:59.999999",
        "2024-02-29 12:34:56.789", "4714-11-24 00:00:00 BC", "0001-12-31 23:59:59.5 BC",
        "294276-12-31 23:59:59.999999", "infinity", "-infinity"},
       kMicros},
      {"timestamptz",
       "timestamptz",
       {"1970-01-01 00:00:00+00", "2000-01-01 00:00:00+00", "1999-12-31 23:59:59.999999+00",
        "2024-02-29 12:34:56.789+05:45", "4714-11-24 00:00:00+00 BC",
        "294276-12-31 23:59:59.999999+00", "infinity", "-infinity"},
       kMicros},
      {"interval",
       "interval",
       {"0", "1 second", "-1 second", "1 year 2 months 3 days 04:05:06.789", "-1 month 1 day",
        "1 mon -1 day", "178000000 years", "-178000000 years", "2147483647 days",
        "2562047788:00:54.775807", "-2562047788:00:54.775807", "00:00:00.000001"}},
      {"uuid",
       "uuid",
       {"00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff",
        "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"}},
      {"json", "json", {"null", "{\"a\": [1, 2,  {}]}", "\"\\u0000\"", "1e400", "  [ ]  "}},
      {"jsonb",
       "jsonb",
       {"null", "true", "\"é\"", "{\"b\": 1, \"a\": [1, 2.50, {}]}", "12345678901234567890.5"}},
      {"inet",
       "inet",
       {"0.0.0.0", "192.168.1.5", "192.168.1.5/24", "255.255.255.255", "::", "::1",
        "2001:db8::5/64", "::ffff:1.2.3.4"}},
      {"cidr", "cidr", {"0.0.0.0/0", "192.168.0.0/16", "10.1.2.3/32", "2001:db8::/32", "::/0"}},
      {"macaddr", "macaddr", {"00:00:00:00:00:00", "08:00:2b:01:02:03", "ff:ff:ff:ff:ff:ff"}},
      {"macaddr8", "macaddr8", {"00:00:00:00:00:00:00:00", "08:00:2b:01:02:03:04:05"}},
      {"bit", "bit(9)", {"000000000", "111111111", "101010101"}},
      {"varbit", "varbit", {"", "1", "10101010", "101010101"}},
      {"enum", "mood", {"sad", "ok", "very, \"happy\""}},
      {"domain", "price", {"0", "0.01", "999999.99"}},
      {"composite",
       "product",
       {"(a,1.5,ok,\"{x,NULL,\"\"y z\"\"}\",\"(k,7)\")", "(,,,,)", "(\"\",0,sad,{},\"(,)\")",
        "(\"with \\\"quotes\\\", commas\",2.25,\"very, \\\"happy\\\"\",\"{\"\"\\\\\"\"\"\"}\",)"}},
      {"int4range", "int4range", {"empty", "[1,5)", "(,7)", "[3,)", "(,)"}},
      {"tsrange", "tsrange", {"[\"2024-01-01 00:00:00\",\"2024-02-01 00:00:00\")", "(,infinity)"}},
      {"int4multirange", "int4multirange", {"{}", "{[1,5),[7,9)}", "{(,)}"}},
      {"bool_array", "bool[]", {"{}", "{t,f,NULL}"}},
      {"int2_array", "int2[]", {"{}", "{1,-1,NULL,32767}"}},
      {"int4_array", "int4[]", {"{}", "{1,-1,NULL}", "{{1,2},{3,NULL}}", "[0:2]={1,2,3}"}},
      {"int8_array", "int8[]", {"{}", "{9223372036854775807,NULL}"}},
      {"float4_array", "float4[]", {"{}", "{0.1,NaN,NULL}"}},
      {"float8_array", "float8[]", {"{}", "{0.1,NaN,-Infinity,NULL}", "{{1.5,2.5},{3.5,4.5}}"}},
      {"numeric_array", "numeric[]", {"{}", "{1.50,NULL,NaN,-10000}"}},
      {"text_array",
       "text[]",
       {"{}", "{NULL}", "{\"NULL\",\"\",\"a b\",\"q\\\"\",\"b\\\\\",\"{c}\",\"d,e\",é}"}},
      {"varchar_array", "varchar(3)[]", {"{}", "{abc,NULL,ä}"}},
      {"bpchar_array", "char(3)[]", {"{}", "{abc,\"a  \",NULL}"}},
      {"bytea_array", "bytea[]", {"{}", "{\"\\\\x00ff\",\"\\\\x\",NULL}"}},
      {"date_array", "date[]", {"{}", "{2024-02-29,infinity,NULL}"}},
      {"time_array", "time[]", {"{}", "{12:34:56.789,24:00:00,NULL}"}},
      {"timestamp_array", "timestamp[]", {"{}", "{\"2024-02-29 12:00:00\",NULL}"}},
      {"timestamptz_array", "timestamptz[]", {"{}", "{\"2024-02-29 12:00:00+00\",NULL}"}},
      {"interval_array", "interval[]", {"{}", "{\"1 mon -1 days\",NULL}"}},
      {"uuid_array", "uuid[]", {"{}", "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11,NULL}"}},
      {"json_array", "json[]", {"{}", "{\"{\\\"a\\\": 1}\",NULL}"}},
      {"jsonb_array", "jsonb[]", {"{}", "{\"{\\\"a\\\": 1}\",NULL}"}},
      {"inet_array", "inet[]", {"{}", "{192.168.1.5,::1,NULL}"}},
      {"enum_array", "mood[]", {"{}", "{sad,NULL,\"very, \\\"happy\\\"\"}"}},
      {"composite_array", "pair[]", {"{}", "{\"(k,7)\",\"(,)\",NULL}"}},
      {"domain_array", "price[]", {"{}", "{1.50,NULL}"}},
  };
  return kTypes;
}

std::string golden_path(const std::string& name) {
  return PGSINK_SOURCE_DIR "/tests/golden/encode/" + name + ".golden";
}

std::string to_hex(const std::string& bytes) {
  std::string digits;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    digits += "0123456789abcdef"[byte >> 4];
    digits += "0123456789abcdef"[byte & 15];
  }
  return digits;
}

std::string from_hex(const std::string& digits) {
  std::string bytes;
  for (size_t i = 0; i + 1 < digits.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16));
  }
  return bytes;
}

namespace {

std::string escaped(const std::string& text) {
  std::string shown;
  for (const char c : text) {
    if (c == '\\') {
      shown += "\\\\";
    } else if (c == '\t') {
      shown += "\\t";
    } else if (c == '\n') {
      shown += "\\n";
    } else {
      shown += c;
    }
  }
  return shown;
}

std::string unescaped(const std::string& shown) {
  std::string text;
  for (size_t i = 0; i < shown.size(); ++i) {
    if (shown[i] != '\\') {
      text += shown[i];
      continue;
    }
    const char c = shown.at(++i);
    text += c == 't' ? '\t' : c == 'n' ? '\n' : c;
  }
  return text;
}

/// The rest of a line, after the blank that ends the numbers.
std::string rest_of(std::istringstream& line) {
  std::string rest;
  line.get();
  std::getline(line, rest);
  return rest;
}

GoldenValue parse_value(const std::string& rest) {
  const size_t first = rest.find('\t');
  const size_t second = first == std::string::npos ? first : rest.find('\t', first + 1);
  if (second == std::string::npos) throw std::runtime_error("not a value of a golden: " + rest);
  return {unescaped(rest.substr(0, first)), rest.substr(first + 1, second - first - 1),
          from_hex(rest.substr(second + 1))};
}

/// Gives OIDs of this database the numbers that they have in a golden.
class OidNames {
 public:
  explicit OidNames(const pgproto::TypeMap& types) {
    for (const auto& [oid, type] : types) {
      if (oid >= kFirstUserOid) oids_.push_back(oid);
    }
  }
  pgproto::Oid of(pgproto::Oid oid) const {
    for (size_t i = 0; i < oids_.size(); ++i) {
      if (oids_[i] == oid) return kGoldenOids + static_cast<pgproto::Oid>(i);
    }
    return oid;
  }
  /// Arrays and composites announce OIDs, four bytes each.
  std::string in(std::string field) const {
    for (size_t at = 0; at + 4 <= field.size(); ++at) {
      const auto* const bytes = reinterpret_cast<const std::byte*>(field.data() + at);
      const auto oid = pgproto::load_be<pgproto::Oid>(bytes);
      const pgproto::Oid named = of(oid);
      if (named == oid) continue;
      pgproto::store_be(reinterpret_cast<std::byte*>(field.data() + at), named);
    }
    return field;
  }

 private:
  std::vector<pgproto::Oid> oids_;
};

void put_catalog(const CopyTable& table, const OidNames& names, std::ostringstream& file) {
  const ColumnType& column = table.columns().at(0);
  file << "column " << names.of(column.oid) << " " << column.type_modifier << "\n";
  for (const auto& [oid, type] : table.types()) {
    file << "type " << names.of(oid) << " " << static_cast<char>(type.kind) << " "
         << names.of(type.element_oid) << " " << names.of(type.base_oid) << " "
         << type.type_modifier << " " << type.name << "\n";
    for (const auto& attribute : type.attributes) {
      file << "attribute " << names.of(attribute.type_oid) << " " << attribute.type_modifier << " "
           << attribute.name << "\n";
    }
    for (const std::string& label : type.labels) file << "label " << label << "\n";
  }
}

}  // namespace

Golden parse_golden(const std::string& text) {
  Golden golden;
  pgproto::TypeInfo* type = nullptr;
  std::istringstream lines(text);
  for (std::string all; std::getline(lines, all);) {
    std::istringstream line(all);
    std::string word;
    line >> word;
    if (word == "column") {
      line >> golden.type.oid >> golden.type.type_modifier;
    } else if (word == "type") {
      pgproto::TypeInfo read;
      char kind = 0;
      line >> read.oid >> kind >> read.element_oid >> read.base_oid >> read.type_modifier;
      read.kind = static_cast<pgproto::TypeInfo::Kind>(kind);
      read.name = rest_of(line);
      type = &golden.types[read.oid];
      *type = std::move(read);
    } else if (word == "attribute" && type != nullptr) {
      pgproto::TypeInfo::Attribute& attribute = type->attributes.emplace_back();
      line >> attribute.type_oid >> attribute.type_modifier;
      attribute.name = rest_of(line);
    } else if (word == "label" && type != nullptr) {
      type->labels.push_back(rest_of(line));
    } else if (word == "value") {
      golden.values.push_back(parse_value(rest_of(line)));
    } else if (word != "#") {
      throw std::runtime_error("not a line of a golden: " + all);
    }
  }
  return golden;
}

std::string capture_golden(PostgresServer& server, const std::string& database,
                           const GoldenType& type) {
  CopyTable table(server, database, "golden", {type.sql_type});
  std::string inserts;
  for (const char* input : type.inputs) {
    std::string quoted;
    for (const char* at = input; *at != 0; ++at) quoted += *at == '\'' ? "''" : std::string(1, *at);
    inserts += "INSERT INTO golden (c0) VALUES ('" + quoted + "');";
  }
  const std::string native = *type.native == 0 ? "'-'" : type.native;
  const SqlRows rows = server.sql(
      "SET timezone = 'UTC'; SET datestyle = 'ISO, YMD'; SET intervalstyle = 'postgres';" +
          inserts + "SELECT v, CASE WHEN v::text LIKE '%infinity' THEN '-' ELSE (" + native +
          ")::text END FROM (SELECT c0 AS v, position_ FROM golden) g ORDER BY position_",
      database);
  const std::vector<std::byte> binary = table.binary();
  const std::vector<WireRow> tuples = decode_tuples(binary, 1);
  if (tuples.size() != rows.size()) throw std::runtime_error("rows without tuples");
  const OidNames names(table.types());
  std::ostringstream file;
  file << "# CREATE TABLE golden (v " << type.sql_type << "); INSERT …;\n"
       << "# COPY (SELECT v FROM golden) TO STDOUT (FORMAT binary)\n";
  put_catalog(table, names, file);
  for (size_t i = 0; i < rows.size(); ++i) {
    const std::string native_text = rows[i].at(1).value_or("-");
    file << "value " << escaped(*rows[i].at(0)) << "\t" << native_text << "\t"
         << to_hex(names.in(tuples[i].at(0).value())) << "\n";
  }
  return file.str();
}

}  // namespace pgsink::test
