#include "shell/flags/flag_texts.h"

#include "shell/flags/flags.h"
#include "shell/flags/version.h"

namespace pgsink::shell {
namespace {

bool takes_choice(const CommandInfo& command) { return !split_choices(command.argument).empty(); }
/// Whether names of files follow the command.
bool takes_names(const CommandInfo& command) {
  return !command.argument.empty() && !takes_choice(command);
}
bool takes_file(const FlagInfo& flag) { return flag.value == "FILE" || flag.value == "DIR"; }

/// On one line, and without characters that are special to shells and troff.
std::string plain(std::string_view meaning, std::string_view without) {
  std::string out;
  for (const char c : meaning) {
    if (without.find(c) != std::string_view::npos) continue;
    out += c == '\n' ? ' ' : c;
  }
  return out;
}

std::string spaced(std::string_view choices) {
  std::string out;
  for (const std::string_view choice : split_choices(choices)) {
    out.append(out.empty() ? "" : " ").append(choice);
  }
  return out;
}

/// "--flag …" for all flags of a command.
std::string flags_of(unsigned of) {
  std::string out;
  for (const FlagInfo& flag : flag_table()) {
    if ((flag.commands & of) == 0) continue;
    out.append(out.empty() ? "--" : " --").append(flag.name);
  }
  return out;
}

// ---- bash ---------------------------------------------------------------------------------------

std::string bash_script() {
  std::string values;
  for (const FlagInfo& flag : flag_table()) {
    if (flag.value.empty() || flag.optional) continue;
    values.append("    --").append(flag.name);
    if (flag.letter != '\0') values.append("|-").append(1, flag.letter);
    values += ") ";
    if (!split_choices(flag.value).empty()) {
      values += "COMPREPLY=($(compgen -W '" + spaced(flag.value) + "' -- \"$word\")); return ;;\n";
    } else if (takes_file(flag)) {
      values += std::string("compopt -o filenames; COMPREPLY=($(compgen ") +
                (flag.value == "DIR" ? "-d" : "-f") + " -- \"$word\")); return ;;\n";
    } else {
      values += "return ;;\n";
    }
  }
  std::string commands;
  std::string words;
  for (const CommandInfo& command : command_table()) {
    words.append(words.empty() ? "" : " ").append(command.name);
    std::string list = flags_of(command.of);
    if (takes_choice(command)) list.insert(0, spaced(command.argument) + " ");
    commands.append("    ").append(command.name).append(") list='").append(list).append("'");
    if (takes_names(command)) commands += "; compopt -o default";
    commands += " ;;\n";
  }
  return "# pgsink's completion for bash: source it, or install it as\n"
         "# /usr/share/bash-completion/completions/pgsink\n"
         "_pgsink() {\n"
         "  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} list\n"
         "  COMPREPLY=()\n"
         "  case $before in\n" +
         values +
         "  esac\n"
         "  case ${COMP_WORDS[1]} in\n" +
         commands + "    *) list='" + flags_of(kOfRun) + "' ;;\n" +
         "  esac\n"
         "  if [[ $COMP_CWORD == 1 ]]; then list+=' " +
         words +
         "'; fi\n"
         "  COMPREPLY=($(compgen -W \"$list\" -- \"$word\"))\n"
         "}\n"
         "complete -F _pgsink pgsink\n";
}

// ---- zsh ----------------------------------------------------------------------------------------

std::string zsh_flags(unsigned of) {
  std::string out;
  for (const FlagInfo& flag : flag_table()) {
    if ((flag.commands & of) == 0) continue;
    std::string action;
    if (!flag.value.empty()) {
      const auto choices = spaced(flag.value);
      action = (flag.optional ? "::" : ":") + plain(flag.value, "|:") + ":" +
               (!choices.empty()       ? "(" + choices + ")"
                : flag.value == "FILE" ? "_files"
                : flag.value == "DIR"  ? "_files -/"
                                       : "");
    }
    const std::string text = "[" + plain(flag.meaning, "[]'`\"$") + "]" + action + "'";
    out += " \\\n      '--" + std::string(flag.name) + (flag.optional ? "=-" : "") + text;
    if (flag.letter != '\0') out += " \\\n      '-" + std::string(1, flag.letter) + text;
  }
  return out;
}

std::string zsh_script() {
  std::string cases;
  std::string commands;
  for (const CommandInfo& command : command_table()) {
    commands += " '" + std::string(command.name) + ":" + plain(command.meaning, "':") + "'";
    cases.append("    ").append(command.name).append(")\n      _arguments");
    if (takes_choice(command)) cases += " '2:shell:(" + spaced(command.argument) + ")'";
    cases += zsh_flags(command.of);
    if (takes_names(command)) cases += " \\\n      '*:file:_files'";
    cases += " ;;\n";
  }
  return "#compdef pgsink\n"
         "# pgsink's completion for zsh: install it as _pgsink in a folder of $fpath.\n"
         "_pgsink() {\n"
         "  local -a commands=(" +
         commands +
         ")\n"
         "  if (( CURRENT == 2 )) && [[ $words[2] != -* ]]; then\n"
         "    _describe command commands\n"
         "    return\n"
         "  fi\n"
         "  case $words[2] in\n" +
         cases + "    *)\n      _arguments" + zsh_flags(kOfRun) +
         " ;;\n"
         "  esac\n"
         "}\n"
         "_pgsink \"$@\"\n";
}

// ---- fish ---------------------------------------------------------------------------------------

std::string fish_script() {
  std::string names;
  std::string out =
      "# pgsink's completion for fish: install it as\n"
      "# ~/.config/fish/completions/pgsink.fish\n"
      "complete -c pgsink -f\n";
  for (const CommandInfo& command : command_table()) {
    names.append(names.empty() ? "" : " ").append(command.name);
    out += "complete -c pgsink -n __fish_use_subcommand -a " + std::string(command.name) + " -d '" +
           plain(command.meaning, "'\\") + "'\n";
    if (command.argument.empty()) continue;
    out += "complete -c pgsink -n '__fish_seen_subcommand_from " + std::string(command.name) + "'" +
           (takes_choice(command) ? " -a '" + spaced(command.argument) + "'" : " -F") + "\n";
  }
  for (const FlagInfo& flag : flag_table()) {
    std::string condition;
    if ((flag.commands & kOfRun) == 0) {
      for (const CommandInfo& command : command_table()) {
        if ((flag.commands & command.of) == 0) continue;
        condition.append(condition.empty() ? "" : " ").append(command.name);
      }
      condition.insert(0, "__fish_seen_subcommand_from ");
    } else if (flag.commands == kOfRun) {
      condition = "not __fish_seen_subcommand_from " + names;
    }
    out += "complete -c pgsink -l " + std::string(flag.name);
    if (flag.letter != '\0') out += std::string(" -s ") + flag.letter;
    if (!condition.empty()) out += " -n '" + condition + "'";
    if (!flag.value.empty() && !flag.optional) out += " -x";
    if (takes_file(flag)) out += " -F";
    if (!split_choices(flag.value).empty()) out += " -a '" + spaced(flag.value) + "'";
    out += " -d '" + plain(flag.meaning, "'\\") + "'\n";
  }
  return out;
}

// ---- manual -------------------------------------------------------------------------------------

std::string troff(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '-' || c == '\\') out += '\\';
    out += c == '\\' ? 'e' : c;
    if (c == '\n') continue;
  }
  return out;
}

