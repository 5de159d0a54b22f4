#include "pgsink/client/catalog.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include <pgproto/quote.h>

namespace pgsink {

namespace {

using pgproto::TypeInfo;
using Row = std::vector<std::optional<std::string>>;

// OIDs from here on belong to objects that are not built in. Source: FirstNormalObjectId in the
// server's src/include/access/transam.h.
constexpr Oid kFirstOwnOid = 16384;

// What changes with every change of a table's columns and of their types, also if it was undone:
// the numbers of the transactions that wrote these rows of the catalog. c is the table's row of
// pg_class; $TYPES is an array of the types that its columns need.
constexpr std::string_view kTableVersion = R"(pg_catalog.concat_ws(' ', c.oid, c.relkind,
  c.relrowsecurity, c.relhasrules,
  (SELECT pg_catalog.string_agg(pg_catalog.concat(a.attnum, ':', a.xmin), ',' ORDER BY a.attnum)
   FROM pg_catalog.pg_attribute AS a
   WHERE a.attrelid OPERATOR(pg_catalog.=) c.oid AND a.attnum OPERATOR(pg_catalog.>) 0),
  (SELECT pg_catalog.string_agg(pg_catalog.concat(p.oid, ':', p.xmin), ',' ORDER BY p.oid)
   FROM pg_catalog.pg_type AS p WHERE p.oid OPERATOR(pg_catalog.=) ANY ($TYPES)),
  (SELECT pg_catalog.string_agg(pg_catalog.concat(p.oid, '.', a.attnum, ':', a.xmin), ','
                                ORDER BY p.oid, a.attnum)
   FROM pg_catalog.pg_type AS p
   JOIN pg_catalog.pg_attribute AS a ON a.attrelid OPERATOR(pg_catalog.=) p.typrelid
   WHERE p.oid OPERATOR(pg_catalog.=) ANY ($TYPES) AND p.typtype OPERATOR(pg_catalog.=) 'c'
     AND a.attnum OPERATOR(pg_catalog.>) 0),
  (SELECT pg_catalog.concat(pg_catalog.count(*), ':',
                            pg_catalog.sum(e.xmin::pg_catalog.text::pg_catalog.int8))
   FROM pg_catalog.pg_enum AS e WHERE e.enumtypid OPERATOR(pg_catalog.=) ANY ($TYPES))))";

constexpr std::string_view kTableVersionNow = R"(SELECT $VERSION
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
WHERE n.nspname OPERATOR(pg_catalog.=) $SCHEMA AND c.relname OPERATOR(pg_catalog.=) $TABLE)";

// One statement, so one round trip. The first column of each row says which kind of row it is; rows
// come in no defined order. The search path pg_catalog makes sure that no function or operator of
// another schema is called, and that format_type() qualifies every type of another schema. $SCHEMA
// and $TABLE are replaced by literals.
constexpr std::string_view kSql = R"(SET LOCAL search_path TO pg_catalog;
WITH RECURSIVE target AS (
  SELECT c.oid, c.relname, n.nspname, c.relkind,
         row_security_active(c.oid) AS row_security,
         has_table_privilege(c.oid, 'INSERT') AS may_insert,
         has_table_privilege(c.oid, 'DELETE') AS may_delete,
         has_schema_privilege(n.oid, 'USAGE') AS may_use,
         EXISTS (SELECT FROM pg_rewrite r WHERE r.ev_class = c.oid AND r.ev_type = '3'
                 AND r.ev_enabled <> 'D') AS insert_rules
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname = $SCHEMA AND c.relname = $TABLE AND c.relkind IN ('r', 'p', 'v', 'f', 'm')
), col AS (
  SELECT a.* FROM pg_attribute a JOIN target ON a.attrelid = target.oid
  WHERE a.attnum > 0 AND NOT a.attisdropped
), tree(oid) AS (
  SELECT oid FROM target
  UNION SELECT i.inhrelid FROM pg_inherits i JOIN tree ON i.inhparent = tree.oid
), needed(oid) AS (
  SELECT atttypid FROM col
  UNION
  SELECT part.oid FROM needed JOIN pg_type p ON p.oid = needed.oid CROSS JOIN LATERAL (
    SELECT p.typelem AS oid WHERE p.typinput = 'array_in'::regproc
    UNION ALL SELECT p.typbasetype WHERE p.typtype = 'd'
    UNION ALL SELECT r.rngsubtype FROM pg_range r WHERE r.rngtypid = p.oid
    UNION ALL SELECT r.rngtypid FROM pg_range r WHERE r.rngmultitypid = p.oid
    UNION ALL SELECT a.atttypid FROM pg_attribute a
      WHERE p.typtype = 'c' AND a.attrelid = p.typrelid AND a.attnum > 0 AND NOT a.attisdropped
  ) part
)
SELECT 'table', oid::text, relname::text, nspname::text, relkind::text, row_security::text,
       may_insert::text, may_use::text, may_delete::text, current_user::text, insert_rules::text
