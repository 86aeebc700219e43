// What became of each session that a command acted on: one line a session.
#pragma once

#include <string>
#include <vector>

#include "common/output.h"
#include "common/session.h"

namespace sessreg {

class SessionLines {
 public:
  // `sessions`: all of the site, so that the ids in the lines name one of them.
  explicit SessionLines(const std::vector<Session>& sessions);

  // "834d70e2  alice (sshd from 192.0.2.7): ended" and a newline. `result` is escaped already. On a
  // terminal the id is short, and names are shortened for the line to fit; elsewhere all is whole.
  std::string line(const Session& session, const std::string& result) const;

 private:
  Terminal terminal_;
  std::size_t digits_;
};

}  // namespace sessreg
