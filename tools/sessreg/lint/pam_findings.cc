#include "sessreg/lint/pam_findings.h"

#include <fmt/core.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <set>

#include "base/text.h"
#include "config/config_keys.h"
#include "config/pam_arguments.h"
#include "config/policy.h"
#include "config/spelling.h"
#include "sessreg/lint/auth_modules.h"
#include "sessreg/lint/near_file.h"
#include "sessreg/lint/pam_mends.h"

namespace sessreg {
namespace {

constexpr std::string_view kModule = "pam_sessreg.so";
constexpr std::string_view kTypes[] = {"auth", "account", "session", "password"};

// elogind's module is that of systemd-logind on hosts without systemd.
bool makes_session(const PamLine& line) {
  return line.module_name() == "pam_systemd.so" || line.module_name() == "pam_elogind.so";
}

// Services of Debian that go through the account phase and open no session.
constexpr std::string_view kOpensNone =
    " calendar chfn chpasswd chsh cinnamon-screensaver cups esmtp frr gnome-flashback "
    "gnome-screensaver imap kermit lmtp mate-screensaver monit mupdate newusers nntp ocserv "
    "openvpn partimaged passwd pcsd perdition please pleaseedit pluto polkit-1 pop pop3 popa3d "
    "pwauth radiusd sieve slock smtp solid-pop3d squid super ukui-screensaver-qt vmtoolsd webmail "
    "xfce4-screensaver xscreensaver ";
bool opens_sessions(const PamService& service) {
  return kOpensNone.find(" " + service.name + " ") == kOpensNone.npos;
}

// Services whose account phase is always a new login's.
constexpr std::string_view kLeadsNowhereBack =
    " atd cron dovecot ftp login proftpd remote rlogin rsh samba sshd su su-l sudo sudo-i vsftpd ";

bool names(const std::vector<std::string>& services, const std::string& service) {
  return std::find(services.begin(), services.end(), service) != services.end();
}

// The line must outlive what is returned.
PamArguments arguments_of(const PamLine& line) {
  std::vector<const char*> words;
  for (const std::string& word : line.arguments)
    words.push_back(word.c_str());
  return parse_pam_arguments(words);
}

// If a line has both `preauth` and `authfail`, `authfail` counts.
bool is_authfail(const PamLine& line) {
  return is_module(line) && arguments_of(line).authfail;
}
bool is_preauth(const PamLine& line) {
  return is_module(line) && arguments_of(line).preauth && !arguments_of(line).authfail;
}

PamSite site_of(const PamLine& line) {
  const PamArguments arguments = arguments_of(line);
  return {std::string(arguments.site), std::string(arguments.conf.value_or(""))};
}

bool can_be(const PamSite& site) {
  return is_valid_site_name(site.site) && (site.conf.empty() || site.conf.starts_with('/'));
}

// "on_error=deny or on_error=allow"
std::string choices_of(const PamArgument& argument) {
  std::string choices;
  for (const std::string_view value : argument.values)
    choices += fmt::format("{}{}{}", choices.empty() ? "" : " or ", argument.name, value);
  return choices;
}

// The argument that `word` may have been meant for; empty: none is close.
std::string_view nearest_argument(std::string_view word) {
  std::vector<std::string_view> names;
  for (const PamArgument& each : pam_arguments())
    names.push_back(each.name);
  return nearest_spelling(word, names);
}

// "'quite'", for a text.
std::string in_quotes(std::string_view text) {
  return "'" + escape_for_terminal(text) + "'";
}

bool exists(const std::string& path) {
  struct stat status {};
  return stat(path.c_str(), &status) == 0 || (errno != ENOENT && errno != ENOTDIR);
}

class Checker {
 public:
  Checker(const PamStacks& stacks,
          const std::function<const Result<Config>&(const PamSite&)>& configuration,
          const std::vector<std::string>& module_directories)
      : stacks_(stacks), configuration_(configuration), module_directories_(module_directories) {}

  PamCheck check() {
    add_problems(stacks_.problems());
    for (const PamService& service : stacks_.services()) {
      // Faults of a stack that has nothing of ours are for its own people.
      if (std::any_of(service.entries.begin(), service.entries.end(),
                      [](const PamEntry& entry) { return is_module(*entry.line); }))
        add_problems(service.problems);
      check_service(service);
    }
    for (Found& found : found_)
      result_.findings.push_back(
          {std::move(found.place), found.what + of_services(found), std::move(found.mend)});
    return std::move(result_);
  }