FROM target
UNION ALL
SELECT 'version', $VERSION, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM target JOIN pg_class c ON c.oid = target.oid
UNION ALL
SELECT 'column', attname::text, attnum::text, atttypid::text, atttypmod::text, attnotnull::text,
       atthasdef::text, attgenerated::text, attidentity::text,
       concat(CASE WHEN has_column_privilege(attrelid, attnum, 'INSERT') THEN 'a' END,
              CASE WHEN has_column_privilege(attrelid, attnum, 'UPDATE') THEN 'w' END,
              CASE WHEN has_column_privilege(attrelid, attnum, 'SELECT') THEN 'r' END),
       (SELECT concat(CASE WHEN l.collisdeterministic THEN '=' ELSE '~' END,
                      CASE WHEN attcollation <> p.typcollation OR p.typtype = 'd'
                           THEN quote_ident(n.nspname) || '.' || quote_ident(l.collname) END)
        FROM pg_collation l JOIN pg_namespace n ON n.oid = l.collnamespace
        JOIN pg_type p ON p.oid = atttypid
        WHERE l.oid = attcollation)
FROM col
UNION ALL
SELECT 'type', p.oid::text, format_type(p.oid, NULL),
       CASE WHEN p.typinput = 'array_in'::regproc THEN 'a' ELSE p.typtype::text END,
       COALESCE(CASE WHEN p.typinput = 'array_in'::regproc THEN p.typelem END, r.rngsubtype,
                m.rngtypid, 0)::text,
       p.typbasetype::text, p.typtypmod::text, p.typnotnull::text,
       (p.typdefault IS NOT NULL)::text, p.typarray::text, NULL
FROM needed JOIN pg_type p ON p.oid = needed.oid
LEFT JOIN pg_range r ON r.rngtypid = p.oid LEFT JOIN pg_range m ON m.rngmultitypid = p.oid
UNION ALL
SELECT 'input', p.oid::text, format('%I.%I', n.nspname, p.typname), p.typdelim::text,
       CASE WHEN p.typtype = 'b' AND f.pronargs = 1
            THEN (SELECT format('%I.%I', s.nspname, f.proname) FROM pg_namespace s
                  WHERE s.oid = f.pronamespace) END,
       NULL, NULL, NULL, NULL, NULL, NULL
FROM needed JOIN pg_type p ON p.oid = needed.oid
JOIN pg_namespace n ON n.oid = p.typnamespace JOIN pg_proc f ON f.oid = p.typinput
UNION ALL
SELECT 'order', k.opcintype::text, s.amopstrategy::text,
       format('OPERATOR(%I.%s)', n.nspname, o.oprname), NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM needed JOIN pg_opclass k ON k.opcintype = needed.oid AND k.opcdefault
JOIN pg_am m ON m.oid = k.opcmethod AND m.amname = 'btree'
JOIN pg_amop s ON s.amopfamily = k.opcfamily AND s.amoplefttype = k.opcintype
  AND s.amoprighttype = k.opcintype AND s.amopstrategy IN (1, 3)
