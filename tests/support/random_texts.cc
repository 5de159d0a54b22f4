#include "support/random_texts.h"

#include <string_view>

namespace pgsink::test {

std::string text_types_sql() {
  return "CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');"
         "CREATE TYPE pair AS (key text, value int4);"
         "CREATE DOMAIN price AS numeric(6,2) CHECK (VALUE >= 0);"
         "CREATE TYPE float_span AS RANGE (subtype = float8);"
         "CREATE TYPE nested AS (list int4[], span int4range, amount numeric, couple pair)";
}

// Beside these the server takes much that nobody documents, such as a date with 94 hours.
#define DATE                                                                                   \
  R"((\d{6,8}( BC)?|[+-]?infinity|\d{4,7}[-/.]\d\d?[-/.]\d\d?( BC)?|\d{4,6}\.\d{3}|J\d{1,9}|)" \
  R"((Thu )?\d\d?[ -](Jan|January|March)[ -]\d{3,6}( BC)?|\d{4,6}-Jan-\d\d?|)"                 \
  R"((Thu )?(Jan|January) \d\d?,? ?\d{3,6}|epoch))"
#define CLOCK \
  R"((\d\d?:\d*(:\d*(\.\d{0,6})?)?|([01]\d|2[0-3])[0-5]\d([0-5]\d(\.\d{1,6})?)?)( ?([AP]M|[ap]m))?)"
#define ZONE R"( ?(Z|UTC|[+-]\d\d(:\d\d(:\d\d)?)?))"
#define INTERVAL                                                                           \
  R"((@ )?(-?\d+(\.\d{1,6})? ?(years?|y|mons?|months|weeks|days?|d|hours?|h|decades) ?)*)" \
  R"(([+-]?\d+:\d\d(:\d\d(\.\d{1,6})?)?)?( ago)?|\d+-\d+( -?\d+ -?\d+:\d\d:\d\d)?|\d+|)"   \
  R"(\d+ \d+:\d\d(:\d\d)?|P\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d(\.\d{1,6})?)?|)"                \
  R"(P\d{8}(T\d{6})?|P(\d+(\.\d{1,6})?[YMWD])+|[+-]?infinity)"

const std::vector<TextType>& text_types() {
  static const std::vector<TextType> kTypes = {
      {"bool", "bool", {"true", "f", "yes", "off", "1", "NO", "on"}, "truefalsynoTF01 "},
      {"int2", "int2", {"1", "-1", "32767", "-32768", " 7 ", "0x7fff", "1_0"}, "0123456789-+ _x"},
      {"int4",
       "int4",
       {"1", "-1", "2147483647", "-2147483648", "+5", "0b1_01", "-0o17"},
       "0123456789-+ ._xob"},
      {"int8",
       "int8",
       {"0", "9223372036854775807", "-9223372036854775808", "0x_F", "-0x8000000000000000"},
       "0123456789-+ _xA"},
      {"oid", "oid", {"1", "010", "0x1f", "4294967295", "26"}, "0123456789x+", "[^-]*"},
      {"float4",
       "float4",
       {"1.5", "-1e10", "3.4e38", "1e-45", "NaN", "inf", "0x1.8p3", "0x1.000001p0"},
       "0123456789.-+eEinfxp"},
      {"float8",
       "float8",
       {"1.5", "-1e-300", "1e308", "5e-324", "NaN", "-Infinity", "0x1.fffffffffffff8p1"},
       "0123456789.-+eENaxpf"},
      {"numeric",
       "numeric",
       {"1.50", "-123456789.123456", "1e20", "NaN", "Infinity", ".5", "5.", "0xFf_01", "1_000.5_0"},
       "0123456789.-+eE _xb",
       R"(\s*\S*\s*)"},
      {"numeric(6,2)", "numeric", {"1.50", "-9999.99", "1e3", "NaN", "0.005"}, "0123456789.-+e"},
      // More blanks at the end than the type holds: the server cuts them.
      {"varchar(5)", "text", {"abcde", "äöü", "ab   "}, "abcé ", "[^]*[^ ]"},
      {"char(5)", "text", {"abcde", "äöü", "ab   "}, "abcé "},
      {"bytea", "bytea", {"\\x00ff", "abc", "a\\001b", "\\\\"}, "\\x0123789abcf "},
      {"date",
       "date",
       {"2024-01-31", "20240229", "0001-12-31 BC", "infinity", "+infinity", "5874897-12-31",
        "January 8, 1999", "8 Jan 1999", "1999-Jan-08", "08-Jan-1999", "1999/01/08", "1999.01.08",
        "J2451187", "1999.008", "990108", "Thu 15 March 44 BC", "epoch"},
       "0123456789- BC+/.,",
       DATE},
      {"time",
       "time",
       {"12:34:56", "123456.5", "T1234", "1:2:3", "23:59:59.999999", "24:00:00", "04:05 AM",
        "04:05:06.789 pm", "allballs", "0405 PM", "04:05:06Z"},
       "0123456789:. ",
       CLOCK "Z?|allballs"},
      {"time(3)", "time", {"12:34:56", "23:59:59.999", "24:00:00"}, "0123456789:.", CLOCK},
      {"timetz",
       "timetz",
       {"12:34:56+01", "123456-08", "23:59:59.9-15:59", "04:05 PM UTC", "04:05 AM -08", "T1234+01"},
       "0123456789:.+- ",
       CLOCK ZONE},
      {"timestamp",
       "timestamp",
       {"2024-02-29 12:34:56.789", "20240229 12:34", "0044-03-15 00:00:00 BC", "+infinity",
        "Jan 8 1999 04:05 PM", "8 January 1999 12:00 am", "1999/01/08 04:05:06", "1999.008 04:05",
        "J2451187 04:05:06", "19990108T040506", "Thu Jan 08 04:05:06 1999", "04:05 8-Jan-1999"},
       "0123456789:.- +/,",
       DATE "( " CLOCK "( BC)?)?"},
      {"timestamptz",
       "timestamptz",
       {"2024-02-29 12:34:56.789+01", "20240229T12:34:56+01", "20240229T123456Z",
        "0044-03-15 00:00:00-08 BC", "Jan 8 1999 04:05 PM +05:30", "Thu Jan 08 04:05:06 1999 -08",
        "1999/01/08 04:05+01", "19990108 040506-08", "19990108T040506-0800", "epoch"},
       "0123456789:.-+ /,",
       DATE "([T ]" CLOCK "(" ZONE ")?( BC)?)?"},
      {"timestamp(2)",
       "timestamp",
       {"2024-02-29 12:34:56.78", "1999-12-31 23:59:59.99", "0044-03-15 00:00:00 BC"},
       "0123456789:.- ",
       DATE "( " CLOCK "( BC)?)?"},
      {"interval",
       "interval",
       {"1 year 2 mons -3 days 04:05:06.789",
        "-00:00:01",
        "@ 1 mon 2 days ago",
        "P1Y2M3DT4H5M6S",
        "P0001-02-03T04:05:06.7",
        "P00010203T040506",
        "infinity",
        "-infinity",
        "P1-2-3",
        "PT4:5",
        "1.5 days",
        "1-2",
        "3 4:05:06",
        "1-2 3 4:05:06",
        "1y 10mon",
        "-1 day +02:03",
        "P1.5D",
        "1.5 weeks",
        "0.5 months 1.5 hours",
        "2.5 decades",
        "@ 1 hour ago",
        "90",
        "4:05.5"},
       "0123456789:-+ PT.",
       INTERVAL},
      {"interval(2)",
       "interval",
       {"1 year 2 mons -3 days 04:05:06.78", "-00:00:01.99", "P0001-02-03T04:05:06.7"},
       "0123456789:-+ PT.",
       INTERVAL},
      {"interval day to minute",
       "interval",
       {"1 year 2 mons -3 days 04:05:00", "-00:01:00"},
       "0123456789:-+ .",
       INTERVAL},
      {"uuid",
       "uuid",
       {"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "{a0eebc999c0b4ef8bb6d6bb9bd380a11}"},
       "0123abcdef-{}"},
      {"json", "json", {"{\"a\": [1, null]}", "\"x\"", "12.5"}, "{}[]\":,0129.eE", "", true},
      {"jsonb", "jsonb", {"{\"a\": [1, null]}", "\"x\"", "12.5"}, "{}[]\":,0129.eE", "", true},
      {"inet",
       "inet",
       {"192.168.1.5/24", "10.0.0.1", "2001:db8::5/64", "::ffff:1.2.3.4", "10.1/16"},
       "0123456789.:/abf ",
       R"((\d{1,3}\.){3}\d{1,3}|(\d{1,3}\.){0,3}\d{1,3}/\d{1,2}|(::|([0-9a-f]+:)+:)"
       R"(([0-9a-f]+::?|::)*([0-9a-f]+|(\d{1,3}\.){3}\d{1,3}))(/\d{1,3})?)"},
      {"macaddr",
       "macaddr",
       {"08:00:2b:01:02:03", "08002b:010203", "0800.2b01.0203"},
       "0123456789abcdef:-.",
       R"([0-9a-f]{1,2}([:-])[0-9a-f]{1,2}(\1[0-9a-f]{1,2}){4}|[0-9a-f]{6}[:-][0-9a-f]{6}|)"
       R"([0-9a-f]{12}|([0-9a-f]{4}[.-]){2}[0-9a-f]{4})"},
      {"macaddr8",
       "macaddr8",
       {"08:00:2b:01:02:03:04:05", "08002b:0102030405", "0800.2b01.0203", "08-00-2b-01-02-03"},
       "0123456789abcdef:-.",
       R"([0-9a-f]{2}([:.-]?)[0-9a-f]{2}(\1[0-9a-f]{2}){4}(\1[0-9a-f]{2}\1[0-9a-f]{2})?\1)"},
      {"cidr",
       "cidr",
       {"192.168.1.0/24", "10.0.0.1/32", "2001:db8::/32", "10/8", "192.168", "0x0a01"},
       "0123456789.:/abfx ",
       R"((\d{1,3}\.){0,3}\d{1,3}(/\d{1,2})?|0x([0-9a-f]{2})+(/\d{1,2})?)"},
      {"bit(5)", "varbit", {"10101", "x1", "b00000"}, "01xb"},
      {"varbit(9)", "varbit", {"101", "xff", "111111111"}, "01xbf"},
      {"mood", "mood", {"sad", "ok", "happy"}, "sadokhpy "},
      {"int4[]",
       "int4[]",
       {"{1,2,NULL}", "{{1,2},{3,4}}", "[2:3]={5,6}", "{}", "[1000000000:+1000000001]={5,6}",
        "[2147483646:2147483646]={1}"},
       "{}[],:=0123 \"NUL",
       ""},
      {"text[]", "text[]", {"{a,\"b c\",NULL}", "{\"q\\\"\",\"\\\\\"}"}, "{}[],\"\\ abN", ""},
      {"int4range", "int4range", {"[1,5)", "empty", "(,7]", "[3,)"}, "[](),0123 empty", "", true},
      {"pair", "pair", {"(a,1)", "(\"b c\",)", "(,)"}, "(),\"\\ ab12"},
      {"pair[]",
       "pair[]",
       {R"q({"(a,1)","(\"b c\",)"})q", "{NULL}", R"q({{"(,)"},{"(x,2)"}})q"},
       "{}(),\"\\ ab12",
       ""},
      {"nested",
       "nested",
       {R"q(("{1,2}","[1,5)",1.25,"(a,1)"))q", "({},empty,,)", R"q(("{NULL}","(,3]",-0.5,"(,)"))q"},
       "{}[](),\"\\ 012",
       "",
       true},
      {"price", "numeric", {"1.50", "0", "99.99", "0.005"}, "0123456789.-", "", true},
      {"price[]", "numeric[]", {"{1.50,NULL}", "{0,99.99}"}, "{},0123456789.", "", true},
      {"numrange", "numrange", {"[1.5,2)", "empty", "(,7]"}, "[](),.0123e", "", true},
      {"tsrange",
       "tsrange",
       {"[2024-01-01 00:00:00,2024-01-02 12:34:56.5)", "(,infinity]"},
       "[](),:-0123",
       R"([\[(](\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)?,(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)?[\])])",
       true},
      {"daterange",
       "daterange",
       {"[2024-01-01,2024-02-01)", "empty", "(,infinity)"},
       "[](),-0123",
       R"([\[(](\d{4}-\d\d-\d\d)?,(\d{4}-\d\d-\d\d)?[\])])",
       true},
      {"float_span", "float_span", {"[1.5,2)", "empty", "(,1e10]"}, "[](),.0123e", "", true},
      {"int4multirange",
       "int4multirange",
       {"{[1,5),[7,9)}", "{}", "{(,3]}"},
       "{}[](),0123 ",
       "",
       true},
  };
  return kTypes;
}

#undef DATE
#undef CLOCK
#undef ZONE
#undef INTERVAL

std::string random_text(std::mt19937_64& engine, const TextType& type) {
  const auto below = [&](size_t end) { return static_cast<size_t>(engine() % end); };
  std::string text = type.seeds[below(type.seeds.size())];
  const std::string_view letters = type.alphabet;
  for (size_t changes = below(5); changes > 0; --changes) {
    const std::string letter(1, letters[below(letters.size())]);
    const size_t at = below(text.size() + 1);
    switch (below(4)) {
      case 0:
        text.insert(at, letter);
        break;
      case 1:
        if (at < text.size()) text.replace(at, 1, letter);
        break;
      case 2:
        text.erase(at, 1);
        break;
      default: {
        const std::string piece = text.substr(at, 1 + below(4));
        text.insert(below(text.size() + 1), piece);
      }
    }
  }
  return text;
}

}  // namespace pgsink::test