 private:
  struct Found {
    const PamLine* line;
    std::string place, what, mend;
    std::vector<std::string> services;  // whose stacks have it; empty: it is about the line itself
  };

  void add_problems(const std::vector<PamProblem>& problems) {
    for (const PamProblem& problem : problems) {
      Finding finding{place_of(problem.file, problem.number), problem.what, problem.mend};
      std::vector<Finding>& known = result_.findings;
      if (std::find(known.begin(), known.end(), finding) == known.end())
        known.push_back(std::move(finding));
    }
  }

  // Names the services, unless there is only one and the file is named after it.
  static std::string of_services(const Found& found) {
    constexpr std::size_t kMostNamed = 3;
    const std::vector<std::string>& names = found.services;
    if (names.empty()) return {};
    const std::string& file = found.line->file;
    if (names.size() == 1 && file.substr(file.rfind('/') + 1) == names.front()) return {};
    std::string text;
    for (std::size_t i = 0; i < names.size() && i < kMostNamed; ++i)
      text += (i == 0 ? "" : ", ") + escape_for_terminal(names[i]);
    if (names.size() > kMostNamed) text += fmt::format(" and {} more", names.size() - kMostNamed);
    return fmt::format(" ({} {})", names.size() == 1 ? "service" : "services", text);
  }

  // About the line itself, whatever stack it stands in.
  void add(const PamLine& line, std::string what, std::string mend) {
    add_for(line, {}, std::move(what), std::move(mend));
  }
  void add_for(const PamLine& line, const std::string& service, std::string what,
               std::string mend) {
    const auto known = std::find_if(found_.begin(), found_.end(), [&](const Found& found) {
      return found.line == &line && found.what == what;
    });
    Found& found =
        known != found_.end()
            ? *known
            : found_.emplace_back(Found{
                  &line, place_of(line.file, line.number), std::move(what), std::move(mend), {}});
    if (!service.empty() && (found.services.empty() || found.services.back() != service))
      found.services.push_back(service);
  }

  void check_service(const PamService& service) {
    std::set<PamSite> sites;
    for (const PamEntry& entry : service.entries) {
      const PamLine& line = *entry.line;
      if (!is_module(line)) {
        check_spelling(line);
        continue;
      }
      result_.is_named = true;
      if (seen_.insert(&line).second) check_line(line);
      const PamSite site = site_of(line);
      if (!can_be(site)) continue;
      sites.insert(site);
      note(result_.sites, site);
      note(result_.sites_of_service[service.name], site);
      if (line.type == "auth" && is_authfail(line)) note(result_.counted, site);
      if (const auto socket = arguments_of(line).socket)
        result_.socket_of_service.insert_or_assign(service.name, *socket);
    }
    for (const PamSite& site : sites)
      check_stack(service, site);
  }

  // libpam lets a login fail for a module that is not there, unless the line begins with a dash.
  void check_spelling(const PamLine& line) {
    constexpr std::string_view kOurs[] = {kModule};
    const std::string_view name = line.module_name();
    if (!nearest_spelling(name, kOurs).empty())
      add(line, in_quotes(name) + " is no module of sessreg's",
          fmt::format("did you mean {}?", kModule));
  }

  // What the site has to do with the service, once it counts it.
  void note_service(const PamService& service, const PamSite& site, const PamLine* account,
                    const PamLine* session) {
    bool is_enforced = false, is_observed = false;
    for (const PamLine* line : {account, session}) {
      if (line == nullptr || is_fragment(service, *line)) continue;
      (arguments_of(*line).observe ? is_observed : is_enforced) = true;
    }
    SiteServices& services = result_.services_of_site[site];
    if (is_enforced)
      services.enforced.insert(service.name);
    else if (is_observed)
      services.observed.insert(service.name);
  }

  static void note(std::vector<PamSite>& ret, const PamSite& site) {
    if (std::find(ret.begin(), ret.end(), site) == ret.end()) ret.push_back(site);
  }

  // --- A line ---

  void check_line(const PamLine& line) {
    if (std::find(std::begin(kTypes), std::end(kTypes), line.type) == std::end(kTypes))
      add(line, in_quotes(line.type) + " is no type of a PAM line, so libpam lets every login fail",
          "write auth, account or session");
    for (const std::string& argument : line.arguments)
      check_argument(line, argument);
    check_site(line);
    check_file(line);
  }

