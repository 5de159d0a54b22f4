#include "shell/engine/json_members.h"

#include <algorithm>

#include "shell/records/json_reader.h"

namespace pgsink::shell {
namespace {

using pgproto::Errc;
using pgproto::fail;
using pgproto::Status;

/// More names would not be read.
constexpr size_t kLeftOutMax = 10;

std::string_view view(duckdb_string_t& text) {
  return {duckdb_string_t_data(&text), duckdb_string_t_length(text)};
}

/// The first characters, for a message.
std::string beginning(std::string_view text) {
  constexpr size_t kShownMax = 100;
  if (text.size() <= kShownMax) return std::string(text);
  size_t end = kShownMax;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
  return std::string(text.substr(0, end)) + "…";
}

bool is_valid(duckdb_vector vector, idx_t row) {
  uint64_t* const validity = duckdb_vector_get_validity(vector);
  return validity == nullptr || duckdb_validity_row_is_valid(validity, row);
}

/// The names of a row; they are the same in all rows, as a rule.
class Names {
 public:
  explicit Names(duckdb_vector lists)
      : lists_(static_cast<duckdb_list_entry*>(duckdb_vector_get_data(lists))),
        texts_(duckdb_list_vector_get_child(lists)) {}

  void go_to(idx_t row) {
    const duckdb_list_entry& list = lists_[row];
    if (list.offset == offset_ && list.length == names_.size()) return;
    offset_ = list.offset;
    names_.clear();
    auto* const texts = static_cast<duckdb_string_t*>(duckdb_vector_get_data(texts_));
    for (idx_t i = 0; i < list.length; ++i) names_.push_back(view(texts[list.offset + i]));
  }
  size_t size() const { return names_.size(); }
  /// size() if there is no such name. Members mostly come in the order of names: `hint` is the
  /// index to look at first.
  size_t find(std::string_view name, size_t hint) const {
    if (hint < names_.size() && names_[hint] == name) return hint;
    return static_cast<size_t>(std::ranges::find(names_, name) - names_.begin());
  }

 private:
  duckdb_list_entry* lists_;
  duckdb_vector texts_;
  idx_t offset_ = 0;
  std::vector<std::string_view> names_;
};

/// The lists that the function returns.
class Lists {
 public:
  Lists(duckdb_vector output, idx_t rows)
      : output_(output),
        entries_(static_cast<duckdb_list_entry*>(duckdb_vector_get_data(output))),
        rows_(rows) {}

  void add(idx_t row, const std::vector<JsonValue>& values) {
    reserve(size_ + values.size());
    entries_[row] = {size_, values.size()};
    auto* const child = duckdb_list_vector_get_child(output_);
    for (const JsonValue& value : values) {
      if (value.kind == JsonKind::kNull) {
        duckdb_vector_ensure_validity_writable(child);
        duckdb_validity_set_row_invalid(duckdb_vector_get_validity(child), size_);
      } else {
        duckdb_vector_assign_string_element_len(child, size_, value.text.data(), value.text.size());
      }
      ++size_;
    }
  }
  void add_null(idx_t row) {
    entries_[row] = {size_, 0};
    duckdb_vector_ensure_validity_writable(output_);
    duckdb_validity_set_row_invalid(duckdb_vector_get_validity(output_), row);
  }
  void finish() { duckdb_list_vector_set_size(output_, size_); }

 private:
  void reserve(idx_t size) {
    if (size <= reserved_) return;
    reserved_ = std::max(size * 2, size / std::max<idx_t>(size_, 1) * rows_);
    duckdb_list_vector_reserve(output_, reserved_);
  }

  duckdb_vector output_;
  duckdb_list_entry* entries_;
  idx_t rows_;
  idx_t size_ = 0, reserved_ = 0;
};

}  // namespace

void JsonMembers::run(duckdb_function_info info, duckdb_data_chunk input, duckdb_vector output) {
  auto& self = *static_cast<JsonMembers*>(duckdb_scalar_function_get_extra_info(info));
  const idx_t rows = duckdb_data_chunk_get_size(input);
  auto* const objects = duckdb_data_chunk_get_vector(input, 0);
  auto* const lists = duckdb_data_chunk_get_vector(input, 1);
  auto* const others = duckdb_data_chunk_get_vector(input, 2);
  auto* const texts = static_cast<duckdb_string_t*>(duckdb_vector_get_data(objects));
  auto* const words = static_cast<duckdb_string_t*>(duckdb_vector_get_data(others));
  Names names(lists);
  Lists out(output, rows);
  JsonReader reader;
  std::vector<JsonValue> values;
  for (idx_t row = 0; row < rows; ++row) {
    if (!is_valid(objects, row) || !is_valid(lists, row)) {
      out.add_null(row);
      continue;
    }
    const std::string_view text = view(texts[row]);
    const auto members = reader.read_object(text);
    if (!members) {
      const std::string message = "json_members: " + members.error() + ": " + beginning(text);
      return duckdb_scalar_function_set_error(info, message.c_str());
    }
    names.go_to(row);
    values.assign(names.size(), {});
    size_t hint = 0;
    for (const JsonMember& member : *members) {
      const size_t at = names.find(member.key, hint);
      hint = at + 1;
      if (at < names.size()) {
        values[at] = member.value;
      } else if (is_valid(others, row) && view(words[row]) == "warn") {
        self.leave_out(member.key);
      }
    }
    out.add(row, values);
  }
  out.finish();
}

void JsonMembers::leave_out(std::string_view name) {
  const std::lock_guard lock(mutex_);
  if (named_ >= kLeftOutMax || left_out_.contains(name)) return;
  left_out_.emplace(name);
  ++named_;
}

std::vector<std::string> JsonMembers::left_out() {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> names(left_out_.begin(), left_out_.end());
  left_out_.clear();
  return names;
}

Status JsonMembers::add_to(duckdb_connection connection) {
  const OwnedScalarFunction function(duckdb_create_scalar_function());
  const OwnedType text(duckdb_create_logical_type(DUCKDB_TYPE_VARCHAR));
  const OwnedType names(duckdb_create_list_type(text.get()));
  const OwnedType value(duckdb_create_logical_type(DUCKDB_TYPE_VARCHAR));
  duckdb_logical_type_set_alias(value.get(), kJsonValueAlias);
  const OwnedType values(duckdb_create_list_type(value.get()));
  duckdb_scalar_function_set_name(function.get(), "json_members");
  duckdb_scalar_function_add_parameter(function.get(), text.get());
  duckdb_scalar_function_add_parameter(function.get(), names.get());
  duckdb_scalar_function_add_parameter(function.get(), text.get());
  duckdb_scalar_function_set_return_type(function.get(), values.get());
  duckdb_scalar_function_set_special_handling(function.get());
  duckdb_scalar_function_set_extra_info(function.get(), this, nullptr);
  duckdb_scalar_function_set_function(function.get(), &JsonMembers::run);
  if (duckdb_register_scalar_function(connection, function.get()) == DuckDBError) {
    return fail(Errc::kInternal, "the SQL engine refuses the function json_members");
  }
  return {};
}

}  // namespace pgsink::shell
