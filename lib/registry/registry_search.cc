// Searching the table: for the dead, whose seats are freed, and for the idle, whose seats may be
// taken. The same functions as everywhere, told who is dead.
#include <algorithm>

#include "registry/registry_internal.h"

namespace sessreg {
namespace {

constexpr std::uint32_t kIdentityMask = 0xffffff;

// A clock that was set, not one that is being adjusted.
constexpr std::int64_t kClockStep_ms = 2'000;

// What this thread has spent, not what it waited for others on a busy host.
std::uint64_t own_cpu_us() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000 +
         static_cast<std::uint64_t>(t.tv_nsec) / 1000;
}

std::int64_t clock_offset_ms(const Now& at) {
  return at.realtime_ms - static_cast<std::int64_t>(at.boottime_ms);
}

bool is_process_gone(Life life) {
  return life != Life::alive;
}

}  // namespace

Reaped Registry::reap(const Processes& processes, std::uint64_t now_ms) {
  Search search{processes, now_ms};
  search_table(search);
  return search.reaped;
}

Reaped Registry::reap(std::span<const std::uint32_t> slots, const Processes& processes,
                      std::uint64_t now_ms) {
  Search search{processes, now_ms};
  gate_.count();  // settles
  for (const std::uint32_t slot : slots)
    if (slot < gate_.table().size()) examine(search, slot);
  free_leaderless(search);
  count_reaped(search.reaped);
  return search.reaped;
}

void Registry::search_table(Search& search) {
  const std::uint64_t began_us = own_cpu_us();
  const std::uint64_t began_ms = coarse_ms();
  search.clock_was_set = was_clock_set();
  // Settles what a process that died after its gate operation left undone; and whoever is seated
  // from now on has loaded the gate, and so read the clock, after this.
  gate_.nop();
  if (search.terms != nullptr && search.terms->shortest_idle_s != 0)
    search.next_change_ms = search.now_ms + std::uint64_t{search.terms->shortest_idle_s} * 1000;
  for (std::uint32_t slot = 0; slot < gate_.table().size(); ++slot)
    examine(search, slot);
  free_leaderless(search);
  look_at_terminals(search);
  count_reaped(search.reaped);
  if (search.terms != nullptr) publish_search(search, began_ms, own_cpu_us() - began_us);
}

void Registry::search_user(Search& search, const UserHash& user) {
  gate_.count();  // settles
  gate_.table().for_each_near_home(user, [&](std::uint32_t slot, const StateWord& state) {
    if (state.stage == Stage::claimed || gate_.table().is_user(slot, user)) examine(search, slot);
  });
  free_leaderless(search);
  look_at_terminals(search);
  count_reaped(search.reaped);
}

void Registry::examine(Search& search, std::uint32_t slot) {
  const StateWord state = gate_.table().state(slot);
  if (state.stage == Stage::free) return;
  if (state.stage == Stage::claimed) {
    const auto pid = static_cast<pid_t>(state.claimer_pid);
    const auto start_ticks = search.processes.start_ticks_if_alive(pid);
    // A hash of 0 on either side: the start time is not known; in doubt, alive.
    if (start_ticks && (*start_ticks == 0 || state.claimer_hash == 0 ||
                        claimer({pid, *start_ticks}).hash == state.claimer_hash))
      return;
    search.found_dead = true;
    if (gate_.free_dead_claim(slot, state.generation)) {
      ++search.reaped.claims;
      return;
    }
    // It had got as far as its gate operation: what it holds is a seat, looked at below.
  }
  Snapshot held;
  if (!gate_.table().snapshot(slot, held)) return;
  const RecordImage& record = held.record;
  const ProcessId leader = leader_of(record);
  const Life life = search.processes.life(leader);
  if (record.kind == RecordKind::reservation) {
    const ProcessId parent{static_cast<pid_t>(record.parent_pid), record.parent_start_ticks};
    std::uint64_t ends_ms = record.ends_boottime_ms != 0 ? record.ends_boottime_ms : ~0ull;
    if (is_process_gone(life)) {
      const bool of_nobody = is_process_gone(search.processes.life(parent));
      ends_ms = std::min(ends_ms, of_nobody ? 0 : record.opened_boottime_ms + kMakerDeathGrace_ms);
    }
    if (search.now_ms >= ends_ms) {
      search.found_dead = true;
      if (free_slot(slot, held.state)) ++search.reaped.reservations;
    } else {
      search.next_change_ms = std::min(search.next_change_ms, ends_ms);
    }
    return;
  }
  if (life == Life::reused) {
    search.found_dead = true;
    if (free_slot(slot, held.state)) ++search.reaped.sessions;
    return;
  }
  if (life == Life::gone) {
    if (search.leaderless_count == search.leaderless.size()) free_leaderless(search);
    search.leaderless[search.leaderless_count++] = {slot, held.state, leader.pid};
  }
  const bool parked = held.state.stage == Stage::parked;
  if (search.terms == nullptr || (held.state.stage != Stage::seated && !parked)) return;
  if (search.user != nullptr || parked) {
    search.looks.push_back({held, parked});
  } else if (record.idle_after_s != 0) {
    const std::uint64_t idle_ms = held.last_activity_ms + std::uint64_t{record.idle_after_s} * 1000;
    if (search.now_ms >= idle_ms || search.clock_was_set)
      search.looks.push_back({held, false});
    else
      search.next_change_ms = std::min(search.next_change_ms, idle_ms);
  }
}

