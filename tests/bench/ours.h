// The registry under measurement. Every use that the benchmarks make of sessreg's API is in this
// file and ours.cc.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "random.h"
#include "registry/gate.h"
#include "registry/registry.h"
#include "registry/registry_file.h"

namespace bench {

// The pids of a million sessions cannot exist on one host: these are synthetic, and said to live.
class AllAlive final : public sessreg::Processes {
 public:
  sessreg::Life life(const sessreg::ProcessId&) const override { return sessreg::Life::alive; }
  sessreg::LiveSids live_sids() const override { return {}; }
  std::optional<std::uint64_t> start_ticks_if_alive(pid_t) const override { return 0; }
};

class Site {
 public:
  // A new registry file with that limit, in which so many synthetic sessions are seated.
  Site(const std::string& path, std::uint32_t limit, std::uint32_t sessions);

  static constexpr std::size_t kSlotBytes = sessreg::kSlotBytes;
  // What admitting writes into its slot: the record, the activity and the mark.
  static constexpr std::size_t kWrittenBytes = sizeof(sessreg::RecordImage) + 2 * 8;

  std::uint32_t count() { return gate_.count(); }
  std::uint32_t limit() const { return limit_; }
  std::uint32_t slots() const { return gate_.table().size(); }
  std::span<const std::byte> bytes() { return std::as_bytes(mapped_.slots()); }

  // --- The gate, with the record prepared ---

  struct Seat {
    std::uint32_t slot;
    std::uint32_t generation;  // while seated
  };
  bool take(const Key& id, const Key& user, Seat& ret) {
    memcpy(record_.id.data(), id.data(), sizeof id);
    memcpy(record_.user_hash.data(), user.data(), sizeof user);
    const auto claim = gate_.table().claim(id[0], record_.user_hash, {kPid, 1});
    if (!claim) return false;
    gate_.table().write_record(*claim, record_);
    if (!gate_.add(*claim, rules()).done()) return false;
    ret = {claim->slot, gate_.widths().next_generation(claim->epoch)};
    return true;
  }
  bool give_up(const Seat& seat) { return gate_.remove(seat.slot, seat.generation); }
  // A reservation's seat goes to a session in another slot.
  bool bind(const Key& id, Seat& reservation);
  bool is_full() { return !gate_.check_room(rules()).done(); }
  // One of the sessions the site was made with.
  bool touch(std::uint32_t session, std::uint64_t boottime_ms) {
    return gate_.touch(refs_[session], boottime_ms);
  }
  std::uint32_t slot_of(std::uint32_t session) const { return refs_[session].slot; }
  std::uint64_t scan() const {
    std::uint64_t sum = 0;
    sessreg::Snapshot seen;
    for (std::uint32_t slot = 0; slot < gate_.table().size(); ++slot)
      if (gate_.table().snapshot(slot, seen)) sum += seen.record.id[0] + seen.last_activity_ms;
    return sum;
  }

  // --- The whole library call, as the PAM module makes it ---

  bool admit() { return keep(registry_.admit(login_, configured(), alive_)); }
  bool reserve() { return keep(registry_.reserve(login_, configured(), alive_, 0)); }
  // As reserve, with the system asked about the holders.
  bool reserve_asking_system() {
    return keep(registry_.reserve(login_, configured(), sessreg::SystemProcesses(), 0));
  }
  bool bind_reserved() {
    const auto bound = registry_.bind(held_, login_, configured(), alive_);
    return bound && keep(*bound);
  }
  bool touch_held(std::uint64_t boottime_ms) { return registry_.touch(held_, boottime_ms); }
  bool release() { return registry_.release(held_); }

  // To be called in a worker: logins are its own.
  void become_worker();

 private:
  static constexpr std::uint32_t kPid = 4'000'000;

  sessreg::ConfiguredLimit configured() const { return {1, static_cast<std::int32_t>(limit_)}; }
  sessreg::Rules rules() const { return {.site = configured()}; }
  bool keep(const sessreg::Admission& admission) {
    held_ = admission.ref;
    return admission.admitted();
  }

  std::uint32_t limit_;
  sessreg::MappedRegistry mapped_;
  sessreg::Gate<sessreg::ProcessAtom> gate_;
  sessreg::Registry registry_;
  sessreg::RecordImage record_{};
  sessreg::Login login_;
  sessreg::SlotRef held_;
  AllAlive alive_;
  std::vector<sessreg::SlotRef> refs_;
};

}  // namespace bench
