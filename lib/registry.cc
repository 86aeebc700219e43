#include "registry.h"

#include <string.h>

#include <algorithm>
#include <chrono>

#include "hash.h"
#include "text.h"

namespace sessreg {
namespace {

template <std::size_t N>
void copy_text(std::array<char, N>& field, std::string_view text) {
  field.fill('\0');
  const std::string_view fits = utf8_prefix(text, N);
  std::copy(fits.begin(), fits.end(), field.begin());
}

template <class T>
std::string_view bytes_of(const T& value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

bool is_process(const ProcessId& id, std::uint32_t pid, std::uint64_t start_ticks) {
  return static_cast<std::uint32_t>(id.pid) == pid && id.start_ticks == start_ticks;
}

std::uint16_t reason_checksum(std::string_view reason) {
  constexpr HashKey kReasonKey = {'s', 'e', 's', 's', 'r', 'e', 'g', ' ',
                                  'r', 'e', 'a', 's', 'o', 'n', ' ', '1'};
  return static_cast<std::uint16_t>(hash64(kReasonKey, reason));
}

// What this thread has spent, not what it waited for others on a busy host.
std::uint64_t own_cpu_us() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000 +
         static_cast<std::uint64_t>(t.tv_nsec) / 1000;
}

Refusal refusal_of(const Decision& decision) {
  if (decision.outcome == Outcome::table_full) return Refusal::table_full;
  return decision.limit == 0 ? Refusal::drain : Refusal::site_full;
}

Counter counter_of(Refusal refusal) {
  switch (refusal) {
    case Refusal::drain:
      return kRefusedDrain;
    case Refusal::table_full:
      return kRefusedTableFull;
    default:
      return kRefusedSiteFull;
  }
}

}  // namespace

std::string to_hex(const SessionId& id) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  hex.reserve(id.size() * 2);
  for (const std::uint8_t byte : id) {
    hex += kDigits[byte >> 4];
    hex += kDigits[byte & 15];
  }
  return hex;
}

const char* text(Refusal refusal) {
  switch (refusal) {
    case Refusal::none:
      return "none";
    case Refusal::site_full:
      return "site_full";
    case Refusal::drain:
      return "drain";
    case Refusal::table_full:
      return "table_full";
  }
  return "unknown";
}

std::string reason_of(const Snapshot& session) {
  if (session.mark != MarkStage::revoked) return {};
  const std::string reason(text_of(session.reason));
  // A text that two revokers wrote at once does not match.
  return reason_checksum(reason) == session.reason_checksum ? reason : std::string();
}

Registry::Registry(MappedRegistry mapped)
    : mapped_(std::move(mapped)),
      gate_(mapped_.shared(), mapped_.slots(), mapped_.header().capacity) {}

Result<Registry> Registry::open(const std::string& path, const HostIdentity& host) {
  auto mapped = open_registry_file(path, host);
  if (!mapped) return mapped.error();
  return Registry(std::move(*mapped));
}

Result<Registry> Registry::open_or_create(const std::string& path, const HostIdentity& host,
                                          std::uint32_t capacity) {
  auto mapped = open_or_create_registry_file(path, host, capacity);
  if (!mapped) return mapped.error();
  return Registry(std::move(*mapped));
}

// --- Logging in and out ---

Admission Registry::reserve(const Login& login, ConfiguredLimit limit, const Processes& processes,
                            std::uint64_t ends_ms) {
  return take_seat(login, RecordKind::reservation, limit, processes, ends_ms);
}

Admission Registry::admit(const Login& login, ConfiguredLimit limit, const Processes& processes) {
  return take_seat(login, RecordKind::session, limit, processes, 0);
}

