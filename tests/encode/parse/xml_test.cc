// XML with a declaration: the text is UTF-8 whatever encoding the declaration names, as it is for
// the server's text input. The oracle is the server's own cast.

#include <random>
#include <string>
#include <vector>

#include <pgproto/quote.h>
#include <pgproto/utf8.h>

#include <gtest/gtest.h>

#include "pgsink/encode/parse/xml_syntax.h"
#include "support/arrow_builder.h"
#include "support/copy_harness.h"

namespace pgsink {
namespace {

using test::CopyTable;
using test::Nullable;

const Nullable<std::string> kDocuments = {
    R"(<?xml version="1.0" encoding="ISO-8859-1"?><a>é</a>)",
    R"(<?xml version="1.0" encoding="UTF-8"?><a>é</a>)",
    R"(<?xml version="1.0" encoding="utf8"?><a>é</a>)",
    R"(<?xml version="1.0" encoding="windows-1252"?><a>€</a>)",
    R"(<?xml version="1.0" encoding="UTF-16"?><a>é</a>)",
    R"(<?xml version="1.0" encoding="SJIS"?><a>é</a>)",
    R"(<?xml version="1.0" encoding="nonsense"?><a>é</a>)",
    R"(<?xml version="1.0" encoding="latin1" standalone="yes"?><a>é</a>)",
    R"(<?xml version="1.1" encoding="latin1" standalone='no'?><a>é</a>)",
    R"(<?xml version="1.1" standalone="yes"?><a>é</a>)",
    "<?xml\n version = '1.0'\t encoding\r\n= 'latin1' ?>\n<a>é</a>",
    R"(<?xml version="1.0"?><a encoding="latin1">é</a>)",
    R"(<?xml-stylesheet encoding="latin1"?><a>é</a>)",
    R"(<a>é</a><?pi version="1.0" encoding="latin1"?>)",
    "<a>é</a>",
    "just é text",
    "",
};

test::ArrowNode documents() { return test::arrow_text("u", kDocuments); }

test::ArrowNode named(test::ArrowNode node, const std::string& name) {
  node.name = name;
  return node;
}

TEST(Xml, IsUtf8WhateverItsDeclarationSays) {
  test::PostgresServer& server = test::shared_server();
  const std::string database = server.create_database("xml_declaration");
  server.sql("CREATE DOMAIN dx AS xml; CREATE TYPE cx AS (x xml); CREATE DOMAIN dc AS cx",
             database);
  const size_t count = kDocuments.size();
  CopyTable table(server, database, "documents", {"xml", "dx", "xml[]", "dx[]", "cx", "dc"});
  const std::vector<bool> valid(count, true);
  const Nullable<size_t> sizes(count, size_t{1});
  const auto structs = [&] { return test::arrow_struct(valid, {named(documents(), "x")}); };
  const RecordBatch batch =
      test::import_columns({named(documents(), "c0"), named(documents(), "c1"),
                            named(test::arrow_list("+l", sizes, documents()), "c2"),
                            named(test::arrow_list("+l", sizes, documents()), "c3"),
                            named(structs(), "c4"), named(structs(), "c5")});
  auto encoder = RowEncoder::create(test::encode_columns(batch, table.columns()), table.types());
  ASSERT_TRUE(encoder) << encoder.error().to_string();
  const auto encoded = test::encode_all(*encoder, batch, {0, count, nullptr});
  ASSERT_TRUE(encoded.rejected.empty()) << encoded.rejected[0].error.to_string();
  ASSERT_EQ(table.copy(encoded.tuples), "");
  // format() shows a value as its output function does; a cast to text would not.
  const auto shown = [](const std::string& value) { return "format('%s', " + value + ")"; };
  const auto rows = server.sql("SELECT " + shown("c0") + ", " + shown("c1") + ", " + shown("c2") +
                                   ", " + shown("c3") + ", " + shown("c4") + ", " + shown("c5") +
                                   " FROM documents ORDER BY position_",
                               database);
  ASSERT_EQ(rows.size(), count);
  for (size_t i = 0; i < count; ++i) {
    const std::string xml = *pgproto::quote_literal(*kDocuments[i]) + "::xml";
    const auto expected =
        server.sql("SELECT " + shown(xml) + ", " + shown(xml + "::dx") + ", " +
                       shown("ARRAY[" + xml + "]") + ", " + shown("ARRAY[" + xml + "::dx]") + ", " +
                       shown("ROW(" + xml + ")::cx") + ", " + shown("ROW(" + xml + ")::cx::dc"),
                   database);
    EXPECT_EQ(rows[i], expected[0]) << *kDocuments[i];
  }
}

/// Content, with a wrong variant of each of its parts.
std::vector<std::string> variants() {
  return {
      // wrong
      "<a>", "</a>", "<a></b>", "<a><b></a></b>", "<a", "<a b", "<a b>", "<a b=>", "<a b=1/>",
      "<a b=\"1/>", "<a b='<'/>", "<a b=\"1\"c=\"2\"/>", "<a b=\"&x\"/>", "< a/>", "<1/>", "<a//>",
      "a < b", "a & b", "&nosuch;", "&amp", "&#0;", "&#x110000;", "&#xd800;", "&#;", "&#x;",
      "&#1g;", "&#99999999999999999999;", "a\x01", "<a b='\x02'/>", "<!-- a", "<![CDATA[ a", "<?a",
      "<!a>", "<a/ >", "<a></a b>", "<a></>", "<", "<!", "&", "<a><![CDATA[]]></a><b>",
      // right
      "", "a", "<a/>", "<a />", "<a ></a >", "<a>b</a>c<d/>", "<a:b xmlns:a=\"x\"/>", "<é ñ='ü'/>",
      "<a b = '\"' c=\">\"/>", "<a b='&lt;&#65;&#x41;&apos;'/>", "&#9;&#xA;&#x10ffff;", "a > b",
      "<!-- <a> & -->", "<![CDATA[<a> & ]]>", "<?pi <a> & ?>", "<a.b-c_d1/>", "<_/>", "a\tb\r\nc"};
}

/// Texts that are nearly well-formed.
std::vector<std::string> nearly_well_formed(size_t count) {
  std::vector<std::string> parts = variants();
  for (const char* more : {"<a>", "</a>", "<b c='d'>", "</b>", "<", ">", "&", "\"", "'", "=", " ",
                           "<!--", "-->", "]]>", "<?xml version='1.0'?>", "é", "--"}) {
    parts.emplace_back(more);
  }
  std::mt19937 random(20261130);
  std::vector<std::string> texts;
  for (size_t i = 0; i < count; ++i) {
    std::string text;
    for (size_t n = 1 + random() % 6; n > 0; --n) text += parts[random() % parts.size()];
    if (random() % 4 == 0 && !text.empty()) text.erase(random() % text.size(), 1);
    if (pgproto::utf8_valid(text)) texts.push_back(std::move(text));
  }
  return texts;
}

/// Whether the server takes each text as content.
std::vector<bool> taken_by_the_server(const std::vector<std::string>& texts) {
  std::string list;
  for (const std::string& text : texts) {
    list += (list.empty() ? "" : ",") + *pgproto::quote_literal(text);
  }
  std::vector<bool> taken;
  for (const auto& row : test::shared_server().sql(
           "SELECT pg_catalog.xml_is_well_formed_content(t) FROM unnest(ARRAY[" + list +
           "]::text[]) WITH ORDINALITY AS u (t, n) ORDER BY n")) {
    taken.push_back(row[0] == "t");
  }
  return taken;
}

TEST(Xml, WhatTheServerRefusesIsFoundBeforeItIsSent) {
  const std::vector<std::string> texts = variants();
  const std::vector<bool> taken = taken_by_the_server(texts);
  for (size_t i = 0; i < texts.size(); ++i) {
    EXPECT_EQ(encode::xml_fault(texts[i]).empty(), taken.at(i))
        << texts[i] << ": " << encode::xml_fault(texts[i]);
  }
}

TEST(Xml, NothingIsRefusedThatTheServerTakes) {
  const std::vector<std::string> texts = nearly_well_formed(5000);
  const std::vector<bool> taken = taken_by_the_server(texts);
  size_t found = 0;
  size_t left_to_the_server = 0;
  for (size_t i = 0; i < texts.size(); ++i) {
    const std::string fault = encode::xml_fault(texts[i]);
    EXPECT_FALSE(taken.at(i) && !fault.empty()) << texts[i] << ": " << fault;
    if (taken.at(i)) continue;
    ++(fault.empty() ? left_to_the_server : found);
  }
  EXPECT_GT(found, left_to_the_server * 10);
}

TEST(Xml, EntitiesOfADocumentTypeAreLeftToTheServer) {
  EXPECT_EQ(encode::xml_fault("<!DOCTYPE a [<!ENTITY e '<b>'>]><a>&e;</a>"), "");
}

}  // namespace
}  // namespace pgsink
