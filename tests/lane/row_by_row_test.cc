// What a batch means, against the server itself: random streams into tables that can tell one
// statement for many rows from many statements for one (further constraints, triggers, defaults,
// cascades, keys that the server compares in its own way), in every mode, cut into batches,
// transactions and lanes anyhow. A second table gets each row by plain SQL, in a transaction of its
// own. Both must end alike, and the same rows must be refused.

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <set>

#include <pgsink/batch_of.h>

#include <gtest/gtest.h>
#include <libpq-fe.h>

#include "pgsink/sink.h"
#include "support/postgres_server.h"

namespace pgsink {
namespace {

using test::shared_server;
using Text = std::optional<std::string>;

struct Row {
  std::string op = "I";
  Text k, email, span, v, w, parent;
};

RecordBatch batch(std::vector<Row> rows, bool with_op) {
  auto k = column("k", &Row::k);
  auto email = column("email", &Row::email);
  auto span = column("span", &Row::span);
  auto v = column("v", &Row::v);
  auto w = column("w", &Row::w);
  auto parent = column("parent", &Row::parent);
  if (!with_op) return batch_of(std::move(rows), k, email, span, v, w, parent);
  return batch_of(std::move(rows), column("_op", &Row::op), k, email, span, v, w, parent);
}

// ---- the world of one stream -------------------------------------------------------------------

/// A type of keys, with texts of which some are equal for the server.
struct KeyKind {
  const char* type;
  std::vector<std::string> values;
};

const std::vector<KeyKind>& key_kinds() {
  static const std::vector<KeyKind> kKinds{
      {"int", {"1", "2", "3", "4", "5", "6", "7", "8", "9"}},
      {"public.citext", {"a", "A", "b", "B", "c", "C", "d", "E"}},
      {"text COLLATE public.nd", {"a", "A", "b", "B", "c", "C", "d", "E"}},
      {"public.nd_key", {"a", "A", "b", "B", "c", "C", "d", "E"}},
      {"numeric", {"1", "1.0", "2", "2.00", "3", "4", "5.0", "5"}},
  };
  return kKinds;
}

/// What a table has beside its key. Each is drawn for itself.
struct World {
  KeyKind key;
  bool unique_email = false, partial_email = false, lower_email = false, deferrable_email = false;
  bool exclusion = false;
  bool default_note = false, serial = false, generated = false;
  bool check = false, not_null = false, domain = false;
  bool children = false, own_reference = false;
  bool skips = false, changes = false, counts = false, logs = false, statement_logs = false;

