// Searching the table: for the dead, whose seats are freed, and for the idle, whose seats may be
// taken. Seats change hands by the same functions as everywhere else.
#include <algorithm>

#include "registry/registry_internal.h"

namespace sessreg {
namespace {

constexpr std::uint32_t kIdentityMask = 0xffffff;

// What this thread has spent, not what it waited for others on a busy host.
std::uint64_t own_cpu_us() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000 +
         static_cast<std::uint64_t>(t.tv_nsec) / 1000;
}

// When the lifetime is over, whether or not it is used.
std::uint64_t record_end_ms(const RecordImage& record) {
  return record.ends_boottime_ms != 0 ? record.ends_boottime_ms : ~std::uint64_t{0};
}

bool is_process_gone(Life life) {
  return life != Life::alive;
}

}  // namespace

Reaped Registry::reap(const Processes& processes, std::uint64_t now_ms) {
  Search search{*this, processes, now_ms};
  search.search_table();
  return search.reaped;
}

Reaped Registry::reap(std::span<const std::uint32_t> slots, const Processes& processes,
                      std::uint64_t now_ms) {
  Search search{*this, processes, now_ms};
  search.search_slots(slots);
  return search.reaped;
}

void Registry::Search::search_slots(std::span<const std::uint32_t> slots) {
  gate().count();  // settles
  for (const std::uint32_t slot : slots)
    if (slot < gate().table().size()) examine(slot);
  free_leaderless();
  count_reaped();
}

void Registry::Search::search_table() {
  const std::uint64_t began_us = own_cpu_us();
  const std::uint64_t began_ms = coarse_ms();
  clock_was_set = parts().was_clock_set();
  // Settles what a process that died after its gate operation left undone; and whoever is seated
  // from now on has loaded the gate, and so read the clock, after this.
  gate().nop();
  if (terms != nullptr && terms->shortest_idle_s != 0)
    next_change_ms = now_ms + std::uint64_t{terms->shortest_idle_s} * 1000;
  for (std::uint32_t slot = 0; slot < gate().table().size(); ++slot)
    examine(slot);
  free_leaderless();
  look_at_terminals();
  sort_found();
  count_reaped();
  if (terms != nullptr) publish(began_ms, own_cpu_us() - began_us);
}

void Registry::Search::search_user() {
  gate().count();  // settles
  gate().table().for_each_near_home(*user, [&](std::uint32_t slot, const StateWord& state) {
    if (state.stage == Stage::claimed || gate().table().is_user(slot, *user)) examine(slot);
  });
  free_leaderless();
  look_at_terminals();
  sort_found();
  count_reaped();
}

void Registry::Search::examine(std::uint32_t slot) {
  const StateWord state = gate().table().state(slot);
  if (state.stage == Stage::free) return;
  if (state.stage == Stage::claimed) {
    const auto pid = static_cast<pid_t>(state.claimer_pid);
    const auto start_ticks = processes.start_ticks_if_alive(pid);
    // A hash of 0 on either side: the start time is not known; in doubt, alive.
    if (start_ticks && (*start_ticks == 0 || state.claimer_hash == 0 ||
                        parts().claimer({pid, *start_ticks}).hash == state.claimer_hash))
      return;
    found_dead = true;
    if (gate().free_dead_claim(slot, state.generation)) {
      ++reaped.claims;
      return;
    }
    // It had got as far as its gate operation: what it holds is a seat, looked at below.
  }
  Snapshot held;
  if (!parts().read(slot, held)) return;
  const RecordImage& record = held.record;
  if (!has_process(record)) {
    examine_by_clock(held);
    return;
  }
  const auto known_leader = leader_of(record);
  const ProcessId leader = known_leader.value_or(ProcessId{});
  const Life life = known_leader ? processes.life(leader) : Life::reused;
  if (record.kind == RecordKind::reservation) {
    const ProcessId parent{static_cast<pid_t>(record.parent_pid), record.parent_start_ticks};
    std::uint64_t ends_ms = record.ends_boottime_ms != 0 ? record.ends_boottime_ms : ~0ull;
    if (is_process_gone(life)) {
      const bool of_nobody = is_process_gone(processes.life(parent));
      ends_ms = std::min(ends_ms, of_nobody ? 0 : record.opened_boottime_ms + kMakerDeathGrace_ms);
    }
    if (now_ms >= ends_ms) {
      found_dead = true;
      if (parts().free_slot(slot, held.state)) ++reaped.reservations;
      return;
    }
    const std::uint64_t yields_ms = record.opened_boottime_ms + kReservationYields_ms;
    next_change_ms = std::min({next_change_ms, ends_ms, yields_ms > now_ms ? yields_ms : ends_ms});
    yielding |= now_ms >= yields_ms;
    if (ret_pending != nullptr)
      ret_pending->push_back({{slot, held.state.generation},
                              {record.uid, uid_of(record) ? UserHash{} : record.user_hash},
                              record.opened_boottime_ms,
                              record.groups,
                              now_ms >= yields_ms,
                              record.victim_fate == VictimFate::parked ||
                                  record.victim_fate == VictimFate::evicted_at_bind});
    return;
  }
  if (!known_leader) {  // only in a damaged file
    found_dead = true;
    if (parts().free_slot(slot, held.state)) ++reaped.sessions;
    return;
  }
  const Leftovers leftovers = leftovers_of(record);
  if (life == Life::reused && leftovers.audit_session == 0) {
    found_dead = true;
    if (parts().free_slot(slot, held.state)) ++reaped.sessions;
    return;
  }
  if (life != Life::alive) {
    if (leaderless.size() == kMostLeaderless) free_leaderless();
    const pid_t sid = life == Life::gone ? leader.pid : kNoSid;
    leaderless.push_back({slot, held.state, sid, leftovers});
  }
  const bool parked = held.state.stage == Stage::parked;
  if (has(record.flags, RecordFlags::shared_leader) &&
      (held.state.stage == Stage::seated || parked)) {
    // There is nothing to wait for, so its seat is free at the moment its time is up.
    const std::uint64_t ends_ms = expiry_ms(held, false).value_or(~std::uint64_t{0});
    if (now_ms >= ends_ms) {
      found_dead = true;
      registry.mark_revoked(held.ref, reason_of_expiry(record, now_ms));
      registry.vacate(held.ref);
      return;
    }
    next_change_ms = std::min(next_change_ms, ends_ms);
  }
  if (terms == nullptr || (held.state.stage != Stage::seated && !parked)) return;
  if (user != nullptr || parked) {
    looks.push_back({held, parked});
  } else if (record.idle_after_s != 0) {
    const std::uint64_t idle_ms = held.last_activity_ms + std::uint64_t{record.idle_after_s} * 1000;
    if (now_ms >= idle_ms || clock_was_set)
      looks.push_back({held, false});
    else
      next_change_ms = std::min(next_change_ms, idle_ms);
  }
}

