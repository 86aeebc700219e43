// How a login gets its seat: what is tried, and in which order, before it is refused.
#include <algorithm>
#include <array>
#include <map>
#include <utility>

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

Admission Registry::use(const Login& login, const Terms& terms, const Processes& processes) {
  Attempt attempt{*this, login, RecordKind::session, terms, processes, 0};
  attempt.is_use = true;
  return attempt.take_seat();
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
  if (answer.deferred || answer.found) return answer;
  if (answer.admitted()) {
    parts().add_to(kAdmissions, 1);
    parts().note_high_water(answer.count);
    if (kind == RecordKind::session && has_notes) parts().drop_older_notes(answer.ref, hashes());
  } else if (!answer.stale_configuration) {
    parts().add_to(facts_of(answer.refusal).counter, 1);
  }
  return answer;
}

Admission Registry::Attempt::decide() {
  rules.site = terms.site;
  rules.held_back = terms.may_use_reserved ? 0 : terms.reserved_seats;
  if (terms.user_limit >= 0 || !login.device.empty()) rules.user = hashes().user;
  const DeviceHash device = login.device.empty() ? kNoDevice : hashes().device;
  // A reservation, which may come to nothing, only takes the seat that its device has; it ends neither
  // a parked session nor an exempt one, as bind() does.
  if (kind != RecordKind::reservation) rules.device = device;
  rules.user_limit = terms.user_limit;
  rules.groups = terms.groups;
  for (;;) {
    Decision decision{Outcome::gone};
    if (login.take_over && take_over(decision)) {
      if (!decision.done()) continue;
      return admitted(decision);
    }
    if (kind == RecordKind::reservation && device != kNoDevice) {
      Rules of_device = rules;
      of_device.device = device;
      decision = gate().find_device(of_device);
      if (decision.outcome == Outcome::device_seated) {
        if (replace_device(decision)) continue;
        return decision.done() ? admitted(decision) : refuse(decision);
      }
    }
    if (is_use && !claim) {
      decision = gate().find_device(rules);
      if (decision.done() && find_note()) return std::move(result);
    }
    if (!claim && device != kNoDevice && (!is_use || decision.done())) claim_early();
    // Look first: while the site is full nobody needs a claim to be refused.
    if (!is_use || !decision.is_of_device())
      decision = claim ? gate().add(*claim, rules) : gate().check_room(rules);
    if (is_use && decision.is_of_device()) {
      if (find_of_device(decision)) return std::move(result);
      continue;
    }
    if (decision.is_of_device()) {
      if (replace_device(decision)) continue;
    } else if (decision.done() && !claim && !dry_run) {
      if (take_claim()) continue;
      decision = {Outcome::table_full, static_cast<std::int32_t>(gate().capacity()),
                  decision.count};
    } else if (!decision.done() && decision.outcome != Outcome::stale_configuration) {
      if (make_room(decision) && !decision.done()) continue;
    }
    return decision.done() ? admitted(decision) : refuse(decision);
  }
}

Admission Registry::Attempt::admitted(const Decision& decision) {
  result.count = decision.count;
  result.limit = decision.limit;
  if (claim) result.ref = *claim;
  has_notes = decision.device_has_notes;
  return std::move(result);
}

const LoginHashes& Registry::Attempt::hashes() {
  if (!made_hashes) made_hashes = parts().hashes_of(login);
  return *made_hashes;
}

// The device has a session. Its seat becomes the login's (decision.done()); one that has none goes.
// True: it may be different now.
bool Registry::Attempt::replace_device(Decision& decision) {
  if (dry_run) {
    decision.outcome = Outcome::done;
    return false;
  }
  if (decision.outcome != Outcome::device_seated) {
    parts().end_session_of_device(decision);
    return true;
  }
  if (!claim && !take_claim()) {
    decision = {Outcome::table_full, static_cast<std::int32_t>(gate().capacity()), decision.count};
    return false;
  }
  const VictimFate fate =
      kind == RecordKind::session ? VictimFate::freed : VictimFate::evicted_at_bind;
  // It counts where that session counted: nobody new comes in.
  const bool has_notes_too = decision.device_has_notes;
  decision = gate().hand_over(*claim, {decision.slot, decision.generation}, fate, rules);
  decision.device_has_notes = has_notes_too;
  return decision.outcome == Outcome::gone;
}