JOIN pg_operator o ON o.oid = s.amopopr JOIN pg_namespace n ON n.oid = o.oprnamespace
WHERE needed.oid >= $FIRST_OWN_OID
UNION ALL
SELECT 'volatile', col.attname::text, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM col JOIN pg_type p ON p.oid = col.atttypid
LEFT JOIN pg_attrdef d ON d.adrelid = col.attrelid AND d.adnum = col.attnum
WHERE EXISTS (
  SELECT FROM regexp_matches(COALESCE(d.adbin::text, p.typdefaultbin::text),
                             ':(?:funcid|opfuncid) ([0-9]+)', 'g') AS m
  JOIN pg_proc f ON f.oid = m[1]::oid WHERE f.provolatile = 'v')
UNION ALL
SELECT 'trigger', t.tgtype::text, t.tgenabled::text, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM tree JOIN pg_trigger t ON t.tgrelid = tree.oid AND NOT t.tgisinternal AND t.tgenabled <> 'D'
UNION ALL
SELECT 'side_effects',
       EXISTS (SELECT FROM pg_rewrite r JOIN target ON r.ev_class = target.oid
               WHERE r.ev_type <> '1' AND r.ev_enabled <> 'D')::text,
       EXISTS (SELECT FROM pg_constraint c JOIN tree ON c.confrelid = tree.oid)::text,
       EXISTS (SELECT FROM pg_constraint c JOIN tree ON c.confrelid = tree.oid
               WHERE c.conrelid IN (SELECT tree.oid FROM tree))::text,
       (EXISTS (SELECT FROM pg_constraint c JOIN tree ON c.conrelid = tree.oid
                WHERE c.contype IN ('c', 'f'))
        OR EXISTS (SELECT FROM pg_constraint c JOIN needed ON c.contypid = needed.oid
                   WHERE c.contype = 'c')
        OR EXISTS (SELECT FROM col WHERE col.attgenerated <> '')
        OR EXISTS (SELECT FROM pg_index i JOIN tree ON i.indrelid = tree.oid
                   WHERE i.indpred IS NOT NULL OR i.indexprs IS NOT NULL)
        OR EXISTS (SELECT FROM target WHERE target.row_security))::text,
       EXISTS (SELECT FROM pg_index i JOIN tree ON i.indrelid = tree.oid
               WHERE i.indrelid NOT IN (SELECT target.oid FROM target)
               AND (i.indisunique OR i.indisexclusion)
               AND NOT EXISTS (SELECT FROM pg_inherits h WHERE h.inhrelid = i.indexrelid))::text,
       NULL, NULL, NULL, NULL, NULL
UNION ALL
SELECT 'attribute', p.oid::text, a.attname::text, a.atttypid::text, a.atttypmod::text,
       a.attnum::text, NULL, NULL, NULL, NULL, NULL
FROM needed JOIN pg_type p ON p.oid = needed.oid AND p.typtype = 'c'
JOIN pg_attribute a ON a.attrelid = p.typrelid AND a.attnum > 0 AND NOT a.attisdropped
UNION ALL
SELECT 'label', e.enumtypid::text, e.enumlabel::text,
       row_number() OVER (PARTITION BY e.enumtypid ORDER BY e.enumsortorder)::text,
       NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM needed JOIN pg_enum e ON e.enumtypid = needed.oid
UNION ALL
SELECT 'index', c.relname::text, i.indkey::text, i.indnkeyatts::text, i.indisprimary::text,
       i.indisunique::text, i.indimmediate::text, (i.indpred IS NOT NULL)::text,
       (i.indexprs IS NOT NULL)::text, $NULLS_NOT_DISTINCT::text, i.indisexclusion::text
FROM target JOIN pg_index i ON i.indrelid = target.oid AND i.indisvalid
JOIN pg_class c ON c.oid = i.indexrelid
UNION ALL
(SELECT 'similar', n.nspname::text, c.relname::text, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE NOT EXISTS (SELECT FROM target) AND c.relkind IN ('r', 'p', 'v', 'f', 'm')
   AND (n.nspname = $SCHEMA OR lower(c.relname) = lower($TABLE))
   AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
 ORDER BY (lower(c.relname) = lower($TABLE)) DESC, c.relname LIMIT 1000))";

