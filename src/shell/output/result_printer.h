#pragma once
// ResultPrinter: prints the rows of a SELECT on standard output, in the format of --format. Rows
// are printed as they come; memory does not grow with the result.

#include <memory>
#include <string>
#include <vector>

#include "shell/engine/cell_text.h"
#include "shell/engine/engine.h"
#include "shell/flags/flags.h"
#include "shell/output/output.h"

namespace pgsink::shell {

/// ResultPrinter prints one result.
class ResultPrinter {
 public:
  virtual ~ResultPrinter() = default;
  virtual void chunk(duckdb_data_chunk chunk) = 0;
  virtual void end() = 0;

 protected:
  ResultPrinter(const std::vector<Column>& columns, Output& out);

  struct Head {
    std::string name;
    CellType type;
  };
  std::vector<Head> heads_;
  Output& out_;
};

/// The printer of a format.
///   table: columns aligned, numbers to the right, a line with the count of rows. The widths come
///          from the first 1000 rows; later values that are wider stick out.
///   csv:   RFC 4180 with a line of names; NULL is empty, an empty text is "".
///   json:  an array of objects; jsonl: one object a line; line: a line for each value.
std::unique_ptr<ResultPrinter> make_printer(Format format, const std::vector<Column>& columns,
                                            Output& out);

}  // namespace pgsink::shell
