#include "shell/prompt/line_editor.h"

#include <algorithm>
#include <cerrno>
#include <clocale>
#include <cstdio>
#include <cwchar>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef PGSINK_HAVE_LIBEDIT
#include <histedit.h>
#endif

namespace pgsink::shell {
namespace {

constexpr int kTickMs = 100;

/// One byte of standard input; -1 at its end, and after a signal.
int read_byte(const std::function<bool()>& interrupted) {
  for (;;) {
    if (interrupted()) return -1;
    pollfd polled{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
    if (::poll(&polled, 1, kTickMs) <= 0) continue;
    unsigned char byte = 0;
    const ssize_t count = ::read(STDIN_FILENO, &byte, 1);
    if (count == 1) return byte;
    if (count == 0 || errno != EINTR) return -1;
  }
}

#ifdef PGSINK_HAVE_LIBEDIT

constexpr int kHistoryEntriesMax = 2000;

/// The longest common prefix of all words, ignoring case.
std::string common_start(const std::vector<std::string>& words) {
  std::string common = words.front();
  for (const std::string& word : words) {
    size_t same = 0;
    while (same < common.size() && same < word.size() &&
           std::tolower(static_cast<unsigned char>(common[same])) ==
               std::tolower(static_cast<unsigned char>(word[same]))) {
      ++same;
    }
    common.resize(same);
  }
  return common;
}

class EditedLines final : public LineEditor {
 public:
  EditedLines(std::string file, Completer completer, std::function<bool()> interrupted)
      : file_(std::move(file)),
        completer_(std::move(completer)),
        interrupted_(std::move(interrupted)),
        history_(history_init()),
        edit_(el_init("pgsink", stdin, stdout, stderr)) {
    HistEvent event;
    history(history_, &event, H_SETSIZE, kHistoryEntriesMax);
    history(history_, &event, H_SETUNIQUE, 1);
    if (!file_.empty()) history(history_, &event, H_LOAD, file_.c_str());
    el_set(edit_, EL_CLIENTDATA, this);
    el_set(edit_, EL_PROMPT, prompt);
    el_set(edit_, EL_GETCFN, get_character);
    el_set(edit_, EL_EDITOR, "emacs");
    el_set(edit_, EL_HIST, history, history_);
    el_set(edit_, EL_ADDFN, "pgsink-complete", "complete the word", complete);
    el_set(edit_, EL_ADDFN, "pgsink-cancel", "discard the statement", cancel);
    el_set(edit_, EL_BIND, "^I", "pgsink-complete", nullptr);
    el_source(edit_, nullptr);  // ~/.editrc
    // While a line is typed Ctrl-C is a key; the signal is for running statements.
    el_set(edit_, EL_SETTY, "-d", "-isig", nullptr);
    el_set(edit_, EL_BIND, "^C", "pgsink-cancel", nullptr);
  }
  ~EditedLines() override {
    el_end(edit_);
    history_end(history_);
  }
  EditedLines(const EditedLines&) = delete;
  EditedLines& operator=(const EditedLines&) = delete;

  Outcome read(const std::string& prompt, std::string& line) override {
    prompt_ = prompt;
    cancelled_ = false;
    int count = 0;
    const char* text = el_gets(edit_, &count);
    if (cancelled_ || interrupted_()) {
      std::fputs("^C\n", stdout);
      std::fflush(stdout);
      el_reset(edit_);
      return Outcome::kCancelled;
    }
    if (text == nullptr || count <= 0) return Outcome::kEnd;
    line.assign(text, static_cast<size_t>(count));
    while (line.ends_with('\n') || line.ends_with('\r')) line.pop_back();
    return Outcome::kLine;
  }

  void remember(const std::string& statement) override {
    HistEvent event;
    history(history_, &event, H_ENTER, statement.c_str());
    if (file_.empty()) return;
    // Only the user may read what was typed.
    const mode_t before = ::umask(0077);
    history(history_, &event, H_SAVE, file_.c_str());
    ::umask(before);
  }

 private:
  static EditedLines* self(EditLine* edit) {
    EditedLines* lines = nullptr;
    el_get(edit, EL_CLIENTDATA, &lines);
    return lines;
  }
  static char* prompt(EditLine* edit) { return self(edit)->prompt_.data(); }

  static int get_character(EditLine* edit, wchar_t* character) {
    std::mbstate_t state{};
    for (;;) {
      const int byte = read_byte(self(edit)->interrupted_);
      if (byte < 0) return 0;
      const char c = static_cast<char>(byte);
      const size_t used = std::mbrtowc(character, &c, 1, &state);
      if (used <= 1) return 1;
      // Not a character of this terminal's encoding: start again.
      if (used == static_cast<size_t>(-1)) state = {};
    }
  }

  static unsigned char cancel(EditLine* edit, int) {
    self(edit)->cancelled_ = true;
    return CC_EOF;
  }

  static unsigned char complete(EditLine* edit, int) {
    const LineInfo* info = el_line(edit);
    const std::string before(info->buffer, static_cast<size_t>(info->cursor - info->buffer));
    const Completion found = self(edit)->completer_(before);
    if (found.words.empty()) return CC_REFRESH_BEEP;
    std::string text = common_start(found.words);
    const bool only = found.words.size() == 1;
    if (only) text += ' ';
    if (text.size() > found.word_bytes || only) {
      el_deletestr(edit, static_cast<int>(found.word_bytes));
      el_insertstr(edit, text.c_str());
      return CC_REFRESH;
    }
    std::fputc('\n', stdout);
    for (const std::string& word : found.words) std::fprintf(stdout, "%s  ", word.c_str());
    std::fputc('\n', stdout);
    std::fflush(stdout);
    return CC_REDISPLAY;
  }

  const std::string file_;
  const Completer completer_;
  const std::function<bool()> interrupted_;
  History* history_;
  EditLine* edit_;
  std::string prompt_;
  bool cancelled_ = false;
};

#else

class PlainLines final : public LineEditor {
 public:
  explicit PlainLines(std::function<bool()> interrupted) : interrupted_(std::move(interrupted)) {}

  Outcome read(const std::string& prompt, std::string& line) override {
    std::fputs(prompt.c_str(), stdout);
    std::fflush(stdout);
    line.clear();
    for (int c = 0; (c = read_byte(interrupted_)) >= 0;) {
      if (c == '\n') return Outcome::kLine;
      line += static_cast<char>(c);
    }
    if (interrupted_()) {
      std::fputc('\n', stdout);
      return Outcome::kCancelled;
    }
    return line.empty() ? Outcome::kEnd : Outcome::kLine;
  }
  void remember(const std::string&) override {}

 private:
  const std::function<bool()> interrupted_;
};

#endif

}  // namespace

std::unique_ptr<LineEditor> LineEditor::create([[maybe_unused]] std::string history_file,
                                               [[maybe_unused]] Completer completer,
                                               std::function<bool()> interrupted) {
#ifdef PGSINK_HAVE_LIBEDIT
  std::setlocale(LC_CTYPE, "");
  return std::make_unique<EditedLines>(std::move(history_file), std::move(completer),
                                       std::move(interrupted));
#else
  return std::make_unique<PlainLines>(std::move(interrupted));
#endif
}

}  // namespace pgsink::shell
