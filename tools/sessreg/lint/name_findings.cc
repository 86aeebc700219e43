#include "sessreg/lint/name_findings.h"

#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <string_view>

#include "base/text.h"
#include "config/spelling.h"
#include "host/account.h"
#include "sessreg/lint/host_file.h"

namespace sessreg {
namespace {

enum class Kind { user, group };

const char* text(Kind kind) {
  return kind == Kind::user ? "user" : "group";
}

constexpr const char* kClients = "'clients' of the section";

bool is_number(const std::string& name) {
  return name.find_first_not_of("0123456789") == std::string::npos;
}

// The first fields of /etc/passwd or /etc/group: to ask a directory for all its names may take hours.
std::vector<std::string> local_names(Kind kind, const std::string& root) {
  std::vector<std::string> names;
  const auto file = read_host_file(root + (kind == Kind::user ? "/etc/passwd" : "/etc/group"));
  if (!file) return names;
  for (std::string_view rest = *file; !rest.empty();) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    if (line.find(':') != std::string_view::npos)
      names.emplace_back(line.substr(0, line.find(':')));
  }
  return names;
}

class NameChecker {
 public:
  NameChecker(const std::string& path, const std::string& root) : path_(path), root_(root) {}

  void check(Kind kind, const std::string& name, unsigned line, const std::string& where) {
    using Known = NameAnswer::Known;
    const NameAnswer answer = kind == Kind::user ? ask_for_user(name) : ask_for_group(name);
    if (answer.known == Known::no)
      add(line,
          fmt::format("{} names the {} {}, and this host knows none of that name", where,
                      text(kind), shown(name)),
          mend_of(kind, name));
    // Groups are compared by their number, so their spelling does not matter.
    if (answer.known == Known::yes && kind == Kind::user && answer.spelling != name)
      add(line,
          fmt::format("{} names the user {}, who is called {} at a login", where, shown(name),
                      shown(answer.spelling)),
          "write " + shown(answer.spelling));
  }

  std::vector<Finding> take() { return std::move(findings_); }

 private:
  static std::string shown(const std::string& name) { return escape_for_terminal(in_file(name)); }

  void add(unsigned line, std::string what, std::string mend) {
    findings_.push_back({place_of(path_, line), std::move(what), std::move(mend)});
  }

  std::string mend_of(Kind kind, const std::string& name) {
    const auto [at, is_new] = local_names_.try_emplace(kind);
    std::vector<std::string>& known = at->second;
    if (is_new) known = local_names(kind, root_);
    const std::vector<std::string_view> views(known.begin(), known.end());
    const std::string_view nearest = nearest_spelling(name, views);
    if (!nearest.empty()) return fmt::format("did you mean {}?", shown(std::string(nearest)));
    return fmt::format("add that {}, or remove the name", text(kind));
  }

  const std::string& path_;
  const std::string& root_;
  std::map<Kind, std::vector<std::string>> local_names_;
  std::vector<Finding> findings_;
};

}  // namespace

std::vector<Finding> check_names(const Config& config, const std::string& path,
                                 const std::string& root) {
  NameChecker checker(path, root);
  const auto check_list = [&](const char* key, const NameList& list) {
    const unsigned line = line_at_top(config, key);
    if (line == 0) return;  // the default is for any host
    for (const std::string& name : list.users)
      checker.check(Kind::user, name, line, fmt::format("'{}'", key));
    for (const std::string& name : list.groups)
      checker.check(Kind::group, name, line, fmt::format("'{}'", key));
  };
  check_list("reserved_for", config.reserved_for);
  check_list("exempt", config.exempt);
  for (const Section& section : config.sections) {
    if (section.kind == SectionKind::service) {
      // Numbers are uids and gids, of containers too.
      const NameList clients = section.settings.clients.value_or(NameList());
      for (const std::string& name : clients.users)
        if (!is_number(name)) checker.check(Kind::user, name, section.line, kClients);
      for (const std::string& name : clients.groups)
        if (!is_number(name)) checker.check(Kind::group, name, section.line, kClients);
      continue;
    }
    const Kind kind = section.kind == SectionKind::user ? Kind::user : Kind::group;
    checker.check(kind, section.name, section.line, "the section");
  }
  return checker.take();
}

}  // namespace sessreg
