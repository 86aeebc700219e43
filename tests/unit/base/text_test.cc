#include "base/text.h"

#include <cerrno>
#include <set>
#include <vector>

#include "../../support/catch.h"
#include "base/result.h"
#include "base/utf8.h"

using namespace sessreg;
using namespace std::string_literals;

TEST_CASE("plain text and foreign scripts are shown as they are") {
  CHECK(escape_for_terminal("") == "");
  CHECK(escape_for_terminal("alice 42 ~!") == "alice 42 ~!");
  CHECK(escape_for_terminal("Zoë 日本 🙂") == "Zoë 日本 🙂");
}

TEST_CASE("what could drive a terminal is escaped") {
  CHECK(escape_for_terminal("\x1b[31m") == R"(\x1b[31m)");
  CHECK(escape_for_terminal("a\nb\tc\rd\0e"s) == R"(a\x0ab\x09c\x0dd\x00e)");
  CHECK(escape_for_terminal("\x7f") == R"(\x7f)");
  CHECK(escape_for_terminal("\xc2\x9b"
                            "31m") == R"(\xc2\x9b31m)");
  CHECK(escape_for_terminal("\xc2\x80") == R"(\xc2\x80)");
  CHECK(escape_for_terminal("\xc2\xa0") == "\xc2\xa0");
}

TEST_CASE("a backslash is doubled so that an escape cannot be forged") {
  CHECK(escape_for_terminal(R"(CORP\x1b)") == R"(CORP\\x1b)");
  CHECK(escape_for_terminal("CORP\\\x1b") == R"(CORP\\\x1b)");
  CHECK(escape_for_terminal("CORP\\\xff") == R"(CORP\\\xff)");
  CHECK(escape_for_terminal(R"(a\\b)") == R"(a\\\b)");
}

TEST_CASE("a backslash that nobody can misread stays as it is") {
  CHECK(escape_for_terminal(R"(DOM\bob)") == R"(DOM\bob)");
  CHECK(escape_for_terminal(R"(DOM\Zoë)") == R"(DOM\Zoë)");
  CHECK(escape_for_terminal("DOM\\") == "DOM\\");
}

TEST_CASE("no two texts are shown alike") {
  // All texts of up to five of these bytes.
  const std::string bytes = "\\x1b\x1b"s;
  std::set<std::string> shown;
  std::size_t texts = 0;
  std::vector<std::string> level = {""};
  for (int length = 1; length <= 5; ++length) {
    std::vector<std::string> next;
    for (const std::string& start : level)
      for (const char c : bytes)
        next.push_back(start + c);
    for (const std::string& text : next)
      shown.insert(escape_for_terminal(text));
    texts += next.size();
    level = std::move(next);
  }
  CHECK(shown.size() == texts);
}

TEST_CASE("a text whose parts are escaped already is made one line") {
  CHECK(one_line("a\nb \\x1b \\\\ \xff") == R"(a\x0ab \x1b \\ \xff)");
}

TEST_CASE("line separators and bidirectional overrides are escaped") {
  CHECK(escape_for_terminal("\u2028\u2029") == R"(\xe2\x80\xa8\xe2\x80\xa9)");
  CHECK(escape_for_terminal("\u202a\u202e") == R"(\xe2\x80\xaa\xe2\x80\xae)");
  CHECK(escape_for_terminal("\u2066\u2069") == R"(\xe2\x81\xa6\xe2\x81\xa9)");
  CHECK(escape_for_terminal("\u2027\u202f\u2065\u206a") == "\u2027\u202f\u2065\u206a");
}

TEST_CASE("invalid UTF-8 is escaped byte by byte, and what follows is not swallowed") {
  CHECK(escape_for_terminal("\xff"
                            "a") == R"(\xffa)");
  CHECK(escape_for_terminal("\x80"
                            "a") == R"(\x80a)");
  CHECK(escape_for_terminal("\xe2\x82"
                            "a") == R"(\xe2\x82a)");
  CHECK(escape_for_terminal("\xc0\xaf") == R"(\xc0\xaf)");
  CHECK(escape_for_terminal("\xe0\x80\xaf") == R"(\xe0\x80\xaf)");
  CHECK(escape_for_terminal("\xf0\x80\x80\xaf") == R"(\xf0\x80\x80\xaf)");
  CHECK(escape_for_terminal("\xed\xa0\x80") == R"(\xed\xa0\x80)");
  CHECK(escape_for_terminal("\xf4\x90\x80\x80") == R"(\xf4\x90\x80\x80)");
  CHECK(escape_for_terminal("\xf8\x88\x80\x80\x80") == R"(\xf8\x88\x80\x80\x80)");
  CHECK(escape_for_terminal("\xe2") == R"(\xe2)");
}

TEST_CASE("the first and last code of each UTF-8 length is decoded") {
  CHECK(decode_utf8("\x7f").code == 0x7f);
  CHECK(decode_utf8("\xc2\x80").code == 0x80);
  CHECK(decode_utf8("\xdf\xbf").code == 0x7ff);
  CHECK(decode_utf8("\xe0\xa0\x80").code == 0x800);
  CHECK(decode_utf8("\xed\x9f\xbf").code == 0xd7ff);
  CHECK(decode_utf8("\xee\x80\x80").code == 0xe000);
  CHECK(decode_utf8("\xef\xbf\xbf").code == 0xffff);
  CHECK(decode_utf8("\xf0\x90\x80\x80").code == 0x10000);
  CHECK(decode_utf8("\xf4\x8f\xbf\xbf").code == 0x10ffff);
  CHECK(decode_utf8("").size_bytes == 0);
}