  void check_argument(const PamLine& line, const std::string& argument) {
    const PamArgument* known = find_pam_argument(argument);
    if (known == nullptr) {
      const std::string_view nearest = nearest_argument(argument);
      add(line, "unknown argument " + in_quotes(argument) + " is ignored",
          nearest.empty() ? "remove it; pam_sessreg(8) lists the arguments"
                          : fmt::format("did you mean {}?", nearest));
      return;
    }
    if (!is_pam_argument(argument))
      add(line, in_quotes(argument) + " is ignored", "write " + choices_of(*known));
    if (!known->line_type.empty() && line.type != known->line_type)
      add(line,
          fmt::format("{} does nothing on a line of type {}", argument,
                      escape_for_terminal(line.type)),
          fmt::format("move it to an {} line", known->line_type));
    if (argument == "preauth" && arguments_of(line).authfail)
      add(line, "of preauth and authfail on one line only authfail is done",
          "give each a line of its own");
  }

  void check_site(const PamLine& line) {
    const PamSite site = site_of(line);
    if (!is_valid_site_name(site.site)) {
      add(line, in_quotes(site.site) + " cannot be the name of a site",
          "use 1 to 64 of A-Z a-z 0-9 _ . -, a letter, digit or _ first");
      return;
    }
    const auto conf = arguments_of(line).conf;
    if (conf && !conf->starts_with('/')) {
      add(line, in_quotes("conf=" + site.conf) + " is not an absolute path",
          "write the whole path");
      return;
    }
    const Result<Config>& config = configuration_(site);
    if (config || config.error().code != Errc::config_missing) return;
    if (conf) {
      if (const std::string meant = near_file(site.conf); !meant.empty())
        return add(line, escape_for_terminal(site.conf) + " does not exist",
                   "did you mean conf=" + escape_for_terminal(meant) + "?");
    }
    const std::string& what = config.error().what;
    const std::size_t mend = what.rfind("; ");
    add(line, one_line(what.substr(0, mend)),
        mend == std::string::npos ? "create it" : one_line(what.substr(mend + 2)));
  }

  void check_file(const PamLine& line) {
    if (line.module.find('$') != std::string::npos) return;  // $ISA: libpam knows where
    if (line.module.starts_with('/')) {
      if (!exists(line.module))
        add(line, escape_for_terminal(line.module) + " does not exist",
            "install the module there, or name it without a directory");
      return;
    }
    const bool found = std::any_of(
        module_directories_.begin(), module_directories_.end(),
        [&](const std::string& directory) { return exists(directory + "/" + line.module); });
    if (!found)
      add(line, fmt::format("{} is in none of the directories of PAM modules", kModule),
          "install it, or name it by its absolute path");
  }

  // --- A stack ---

  void check_stack(const PamService& service, const PamSite& site) {
    const Result<Config>& config = configuration_(site);
    const bool ignored = config && standing_of(*config, {}, service.name, [](const std::string&) {
                                     return false;
                                   }) == Standing::ignored;
    if (!ignored) {
      const PamLine* account = first(service, "account", site);
      const PamLine* session = first(service, "session", site);
      note_service(service, site, account, session);
      for (const PamLine* line : {account, session}) {
        if (line == nullptr) continue;
        check_control(service, *line);
        check_way_to(service, *line);
      }
      const ServiceRules rules = config ? rules_of_service(*config, service.name) : ServiceRules();
      if (rules.keep.count() != 0)
        check_kept(service, account, session);
      else
        check_pair(service, rules, account, session);
      check_login_manager(service, site);
      if (account != nullptr && config) check_reattaching(service, *account, *config);
      if (session != nullptr && config) check_leftovers(service, *session, *config);
    }
    check_auth(service, site);
  }

  static const PamLine* first(const PamService& service, std::string_view type,
                              const PamSite& site) {
    for (const PamEntry& entry : service.entries)
      if (entry.line->type == type && is_module(*entry.line) && site_of(*entry.line) == site)
        return entry.line;
    return nullptr;
  }

  // A file made to be included: the rest of its stack is elsewhere.
  bool is_fragment(const PamService& service, const PamLine& line) const {
    return line.file.substr(line.file.rfind('/') + 1) == service.name &&
           stacks_.is_included(line.file, line.type);
  }

