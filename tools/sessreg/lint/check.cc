// sessreg check
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>

#include "base/text.h"
#include "common/errors.h"
#include "common/output.h"
#include "common/site.h"
#include "config/policy.h"
#include "sessreg/command.h"
#include "sessreg/lint/findings.h"
#include "sessreg/lint/host_file.h"
#include "sessreg/lint/login_servers.h"
#include "sessreg/lint/name_findings.h"
#include "sessreg/lint/near_file.h"
#include "sessreg/lint/pam_findings.h"
#include "sessreg/lint/pam_stacks.h"
#include "sessreg/lint/service_findings.h"
#include "sessreg/lint/service_stack.h"
#include "sessreg/lint/setting_findings.h"
#include "sessreg/lint/sshd_config.h"

namespace sessreg {
namespace {

// All but the first are hidden: where to look on a host that is laid out differently.
struct CheckOptions {
  std::string file;         // only this configuration, which need not be in place
  std::string pam_dir;      // empty: the usual ones
  std::string module_dir;   // likewise
  std::string sshd_config;  // likewise
  std::string root;         // before the paths of other programs' files
};

std::vector<std::string> pam_directories(const CheckOptions& options) {
  if (!options.pam_dir.empty()) return {options.pam_dir};
  return host_pam_directories();
}

// Some distributions keep their own file out of /etc, for who has none there.
std::vector<std::string> sshd_configs(const CheckOptions& options) {
  if (!options.sshd_config.empty()) return {options.sshd_config};
  return {options.root + "/etc/ssh/sshd_config", options.root + "/usr/etc/ssh/sshd_config"};
}

std::vector<std::string> module_directories(const CheckOptions& options) {
  if (!options.module_dir.empty()) return {options.module_dir};
  std::vector<std::string> directories = {"/lib/security", "/lib64/security", "/usr/lib/security",
                                          "/usr/lib64/security", "/usr/local/lib/security"};
  for (const char* pattern :
       {"/lib/*/security", "/usr/lib/*/security", "/usr/local/lib/*/security"}) {
    const std::vector<std::string> found = files_matching(pattern);
    directories.insert(directories.end(), found.begin(), found.end());
  }
  return directories;
}

// Cuts the mend off an error's text: what follows the last "; ", or, if there is none, what the
// library put after a colon.
void split_mend(std::string& what, std::string& ret_mend) {
  constexpr std::string_view kMends[] = {": run '", ": put ", ": give ", ": write "};
  std::size_t at = what.rfind("; ");
  for (const std::string_view begin : kMends)
    if (at == std::string::npos) at = what.rfind(begin);
  if (at == std::string::npos) return;
  ret_mend = what.substr(at + 2);
  what.resize(at);
}

// Methods of sshd's AuthenticationMethods. PAM is the only device of the second that there is on Linux.
bool is_interactive(const std::string& method) {
  return method == "keyboard-interactive" || method == "keyboard-interactive:pam";
}

class Check {
 public:
  Check(const GlobalOptions& global, const CheckOptions& options)
      : global_(global), options_(options) {}

  // The file alone, as if it were the configuration of the site.
  std::vector<Finding> run_file() {
    const Result<Config> config = load_config(global_.site, options_.file);
    if (!config) {
      findings_.push_back(finding_of(config.error(), options_.file, called({})));
    } else {
      add(check_names(*config, options_.file, options_.root));
      add(check_settings(*config, options_.file));
      if (!limits_anything(*config)) add_no_limit(options_.file);
    }
    return std::move(findings_);
  }

  std::vector<Finding> run() {
    for (const PamSite& site : chosen_sites())
      check_site(site, true);
    const PamStacks stacks(pam_directories(options_));
    const PamCheck pam = check_pam_stacks(
        stacks,
        [this](const PamSite& site) -> const Result<Config>& { return configuration(site); },
        module_directories(options_));
    add(pam.findings);
    if (!pam.is_named)
      findings_.push_back({place_of(pam_directories(options_).front(), 0),
                           "no stack names pam_sessreg.so, so no login is counted",
                           "add the account and session lines that pam_sessreg(8) shows"});
    for (const PamSite& site : pam.sites) {
      check_site(site, false);
      check_counting(site, pam);
    }
    for (const PamSite& site : checked_)
      if (const Result<Config>& config = configuration(site))
        add(check_services(*config, path_of(site), pam, pam_directories(options_).front()));
    for (const auto& [site, services] : pam.services_of_site)
      check_effect(site, services);
    if (pam.is_named) check_unnamed(pam);
    check_suffixes();
    check_sshd(pam);
    if (counts(pam, "proftpd")) add(check_proftpd(options_.root));
    if (counts(pam, "samba")) add(check_smbd(options_.root));
    return std::move(findings_);
  }