TEST_CASE("a log value is quoted only where it must be") {
  CHECK(log_value("alice") == "alice");
  CHECK(log_value("") == "\"\"");
  CHECK(log_value("a b") == "\"a b\"");
  CHECK(log_value("a=b") == "\"a=b\"");
  CHECK(log_value("a\"b") == R"("a\x22b")");
  CHECK(log_value("a\nuser=root") == R"("a\x0auser=root")");
  CHECK(log_value(R"(CORP\bob)") == R"(CORP\\bob)");
  // Of a long one the beginning, in whole characters and escapes.
  CHECK(log_value(std::string(128, 'a')) == std::string(128, 'a'));
  CHECK(log_value(std::string(20'000, 'a')) == std::string(125, 'a') + "...");
  CHECK(log_value("a b" + std::string(20'000, 'c')) == "\"a b" + std::string(122, 'c') + "...\"");
  std::string escaped;
  for (int i = 0; i < 31; ++i)
    escaped += R"(\xff)";
  CHECK(log_value(std::string(60'000, '\xff')) == escaped + "...");
  CHECK(log_value(std::string(200, '\\')) == std::string(124, '\\') + "...");
  CHECK(log_value("\u20ac\u20ac\u20ac", 8) == "\u20ac...");
}

TEST_CASE("a prefix does not cut a UTF-8 sequence in two") {
  CHECK(utf8_prefix("abc", 5) == "abc");
  CHECK(utf8_prefix("abc", 3) == "abc");
  CHECK(utf8_prefix("abc", 2) == "ab");
  CHECK(utf8_prefix("abc", 0) == "");
  CHECK(utf8_prefix("aé", 2) == "a");
  CHECK(utf8_prefix("é", 1) == "");
  CHECK(utf8_prefix("日本", 5) == "日");
  CHECK(utf8_prefix("日本", 4) == "日");
  CHECK(utf8_prefix("日本", 3) == "日");
  CHECK(utf8_prefix("x🙂", 4) == "x");
  CHECK(utf8_prefix("x🙂y", 5) == "x🙂");
}

TEST_CASE("a prefix of invalid UTF-8 is cut at the byte") {
  CHECK(utf8_prefix("\x80\x80\x80\x80\x80", 4) == "\x80\x80\x80\x80");
  CHECK(utf8_prefix("\xe2"
                    "abc",
                    2) ==
        "\xe2"
        "a");
}

TEST_CASE("placeholders are replaced by their values") {
  MessageValues values;
  values.limit = 3;
  values.count = 4;
  values.seconds = 59;
  values.site = "default";
  values.user = "alice";
  values.service = "sshd";
  CHECK(format_message("{limit} {count} {seconds} {site} {user} {service}", values) ==
        "3 4 59 default alice sshd");
  CHECK(format_message("{user}{user}", values) == "alicealice");
  CHECK(format_message("", values) == "");
}

TEST_CASE("a value is never expanded again and cannot add a line") {
  MessageValues values;
  values.limit = 3;
  values.user = "{limit}\n\x1b]0;x\x07";
  CHECK(format_message("Hello {user}.", values) == R"(Hello {limit}\x0a\x1b]0;x\x07.)");
}

TEST_CASE("a message is one line whatever its text is") {
  CHECK(format_message("a\nb\xff{nobody}\\", {}) == R"(a\x0ab\xff{nobody}\)");
}

TEST_CASE("a message names only known placeholders") {
  CHECK(check_message("") == nullptr);
  CHECK(check_message("plain") == nullptr);
  CHECK(check_message("{limit} {count} {seconds} {site} {user} {service}") == nullptr);
  CHECK(check_message("{Limit}") != nullptr);
  CHECK(check_message("{ limit }") != nullptr);
  CHECK(check_message("{limit") != nullptr);
  CHECK(check_message("limit}") != nullptr);
  CHECK(check_message("{{limit}}") != nullptr);
  CHECK(check_message("{}") != nullptr);
  CHECK(check_message("%s {nobody}") != nullptr);
}

TEST_CASE("a failed system call tells the action and the kernel's reason") {
  CHECK(system_error(EACCES, "cannot open /x").what == "cannot open /x: Permission denied");
  CHECK(system_error(EACCES, "").code == Errc::permission_denied);
  CHECK(system_error(EPERM, "").code == Errc::permission_denied);
  CHECK(system_error(ENOSPC, "").code == Errc::no_space);
  CHECK(system_error(EDQUOT, "").code == Errc::no_space);
  CHECK(system_error(ENOENT, "").code == Errc::not_found);
  CHECK(system_error(EOPNOTSUPP, "").code == Errc::unsupported_fs);
  CHECK(system_error(EIO, "").code == Errc::system);
  CHECK(system_error(99999, "x").what == "x: error number 99999");
}

TEST_CASE("every error code has a text of its own") {
  for (int i = 0; i <= static_cast<int>(Errc::system); ++i) {
    for (int j = 0; j < i; ++j) {
      CHECK(text(static_cast<Errc>(i)) != std::string(text(static_cast<Errc>(j))));
    }
    CHECK(text(static_cast<Errc>(i)) != "unknown error"s);
  }
}
