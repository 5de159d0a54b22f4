#pragma once
// Faults: everything that keeps rows from getting into a table, in one error, with the SQL that
// would fix it.

#include <string>

#include <pgproto/error.h>

namespace pgsink {

using pgproto::Errc;
using pgproto::Error;

class Faults {
 public:
  /// `mend` is an SQL statement that would fix the fault; "" if there is none.
  void add(Errc code, const std::string& message, const std::string& mend = {}) {
    if (text_.empty()) code_ = code;
    text_ += (text_.empty() ? "" : "; ") + message;
    if (!mend.empty()) mends_ += " " + mend + ";";
  }
  void add(const Error& error, const std::string& mend = {}) {
    add(error.code, error.message, mend);
  }
  bool any() const { return !text_.empty(); }
  /// The first fault's code names the error.
  Error error(const std::string& table) const {
    Error error;
    error.code = code_;
    error.message = "table " + table + ": " + text_;
    if (!mends_.empty()) error.message += ". To fix it:" + mends_;
    return error;
  }

 private:
  Errc code_ = Errc::kInternal;
  std::string text_, mends_;
};

}  // namespace pgsink
