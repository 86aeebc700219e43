// Which processes are a session's by its audit session. Each case is in one of its own, in a child.
#include "../../support/audit_session.h"

#include <signal.h>

#include <algorithm>
#include <functional>

#include "../../support/catch.h"
#include "../../support/child.h"
#include "host/process.h"
#include "host/process_table.h"
#include "session/ending.h"

using namespace sessreg;

namespace {

constexpr uid_t kUser = 1;
constexpr int kNoAudit = 77;

// Runs `body` there; it answers with 0 if all is well, or the number of what is not.
void check_in_audit_session(const std::function<int()>& body) {
  Child child([&] { return begin_audit_session() ? body() : kNoAudit; });
  const int code = child.wait();
  if (code == kNoAudit)
    WARN("skipped: audit sessions cannot be begun here");
  else
    CHECK(code == 0);
}

Child start(const std::function<bool()>& become, Pipe& ready) {
  Child child([&] {
    ready.put(become() ? 'r' : 'n');
    pause();
    return 0;
  });
  if (ready.get() != 'r') _exit(99);
  return child;
}

template <class Entries>
bool contains(const Entries& entries, pid_t pid) {
  return std::any_of(entries.begin(), entries.end(), [&](const auto& entry) {
    if constexpr (requires { entry.id; })
      return entry.id.pid == pid;
    else
      return entry.pid == pid;
  });
}

}  // namespace

TEST_CASE("of an audit session only what its user runs is the session's", "[.root]") {
  check_in_audit_session([] {
    Pipe ready;
    const Child users = start([] { return setuid(kUser) == 0; }, ready);
    const Child roots = start([] { return true; }, ready);
    const Child others = start([] { return begin_audit_session() && setuid(kUser) == 0; }, ready);
    const std::uint32_t id = read_audit_session(getpid()).value_or(0);
    const Leftovers leftovers{id, kUser, false, true};
    const auto found = ProcessTable::read().of_audit_session(leftovers);
    if (!contains(found, users.pid())) return 1;
    if (contains(found, roots.pid())) return 2;
    if (contains(found, others.pid())) return 3;
    const auto live = SystemProcesses().live_audit_sessions();
    if (!live.contains(leftovers)) return 4;
    if (live.contains({id, kUser + 1, false, true})) return 5;
    return 0;
  });
}

TEST_CASE("what descends from a session's processes, but is another login, is not the session's",
          "[.root]") {
  check_in_audit_session([] {
    Pipe ready;
    const Child same = start([] { return true; }, ready);
    const Child another = start(begin_audit_session, ready);  // as of an sshd that it has started
    const std::uint32_t id = read_audit_session(getpid()).value_or(0);
    const ProcessTable table = ProcessTable::read();
    const std::array roots = {self_id()};
    const auto within = table.closure(roots, 0, id);
    if (!contains(within, same.pid())) return 1;
    if (contains(within, another.pid())) return 2;
    if (!contains(table.closure(roots, 0), another.pid())) return 3;
    return 0;
  });
}

TEST_CASE("a process that another one of the login has started has no audit session of its own",
          "[.root]") {
  check_in_audit_session([] {
    if (!own_audit_session()) return 1;
    Child child([] { return own_audit_session() ? 1 : 0; });
    return child.wait() == 0 ? 0 : 2;
  });
}

TEST_CASE("who runs in what a session has left is in that session", "[.root]") {
  check_in_audit_session([] {
    Session session;
    session.leader = {0x7ffffffe, 1};  // which is gone
    RecordImage& record = session.snapshot.record;
    record.kind = RecordKind::session;
    record.flags = RecordFlags::has_audit_session | RecordFlags::counts_any;
    record.parent_pid = read_audit_session(getpid()).value_or(0);
    const ProcessTable table = ProcessTable::read();
    if (!OwnSessions(table).contains(session)) return 1;
    ++record.parent_pid;
    return OwnSessions(table).contains(session) ? 2 : 0;
  });
}
