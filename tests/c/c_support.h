#pragma once
// What the tests of the C interface share: options as a program in C would give them, batches of
// one column, and how many structs are not released.

#include <atomic>
#include <cstring>
#include <list>
#include <string>
#include <vector>

#include <pgsink/pgsink_c.h>

#include <gtest/gtest.h>

#include "support/postgres_server.h"

namespace pgsink::test {

/// Texts that live as long as the list.
class Options {
 public:
  Options& set(const std::string& key, const std::string& value) {
    texts_.push_back(key);
    const char* const name = texts_.back().c_str();
    texts_.push_back(value);
    for (pgsink_option& option : options_) {
      if (key != option.key) continue;
      option.value = texts_.back().c_str();
      return *this;
    }
    options_.push_back({name, texts_.back().c_str()});
    return *this;
  }
  const pgsink_option* data() const { return options_.data(); }
  size_t size() const { return options_.size(); }

 private:
  std::list<std::string> texts_;
  std::vector<pgsink_option> options_;
};

/// An error that is cleared in the end.
struct CError : pgsink_error {
  CError() : pgsink_error(PGSINK_ERROR_INIT) {}
  ~CError() { pgsink_error_clear(this); }
  CError(const CError&) = delete;
  CError& operator=(const CError&) = delete;
};

/// A text that is given back in the end.
struct CText {
  CText() = default;
  ~CText() { pgsink_free(text); }
  CText(const CText&) = delete;
  CText& operator=(const CText&) = delete;

  char* text = nullptr;
};

/// How many structs are out and not released.
inline std::atomic<int> arrow_out = 0;

/// The schema of a record batch with one column "id" of 64-bit integers.
inline void make_schema(ArrowSchema* to) {
  auto* const id = new ArrowSchema{};
  id->format = "l";
  id->name = "id";
  id->flags = ARROW_FLAG_NULLABLE;
  id->release = [](ArrowSchema* self) { self->release = nullptr; };
  *to = ArrowSchema{};
  to->format = "+s";
  to->name = "";
  to->n_children = 1;
  to->children = new ArrowSchema*[1]{id};
  to->release = [](ArrowSchema* self) {
    delete self->children[0];
    delete[] self->children;
    self->release = nullptr;
    --arrow_out;
  };
  ++arrow_out;
}

/// A record batch with the numbers first, first + 1, ….
inline void make_batch(ArrowArray* to, int64_t first, int64_t count) {
  auto* const values = new int64_t[static_cast<size_t>(count) + 1];
  for (int64_t i = 0; i < count; ++i) values[i] = first + i;
  auto* const id = new ArrowArray{};
  id->length = count;
  id->n_buffers = 2;
  id->buffers = new const void*[2]{nullptr, values};
  id->release = [](ArrowArray* self) { self->release = nullptr; };
  *to = ArrowArray{};
  to->length = count;
  to->n_buffers = 1;
  to->buffers = new const void*[1]{nullptr};
  to->n_children = 1;
  to->children = new ArrowArray*[1]{id};
  to->release = [](ArrowArray* self) {
    delete[] static_cast<const int64_t*>(self->children[0]->buffers[1]);
    delete[] self->children[0]->buffers;
    delete self->children[0];
    delete[] self->children;
    delete[] self->buffers;
    self->release = nullptr;
    --arrow_out;
  };
  ++arrow_out;
}

/// A stream of `batches` batches of `rows` rows each; with `fails`, an error comes after them.
struct StreamState {
  int64_t batches = 0, rows = 0, next = 0;
  bool fails = false;
};
inline void make_stream(ArrowArrayStream* to, StreamState state) {
  to->private_data = new StreamState(state);
  to->get_schema = [](ArrowArrayStream*, ArrowSchema* schema) {
    make_schema(schema);
    return 0;
  };
  to->get_next = [](ArrowArrayStream* self, ArrowArray* batch) {
    auto& at = *static_cast<StreamState*>(self->private_data);
    *batch = ArrowArray{};
    if (at.next == at.batches) return at.fails ? 5 : 0;
    make_batch(batch, at.next * at.rows, at.rows);
    ++at.next;
    return 0;
  };
  to->get_last_error = [](ArrowArrayStream*) { return "the file ends in the middle of a page"; };
  to->release = [](ArrowArrayStream* self) {
    delete static_cast<StreamState*>(self->private_data);
    self->release = nullptr;
    --arrow_out;
  };
  ++arrow_out;
}

class CTest : public testing::Test {
 protected:
  void SetUp() override {
    database_ = shared_server().create_database("c");
    sql("CREATE TABLE t (id bigint PRIMARY KEY)");
    options_.set("host", shared_server().socket_dir())
        .set("port", std::to_string(shared_server().port()))
        .set("database", database_)
        .set("username", "postgres")
        .set("table", "t");
  }
  void TearDown() override { EXPECT_EQ(arrow_out.exchange(0), 0) << "structs are not released"; }

  void sql(const std::string& text) { shared_server().sql(text, database_); }
  std::string scalar(const std::string& text) { return shared_server().scalar(text, database_); }

  pgsink_sink* open(const pgsink_callbacks* callbacks = nullptr) {
    ArrowSchema schema;
    make_schema(&schema);
    pgsink_sink* sink = nullptr;
    CError error;
    const int code =
        pgsink_sink_open(options_.data(), options_.size(), &schema, callbacks, &sink, &error);
    EXPECT_EQ(code, 0) << error.message;
    return sink;
  }
  static int write(pgsink_sink* sink, int64_t first, int64_t count, pgsink_error* error = nullptr,
                   uint64_t position = 0) {
    ArrowArray batch;
    make_batch(&batch, first, count);
    const int code = pgsink_sink_write(sink, nullptr, &batch, position, error);
    EXPECT_EQ(batch.release, nullptr) << "not moved";
    return code;
  }

  std::string database_;
  Options options_;
};

}  // namespace pgsink::test
