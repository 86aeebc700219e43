#include "sessreg/lint/service_findings.h"

#include <fmt/core.h>
#include <sys/stat.h>

#include <algorithm>
#include <string_view>

#include "base/text.h"
#include "common/socket_path.h"
#include "config/policy.h"
#include "varlink/client.h"

namespace sessreg {
namespace {

// Services that ask PAM as root.
constexpr std::string_view kAsRoot =
    " dovecot esmtp imap lmtp managesieve mupdate nntp pop pop3 pure-ftpd sieve smtp ";
bool asks_as_root(const std::string& service) {
  return kAsRoot.find(" " + service + " ") != kAsRoot.npos;
}

bool is_only_root(const NameList& list) {
  return list.groups.empty() && list.users == std::vector<std::string>{"root"};
}

// Why nobody can ask the daemon; "" if somebody can.
std::string fault_of_daemon(const std::string& socket) {
  try {
    varlink::Client::connect(socket);
    return {};
  } catch (const varlink::ClientError& error) {
    return error.what();
  }
}

class ServiceChecker {
 public:
  ServiceChecker(const Config& config, const std::string& path, const PamCheck& pam,
                 const std::string& pam_directory)
      : config_(config), path_(path), pam_(pam), pam_directory_(pam_directory) {}

  std::vector<Finding> check() {
    for (const Section& section : config_.sections)
      if (section.kind == SectionKind::service) check(section);
    return std::move(findings_);
  }

 private:
  void check(const Section& section) {
    const bool is_kept = rules_of_service(config_, section.name).keep.count() != 0;
    const NameList clients = section.settings.clients.value_or(NameList());
    const bool has_clients = !clients.users.empty() || !clients.groups.empty();
    if (!is_kept && !has_clients) return;
    const std::string key = is_kept ? "keep" : "clients";
    const auto nobody = [](const std::string&) { return false; };
    if (standing_of(config_, {}, section.name, nobody) == Standing::ignored)
      return add(section, fmt::format("'{}' does nothing, as the service is ignored", key),
                 fmt::format("take {} out of ignore_services, or add it to only_services",
                             shown(section)));
    if (is_kept && !is_in_stack(section.name))
      add(section, "'keep' does nothing, as no stack of that service names the site",
          "add the account line to " + escape_for_terminal(pam_directory_ + "/" + section.name));
    if (is_kept && !has_clients && !asks_as_root(section.name))
      return add(section, "'keep' is set without 'clients', so that who is not root is refused",
                 "name the user of the service's workers, or write 'clients = root'");
    if (!has_clients || is_only_root(clients)) return;
    check_daemon(section, key);
    if (is_kept) check_readable(section);
  }

  bool is_in_stack(const std::string& service) const {
    const auto named = pam_.sites_of_service.find(service);
    return named != pam_.sites_of_service.end() &&
           std::any_of(named->second.begin(), named->second.end(),
                       [&](const PamSite& site) { return site.site == config_.site; });
  }

  void check_daemon(const Section& section, const std::string& key) {
    const std::string fault = fault_of_daemon(default_socket_path());
    if (!fault.empty())
      add(section, fmt::format("'{}' needs sessregd, and {}", key, fault),
          "run 'systemctl enable --now sessregd'");
  }

  // A worker that cannot read it does not know of `keep`.
  void check_readable(const Section& section) {
    struct stat status {};
    if (stat(path_.c_str(), &status) != 0 || (status.st_mode & S_IROTH) != 0) return;
    add(section, "'keep' does nothing for workers that are not root, who cannot read this file",
        "run 'chmod o+r " + escape_for_terminal(path_) + "'");
  }

  static std::string shown(const Section& section) {
    return escape_for_terminal(in_file(section.name));
  }

  void add(const Section& section, const std::string& what, std::string mend) {
    findings_.push_back({place_of(path_, section.line),
                         fmt::format("[service {}]: {}", shown(section), what), std::move(mend)});
  }

  const Config& config_;
  const std::string& path_;
  const PamCheck& pam_;
  const std::string& pam_directory_;
  std::vector<Finding> findings_;
};

}  // namespace

std::vector<Finding> check_services(const Config& config, const std::string& path,
                                    const PamCheck& pam, const std::string& pam_directory) {
  return ServiceChecker(config, path, pam, pam_directory).check();
}

}  // namespace sessreg