Admission Registry::take_seat(const Login& login, RecordKind kind, ConfiguredLimit limit,
                              const Processes& processes, std::uint64_t ends_ms) {
  const RecordImage record = make_record(login, kind, ends_ms);
  Admission result;
  result.id = record.id;
  const Rules rules{limit, 0, record.user_hash, -1, {}};
  std::optional<SlotRef> claim;
  for (bool searched = false;;) {
    // Look first: while the site is full nobody needs a claim to be refused.
    Decision decision = claim ? gate_.add(*claim, rules) : gate_.check_room(rules);
    result.count = decision.count;
    result.limit = decision.limit;
    if (decision.done() && claim) {
      result.ref = *claim;
      add_to(kAdmissions, 1);
      note_high_water(result.count);
      return result;
    }
    if (decision.done()) {
      claim = claim_for(login, record);
      if (claim) continue;
      decision.outcome = Outcome::table_full;
      result.limit = static_cast<std::int32_t>(capacity());
    }
    if (decision.outcome == Outcome::stale_configuration) {
      if (claim) gate_.table().abandon(*claim);
      result.stale_configuration = true;
      return result;
    }
    // Full, as far as the gate tells: are the holders all alive? With a limit of 0 that would not
    // help anybody.
    const std::uint64_t now_ms = now().boottime_ms;
    if (!searched && result.limit != 0 && !may_skip_reap(now_ms)) {
      searched = true;
      reap(processes, now_ms);
      continue;
    }
    if (claim) gate_.table().abandon(*claim);
    result.refusal = refusal_of(decision);
    add_to(counter_of(result.refusal), 1);
    return result;
  }
}

std::optional<Admission> Registry::bind(SlotRef reservation, const Login& login,
                                        const Processes& processes) {
  Snapshot held;
  if (!is_reservation_of(reservation, login) || !snapshot(reservation, held)) return std::nullopt;
  RecordImage record = make_record(login, RecordKind::session, 0);
  record.id = held.record.id;
  auto claim = claim_for(login, record);
  if (!claim) {
    reap(processes, now().boottime_ms);
    claim = claim_for(login, record);
  }
  Admission result;
  if (!claim) {
    result.refusal = Refusal::table_full;
    result.limit = static_cast<std::int32_t>(capacity());
    result.count = count();
    add_to(kRefusedTableFull, 1);
    return result;
  }
  if (gate_.bind(*claim, {reservation.slot, held.state.generation}) != Outcome::done) {
    gate_.table().abandon(*claim);
    return std::nullopt;
  }
  result.ref = *claim;
  result.id = record.id;
  return result;
}

bool Registry::list_exempt(const Login& login, Admission& ret) {
  const RecordImage record = make_record(login, RecordKind::exempt, 0);
  const auto claim = claim_for(login, record);
  if (!claim) return false;
  gate_.list_exempt(*claim);
  ret.ref = *claim;
  ret.id = record.id;
  return true;
}

bool Registry::is_reservation_of(SlotRef ref, const Login& login) const {
  Snapshot held;
  return snapshot(ref, held) && held.record.kind == RecordKind::reservation &&
         is_record_of(held.record, login);
}

std::optional<SlotRef> Registry::find_reservation(const Login& login,
                                                  std::vector<SlotRef>& ret_strays) {
  std::optional<SlotRef> found;
  const std::uint64_t connection = make_record(login, RecordKind::session, 0).connection_hash;
  for_each([&](const Snapshot& held) {
    const RecordImage& record = held.record;
    if (record.kind != RecordKind::reservation) return;
    const bool own = is_process(login.self, record.leader_pid, record.leader_start_ticks);
    const bool of_child = is_process(login.self, record.parent_pid, record.parent_start_ticks);
    if (!is_record_of(record, login)) {
      if (own && is_service_of(record, login.service)) ret_strays.push_back(held.ref);
      return;
    }
    const bool same_connection =
        connection == 0 || record.connection_hash == 0 || connection == record.connection_hash;
    if ((own || of_child) && same_connection && !found) found = held.ref;
  });
  return found;
}

std::optional<SlotRef> Registry::find_session(const Login& login, std::string_view id_hex) {
  std::optional<SlotRef> found;
  for_each([&](const Snapshot& held) {
    if (to_hex(held.record.id) == id_hex && held.record.kind != RecordKind::reservation &&
        is_record_of(held.record, login) &&
        is_process(login.self, held.record.leader_pid, held.record.leader_start_ticks))
      found = held.ref;
  });
  return found;
}

bool Registry::release(SlotRef ref) {
  Snapshot held;
  if (!snapshot(ref, held)) return false;
  return free_slot(ref.slot, held.state);
}

bool Registry::release_reservation(SlotRef ref) {
  Snapshot held;
  return snapshot(ref, held) && held.record.kind == RecordKind::reservation &&
         gate_.remove(ref.slot, held.state.generation);
}