  // What holds, for who has no findings. A line for each site that counts anybody.
  std::string in_force() const { return in_force_; }

 private:
  void add_no_limit(const std::string& path) {
    findings_.push_back({place_of(path, 0), "sets no limit, so that nobody is refused",
                         "write 'sessions_limit = COUNT'"});
  }

  // Whether those who log in by these services are limited at all.
  void check_effect(const PamSite& named, const SiteServices& services) {
    const PamSite site = resolved(named);
    const Result<Config>& config = configuration(site);
    if (!config || (services.enforced.empty() && services.observed.empty())) return;
    const auto names = [](const std::set<std::string>& all) {
      std::string text;
      for (const std::string& name : all)
        text += (text.empty() ? "" : ", ") + escape_for_terminal(name);
      return text;
    };
    const std::string path = path_of(site);
    if (services.enforced.empty())
      findings_.push_back(
          {place_of(path, 0),
           fmt::format("each stack of site '{}' has 'observe', so that nobody is refused ({})",
                       site.site, names(services.observed)),
           "remove 'observe' from the lines once the log shows what you expect"});
    else if (!limits_anything(*config))
      check_no_limit(path);
    in_force_ += fmt::format("site {}: {}", site.site,
                             config->sessions_limit < 0 ? std::string("no limit of seats")
                                                        : seats_text(config->sessions_limit));
    if (!services.enforced.empty()) in_force_ += ", in force for " + names(services.enforced);
    if (!services.observed.empty()) in_force_ += "; observed: " + names(services.observed);
    in_force_ += '\n';
  }

  static std::string seats_text(std::int32_t seats) {
    return fmt::format("{} seat{}", seats, seats == 1 ? "" : "s");
  }

  // The defaults limit nobody.
  void check_no_limit(const std::string& path) {
    if (access(path.c_str(), F_OK) == 0) return add_no_limit(path);
    const std::string near = near_file(path);
    findings_.push_back({place_of(path, 0), "does not exist, so that nobody is refused",
                         near.empty() ? "create it, with 'sessions_limit = COUNT'"
                                      : "did you mean it by " + escape_for_terminal(near) + "?"});
  }

  // Sites that have a configuration and nothing else. One that a program uses has a registry.
  void check_unnamed(const PamCheck& pam) {
    for (const PamSite& site : checked_) {
      const Result<Config>& config = configuration(site);
      const auto is_it = [&](const PamSite& named) { return resolved(named) == site; };
      const auto has_clients = [](const Section& section) {
        return section.settings.clients.has_value();
      };
      if (!config || site.site == PamSite().site || !site.conf.empty() ||
          std::any_of(pam.sites.begin(), pam.sites.end(), is_it) ||
          std::any_of(config->sections.begin(), config->sections.end(), has_clients) ||
          access(config->registry.c_str(), F_OK) == 0)
        continue;
      findings_.push_back(
          {place_of(path_of(site), 0), "no stack names this site, so that it limits nobody",
           fmt::format("add 'site={}' to the lines of its services, or remove the file",
                       site.site)});
    }
  }

  // An editor's and a package's left-overs are nobody's site.
  void check_suffixes() {
    for (const std::string& path : files_matching("/etc/security/sessreg.d/*")) {
      const std::string name = path.substr(path.rfind('/') + 1);
      if (name.find('.') != std::string::npos || !is_valid_site_name(name)) continue;
      findings_.push_back({place_of(path, 0),
                           "is read by nobody, as its name does not end in .conf",
                           fmt::format("name it {}.conf", name)});
    }
  }

  std::vector<PamSite> chosen_sites() {
    if (global_.site != GlobalOptions().site || !global_.conf.empty())
      return {{global_.site, global_.conf}};
    std::vector<PamSite> sites;
    try {
      for (const std::string& name : all_sites())
        sites.push_back({name, {}});
    } catch (const Failure&) {
      findings_.push_back({"/etc/security/sessreg.d", "cannot be read", "run as root"});
      sites.push_back({});
    }
    return sites;
  }

