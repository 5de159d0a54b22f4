#include "pgsink/encode/rows/server_text.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "pgsink/encode/base/loaders.h"
#include "pgsink/encode/base/staged.h"
#include "pgsink/encode/parse/json_value.h"
#include "pgsink/encode/parse/parse.h"
#include "pgsink/encode/rows/number_list.h"
#include "pgsink/encode/rows/source_class.h"
#include "pgsink/encode/values/composite.h"
#include "pgsink/encode/values/nested.h"
#include "pgsink/encode/values/render.h"
#include "pgsink/encode/values/text_field.h"

namespace pgsink::encode {
namespace {

using S = SourceClass;

bool is_money(const Target& target) {
  return target.kind == TargetKind::kInput && target.names[0] == "money";
}

/// Whether the type itself makes something of a list, so that a list of lists does not have
/// two dimensions.
bool takes_lists(const Target& target) {
  return target.kind == TargetKind::kArray || target.kind == TargetKind::kJson ||
         target.kind == TargetKind::kJsonb || number_list_type(target) != nullptr;
}

/// Whether there is no value: the row is NULL, or what its dictionary has for it.
bool is_missing(const Field& field, const ColumnView& column, size_t row) {
  if (is_null_at(column, row)) return true;
  if (field.kind != ColumnKind::kDictionary) return false;
  return is_missing(field.children[0], column.children[0],
                    dictionary_row(column, field.index_kind, row));
}

void append_quoted(std::string_view text, std::string& to) {
  to += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') to += '\\';
    to += c;
  }
  to += '"';
}

void append_hex_digits(std::string_view bytes, std::string& to) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    to += kDigits[byte >> 4];
    to += kDigits[byte & 15];
  }
}

/// Literal writes one value of a source as the text of one type. It refers to the Field that it was
/// made of.
class Literal {
 public:
  static Result<Literal> create(const Field& source, const Target& target, MakeCodec make,
                                bool outermost);

  /// REQUIRES: the row is not NULL.
  bool append(const ColumnView& column, size_t row, std::string& to, Fault& fault);

 private:
  enum class Form : uint8_t {
    kText,        ///< As PostgreSQL would print it.
    kJson,        ///< As to_json() would.
    kHex,         ///< Bare hexadecimal digits.
    kDictionary,  ///< parts[0] of the value that is referred to.
    kArray,       ///< {parts[0],…}
    kNumbers,     ///< As numbers_ writes them.
    kRow,         ///< (parts[0],parts[1],…)
    kPairs,       ///< "parts[0]"=>"parts[1]",…
  };

  Literal(Form form, const Field& source) : form_(form), source_(&source) {}

  static Result<Literal> create_leaf(const Field& source, const Target& target, MakeCodec make,
                                     bool outermost);
  static Result<Literal> create_nested(const Field& source, const Target& target, MakeCodec make);
  Status add_part(const Field& source, const Target& target, MakeCodec make, bool quoted);

  bool append_items(const ColumnView& column, size_t row, std::string& to, Fault& fault);
  bool append_row(const ColumnView& column, size_t row, std::string& to, Fault& fault);
  bool append_pairs(const ColumnView& column, size_t row, std::string& to, Fault& fault);
  /// The text of a part, in quotes if it needs them.
  bool append_part(size_t part, const ColumnView& column, size_t row, std::string& to,
                   Fault& fault);
  bool holds(const ColumnView& column, size_t row, Fault& fault);

  Form form_;
  const Field* source_;
  CodecPointer check_;  ///< What else writes the leaf: it decides whether the type holds a value.
  std::vector<Literal> parts_;
  std::vector<std::string> names_;  ///< Of the attributes.
  std::vector<size_t> fields_;      ///< The child that each attribute takes.
  std::unique_ptr<NumberList> numbers_;
  bool quoted_ = false;   ///< As a part.
  char separator_ = ',';  ///< Of an array.
};

std::unexpected<Error> no_conversion(const Field& source, const Target& target,
                                     std::string_view advice) {
  return pgproto::fail(Errc::kColumnType, source_name(source) + " does not become " + target.name +
                                              "; " + std::string(advice));
}

Result<Literal> Literal::create(const Field& source, const Target& target, MakeCodec make,
                                bool outermost) {
  if (source.kind == ColumnKind::kDictionary) {
    Literal made(Form::kDictionary, source);
    auto values = create(source.children[0], target, make, outermost);
    if (!values) return values;
    made.parts_.push_back(std::move(*values));
    return made;
  }
  const S from = source_class(source);
  if (from == S::kList || from == S::kMap || from == S::kStruct) {
    if (goes_as_text(target)) return create_nested(source, target, make);
  }
  return create_leaf(source, target, make, outermost);
}

