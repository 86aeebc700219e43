#include "sessreg/lint/login_servers.h"

#include <fmt/core.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <optional>

#include "base/text.h"
#include "sessreg/lint/host_file.h"

namespace sessreg {
namespace {

constexpr unsigned kMostIncludes = 16;
constexpr unsigned kMostFiles = 1024;

struct Line {
  std::string text;  // trimmed, with what it is continued by
  std::string file;
  unsigned number;
};

// Reads a file line by line; `take` may read another one in between.
class LineReader {
 public:
  LineReader(const std::string& root, std::string comments,
             std::function<void(LineReader&, const Line&)> take)
      : root_(root), comments_(std::move(comments)), take_(std::move(take)) {}

  // Returns whether there is such a file.
  bool read(const std::string& path) {
    if (depth_ == kMostIncludes || ++files_ > kMostFiles) return true;
    const auto text = read_host_file(path);
    if (!text && text.error().why == Unread::Why::missing) return false;
    if (!text) {
      const Complaint complaint = complaint_of(text.error());
      findings_.push_back({place_of(path, 0), complaint.what, complaint.mend});
      return true;
    }
    ++depth_;
    read_lines(*text, path);
    --depth_;
    return true;
  }

  // What an absolute path or pattern names; of a directory all files.
  void include(const std::string& pattern) {
    for (const std::string& path : files_matching(root_ + pattern)) {
      std::error_code ignored;
      if (!std::filesystem::is_directory(path, ignored))
        read(path);
      else
        for (const std::string& inside : files_matching(path + "/*"))
          read(inside);
    }
  }

  void add(const Line& line, std::string what, std::string mend) {
    findings_.push_back({place_of(line.file, line.number), std::move(what), std::move(mend)});
  }
  std::vector<Finding> take_findings() { return std::move(findings_); }

 private:
  void read_lines(std::string_view text, const std::string& path) {
    Line line{{}, path, 0};
    for (unsigned number = 1; !text.empty(); ++number) {
      std::string_view physical = text.substr(0, text.find('\n'));
      text.remove_prefix(std::min(physical.size() + 1, text.size()));
      physical = trimmed(physical);
      if (line.text.empty()) line.number = number;
      const bool goes_on = physical.ends_with('\\');
      if (goes_on) physical.remove_suffix(1);
      line.text += physical;
      if (goes_on && !text.empty()) continue;
      if (!line.text.empty() && comments_.find(line.text.front()) == std::string::npos)
        take_(*this, line);
      line.text.clear();
    }
  }

  const std::string& root_;
  const std::string comments_;
  const std::function<void(LineReader&, const Line&)> take_;
  unsigned depth_ = 0;
  unsigned files_ = 0;
  std::vector<Finding> findings_;
};

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  for (text = trimmed(text); !text.empty(); text = trimmed(text)) {
    const std::size_t size = std::min(text.find_first_of(" \t"), text.size());
    words.push_back(in_lower_case(text.substr(0, size)));
    text.remove_prefix(size);
  }
  return words;
}

constexpr const char* kAuthOrder = "write 'AuthOrder mod_auth_pam.c* mod_auth_unix.c'";

// Whether mod_auth_unix lets nobody in whom PAM has refused: the star makes PAM's no the last word.
bool is_good_order(const std::vector<std::string>& words) {
  const auto own = std::find(words.begin(), words.end(), "mod_auth_unix.c");
  const auto own_only = std::find(words.begin(), words.end(), "mod_auth_unix.c*");
  const auto first = std::min(own, own_only);
  return first == words.end() || std::find(words.begin(), first, "mod_auth_pam.c*") != first;
}

// "obeypamrestrictions": smb.conf(5) takes names with any blanks and case.
std::string smb_name(std::string_view text) {
  std::string name = in_lower_case(text);
  std::erase_if(name, [](char c) { return c == ' ' || c == '\t'; });
  return name;
}

bool is_yes(std::string_view value) {
  const std::string word = in_lower_case(trimmed(value));
  return word == "yes" || word == "true" || word == "on" || word == "1";
}

}  // namespace

std::vector<Finding> check_proftpd(const std::string& root) {
  bool is_set = false;
  unsigned virtual_hosts = 0;
  LineReader reader(root, "#", [&](LineReader& all, const Line& line) {
    const std::vector<std::string> words = words_of(line.text);
    if (words[0] == "<virtualhost") ++virtual_hosts;
    if (words[0] == "</virtualhost>" && virtual_hosts != 0) --virtual_hosts;
    if (words[0] == "include" && words.size() > 1)  // as it was written, in its own case
      all.include(std::string(trimmed(std::string_view(line.text).substr(words[0].size()))));
    if (words[0] != "authorder") return;
    is_set |= virtual_hosts == 0;
    if (!is_good_order(words))
      all.add(line, "with this AuthOrder mod_auth_unix lets in whom PAM has refused", kAuthOrder);
  });
  for (const char* name : {"/etc/proftpd/proftpd.conf", "/etc/proftpd.conf"}) {
    if (!reader.read(root + name)) continue;
    if (!is_set)
      reader.add({{}, root + name, 0},
                 "AuthOrder is not set, so mod_auth_unix lets in whom PAM has refused", kAuthOrder);
    break;
  }
  return reader.take_findings();
}

std::vector<Finding> check_smbd(const std::string& root) {
  constexpr const char* kMend = "write 'obey pam restrictions = yes' in [global]";
  constexpr const char* kWhat = "so smbd asks for no account and no session";
  bool is_global = true;  // up to the first section, too
  std::optional<Line> last;
  bool obeys = false;
  LineReader reader(root, "#;", [&](LineReader& all, const Line& line) {
    if (line.text.front() == '[') {
      is_global = smb_name(line.text) == "[global]";
      return;
    }
    const std::size_t equals = line.text.find('=');
    if (equals == std::string::npos) return;
    const std::string name = smb_name(line.text.substr(0, equals));
    const std::string value = line.text.substr(equals + 1);
    if (name == "include" && value.find('%') == std::string::npos)  // %: who connects decides
      all.include(std::string(trimmed(value)));
    if (!is_global || name != "obeypamrestrictions") return;
    obeys = is_yes(value);
    last = line;
  });
  const std::string path = root + "/etc/samba/smb.conf";
  if (!reader.read(path) || obeys) return reader.take_findings();
  if (last)
    reader.add(*last, fmt::format("'obey pam restrictions' is off, {}", kWhat), kMend);
  else
    reader.add({{}, path, 0},
               fmt::format("'obey pam restrictions' is not set, and its default is no, {}", kWhat),
               kMend);
  return reader.take_findings();
}

}  // namespace sessreg
