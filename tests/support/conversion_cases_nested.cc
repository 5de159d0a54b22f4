#include <limits>

#include "support/conversion_cases.h"

namespace pgsink::test {
namespace {

using std::nullopt;

ArrowNode text(const Nullable<std::string>& values) { return arrow_text("u", values); }
ArrowNode int32s(const Nullable<int32_t>& v) { return arrow_fixed("i", v); }
ArrowNode int64s(const Nullable<int64_t>& v) { return arrow_fixed("l", v); }
ArrowNode doubles(const Nullable<double>& v) { return arrow_fixed("g", v); }
ArrowNode list(const Nullable<size_t>& sizes, ArrowNode child) {
  return arrow_list("+l", sizes, std::move(child));
}

/// A list column with NULLs at these rows, whose slots keep the elements that they span: legal
/// Arrow, and nobody may look at them.
ArrowNode with_nulls(ArrowNode node, const std::vector<bool>& valid) {
  node.buffers[0] = pack_bits(valid);
  return node;
}

/// Cases of lists that are NULL and span elements all the same: in the middle, first, last, all.
std::vector<ConversionCase> null_list_cases() {
  const auto ints = [] { return int32s({1, 2, 3, 4, 5, 6, 7}); };
  const auto words = [] { return text({"a", "b", "c", "d", "e", "f", "g"}); };
  std::vector<ConversionCase> cases;
  for (const char* const format : {"+l", "+L"}) {
    const auto lists = [format](ArrowNode child, const std::vector<bool>& valid) {
      return with_nulls(arrow_list(format, {2, 2, 1, 2}, std::move(child)), valid);
    };
    cases.push_back({"integer[]",
                     lists(ints(), {true, false, true, true}),
                     {"{1,2}", nullopt, "{5}", "{6,7}"}});
    cases.push_back({"integer[]",
                     lists(ints(), {false, true, true, false}),
                     {nullopt, "{3,4}", "{5}", nullopt}});
    cases.push_back({"integer[]",
                     lists(ints(), {false, false, false, false}),
                     {nullopt, nullopt, nullopt, nullopt}});
    cases.push_back({"bigint[]",
                     lists(ints(), {true, false, false, true}),
                     {"{1,2}", nullopt, nullopt, "{6,7}"}});
    cases.push_back({"double precision[]",
                     lists(doubles({1, 2, 3, 4, 5, 6, 7}), {true, false, true, true}),
                     {"{1,2}", nullopt, "{5}", "{6,7}"}});
    cases.push_back({"boolean[]",
                     lists(arrow_bool({true, false, true, true, false, true, false}),
                           {true, false, true, true}),
                     {"{t,f}", nullopt, "{f}", "{t,f}"}});
    cases.push_back(
        {"text[]", lists(words(), {true, false, true, true}), {"{a,b}", nullopt, "{e}", "{f,g}"}});
    cases.push_back(
        {"jsonb", lists(ints(), {true, false, true, true}), {"[1, 2]", nullopt, "[5]", "[6, 7]"}});
    cases.push_back(
        {"integer[]",
         with_nulls(arrow_list(format, {1, 1, 2}, lists(ints(), {})), {true, false, true}),
         {"{{1,2}}", nullopt, "!2202E have 1 and 2 items"}});
  }
  cases.push_back({"integer[]",
                   arrow_fixed_list(2, {true, false, true}, int32s({1, 2, 3, 4, 5, 6})),
                   {"{1,2}", nullopt, "{5,6}"}});
  cases.push_back({"text[]",
                   arrow_fixed_list(2, {false, true, true}, text({"a", "b", "c", "d", "e", "f"})),
                   {nullopt, "{c,d}", "{e,f}"}});
  cases.push_back({"jsonb",
                   with_nulls(arrow_list("+m", {1, 2, 1},
                                         arrow_struct({true, true, true, true},
                                                      {text({"a", "b", "c", "d"}).named("key"),
                                                       int32s({1, 2, 3, 4}).named("value")})),
                              {true, false, true}),
                   {R"({"a": 1})", nullopt, R"({"d": 4})"}});
  return cases;
}

struct MonthDayNano {
  int32_t months, days;
  int64_t nanos;
};

const std::string kUuidBytes{"\xa0\xee\xbc\x99\x9c\x0b\x4e\xf8\xbb\x6d\x6b\xb9\xbd\x38\x0a\x11",
                             16};
constexpr const char* kUuid = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";

/// The address struct of the cases, its fields in another order than the type's attributes.
ArrowNode address_struct() {
  return arrow_struct({true, false, true}, {text({"Springfield", "x", nullopt}).named("city"),
                                            int32s({12345, 0, nullopt}).named("zip"),
                                            text({"Main St", nullopt, "a \"q\""}).named("Street")});
}

}  // namespace

std::string conversion_types_sql() {
  return "CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');"
         "CREATE TYPE address AS (street text, city varchar(20), zip int4);"
         "CREATE DOMAIN positive AS int4 CHECK (VALUE > 0);"
         "CREATE DOMAIN price AS numeric(8,2);"
         "CREATE DOMAIN cheap AS price CHECK (VALUE < 100);"
         "CREATE DOMAIN tags AS text[];"
         "CREATE TYPE product AS (name text, cost price, tags tags, feeling mood);"
         "CREATE TYPE pair AS (key text, value int4);";
}

std::vector<ConversionCase> render_cases() {
  const int64_t noon = 1706702400123456;  // 2024-01-31 12:00:00.123456
  const ArrowImport infinities{true};
  return {
      {"text", arrow_bool({true, false, nullopt}), {"true", "false", nullopt}},
      {"varchar(4)", arrow_bool({true, false}), {"true", "!22001 has 5 characters"}},
      {"char(5)", arrow_bool({true}), {"true"}, {}, true},
      {"name", arrow_bool({true}), {"true"}},
      {"json", arrow_bool({true, nullopt}), {"true", nullopt}},
      {"jsonb", arrow_bool({false}), {"false"}},
      {"text",
       int64s({std::numeric_limits<int64_t>::min(), 0, nullopt}),
       {"-9223372036854775808", "0", nullopt}},
      {"varchar(3)", int32s({-99, 999, 1000}), {"-99", "999", "!22001"}},
      {"char(3)", int32s({7}), {"7"}, {}, true},
      {"name", int32s({7}), {"7"}},
      {"json", arrow_fixed<uint64_t>("L", {18446744073709551615ULL}), {"18446744073709551615"}},
      {"jsonb", arrow_fixed<int8_t>("c", {-1}), {"-1"}},
      {"text",
       doubles({0.1, 1e15, 123456789012345.0, 1e-5, 0.0001, -0.0, 1.0 / 0.0, 0.0 / 0.0, 1e23,
                9007199254740993.0, 5e-324}),
       {"0.1", "1e+15", "123456789012345", "1e-05", "0.0001", "-0", "Infinity", "NaN",
        "9.999999999999999e+22", "9.007199254740992e+15", "5e-324"}},
      {"text",
       arrow_fixed<float>("f", {0.1F, 1e6F, 123456.0F, 1e-5F, 1.1754944e-38F}),
       {"0.1", "1e+06", "123456", "1e-05", "1.1754944e-38"}},
      {"text", arrow_fixed<uint16_t>("e", {0x3555}), {"0.33325195"}},
      {"varchar(3)", doubles({0.5}), {"0.5"}},
      {"char(3)", doubles({0.5}), {"0.5"}},
      {"name", doubles({0.5}), {"0.5"}},
      {"json", doubles({1.5, 1e300, 0.0 / 0.0}), {"1.5", "1e+300", "\"NaN\""}},
      {"jsonb", doubles({1e5}), {"100000"}},
      {"text",
       arrow_fixed<int32_t>("d:9,3,32", {1, -12345, 0, nullopt}),
       {"0.001", "-12.345", "0.000", nullopt}},
      {"varchar(6)", arrow_fixed<int64_t>("d:18,0,64", {-12345}), {"-12345"}},
      {"char(6)", arrow_fixed<int64_t>("d:18,0,64", {-12345}), {"-12345"}},
      {"name", arrow_fixed<int64_t>("d:18,0,64", {-12345}), {"-12345"}},
      {"json", arrow_fixed<int64_t>("d:18,1,64", {5}), {"0.5"}},
      {"jsonb", arrow_fixed<int64_t>("d:18,2,64", {1050}), {"10.50"}},
      {"text",
       arrow_fixed<int32_t>("tdD", {0, -719163, 1000000000, nullopt}),
       {"1970-01-01", "0001-12-31 BC", "2739877-01-03", nullopt}},
      {"varchar(10)", arrow_fixed<int32_t>("tdD", {0}), {"1970-01-01"}},
      {"char(10)", arrow_fixed<int32_t>("tdD", {0}), {"1970-01-01"}},
      {"name", arrow_fixed<int32_t>("tdD", {0}), {"1970-01-01"}},
      {"json", arrow_fixed<int32_t>("tdD", {0}), {"\"1970-01-01\""}},
      {"jsonb", arrow_fixed<int32_t>("tdD", {2147483647}), {"\"infinity\""}, infinities},
      {"text",
       arrow_fixed<int64_t>("ttu", {45296789000, 86400000000, -1}),
       {"12:34:56.789", "24:00:00", "!22008"}},
      {"varchar(8)", arrow_fixed<int32_t>("tts", {1}), {"00:00:01"}},
      {"char(8)", arrow_fixed<int32_t>("tts", {1}), {"00:00:01"}},
      {"name", arrow_fixed<int32_t>("tts", {1}), {"00:00:01"}},
      {"json", arrow_fixed<int64_t>("ttn", {1}), {"\"00:00:00.000000001\""}},
      {"jsonb", arrow_fixed<int32_t>("ttm", {1}), {"\"00:00:00.001\""}},
      {"text",
       arrow_fixed<int64_t>("tsu:", {noon, 0, -62135596800000001, nullopt}),
       {"2024-01-31 12:00:00.123456", "1970-01-01 00:00:00", "0001-12-31 23:59:59.999999 BC",
        nullopt}},
      {"text", arrow_fixed<int64_t>("tsu:UTC", {noon}), {"2024-01-31 12:00:00.123456+00"}},
      {"text", arrow_fixed<int64_t>("tsn:", {1}), {"1970-01-01 00:00:00.000000001"}},
      {"varchar(19)", arrow_fixed<int64_t>("tss:", {0}), {"1970-01-01 00:00:00"}},
      {"char(19)", arrow_fixed<int64_t>("tss:", {0}), {"1970-01-01 00:00:00"}},
      {"name", arrow_fixed<int64_t>("tss:", {0}), {"1970-01-01 00:00:00"}},
      {"json", arrow_fixed<int64_t>("tsu:UTC", {noon}), {"\"2024-01-31T12:00:00.123456+00:00\""}},
      {"jsonb", arrow_fixed<int64_t>("tsu:", {noon}), {"\"2024-01-31T12:00:00.123456\""}},
      {"text", arrow_fixed<int64_t>("tDs", {-90061, nullopt}), {"-25:01:01", nullopt}},
      {"varchar(8)",
       arrow_fixed<int64_t>("tDn", {1000000000, 1}),
       {"00:00:01", "!22015 00:00:00.000000001 is not a whole number"}},
      {"varchar(8)", arrow_fixed<int64_t>("ttu", {-1}), {"!22008 -00:00:00.000001 is outside"}},
      {"char(8)", arrow_fixed<int64_t>("tDm", {1000}), {"00:00:01"}},
      {"name", arrow_fixed<int64_t>("tDm", {1000}), {"00:00:01"}},
      {"json", arrow_fixed<int64_t>("tDu", {1}), {"\"00:00:00.000001\""}},
      {"jsonb", arrow_fixed<int64_t>("tDu", {1}), {"\"00:00:00.000001\""}},
      {"text",
       arrow_fixed<MonthDayNano>("tin", {MonthDayNano{14, -3, 4000000000}, MonthDayNano{0, 0, 1}}),
       {"1 year 2 mons -3 days +00:00:04", "!22015"}},
      {"varchar(6)", arrow_fixed<int32_t>("tiM", {12}), {"1 year"}},
      {"char(6)", arrow_fixed<int32_t>("tiM", {12}), {"1 year"}},
      {"name", arrow_fixed<int32_t>("tiM", {12}), {"1 year"}},
      {"json", arrow_fixed<int32_t>("tiM", {12}), {"\"1 year\""}},
      {"jsonb", arrow_fixed<int32_t>("tiM", {12}), {"\"1 year\""}},
      {"text", arrow_text("z", {std::string("\0\xff", 2), nullopt}), {"\\x00ff", nullopt}},
      {"varchar(4)", arrow_text("z", {"a"}), {"\\x61"}},
      {"char(4)", arrow_text("z", {"a"}), {"\\x61"}},
      {"name", arrow_text("z", {"a"}), {"\\x61"}},
      {"json", arrow_text("z", {"a"}), {"\"\\\\x61\""}},
      {"jsonb", arrow_text("z", {"a"}), {"\"\\\\x61\""}},
      {"text", arrow_text("w:16", {kUuidBytes}).extended("arrow.uuid"), {kUuid}},
      {"varchar(36)", arrow_text("w:16", {kUuidBytes}).extended("arrow.uuid"), {kUuid}},
      {"char(36)", arrow_text("w:16", {kUuidBytes}).extended("arrow.uuid"), {kUuid}},
      {"name", arrow_text("w:16", {kUuidBytes}).extended("arrow.uuid"), {kUuid}},
      {"json",
       arrow_text("w:16", {kUuidBytes}).extended("arrow.uuid"),
       {"\"" + std::string(kUuid) + "\""}},
      {"jsonb",
       arrow_text("w:16", {kUuidBytes}).extended("arrow.uuid"),
       {"\"" + std::string(kUuid) + "\""}},
      {"text",
       list({2, 0, nullopt, 1}, int32s({1, nullopt, 3})),
       {"[1,null]", "[]", nullopt, "[3]"}},
      {"varchar(5)", list({2, 1}, int32s({1, 2, 123456})), {"[1,2]", "!22001"}},
      {"char(5)", list({2}, int32s({1, 2})), {"[1,2]"}},
      {"name", list({2}, int32s({1, 2})), {"[1,2]"}},
      {"json",
       list({2, 1}, text({"a\"\\\n\t\x01\x1f", nullopt, "漢"})),
       {R"(["a\"\\\n\t\u0001\u001f",null])", "[\"漢\"]"}},
      {"jsonb", arrow_list("+L", {2}, list({1, 2}, int32s({1, 2, 3}))), {"[[1], [2, 3]]"}},
      {"jsonb", list({1, 1}, text({std::string("\0", 1), "\xff"})), {"!22021 NUL byte", "!22021"}},
      {"jsonb",
       arrow_fixed_list(2, {true, false, true}, int32s({1, 2, 0, 0, 5, nullopt})),
       {"[1, 2]", nullopt, "[5, null]"}},
      {"text",
       address_struct(),
       {R"({"city":"Springfield","zip":12345,"Street":"Main St"})", nullopt,
        R"({"city":null,"zip":null,"Street":"a \"q\""})"}},
      {"varchar(200)",
       address_struct(),
       {R"({"city":"Springfield","zip":12345,"Street":"Main St"})", nullopt,
        R"({"city":null,"zip":null,"Street":"a \"q\""})"}},
      {"char(10)", arrow_struct({true}, {int32s({1}).named("a")}), {"{\"a\":1}"}, {}, true},
      {"name", arrow_struct({true}, {int32s({1}).named("a")}), {"{\"a\":1}"}},
      {"json",
       arrow_struct({true}, {text({R"({"raw":1})"}).extended("arrow.json").named("j"),
                             arrow_bool({nullopt}).named("b")}),
       {R"({"j":{"raw":1},"b":null})"}},
      {"jsonb",
       arrow_struct({true},
                    {arrow_dictionary({0}, text({"v"})).named("d"), arrow_null(1).named("n")}),
       {R"({"d": "v", "n": null})"}},
      {"text",
       arrow_list("+m", {2, nullopt, 0},
                  arrow_struct({true, true}, {text({"a", "b"}).named("key"),
                                              int32s({1, nullopt}).named("value")})),
       {R"({"a":1,"b":null})", nullopt, "{}"}},
      {"jsonb",
       arrow_list("+m", {1, 1},
                  arrow_struct({true, true}, {int32s({7, nullopt}).named("key"),
                                              list({1, 0}, doubles({0.5})).named("value")})),
       {R"({"7": [0.5]})", "!22004 a map has a NULL key"}},
      {"json",
       arrow_list("+m", {1},
                  arrow_struct({true}, {text({"k"}).named("key"), text({"v"}).named("value")})),
       {R"({"k":"v"})"}},
      {"varchar(9)",
       arrow_list("+m", {1},
                  arrow_struct({true}, {text({"k"}).named("key"), text({"v"}).named("value")})),
       {R"({"k":"v"})"}},
      {"char(9)",
       arrow_list("+m", {1},
                  arrow_struct({true}, {text({"k"}).named("key"), text({"v"}).named("value")})),
       {R"({"k":"v"})"}},
      {"name",
       arrow_list("+m", {1},
                  arrow_struct({true}, {text({"k"}).named("key"), text({"v"}).named("value")})),
       {R"({"k":"v"})"}},
  };
}

