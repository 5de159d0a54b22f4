#pragma once
// What the server is certain to refuse in XML content, so that such a row can be rejected before it
// is sent. A row that the server rejects costs a transaction.

#include <string>
#include <string_view>

namespace pgsink::encode {

/// xml_fault says what in a text makes it no well-formed XML content; "" if nothing was found. It
/// finds tags, attributes, references and control characters that are wrong in every version of the
/// server's parser, libxml2, and leaves the rest to that: names beyond ASCII, limits, and all of a
/// text with a document type, whose entities may hold anything.
std::string xml_fault(std::string_view text);

}  // namespace pgsink::encode
