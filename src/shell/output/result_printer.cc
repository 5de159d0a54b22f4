#include "shell/output/result_printer.h"

#include <algorithm>

#include "shell/text/display_width.h"

namespace pgsink::shell {

ResultPrinter::ResultPrinter(const std::vector<Column>& columns, Output& out) : out_(out) {
  for (const Column& column : columns) {
    heads_.push_back({column.name, CellType::of(column.type.get())});
  }
}

namespace {

class TablePrinter : public ResultPrinter {
 public:
  TablePrinter(const std::vector<Column>& columns, Output& out) : ResultPrinter(columns, out) {
    for (const Head& head : heads_) widths_.push_back(display_width(printable(head.name)));
  }

  void chunk(duckdb_data_chunk chunk) override {
    const idx_t rows = duckdb_data_chunk_get_size(chunk);
    for (idx_t row = 0; row < rows; ++row) {
      Cells cells;
      for (size_t i = 0; i < heads_.size(); ++i) {
        std::string text;
        CellColumn{heads_[i].type, duckdb_data_chunk_get_vector(chunk, i)}.append(
            text, row, CellStyle::kPlain);
        cells.push_back(lines_of(text));
        for (const std::string& line : cells.back()) {
          if (!head_printed_) widths_[i] = std::max(widths_[i], display_width(line));
        }
      }
      ++count_;
      if (head_printed_) {
        print(cells);
      } else {
        waiting_.push_back(std::move(cells));
        if (waiting_.size() == kRowsMeasured) release();
      }
    }
  }

  void end() override {
    release();
    out_.write("(" + std::to_string(count_) + (count_ == 1 ? " row)\n" : " rows)\n"));
  }

 private:
  using Cells = std::vector<std::vector<std::string>>;  ///< For one row: the lines of each cell.
  static constexpr size_t kRowsMeasured = 1000;

  /// Prints the head and the rows that were held back to compute the widths.
  void release() {
    if (head_printed_) return;
    head_printed_ = true;
    std::string names;
    std::string rule;
    for (size_t i = 0; i < heads_.size(); ++i) {
      names += i == 0 ? " " : "| ";
      const std::string name = printable(heads_[i].name);
      names += aligned(name, i) + " ";
      rule += (i == 0 ? "" : "+") + std::string(widths_[i] + 2, '-');
    }
    trim(names);
    out_.write(names + "\n" + rule + "\n");
    for (const auto& row : waiting_) print(row);
    waiting_.clear();
  }

  /// A row takes as many lines as its tallest cell; '+' marks a cell that continues in the next
  /// line.
  void print(const Cells& cells) {
    size_t height = 1;
    for (const auto& cell : cells) height = std::max(height, cell.size());
    for (size_t at = 0; at < height; ++at) {
      std::string line;
      for (size_t i = 0; i < cells.size(); ++i) {
        line += i == 0 ? " " : "| ";
        line += aligned(at < cells[i].size() ? cells[i][at] : "", i);
        line += at + 1 < cells[i].size() ? '+' : ' ';
      }
      trim(line);
      out_.write(line += '\n');
    }
  }

  static std::vector<std::string> lines_of(std::string_view text) {
    std::vector<std::string> lines;
    while (true) {
      const size_t end = text.find('\n');
      lines.push_back(printable(text.substr(0, end)));
      if (end == std::string_view::npos) return lines;
      text.remove_prefix(end + 1);
    }
  }

  std::string aligned(const std::string& text, size_t column) const {
    const size_t width = display_width(text);
    const std::string gap(widths_[column] > width ? widths_[column] - width : 0, ' ');
    return heads_[column].type.is_number() ? gap + text : text + gap;
  }

  static void trim(std::string& line) { line.erase(line.find_last_not_of(' ') + 1); }

  std::vector<size_t> widths_;
  std::vector<Cells> waiting_;
  bool head_printed_ = false;
  uint64_t count_ = 0;
};

class CsvPrinter : public ResultPrinter {
 public:
  CsvPrinter(const std::vector<Column>& columns, Output& out) : ResultPrinter(columns, out) {
    std::string line;
    for (size_t i = 0; i < heads_.size(); ++i) {
      if (i > 0) line += ',';
      append(line, heads_[i].name);
    }
    out_.write(line += '\n');
  }

