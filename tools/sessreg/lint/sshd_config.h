// The few settings of sshd_config(5) that decide whether PAM is asked, when, and what it is told.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace sessreg {

struct SshdSetting {
  std::string value;  // in lower case, but for names
  std::string file;
  unsigned line = 0;
};

// AuthenticationMethods: any of the lists lets in, each by all its methods in their order.
struct SshdMethods {
  std::vector<std::vector<std::string>> lists;  // in lower case
  std::string file;
  unsigned line = 0;
};

struct SshdConfig {
  std::string file;  // where it begins; empty: there is no sshd here
  // From the first line that sets it outside Match blocks; includes are followed.
  std::optional<SshdSetting> use_pam;
  std::optional<SshdSetting> use_dns;
  // The first outside Match blocks, and the first of each block: for whom which holds is not asked.
  std::vector<SshdMethods> methods;
  // The same of PAMServiceName, which is sshd where the first part does not set it.
  std::optional<SshdSetting> pam_service;
  std::vector<SshdSetting> pam_services_of_blocks;
  // A file that cannot be read: what is wrong, and the mend.
  struct Problem {
    std::string file, what, mend;
  };
  std::vector<Problem> problems;
};

// From the first of `paths` that is there. What they include by a relative name lies beside the first.
SshdConfig read_sshd_config(const std::vector<std::string>& paths);

}  // namespace sessreg