// Without a process there is nothing to ask but the clock, and nothing to wait for.
void Registry::Search::examine_by_clock(const Snapshot& held) {
  const std::uint32_t slot = held.ref.slot;
  const Stage stage = held.state.stage;
  const bool has_seat = stage == Stage::seated;
  const std::uint64_t ends_ms =
      is_note(held) ? end_of_note_ms(held) : expiry_ms(held, true).value_or(~std::uint64_t{0});
  if (now_ms >= ends_ms) {
    found_dead |= has_seat;
    // Whoever uses it just now is either seen by that, or comes too late. (An exempt one has no seat to
    // lose, and may be freed just as it is used.)
    const bool is_unused = has_seat || stage == Stage::parked;
    if (is_unused && now_ms < record_end_ms(held.record)
            ? gate().expire(slot, held.state, held.last_activity_ms)
            : parts().free_slot(slot, held.state))
      ++reaped.sessions;
    return;
  }
  // Who marked it has got no further, or is about to.
  if (held.mark != MarkStage::none && stage != Stage::evicted) {
    found_dead |= has_seat;
    registry.vacate(held.ref);
    return;
  }
  if (has_seat) next_change_ms = std::min(next_change_ms, ends_ms);
  if (terms == nullptr || !has_seat) return;
  consider(held, true, std::max(held.last_activity_ms, held.record.opened_boottime_ms));
}

void Registry::Search::free_leaderless() {
  if (leaderless.empty()) return;
  const LiveSids sids = processes.live_sids();
  std::optional<LiveAuditSessions> audit_sessions;
  for (const Leaderless& session : leaderless) {
    if (session.leader != kNoSid && sids.contains(session.leader)) continue;
    if (session.leftovers.audit_session != 0) {
      if (!audit_sessions) audit_sessions = processes.live_audit_sessions();
      if (audit_sessions->contains(session.leftovers)) continue;
    }
    found_dead = true;
    if (parts().free_slot(session.slot, session.state)) ++reaped.sessions;
  }
  leaderless.clear();
}

// Nobody is called idle before its terminals were looked at. A parked session that was typed on
// takes a seat again, if there is one.
void Registry::Search::look_at_terminals() {
  if (looks.empty()) return;
  std::vector<TerminalLook> seen;
  for (const Look& look : looks)
    seen.push_back(look_at(look.session.record));
  processes.look_at_terminals(seen);
  const Now at = now();
  for (std::size_t i = 0; i < looks.size(); ++i) {
    const Look& look = looks[i];
    const Snapshot& session = look.session;
    std::uint64_t last_ms = std::max(session.last_activity_ms, session.record.opened_boottime_ms);
    if (seen[i].has_terminal) {
      const std::uint64_t typed_ms = registry.boottime_of(seen[i].typed_realtime_ms, at);
      // The same moment can differ by how each was rounded.
      if (typed_ms > last_ms + kActivityUnit_ms) {
        last_ms = typed_ms;
        registry.touch(session.ref, typed_ms);
      }
    }
    if (look.parked) {
      const std::uint64_t idle_ms = last_ms + std::uint64_t{session.record.idle_after_s} * 1000;
      if (now_ms < idle_ms) registry.return_to_seat(session.ref, *terms, false);
      continue;
    }
    consider(session, seen[i].tells_use(), last_ms);
  }
  if (user == nullptr) parts().note_clock(at);
}

