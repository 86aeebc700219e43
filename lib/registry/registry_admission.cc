// How a login gets its seat: what is tried, and in which order, before it is refused.
#include <algorithm>
#include <array>
#include <map>

#include "base/undo.h"
#include "registry/registry_internal.h"

namespace sessreg {
namespace {

// How often eviction begins again because the user's sessions changed under it.
constexpr unsigned kEvictionTurns = 8;

// How often it is searched again because a reservation that gave way gave a seat back.
constexpr unsigned kSearchesAgain = 8;

constexpr std::uint64_t kUsedOrNot = ~std::uint64_t{0};

}  // namespace

Admission Registry::reserve(const Login& login, const Terms& terms, const Processes& processes,
                            std::uint64_t ends_ms) {
  return Attempt{*this, login, RecordKind::reservation, terms, processes, ends_ms}.take_seat();
}

Admission Registry::admit(const Login& login, const Terms& terms, const Processes& processes) {
  return Attempt{*this, login, RecordKind::session, terms, processes, 0}.take_seat();
}

Admission Registry::foresee(const Login& login, const Terms& terms, const Processes& processes) {
  return Attempt{*this, login, RecordKind::reservation, terms, processes, 0, true}.decide();
}

Admission Registry::Attempt::take_seat() {
  Undo undo([&] {
    if (!claim) return;
    gate().table().abandon(*claim);
    registry.release(*claim);  // if it has become a seat
  });
  Admission answer = decide();
  undo.keep();
  if (answer.deferred) return answer;
  if (answer.admitted()) {
    parts().add_to(kAdmissions, 1);
    parts().note_high_water(answer.count);
  } else if (!answer.stale_configuration) {
    parts().add_to(facts_of(answer.refusal).counter, 1);
  }
  return answer;
}

Admission Registry::Attempt::decide() {
  rules.site = terms.site;
  rules.held_back = terms.may_use_reserved ? 0 : terms.reserved_seats;
  rules.user = terms.user_limit < 0 ? UserHash{} : parts().user_hash(login.user);
  rules.user_limit = terms.user_limit;
  rules.groups = terms.groups;
  for (;;) {
    // Look first: while the site is full nobody needs a claim to be refused.
    Decision decision = claim ? gate().add(*claim, rules) : gate().check_room(rules);
    if (decision.done() && !claim && !dry_run) {
      if (take_claim()) continue;
      decision = {Outcome::table_full, static_cast<std::int32_t>(gate().capacity()),
                  decision.count};
    } else if (!decision.done() && decision.outcome != Outcome::stale_configuration) {
      if (make_room(decision) && !decision.done()) continue;
    }
    if (!decision.done()) return refuse(decision);
    result.count = decision.count;
    result.limit = decision.limit;
    if (claim) result.ref = *claim;
    return std::move(result);
  }
}

bool Registry::Attempt::take_claim() {
  RecordImage record = parts().make_record(login, kind, terms, ends_ms);
  result.id = record.id;
  claim = parts().claim_for(login, record, result);
  if (claim) return true;
  if (!searched_table) {
    search_table();
    claim = parts().claim_for(login, record, result);
  }
  // The stalest parked has to go, as it has no seat to lose.
  while (!claim && kind == RecordKind::session && drop_stalest_parked())
    claim = parts().claim_for(login, record, result);
  result.deferred = !claim && kind == RecordKind::reservation && is_anybody_parked();
  return claim.has_value();
}

void Registry::Attempt::search_table() {
  searched_table = true;
  idle.clear();
  pending.clear();
  Search{registry, processes, boottime_ms(), &terms, nullptr, &idle, &pending}.search_table();
}

void Registry::Attempt::search_user() {
  searched_user = true;
  own.clear();
  own_pending.clear();
  Search{registry, processes, boottime_ms(), &terms, &rules.user, &own, &own_pending}.search_user();
}

// Full, as far as the gate tells: are the holders all alive, and none idle? True: it may be
// different now, or (decision.done()) the login has its seat.
bool Registry::Attempt::make_room(Decision& decision) {
  if (decision.limit == 0) return false;  // nobody's end would help
  if (decision.outcome == Outcome::user_full && !searched_user) {
    search_user();
    return true;
  }
  if (decision.outcome != Outcome::user_full && !searched_table &&
      !parts().may_skip_search(terms.site.identity)) {
    search_table();
    return true;
  }
  if (take_idle(decision)) return true;
  if (result.deferred) return false;
  if (decision.outcome == Outcome::user_full && evict(decision)) return true;
  return !result.deferred && displace_slow_login(decision);
}

bool Registry::Attempt::take_idle(Decision& decision) {
  const bool of_user = decision.outcome == Outcome::user_full;
  const bool of_group = decision.outcome == Outcome::group_full;
  std::vector<Candidate>& pool = of_user ? own : idle;
  std::vector<Candidate> eligible;
  for (const Candidate& candidate : pool)
    if (candidate.idle && (!of_group || (candidate.groups >> decision.group & 1) != 0))
      eligible.push_back(candidate);
  const std::int64_t needed = needed_for(decision);
  if (needed > static_cast<std::int64_t>(eligible.size())) return false;
  if (dry_run) return foresee_idle(eligible, needed, decision);
  if (defers(needed)) return false;
  if (!claim && !take_claim()) {
    decision = {Outcome::table_full, static_cast<std::int32_t>(gate().capacity()), decision.count};
    return false;
  }
  pool.clear();  // each is tried once
  for (const Candidate& candidate : eligible) {
    const Decision taken =
        gate().take_idle(*claim, candidate.victim, candidate.last_activity_ms, rules);
    if (taken.done()) {
      parts().add_to(kParked, 1);
      decision = taken;
      return true;
    }
    if (taken.outcome == Outcome::gone || taken.outcome == Outcome::not_idle) continue;
    if (taken.outcome != decision.outcome) return true;  // room now, or another limit is in the way
    if (gate().park(candidate.victim, candidate.last_activity_ms, rules) == Outcome::done)
      parts().add_to(kParked, 1);
  }
  return true;
}

// Who would be parked. Where more than one has to be, the other limits are taken to allow it.
bool Registry::Attempt::foresee_idle(const std::vector<Candidate>& eligible, std::int64_t needed,
                                     Decision& decision) {
  if (needed == 1) {
    const Decision handed_over = gate().check_room(rules, &eligible.front().victim);
    if (!handed_over.done()) decision = handed_over;
    if (!handed_over.done()) return false;
  }
  for (std::size_t i = 0; i < static_cast<std::size_t>(needed); ++i) {
    Snapshot session;
    if (registry.snapshot(eligible[i].ref, session))
      result.displaced.push_back({session, Displaced::Why::parked});
  }
  decision.outcome = Outcome::done;
  return true;
}

bool Registry::Attempt::evict(Decision& decision) {
  const auto& after_ms = terms.evict_after_ms;
  const std::vector<Candidate>& victims = own;
  const std::int64_t needed = std::int64_t{decision.count} + 1 - decision.limit;
  if (!after_ms || needed > static_cast<std::int64_t>(victims.size())) return false;
  const std::uint64_t now_ms = boottime_ms();
  for (std::size_t i = 0; i < static_cast<std::size_t>(needed); ++i) {
    const std::uint64_t free_ms = victims[i].opened_ms + *after_ms;
    if (now_ms >= free_ms) continue;
    locked = true;
    result.wait_ms = std::max(result.wait_ms, free_ms - now_ms);
  }
  if (locked) return false;
  Snapshot victim;
  const bool known = registry.snapshot(victims[0].ref, victim);
  if (dry_run) {
    const Decision handed_over = gate().check_room(rules, &victims[0].victim);
    if (needed == 1 && !handed_over.done()) return false;
    if (known) result.displaced.push_back({victim, Displaced::Why::evicted});
    decision.outcome = Outcome::done;
    return true;
  }
  // With enough of them gone, is anything else in the way?
  const Decision others = gate().check_room(rules, &victims[0].victim);
  if (!others.done() && others.outcome != Outcome::user_full && others.outcome != Outcome::gone) {
    decision = others;
    return others.outcome == Outcome::stale_configuration;
  }
  if (defers(needed)) return false;
  if (!claim && !take_claim()) {
    decision = {Outcome::table_full, static_cast<std::int32_t>(gate().capacity()), decision.count};
    return false;
  }
  result.displaced.reserve(result.displaced.size() + 1);
  // Above a limit that was lowered: the others just lose their seats.
  for (std::size_t i = 1; i < static_cast<std::size_t>(needed); ++i)
    if (gate().park(victims[i].victim, kUsedOrNot, rules) == Outcome::done)
      parts().add_to(kParked, 1);

  const bool at_once = kind == RecordKind::session;
  const Decision taken =
      gate().evict(*claim, victims[0].victim,
                   at_once ? VictimFate::evicted : VictimFate::evicted_at_bind, rules);
  if (taken.done()) {
    if (at_once && known) result.displaced.push_back({victim, Displaced::Why::evicted});
    if (at_once) parts().add_to(kEvicted, 1);
    decision = taken;
    return true;
  }
  if (taken.outcome != Outcome::gone && taken.outcome != Outcome::user_full) {
    decision = taken;
    return false;
  }
  // The victim left, or another login of the user was quicker: look at them again.
  searched_user = ++evictions_tried >= kEvictionTurns;
  own.clear();
  return true;
}

// More than one has to give way above a limit that was lowered, or none at all.
std::int64_t Registry::Attempt::needed_for(const Decision& decision) const {
  const std::int64_t held_back = decision.outcome == Outcome::site_full ? rules.held_back : 0;
  return std::int64_t{decision.count} + 1 + held_back - decision.limit;
}

// Of whom has most logins on their way one gives way first, so that a stranger who keeps many does
// not push out others'; of those the oldest.
bool Registry::Attempt::displace_slow_login(Decision& decision) {
  const bool of_group = decision.outcome == Outcome::group_full;
  std::vector<Pending>& pool = decision.outcome == Outcome::user_full ? own_pending : pending;
  std::map<std::pair<std::uint32_t, UserHash>, std::size_t> logins_of;
  std::vector<std::size_t> eligible;
  for (std::size_t i = 0; i < pool.size(); ++i) {
    ++logins_of[pool[i].whose];
    const bool counts = !of_group || (pool[i].groups >> decision.group & 1) != 0;
    if (pool[i].yields && counts) eligible.push_back(i);
  }
  if (needed_for(decision) > static_cast<std::int64_t>(eligible.size())) return false;
  std::sort(eligible.begin(), eligible.end(), [&](std::size_t a, std::size_t b) {
    const std::size_t of_a = logins_of[pool[a].whose], of_b = logins_of[pool[b].whose];
    return of_a != of_b ? of_a > of_b : pool[a].reserved_ms < pool[b].reserved_ms;
  });
  for (const std::size_t i : eligible) {
    const Pending chosen = pool[i];
    // With it gone, is anything else in the way?
    const Decision others = gate().check_room(rules, &chosen.seat);
    const bool helps = others.done() || others.outcome == Outcome::gone ||
                       others.outcome == decision.outcome ||
                       others.outcome == Outcome::stale_configuration;
    if (!helps) continue;
    if (dry_run) {
      decision.outcome = Outcome::done;
      return true;
    }
    if (!claim && !take_claim()) {
      decision = {Outcome::table_full, static_cast<std::int32_t>(gate().capacity()),
                  decision.count};
      return false;
    }
    pool.erase(pool.begin() + static_cast<std::ptrdiff_t>(i));  // each is tried once
    if (gate().give_way(chosen.seat, rules) == Outcome::done) gave_way(chosen);
    return true;
  }
  return false;
}

void Registry::Attempt::gave_way(const Pending& slow) {
  parts().add_to(kReapedReservations, 1);
  parts().forget_search();
  locked = false;
  result.wait_ms = 0;
  // Who has a seat again may be one to give way, too.
  if (slow.took_a_seat && searched_again++ < kSearchesAgain) searched_table = searched_user = false;
}

// Only the one whose seat is taken over can have it back from a reservation.
bool Registry::Attempt::defers(std::int64_t needed) {
  result.deferred = kind == RecordKind::reservation && needed > 1;
  return result.deferred;
}

bool Registry::Attempt::is_anybody_parked() {
  bool found = false;
  registry.for_each(
      [&](const Snapshot& session) { found |= session.state.stage == Stage::parked; });
  return found;
}

bool Registry::Attempt::drop_stalest_parked() {
  std::vector<Snapshot> parked;
  registry.for_each([&](const Snapshot& session) {
    if (session.state.stage == Stage::parked) parked.push_back(session);
  });
  if (parked.empty()) return false;
  std::vector<TerminalLook> looks;
  looks.reserve(parked.size());
  for (const Snapshot& session : parked)
    looks.push_back({leader_of(session.record), uid_of(session.record)});
  processes.look_at_terminals(looks);
  const auto rank = [&](std::size_t i) {
    const std::uint64_t last_ms =
        std::max(parked[i].last_activity_ms, parked[i].record.opened_boottime_ms);
    return staleness_of(parked[i], looks[i].has_terminal, last_ms);
  };
  std::size_t stalest = 0;
  for (std::size_t i = 1; i < parked.size(); ++i)
    if (rank(i) < rank(stalest)) stalest = i;
  result.displaced.reserve(result.displaced.size() + 1);
  if (gate().drop(parked[stalest].ref.slot, parked[stalest].state.generation))
    result.displaced.push_back({parked[stalest], Displaced::Why::table_full});
  return true;
}

Admission Registry::Attempt::refuse(const Decision& decision) {
  if (claim) gate().table().abandon(*claim);
  result.token.clear();
  if (result.deferred) return std::move(result);
  result.limit = decision.limit;
  result.count = decision.count;
  result.group = decision.group;
  result.stale_configuration = decision.outcome == Outcome::stale_configuration;
  if (!result.stale_configuration) result.refusal = locked ? Refusal::locked : refusal_of(decision);
  return std::move(result);
}

Decision Registry::return_to_seat(SlotRef ref, const Terms& terms, bool or_over_limit) {
  Snapshot session;
  // Whoever is revoked no longer has a claim to a seat.
  if (!snapshot(ref, session) || session.state.stage != Stage::parked ||
      session.mark != MarkStage::none)
    return {Outcome::gone, -1, 0};
  const RecordImage& record = session.record;
  std::array<GroupRule, kMaxGroups> groups;
  std::size_t group_count = 0;
  for (std::uint32_t i = 0; i < kMaxGroups; ++i)
    if ((record.groups >> i & 1) != 0) groups[group_count++] = {i, parts_->gate.group_limit(i)};
  Rules rules;
  rules.site = terms.site;
  rules.held_back = has(record.flags, RecordFlags::may_use_reserved) ? 0 : terms.reserved_seats;
  rules.user = record.user_hash;
  rules.user_limit = record.user_limit;
  rules.groups = std::span(groups).first(group_count);
  const Decision decision =
      parts_->gate.return_to_seat(ref.slot, session.state.generation, rules, or_over_limit);
  if (decision.done()) {
    parts_->add_to(kReturned, 1);
    parts_->note_high_water(decision.count);
  }
  return decision;
}

bool Registry::waits_for_logins(const Snapshot& parked, const Decision& refused,
                                const Terms& terms) {
  const RecordImage& record = parked.record;
  std::int64_t seats = refused.count;
  for_each([&](const Snapshot& held) {
    if (held.record.kind != RecordKind::reservation || held.state.stage != Stage::seated) return;
    if (refused.outcome == Outcome::user_full && held.record.user_hash != record.user_hash) return;
    if (refused.outcome == Outcome::group_full && (held.record.groups >> refused.group & 1) == 0)
      return;
    --seats;
  });
  const bool is_held_back =
      refused.outcome == Outcome::site_full && !has(record.flags, RecordFlags::may_use_reserved);
  return seats + 1 + (is_held_back ? terms.reserved_seats : 0) <= refused.limit;
}

}  // namespace sessreg
