#pragma once
// TypeInfo describes a PostgreSQL type as far as writing its values in binary needs.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <pgproto/oid.h>

namespace pgproto {

/// TypeInfo is one type of one database. OIDs of enums, domains, composites and arrays of them
/// belong to that database: never carry them to another.
struct TypeInfo {
  enum class Kind : char {
    kBase = 'b',
    kComposite = 'c',
    kDomain = 'd',
    kEnum = 'e',
    kRange = 'r',
    kMultirange = 'm',
    kPseudo = 'p',
    kArray = 'a'  ///< 'a' is ours: pg_type says 'b' with typcategory 'A'.
  };
  Oid oid = 0;
  std::string name;      ///< format_type(): "numeric", "public.mood", "integer[]".
  std::string sql_name;  ///< Schema and name, quoted: what SQL calls it whatever the search path.
  /// Quoted likewise, what makes a value of a cstring; "" if that takes more arguments.
  std::string input_function;
  char delimiter = ',';  ///< Between the elements of an array's text.
  Kind kind = Kind::kBase;
  Oid array_oid = 0;           ///< Of the array type of this type; 0: none.
  Oid element_oid = 0;         ///< Of an array; of a range its subtype.
  Oid base_oid = 0;            ///< Of a domain: the type below, all domains peeled off.
  int32_t type_modifier = -1;  ///< Of a domain.
  struct Attribute {
    std::string name;
    Oid type_oid = 0;
    int32_t type_modifier = -1;
  };
  std::vector<Attribute> attributes;  ///< Of a composite, dropped ones left out.
  std::vector<std::string> labels;    ///< Of an enum, in their order.
};

using TypeMap = std::map<Oid, TypeInfo>;

}  // namespace pgproto