bool Registry::free_slot(std::uint32_t slot, const StateWord& state) {
  switch (state.stage) {
    case Stage::seated:
      return gate_.remove(slot, state.generation);
    case Stage::parked:
      return gate_.drop(slot, state.generation);
    case Stage::evicted:
      return gate_.unlist_evicted(slot, state.generation);
    case Stage::exempt:
      return gate_.unlist_exempt(slot, state.generation);
    default:
      return false;
  }
}

// --- Upkeep ---

Reaped Registry::reap(const Processes& processes, std::uint64_t now_ms) {
  const std::uint64_t began_us = own_cpu_us();
  Reaped reaped;
  struct Leaderless {
    std::uint32_t slot;
    StateWord state;
    pid_t leader;
  };
  std::vector<Leaderless> leaderless;
  bool found_dead = false;  // whether or not somebody else was quicker to free it
  const auto free_dead = [&](std::uint32_t slot, const StateWord& state) {
    found_dead = true;
    return free_slot(slot, state);
  };

  gate_.count();  // settles: what a process that died after its gate operation left undone
  for (std::uint32_t slot = 0; slot < gate_.table().size(); ++slot) {
    const StateWord state = gate_.table().state(slot);
    if (state.stage == Stage::free) continue;
    if (state.stage == Stage::claimed) {
      const auto pid = static_cast<pid_t>(state.claimer_pid);
      const auto start_ticks = processes.start_ticks_if_alive(pid);
      // A hash of 0 on either side: the start time is not known; in doubt, alive.
      if (start_ticks && (*start_ticks == 0 || state.claimer_hash == 0 ||
                          claimer({pid, *start_ticks}).hash == state.claimer_hash))
        continue;
      found_dead = true;
      if (gate_.free_dead_claim(slot, state.generation)) {
        ++reaped.claims;
        continue;
      }
      // It had got as far as its gate operation: what it holds is a seat, looked at below.
    }
    Snapshot held;
    if (!gate_.table().snapshot(slot, held)) continue;
    const RecordImage& record = held.record;
    const ProcessId leader{static_cast<pid_t>(record.leader_pid), record.leader_start_ticks};
    const Life life = processes.life(leader);
    if (record.kind == RecordKind::reservation) {
      const ProcessId parent{static_cast<pid_t>(record.parent_pid), record.parent_start_ticks};
      const bool ended = record.ends_boottime_ms != 0 && now_ms >= record.ends_boottime_ms;
      const bool abandoned =
          life != Life::alive && (now_ms >= record.opened_boottime_ms + kMakerDeathGrace_ms ||
                                  processes.life(parent) != Life::alive);
      if ((ended || abandoned) && free_dead(slot, held.state)) ++reaped.reservations;
    } else if (life == Life::reused) {
      if (free_dead(slot, held.state)) ++reaped.sessions;
    } else if (life == Life::gone) {
      leaderless.push_back({slot, held.state, leader.pid});
    }
  }
  if (!leaderless.empty()) {
    const LiveSids sids = processes.live_sids();
    for (const Leaderless& session : leaderless)
      if (!sids.contains(session.leader) && free_dead(session.slot, session.state))
        ++reaped.sessions;
  }

  add_to(kReapedSessions, reaped.sessions);
  add_to(kReapedReservations, reaped.reservations);
  add_to(kReapedClaims, reaped.claims);
  const std::uint64_t cost_us = own_cpu_us() - began_us;
  const std::uint64_t pause_ms =
      found_dead || cost_us < kCheapReap_us
          ? 0
          : std::min(kMaxReapInterval_ms, kReapCostFactor * cost_us / 1000);
  // Relaxed: a hint about time, nothing else is read through it.
  gate_.shared().reap_not_before_ms.store(now_ms + pause_ms, std::memory_order_relaxed);
  return reaped;
}

bool Registry::may_skip_reap(std::uint64_t now_ms) const {
  const std::uint64_t not_before =
      gate_.shared().reap_not_before_ms.load(std::memory_order_relaxed);
  // A value further ahead than was ever written comes from damage: believe the clock.
  return now_ms < not_before && not_before <= now_ms + kMaxReapInterval_ms;
}

bool Registry::mark_revoked(SlotRef ref, std::string_view reason) {
  const std::string fits(utf8_prefix(reason.substr(0, reason.find('\0')), kReasonBytes));
  return gate_.table().mark_revoked(ref, fits, reason_checksum(fits));
}

