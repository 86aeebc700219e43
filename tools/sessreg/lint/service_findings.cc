#include "sessreg/lint/service_findings.h"

#include <fmt/core.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <string_view>
#include <utility>

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

// Services that open a session around the user's time, which ends with it.
constexpr std::string_view kOpensSession =
    " cockpit gdm-password lightdm login proftpd samba sddm sshd tigervnc vsftpd xrdp-sesman ";
bool opens_session(const std::string& service) {
  return kOpensSession.find(" " + service + " ") != kOpensSession.npos;
}

// Why the daemon would not answer for that site, and the mend; nothing if it would.
std::optional<std::pair<std::string, std::string>> fault_of_daemon(const std::string& socket,
                                                                   const std::string& site) {
  try {
    varlink::Client client = varlink::Client::connect(socket);
    const varlink::Reply reply =
        client.call("org.sessreg.Sessions.List", {{"site", site}, {"user", "root"}});
    if (reply.error == "org.sessreg.Sessions.NoSuchSite")
      return std::pair("it does not serve this site", "run 'systemctl reload sessregd'");
    return std::nullopt;
  } catch (const varlink::ClientError& error) {
    return std::pair(std::string(error.what()), "run 'systemctl enable --now sessregd'");
  }
}

bool may_be_read_by_others(const std::string& path) {
  for (std::filesystem::path at = path; at.has_relative_path(); at = at.parent_path()) {
    struct stat status {};
    const mode_t needed = at == path ? S_IROTH : S_IXOTH;
    if (stat(at.c_str(), &status) == 0 && (status.st_mode & needed) == 0) return false;
  }
  return true;
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
    if (is_kept && opens_session(section.name))
      return add(
          section,
          "'keep' is for services that open no session around the user's time, and this one does",
          "remove 'keep'");
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
    const auto other = pam_.socket_of_service.find(section.name);
    const std::string socket =
        other == pam_.socket_of_service.end() ? default_socket_path() : other->second;
    if (auto fault = fault_of_daemon(socket, config_.site))
      add(section, fmt::format("'{}' needs sessregd, and {}", key, fault->first),
          std::move(fault->second));
  }

  // A worker that cannot read it does not know of `keep`.
  void check_readable(const Section& section) {
    if (may_be_read_by_others(path_)) return;
    add(section, "'keep' does nothing for workers that are not root, who cannot read this file",
        "run 'chmod o+r " + escape_for_terminal(path_) + "', and 'chmod o+x' on its folder");
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
