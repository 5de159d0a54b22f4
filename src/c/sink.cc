// The functions of pgsink_c.h.

#include <memory>
#include <utility>

#include <pgsink/arrow.h>
#include <pgsink/pgsink_c.h>
#include <pgsink/sink.h>

#include "c/call.h"
#include "c/json.h"
#include "c/options.h"

using pgsink::Errc;
using pgsink::fail;
using pgsink::Result;
using pgsink::Status;
using pgsink::c::call;

struct pgsink_sink {
  std::shared_ptr<const pgsink::Schema> schema;
  std::unique_ptr<pgsink::Sink> sink;
};

namespace {

/// Releases a struct of Arrow at the end of a call that did not come to taking it over.
template <typename T>
class Moved {
 public:
  explicit Moved(T* owned) : owned_(owned) {}
  ~Moved() {
    if (owned_ != nullptr && owned_->release != nullptr) owned_->release(owned_);
  }
  Moved(const Moved&) = delete;
  Moved& operator=(const Moved&) = delete;

 private:
  T* owned_;
};

const pgsink::Sink* inside(const pgsink_sink* sink) {
  return sink == nullptr ? nullptr : sink->sink.get();
}

std::unexpected<pgsink::Error> no_sink() { return fail(Errc::kUsage, "the sink is NULL"); }

/// Runs `body` with the sink, which may be NULL by mistake.
template <typename F>
int call_sink(pgsink_sink* sink, pgsink_error* error, F&& body) {
  return call(error, inside(sink), [&]() -> Status {
    if (sink == nullptr) return no_sink();
    return std::forward<F>(body)(*sink->sink);
  });
}

/// The callback of the sink for one of C.
pgsink::DeadLetterCallback dead_letter_callback(const pgsink_callbacks& callbacks) {
  return [function = callbacks.on_dead_letters,
          context = callbacks.context](std::span<const pgsink::DeadLetter> letters) -> Status {
    const std::string json = pgsink::c::letters_as_json(letters);
    const int refused = function(context, json.c_str(), json.size());
    if (refused == 0) return {};
    return fail(Errc::kRowRejected, "on_dead_letters returned " + std::to_string(refused) +
                                        " for " + std::to_string(letters.size()) +
                                        " rejected rows, the first of which is input row " +
                                        std::to_string(letters.front().input_row) + ": " +
                                        letters.front().message);
  };
}

Status open(const pgsink_option* options, size_t count, ArrowSchema* schema,
            const pgsink_callbacks* callbacks, pgsink_sink** sink) {
  if (sink == nullptr) return fail(Errc::kUsage, "the place for the sink is NULL");
  auto bound = pgsink::c::bind_options(options, count);
  if (!bound) return fail(bound.error());
  if (callbacks != nullptr) {
    if (callbacks->size < sizeof(pgsink_callbacks)) {
      return fail(Errc::kUsage, "pgsink_callbacks.size is too small: set it to its sizeof");
    }
    if (callbacks->on_dead_letters != nullptr) {
      bound->on_dead_letters = dead_letter_callback(*callbacks);
    }
  }
  auto imported = pgsink::import_arrow_schema(schema);
  if (!imported) return fail(imported.error());
  auto opened = pgsink::Sink::open(*std::move(bound), *imported);
  if (!opened) return fail(opened.error());
  auto made = std::make_unique<pgsink_sink>();
  made->schema = *std::move(imported);
  made->sink = *std::move(opened);
  *sink = made.release();
  return {};
}

Status write_stream(pgsink::Sink& sink, ArrowArrayStream* stream, uint64_t position,
                    uint64_t& rows) {
  auto opened = pgsink::ArrowStream::open(stream);
  if (!opened) return fail(opened.error());
  for (;;) {
    auto batch = opened->next();
    if (!batch) return fail(batch.error());
    if (!*batch) return {};
    const size_t count = (*batch)->row_count();
    (*batch)->position = position;
    if (position > 0) ++position;
    if (auto written = sink.write(**std::move(batch)); !written) return written;
    rows += count;
  }
}

}  // namespace

int pgsink_abi_version() { return PGSINK_C_ABI; }

const char* pgsink_version() { return PGSINK_VERSION; }

int pgsink_options_json(char** json, pgsink_error* error) {
  return call(error, nullptr, [&] { return pgsink::c::hand_out(pgsink::option_json(), json); });
}

int pgsink_test(const pgsink_option* options, size_t count, pgsink_error* error) {
  return call(error, nullptr, [&]() -> Status {
    const auto bound = pgsink::c::bind_options(options, count);
    return bound ? pgsink::test_connection(*bound) : fail(bound.error());
  });
}