  void check_pair(const PamService& service, const ServiceRules& rules, const PamLine* account,
                  const PamLine* session) {
    const auto& clients = rules.from == nullptr ? std::nullopt : rules.from->settings.clients;
    if (account != nullptr && session == nullptr && clients)
      add_for(*account, service.name,
              "'clients' without 'keep' is for applications that log in over the socket, and this "
              "line gives its seat back at once",
              "set 'keep' for the service, or remove the line");
    else if (account != nullptr && session == nullptr && !is_fragment(service, *account) &&
             opens_sessions(service))
      add_for(*account, service.name,
              "an account line without a session line: the seat it reserves is given back, and the "
              "session is not counted",
              "add 'session required pam_sessreg.so' with the same arguments");
    if (session != nullptr && account == nullptr && !is_fragment(service, *session))
      add_for(*session, service.name,
              "a session line without an account line: who is refused is refused late, and 'ssh "
              "-N' stays connected",
              "add 'account required pam_sessreg.so' with the same arguments");
  }

  // Its account phase does all, and what it takes is not given back to others.
  void check_kept(const PamService& service, const PamLine* account, const PamLine* session) {
    if (account == nullptr && session != nullptr && !is_fragment(service, *session))
      add_for(*session, service.name,
              "a session line without an account line: 'keep' has the account phase take the seat, "
              "so nobody is counted",
              "add 'account required pam_sessreg.so' with the same arguments");
    if (account == nullptr || is_fragment(service, *account)) return;
    bool is_behind = false;
    for (const PamEntry& entry : service.of_type("account")) {
      const PamLine& line = *entry.line;
      is_behind |= &line == account;
      const auto kind = action_on(line.control, "perm_denied").kind;
      if (!is_behind || is_module(line) || line.module_name() == "pam_permit.so" ||
          (kind != PamAction::Kind::bad && kind != PamAction::Kind::die))
        continue;
      add_for(
          *account, service.name,
          fmt::format("behind this line {} ({}) may refuse, and by then 'keep' has taken a seat",
                      escape_for_terminal(line.module_name()), place_of(line.file, line.number)),
          "move the line behind all other account lines");
      return;
    }
  }

  void check_control(const PamService& service, const PamLine& line) {
    using Kind = PamAction::Kind;
    bool valid = true;
    const Kind kind = action_on(line.control, "perm_denied", &valid).kind;
    const char* mend = line.type == "auth" ? "write requisite" : "write required";
    if (!valid) {
      add(line,
          "libpam cannot read the control " + in_quotes(line.control) +
              ", and lets every login fail",
          mend);
    } else if (kind == Kind::ignore || kind == Kind::reset || kind == Kind::jump) {
      add_for(line, service.name,
              fmt::format("with the control {} a refusal does not refuse the login",
                          in_quotes(line.control)),
              mend);
    }
  }

  // libpam-sss and Red Hat's authselect write such lines for local users.
  void check_way_to(const PamService& service, const PamLine& line) {
    if (is_fragment(service, line)) return;
    const std::vector<PamEntry> entries = service.of_type(line.type);
    std::size_t own = 0;
    while (entries[own].line != &line)
      ++own;
    for (std::size_t i = own; i-- > 0;) {
      const PamLine& other = *entries[i].line;
      // A jump on a condition is how an administrator says whom a line does not concern.
      const bool is_condition = !is_password_module(other) &&
                                action_on(other.control, "success").kind == PamAction::Kind::jump;
      if (is_condition || next_on_success(entries, i) <= own) continue;
      add_for(
          line, service.name,
          fmt::format("the success of {} ({}) skips this line: {}",
                      escape_for_terminal(other.module_name()), place_of(other.file, other.number),
                      line.type == "account" ? "who is refused is refused late, and 'ssh -N' "
                                               "stays connected"
                                             : "the session is not counted"),
          mend_before(entries, own, i, line.file, {}));
      return;
    }
  }

  // What makes a session at login may start what a refused login must not have.
  void check_login_manager(const PamService& service, const PamSite& site) {
    const std::vector<PamEntry> entries = service.of_type("session");
    std::optional<std::size_t> manager;
    for (std::size_t i = 0; i < entries.size(); ++i) {
      const PamLine& line = *entries[i].line;
      if (!manager && makes_session(line)) manager = i;
      if (!manager || !is_module(line) || site_of(line) != site) continue;
      add_for(line, service.name,
              fmt::format("the session line stands behind {}, which has made a session by the "
                          "time this one is refused",
                          entries[*manager].line->module_name()),
              mend_before(entries, i, *manager, line.file, {}));
    }
  }