  // For this command, --conf stands in for the site's own file.
  PamSite resolved(PamSite site) const {
    if (site.conf.empty() && site.site == global_.site) site.conf = global_.conf;
    return site;
  }

  const Result<Config>& configuration(const PamSite& named) {
    const PamSite site = resolved(named);
    const auto known = configurations_.find(site);
    if (known != configurations_.end()) return known->second;
    return configurations_.emplace(site, load_config(site.site, site.conf)).first->second;
  }

  std::string called(const PamSite& site) const {
    GlobalOptions global;
    global.site = site.site;
    global.conf = site.conf;
    return called_as(global);
  }

  static std::string path_of(const PamSite& site) {
    return site.conf.empty() ? default_config_path(site.site) : site.conf;
  }

  void add(const std::vector<Finding>& more) {
    findings_.insert(findings_.end(), more.begin(), more.end());
  }

  // Whether a site counts the sessions of that service, and its stack names the site.
  bool counts(const PamCheck& pam, const std::string& service) {
    const auto named = pam.sites_of_service.find(service);
    if (named == pam.sites_of_service.end()) return false;
    return std::any_of(named->second.begin(), named->second.end(), [&](const PamSite& site) {
      const Result<Config>& config = configuration(site);
      return config && standing_of(*config, {}, service,
                                   [](const std::string&) { return false; }) != Standing::ignored;
    });
  }

  // Checks configuration and registry, once for each site. `chosen`: not only because a line of a
  // stack names the site; if that is the only reason, a missing file is that line's mistake.
  void check_site(const PamSite& named, bool chosen) {
    const PamSite site = resolved(named);
    if (!checked_.insert(site).second) return;
    const Result<Config>& config = configuration(site);
    if (config) {
      add(check_names(*config, path_of(site), options_.root));
      add(check_settings(*config, path_of(site)));
      check_registry(site, *config);
      return;
    }
    if (config.error().code != Errc::config_missing || chosen)
      findings_.push_back(finding_of(config.error(), path_of(site), called(site)));
  }

  void check_registry(const PamSite& site, const Config& config) {
    // Two sites may share a registry by mistake. Its own faults are reported only once.
    const auto [other, is_first] = registries_.emplace(config.registry, site);
    if (!is_first) {
      if (other->second.site != site.site)
        findings_.push_back({place_of(path_of(site), 0),
                             fmt::format("has the registry of site '{}', {}", other->second.site,
                                         escape_for_terminal(config.registry)),
                             "give each site a 'registry' of its own"});
      return;
    }
    const auto host = host_identity();
    if (!host) {
      findings_.push_back(finding_of(host.error(), "/proc", called(site)));
      return;
    }
    const auto registry = Registry::open(config.registry, *host);
    if (!registry) {
      if (registry.error().code == Errc::not_found) return;
      findings_.push_back(finding_of(registry.error(), config.registry, called(site)));
      if (registry.error().code == Errc::other_boot)
        findings_.back().mend = "the next login replaces it";
      return;
    }
    check_capacity(config, *registry);
    check_groups(config, *registry);
    check_override(site, config, *registry);
  }

  // Until the next boot it hides what the file says, edited or not.
  void check_override(const PamSite& site, const Config& config, const Registry& registry) {
    const auto limit = registry.override_limit();
    if (!limit || *limit == config.sessions_limit) return;
    findings_.push_back(
        {place_of(path_of(site), line_at_top(config, "sessions_limit")),
         fmt::format("'sessions_limit' is hidden by a limit of {} that was set by hand", *limit),
         fmt::format("run '{} limit --configured'", called(site))});
  }

  void check_capacity(const Config& config, const Registry& registry) {
    const auto capacity = static_cast<std::int64_t>(registry.capacity());
    if (capacity == config.capacity) return;
    const std::string mend =
        "it is made anew at the next boot (or remove it while nobody is logged in)";
    if (config.sessions_limit > capacity)
      findings_.push_back({place_of(config.registry, 0),
                           fmt::format("has a capacity of {} only, 'sessions_limit' is {}",
                                       capacity, config.sessions_limit),
                           mend});
    else
      findings_.push_back({place_of(config.registry, 0),
                           fmt::format("was made with a capacity of {}, 'capacity' is {} by now",
                                       capacity, config.capacity),
                           mend});
  }