int pgsink_describe_json(const pgsink_option* options, size_t count, char** json,
                         pgsink_error* error) {
  return call(error, nullptr, [&]() -> Status {
    const auto bound = pgsink::c::bind_options(options, count);
    if (!bound) return fail(bound.error());
    const auto columns = pgsink::describe_target(*bound);
    if (!columns) return fail(columns.error());
    return pgsink::c::hand_out(pgsink::c::columns_as_json(*columns), json);
  });
}

int pgsink_sink_open(const pgsink_option* options, size_t count, ArrowSchema* schema,
                     const pgsink_callbacks* callbacks, pgsink_sink** sink, pgsink_error* error) {
  if (sink != nullptr) *sink = nullptr;
  const Moved<ArrowSchema> moved(schema);
  return call(error, nullptr, [&] { return open(options, count, schema, callbacks, sink); });
}

int pgsink_sink_write(pgsink_sink* sink, ArrowSchema* schema, ArrowArray* batch, uint64_t position,
                      pgsink_error* error) {
  const Moved<ArrowSchema> moved_schema(schema);
  const Moved<ArrowArray> moved_batch(batch);
  return call_sink(sink, error, [&](pgsink::Sink& target) -> Status {
    Result<std::shared_ptr<const pgsink::Schema>> given = sink->schema;
    if (schema != nullptr) given = pgsink::import_arrow_schema(schema);
    if (!given) return fail(given.error());
    auto imported = pgsink::import_arrow_batch(*std::move(given), batch);
    if (!imported) return fail(imported.error());
    imported->position = position;
    return target.write(*std::move(imported));
  });
}

int pgsink_sink_write_stream(pgsink_sink* sink, ArrowArrayStream* stream, uint64_t position,
                             uint64_t* rows, pgsink_error* error) {
  const Moved<ArrowArrayStream> moved(stream);
  uint64_t accepted = 0;
  const int code = call_sink(sink, error, [&](pgsink::Sink& target) {
    return write_stream(target, stream, position, accepted);
  });
  if (rows != nullptr) *rows = accepted;
  return code;
}

int pgsink_sink_flush(pgsink_sink* sink, pgsink_error* error) {
  return call_sink(sink, error, [](pgsink::Sink& target) { return target.flush(); });
}

int pgsink_sink_close(pgsink_sink* sink, pgsink_error* error) {
  return call_sink(sink, error, [](pgsink::Sink& target) { return target.close(); });
}

int pgsink_sink_finish(pgsink_sink* sink, pgsink_error* error) {
  return call_sink(sink, error, [](pgsink::Sink& target) { return target.finish(); });
}

void pgsink_sink_interrupt(pgsink_sink* sink) {
  if (sink != nullptr) sink->sink->interrupt();
}

void pgsink_sink_free(pgsink_sink* sink) { delete sink; }

int pgsink_sink_status(pgsink_sink* sink, pgsink_error* error) {
  return call_sink(sink, error, [](pgsink::Sink& target) { return target.status(); });
}

uint64_t pgsink_sink_durable_position(const pgsink_sink* sink) {
  return sink == nullptr ? 0 : sink->sink->durable_position();
}

int pgsink_sink_metrics_json(const pgsink_sink* sink, char** json, pgsink_error* error) {
  return call(error, nullptr, [&]() -> Status {
    if (sink == nullptr) return no_sink();
    return pgsink::c::hand_out(pgsink::c::metrics_as_json(sink->sink->metrics()), json);
  });
}

int pgsink_sink_warnings_json(const pgsink_sink* sink, char** json, pgsink_error* error) {
  return call(error, nullptr, [&]() -> Status {
    if (sink == nullptr) return no_sink();
    return pgsink::c::hand_out(pgsink::c::texts_as_json(sink->sink->warnings()), json);
  });
}

int pgsink_sink_recover(pgsink_sink* sink, uint64_t last_committed_epoch, uint64_t* epoch,
                        uint64_t* position, pgsink_error* error) {
  return call_sink(sink, error, [&](pgsink::Sink& target) -> Status {
    const auto recovered = target.recover(last_committed_epoch);
    if (!recovered) return fail(recovered.error());
    if (epoch != nullptr) *epoch = recovered->epoch;
    if (position != nullptr) *position = recovered->position;
    return {};
  });
}

int pgsink_sink_prepare(pgsink_sink* sink, uint64_t epoch, pgsink_error* error) {
  return call_sink(sink, error, [&](pgsink::Sink& target) { return target.prepare(epoch); });
}

int pgsink_sink_commit(pgsink_sink* sink, uint64_t epoch, pgsink_error* error) {
  return call_sink(sink, error, [&](pgsink::Sink& target) { return target.commit(epoch); });
}

int pgsink_sink_abort(pgsink_sink* sink, uint64_t epoch, pgsink_error* error) {
  return call_sink(sink, error, [&](pgsink::Sink& target) { return target.abort(epoch); });
}