// The latest note of the device: as long as there is one, whoever uses it is told, and gets no other
// session. (A login does.)
bool Registry::Attempt::find_note() {
  std::optional<Snapshot> latest;
  gate().table().for_each_behind(
      gate().table().home(rules.user, Home::of_devices),
      [&](std::uint32_t slot, const StateWord& state) {
        Snapshot note;
        if (state.stage == Stage::evicted && gate().table().is_device(slot, rules.device) &&
            registry.snapshot(slot, note) && is_note(note) &&
            boottime_ms() < end_of_note_ms(note) &&
            (!latest || note.last_activity_ms > latest->last_activity_ms))
          latest = note;
      });
  return latest && find(*latest);
}

// Found by use(). False: it has gone meanwhile.
bool Registry::Attempt::find_of_device(const Decision& decision) {
  Snapshot session;
  return registry.snapshot(decision.slot, session) &&
         session.state.generation == decision.generation && find(session);
}

bool Registry::Attempt::find(const Snapshot& session) {
  if (claim) gate().table().abandon(*claim);
  result.token.clear();
  result.found = true;
  result.ref = session.ref;
  result.id = session.record.id;
  return true;
}

bool Registry::Attempt::may_evict(std::uint64_t service_hash) const {
  return !terms.evictable_services ||
         std::ranges::any_of(*terms.evictable_services, [&](const std::string& service) {
           return parts().service_hash(service) == service_hash;
         });
}

// The session that the login names gives way, if it has a seat and every limit has room for the login
// then. True: the login has its seat (decision.done()), or it may be different now.
bool Registry::Attempt::take_over(Decision& decision) {
  Snapshot session;
  if (!registry.snapshot(*login.take_over, session) || session.record.kind != RecordKind::session ||
      session.state.stage != Stage::seated || !registry.is_user_of(session.record, login.user) ||
      !may_evict(session.record.service_hash))
    return false;
  const Victim victim{session.ref.slot, session.state.generation};
  const Decision look = gate().check_room(rules, {&victim, 1});
  still_in_the_way.reset();
  if (look.outcome == Outcome::gone) return true;
  if (look.outcome != Outcome::device_parked && !look.done()) {
    still_in_the_way = look;
    return false;
  }
  if (dry_run) {
    result.displaced.push_back({session, Displaced::Why::evicted});
    decision.outcome = Outcome::done;
    return true;
  }
  if (!claim && !take_claim()) return false;
  if (look.outcome == Outcome::device_parked) {
    parts().end_session_of_device(look);
    return true;
  }
  result.displaced.reserve(result.displaced.size() + 1);
  const bool at_once = kind == RecordKind::session;
  const Decision taken = gate().evict(
      *claim, victim, at_once ? VictimFate::evicted : VictimFate::evicted_at_bind, rules);
  if (!taken.done()) return true;
  if (at_once) {
    result.displaced.push_back({session, Displaced::Why::evicted});
    parts().add_to(kEvicted, 1);
  }
  decision = taken;
  return true;
}

// Only once it is known that the login gets in.
bool Registry::Attempt::ended_parked_of_device() {
  if (!parked_of_device) return false;
  parts().end_session_of_device(*std::exchange(parked_of_device, std::nullopt));
  return true;
}

// Looking for a device takes a part of an admission that can be seen, and has to be done with the claim. So
// where a seat is likely it is not done without one before.
void Registry::Attempt::claim_early() {
  if (dry_run || claimed_early) return;
  claimed_early = true;
  const std::int32_t limit = gate().override_limit().value_or(terms.site.limit);
  if (limit >= 0 && gate().count() + std::uint64_t(terms.reserved_seats) >= std::uint64_t(limit))
    return;
  RecordImage record = parts().make_record(login, hashes(), kind, terms, ends_ms);
  result.id = record.id;
  claim = parts().claim_for(login, record, result, Parts::IfFull::give_up);
}

bool Registry::Attempt::take_claim() {
  RecordImage record = parts().make_record(login, hashes(), kind, terms, ends_ms);
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
  if (result.deferred) return false;
  if (displace_slow_login(decision)) return true;
  // Of those who hold the seats of another limit, behind the user's, some may be dead.
  if (!other_limit_is_in_the_way || searched_table || parts().may_skip_search(terms.site.identity))
    return false;
  search_table();
  return true;
}