  // The default list is right; a list that replaces it may say too much, or have forgotten one. An
  // empty one is meant so.
  void check_reattaching(const PamService& service, const PamLine& account, const Config& config) {
    const std::vector<std::string>& services = config.reattach_services;
    const std::vector<std::string> defaults = default_config(config.site).reattach_services;
    if (names(services, service.name) &&
        kLeadsNowhereBack.find(" " + service.name + " ") != kLeadsNowhereBack.npos)
      add_for(account, service.name,
              "reattach_services names this service, which leads back to no open session, so that "
              "who has a session is not refused before another one opens",
              "remove it from reattach_services");
    if (!services.empty() && !names(services, service.name) && names(defaults, service.name) &&
        !service.name.ends_with("-autologin"))
      add_for(account, service.name,
              "reattach_services does not name this service, so that at the limit nobody can come "
              "back by it to a session of their own",
              "add it to reattach_services");
  }

  // Of the whole site's setting a service need not have the use.
  void check_leftovers(const PamService& service, const PamLine& session, const Config& config) {
    const auto nobody = [](const std::string&) { return false; };
    const auto counted = rules_for(config, {}, service.name, nobody).count_leftovers;
    if (counted.value == CountLeftovers::no || counted.from == nullptr) return;
    for (const PamEntry& entry : service.of_type("session")) {
      if (entry.line->module_name() == "pam_loginuid.so") return;
      if (entry.line != &session) continue;
      add_for(session, service.name,
              "no pam_loginuid.so before the session line begins an audit session, so that "
              "count_leftovers counts nothing",
              "add 'session required pam_loginuid.so' before it");
      return;
    }
  }

  void check_auth(const PamService& service, const PamSite& site) {
    const std::vector<PamEntry> entries = service.of_type("auth");
    std::optional<std::size_t> preauth, first_password, last_password;
    std::vector<std::size_t> authfails;
    for (std::size_t i = 0; i < entries.size(); ++i) {
      const PamLine& line = *entries[i].line;
      if (can_authenticate(line)) {
        if (!first_password) first_password = i;
        last_password = i;
      }
      if (!is_module(line) || site_of(line) != site) continue;
      if (is_preauth(line) && !preauth) preauth = i;
      if (is_authfail(line)) authfails.push_back(i);
    }
    if (preauth) check_preauth(service, entries, *preauth, first_password);
    if (authfails.empty()) {
      if (preauth) check_missing_authfail(service, entries, *preauth, last_password);
      return;
    }
    const PamLine& line = *entries[authfails.front()].line;
    if (!preauth && !is_fragment(service, line))
      add_for(line, service.name,
              "authfail without preauth: passwords of a blacklisted host are still tried",
              mend_before(entries, {}, first_password.value_or(authfails.front()), line.file,
                          own_line("requisite", line, "preauth")));
    if (last_password && *last_password > authfails.back()) {
      check_last_password(service, entries, authfails.back(), *last_password);
      return;
    }
    for (const std::size_t authfail : authfails)
      if (check_way_of_success(service, entries, authfail, authfail != authfails.front())) return;
  }

  // A line like that one, for the same site.
  static std::string own_line(const char* control, const PamLine& like, const char* word) {
    const PamSite site = site_of(like);
    std::string text = fmt::format("auth {} {} {}", control, like.module, word);
    if (site.site != PamSite().site) text += " site=" + site.site;
    if (!site.conf.empty())
      text += site.conf.find_first_of(" []") == std::string::npos ? " conf=" + site.conf
                                                                  : " [conf=" + site.conf + "]";
    return escape_for_terminal(text);
  }

  void check_preauth(const PamService& service, const std::vector<PamEntry>& entries,
                     std::size_t preauth, std::optional<std::size_t> first_password) {
    const PamLine& line = *entries[preauth].line;
    check_control(service, line);
    if (first_password && *first_password < preauth)
      add_for(line, service.name,
              fmt::format("preauth stands behind {}, which has looked at the password by then",
                          shown_module(entries[*first_password])),
              mend_before(entries, preauth, *first_password, line.file, {}));
    check_reach_of_preauth(service, entries, preauth);
  }

