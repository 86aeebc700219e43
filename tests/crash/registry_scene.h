// A registry of few seats in a file, for operations of class Registry: the file is made once, and
// emptied for each point. The others are this very process, so that the system itself tells who is
// dead.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "../support/temp_dir.h"
#include "explore.h"
#include "registry/gate.h"
#include "registry/registry.h"
#include "registry/registry_file.h"

// The child is told who is dead, so that the traced part does not read /proc.
class ToldProcesses final : public sessreg::Processes {
 public:
  sessreg::Life life(const sessreg::ProcessId& id) const override {
    return id.pid == dead ? sessreg::Life::gone : sessreg::Life::alive;
  }
  sessreg::LiveSids live_sids() const override { return sessreg::LiveSids(std::vector<pid_t>{}); }
  std::optional<std::uint64_t> start_ticks_if_alive(pid_t pid) const override {
    return pid == dead ? std::nullopt : std::optional<std::uint64_t>(0);
  }
  // Everybody has one that nobody types on.
  void look_at_terminals(std::span<sessreg::TerminalLook> looks) const override {
    for (sessreg::TerminalLook& look : looks)
      look.has_terminal = true;
  }
  pid_t dead = 0;
};

// Who is dead the system tells; nobody has a terminal, so that none is idle.
class RealProcesses final : public sessreg::Processes {
 public:
  sessreg::Life life(const sessreg::ProcessId& id) const override { return system_.life(id); }
  sessreg::LiveSids live_sids() const override { return system_.live_sids(); }
  std::optional<std::uint64_t> start_ticks_if_alive(pid_t pid) const override {
    return system_.start_ticks_if_alive(pid);
  }

 private:
  sessreg::SystemProcesses system_;
};

class RegistryScene {
 public:
  static constexpr std::uint32_t kCapacity = 4;
  static constexpr sessreg::ConfiguredLimit kLimit{1, 3};
  // The highest pid there can be: nobody has it.
  static constexpr pid_t kLongDead = (1 << sessreg::kPidBits) - 1;

  RegistryScene();

  // Empty, with kLimit published and `seats` of it taken by this process.
  void reset(std::uint32_t seats);

  static sessreg::Login login_of(const sessreg::ProcessId& self, const std::string& user);
  sessreg::Login other(const std::string& user) const { return login_of(test_, user); }
  bool admit_other();
  // A session of this process that is idle for anybody who sees its terminal.
  sessreg::SlotRef admit_idle(const std::string& user, const sessreg::Terms& terms) {
    return admit_idle(other(user), terms);
  }
  sessreg::SlotRef admit_idle(const sessreg::Login& login, const sessreg::Terms& terms);
  // A reservation of this process that is old enough to give way.
  void make_slow(sessreg::SlotRef reservation);
  // Its lifetime is over for whoever looks, however fast this machine is.
  void make_expired(sessreg::SlotRef session);
  // Claims without more, as a process leaves it that died inside a login.
  void leave_claim(std::uint32_t pid);
  // Puts the newcomer of the ADD that the gate names back to where its gate CAS left it.
  void unsettle_add();

  std::uint32_t count_unsettled();
  std::size_t listed(pid_t leader);
  std::size_t claimed(pid_t claimer);
  void forget_search();
  sessreg::Stage stage_of(sessreg::SlotRef ref);
  void demand_counted(std::int64_t expected);
  void recover(pid_t child);
  void demand_exact_room();
  void demand_nothing_left();
  std::span<const std::byte> image();

  sessreg::Registry& registry() { return registry_; }
  const ToldProcesses& told() const { return told_; }

  sessreg::SlotRef object;  // what the operation is about
  sessreg::SlotRef owner;   // whose seat it takes or has
  std::int64_t base = 0, extra = 0;
  std::int32_t most = 0;
  int happened = 0;  // when last looked at

 private:
  TempDir dir_;
  sessreg::HostIdentity host_;
  sessreg::ProcessId test_;
  sessreg::Registry registry_;
  sessreg::MappedRegistry mapped_;  // a second look at the same file, below class Registry
  sessreg::Gate<sessreg::ProcessAtom> gate_;
  ToldProcesses told_;
};

struct RegistryOperation {
  std::string name;
  std::uint32_t seats = 1;
  std::function<void(RegistryScene&)> prepare{};
  std::function<void(RegistryScene&)> enter{};
  std::function<int(RegistryScene&)> act;
  std::function<int(RegistryScene&, pid_t)> happened;
  int complete = 1;
  int seats_changed = 0;
  std::function<int(int)> change{};  // the same, where it is not so many for each unit
  std::function<void(RegistryScene&)> recovered{};
  bool same_way = true;  // false where it meets records, whose places are random
};

Trial trial_of(RegistryScene& scene, const RegistryOperation& operation);