bool Registry::Attempt::take_idle(Decision& decision) {
  std::vector<Candidate>& pool = decision.outcome == Outcome::user_full ? own : idle;
  const auto needed = find_enough(pool, decision, [](const Candidate& c) { return c.idle; });
  if (!needed) return false;
  if (*needed == 0) return true;
  if (dry_run) return foresee_idle(std::span(pool).first(*needed), decision);
  if (defers(*needed)) return false;
  if (!claim && !take_claim()) {
    decision = {Outcome::table_full, static_cast<std::int32_t>(gate().capacity()), decision.count};
    return false;
  }
  if (ended_parked_of_device()) return true;
  const std::vector<Candidate> eligible = std::exchange(pool, {});  // each is tried once
  for (const Candidate& candidate : eligible) {
    if (!candidate.idle) continue;
    const Decision taken =
        gate().take_idle(*claim, candidate.victim, candidate.last_activity_ms, rules);
    if (taken.done()) {
      parts().add_to(kParked, 1);
      decision = taken;
      return true;
    }
    if (taken.outcome == Outcome::gone || taken.outcome == Outcome::not_idle) continue;
    if (gate().park(candidate.victim, candidate.last_activity_ms, rules) == Outcome::done)
      parts().add_to(kParked, 1);
    else
      return true;  // room now, or it would be in vain
  }
  return true;
}

// With how many of those in the pool gone the login gets in: these come first then. nullopt: with none.
// So nobody has to go for a login that is refused all the same.
template <class Each, class May>
std::optional<std::size_t> Registry::Attempt::find_enough(std::vector<Each>& pool, Decision why,
                                                          May may_go) {
  const Outcome first = why.outcome;
  std::vector<Victim> leaving;
  std::vector<std::size_t> chosen;
  std::vector<bool> is_chosen(pool.size());
  parked_of_device.reset();
  while (!why.done()) {
    if (why.outcome == Outcome::device_parked) {
      parked_of_device = why;
      break;
    }
    // Which decide() finds.
    if (why.outcome == Outcome::stale_configuration || why.is_of_device()) return 0;
    if (why.outcome == Outcome::gone) {
      std::erase_if(pool, [&](const Each& each) {
        return gate().check_room(rules, {&each.victim, 1}).outcome == Outcome::gone;
      });
      return find_enough(pool, gate().check_room(rules), may_go);
    }
    // Above a limit that was lowered more than one has to go.
    std::int64_t missing = chosen.empty() ? needed_for(why) : 1;
    for (std::size_t i = 0; i < pool.size() && missing > 0; ++i) {
      const bool counts =
          why.outcome != Outcome::group_full || (pool[i].groups >> why.group & 1) != 0;
      if (is_chosen[i] || !counts || !may_go(pool[i])) continue;
      is_chosen[i] = true;
      chosen.push_back(i);
      leaving.push_back(pool[i].victim);
      --missing;
    }
    if (missing > 0) {
      other_limit_is_in_the_way |= why.outcome != first;
      return std::nullopt;
    }
    why = gate().check_room(rules, leaving);
  }
  std::vector<Each> ordered;
  ordered.reserve(pool.size());
  for (const std::size_t i : chosen)
    ordered.push_back(pool[i]);
  for (std::size_t i = 0; i < pool.size(); ++i)
    if (!is_chosen[i]) ordered.push_back(pool[i]);
  pool = std::move(ordered);
  return chosen.size();
}

// Who would be parked.
bool Registry::Attempt::foresee_idle(std::span<const Candidate> chosen, Decision& decision) {
  for (const Candidate& each : chosen) {
    Snapshot session;
    if (registry.snapshot(each.ref, session))
      result.displaced.push_back({session, Displaced::Why::parked});
  }
  decision.outcome = Outcome::done;
  return true;
}

bool Registry::Attempt::evict(Decision& decision) {
  const auto& after_ms = terms.evict_after_ms;
  std::vector<Candidate> victims = own;
  std::erase_if(victims, [&](const Candidate& c) { return !may_evict(c.service); });
  const auto needed = static_cast<std::size_t>(needed_for(decision));
  if (!after_ms || needed > victims.size()) return false;
  const std::uint64_t now_ms = boottime_ms();
  std::vector<Victim> leaving;
  for (std::size_t i = 0; i < needed; ++i) {
    leaving.push_back(victims[i].victim);
    const std::uint64_t free_ms = victims[i].opened_ms + *after_ms;
    if (now_ms >= free_ms) continue;
    locked = true;
    result.wait_ms = std::max(result.wait_ms, free_ms - now_ms);
  }
  if (locked) return false;
  Snapshot victim;
  const bool known = registry.snapshot(victims[0].ref, victim);
  // With all of them gone, is anything else in the way?
  const Decision others = gate().check_room(rules, leaving);
  if (others.outcome == Outcome::gone || others.outcome == Outcome::user_full)
    return look_at_user_again();
  parked_of_device.reset();
  if (others.outcome == Outcome::device_parked)
    parked_of_device = others;
  else if (others.is_of_device())
    return true;
  if (!others.done() && !parked_of_device) {
    decision = others;
    other_limit_is_in_the_way = true;
    return others.outcome == Outcome::stale_configuration;
  }
  if (dry_run) {
    if (known) result.displaced.push_back({victim, Displaced::Why::evicted});
    decision.outcome = Outcome::done;
    return true;
  }
  if (defers(needed)) return false;
  if (!claim && !take_claim()) {
    decision = {Outcome::table_full, static_cast<std::int32_t>(gate().capacity()), decision.count};
    return false;
  }
  if (ended_parked_of_device()) return true;
  result.displaced.reserve(result.displaced.size() + 1);
  // Above a limit that was lowered: the others just lose their seats.
  for (std::size_t i = 1; i < needed; ++i)
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
  if (taken.is_of_device()) return true;
  if (taken.outcome != Outcome::gone && taken.outcome != Outcome::user_full) {
    decision = taken;
    return false;
  }
  return look_at_user_again();
}

