// The few settings of sshd_config(5) that decide whether PAM is asked, when, and what it is told.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace sessreg {

struct SshdSetting {
  std::string value;  // in lower case
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
  bool exists = false;
  // From the first line that sets it outside Match blocks; includes are followed.
  std::optional<SshdSetting> use_pam;
  std::optional<SshdSetting> use_dns;
  // The first outside Match blocks, and the first of each block: for whom which holds is not asked.
  std::vector<SshdMethods> methods;
  // A file that cannot be read: what is wrong, and the mend.
  struct Problem {
    std::string file, what, mend;
  };
  std::vector<Problem> problems;
};

SshdConfig read_sshd_config(const std::string& path);

}  // namespace sessreg
