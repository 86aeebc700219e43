#include "sessreg/lint/pam_stacks.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <filesystem>
#include <optional>

#include "base/text.h"
#include "sessreg/lint/host_file.h"

namespace sessreg {
namespace {

constexpr std::string_view kBlank = " \t\n";

// The next word, as libpam's _pam_StrTok takes it: "[…]" is one word. nullopt: none is left.
std::optional<std::string> next_word(std::string_view& rest) {
  rest.remove_prefix(std::min(rest.find_first_not_of(kBlank), rest.size()));
  if (rest.empty()) return std::nullopt;
  std::string word;
  if (rest.front() != '[') {
    const std::size_t size = std::min(rest.find_first_of(kBlank), rest.size());
    word = rest.substr(0, size);
    rest.remove_prefix(size);
    return word;
  }
  std::size_t at = 1;
  for (; at < rest.size() && rest[at] != ']'; ++at) {
    if (rest[at] == '\\' && at + 1 < rest.size() && rest[at + 1] == ']') ++at;
    word += rest[at];
  }
  rest.remove_prefix(std::min(at + 1, rest.size()));
  return word;
}

std::optional<PamLine> parse_line(std::string_view text, const std::string& file, unsigned number) {
  PamLine line;
  line.file = file;
  line.number = number;
  const auto type = next_word(text);
  if (!type) return std::nullopt;
  line.type = in_lower_case(type->starts_with('-') ? type->substr(1) : *type);
  if (line.type != "@include") line.control = in_lower_case(next_word(text).value_or(""));
  line.module = next_word(text).value_or("");
  while (auto argument = next_word(text))
    line.arguments.push_back(std::move(*argument));
  return line;
}

constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

// What an editor of another system leaves in a text, and libpam takes for part of a word. The lines
// are looked at as they were meant.
std::vector<PamProblem> bytes_in_the_way(std::string_view text, const std::string& file) {
  std::vector<PamProblem> problems;
  if (text.starts_with(kByteOrderMark))
    problems.push_back({file, 1,
                        "begins with a byte order mark, so that libpam does not know the type of "
                        "the line, and lets every password login fail",
                        "save the file without one"});
  const std::size_t end = text.find("\r\n");
  if (end == std::string_view::npos) return problems;
  const auto before =
      std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(end), '\n');
  problems.push_back({file, static_cast<unsigned>(before) + 1,
                      "ends with a carriage return, which libpam takes for part of the last module "
                      "or argument, so that it finds neither",
                      "save the file with Unix line ends"});
  return problems;
}

// A comment ends a line, even one that would be continued.
std::vector<PamLine> parse_file(std::string_view text, const std::string& file) {
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  std::vector<PamLine> lines;
  std::string joined;
  unsigned number = 0;
  unsigned begun = 0;  // 0: no line is being joined
  while (!text.empty()) {
    std::string_view physical = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(physical.size() + 1, text.size()));
    ++number;
    if (begun == 0) begun = number;
    const std::size_t comment = physical.find('#');
    physical = physical.substr(0, comment);
    while (!physical.empty() && isspace(static_cast<unsigned char>(physical.back())) != 0)
      physical.remove_suffix(1);
    const bool goes_on = comment == std::string_view::npos && physical.ends_with('\\');
    if (goes_on) physical.remove_suffix(1);
    joined += physical;
    joined += ' ';
    if (goes_on && !text.empty()) continue;
    if (auto line = parse_line(joined, file, begun)) lines.push_back(std::move(*line));
    joined.clear();
    begun = 0;
  }
  return lines;
}

// A copy that an editor or a package manager left behind: no program names its service like that.
bool is_left_over(std::string_view name) {
  constexpr std::string_view kEnds[] = {"~",         ".bak",      ".orig",      ".save",
                                        ".dpkg-old", ".dpkg-new", ".dpkg-dist", ".dpkg-bak",
                                        ".rpmsave",  ".rpmnew",   ".rpmorig",   ".ucf-dist",
                                        ".ucf-old",  ".swp",      ".pam-old"};
  return name.starts_with('.') ||
         std::any_of(std::begin(kEnds), std::end(kEnds),
                     [&](std::string_view end) { return name.ends_with(end); });
}

void skip_space(std::string_view& text) {
  while (!text.empty() && isspace(static_cast<unsigned char>(text.front())) != 0)
    text.remove_prefix(1);
}