using Values = std::vector<std::pair<std::string_view, std::string>>;

/// The template with each $NAME replaced.
std::string fill_in(std::string_view text, const Values& values) {
  std::string sql;
  for (size_t at = 0; at < text.size();) {
    const size_t dollar = std::min(text.find('$', at), text.size());
    sql += text.substr(at, dollar - at);
    at = dollar;
    for (const auto& [name, value] : values) {
      if (!text.substr(at).starts_with(name)) continue;
      sql += value;
      at += name.size();
      break;
    }
  }
  return sql;
}

Result<std::string> make_sql(int version, std::string_view schema, std::string_view table) {
  const auto schema_text = pgproto::quote_literal(schema);
  if (!schema_text) return fail(schema_text.error());
  const auto table_text = pgproto::quote_literal(table);
  if (!table_text) return fail(table_text.error());
  return fill_in(
      kSql, {{"$SCHEMA", *schema_text},
             {"$TABLE", *table_text},
             {"$FIRST_OWN_OID", std::to_string(kFirstOwnOid)},
             {"$VERSION", fill_in(kTableVersion, {{"$TYPES", "ARRAY(SELECT oid FROM needed)"}})},
             {"$NULLS_NOT_DISTINCT", version >= 150000 ? "i.indnullsnotdistinct" : "false"}});
}

template <typename Integer>
Integer number(const std::optional<std::string>& text) {
  Integer value = 0;
  if (text) std::from_chars(text->data(), text->data() + text->size(), value);
  return value;
}
bool is_true(const std::optional<std::string>& text) { return text == "true"; }
char letter(const std::optional<std::string>& text) {
  return text && !text->empty() ? text->front() : '\0';
}

// Reads the rows by their kind.
class Reader {
 public:
  explicit Reader(int server_version) : server_version_(server_version) {}

  void take(const Row& row);
  Result<CatalogTable> finish(std::string_view schema, std::string_view table);

 private:
  struct DomainRule {
    bool not_null = false;
    bool has_default = false;
  };

  void take_table(const Row& row);
  void take_column(const Row& row);
  void take_type(const Row& row);
  void take_input(const Row& row);
  void take_order(const Row& row);
  void take_index(const Row& row);
  void take_trigger(const Row& row);
  void take_side_effects(const Row& row);
  void put_in_order();
  void resolve_domains();
  void apply_domain_rules();
  void apply_orders();
  std::unexpected<Error> no_such_table(std::string_view schema, std::string_view table) const;

  const int server_version_;
  CatalogTable table_;
  bool may_use_schema_ = false;
  std::map<Oid, DomainRule> domain_rules_;
  struct Order {
    std::string equal, less;
  };
  std::map<Oid, Order> orders_;  ///< For types that have their own operators.
  std::map<Oid, std::map<int, TypeInfo::Attribute>> attributes_;
  std::map<Oid, std::map<int64_t, std::string>> labels_;
  std::vector<std::pair<std::string, std::string>> similar_;
  std::vector<std::string> volatile_defaults_;
};

void Reader::take(const Row& row) {
  const std::string& kind = row[0].value_or("");
  if (kind == "table") take_table(row);
  if (kind == "version") table_.version = row[1].value_or("");
  if (kind == "column") take_column(row);
  if (kind == "type") take_type(row);
  if (kind == "input") take_input(row);
  if (kind == "order") take_order(row);
  if (kind == "attribute") {
    attributes_[number<Oid>(row[1])][number<int>(row[5])] = {
        row[2].value_or(""), number<Oid>(row[3]), number<int32_t>(row[4])};
  }
  if (kind == "label") {
    labels_[number<Oid>(row[1])][number<int64_t>(row[3])] = row[2].value_or("");
  }
  if (kind == "index") take_index(row);
  if (kind == "volatile") volatile_defaults_.push_back(row[1].value_or(""));
  if (kind == "trigger") take_trigger(row);
  if (kind == "side_effects") take_side_effects(row);
  if (kind == "similar") similar_.emplace_back(row[1].value_or(""), row[2].value_or(""));
}