Result<Literal> Literal::create_leaf(const Field& source, const Target& target, MakeCodec make,
                                     bool outermost) {
  const S from = source_class(source);
  if (!goes_as_text(target)) {
    const bool json = target.kind == TargetKind::kJson || target.kind == TargetKind::kJsonb;
    Literal made(json && from != S::kText ? Form::kJson : Form::kText, source);
    auto check = make(source, target);
    if (!check) return pgproto::fail(std::move(check.error()));
    made.check_ = std::move(*check);
    return made;
  }
  if (from == S::kBinary) {
    if (is_named(target, "geometry") || is_named(target, "geography")) {
      return Literal(Form::kHex, source);
    }
    return no_conversion(source, target, "write its text form, or cast the column in the query");
  }
  if (is_money(target) && from != S::kText && !outermost) {
    return no_conversion(source, target,
                         "the text of money depends on the server's lc_monetary: cast it to text "
                         "as that wants it");
  }
  if (target.kind != TargetKind::kInput && from != S::kText && from != S::kNull) {
    return no_conversion(source, target, "write its text form, or cast the column in the query");
  }
  return Literal(Form::kText, source);
}

Status Literal::add_part(const Field& source, const Target& target, MakeCodec make, bool quoted) {
  auto part = create(source, target, make, false);
  if (!part) return pgproto::fail(std::move(part.error()));
  part->quoted_ = quoted;
  parts_.push_back(std::move(*part));
  return {};
}

Result<Literal> Literal::create_nested(const Field& source, const Target& target, MakeCodec make) {
  const S from = source_class(source);
  Status added;
  if (target.kind == TargetKind::kArray && from != S::kStruct) {
    Literal made(Form::kArray, source);
    const Target& element = target.parts[0];
    made.separator_ = element.delimiter;
    const Field& item = source.children[0];
    const bool dimension = is_list(item.kind) && from == S::kList && !takes_lists(element);
    added = made.add_part(item, dimension ? target : element, make, !dimension);
    if (!added) return pgproto::fail(std::move(added.error()));
    return made;
  }
  if (target.kind == TargetKind::kComposite && from == S::kStruct) {
    auto fields = match_attributes(source, target);
    if (!fields) return pgproto::fail(std::move(fields.error()));
    Literal made(Form::kRow, source);
    for (size_t i = 0; i < target.parts.size() && added; ++i) {
      added = made.add_part(source.children[(*fields)[i]], target.parts[i], make, true);
    }
    if (!added) return pgproto::fail(std::move(added.error()));
    made.fields_ = std::move(*fields);
    made.names_ = target.names;
    return made;
  }
  if (number_list_type(target) != nullptr && from == S::kList) {
    const Field& item = source.children[0];
    const S items = source_class(item);
    if (items != S::kFloat && items != S::kInteger && items != S::kDecimal) {
      return no_conversion(source, target, "it takes lists of numbers, or text");
    }
    Literal made(Form::kNumbers, source);
    auto numbers = make(item, NumberList::number(target));
    if (!numbers) return pgproto::fail(std::move(numbers.error()));
    made.numbers_ = std::make_unique<NumberList>(source, target, std::move(*numbers));
    return made;
  }
  if (is_named(target, "hstore") && from == S::kMap) {
    Literal made(Form::kPairs, source);
    for (const Field& part : source.children[0].children) {
      made.parts_.push_back(Literal(Form::kText, part));
    }
    return made;
  }
  return no_conversion(source, target, "write its text form, or cast the column in the query");
}

bool Literal::append(const ColumnView& column, size_t row, std::string& to, Fault& fault) {
  switch (form_) {
    case Form::kText:
      return holds(column, row, fault) && render_text(*source_, column, row, to, fault);
    case Form::kJson:
      return holds(column, row, fault) && render_json(*source_, column, row, to, fault);
    case Form::kHex:
      append_hex_digits(bytes_at(column, *source_, row), to);
      return true;
    case Form::kDictionary:
      return parts_[0].append(column.children[0], dictionary_row(column, source_->index_kind, row),
                              to, fault);
    case Form::kRow:
      return append_row(column, row, to, fault);
    case Form::kPairs:
      return append_pairs(column, row, to, fault);
    case Form::kNumbers:
      return numbers_->append(column, row, to, fault);
    case Form::kArray:
      break;
  }
  return append_items(column, row, to, fault);
}

bool Literal::holds(const ColumnView& column, size_t row, Fault& fault) {
  if (check_ == nullptr) return true;
  FaultList faults;
  size_t bytes = 0;
  check_->measure(column, Block{row, 1, nullptr}, &bytes, faults);
  if (faults.empty()) return true;
  fault = std::move(faults.front().fault);
  return false;
}

bool Literal::append_part(size_t part, const ColumnView& column, size_t row, std::string& to,
                          Fault& fault) {
  if (!parts_[part].quoted_) return parts_[part].append(column, row, to, fault);
  std::string text;
  if (!parts_[part].append(column, row, text, fault)) return false;
  append_quoted(text, to);
  return true;
}