std::int32_t Registry::limit_in_force(std::int32_t configured) const {
  const ConfiguredLimit published = gate_.configured();
  return gate_.override_limit().value_or(published.identity == 0 ? configured : published.limit);
}

// --- Reading ---

void Registry::for_each(const std::function<void(const Snapshot&)>& visit) {
  gate_.count();  // settles, so that no seat is shown that was given up before
  Snapshot held;
  for (std::uint32_t slot = 0; slot < gate_.table().size(); ++slot)
    if (gate_.table().snapshot(slot, held)) visit(held);
}

bool Registry::snapshot(SlotRef ref, Snapshot& ret) const {
  return ref.slot < gate_.table().size() && gate_.table().snapshot(ref.slot, ret) && ret.ref == ref;
}

bool Registry::is_user_of(const RecordImage& record, std::string_view user) const {
  return record.user_hash == hash128(mapped_.header().hash_key, user);
}

bool Registry::is_service_of(const RecordImage& record, std::string_view service) const {
  return record.service_hash == hash64(mapped_.header().hash_key, service);
}

std::uint64_t Registry::counter(Counter counter) const {
  return gate_.shared().counters[counter].load(std::memory_order_relaxed);
}

// --- Private ---

RecordImage Registry::make_record(const Login& login, RecordKind kind,
                                  std::uint64_t ends_ms) const {
  const HashKey& key = mapped_.header().hash_key;
  const Now at = now();
  RecordImage record{};
  if (!random_bytes(record.id)) {
    // A kernel without randomness to give: unique still, only not unguessable (no secret anyway).
    const auto ticks = std::chrono::steady_clock::now().time_since_epoch().count();
    record.id = hash128(key, std::string(bytes_of(login.self)) + std::string(bytes_of(ticks)));
  }
  record.user_hash = hash128(key, login.user);
  record.uid = login.uid;
  record.kind = kind;
  record.leader_pid = static_cast<std::uint32_t>(login.self.pid);
  record.parent_pid = static_cast<std::uint32_t>(login.parent.pid);
  record.leader_start_ticks = login.self.start_ticks;
  record.parent_start_ticks = login.parent.start_ticks;
  record.opened_boottime_ms = at.boottime_ms;
  record.opened_realtime_ms = at.realtime_ms;
  record.ends_boottime_ms = ends_ms;
  record.service_hash = hash64(key, login.service);
  record.connection_hash = login.connection.empty() ? 0 : hash64(key, login.connection);
  record.victim_slot = kNoSlot;
  copy_text(record.user, login.user);
  copy_text(record.service, login.service);
  copy_text(record.host, login.host);
  copy_text(record.tty, login.tty);
  return record;
}

Claimer Registry::claimer(const ProcessId& id) const {
  const unsigned bits = gate_.widths().hash_bits();
  // Never 0, which means that the start time is not known.
  const std::uint64_t values = (std::uint64_t{1} << bits) - 1;
  const std::uint64_t hash = hash64(mapped_.header().hash_key, bytes_of(id.start_ticks));
  return {static_cast<std::uint32_t>(id.pid),
          id.start_ticks == 0 ? 0 : static_cast<std::uint32_t>(hash % values + 1)};
}

std::optional<SlotRef> Registry::claim_for(const Login& login, const RecordImage& record) {
  std::uint64_t place = 0;
  memcpy(&place, record.id.data(), sizeof place);
  const auto claim = gate_.table().claim(place, record.user_hash, claimer(login.self));
  if (claim) gate_.table().write_record(*claim, record);
  return claim;
}

bool Registry::is_record_of(const RecordImage& record, const Login& login) const {
  return is_user_of(record, login.user) && is_service_of(record, login.service);
}

// Statistics: relaxed, and lost if the process is killed right here.
void Registry::add_to(Counter counter, std::uint64_t amount) {
  if (amount != 0) gate_.shared().counters[counter].fetch_add(amount, std::memory_order_relaxed);
}

void Registry::note_high_water(std::uint32_t count) {
  auto& word = gate_.shared().counters[kHighWater];
  std::uint64_t seen = word.load(std::memory_order_relaxed);
  while (seen < count && !word.compare_exchange_weak(seen, count, std::memory_order_relaxed)) {
  }
}

}  // namespace sessreg
