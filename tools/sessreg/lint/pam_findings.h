// What is wrong with the lines of PAM stacks that name the module.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "config/config.h"
#include "sessreg/lint/findings.h"
#include "sessreg/lint/pam_stacks.h"

namespace sessreg {

// Whether a line names our module.
bool is_module(const PamLine& line);

// The site that a line of a stack is about.
struct PamSite {
  std::string site = "default";
  std::string conf;  // empty: the site's own file
  auto operator<=>(const PamSite&) const = default;
};

// The services whose stacks have account or session lines of a site that counts them.
struct SiteServices {
  std::set<std::string> enforced;
  std::set<std::string> observed;  // each of the lines has `observe`
};

struct PamCheck {
  std::vector<Finding> findings;
  std::vector<PamSite> sites;    // that the lines name, by a valid name; each once
  std::vector<PamSite> counted;  // of these, those with an `authfail` line
  std::map<std::string, std::vector<PamSite>> sites_of_service;
  std::map<PamSite, SiteServices> services_of_site;
  std::map<std::string, std::string> socket_of_service;  // where a line has `socket=`
  bool is_named = false;                                 // whether any line names the module
};

// `configuration` reads that of a site. `module_directories`: where libpam may look for the module.
PamCheck check_pam_stacks(const PamStacks& stacks,
                          const std::function<const Result<Config>&(const PamSite&)>& configuration,
                          const std::vector<std::string>& module_directories);

}  // namespace sessreg