void Reader::take_table(const Row& row) {
  table_.oid = number<Oid>(row[1]);
  table_.name = row[2].value_or("");
  table_.schema = row[3].value_or("");
  table_.kind = static_cast<CatalogTable::Kind>(letter(row[4]));
  table_.row_security = is_true(row[5]);
  table_.has_insert_privilege = is_true(row[6]);
  may_use_schema_ = is_true(row[7]);
  table_.has_delete_privilege = is_true(row[8]);
  table_.role = row[9].value_or("");
  table_.insert_rules = is_true(row[10]);
}

void Reader::take_column(const Row& row) {
  CatalogColumn column;
  column.name = row[1].value_or("");
  column.number = number<int16_t>(row[2]);
  column.type_oid = number<Oid>(row[3]);
  column.type_modifier = number<int32_t>(row[4]);
  column.not_null = is_true(row[5]);
  column.generated = static_cast<CatalogColumn::Generated>(letter(row[7]));
  // The catalog stores the expression of a generated column as its default, which it is not.
  column.has_default = is_true(row[6]) && column.generated == CatalogColumn::Generated::kNo;
  column.identity = static_cast<CatalogColumn::Identity>(letter(row[8]));
  // Source: PostgreSQL documentation, "ACL Privilege Abbreviations".
  const std::string privileges = row[9].value_or("");
  column.insertable = privileges.contains('a');
  column.updatable = privileges.contains('w');
  column.selectable = privileges.contains('r');
  if (row[10]) {
    column.nondeterministic = row[10]->front() == '~';
    column.collation = row[10]->substr(1);
  }
  table_.columns.push_back(std::move(column));
}

void Reader::take_type(const Row& row) {
  const Oid oid = number<Oid>(row[1]);
  TypeInfo& type = table_.types[oid];
  type.oid = oid;
  type.name = row[2].value_or("");
  type.kind = static_cast<TypeInfo::Kind>(letter(row[3]));
  type.element_oid = number<Oid>(row[4]);
  type.base_oid = number<Oid>(row[5]);
  type.type_modifier = number<int32_t>(row[6]);
  type.array_oid = number<Oid>(row[9]);
  domain_rules_[oid] = {is_true(row[7]), is_true(row[8])};
}

void Reader::take_input(const Row& row) {
  TypeInfo& type = table_.types[number<Oid>(row[1])];
  type.sql_name = row[2].value_or("");
  type.delimiter = letter(row[3]);
  type.input_function = row[4].value_or("");
}

void Reader::take_order(const Row& row) {
  // Source: PostgreSQL documentation, "Index Method Strategies".
  constexpr int kLess = 1;
  Order& order = orders_[number<Oid>(row[1])];
  (number<int>(row[2]) == kLess ? order.less : order.equal) = row[3].value_or("");
}

void Reader::take_index(const Row& row) {
  CatalogIndex index;
  index.name = row[1].value_or("");
  // The columns of INCLUDE come after the key's.
  const std::string numbers = row[2].value_or("") + " ";
  const size_t key_count = number<size_t>(row[3]);
  for (size_t begin = 0; begin < numbers.size() && index.columns.size() < key_count;) {
    const size_t end = numbers.find(' ', begin);
    index.columns.push_back(number<int16_t>(numbers.substr(begin, end - begin)));
    begin = end + 1;
  }
  index.primary = is_true(row[4]);
  index.unique = is_true(row[5]);
  index.immediate = is_true(row[6]);
  index.partial = is_true(row[7]);
  index.expression = is_true(row[8]);
  index.nulls_not_distinct = is_true(row[9]);
  index.exclusion = is_true(row[10]);
  table_.indexes.push_back(std::move(index));
}