void Registry::free_leaderless(Search& search) {
  if (search.leaderless_count == 0) return;
  const LiveSids sids = search.processes.live_sids();
  for (std::size_t i = 0; i < search.leaderless_count; ++i) {
    const Search::Leaderless& session = search.leaderless[i];
    if (sids.contains(session.leader)) continue;
    search.found_dead = true;
    if (free_slot(session.slot, session.state)) ++search.reaped.sessions;
  }
  search.leaderless_count = 0;
}

// Nobody is called idle before its terminals were looked at. A parked session that was typed on
// takes a seat again, if there is one.
void Registry::look_at_terminals(Search& search) {
  if (search.looks.empty()) return;
  std::vector<TerminalLook> looks;
  for (const Search::Look& look : search.looks)
    looks.push_back({leader_of(look.session.record), uid_of(look.session.record)});
  search.processes.look_at_terminals(looks);
  const Now at = now();
  for (std::size_t i = 0; i < looks.size(); ++i) {
    const Search::Look& look = search.looks[i];
    const Snapshot& session = look.session;
    std::uint64_t last_ms = std::max(session.last_activity_ms, session.record.opened_boottime_ms);
    if (looks[i].has_terminal) {
      const std::uint64_t typed_ms = boottime_of(looks[i].typed_realtime_ms, at);
      // The same moment can differ by how each was rounded.
      if (typed_ms > last_ms + kActivityUnit_ms) {
        last_ms = typed_ms;
        touch(session.ref, typed_ms);
      }
    }
    const std::uint64_t idle_ms = last_ms + std::uint64_t{session.record.idle_after_s} * 1000;
    if (look.parked) {
      if (search.now_ms < idle_ms) return_to_seat(session.ref, *search.terms, false);
      continue;
    }
    const bool can_idle =
        session.record.idle_after_s != 0 && (looks[i].has_terminal || session.token_shown);
    const bool idle = can_idle && search.now_ms >= idle_ms;
    if (can_idle && !idle) search.next_change_ms = std::min(search.next_change_ms, idle_ms);
    if (search.ret != nullptr && (idle || search.user != nullptr))
      search.ret->push_back({{session.ref.slot, session.state.generation},
                             session.ref,
                             last_ms,
                             session.record.opened_boottime_ms,
                             session.record.groups,
                             idle});
  }
  if (search.user == nullptr) note_clock(at);
  if (search.ret != nullptr)
    std::sort(search.ret->begin(), search.ret->end(), [](const Candidate& a, const Candidate& b) {
      return a.last_activity_ms < b.last_activity_ms;
    });
}

std::uint64_t Registry::boottime_of(std::int64_t realtime_ms, const Now& at) const {
  // What the clock was when that time was taken nobody knows: as it is now, or as it was at the
  // last look. If it was set in between, one of the two is off by that; a time to come cannot be
  // right, and of two that can the later is, in doubt for the user.
  const auto before =
      static_cast<std::int64_t>(gate_.shared().clock_offset_ms.load(std::memory_order_relaxed));
  const auto now_ms = static_cast<std::int64_t>(at.boottime_ms);
  std::int64_t best = 0;
  for (const std::int64_t offset : {clock_offset_ms(at), before}) {
    std::int64_t then = 0;
    if (!__builtin_sub_overflow(realtime_ms, offset, &then) && then <= now_ms)
      best = std::max(best, then);
  }
  return static_cast<std::uint64_t>(best);
}

bool Registry::was_clock_set() const {
  const auto before =
      static_cast<std::int64_t>(gate_.shared().clock_offset_ms.load(std::memory_order_relaxed));
  std::int64_t step = 0;
  return __builtin_sub_overflow(clock_offset_ms(now()), before, &step) || step > kClockStep_ms ||
         step < -kClockStep_ms;
}

void Registry::note_clock(const Now& at) {
  // Relaxed: a hint about time, nothing else is read through it.
  gate_.shared().clock_offset_ms.store(static_cast<std::uint64_t>(clock_offset_ms(at)),
                                       std::memory_order_relaxed);
}

void Registry::count_reaped(const Reaped& reaped) {
  add_to(kReapedSessions, reaped.sessions);
  add_to(kReapedReservations, reaped.reservations);
  add_to(kReapedClaims, reaped.claims);
}

// Release and acquire: whoever believes the word has seen what the search did.
void Registry::publish_search(const Search& search, std::uint64_t began_ms, std::uint64_t cost_us) {
  SearchWord word;
  const bool of_use = search.found_dead || (search.ret != nullptr && !search.ret->empty());
  if (!of_use && search.next_change_ms > search.now_ms) {
    const std::uint64_t pause_ms = std::min(kDeathCheck_ms, kSearchCostFactor * cost_us / 1000);
    word.identity = search.terms->site.identity & kIdentityMask;
    word.until_ms = began_ms + std::min(pause_ms, search.next_change_ms - search.now_ms);
  }
  own_search_ = word;
  if (cost_us < kCheapSearch_us) word = {};
  gate_.shared().search.store(Widths::pack(word), std::memory_order_release);
}

bool Registry::may_skip_search(std::uint32_t identity) const {
  const std::uint64_t now_ms = coarse_ms();
  const auto is_good = [&](const SearchWord& word) {
    // A value further ahead than was ever written comes from damage: believe the clock.
    return word.identity == (identity & kIdentityMask) && now_ms < word.until_ms &&
           word.until_ms <= now_ms + kDeathCheck_ms;
  };
  return is_good(own_search_) ||
         is_good(Widths::search(gate_.shared().search.load(std::memory_order_acquire)));
}

}  // namespace sessreg