std::optional<PamAction> parse_action(std::string_view& text) {
  using Kind = PamAction::Kind;
  constexpr std::pair<std::string_view, Kind> kWords[] = {
      {"ignore", Kind::ignore}, {"ok", Kind::ok},   {"done", Kind::done},
      {"bad", Kind::bad},       {"die", Kind::die}, {"reset", Kind::reset}};
  for (const auto& [word, kind] : kWords) {
    if (!text.starts_with(word)) continue;
    text.remove_prefix(word.size());
    return PamAction{kind, 0};
  }
  PamAction action{Kind::jump, 0};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), action.jump);
  if (error != std::errc() || action.jump == 0) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return action;
}

// `text` is as "success=ok default=die". nullopt: it cannot be parsed.
std::optional<PamAction> parse_control(std::string_view text, std::string_view answer) {
  std::optional<PamAction> found, fallback;
  for (skip_space(text); !text.empty(); skip_space(text)) {
    const std::size_t size = std::min(text.find_first_of("= \t\n"), text.size());
    const std::string_view name = text.substr(0, size);
    text.remove_prefix(size);
    skip_space(text);
    if (name.empty() || !text.starts_with('=')) return std::nullopt;
    text.remove_prefix(1);
    skip_space(text);
    const auto action = parse_action(text);
    if (!action) return std::nullopt;
    if (name == answer) found = action;
    if (name == "default" && !fallback) fallback = action;
  }
  if (found) return found;
  return fallback.value_or(PamAction{});
}

}  // namespace

struct PamStacks::File {
  bool is_missing = false;
  std::vector<PamLine> lines;
  std::vector<PamProblem> problems;
};

std::string_view PamLine::module_name() const {
  const std::string_view all = module;
  return all.substr(all.rfind('/') + 1);  // npos + 1 is 0
}

std::vector<PamEntry> PamService::of_type(std::string_view type) const {
  std::vector<PamEntry> found;
  for (const PamEntry& entry : entries)
    if (entry.line->type == type) found.push_back(entry);
  return found;
}

PamStacks::PamStacks(std::vector<std::string> directories) : directories_(std::move(directories)) {
  std::map<std::string, std::string> paths;
  for (const std::string& directory : directories_)
    read_directory(directory, paths);
  for (const auto& [name, path] : paths) {
    if (services_.size() == kMostServices) {
      problems_.push_back(
          {path, 0, "more services than can be checked", "remove what is no PAM service"});
      break;
    }
    PamService service;
    service.name = name;
    visited_ = 0;
    append(service, path, {}, 0, 0, nullptr);
    services_.push_back(std::move(service));
  }
}

void PamStacks::read_directory(const std::string& directory,
                               std::map<std::string, std::string>& ret_paths) {
  std::error_code error;
  std::filesystem::directory_iterator entry(directory, error);
  const std::filesystem::directory_iterator end;
  for (; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    std::error_code ignored;
    if (!is_left_over(name) && !entry->is_directory(ignored))
      ret_paths.emplace(name, entry->path().string());
  }
  if (!error) return;
  const Unread failed{error == std::errc::permission_denied           ? Unread::Why::forbidden
                      : error == std::errc::no_such_file_or_directory ? Unread::Why::missing
                                                                      : Unread::Why::unreadable,
                      error.value()};
  // Only the first directory has to exist.
  if (failed.why == Unread::Why::missing && directory != directories_.front()) return;
  const Complaint complaint = complaint_of(failed);
  problems_.push_back({directory, 0, complaint.what, complaint.mend});
}

const PamStacks::File& PamStacks::file(const std::string& path) {
  auto& known = files_[path];
  if (known) return *known;
  const auto read = read_host_file(path);
  auto made = std::make_shared<File>();
  if (read) {
    made->lines = parse_file(*read, path);
    made->problems = bytes_in_the_way(*read, path);
  } else if (read.error().why == Unread::Why::missing) {
    made->is_missing = true;
  } else {
    const Complaint complaint = complaint_of(read.error());
    problems_.push_back({path, 0, complaint.what, complaint.mend});
  }
  known = made;
  return *known;
}

