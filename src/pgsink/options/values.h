#pragma once
// Readers that turn an option's value into a member of SinkOptions. Every reader fails with a
// message that names the option and its allowed values, and never contains the value itself: it may
// come from a secret.

#include <string>
#include <string_view>
#include <vector>

#include <pgsink/options.h>

namespace pgsink {

/// Any text: no NUL, and valid UTF-8 unless the option is a secret (a password may be any bytes;
/// the server checks it).
Result<std::string> read_text(const OptionValue& value, const OptionInfo& info);
/// A whole number within [min, max], also written as text.
Result<int64_t> read_integer(const OptionValue& value, const OptionInfo& info);
/// A number within [min, max], also written as text.
Result<double> read_decimal(const OptionValue& value, const OptionInfo& info);
/// true or false, also written as text.
Result<bool> read_boolean(const OptionValue& value, const OptionInfo& info);

/// Choice is one of info.choices: its index, and its spelling there.
struct Choice {
  size_t index = 0;
  std::string_view spelling;
};
Result<Choice> read_choice(const OptionValue& value, const OptionInfo& info);
/// Names separated by commas: blanks around them are ignored, names with commas, blanks or quotes
/// need double quotes ("a""b" is a"b), and case is kept. At least one, no duplicates.
Result<std::vector<std::string>> read_names(const OptionValue& value, const OptionInfo& info);
/// MAP { 'name': 'value', … } of session settings, without those that other options set.
Result<std::vector<std::pair<std::string, std::string>>> read_settings(const OptionValue& value,
                                                                       const OptionInfo& info);
/// Host names or directories separated by commas; blanks around them are dropped.
Result<std::string> read_hosts(const OptionValue& value, const OptionInfo& info);
/// Ports separated by commas, or one as an integer.
Result<std::string> read_ports(const OptionValue& value, const OptionInfo& info);
/// libpq's require_auth: methods separated by commas; either all or none with a '!' before it.
Result<std::string> read_require_auth(const OptionValue& value, const OptionInfo& info);
/// hash(column, …), range(column) or round_robin.
Result<std::string> read_partition_by(const OptionValue& value, const OptionInfo& info);
/// A prefix and ${uuid}, within the length limit of a transaction identifier.
Result<std::string> read_transaction_id(const OptionValue& value, const OptionInfo& info);
/// Condition names, short words, classes or SQLSTATEs, separated by commas.
Result<std::vector<std::string>> read_conditions(const OptionValue& value, const OptionInfo& info);
/// A position in the server's log as it prints one, "16/B374D848"; "" is none.
Result<std::string> read_position(const OptionValue& value, const OptionInfo& info);
/// W3C's traceparent: version, trace, parent and flags in lower-case hexadecimal digits.
Result<std::string> read_traceparent(const OptionValue& value, const OptionInfo& info);
/// day, hour, week, month, year, or a whole number of at least 1.
Result<std::string> read_partition_interval(const OptionValue& value, const OptionInfo& info);

/// option_aliases lists the names of an option in other programs.
std::vector<std::string_view> option_aliases(const OptionInfo& info);
/// split_list splits at a separator; blanks around the parts are dropped. "" is one empty part.
std::vector<std::string_view> split_list(std::string_view text, char separator);

}  // namespace pgsink