  std::string create(const std::string& schema) const;
  /// Whether rows of different keys may meet.
  bool keys_meet() const {
    return unique_email || partial_email || lower_email || deferrable_email || exclusion ||
           own_reference;
  }
};

/// Replaces every "{s}" by the schema.
std::string in_schema(std::string text, const std::string& schema) {
  for (size_t at = text.find("{s}"); at != std::string::npos; at = text.find("{s}", at)) {
    text.replace(at, 3, schema);
  }
  return text;
}

std::string World::create(const std::string& schema) const {
  std::string sql = "DROP SCHEMA IF EXISTS {s} CASCADE; CREATE SCHEMA {s}; CREATE TABLE {s}.t (k ";
  sql += key.type;
  sql += " PRIMARY KEY, email text, span int4range, v ";
  sql += domain ? "public.not_null_text" : "text";
  sql += not_null ? ", w int NOT NULL" : ", w int";
  sql += std::string(", parent ") + key.type;
  if (default_note) sql += ", note text DEFAULT 'fresh'";
  if (serial) sql += ", n serial";
  if (generated) sql += ", g int GENERATED ALWAYS AS (w * 2) STORED";
  if (check) sql += ", CHECK (w < 90)";
  if (exclusion) sql += ", EXCLUDE USING gist (span WITH &&)";
  if (deferrable_email) sql += ", UNIQUE (email) DEFERRABLE";
  sql += ");";
  if (unique_email) sql += "CREATE UNIQUE INDEX ON {s}.t (email);";
  if (partial_email) sql += "CREATE UNIQUE INDEX ON {s}.t (email) WHERE w > 20;";
  if (lower_email) sql += "CREATE UNIQUE INDEX ON {s}.t (lower(email));";
  if (own_reference) {
    sql += "ALTER TABLE {s}.t ADD FOREIGN KEY (parent) REFERENCES {s}.t ON DELETE CASCADE;";
  }
  if (children) {
    sql += std::string("CREATE TABLE {s}.child (k ") + key.type +
           " REFERENCES {s}.t ON DELETE CASCADE, x int);";
  }
  if (skips) {
    sql +=
        "CREATE FUNCTION {s}.skip() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF TG_OP = 'DELETE' THEN IF OLD.v LIKE '%3%' THEN RETURN NULL; END IF; RETURN OLD; "
        "END IF; IF NEW.v LIKE '%7%' THEN RETURN NULL; END IF; RETURN NEW; END $$;"
        "CREATE TRIGGER skip BEFORE INSERT OR UPDATE OR DELETE ON {s}.t FOR EACH ROW "
        "EXECUTE FUNCTION {s}.skip();";
  }
  if (changes) {
    sql += std::string(
               "CREATE FUNCTION {s}.change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
               "NEW.v := NEW.v || ") +
           (counts ? "(SELECT count(*) FROM {s}.t)" : "coalesce(NEW.w, 0) % 10") +
           "; RETURN NEW; END $$;"
           "CREATE TRIGGER zchange BEFORE INSERT OR UPDATE ON {s}.t FOR EACH ROW "
           "EXECUTE FUNCTION {s}.change();";
  }
  if (logs || statement_logs) {
    sql +=
        "CREATE TABLE {s}.log (id serial, what text); "
        "CREATE FUNCTION {s}.log() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "INSERT INTO {s}.log (what) VALUES (TG_OP || ' ' || TG_LEVEL || ' ' || "
        "CASE WHEN TG_LEVEL = 'ROW' THEN coalesce(NEW.k, OLD.k) || ' ' || "
        "coalesce(OLD.v, '-') || '>' || coalesce(NEW.v, '-') ELSE '' END); RETURN NULL; END $$;";
    const char* level = statement_logs ? "STATEMENT" : "ROW";
    sql += std::string("CREATE TRIGGER log AFTER INSERT OR UPDATE OR DELETE ON {s}.t FOR EACH ") +
           level + " EXECUTE FUNCTION {s}.log();";
  }
  return in_schema(std::move(sql), schema);
}

// ---- rows by plain SQL -------------------------------------------------------------------------

std::string literal(const Text& text) {
  if (!text) return "NULL";
  std::string quoted = "'";
  for (const char c : *text) quoted += c == '\'' ? "''" : std::string(1, c);
  return quoted + "'";
}

/// What one row of a mode does, as anybody would write it.
std::string statement(const SinkOptions& options, const Row& row) {
  const std::string insert = "INSERT INTO model.t (k, email, span, v, w, parent) VALUES (" +
                             literal(row.k) + ", " + literal(row.email) + ", " + literal(row.span) +
                             ", " + literal(row.v) + ", " + literal(row.w) + ", " +
                             literal(row.parent) + ")";
  const std::string where = " WHERE k = " + literal(row.k);
  const std::string target = options.conflict_columns.empty() ? "" : " (k)";
  std::string set =
      "email = EXCLUDED.email, span = EXCLUDED.span, v = EXCLUDED.v, "
      "w = EXCLUDED.w, parent = EXCLUDED.parent";
  if (!options.update_columns.empty()) set = "w = EXCLUDED.w";
  std::string upsert = insert + " ON CONFLICT (k) DO UPDATE SET " + set;
  if (!options.newer_by.empty()) {
    upsert += " WHERE t.w < EXCLUDED.w OR (t.w IS NULL AND EXCLUDED.w IS NOT NULL)";
  }
  switch (options.write_mode) {
    case WriteMode::kInsert:
    case WriteMode::kReplace:
      return insert;
    case WriteMode::kInsertIgnore:
      return insert + " ON CONFLICT" + target + " DO NOTHING";
    case WriteMode::kUpsert:
      return upsert;
    case WriteMode::kUpdate:
      return "UPDATE model.t SET email = " + literal(row.email) + ", span = " + literal(row.span) +
             ", v = " + literal(row.v) + ", w = " + literal(row.w) +
             ", parent = " + literal(row.parent) + where;
    case WriteMode::kDelete:
      return "DELETE FROM model.t" + where;
    case WriteMode::kChangelog:
      return row.op == "D" ? "DELETE FROM model.t" + where : upsert;
  }
  return "";
}

class PlainSession {
 public:
  explicit PlainSession(const std::string& conninfo)
      : connection_(PQconnectdb(conninfo.c_str()), PQfinish) {}
  /// "" if it went well.
  std::string run(const std::string& sql) {
    const Answer answer(PQexec(connection_.get(), sql.c_str()), PQclear);
    return PQresultErrorMessage(answer.get());
  }
  /// The one value of the one row.
  std::string scalar(const std::string& sql) {
    const Answer answer(PQexec(connection_.get(), sql.c_str()), PQclear);
    EXPECT_EQ(PQntuples(answer.get()), 1) << PQresultErrorMessage(answer.get());
    return PQgetvalue(answer.get(), 0, 0);
  }

 private:
  using Answer = std::unique_ptr<PGresult, decltype(&PQclear)>;
  std::unique_ptr<PGconn, decltype(&PQfinish)> connection_;
};

// ---- the test ----------------------------------------------------------------------------------

class RowByRowTest : public ::testing::Test {
 protected:
  void SetUp() override {
    database_ = shared_server().create_database("rows");
    shared_server().sql("ALTER DATABASE " + database_ + " SET client_min_messages = warning");
    plain_ = std::make_unique<PlainSession>(shared_server().conninfo(database_));
    sql("CREATE EXTENSION citext; "
        "CREATE COLLATION nd (provider = icu, locale = 'und-u-ks-level2', deterministic = false); "
        "CREATE DOMAIN nd_key AS text COLLATE nd; "
        "CREATE DOMAIN not_null_text AS text NOT NULL CHECK (VALUE <> 'v13')");
  }
  void sql(const std::string& text) { ASSERT_EQ(plain_->run(text), ""); }
  std::string scalar(const std::string& text) { return plain_->scalar(text); }
  uint64_t draw(uint64_t below) { return random_() % below; }
  bool one_in(uint64_t n) { return draw(n) == 0; }
  template <typename T>
  const T& draw_of(const std::vector<T>& all) {
    return all[draw(all.size())];
  }

  World draw_world(WriteMode mode) {
    World world;
    world.key = one_in(2) ? key_kinds().front() : draw_of(key_kinds());
    if (one_in(5)) return world;
    world.unique_email = one_in(4);
    world.partial_email = one_in(12);
    world.lower_email = one_in(12);
    // ON CONFLICT works with none of these.
    world.deferrable_email = one_in(12) && mode != WriteMode::kInsertIgnore;
    world.exclusion = one_in(6);
    world.default_note = one_in(3);
    world.serial = one_in(5);
    world.generated = one_in(8);
    world.check = one_in(4);
    world.not_null = one_in(4);
    world.domain = one_in(4);
    world.children = one_in(4);
    // The server checks a foreign key at the end of a COPY.
    world.own_reference = one_in(8) && mode != WriteMode::kInsert;
    world.skips = one_in(6);
    world.changes = one_in(8);
    world.counts = one_in(2);
    world.logs = one_in(6);
    // A COPY, and what insert_ignore and delete make of many rows, is one statement.
    world.statement_logs = one_in(12) && mode != WriteMode::kInsert;
    return world;
  }

  Row draw_row(const World& world, WriteMode mode) {
    static constexpr std::array<const char*, 3> kOps{"I", "U", "D"};
    const uint64_t start = draw(spans_);
    Row row{.op = kOps[draw(3)],
            .k = draw_of(world.key.values),
            .email = (one_in(2) ? "m" : "M") + std::to_string(draw(emails_)),
            .span = "[" + std::to_string(start) + "," + std::to_string(start + 2) + ")",
            .v = "v" + std::to_string(draw(40)),
            .w = std::to_string(draw(100)),
            .parent = std::nullopt};
    if (one_in(3)) row.email.reset();
    if (one_in(3)) row.span.reset();
    if (one_in(20)) row.v.reset();
    if (one_in(20)) row.w.reset();
    if (one_in(4)) row.parent = draw_of(world.key.values);
    if (mode == WriteMode::kChangelog && row.op == "D" && one_in(2)) {
      // A delete carries its key only: the rest is nobody's business.
      row.email.reset();
      row.v.reset();
      row.w = one_in(2) ? Text("no number") : std::nullopt;
    }
    return row;
  }

  void fill(const World& world) {
    std::string rows;
    std::set<std::string> seen;
    for (const std::string& key : world.key.values) {
      std::string folded = key;
      std::ranges::transform(folded, folded.begin(),
                             [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
      folded = folded.substr(0, folded.find('.'));
      if (one_in(3) || !seen.insert(folded).second) continue;
      const std::string number = std::to_string(200 + seen.size());
      for (const char* schema : {"sunk", "model"}) {
        sql("INSERT INTO " + std::string(schema) + ".t (k, email, span, v, w) VALUES ('" + key +
            "', 'old" + number + "', '[" + number + "," + number + "]', 'old', 1)");
        if (world.default_note) {
          sql("UPDATE " + std::string(schema) + ".t SET note = 'by hand' WHERE k = '" + key + "'");
        }
        if (world.children) {
          sql("INSERT INTO " + std::string(schema) + ".child VALUES ('" + key + "', 1)");
        }
      }
    }
  }

  SinkOptions draw_options(const World& world, WriteMode mode, uint64_t seed) {
    SinkOptions options;
    options.connection_name = "test";
    options.host = shared_server().socket_dir();
    options.port = std::to_string(shared_server().port());
    options.database = database_;
    options.username = "postgres";
    options.schema = "sunk";
    options.table = "t";
    options.retry_backoff_ms = 10;
    options.write_mode = mode;
    options.parallelism = one_in(2) ? 1 : static_cast<int64_t>(1 + draw(4));
    // A trigger that looks at other rows sees those of other lanes too.
    if (world.changes && world.counts) options.parallelism = 1;
    if (mode == WriteMode::kInsert && options.parallelism > 1) {
      // Which of two rows is refused that meet at a constraint is not known among lanes.
      const bool hashes = std::string_view(world.key.type) == "int" && !world.keys_meet();
      options.partition_by = hashes ? "hash(k)" : "";
      if (!hashes) options.parallelism = 1;
    }
    options.batch_size = static_cast<int64_t>(1 + draw(one_in(2) ? 4 : 100));
    options.transaction_size = static_cast<int64_t>(1 + draw(100));
    options.in_flight_max = static_cast<int64_t>(1 + draw(16));
    options.use_prepared_statements = !one_in(4);
    // A prepared transaction keeps its keys until its epoch ends, and insert makes several of them.
    options.use_2pc = seed % 10 == 0 && mode != WriteMode::kInsert;
    if (seed % 10 == 1 && (options.parallelism == 1 || mode != WriteMode::kInsert)) {
      options.delivery = Delivery::kExactlyOnce;
    }
    if (one_in(3) && !options.use_2pc) options.use_copy = true;
    options.copy_batch_size = options.batch_size;
    options.on_dead_letters = [this](std::span<const DeadLetter> letters) -> Status {
      const std::lock_guard lock(rejected_mutex_);
      for (const DeadLetter& letter : letters) rejected_[letter.input_row] = letter.message;
      return {};
    };
    return options;
  }

  /// What a table of one of the schemas holds, with what belongs to it.
  std::string contents(const World& world, const std::string& schema, bool in_order) {
    std::string select = "k, email, span, v, w, parent";
    if (world.default_note) select += ", note";
    if (world.generated) select += ", g";
    // Numbers are drawn for rows that fail too: their order counts.
    if (world.serial && in_order) select += ", rank() OVER (ORDER BY n) AS n";
    std::string all = scalar("SELECT string_agg(r::text, E'\\n' ORDER BY r.k) FROM (SELECT " +
                             select + " FROM " + schema + ".t) AS r");
    if (world.children) {
      all += "\nchildren: " +
             scalar("SELECT string_agg(k::text, ' ' ORDER BY k) FROM " + schema + ".child");
    }
    if (world.logs || world.statement_logs) {
      all += "\nlog:\n" + scalar("SELECT string_agg(what, E'\\n' ORDER BY " +
                                 std::string(in_order ? "id" : "what COLLATE \"C\"") + ") FROM " +
                                 schema + ".log");
    }
    return all;
  }

  void run(uint64_t seed) {
    random_.seed(seed);
    static constexpr std::array<WriteMode, 9> kModes{
        WriteMode::kInsert,       WriteMode::kUpsert,    WriteMode::kUpsert,
        WriteMode::kUpdate,       WriteMode::kDelete,    WriteMode::kInsertIgnore,
        WriteMode::kInsertIgnore, WriteMode::kChangelog, WriteMode::kChangelog};
    const WriteMode mode = kModes[draw(kModes.size())];
    const World world = draw_world(mode);
    emails_ = 2 + draw(one_in(2) ? 6 : 200);
    spans_ = 3 + draw(one_in(2) ? 12 : 300);
    sql(world.create("sunk") + world.create("model"));
    fill(world);
    SinkOptions options = draw_options(world, mode, seed);
    if ((mode == WriteMode::kUpsert || mode == WriteMode::kChangelog) && one_in(4)) {
      options.update_columns = {"w"};
    }
    if (mode == WriteMode::kUpsert && one_in(4)) options.newer_by = "w";
    if (mode == WriteMode::kInsertIgnore && one_in(3)) options.conflict_columns = {"k"};
    rejected_.clear();
    const bool with_op = mode == WriteMode::kChangelog;
    auto sink = Sink::open(options, batch({}, with_op).schema());
    ASSERT_TRUE(sink) << "seed " << seed << ": " << sink.error().to_string();
    std::map<uint64_t, std::string> refused;
    uint64_t number = 0;
    std::string rows_text;
    const uint64_t batches = 1 + draw(6);
    for (uint64_t i = 1; i <= batches; ++i) {
      std::vector<Row> rows;
      for (uint64_t count = draw(one_in(8) ? 300 : 25); count > 0; --count) {
        rows.push_back(draw_row(world, mode));
        const std::string text = statement(options, rows.back());
        const std::string error = plain_->run(text);
        ++number;
        rows_text +=
            std::to_string(number) + ": " + text + (error.empty() ? "" : "  -- refused") + "\n";
        if (!error.empty()) refused[number] = error;
      }
      RecordBatch made = batch(std::move(rows), with_op);
      made.position = i;
      ASSERT_TRUE((*sink)->write(std::move(made)));
      if (one_in(4)) {
        ASSERT_TRUE((*sink)->flush());
      }
    }
    const Status closed = (*sink)->close();
    ASSERT_TRUE(closed) << "seed " << seed << ": " << closed.error().to_string() << "\n"
                        << world.create("t") << "\n"
                        << rows_text;
    const bool in_order = options.parallelism == 1;
    const std::string told = "seed " + std::to_string(seed) + ", mode " +
                             std::to_string(static_cast<int>(mode)) + ", lanes " +
                             std::to_string(options.parallelism) + "\n" + world.create("t") + "\n" +
                             rows_text;
    ASSERT_EQ(contents(world, "sunk", in_order), contents(world, "model", in_order)) << told;
    std::string differences;
    for (const auto& [row, message] : refused) {
      if (!rejected_.contains(row)) differences += std::to_string(row) + " only by SQL: " + message;
    }
    for (const auto& [row, message] : rejected_) {
      if (!refused.contains(row)) differences += std::to_string(row) + " only by us: " + message;
    }
    ASSERT_EQ(differences, "") << told;
  }

  std::string database_;
  std::unique_ptr<PlainSession> plain_;
  std::mt19937_64 random_;
  uint64_t emails_ = 2, spans_ = 3;
  std::mutex rejected_mutex_;
  std::map<uint64_t, std::string> rejected_;
};

uint64_t from_environment(const char* name, uint64_t otherwise) {
  const char* const asked = std::getenv(name);
  return asked != nullptr ? std::strtoull(asked, nullptr, 10) : otherwise;
}

/// PGSINK_MODEL_STREAMS asks for more than a commit can wait for, from PGSINK_MODEL_SEED on.
TEST_F(RowByRowTest, EveryStreamLeavesWhatPlainStatementsLeave) {
  constexpr uint64_t kStreams = 50;
  const uint64_t first = from_environment("PGSINK_MODEL_SEED", 1);
  const uint64_t streams = from_environment("PGSINK_MODEL_STREAMS", kStreams);
  for (uint64_t i = 0; i < streams && !HasFatalFailure(); ++i) run(first + i);
}

}  // namespace
}  // namespace pgsink