// Notes a seated session whose seat may be taken, now or when it goes idle.
void Registry::Search::consider(const Snapshot& session, bool tells_use, std::uint64_t last_ms) {
  const std::uint64_t idle_ms = last_ms + std::uint64_t{session.record.idle_after_s} * 1000;
  const bool can_idle = session.record.idle_after_s != 0 && (tells_use || session.use_is_told);
  const bool idle = can_idle && now_ms >= idle_ms;
  if (can_idle && !idle) next_change_ms = std::min(next_change_ms, idle_ms);
  if (ret == nullptr || (!idle && user == nullptr)) return;
  ret->push_back({{session.ref.slot, session.state.generation},
                  session.ref,
                  staleness_of(session, tells_use, last_ms),
                  last_ms,
                  session.record.opened_boottime_ms,
                  session.record.groups,
                  session.record.service_hash,
                  idle});
}

void Registry::Search::sort_found() {
  if (ret != nullptr)
    std::sort(ret->begin(), ret->end(),
              [](const Candidate& a, const Candidate& b) { return a.staleness < b.staleness; });
}

void Registry::Search::count_reaped() {
  parts().add_to(kReapedSessions, reaped.sessions);
  parts().add_to(kReapedReservations, reaped.reservations);
  parts().add_to(kReapedClaims, reaped.claims);
}

// Release and acquire: whoever believes the word has seen what the search did.
void Registry::Search::publish(std::uint64_t began_ms, std::uint64_t cost_us) {
  SearchWord word;
  const bool of_use = found_dead || yielding || (ret != nullptr && !ret->empty());
  if (!of_use && next_change_ms > now_ms) {
    const std::uint64_t pause_ms = std::min(kDeathCheck_ms, kSearchCostFactor * cost_us / 1000);
    word.identity = terms->site.identity & kIdentityMask;
    word.until_ms = began_ms + std::min(pause_ms, next_change_ms - now_ms);
  }
  parts().own_search = word;
  if (cost_us < kCheapSearch_us) word = {};
  parts().shared().search.store(Widths::pack(word), std::memory_order_release);
}

std::uint64_t Registry::boottime_of(std::int64_t realtime_ms, const Now& at) const {
  // Nobody knows how the clock was set when that time was taken: as now, or as at the last look. If
  // it was set in between, one of the two is off by that. A time in the future cannot be right; if
  // both can, the later one is taken: a doubt goes in the user's favour.
  const auto before =
      static_cast<std::int64_t>(parts_->shared().clock_offset_ms.load(std::memory_order_relaxed));
  const auto now_ms = static_cast<std::int64_t>(at.boottime_ms);
  std::int64_t best = 0;
  for (const std::int64_t offset : {clock_offset_ms(at), before}) {
    std::int64_t then = 0;
    if (!__builtin_sub_overflow(realtime_ms, offset, &then) && then <= now_ms)
      best = std::max(best, then);
  }
  return static_cast<std::uint64_t>(best);
}

bool Registry::Parts::was_clock_set() const {
  const auto before =
      static_cast<std::int64_t>(shared().clock_offset_ms.load(std::memory_order_relaxed));
  std::int64_t step = 0;
  return __builtin_sub_overflow(clock_offset_ms(now()), before, &step) || step > kClockStep_ms ||
         step < -kClockStep_ms;
}

void Registry::Parts::note_clock(const Now& at) {
  // Relaxed: a hint about time, nothing else is read through it.
  shared().clock_offset_ms.store(static_cast<std::uint64_t>(clock_offset_ms(at)),
                                 std::memory_order_relaxed);
}

void Registry::Parts::forget_search() {
  shared().search.store(0, std::memory_order_relaxed);
  own_search = {};
}

bool Registry::Parts::may_skip_search(std::uint32_t identity) const {
  const std::uint64_t now_ms = coarse_ms();
  const auto is_good = [&](const SearchWord& word) {
    // A value further ahead than was ever written comes from damage: believe the clock.
    return word.identity == (identity & kIdentityMask) && now_ms < word.until_ms &&
           word.until_ms <= now_ms + kDeathCheck_ms;
  };
  return is_good(own_search) ||
         is_good(Widths::search(shared().search.load(std::memory_order_acquire)));
}

}  // namespace sessreg