void Reader::take_trigger(const Row& row) {
  // Source: the server's src/include/catalog/pg_trigger.h.
  enum : int { kRow = 1, kBefore = 2, kInsert = 4, kDelete = 8, kUpdate = 16 };
  const int type = number<int>(row[1]);
  const char enabled = letter(row[2]);
  table_.side_effects.triggers.push_back({.of_row = (type & kRow) != 0,
                                          .before = (type & kBefore) != 0,
                                          .on_insert = (type & kInsert) != 0,
                                          .on_update = (type & kUpdate) != 0,
                                          .on_delete = (type & kDelete) != 0,
                                          .of_replica = enabled != 'O',
                                          .of_origin = enabled != 'R'});
}

void Reader::take_side_effects(const Row& row) {
  CatalogSideEffects& effects = table_.side_effects;
  effects.rules = is_true(row[1]);
  effects.referenced = is_true(row[2]);
  effects.refers_to_itself = is_true(row[3]);
  effects.may_reject_rows = is_true(row[4]);
  effects.unique_of_partition = is_true(row[5]);
}

void Reader::put_in_order() {
  std::sort(table_.columns.begin(), table_.columns.end(),
            [](const auto& a, const auto& b) { return a.number < b.number; });
  std::sort(table_.indexes.begin(), table_.indexes.end(), [](const auto& a, const auto& b) {
    return a.primary != b.primary ? a.primary : a.name < b.name;
  });
  for (auto& [oid, attributes] : attributes_) {
    for (auto& [at, attribute] : attributes) {
      table_.types[oid].attributes.push_back(std::move(attribute));
    }
  }
  for (auto& [oid, labels] : labels_) {
    for (auto& [at, label] : labels) table_.types[oid].labels.push_back(std::move(label));
  }
}

// A column of a domain must obey all domains below it; only the outermost default counts, because
// CREATE DOMAIN copies the default of its base.
void Reader::apply_domain_rules() {
  for (CatalogColumn& column : table_.columns) {
    const DomainRule outermost = domain_rules_[column.type_oid];
    if (outermost.has_default && column.generated == CatalogColumn::Generated::kNo) {
      column.has_default = true;
    }
    for (Oid oid = column.type_oid; oid != 0;) {
      const auto type = table_.types.find(oid);
      if (type == table_.types.end() || type->second.kind != TypeInfo::Kind::kDomain) break;
      column.not_null = column.not_null || domain_rules_[oid].not_null;
      oid = type->second.base_oid;
    }
  }
}

// TypeInfo::base_oid is the type below all domains; the outermost modifier counts.
void Reader::resolve_domains() {
  std::map<Oid, std::pair<Oid, int32_t>> resolved;
  for (const auto& [oid, type] : table_.types) {
    if (type.kind != TypeInfo::Kind::kDomain) continue;
    Oid base = type.base_oid;
    int32_t modifier = type.type_modifier;
    for (auto next = table_.types.find(base);
         next != table_.types.end() && next->second.kind == TypeInfo::Kind::kDomain;
         next = table_.types.find(base)) {
      if (modifier < 0) modifier = next->second.type_modifier;
      base = next->second.base_oid;
    }
    resolved[oid] = {base, modifier};
  }
  for (const auto& [oid, found] : resolved) {
    table_.types[oid].base_oid = found.first;
    table_.types[oid].type_modifier = found.second;
  }
}

// A column of a domain is compared like its base type. REQUIRES: domains are resolved.
void Reader::apply_orders() {
  for (CatalogColumn& column : table_.columns) {
    const auto type = table_.types.find(column.type_oid);
    if (type == table_.types.end()) continue;
    const bool domain = type->second.kind == TypeInfo::Kind::kDomain;
    const auto order = orders_.find(domain ? type->second.base_oid : column.type_oid);
    if (order == orders_.end()) continue;
    column.equal = order->second.equal;
    column.less = order->second.less;
    column.own_equality = true;
  }
}

size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t change = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = std::exchange(row[j], std::min({row[j] + 1, row[j - 1] + 1, change}));
    }
  }
  return row[b.size()];
}

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return result;
}

