// A registry of its own, and processes that live and die as they are told.
#pragma once

#include <atomic>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "../../support/temp_dir.h"
#include "registry/registry.h"
#include "registry/registry_file.h"

namespace sessreg {

// Says who is dead as the test wants it; everybody else is alive.
class FakeProcesses final : public Processes {
 public:
  void kill(pid_t pid) { gone_.insert(pid); }
  void reuse(pid_t pid) { reused_.insert(pid); }
  void leave_running(pid_t sid) { sids_.insert(sid); }
  void end_session(pid_t sid) { sids_.erase(sid); }
  // Processes of kUid.
  static constexpr std::uint32_t kUid = 1000;
  void run_in_audit_session(std::uint32_t id, bool has_terminal) {
    audit_.insert(id);
    if (has_terminal) audit_with_terminal_.insert(id);
  }
  void end_audit_session(std::uint32_t id) {
    audit_.erase(id);
    audit_with_terminal_.erase(id);
  }
  // It is alive, but when it was started cannot be known.
  void hide_start(pid_t pid) { hidden_.insert(pid); }

  Life life(const ProcessId& id) const override {
    if (id.pid <= 0) ++asked_about_nobody;
    if (reused_.contains(id.pid)) return Life::reused;
    return gone_.contains(id.pid) ? Life::gone : Life::alive;
  }
  LiveSids live_sids() const override {
    ++searches;
    return LiveSids(std::vector<pid_t>(sids_.begin(), sids_.end()));
  }
  LiveAuditSessions live_audit_sessions() const override {
    ++audit_searches;
    std::vector<LiveAuditSessions::Member> all, with_terminal;
    for (const std::uint32_t id : audit_)
      all.push_back({id, kUid});
    for (const std::uint32_t id : audit_with_terminal_)
      with_terminal.push_back({id, kUid});
    return {std::move(all), std::move(with_terminal)};
  }
  std::optional<std::uint64_t> start_ticks_if_alive(pid_t pid) const override {
    if (gone_.contains(pid)) return std::nullopt;
    if (hidden_.contains(pid)) return 0;
    return reused_.contains(pid) ? 999 : 100;
  }
  // The session of that leader has a terminal, last typed on at that time of CLOCK_REALTIME.
  void type(pid_t leader, std::int64_t realtime_ms) { typed_[leader] = realtime_ms; }
  // One of its processes is on a display.
  void show_display(pid_t leader) { displays_.insert(leader); }
  void look_at_terminals(std::span<TerminalLook> looks) const override {
    ++terminal_looks;
    for (TerminalLook& look : looks) {
      if (look.leader.pid <= 0) ++asked_about_nobody;
      look.has_display |= displays_.contains(look.leader.pid);
      const auto found = typed_.find(look.leader.pid);
      look.has_terminal = found != typed_.end();
      if (look.has_terminal) look.typed_realtime_ms = found->second;
    }
  }

  mutable std::atomic<int> asked_about_nobody = 0;  // threads may share this
  mutable int searches = 0;
  mutable int audit_searches = 0;
  mutable int terminal_looks = 0;

 private:
  std::set<pid_t> gone_, reused_, sids_, hidden_, displays_;
  std::set<std::uint32_t> audit_, audit_with_terminal_;
  std::map<pid_t, std::int64_t> typed_;
};

inline constexpr ConfiguredLimit unlimited{1, -1};
inline ConfiguredLimit limit_of(std::int32_t limit) {
  return {1, limit};
}

class Fixture {
 public:
  explicit Fixture(std::uint32_t capacity = 64)
      : host(*host_identity()),
        registry(std::move(*Registry::open_or_create(dir / "site.reg", host, capacity))) {}

  Login login(const std::string& user, pid_t pid = 1000, pid_t parent = 1) const {
    Login result;
    result.user = user;
    result.service = "sshd";
    result.self = {pid, 100};
    result.parent = {parent, 100};
    return result;
  }
  Admission admit(const std::string& user, ConfiguredLimit limit, pid_t pid = 1000) {
    registry.publish_limit(registry.published_limit(), limit);
    forget_last_search();
    return registry.admit(login(user, pid), limit, processes);
  }
  Admission reserve(const Login& from, ConfiguredLimit limit, std::uint64_t lasts_ms = 130'000) {
    registry.publish_limit(registry.published_limit(), limit);
    forget_last_search();
    return registry.reserve(from, limit, processes, now().boottime_ms + lasts_ms);
  }
  // So that the next refusal searches again at once.
  void forget_last_search() {
    open_registry_file(dir / "site.reg", host)->shared().search.store(0);
    registry = std::move(*Registry::open(dir / "site.reg", host));
  }
  // As if the session had been opened, and last used, so much earlier.
  void age(SlotRef ref, std::uint64_t by_ms) {
    auto mapped = open_registry_file(dir / "site.reg", host);
    Slot<ProcessAtom>& slot = mapped->slots()[ref.slot];
    slot.record[offsetof(RecordImage, opened_boottime_ms) / 8].fetch_sub(by_ms);
    slot.record[offsetof(RecordImage, opened_realtime_ms) / 8].fetch_sub(by_ms);
    slot.last_activity.fetch_sub(by_ms / kActivityUnit_ms << 2);
  }
  Stage stage(SlotRef ref) {
    Snapshot session;
    return registry.snapshot(ref, session) ? session.state.stage : Stage::free;
  }
  std::size_t listed() {
    std::size_t n = 0;
    registry.for_each([&](const Snapshot&) { ++n; });
    return n;
  }

  TempDir dir;
  HostIdentity host;
  Registry registry;
  FakeProcesses processes;
};

}  // namespace sessreg
