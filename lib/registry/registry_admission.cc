// How a login gets its seat: what is tried, and in which order, before it is refused.
#include <algorithm>
#include <array>

#include "base/undo.h"
#include "registry/registry_internal.h"

namespace sessreg {
namespace {

// How often eviction begins again because the user's sessions changed under it.
constexpr unsigned kEvictionTurns = 8;

constexpr std::uint64_t kUsedOrNot = ~std::uint64_t{0};

Counter counter_of(Refusal refusal) {
  switch (refusal) {
    case Refusal::drain:
      return kRefusedDrain;
    case Refusal::user_full:
      return kRefusedUserFull;
    case Refusal::locked:
      return kRefusedLocked;
    case Refusal::group_full:
      return kRefusedGroupFull;
    case Refusal::table_full:
      return kRefusedTableFull;
    default:
      return kRefusedSiteFull;
  }
}

Refusal refusal_of(const Decision& decision) {
  switch (decision.outcome) {
    case Outcome::user_full:
      return Refusal::user_full;
    case Outcome::group_full:
      return Refusal::group_full;
    case Outcome::table_full:
      return Refusal::table_full;
    default:
      return decision.limit == 0 ? Refusal::drain : Refusal::site_full;
  }
}

}  // namespace

Admission Registry::reserve(const Login& login, const Terms& terms, const Processes& processes,
                            std::uint64_t ends_ms) {
  return take_seat(login, RecordKind::reservation, terms, processes, ends_ms);
}

Admission Registry::admit(const Login& login, const Terms& terms, const Processes& processes) {
  return take_seat(login, RecordKind::session, terms, processes, 0);
}

Admission Registry::foresee(const Login& login, const Terms& terms, const Processes& processes) {
  Attempt attempt{login, RecordKind::reservation, terms, processes, 0, true};
  return decide(attempt);
}

Rules Registry::rules_of(const Terms& terms, const UserHash& user) const {
  Rules rules;
  rules.site = terms.site;
  rules.held_back = terms.may_use_reserved ? 0 : terms.reserved_seats;
  rules.user = user;
  rules.user_limit = terms.user_limit;
  rules.groups = terms.groups;
  return rules;
}

Admission Registry::take_seat(const Login& login, RecordKind kind, const Terms& terms,
                              const Processes& processes, std::uint64_t ends_ms) {
  Attempt attempt{login, kind, terms, processes, ends_ms};
  Undo undo([&] {
    if (!attempt.claim) return;
    gate_.table().abandon(*attempt.claim);
    release(*attempt.claim);  // if it has become a seat
  });
  Admission result = decide(attempt);
  undo.keep();
  if (result.admitted()) {
    add_to(kAdmissions, 1);
    note_high_water(result.count);
  } else if (!result.stale_configuration) {
    add_to(counter_of(result.refusal), 1);
  }
  return result;
}

Admission Registry::decide(Attempt& attempt) {
  const Terms& terms = attempt.terms;
  attempt.rules =
      rules_of(terms, terms.user_limit < 0 ? UserHash{} : user_hash(attempt.login.user));
  for (;;) {
    // Look first: while the site is full nobody needs a claim to be refused.
    Decision decision =
        attempt.claim ? gate_.add(*attempt.claim, attempt.rules) : gate_.check_room(attempt.rules);
    if (decision.done() && !attempt.claim && !attempt.dry_run) {
      if (take_claim(attempt)) continue;
      decision = {Outcome::table_full, static_cast<std::int32_t>(capacity()), decision.count};
    } else if (!decision.done() && decision.outcome != Outcome::stale_configuration) {
      if (make_room(attempt, decision) && !decision.done()) continue;
    }
    if (!decision.done()) return refuse(attempt, decision);
    Admission& result = attempt.result;
    result.count = decision.count;
    result.limit = decision.limit;
    if (attempt.claim) result.ref = *attempt.claim;
    return std::move(result);
  }
}

bool Registry::take_claim(Attempt& attempt) {
  RecordImage record = make_record(attempt.login, attempt.kind, attempt.terms, attempt.ends_ms);
  attempt.result.id = record.id;
  attempt.claim = claim_for(attempt.login, record, attempt.result);
  if (attempt.claim) return true;
  if (!attempt.searched_table) {
    attempt.searched_table = true;
    Search search{attempt.processes, boottime_ms(), &attempt.terms, nullptr, &attempt.idle};
    search_table(search);
    attempt.claim = claim_for(attempt.login, record, attempt.result);
  }
  // The longest parked has to go, for it has no seat to lose.
  while (!attempt.claim && drop_stalest_parked(attempt))
    attempt.claim = claim_for(attempt.login, record, attempt.result);
  return attempt.claim.has_value();
}

// Full, as far as the gate tells: are the holders all alive, and none idle? True: it may be
// different now, or (decision.done()) the login has its seat.
bool Registry::make_room(Attempt& attempt, Decision& decision) {
  if (decision.limit == 0) return false;  // nobody's end would help
  if (decision.outcome == Outcome::user_full && !attempt.searched_user) {
    attempt.searched_user = true;
    attempt.own.clear();
    Search search{attempt.processes, boottime_ms(), &attempt.terms, &attempt.rules.user,
                  &attempt.own};
    search_user(search, attempt.rules.user);
    return true;
  }
  if (decision.outcome != Outcome::user_full && !attempt.searched_table &&
      !may_skip_search(attempt.terms.site.identity)) {
    attempt.searched_table = true;
    Search search{attempt.processes, boottime_ms(), &attempt.terms, nullptr, &attempt.idle};
    search_table(search);
    return true;
  }
  if (take_idle(attempt, decision)) return true;
  return decision.outcome == Outcome::user_full && evict(attempt, decision);
}

bool Registry::take_idle(Attempt& attempt, Decision& decision) {
  const bool of_user = decision.outcome == Outcome::user_full;
  const bool of_group = decision.outcome == Outcome::group_full;
  std::vector<Candidate>& pool = of_user ? attempt.own : attempt.idle;
  std::vector<Candidate> eligible;
  for (const Candidate& candidate : pool)
    if (candidate.idle && (!of_group || (candidate.groups >> decision.group & 1) != 0))
      eligible.push_back(candidate);
  // Above a limit that was lowered more than one has to give way, or none at all.
  const std::int64_t held_back =
      decision.outcome == Outcome::site_full ? attempt.rules.held_back : 0;
  const std::int64_t needed = std::int64_t{decision.count} + 1 + held_back - decision.limit;
  if (needed > static_cast<std::int64_t>(eligible.size())) return false;
  if (attempt.dry_run) return foresee_idle(attempt, eligible, needed, decision);
  if (!attempt.claim && !take_claim(attempt)) {
    decision = {Outcome::table_full, static_cast<std::int32_t>(capacity()), decision.count};
    return false;
  }
  pool.clear();  // each is tried once
  for (const Candidate& candidate : eligible) {
    const Decision taken = gate_.take_idle(*attempt.claim, candidate.victim,
                                           candidate.last_activity_ms, attempt.rules);
    if (taken.done()) {
      add_to(kParked, 1);
      decision = taken;
      return true;
    }
    if (taken.outcome == Outcome::gone || taken.outcome == Outcome::not_idle) continue;
    if (taken.outcome != decision.outcome) return true;  // room now, or another limit is in the way
    if (gate_.park(candidate.victim, candidate.last_activity_ms, attempt.rules) == Outcome::done)
      add_to(kParked, 1);
  }
  return true;
}

// Who would be parked. Where more than one has to be, the other limits are taken to allow it.
bool Registry::foresee_idle(Attempt& attempt, const std::vector<Candidate>& eligible,
                            std::int64_t needed, Decision& decision) {
  if (needed == 1) {
    const Decision handed_over = gate_.check_room(attempt.rules, &eligible.front().victim);
    if (!handed_over.done()) decision = handed_over;
    if (!handed_over.done()) return false;
  }
  for (std::size_t i = 0; i < static_cast<std::size_t>(needed); ++i) {
    Snapshot session;
    if (snapshot(eligible[i].ref, session))
      attempt.result.displaced.push_back({session, Displaced::Why::parked});
  }
  decision.outcome = Outcome::done;
  return true;
}

bool Registry::evict(Attempt& attempt, Decision& decision) {
  const auto& after_ms = attempt.terms.evict_after_ms;
  const std::vector<Candidate>& victims = attempt.own;
  const std::int64_t needed = std::int64_t{decision.count} + 1 - decision.limit;
  if (!after_ms || needed > static_cast<std::int64_t>(victims.size())) return false;
  const std::uint64_t now_ms = boottime_ms();
  for (std::size_t i = 0; i < static_cast<std::size_t>(needed); ++i) {
    const std::uint64_t free_ms = victims[i].opened_ms + *after_ms;
    if (now_ms >= free_ms) continue;
    attempt.locked = true;
    attempt.result.wait_ms = std::max(attempt.result.wait_ms, free_ms - now_ms);
  }
  if (attempt.locked) return false;
  Snapshot victim;
  const bool known = snapshot(victims[0].ref, victim);
  if (attempt.dry_run) {
    const Decision handed_over = gate_.check_room(attempt.rules, &victims[0].victim);
    if (needed == 1 && !handed_over.done()) return false;
    if (known) attempt.result.displaced.push_back({victim, Displaced::Why::evicted});
    decision.outcome = Outcome::done;
    return true;
  }
  // With enough of them gone, is anything else in the way?
  const Decision others = gate_.check_room(attempt.rules, &victims[0].victim);
  if (!others.done() && others.outcome != Outcome::user_full && others.outcome != Outcome::gone) {
    decision = others;
    return others.outcome == Outcome::stale_configuration;
  }
  if (!attempt.claim && !take_claim(attempt)) {
    decision = {Outcome::table_full, static_cast<std::int32_t>(capacity()), decision.count};
    return false;
  }
  attempt.result.displaced.reserve(attempt.result.displaced.size() + 1);
  // Above a limit that was lowered: the others just lose their seats.
  for (std::size_t i = 1; i < static_cast<std::size_t>(needed); ++i)
    if (gate_.park(victims[i].victim, kUsedOrNot, attempt.rules) == Outcome::done)
      add_to(kParked, 1);

  const bool at_once = attempt.kind == RecordKind::session;
  const Decision taken =
      gate_.evict(*attempt.claim, victims[0].victim,
                  at_once ? VictimFate::evicted : VictimFate::evicted_at_bind, attempt.rules);
  if (taken.done()) {
    if (at_once && known) attempt.result.displaced.push_back({victim, Displaced::Why::evicted});
    if (at_once) add_to(kEvicted, 1);
    decision = taken;
    return true;
  }
  if (taken.outcome != Outcome::gone && taken.outcome != Outcome::user_full) {
    decision = taken;
    return false;
  }
  // The victim left, or another login of the user was quicker: look at them again.
  attempt.searched_user = ++attempt.evictions_tried >= kEvictionTurns;
  attempt.own.clear();
  return true;
}

bool Registry::drop_stalest_parked(Attempt& attempt) {
  Snapshot stalest;
  bool found = false;
  for_each([&](const Snapshot& session) {
    if (session.state.stage != Stage::parked) return;
    if (!found || session.last_activity_ms < stalest.last_activity_ms) stalest = session;
    found = true;
  });
  if (!found) return false;
  attempt.result.displaced.reserve(attempt.result.displaced.size() + 1);
  if (gate_.drop(stalest.ref.slot, stalest.state.generation))
    attempt.result.displaced.push_back({stalest, Displaced::Why::table_full});
  return true;
}

Admission Registry::refuse(Attempt& attempt, const Decision& decision) {
  if (attempt.claim) gate_.table().abandon(*attempt.claim);
  Admission& result = attempt.result;
  result.token.clear();
  result.limit = decision.limit;
  result.count = decision.count;
  result.group = decision.group;
  result.stale_configuration = decision.outcome == Outcome::stale_configuration;
  if (!result.stale_configuration)
    result.refusal = attempt.locked ? Refusal::locked : refusal_of(decision);
  return std::move(result);
}

Decision Registry::return_to_seat(SlotRef ref, const Terms& terms, bool or_over_limit) {
  Snapshot session;
  // Whoever is revoked has no claim to a seat any more.
  if (!snapshot(ref, session) || session.state.stage != Stage::parked ||
      session.mark != MarkStage::none)
    return {Outcome::gone, -1, 0};
  const RecordImage& record = session.record;
  std::array<GroupRule, kMaxGroups> groups;
  std::size_t group_count = 0;
  for (std::uint32_t i = 0; i < kMaxGroups; ++i)
    if ((record.groups >> i & 1) != 0) groups[group_count++] = {i, gate_.group_limit(i)};
  Rules rules;
  rules.site = terms.site;
  rules.held_back = record.flags == RecordFlags::may_use_reserved ? 0 : terms.reserved_seats;
  rules.user = record.user_hash;
  rules.user_limit = record.user_limit;
  rules.groups = std::span(groups).first(group_count);
  const Decision decision =
      gate_.return_to_seat(ref.slot, session.state.generation, rules, or_over_limit);
  if (decision.done()) {
    add_to(kReturned, 1);
    note_high_water(decision.count);
  }
  return decision;
}

}  // namespace sessreg