// Who was to give way has gone, or another login of the user was quicker.
bool Registry::Attempt::look_at_user_again() {
  searched_user = ++evictions_tried >= kEvictionTurns;
  own.clear();
  return true;
}

// How many have to give way; above a limit that was lowered more than one.
std::int64_t Registry::Attempt::needed_for(const Decision& decision) const {
  const std::int64_t held_back = decision.outcome == Outcome::site_full ? rules.held_back : 0;
  return std::int64_t{decision.count} + 1 + held_back - decision.limit;
}

// Of whom has most logins on their way one gives way first, so that a stranger who keeps many does
// not push out others'; of those the oldest.
bool Registry::Attempt::displace_slow_login(Decision& decision) {
  std::vector<Pending>& pool = decision.outcome == Outcome::user_full ? own_pending : pending;
  std::map<std::pair<std::uint32_t, UserHash>, std::size_t> logins_of;
  for (const Pending& each : pool)
    ++logins_of[each.whose];
  std::sort(pool.begin(), pool.end(), [&](const Pending& a, const Pending& b) {
    const std::size_t of_a = logins_of[a.whose], of_b = logins_of[b.whose];
    return of_a != of_b ? of_a > of_b : a.reserved_ms < b.reserved_ms;
  });
  const auto needed = find_enough(pool, decision, [](const Pending& p) { return p.yields; });
  if (!needed) return false;
  if (*needed == 0) return true;
  if (dry_run) {
    decision.outcome = Outcome::done;
    return true;
  }
  if (!claim && !take_claim()) {
    decision = {Outcome::table_full, static_cast<std::int32_t>(gate().capacity()), decision.count};
    return false;
  }
  if (ended_parked_of_device()) return true;
  const Pending chosen = pool.front();
  pool.erase(pool.begin());  // each is tried once
  if (gate().give_way(chosen.victim, rules) == Outcome::done) gave_way(chosen);
  return true;
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
bool Registry::Attempt::defers(std::size_t needed) {
  result.deferred = kind == RecordKind::reservation && needed > 1;
  return result.deferred;
}

bool Registry::Attempt::is_anybody_parked() {
  bool found = false;
  registry.for_each([&](const Snapshot& session) {
    found |= session.state.stage == Stage::parked && may_evict(session.record.service_hash);
  });
  return found;
}

bool Registry::Attempt::drop_stalest_parked() {
  std::vector<Snapshot> parked;
  registry.for_each([&](const Snapshot& session) {
    if (session.state.stage == Stage::parked && may_evict(session.record.service_hash))
      parked.push_back(session);
  });
  if (parked.empty()) return false;
  // Those without a process have no terminals.
  const auto with_process = std::partition(parked.begin(), parked.end(),
                                           [](const Snapshot& p) { return !leader_of(p.record); });
  const auto first = static_cast<std::size_t>(with_process - parked.begin());
  std::vector<TerminalLook> looks;
  looks.reserve(parked.size() - first);
  for (std::size_t i = first; i < parked.size(); ++i)
    looks.push_back(look_at(parked[i].record));
  processes.look_at_terminals(looks);
  const auto rank = [&](std::size_t i) {
    const std::uint64_t last_ms =
        std::max(parked[i].last_activity_ms, parked[i].record.opened_boottime_ms);
    return staleness_of(parked[i], i < first || looks[i - first].tells_use(), last_ms);
  };
  std::size_t stalest = 0;
  for (std::size_t i = 1; i < parked.size(); ++i)
    if (rank(i) < rank(stalest)) stalest = i;
  result.displaced.reserve(result.displaced.size() + 1);
  if (gate().drop(parked[stalest].ref.slot, parked[stalest].state.generation))
    result.displaced.push_back({parked[stalest], Displaced::Why::table_full});
  return true;
}

Admission Registry::Attempt::refuse(Decision decision) {
  if (still_in_the_way && !still_in_the_way->is_of_device()) decision = *still_in_the_way;
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
