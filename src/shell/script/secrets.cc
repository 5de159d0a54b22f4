#include "shell/script/secrets.h"

#include <cstdlib>
#include <optional>

#include "shell/text/text_file.h"

namespace pgsink::shell {
namespace {

/// A secret is a password or a key: a longer file is probably a wrong path.
constexpr size_t kSecretBytesMax = 1 << 20;

std::optional<std::string> from_environment(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  if (value == nullptr) return std::nullopt;
  return value;
}

/// The name in the form of an environment variable.
std::string environment_name(std::string text) {
  for (char& c : text) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    if (c == '-' || c == '.') c = '_';
  }
  return text;
}

/// Editors and base64 of `echo` leave a newline at the end, which belongs to no password.
std::string without_newline(std::string text) {
  if (text.ends_with('\n')) text.pop_back();
  if (text.ends_with('\r')) text.pop_back();
  return text;
}

std::optional<std::string> find_secret(const std::string& directory, const std::string& name) {
  // A secret is a file in the folder, never a path out of it.
  const bool file_name = name != "." && name != ".." && name.find('/') == std::string::npos;
  if (!directory.empty() && file_name) {
    if (auto text = read_text_file(directory + "/" + name, kSecretBytesMax)) {
      return without_newline(std::move(*text));
    }
  }
  return from_environment("PGSINK_SECRET_" + environment_name(name)).transform(without_newline);
}

}  // namespace

Substitution make_substitution(std::string secret_directory,
                               const std::map<std::string, std::string>& variables) {
  Substitution substitution;
  substitution.secret = [directory = std::move(secret_directory)](const std::string& name) {
    return find_secret(directory, name);
  };
  substitution.environment = from_environment;
  substitution.variable = [variables](const std::string& name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    if (found == variables.end()) return std::nullopt;
    return found->second;
  };
  return substitution;
}

}  // namespace pgsink::shell
