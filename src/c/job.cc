// The functions of pgsink_c.h for jobs.

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <pgsink/arrow.h>
#include <pgsink/job.h>
#include <pgsink/pgsink_c.h>

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

struct pgsink_job {
  std::unique_ptr<pgsink::Job> job;
};

namespace {

Result<pgsink::JobOptions> job_options(const pgsink_job_options* given) {
  pgsink::JobOptions options;
  if (given == nullptr) return options;
  if (given->size < sizeof(pgsink_job_options)) {
    return fail(Errc::kUsage, "pgsink_job_options.size is too small: set it to its sizeof");
  }
  options.epoch = given->epoch;
  options.replace = given->replace != 0;
  if (given->host != nullptr) options.host = given->host;
  const std::string_view atomic = given->atomic == nullptr ? "auto" : given->atomic;
  struct Word {
    std::string_view word;
    pgsink::Atomic meaning;
  };
  static constexpr Word kWords[] = {{"auto", pgsink::Atomic::kAuto},
                                    {"staging", pgsink::Atomic::kStaging},
                                    {"2pc", pgsink::Atomic::kTwoPhase},
                                    {"none", pgsink::Atomic::kNone}};
  for (const auto& [word, meaning] : kWords) {
    if (word != atomic) continue;
    options.atomic = meaning;
    return options;
  }
  return fail(Errc::kOptionValue, "atomic: use one of auto, staging, 2pc, none");
}

/// The options of a job. Its name is the option sink_id, in modes too where a sink has none.
Result<pgsink::SinkOptions> bind(const pgsink_option* options, size_t count,
                                 const pgsink_callbacks* callbacks) {
  std::vector<pgsink_option> others;
  std::string sink_id;
  for (size_t i = 0; options != nullptr && i < count; ++i) {
    const bool name = options[i].key != nullptr && std::string_view(options[i].key) == "sink_id";
    if (name && options[i].value != nullptr) {
      sink_id = options[i].value;
    } else {
      others.push_back(options[i]);
    }
  }
  if (options == nullptr && count > 0) return fail(Errc::kUsage, "the options are NULL");
  auto bound = pgsink::c::bind_options(others.data(), others.size(), callbacks);
  if (bound) bound->sink_id = std::move(sink_id);
  return bound;
}

template <typename F>
int call_job(pgsink_job* job, pgsink_error* error, F&& body) {
  return call(error, nullptr, [&]() -> Status {
    if (job == nullptr) return fail(Errc::kUsage, "the job is NULL");
    return std::forward<F>(body)(*job->job);
  });
}

Status hold(Result<std::unique_ptr<pgsink::Job>> opened, pgsink_job** to) {
  if (!opened) return fail(opened.error());
  *to = new pgsink_job{*std::move(opened)};
  return {};
}

}  // namespace

int pgsink_job_open(const pgsink_option* options, size_t count, ArrowSchema* schema,
                    const pgsink_job_options* job, pgsink_job** opened, pgsink_error* error) {
  if (opened != nullptr) *opened = nullptr;
  const Moved<ArrowSchema> moved(schema);
  return call(error, nullptr, [&]() -> Status {
    if (opened == nullptr) return fail(Errc::kUsage, "the place for the job is NULL");
    auto bound = bind(options, count, nullptr);
    if (!bound) return fail(bound.error());
    auto given = job_options(job);
    if (!given) return fail(given.error());
    auto imported = pgsink::import_arrow_schema(schema);
    if (!imported) return fail(imported.error());
    return hold(pgsink::Job::open(*std::move(bound), *std::move(imported), *std::move(given)),
                opened);
  });
}

int pgsink_job_resume(const pgsink_option* options, size_t count, const char* ticket,
                      pgsink_job** opened, pgsink_error* error) {
  if (opened != nullptr) *opened = nullptr;
  return call(error, nullptr, [&]() -> Status {
    if (opened == nullptr) return fail(Errc::kUsage, "the place for the job is NULL");
    if (ticket == nullptr) return fail(Errc::kUsage, "the ticket is NULL");
    auto bound = bind(options, count, nullptr);
    if (!bound) return fail(bound.error());
    return hold(pgsink::Job::resume(*std::move(bound), ticket), opened);
  });
}

const char* pgsink_job_ticket(const pgsink_job* job) {
  return job == nullptr ? "" : job->job->ticket().c_str();
}

uint64_t pgsink_job_epoch(const pgsink_job* job) { return job == nullptr ? 0 : job->job->epoch(); }

int pgsink_job_committed(const pgsink_job* job) {
  return job != nullptr && job->job->committed() ? 1 : 0;
}

int pgsink_job_number(pgsink_job* job, uint64_t epoch, const char* host, pgsink_error* error) {
  return call_job(job, error, [&](pgsink::Job& driver) {
    return driver.number(epoch, host == nullptr ? "" : host);
  });
}

int pgsink_job_commit(pgsink_job* job, const char* const* tokens, size_t count, char** report,
                      pgsink_error* error) {
  if (report != nullptr) *report = nullptr;
  return call_job(job, error, [&](pgsink::Job& driver) -> Status {
    std::vector<std::string> texts;
    texts.reserve(count);
    for (size_t i = 0; i < count; ++i) {
      if (tokens[i] == nullptr) return fail(Errc::kUsage, "a token is NULL");
      texts.emplace_back(tokens[i]);
    }
    const auto done = driver.commit(texts);
    if (!done) return fail(done.error());
    return report == nullptr ? Status()
                             : pgsink::c::hand_out(pgsink::c::report_as_json(*done), report);
  });
}

int pgsink_job_abort(pgsink_job* job, pgsink_error* error) {
  return call_job(job, error, [](pgsink::Job& driver) { return driver.abort(); });
}

void pgsink_job_free(pgsink_job* job) { delete job; }

int pgsink_part_open(const pgsink_option* options, size_t count, const char* ticket,
                     uint32_t partition, ArrowSchema* schema, const pgsink_callbacks* callbacks,
                     pgsink_sink** part, pgsink_error* error) {
  if (part != nullptr) *part = nullptr;
  const Moved<ArrowSchema> moved(schema);
  return call(error, nullptr, [&]() -> Status {
    if (part == nullptr) return fail(Errc::kUsage, "the place for the part is NULL");
    if (ticket == nullptr) return fail(Errc::kUsage, "the ticket is NULL");
    auto bound = bind(options, count, callbacks);
    if (!bound) return fail(bound.error());
    Result<std::shared_ptr<const pgsink::Schema>> imported = nullptr;
    if (schema != nullptr) imported = pgsink::import_arrow_schema(schema);
    if (!imported) return fail(imported.error());
    auto opened = pgsink::open_part(*std::move(bound), ticket, partition, *imported);
    if (!opened) return fail(opened.error());
    *part = new pgsink_sink{*std::move(imported), *std::move(opened)};
    return {};
  });
}

int pgsink_part_finish(pgsink_sink* part, char** token, pgsink_error* error) {
  const pgsink::Sink* const sink = part == nullptr ? nullptr : part->sink.get();
  return call(error, sink, [&]() -> Status {
    if (part == nullptr) return fail(Errc::kUsage, "the part is NULL");
    const auto text = pgsink::finish_part(*part->sink);
    return text ? pgsink::c::hand_out(*text, token) : fail(text.error());
  });
}