std::string manual_flags(unsigned of, unsigned not_of) {
  std::string out;
  for (const FlagInfo& flag : flag_table()) {
    if ((flag.commands & of) == 0 || (flag.commands & not_of) != 0) continue;
    out += ".TP\n.B ";
    if (flag.letter != '\0') out += troff(std::string("-") + flag.letter) + ", ";
    out += troff("--" + std::string(flag.name));
    if (flag.optional) {
      out += "[=" + troff(flag.value) + "]";
    } else if (!flag.value.empty()) {
      out += " " + troff(flag.value);
    }
    out += "\n" + troff(plain(flag.meaning, "")) + "\n";
  }
  return out;
}

}  // namespace

std::string completion_script(std::string_view shell) {
  if (shell == "zsh") return zsh_script();
  return shell == "fish" ? fish_script() : bash_script();
}

std::string manual_page() {
  std::string out = ".TH PGSINK 1 \"\" \"pgsink " + version_number() +
                    "\" \"User Commands\"\n"
                    ".SH NAME\npgsink \\- run SQL scripts and write their rows into PostgreSQL\n"
                    ".SH SYNOPSIS\n.B pgsink\n[flags] [\\-f FILE | \\-c SQL]...\n";
  for (const CommandInfo& command : command_table()) {
    out += ".br\n.B pgsink " + std::string(command.name) + "\n";
    if (!command.argument.empty()) out += std::string(command.argument) + "\n";
    if (command.of != kOfNone) out += "[flags]\n";
  }
  out +=
      ".SH DESCRIPTION\n"
      "Runs statements that are ended by a semicolon. CREATE CONNECTION, CREATE PIPELINE and\n"
      "INSERT INTO a connection are its own; everything else goes to an embedded DuckDB.\n"
      "Without \\-f and \\-c it reads standard input; on a terminal it is interactive, and .help\n"
      "lists what can be typed there.\n"
      ".SH FLAGS\n" +
      manual_flags(kOfRun, 0) + ".SH COMMANDS\n";
  for (const CommandInfo& command : command_table()) {
    out += ".TP\n.B " + std::string(command.name) + "\n" + troff(command.meaning) + "\n";
  }
  out += ".SS Flags of load\n" + manual_flags(kOfLoad, kOfRun) + ".SS Flags of recover\n" +
         manual_flags(kOfRecover, kOfRun | kOfLoad) +
         ".SH EXIT STATUS\n"
         ".TP\n.B 0\nall done\n"
         ".TP\n.B 1\na statement failed; nothing after it ran\n"
         ".TP\n.B 2\nthe command line is wrong, or a script cannot be read\n"
         ".TP\n.B 3\nfinished, but rows were rejected\n"
         ".TP\n.B 130, 143\nSIGINT or SIGTERM: what was accepted is committed\n"
         ".SH ENVIRONMENT\n"
         ".TP\n.B PGSINK_SECRET_NAME\nthe value of ${secret:NAME}, without \\-\\-secret\\-dir\n"
         ".TP\n.B PGSINK_HISTORY\nthe history of interactive mode; empty for none\n"
         ".TP\n.B PGHOST, PGPORT, PGPASSFILE, ...\nas in libpq\n"
         ".TP\n.B NO_COLOR\nno color in errors\n";
  return out;
}

}  // namespace pgsink::shell
