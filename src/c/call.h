#pragma once
// What every function of the C interface does around its work: it clears the caller's error, keeps
// exceptions inside, and fills in what failed.

#include <exception>
#include <new>

#include <pgsink/options.h>
#include <pgsink/pgsink_c.h>
#include <pgsink/sink.h>

namespace pgsink::c {

/// begin_call clears what the call before left. False if the struct is not one of this interface:
/// then nothing can be reported but kUsage.
bool begin_call(pgsink_error* error) noexcept;

/// report copies an error into the caller's struct, and returns its number. If there is no memory
/// for its texts, it is kOutOfMemory that is reported.
int report(pgsink_error* to, const Error& error, uint64_t rows_committed) noexcept;
/// report_out_of_memory does the same without memory.
int report_out_of_memory(pgsink_error* to) noexcept;
/// report_unforeseen is for an exception that nobody expects: a bug of this library.
int report_unforeseen(pgsink_error* to, const char* what) noexcept;

/// call runs `body`, which returns a Status. `sink` says how many rows are committed if it fails;
/// null: there is none.
template <typename F>
int call(pgsink_error* error, const Sink* sink, F&& body) noexcept {
  if (!begin_call(error)) return static_cast<int>(Errc::kUsage);
  try {
    const Status done = body();
    if (done) return 0;
    return report(error, done.error(), sink == nullptr ? 0 : sink->metrics().rows_written);
  } catch (const std::bad_alloc&) {
    return report_out_of_memory(error);
  } catch (const std::exception& unforeseen) {
    return report_unforeseen(error, unforeseen.what());
  } catch (...) {
    return report_unforeseen(error, "unknown exception");
  }
}

/// hand_out copies a text for the caller, who frees it.
Status hand_out(std::string_view text, char** to);

}  // namespace pgsink::c