  // What ends a substack does not end the stack.
  void check_reach_of_preauth(const PamService& service, const std::vector<PamEntry>& entries,
                              std::size_t preauth) {
    const unsigned level = entries[preauth].level;
    if (level == 0) return;
    const auto is_outside = [&](const PamEntry& entry) { return entry.level < level; };
    const auto own = entries.begin() + static_cast<std::ptrdiff_t>(preauth);
    const auto asked =
        std::find_if(std::find_if(own, entries.end(), is_outside), entries.end(),
                     [](const PamEntry& entry) { return can_authenticate(*entry.line); });
    if (asked == entries.end()) return;
    std::size_t substack = preauth;
    while (!is_outside(entries[substack]))
      --substack;
    add_for(*own->line, service.name,
            fmt::format("preauth stands in a substack, which is all that its refusal ends, so that "
                        "{} is asked for passwords of a blacklisted host",
                        shown_module(*asked)),
            mend_before(entries, preauth, substack, entries[substack].line->file, {}));
  }

  void check_missing_authfail(const PamService& service, const std::vector<PamEntry>& entries,
                              std::size_t preauth, std::optional<std::size_t> last_password) {
    const PamLine& line = *entries[preauth].line;
    if (is_fragment(service, line)) return;
    const std::string authfail = own_line("[default=die]", line, "authfail");
    add_for(line, service.name, "preauth without authfail: no failed authentication is counted",
            last_password ? mend_authfail(entries, {}, *last_password, authfail)
                          : fmt::format("add '{}' behind what authenticates", authfail));
  }

  static std::string shown_module(const PamEntry& entry) {
    return escape_for_terminal(entry.line->module_name());
  }

  // An authentication behind the last authfail line.
  void check_last_password(const PamService& service, const std::vector<PamEntry>& entries,
                           std::size_t authfail, std::size_t password) {
    const PamLine& line = *entries[authfail].line;
    for (std::size_t i = 0; i < authfail; ++i) {
      if (!can_authenticate(*entries[i].line) || !success_leads_to(entries, i, password)) continue;
      // A second one that is asked for besides the first, not instead of it.
      add_for(
          line, service.name,
          fmt::format("authfail stands before {}, so that what fails there is not counted",
                      shown_module(entries[password])),
          mend_authfail(entries, {}, password, own_line("[default=die]", line, "authfail"), true));
      return;
    }
    add_for(line, service.name,
            fmt::format("authfail stands before {}, so that it counts logins that have not failed",
                        shown_module(entries[password])),
            mend_authfail(entries, authfail, password, {}));
  }

  // Returns whether there is a finding.
  bool check_way_of_success(const PamService& service, const std::vector<PamEntry>& entries,
                            std::size_t authfail, bool is_second) {
    std::optional<std::size_t> first, last;
    std::size_t led_to = 0;
    for (std::size_t i = 0; i < authfail; ++i) {
      if (!can_authenticate(*entries[i].line)) continue;
      last = i;
      for (std::size_t to = authfail; to < entries.size() && !first; ++to) {
        if ((to != authfail && entries[to].line->module_name() != "pam_deny.so") ||
            !success_leads_to(entries, i, to))
          continue;
        first = i;
        led_to = to;
      }
    }
    if (!first) return false;
    add_for(*entries[authfail].line, service.name,
            fmt::format("a right password leads to {}, as {} does not skip it on success",
                        led_to == authfail ? "authfail" : "pam_deny.so behind authfail",
                        shown_module(entries[*first])),
            mend_authfail(entries, authfail, *last, {}, is_second));
    return true;
  }

  const PamStacks& stacks_;
  const std::function<const Result<Config>&(const PamSite&)>& configuration_;
  const std::vector<std::string>& module_directories_;
  std::set<const PamLine*> seen_;
  std::vector<Found> found_;
  PamCheck result_;
};

}  // namespace

bool is_module(const PamLine& line) {
  return line.module_name() == kModule;
}

PamCheck check_pam_stacks(const PamStacks& stacks,
                          const std::function<const Result<Config>&(const PamSite&)>& configuration,
                          const std::vector<std::string>& module_directories) {
  return Checker(stacks, configuration, module_directories).check();
}

}  // namespace sessreg