std::unexpected<Error> Reader::no_such_table(std::string_view schema,
                                             std::string_view table) const {
  constexpr size_t kNamedMax = 3;
  std::vector<std::pair<size_t, std::string>> near;
  for (const auto& [other_schema, other] : similar_) {
    const size_t distance = edit_distance(lower(table), lower(other));
    if (distance > std::max<size_t>(2, table.size() / 3)) continue;
    std::string name = "\"";
    name.append(other_schema).append("\".\"").append(other) += '"';
    near.emplace_back(distance, std::move(name));
  }
  std::sort(near.begin(), near.end());  // the most similar first, then by name
  std::string message =
      "there is no table \"" + std::string(schema) + "\".\"" + std::string(table) + "\"";
  for (size_t i = 0; i < std::min(near.size(), kNamedMax); ++i) {
    message += (i == 0 ? "; did you mean " : ", ") + near[i].second;
  }
  if (!near.empty()) message += "?";
  return fail(Errc::kNoSuchTable, message);
}

Result<CatalogTable> Reader::finish(std::string_view schema, std::string_view table) {
  if (table_.oid == 0) return no_such_table(schema, table);
  if (!may_use_schema_) {
    const auto quoted_schema = pgproto::quote_identifier(schema);
    const auto role = pgproto::quote_identifier(table_.role);
    if (!quoted_schema) return fail(quoted_schema.error());
    if (!role) return fail(role.error());
    return fail(Errc::kPrivilege, "the role " + *role + " may not use the schema " +
                                      *quoted_schema + ": GRANT USAGE ON SCHEMA " + *quoted_schema +
                                      " TO " + *role);
  }
  put_in_order();
  apply_domain_rules();
  resolve_domains();
  apply_orders();
  for (CatalogColumn& column : table_.columns) {
    column.volatile_default =
        std::ranges::find(volatile_defaults_, column.name) != volatile_defaults_.end();
  }
  table_.server_version = server_version_;
  return std::move(table_);
}

}  // namespace

const CatalogColumn* CatalogTable::find_column(std::string_view column) const {
  const auto found = std::find_if(columns.begin(), columns.end(),
                                  [&](const CatalogColumn& c) { return c.name == column; });
  return found == columns.end() ? nullptr : &*found;
}

const CatalogIndex* CatalogTable::primary_key() const {
  const auto found = std::find_if(indexes.begin(), indexes.end(),
                                  [](const CatalogIndex& index) { return index.primary; });
  return found == indexes.end() ? nullptr : &*found;
}

Result<std::string> table_version_sql(const CatalogTable& table) {
  const auto schema = pgproto::quote_literal(table.schema);
  if (!schema) return fail(schema.error());
  const auto name = pgproto::quote_literal(table.name);
  if (!name) return fail(name.error());
  std::string types;
  for (const auto& [oid, type] : table.types) {
    types += (types.empty() ? "" : ",") + std::to_string(oid);
  }
  types = "'{" + types + "}'::pg_catalog.oid[]";
  return fill_in(kTableVersionNow, {{"$SCHEMA", *schema},
                                    {"$TABLE", *name},
                                    {"$VERSION", fill_in(kTableVersion, {{"$TYPES", types}})}});
}

Result<CatalogTable> read_table(Connection& connection, std::string_view schema,
                                std::string_view table, Deadline deadline, std::string_view role) {
  auto sql = make_sql(connection.server().version, schema, table);
  if (!sql) return fail(sql.error());
  if (!role.empty()) {
    const auto quoted = pgproto::quote_identifier(role);
    if (!quoted) return fail(quoted.error());
    sql->insert(0, "SET LOCAL ROLE " + *quoted + "; ");
  }
  const auto answer = connection.query(*sql, deadline);
  if (!answer) return fail(answer.error());
  constexpr size_t kColumns = 11;
  if (answer->columns.size() != kColumns) {
    return fail(Errc::kProtocol,
                "the catalog's answer does not have " + std::to_string(kColumns) + " columns");
  }
  Reader reader(connection.server().version);
  for (const Row& row : answer->rows) reader.take(row);
  return reader.finish(schema, table);
}

}  // namespace pgsink