  // A login cannot be decided if one of its groups finds no entry left in the registry.
  void check_groups(const Config& config, const Registry& registry) {
    std::vector<std::string> limited;
    for (const GroupLimit& limit : limited_groups(config))
      limited.push_back(limit.entry());
    const std::vector<std::string_view> names(limited.begin(), limited.end());
    const std::size_t entries = registry.group_entries_with(names);
    if (entries <= kMaxGroups) return;
    findings_.push_back(
        {place_of(config.registry, 0),
         fmt::format("has room for {} groups and services with a limit, and there are {} with "
                     "those of earlier configurations",
                     kMaxGroups, entries),
         "give fewer of them a limit; those of earlier configurations are forgotten at the next "
         "boot"});
  }

  // Counting failures takes PAM lines of its own.
  void check_counting(const PamSite& named, const PamCheck& pam) {
    const Result<Config>& config = configuration(named);
    if (!config || config->max_failed_auth_per_host == 0) return;
    if (std::find(pam.counted.begin(), pam.counted.end(), named) != pam.counted.end()) return;
    findings_.push_back(
        {place_of(path_of(resolved(named)), 0),
         fmt::format("'max_failed_auth_per_host' is {}, but no stack has an authfail line for the "
                     "site, so nothing is counted",
                     config->max_failed_auth_per_host),
         "add the auth lines that pam_sessreg(8) shows"});
  }

  void check_sshd(const PamCheck& pam) {
    const SshdConfig sshd = read_sshd_config(sshd_configs(options_));
    const std::vector<PamSite> sites = check_services_of_sshd(sshd, pam);
    if (sites.empty()) return;
    for (const SshdConfig::Problem& problem : sshd.problems)
      findings_.push_back({place_of(problem.file, 0), problem.what, problem.mend});
    if (sshd.file.empty()) return;
    constexpr const char* kMend = "write 'UsePAM yes'";
    if (sshd.use_pam && sshd.use_pam->value != "yes")
      findings_.push_back({place_of(sshd.use_pam->file, sshd.use_pam->line),
                           fmt::format("UsePAM is '{}', so sshd asks no PAM stack",
                                       escape_for_terminal(sshd.use_pam->value)),
                           kMend});
    if (!sshd.use_pam && sshd.problems.empty())
      findings_.push_back({place_of(sshd.file, 0),
                           "UsePAM is not set, and its default is no, so sshd asks no PAM stack",
                           kMend});
    if (sshd.use_pam && sshd.use_pam->value == "yes")
      for (const SshdMethods& methods : sshd.methods)
        check_methods(methods);
    if (!sshd.use_dns || sshd.use_dns->value != "yes") return;
    const bool counts = std::any_of(sites.begin(), sites.end(), [&](const PamSite& site) {
      const Result<Config>& config = configuration(site);
      return config && config->max_failed_auth_per_host != 0;
    });
    if (counts)
      findings_.push_back({place_of(sshd.use_dns->file, sshd.use_dns->line),
                           "UseDNS is yes, so failed authentications are counted by host name, and "
                           "whoever controls the reverse DNS of an address can change it at will",
                           "write 'UseDNS no'"});
  }

  // Which sites the stacks of sshd name. If any does, each has to.
  std::vector<PamSite> check_services_of_sshd(const SshdConfig& sshd, const PamCheck& pam) {
    std::vector<SshdSetting> services = sshd.pam_services_of_blocks;
    services.insert(services.begin(), sshd.pam_service.value_or(SshdSetting{"sshd", {}, 0}));
    std::vector<PamSite> sites;
    for (const SshdSetting& service : services)
      if (const auto named = pam.sites_of_service.find(service.value);
          named != pam.sites_of_service.end())
        sites.insert(sites.end(), named->second.begin(), named->second.end());
    if (sites.empty() && !pam.sites_of_service.contains("sshd")) return {};
    for (const SshdSetting& service : services) {
      if (pam.sites_of_service.contains(service.value)) continue;
      const std::string name = escape_for_terminal(service.value);
      findings_.push_back(
          {service.file.empty() ? place_of(sshd.file, 0) : place_of(service.file, service.line),
           fmt::format("sshd asks the PAM service {}, whose stack does not name pam_sessreg.so, so "
                       "that these logins are not counted",
                       name),
           fmt::format(
               "add the account and session lines to {}",
               escape_for_terminal(pam_directories(options_).front() + "/" + service.value))});
    }
    return sites;
  }