// If `type` is empty: lines of all types.
void PamStacks::append(PamService& service, const std::string& path, const std::string& type,
                       unsigned includes, unsigned level, const PamInclusion* within) {
  const File& opened = file(path);
  service.problems.insert(service.problems.end(), opened.problems.begin(), opened.problems.end());
  for (const PamLine& line : opened.lines) {
    if (++visited_ > kMostLines) {
      if (visited_ == kMostLines + 1)
        problems_.push_back({line.file, line.number,
                             "the stack of " + escape_for_terminal(service.name) +
                                 " has more lines than can be checked",
                             "include less"});
      return;
    }
    if (line.type == "@include") {
      include(service, line, type, includes, level, within);
      continue;
    }
    if (!type.empty() && line.type != type) continue;
    if (line.control != "include" && !line.is_substack()) {
      service.entries.push_back({&line, level, within});
      continue;
    }
    if (line.is_substack()) service.entries.push_back({&line, level, within});
    include(service, line, line.type, includes, level + (line.is_substack() ? 1 : 0), within);
  }
}

void PamStacks::include(PamService& service, const PamLine& line, const std::string& type,
                        unsigned includes, unsigned level, const PamInclusion* within) {
  if (line.module.empty()) {
    service.problems.push_back({line.file, line.number, "an include names no file", "name one"});
    return;
  }
  if (includes + 1 >= kMostIncludes) {
    service.problems.push_back(
        {line.file, line.number,
         "files include each other more than " + std::to_string(kMostIncludes) + " deep",
         "look for one that includes itself"});
    return;
  }
  std::vector<std::string> paths;
  if (line.module.starts_with('/'))
    paths.push_back(line.module);
  else
    for (const std::string& directory : directories_)
      paths.push_back(directory + "/" + line.module);
  for (const std::string& path : paths) {
    if (file(path).is_missing) continue;
    for (const char* each : {"auth", "account", "session", "password"})
      if (type.empty() || type == each) included_[{path, each}] = true;
    const PamInclusion& inclusion = inclusions_.emplace_back(PamInclusion{&line, within});
    append(service, path, type, includes + 1, level, &inclusion);
    return;
  }
  service.problems.push_back(
      {line.file, line.number,
       "includes " + escape_for_terminal(line.module) + ", which does not exist",
       "create it, or remove the line"});
}

bool PamStacks::is_included(const std::string& file, const std::string& type) const {
  return included_.contains({file, type});
}

PamAction action_on(const std::string& control, std::string_view answer, bool* ret_valid) {
  using Kind = PamAction::Kind;
  if (ret_valid != nullptr) *ret_valid = true;
  const bool good = answer == "success" || answer == "new_authtok_reqd";
  const bool ignored = answer == "ignore";
  if (control == "required") return {good ? Kind::ok : ignored ? Kind::ignore : Kind::bad};
  if (control == "requisite") return {good ? Kind::ok : ignored ? Kind::ignore : Kind::die};
  if (control == "optional") return {good ? Kind::ok : Kind::ignore};
  if (control == "sufficient") return {good ? Kind::done : Kind::ignore};
  if (const auto action = parse_control(control, answer)) return *action;
  if (ret_valid != nullptr) *ret_valid = false;
  return {};
}

const PamLine& PamEntry::seen_from(const std::string& file) const {
  const PamLine* seen = line;
  for (const PamInclusion* by = within; by != nullptr && seen->file != file; by = by->outer)
    seen = by->line;
  return *seen;
}

namespace {

// The next entry that is not inside a substack below `level`.
std::size_t next_at(const std::vector<PamEntry>& entries, std::size_t from, unsigned level) {
  for (++from; from < entries.size() && entries[from].level > level; ++from) {
  }
  return from;
}

}  // namespace

std::size_t jump_target(const std::vector<PamEntry>& entries, std::size_t at, unsigned jump) {
  const unsigned level = entries[at].level;
  for (unsigned i = 0; i <= jump && at < entries.size(); ++i) {
    at = next_at(entries, at, level);
    if (at < entries.size() && entries[at].level < level) break;
  }
  return at;
}

std::size_t next_on_success(const std::vector<PamEntry>& entries, std::size_t at) {
  using Kind = PamAction::Kind;
  const PamEntry& entry = entries[at];
  if (entry.line->is_substack()) return at + 1;
  const PamAction action = action_on(entry.line->control, "success");
  if (action.kind == Kind::done || action.kind == Kind::die) {
    if (entry.level == 0) return entries.size();
    return next_at(entries, at, entry.level - 1);  // the end of a substack, not of the stack
  }
  return action.kind == Kind::jump ? jump_target(entries, at, action.jump) : at + 1;
}

bool success_leads_to(const std::vector<PamEntry>& entries, std::size_t from, std::size_t to) {
  std::size_t at = from;
  while (at < to)
    at = next_on_success(entries, at);
  return at == to;
}

}  // namespace sessreg
