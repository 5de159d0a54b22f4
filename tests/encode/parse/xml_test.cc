// XML with a declaration: the text is UTF-8 whatever encoding the declaration names, as it is for
// the server's text input. The oracle is the server's own cast.

#include <pgproto/quote.h>

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace pgsink