  // sshd goes through the account phase behind keyboard-interactive, whatever is to follow; behind
  // `password` only if that was the last.
  void check_methods(const SshdMethods& methods) {
    const auto text = [](const std::vector<std::string>& list) {
      return escape_for_terminal(fmt::format("{}", fmt::join(list, ",")));
    };
    for (const std::vector<std::string>& list : methods.lists) {
      const auto early = std::find_if(list.begin(), list.end(), is_interactive);
      const auto later = std::find_if_not(early, list.end(), is_interactive);
      if (later == list.end()) continue;
      // Where that much is a list, too, the login is complete with it.
      const std::vector<std::string> so_far(list.begin(), later);
      if (std::find(methods.lists.begin(), methods.lists.end(), so_far) != methods.lists.end())
        continue;
      std::vector<std::string> mended;
      std::remove_copy_if(list.begin(), list.end(), std::back_inserter(mended), is_interactive);
      mended.push_back(*early);
      findings_.push_back(
          {place_of(methods.file, methods.line),
           fmt::format(
               "'{}' asks for more behind keyboard-interactive, which takes a seat without that",
               text(list)),
           fmt::format("write '{}'", text(mended))});
    }
  }

  const GlobalOptions& global_;
  const CheckOptions& options_;
  std::vector<Finding> findings_;
  std::map<PamSite, Result<Config>> configurations_;
  std::set<PamSite> checked_;
  std::map<std::string, PamSite> registries_;
  std::string in_force_;
};

int run_check(const GlobalOptions& global, const CheckOptions& options) {
  if (!is_valid_site_name(global.site)) load_site_config(global);  // throws
  Check check(global, options);
  const std::vector<Finding> findings = options.file.empty() ? check.run() : check.run_file();
  if (global.json) {
    nlohmann::ordered_json json = nlohmann::ordered_json::array();
    for (const Finding& finding : findings)
      json.push_back({{"place", finding.place}, {"what", finding.what}, {"mend", finding.mend}});
    print(json_text(json));
  } else {
    std::string text;
    for (const Finding& finding : findings)
      text += fmt::format("{}: {}; {}\n", finding.place, finding.what, finding.mend);
    print(findings.empty() ? "no findings\n" + check.in_force() : text);
  }
  return findings.empty() ? kExitDone : kExitFailed;
}

}  // namespace

std::string place_of(const std::string& file, unsigned line) {
  const std::string shown = escape_for_terminal(file);
  return line == 0 ? shown : fmt::format("{}:{}", shown, line);
}

Finding finding_of(const Error& error, const std::string& file, const std::string& called) {
  Finding finding{place_of(file, 0), {}, {}};
  if (error.code == Errc::permission_denied && geteuid() != 0) {
    finding.what = "cannot be read";
    finding.mend = "run as root";
    return finding;
  }
  finding.what = failure_of(error, called).what();
  for (const std::string& prefix : {finding.place, one_line(file)}) {
    if (!finding.what.starts_with(prefix)) continue;
    finding.what.erase(0, prefix.size());
    break;
  }
  if (finding.what.starts_with(':')) {
    const std::size_t end = finding.what.find(": ", 1);
    const std::string line = finding.what.substr(0, std::min(end, finding.what.size()));
    if (end != std::string::npos && line.find_first_not_of("0123456789", 1) == std::string::npos) {
      if (line.size() > 1) finding.place += line;
      finding.what.erase(0, end + 1);
    }
  }
  finding.what.erase(0, finding.what.find_first_not_of(": "));
  split_mend(finding.what, finding.mend);
  if (finding.mend.empty()) finding.mend = "see sessreg.conf(5)";
  return finding;
}

Runner declare_check(Options& command) {
  auto options = std::make_shared<CheckOptions>();
  command
      .add_option("--file", options->file, "check this configuration file alone, wherever it lies")
      .value_name("FILE")
      .not_empty();
  // For tests, and for looking at another root; not in the help.
  command.add_option("--pam-dir", options->pam_dir).not_empty().hidden();
  command.add_option("--module-dir", options->module_dir).not_empty().hidden();
  command.add_option("--sshd-config", options->sshd_config).not_empty().hidden();
  command.add_option("--root", options->root).not_empty().hidden();
  return [options](const GlobalOptions& global) { return run_check(global, *options); };
}

}  // namespace sessreg
