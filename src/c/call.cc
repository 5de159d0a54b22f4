#include "c/call.h"

#include <cstdlib>
#include <cstring>
#include <iterator>

#include "pgsink/options/retry.h"

namespace pgsink::c {
namespace {

/// The struct of the first version of this interface: a caller never has a smaller one.
constexpr size_t kErrorBytesMin = sizeof(pgsink_error);

void reset(pgsink_error& error) noexcept {
  const size_t size = error.size;
  error = PGSINK_ERROR_INIT;
  error.size = size;
}

}  // namespace

bool begin_call(pgsink_error* error) noexcept {
  if (error == nullptr) return true;
  if (error->size < kErrorBytesMin) return false;
  std::free(error->owned);
  reset(*error);
  return true;
}

int report_out_of_memory(pgsink_error* to) noexcept {
  if (to != nullptr) {
    to->code = static_cast<uint32_t>(Errc::kOutOfMemory);
    to->message = "out of memory";
  }
  return static_cast<int>(Errc::kOutOfMemory);
}

int report(pgsink_error* to, const Error& error, uint64_t rows_committed) noexcept {
  if (to == nullptr) return static_cast<int>(error.code);
  const std::string* const texts[] = {&error.message, &error.detail,    &error.hint,
                                      &error.where,   &error.schema,    &error.table,
                                      &error.column,  &error.constraint};
  const char** const members[] = {&to->message, &to->detail, &to->hint,   &to->where,
                                  &to->schema,  &to->table,  &to->column, &to->constraint};
  size_t bytes = 0;
  for (const std::string* text : texts) bytes += text->size() + 1;
  auto* const block = static_cast<char*>(std::malloc(bytes));
  to->rows_committed = rows_committed;
  if (block == nullptr) return report_out_of_memory(to);
  to->owned = block;
  char* at = block;
  for (size_t i = 0; i < std::size(texts); ++i) {
    std::memcpy(at, texts[i]->c_str(), texts[i]->size() + 1);
    *members[i] = at;
    at += texts[i]->size() + 1;
  }
  to->code = static_cast<uint32_t>(error.code);
  to->sent = error.sent ? 1 : 0;
  to->retryable = is_transient(error) ? 1 : 0;
  std::memcpy(to->sqlstate, error.sqlstate.code.data(), error.sqlstate.code.size());
  return static_cast<int>(error.code);
}

int report_unforeseen(pgsink_error* to, const char* what) noexcept {
  try {
    return report(to, fail(Errc::kInternal, std::string("unforeseen: ") + what).error(), 0);
  } catch (...) {
    return report_out_of_memory(to);
  }
}

Status hand_out(std::string_view text, char** to) {
  if (to == nullptr) return fail(Errc::kUsage, "the place for the text is NULL");
  auto* const copy = static_cast<char*>(std::malloc(text.size() + 1));
  if (copy == nullptr) return fail(Errc::kOutOfMemory, "out of memory");
  std::memcpy(copy, text.data(), text.size());
  copy[text.size()] = '\0';
  *to = copy;
  return {};
}

}  // namespace pgsink::c

void pgsink_error_clear(pgsink_error* error) { pgsink::c::begin_call(error); }

void pgsink_free(char* text) { std::free(text); }
