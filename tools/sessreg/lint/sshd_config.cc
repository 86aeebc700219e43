#include "sessreg/lint/sshd_config.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "sessreg/lint/host_file.h"

namespace sessreg {
namespace {

constexpr unsigned kMostIncludes = 16;  // SERVCONF_MAX_DEPTH
constexpr unsigned kMostFiles = 1024;

constexpr std::string_view kBlank = " \t\r";

// "Keyword value …" or "Keyword=value", with quotes; a comment ends it.
std::vector<std::string> words_of(std::string_view line) {
  std::vector<std::string> words;
  for (;;) {
    const std::string_view skipped = words.size() == 1 ? " \t\r=" : kBlank;
    line.remove_prefix(std::min(line.find_first_not_of(skipped), line.size()));
    if (line.empty() || line.front() == '#') return words;
    std::size_t size = 0;
    if (line.front() == '"') {
      line.remove_prefix(1);
      size = std::min(line.find('"'), line.size());
      words.emplace_back(line.substr(0, size));
      line.remove_prefix(std::min(size + 1, line.size()));
      continue;
    }
    size = std::min(line.find_first_of(words.empty() ? " \t\r=" : kBlank), line.size());
    words.emplace_back(line.substr(0, size));
    line.remove_prefix(size);
  }
}

std::vector<std::string> split_at_commas(std::string_view text) {
  std::vector<std::string> parts;
  for (;;) {
    const std::size_t size = text.find(',');
    parts.emplace_back(text.substr(0, size));
    if (size == std::string_view::npos) return parts;
    text.remove_prefix(size + 1);
  }
}

class Reader {
 public:
  Reader(SshdConfig& ret_config, const std::string& path)
      : config_(ret_config), directory_(path.substr(0, path.rfind('/') + 1)) {}

  // Returns whether there is such a file.
  bool read(const std::string& path, unsigned depth, bool is_in_match = false) {
    if (++files_ > kMostFiles) return true;
    const auto read = read_host_file(path);
    if (!read && read.error().why == Unread::Why::missing) return false;
    if (!read) {
      const Complaint complaint = complaint_of(read.error());
      config_.problems.push_back({path, complaint.what, complaint.mend});
      return true;
    }
    std::string_view text = *read;
    unsigned number = 0;
    while (!text.empty()) {
      const std::string_view line = text.substr(0, text.find('\n'));
      text.remove_prefix(std::min(line.size() + 1, text.size()));
      const std::vector<std::string> words = words_of(line);
      ++number;
      if (words.size() < 2) continue;
      const std::string keyword = in_lower_case(words[0]);
      if (keyword == "match") {  // to the next one, or the end of this file
        is_in_match = true;
        in_block_ = {};
      }
      Seen& seen = is_in_match ? in_block_ : at_top_;
      if (keyword == "authenticationmethods" && !std::exchange(seen.methods, true))
        set_methods(words, path, number);
      if (keyword == "pamservicename" && !std::exchange(seen.pam_service, true)) {
        const SshdSetting setting{words[1], path, number};
        if (is_in_match)
          config_.pam_services_of_blocks.push_back(setting);
        else
          config_.pam_service = setting;
      }
      if (keyword == "include")
        for (std::size_t i = 1; i < words.size(); ++i)
          include(words[i], depth, is_in_match);
      if (is_in_match) continue;
      if (keyword == "usepam") set(config_.use_pam, words[1], path, number);
      if (keyword == "usedns") set(config_.use_dns, words[1], path, number);
    }
    return true;
  }

 private:
  struct Seen {  // of what counts where it is set first
    bool methods = false;
    bool pam_service = false;
  };

  static void set(std::optional<SshdSetting>& ret, const std::string& value,
                  const std::string& file, unsigned line) {
    if (!ret) ret = SshdSetting{in_lower_case(value), file, line};
  }

  void set_methods(const std::vector<std::string>& words, const std::string& file, unsigned line) {
    SshdMethods methods{{}, file, line};
    for (std::size_t i = 1; i < words.size(); ++i)
      methods.lists.push_back(split_at_commas(in_lower_case(words[i])));
    config_.methods.push_back(std::move(methods));
  }

  void include(const std::string& pattern, unsigned depth, bool is_in_match) {
    if (depth + 1 >= kMostIncludes || files_ > kMostFiles) return;
    for (const std::string& path :
         files_matching(pattern.starts_with('/') ? pattern : directory_ + pattern))
      read(path, depth + 1, is_in_match);
  }

  SshdConfig& config_;
  const std::string directory_;
  unsigned files_ = 0;
  Seen at_top_, in_block_;
};

}  // namespace

SshdConfig read_sshd_config(const std::vector<std::string>& paths) {
  SshdConfig config;
  Reader reader(config, paths.front());
  for (const std::string& path : paths) {
    if (!reader.read(path, 0)) continue;
    config.file = path;
    break;
  }
  return config;
}

}  // namespace sessreg