  void chunk(duckdb_data_chunk chunk) override {
    const idx_t rows = duckdb_data_chunk_get_size(chunk);
    std::string lines;
    for (idx_t row = 0; row < rows; ++row) {
      for (size_t i = 0; i < heads_.size(); ++i) {
        if (i > 0) lines += ',';
        const CellColumn cell{heads_[i].type, duckdb_data_chunk_get_vector(chunk, i)};
        if (cell.is_null(row)) continue;
        std::string text;
        cell.append(text, row, CellStyle::kPlain);
        append(lines, text);
      }
      lines += '\n';
    }
    out_.write(lines);
  }

  void end() override {}

 private:
  static void append(std::string& line, const std::string& text) {
    // Without quotes an empty text, or a lone \. , would mean something else.
    if (!text.empty() && text != "\\." && text.find_first_of(",\"\r\n") == std::string::npos) {
      line += text;
      return;
    }
    line += '"';
    for (const char c : text) {
      line += c;
      if (c == '"') line += c;
    }
    line += '"';
  }
};

class JsonPrinter : public ResultPrinter {
 public:
  JsonPrinter(const std::vector<Column>& columns, Output& out, bool lines)
      : ResultPrinter(columns, out), lines_(lines) {
    if (!lines_) out_.write("[");
  }

  void chunk(duckdb_data_chunk chunk) override {
    const idx_t rows = duckdb_data_chunk_get_size(chunk);
    std::string text;
    for (idx_t row = 0; row < rows; ++row) {
      if (!lines_) text += first_ ? "\n" : ",\n";
      first_ = false;
      for (size_t i = 0; i < heads_.size(); ++i) {
        text += i == 0 ? '{' : ',';
        append_json_string(text, heads_[i].name);
        text += ':';
        CellColumn{heads_[i].type, duckdb_data_chunk_get_vector(chunk, i)}.append(text, row,
                                                                                  CellStyle::kJson);
      }
      text += lines_ ? "}\n" : "}";
    }
    out_.write(text);
  }

  void end() override {
    if (!lines_) out_.write(first_ ? "]\n" : "\n]\n");
  }

 private:
  bool lines_;
  bool first_ = true;
};

class LinePrinter : public ResultPrinter {
 public:
  LinePrinter(const std::vector<Column>& columns, Output& out) : ResultPrinter(columns, out) {
    for (const Head& head : heads_) width_ = std::max(width_, display_width(printable(head.name)));
  }

  void chunk(duckdb_data_chunk chunk) override {
    const idx_t rows = duckdb_data_chunk_get_size(chunk);
    std::string text;
    for (idx_t row = 0; row < rows; ++row) {
      if (!first_) text += '\n';
      first_ = false;
      for (size_t i = 0; i < heads_.size(); ++i) {
        const std::string name = printable(heads_[i].name);
        std::string value;
        CellColumn{heads_[i].type, duckdb_data_chunk_get_vector(chunk, i)}.append(
            value, row, CellStyle::kPlain);
        text += std::string(width_ - display_width(name), ' ') + name + " = " + printable(value);
        text += '\n';
      }
    }
    out_.write(text);
  }

  void end() override {}

 private:
  size_t width_ = 0;
  bool first_ = true;
};

}  // namespace

std::unique_ptr<ResultPrinter> make_printer(Format format, const std::vector<Column>& columns,
                                            Output& out) {
  switch (format) {
    case Format::kCsv:
      return std::make_unique<CsvPrinter>(columns, out);
    case Format::kJson:
      return std::make_unique<JsonPrinter>(columns, out, false);
    case Format::kJsonLines:
      return std::make_unique<JsonPrinter>(columns, out, true);
    case Format::kLine:
      return std::make_unique<LinePrinter>(columns, out);
    case Format::kTable:
      break;
  }
  return std::make_unique<TablePrinter>(columns, out);
}

}  // namespace pgsink::shell