std::vector<ConversionCase> nested_cases() {
  Nullable<double> many;
  std::string many_text = "{";
  for (int i = 0; i < 1000; ++i) {
    many.emplace_back(i);
    many_text += (i == 0 ? "" : ",") + std::to_string(i);
  }
  many_text += "}";
  std::vector<ConversionCase> cases = {
      {"double precision[]",
       list({2, 0, nullopt, 3, 1}, doubles({1.5, nullopt, -0.0, 1e300, 2, 7})),
       {"{1.5,NULL}", "{}", nullopt, "{-0,1e+300,2}", "{7}"}},
      {"double precision[]",
       arrow_fixed_list(4, {true, true, false},
                        doubles({1, 2, 3, 4, 5, 6, 7, 8, nullopt, nullopt, nullopt, nullopt})),
       {"{1,2,3,4}", "{5,6,7,8}", nullopt}},
      {"double precision[]", list({1000}, doubles(many)), {many_text}},
      {"double precision[]",
       arrow_list("+L", {300, 700}, doubles(many)),
       {many_text.substr(0, many_text.find(",300,")) + "}",
        "{" + many_text.substr(many_text.find("300,"))}},
      {"bigint[]", list({2, 1}, int32s({1, nullopt, 3})), {"{1,NULL}", "{3}"}},
      {"integer[]",
       list({2, 1}, int64s({1, 1LL << 40, 5})),
       {"!22003 element 2: 1099511627776 is not a whole number", "{5}"}},
      {"integer[]", list({2}, arrow_null(2)), {"{NULL,NULL}"}},
      {"text[]",
       list({3, 1}, text({"a,b", nullopt, "", "NULL"})),
       {"{\"a,b\",NULL,\"\"}", "{\"NULL\"}"}},
      {"text[]",
       arrow_list("+L", {2}, arrow_text("vu", {"short", "a long string in a buffer"})),
       {"{short,\"a long string in a buffer\"}"}},
      {"text[]", list({2}, arrow_dictionary({1, nullopt}, text({"x", "y"}))), {"{y,NULL}"}},
      {"varchar(2)[]",
       list({1, 2}, text({"ab", "c", "def"})),
       {"{ab}", "!22001 element 2: \"def\" has 3 characters"}},
      {"integer[]",
       list({2, 1, 0}, list({2, 2, 1}, int32s({1, 2, 3, 4, 5}))),
       {"{{1,2},{3,4}}", "{{5}}", "{}"}},
      {"integer[]",
       list({2, 2, 1}, list({2, 1, 1, nullopt, 0}, int32s({1, 2, 3, 4}))),
       {"!2202E lists of dimension 2 have 2 and 1 items", "!22004 list 2 of dimension 2 is NULL",
        "!2202E list 1 of dimension 2 is empty"}},
      {"integer[]",
       list({1}, arrow_fixed_list(2, {true}, list({1, 1}, int32s({8, 9})))),
       {"{{{8},{9}}}"}},
      {"numeric(6,2)[]",
       list({2, 1}, arrow_fixed<int64_t>("d:18,2,64", {150, nullopt, 1000000})),
       {"{1.50,NULL}", "!22003 element 1: 10000.00 is out of range of numeric(6,2)"}},
      {"boolean[]", list({3}, arrow_bool({true, nullopt, false})), {"{t,NULL,f}"}},
      {"boolean[]", list({1, 2}, arrow_bool({true, false, true})), {"{t}", "{f,t}"}},
      {"timestamptz[]",
       list({1}, arrow_fixed<int64_t>("tsu:UTC", {0})),
       {"{\"1970-01-01 00:00:00+00\"}"}},
      {"timestamp(3)[]",
       list({1, 1}, arrow_fixed<int64_t>("tsu:", {1000, 1})),
       {"{\"1970-01-01 00:00:00.001\"}", "!22008 element 1"}},
      {"date[]", list({2}, arrow_fixed<int32_t>("tdD", {0, nullopt})), {"{1970-01-01,NULL}"}},
      {"uuid[]",
       list({1}, arrow_text("w:16", {kUuidBytes}).extended("arrow.uuid")),
       {"{" + std::string(kUuid) + "}"}},
      {"mood[]",
       list({2, 1}, text({"ok", nullopt, "grim"})),
       {"{ok,NULL}", "!22P02 element 1: \"grim\" is not a value of mood"}},
      {"jsonb[]", list({2}, list({1, 2}, int32s({1, 2, 3}))), {"{[1],\"[2, 3]\"}"}},
      {"jsonb[]", list({1}, text({"{\"a\":1}"})), {"{\"{\\\"a\\\": 1}\"}"}},
      {"positive", int32s({5, nullopt}), {"5", nullopt}},
      {"positive[]", list({2}, int32s({5, 6})), {"{5,6}"}},
      {"cheap",
       doubles({1.5, 1.555, 1e7}),
       {"1.50", "!22003 would be rounded", "!22003 out of range"}},
      {"tags", list({2, nullopt}, text({"a", "b"})), {"{a,b}", nullopt}},
      {"tags[]", list({2}, list({1, 2}, text({"a", "b", "c"}))), {"{\"{a}\",\"{b,c}\"}"}},

      {"address",
       address_struct(),
       {"(\"Main St\",Springfield,12345)", nullopt, "(\"a \"\"q\"\"\",,)"}},
      {"address",
       arrow_struct({true, true},
                    {text({"s", "t"}), text({"c", "more than twenty characters"}), int32s({1, 2})}),
       {"(s,c,1)", "!22001 attribute \"city\": \"more than twenty characters\" has 27 characters"}},
      {"address[]",
       list({2, 1}, address_struct()),
       {"{\"(\\\"Main St\\\",Springfield,12345)\",NULL}", "{\"(\\\"a \\\"\\\"q\\\"\\\"\\\",,)\"}"}},
      {"product",
       arrow_struct({true, true, true},
                    {text({"tea", "x", nullopt}).named("name"),
                     doubles({1.25, 1.255, nullopt}).named("cost"),
                     list({2, 0, nullopt}, text({"hot", "cheap"})).named("tags"),
                     text({"ok", "ok", "ok"}).named("feeling")}),
       {"(tea,1.25,\"{hot,cheap}\",ok)", "!22003 attribute \"cost\": 1.255 would be rounded",
        "(,,,ok)"}},
      {"pair[]",
       arrow_list("+m", {2, nullopt, 0},
                  arrow_struct({true, true}, {text({"a", "b"}).named("key"),
                                              int32s({1, nullopt}).named("value")})),
       {"{\"(a,1)\",\"(b,)\"}", nullopt, "{}"}},
      {"pair",
       arrow_struct({true}, {arrow_dictionary({0}, text({"k"})).named("key"),
                             arrow_fixed<int64_t>("d:18,2,64", {700}).named("value")}),
       {"(k,7)"}},
  };
  for (ConversionCase& null_list : null_list_cases()) cases.push_back(std::move(null_list));
  return cases;
}

std::vector<ConversionCase> conversion_cases() {
  std::vector<ConversionCase> all;
  for (auto part :
       {number_cases(), temporal_cases(), text_cases(), render_cases(), nested_cases()}) {
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

}  // namespace pgsink::test
