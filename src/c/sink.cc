// The functions of pgsink_c.h.

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <pgsink/arrow.h>
#include <pgsink/pgsink_c.h>
#include <pgsink/sink.h>

#include "c/call.h"
#include "c/handle.h"
#include "c/json.h"
#include "c/options.h"

using pgsink::Errc;
using pgsink::fail;
using pgsink::Result;
using pgsink::Status;
using pgsink::c::call;
using pgsink::c::Moved;

namespace {

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

Status open(const pgsink_option* options, size_t count, ArrowSchema* schema,
            const pgsink_callbacks* callbacks, pgsink_sink** sink) {
  if (sink == nullptr) return fail(Errc::kUsage, "the place for the sink is NULL");
  auto bound = pgsink::c::bind_options(options, count, callbacks);
  if (!bound) return fail(bound.error());
  auto imported = pgsink::import_arrow_schema(schema);
  if (!imported) return fail(imported.error());
  auto opened = pgsink::Sink::open(*std::move(bound), *imported);
  if (!opened) return fail(opened.error());
  *sink = new pgsink_sink{*std::move(imported), *std::move(opened)};
  return {};
}

Result<std::string> stream_name(const char* stream) {
  if (stream == nullptr) return fail(Errc::kUsage, "the name of a stream is NULL");
  return std::string(stream);
}

Result<std::vector<std::string>> stream_names(const char* const* streams, size_t count) {
  if (streams == nullptr && count > 0) return fail(Errc::kUsage, "the names of streams are NULL");
  std::vector<std::string> names;
  for (size_t i = 0; i < count; ++i) {
    auto name = stream_name(streams[i]);
    if (!name) return fail(name.error());
    names.push_back(*std::move(name));
  }
  return names;
}

Status claim(pgsink::Sink& sink, const char* const* streams, size_t count, uint64_t* positions) {
  auto names = stream_names(streams, count);
  if (!names) return fail(names.error());
  if (positions == nullptr && count > 0) {
    return fail(Errc::kUsage, "the place for the positions is NULL");
  }
  std::vector<pgsink::StreamStart> starts;
  starts.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    starts.push_back({.stream = (*names)[i], .position = positions[i]});
  }
  const auto claimed = sink.claim(starts);
  if (!claimed) return fail(claimed.error());
  for (const pgsink::StreamPosition& one : *claimed) {
    positions[std::ranges::find(*names, one.stream) - names->begin()] = one.position;
  }
  return {};
}

/// `stream` is "" without streams.
Status write(pgsink_sink& to, std::string stream, ArrowSchema* schema, ArrowArray* batch,
             uint64_t position) {
  Result<std::shared_ptr<const pgsink::Schema>> given = to.schema;
  if (schema != nullptr) given = pgsink::import_arrow_schema(schema);
  if (!given) return fail(given.error());
  if (*given == nullptr) {
    return fail(Errc::kUsage, "the part was opened without a schema: pass that of the batch");
  }
  auto imported = pgsink::import_arrow_batch(*std::move(given), batch);
  if (!imported) return fail(imported.error());
  imported->position = position;
  imported->stream = std::move(stream);
  return to.sink->write(*std::move(imported));
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
  return call_sink(sink, error,
                   [&](pgsink::Sink&) { return write(*sink, {}, schema, batch, position); });
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

// ---- streams ------------------------------------------------------------------------------------

int pgsink_sink_claim(pgsink_sink* sink, const char* const* streams, size_t count,
                      uint64_t* positions, pgsink_error* error) {
  return call_sink(sink, error,
                   [&](pgsink::Sink& target) { return claim(target, streams, count, positions); });
}

int pgsink_sink_write_claimed(pgsink_sink* sink, const char* stream, ArrowSchema* schema,
                              ArrowArray* batch, uint64_t position, pgsink_error* error) {
  const Moved<ArrowSchema> moved_schema(schema);
  const Moved<ArrowArray> moved_batch(batch);
  return call_sink(sink, error, [&](pgsink::Sink&) -> Status {
    auto name = stream_name(stream);
    if (!name) return fail(name.error());
    return write(*sink, *std::move(name), schema, batch, position);
  });
}

int pgsink_sink_release(pgsink_sink* sink, const char* const* streams, size_t count, int discard,
                        pgsink_error* error) {
  return call_sink(sink, error, [&](pgsink::Sink& target) -> Status {
    const auto names = stream_names(streams, count);
    if (!names) return fail(names.error());
    return target.release(
        *names, discard == 0 ? pgsink::ReleaseMode::kDrain : pgsink::ReleaseMode::kDiscard);
  });
}

uint64_t pgsink_sink_stream_position(const pgsink_sink* sink, const char* stream) {
  return sink == nullptr || stream == nullptr ? 0 : sink->sink->stream_position(stream);
}

int pgsink_sink_stream_status(pgsink_sink* sink, const char* stream, pgsink_error* error) {
  return call_sink(sink, error, [&](pgsink::Sink& target) -> Status {
    const auto name = stream_name(stream);
    return name ? target.stream_status(*name) : fail(name.error());
  });
}