bool Literal::append_items(const ColumnView& column, size_t row, std::string& to, Fault& fault) {
  ColumnView scratch;
  const ListItems items = list_items(column, row, source_->width, scratch);
  to += '{';
  for (size_t i = 0; i < items.count; ++i) {
    if (i != 0) to += separator_;
    if (!is_missing(source_->children[0], *items.elements, items.first + i)) {
      if (!append_part(0, *items.elements, items.first + i, to, fault)) {
        fault.message.insert(0, "element " + std::to_string(i + 1) + ": ");
        return false;
      }
    } else {
      to += "NULL";
    }
  }
  to += '}';
  return true;
}

bool Literal::append_row(const ColumnView& column, size_t row, std::string& to, Fault& fault) {
  to += '(';
  for (size_t i = 0; i < parts_.size(); ++i) {
    if (i != 0) to += ',';
    const ColumnView& child = column.children[fields_[i]];
    if (is_missing(source_->children[fields_[i]], child, row) ||
        append_part(i, child, row, to, fault))
      continue;
    fault.message.insert(0, "attribute \"" + names_[i] + "\": ");
    return false;
  }
  to += ')';
  return true;
}

bool Literal::append_pairs(const ColumnView& column, size_t row, std::string& to, Fault& fault) {
  ColumnView scratch;
  const ListItems items = list_items(column, row, source_->width, scratch);
  const Field& entry = source_->children[0];
  const ColumnView& keys = items.elements->children[0];
  const ColumnView& values = items.elements->children[1];
  std::string text;
  for (size_t i = items.first; i < items.first + items.count; ++i) {
    if (i != items.first) to += ',';
    if (is_missing(entry.children[0], keys, i)) {
      fault = {sqlstate::kNullNotAllowed, "a map has a NULL key"};
      return false;
    }
    text.clear();
    if (!parts_[0].append(keys, i, text, fault)) return false;
    append_quoted(text, to);
    to += "=>";
    if (is_missing(entry.children[1], values, i)) {
      to += "NULL";
      continue;
    }
    text.clear();
    if (!parts_[1].append(values, i, text, fault)) return false;
    append_quoted(text, to);
  }
  return true;
}

/// LiteralField stages the literals of a block.
class LiteralField final : public StagedBase {
 public:
  static Result<CodecPointer> create(const Field& source, const Target& target, MakeCodec make) {
    auto made = std::make_unique<LiteralField>(source);
    auto literal = Literal::create(made->source_, target, make, true);
    if (!literal) return pgproto::fail(std::move(literal.error()));
    made->literal_.push_back(std::move(*literal));
    return made;
  }
  explicit LiteralField(Field source) : source_(std::move(source)) {}

  size_t measure(const ColumnView& column, const Block& block, size_t* row_bytes,
                 FaultList& faults) override {
    begin_block(column, block);
    for (size_t i = 0; i < block.count; ++i) {
      if (is_missing(source_, column, block.row(i))) {
        staging_.put_null_field();
      } else {
        text_.clear();
        Fault fault;
        if (!literal_[0].append(column, block.row(i), text_, fault) ||
            text_fault(text_, TextRule{}, fault)) {
          faults.push_back({i, std::move(fault)});
        }
        const size_t begin = staging_.begin_field();
        staging_.put_text(text_);
        staging_.end_field(begin);
      }
      end_row(i, row_bytes);
    }
    return 0;
  }

 private:
  const Field source_;
  std::vector<Literal> literal_;  ///< One: it refers to source_, so it comes after it.
  std::string text_;
};

/// Passes text on that our own parsers take: what they know of the type's parts, such as that a
/// number would be rounded, holds here too.
struct PutChecked {
  using Value = std::string_view;
  Target target;
  Scratch parsed{};
  bool operator()(std::string_view text, Scratch& out, Fault& fault) {
    parsed.clear();
    if (!parse_value(target, text, parsed, fault)) return false;
    out.put_text(text);
    return true;
  }
};

}  // namespace

Wire wire_of(const Field& source, const Target& target) {
  if (!goes_as_text(target)) return Wire::kOwn;
  if (!is_money(target)) return Wire::kText;
  const S from = source_class(source);
  const bool number = from == S::kInteger || from == S::kFloat || from == S::kDecimal;
  return number || source.json_value ? Wire::kNumeric : Wire::kText;
}

Result<CodecPointer> make_text_codec(const Field& source, const Target& target, MakeCodec make) {
  if (source.json_value && source_class(source) == S::kText) {
    Field text;
    text.name = source.name;
    text.kind = ColumnKind::kStdStringView;
    auto codec = make_text_codec(text, target, make);
    if (!codec) return codec;
    return json_value_field(source, target, std::move(*codec));
  }
  if (source_class(source) != S::kText || source.kind == ColumnKind::kDictionary) {
    return LiteralField::create(source, target, make);
  }
  if (target.parts.empty()) return text_field(source, TextRule{});
  return staged_field(source, load_bytes, PutChecked{target});
}

}  // namespace pgsink::encode
