#pragma once
// The functions that make a row of the table of options: how a row stores its member.

#include <type_traits>
#include <utility>

#include <pgsink/options.h>

#include "pgsink/options/values.h"

namespace pgsink {

template <auto Member, auto Read>
Status store_read(const OptionValue& value, const OptionInfo& info, SinkOptions& options) {
  auto read = Read(value, info);
  if (!read) return std::unexpected(std::move(read.error()));
  options.*Member = std::move(*read);
  return {};
}

template <auto Member>
Status store_choice(const OptionValue& value, const OptionInfo& info, SinkOptions& options) {
  const auto choice = read_choice(value, info);
  if (!choice) return std::unexpected(choice.error());
  using Stored = std::remove_reference_t<decltype(options.*Member)>;
  if constexpr (std::is_same_v<Stored, std::string>) {
    options.*Member = choice->spelling;
  } else if constexpr (std::is_enum_v<Stored>) {
    options.*Member = static_cast<Stored>(choice->index);
  } else {
    options.*Member = static_cast<Stored::value_type>(choice->index);
  }
  return {};
}

template <auto Member>
bool differs(const SinkOptions& options) {
  return options.*Member != SinkOptions{}.*Member;
}

template <auto Member, auto Read>
consteval OptionInfo read_by(OptionType type, OptionInfo row) {
  row.type = type;
  row.store = store_read<Member, Read>;
  row.is_set = differs<Member>;
  return row;
}

template <auto Member>
consteval OptionInfo text(OptionInfo row) {
  return read_by<Member, read_text>(OptionType::kText, row);
}
template <auto Member>
consteval OptionInfo integer(OptionInfo row) {
  return read_by<Member, read_integer>(OptionType::kInteger, row);
}
template <auto Member>
consteval OptionInfo boolean(OptionInfo row) {
  return read_by<Member, read_boolean>(OptionType::kBoolean, row);
}
template <auto Member>
consteval OptionInfo columns(OptionInfo row) {
  return read_by<Member, read_names>(OptionType::kColumns, row);
}
/// The choices are in the order of the enumerators.
template <auto Member>
consteval OptionInfo choice(OptionInfo row) {
  row.type = OptionType::kChoice;
  row.store = store_choice<Member>;
  row.is_set = differs<Member>;
  return row;
}

}  // namespace pgsink
