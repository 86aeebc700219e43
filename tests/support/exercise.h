// Calls every operation on a registry file that may hold anything: each call has to return, and
// nothing outside the mapping may be touched. What the answers are does not matter.
#pragma once

#include <string>

#include "registry/registry.h"

// The processes of a host on which odd pids are alive and even ones have gone.
class OddProcesses final : public sessreg::Processes {
 public:
  sessreg::Life life(const sessreg::ProcessId& id) const override {
    return id.pid % 2 != 0 ? sessreg::Life::alive : sessreg::Life::gone;
  }
  sessreg::LiveSids live_sids() const override {
    return sessreg::LiveSids(std::vector<pid_t>{2, 4});
  }
  std::optional<std::uint64_t> start_ticks_if_alive(pid_t pid) const override {
    if (pid % 2 == 0) return std::nullopt;
    return 100;
  }
  void look_at_terminals(std::span<sessreg::TerminalLook> looks) const override {
    for (sessreg::TerminalLook& look : looks) {
      look.has_terminal = look.leader.pid % 3 != 0;
      look.typed_realtime_ms = static_cast<std::int64_t>(look.leader.start_ticks);
    }
  }
};

inline void exercise_registry(const std::string& path, const sessreg::HostIdentity& host) {
  using namespace sessreg;
  auto registry = Registry::open(path, host);
  if (!registry) return;
  const OddProcesses processes;
  Login login;
  login.user = "a";
  login.service = "sshd";
  login.self = {3, 100};
  login.parent = {5, 100};
  Terms terms(ConfiguredLimit{1, 2});
  registry->publish_limit(registry->published_limit(), terms.site);
  terms.idle_after_s = terms.shortest_idle_s = 1;
  terms.ttl_s = 1;
  terms.lifetime_ms = 1;
  if (const auto group = registry->group_index("staff", 1)) terms.groups.push_back({*group, 1});
  for (const int user_limit : {-1, 0, 1}) {
    terms.user_limit = user_limit;
    terms.evict_after_ms = 0;
    terms.may_use_reserved = user_limit != 0;
    terms.reserved_seats = 1;
    const auto reserved = registry->reserve(login, terms, processes, ~0ull);
    if (reserved.admitted()) registry->bind(reserved.ref, login, terms, processes);
    const auto again = registry->reserve(login, terms, processes, 1);
    if (again.admitted()) registry->release_reservation(again.ref);
    const auto admitted = registry->admit(login, terms, processes);
    if (admitted.admitted()) registry->release(admitted.ref);
    registry->foresee(login, terms, processes);
  }
  Login device = login;
  device.no_process = true;
  device.device = "x";
  for (const int turn : {0, 1}) {
    const auto admitted = registry->admit(device, terms, processes);
    registry->use(device, terms, processes);
    Admission listed;
    registry->list_exempt(device, listed, terms);
    device.take_over = admitted.ref;
    const auto reserved = registry->reserve(device, terms, processes, ~0ull);
    if (reserved.admitted()) registry->bind(reserved.ref, device, terms, processes);
    if (turn == 0) registry->vacate(listed.ref);
  }
  Admission exempt;
  registry->list_exempt(login, exempt);
  std::vector<SlotRef> refs;
  registry->find_reservation(login, refs);
  registry->find_session(login, to_hex(exempt.id));
  registry->for_each([&](const Snapshot& session) {
    refs.push_back(session.ref);
    (void)reason_of(session);
    (void)expiry_ms(session, true);
    (void)leader_of(session.record);
    (void)end_of_note_ms(session);
    (void)registry->is_device_of(session.record, "x");
    (void)registry->is_user_of(session.record, "a");
  });
  registry->reap(processes, ~0ull);
  registry->set_override(3);
  registry->limit_in_force(2);
  for (const SlotRef& ref : refs) {
    registry->touch(ref, 1'000'000);
    registry->touch(ref, ~0ull >> 20, sessreg::UseIsTold::yes);
    registry->mark_revoked(ref, "no reason");
    registry->vacate(ref);
    registry->return_to_seat(ref, terms, true);
    registry->release(ref);
  }
  registry->touch({~0u, 0}, 1);
  registry->mark_revoked({~0u, 0}, "nobody");
  for (std::size_t i = 0; i < kCounters; ++i)
    (void)registry->counter(static_cast<Counter>(i));
}
