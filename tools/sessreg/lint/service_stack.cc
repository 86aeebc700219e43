#include "sessreg/lint/service_stack.h"

#include <algorithm>
#include <utility>

#include "sessreg/lint/pam_findings.h"
#include "sessreg/lint/pam_stacks.h"

namespace sessreg {

std::vector<std::string> host_pam_directories() {
  return {"/etc/pam.d", "/usr/lib/pam.d"};
}

std::optional<bool> stack_names_module(const std::string& service,
                                       std::vector<std::string> directories) {
  const PamStacks stacks(std::move(directories));
  const auto& all = stacks.services();
  const auto named = [&](const std::string& name) {
    return std::find_if(all.begin(), all.end(),
                        [&](const PamService& each) { return each.name == name; });
  };
  auto found = named(service);
  if (found == all.end()) found = named("other");
  const bool is_named =
      found != all.end() &&
      std::any_of(found->entries.begin(), found->entries.end(), [](const PamEntry& entry) {
        return (entry.line->type == "account" || entry.line->type == "session") &&
               is_module(*entry.line);
      });
  if (!is_named && !stacks.problems().empty()) return std::nullopt;
  return is_named;
}

}  // namespace sessreg
