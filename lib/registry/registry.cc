#include "registry/registry.h"

#include <sodium/utils.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>

#include "base/hash.h"
#include "base/text.h"
#include "base/undo.h"

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

// More than any session changes its stage in the course of a call; a damaged one may never end.
constexpr int kReleaseTurns = 1000;

bool is_process(const ProcessId& id, std::uint32_t pid, std::uint64_t start_ticks) {
  return static_cast<std::uint32_t>(id.pid) == pid && id.start_ticks == start_ticks;
}

std::uint16_t reason_checksum(std::string_view reason) {
  constexpr HashKey kReasonKey = {'s', 'e', 's', 's', 'r', 'e', 'g', ' ',
                                  'r', 'e', 'a', 's', 'o', 'n', ' ', '1'};
  return static_cast<std::uint16_t>(hash64(kReasonKey, reason));
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

ProcessId leader_of(const RecordImage& record) {
  return {static_cast<pid_t>(record.leader_pid), record.leader_start_ticks};
}

const char* text(Refusal refusal) {
  switch (refusal) {
    case Refusal::none:
      return "none";
    case Refusal::site_full:
      return "site_full";
    case Refusal::drain:
      return "drain";
    case Refusal::user_full:
      return "user_full";
    case Refusal::locked:
      return "locked";
    case Refusal::group_full:
      return "group_full";
    case Refusal::table_full:
      return "table_full";
    case Refusal::blacklisted:
      return "blacklisted";
  }
  return "unknown";
}

std::optional<std::uint64_t> expiry_ms(const Snapshot& session, bool has_terminal) {
  const RecordImage& record = session.record;
  std::optional<std::uint64_t> end;
  if (record.kind != RecordKind::session) return end;
  if (record.ends_boottime_ms != 0) end = record.ends_boottime_ms;
  if (record.ttl_s != 0 && (has_terminal || session.token_shown)) {
    const std::uint64_t last_ms = std::max(session.last_activity_ms, record.opened_boottime_ms);
    const std::uint64_t unused_ms = last_ms + std::uint64_t{record.ttl_s} * 1000;
    end = std::min(end.value_or(unused_ms), unused_ms);
  }
  return end;
}

std::string reason_of(const Snapshot& session) {
  if (session.mark != MarkStage::revoked) return {};
  const std::string reason(text_of(session.reason));
  // A text that two revokers wrote at once does not match.
  return reason_checksum(reason) == session.reason_checksum ? reason : std::string();
}

Registry::Registry(MappedRegistry mapped)
    : mapped_(std::move(mapped)),
      gate_(mapped_.shared(), mapped_.slots(), mapped_.header().capacity) {
  if (gate_.shared().clock_offset_ms.load(std::memory_order_relaxed) == 0) note_clock(now());
  if (random_bytes(id_key_)) return;
  // A kernel without randomness to give: unique still, only not unguessable (no secret anyway).
  const std::array<std::uint64_t, 2> ticks = {
      static_cast<std::uint64_t>(getpid()),
      static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count())};
  id_key_ = hash128(mapped_.header().hash_key, bytes_of(ticks));
}

Result<Registry> Registry::open(const std::string& path, const HostIdentity& host) {
  auto mapped = open_registry_file(path, host);
  if (!mapped) return mapped.error();
  return Registry(std::move(*mapped));
}

Result<Registry> Registry::open_or_create(const std::string& path, const HostIdentity& host,
                                          std::uint32_t capacity) {
  auto mapped = open_or_create_registry_file(path, host, capacity);
  if (!mapped && mapped.error().code == Errc::older_layout) {
    if (const auto error = replace_older_registry_file(
            path, host, capacity, [](const OlderRegistry& older, MappedRegistry made) {
              Registry(std::move(made)).adopt(older);
            }))
      return *error;
    mapped = open_or_create_registry_file(path, host, capacity);
  }
  if (!mapped) return mapped.error();
  return Registry(std::move(*mapped));
}

void Registry::adopt(const OlderRegistry& older) {
  // Published meanwhile, so that all find room; the next login puts its configured limit here.
  const ConfiguredLimit unlimited{1, -1};
  gate_.set_configured(gate_.configured(), unlimited);
  Login login;
  login.self = self_id();
  for (const CarriedSession& carried : older.sessions) {
    RecordImage record = carried.record;
    Admission admission;
    const auto claim = claim_for(login, record, admission);
    if (!claim) break;
    // A seat by the gate, as always; the other stages hold none.
    if (carried.stage != Stage::seated)
      gate_.table().change_stage(claim->slot, claim->epoch, Stage::claimed, carried.stage);
    else if (!gate_.add(*claim, Rules{unlimited}).done())
      gate_.table().abandon(*claim);
    gate_.table().stamp(*claim, carried.last_activity_ms);
    if (carried.is_revoked) mark_revoked(*claim, carried.reason);
  }
  note_high_water(gate_.count());
  if (older.override_limit) gate_.set_override(older.override_limit);
  gate_.set_configured(unlimited, {0, 0});
}

// --- Logging in and out ---

std::optional<Admission> Registry::bind(SlotRef reservation, const Login& login, const Terms& terms,
                                        const Processes& processes) {
  Snapshot held;
  if (!is_reservation_of(reservation, login) || !snapshot(reservation, held)) return std::nullopt;
  RecordImage record = make_record(login, RecordKind::session, terms, 0);
  record.id = held.record.id;
  // As the reservation: its limits were the ones that were looked at.
  record.groups = held.record.groups;
  record.user_limit = held.record.user_limit;
  record.flags = held.record.flags;
  Admission result;
  result.displaced.reserve(1);  // behind the gate operation nothing may fail
  auto claim = claim_for(login, record, result);
  if (!claim) {
    reap(processes, boottime_ms());
    claim = claim_for(login, record, result);
  }
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
  if (held.record.victim_fate == VictimFate::evicted_at_bind) {
    const std::uint32_t slot = held.record.victim_slot;
    const std::uint32_t parked = gate_.widths().next_generation(held.record.victim_generation);
    Snapshot victim;
    if (slot < gate_.table().size() && gate_.table().snapshot(slot, victim) &&
        gate_.bar(slot, parked)) {
      result.displaced.push_back({victim, Displaced::Why::evicted});
      add_to(kEvicted, 1);
    }
  }
  return result;
}

bool Registry::list_exempt(const Login& login, Admission& ret) {
  RecordImage record = make_record(login, RecordKind::exempt, {}, 0);
  const auto claim = claim_for(login, record, ret);
  if (!claim) return false;
  gate_.list_exempt(*claim);
  ret.ref = *claim;
  ret.id = record.id;
  return true;
}

bool Registry::is_reservation_of(SlotRef ref, const Login& login) const {
  Snapshot held;
  return snapshot(ref, held) && may_bind(held.record, login);
}

bool Registry::may_bind(const RecordImage& record, const Login& login) const {
  if (record.kind != RecordKind::reservation || !is_record_of(record, login)) return false;
  const bool own = is_process(login.self, record.leader_pid, record.leader_start_ticks);
  const bool of_child = is_process(login.self, record.parent_pid, record.parent_start_ticks);
  const std::uint64_t connection = connection_hash(login);
  const bool same_connection =
      connection == 0 || record.connection_hash == 0 || connection == record.connection_hash;
  return (own || of_child) && same_connection;
}

std::optional<SlotRef> Registry::find_reservation(const Login& login,
                                                  std::vector<SlotRef>& ret_strays) {
  std::optional<SlotRef> found;
  for_each([&](const Snapshot& held) {
    const RecordImage& record = held.record;
    if (record.kind != RecordKind::reservation) return;
    if (is_record_of(record, login)) {
      if (!found && may_bind(record, login)) found = held.ref;
    } else if (is_service_of(record, login.service) &&
               is_process(login.self, record.leader_pid, record.leader_start_ticks)) {
      ret_strays.push_back(held.ref);
    }
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
  // It may lose its seat or take one again in between.
  for (int turn = 0; turn < kReleaseTurns && snapshot(ref, held); ++turn)
    if (free_slot(ref.slot, held.state)) return true;
  return false;
}

bool Registry::release_reservation(SlotRef ref) {
  Snapshot held;
  return snapshot(ref, held) && held.record.kind == RecordKind::reservation && release(ref);
}

bool Registry::free_slot(std::uint32_t slot, const StateWord& state) {
  switch (state.stage) {
    case Stage::seated:
      if (!gate_.table().is_reservation(slot)) return gate_.remove(slot, state.generation);
      if (!gate_.give_back(slot, state.generation)) return false;
      // Who got its seat back may be idle already: the last search did not know of it.
      gate_.shared().search.store(0, std::memory_order_relaxed);
      own_search_ = {};
      return true;
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

std::optional<std::uint32_t> Registry::group_index(std::string_view name, std::int32_t limit) {
  const std::uint64_t hash = hash64(mapped_.header().hash_key, name);
  const auto index = gate_.group_index(hash != 0 ? hash : 1);
  if (index) gate_.note_group_limit(*index, limit);
  return index;
}

bool Registry::mark_revoked(SlotRef ref, std::string_view reason, std::uint32_t grace_s) {
  const std::string fits(utf8_prefix(reason.substr(0, reason.find('\0')), kReasonBytes));
  return ref.slot < gate_.table().size() &&
         gate_.table().mark_revoked(ref, fits, reason_checksum(fits), grace_s);
}

TokenDigest Registry::token_digest(std::string_view token) const {
  return hash128(mapped_.header().hash_key, token);
}

bool Registry::session_of_token(std::uint32_t slot, const TokenDigest& digest,
                                Snapshot& ret) const {
  constexpr TokenDigest kNone{};
  return slot < gate_.table().size() && gate_.table().snapshot(slot, ret) && digest != kNone &&
         sodium_memcmp(ret.record.token_digest.data(), digest.data(), digest.size()) == 0;
}

void Registry::note_daemon(pid_t pid, std::uint64_t now_ms) {
  gate_.shared().daemon_pid.store(static_cast<std::uint64_t>(pid), std::memory_order_relaxed);
  gate_.shared().daemon_seen_ms.store(now_ms, std::memory_order_relaxed);
}

Registry::Daemon Registry::daemon() const {
  return {static_cast<pid_t>(gate_.shared().daemon_pid.load(std::memory_order_relaxed)),
          gate_.shared().daemon_seen_ms.load(std::memory_order_relaxed)};
}

std::int32_t Registry::limit_in_force(std::int32_t configured) const {
  const ConfiguredLimit published = gate_.configured();
  return gate_.override_limit().value_or(published.identity == 0 ? configured : published.limit);
}

// --- Reading ---

bool Registry::snapshot(SlotRef ref, Snapshot& ret) const {
  return ref.slot < gate_.table().size() && gate_.table().snapshot(ref.slot, ret) && ret.ref == ref;
}

bool Registry::is_user_of(const RecordImage& record, std::string_view user) const {
  return record.user_hash == user_hash(user);
}

bool Registry::is_service_of(const RecordImage& record, std::string_view service) const {
  return record.service_hash == hash64(mapped_.header().hash_key, service);
}

std::uint64_t Registry::counter(Counter counter) const {
  return gate_.shared().counters[counter].load(std::memory_order_relaxed);
}

// --- Private ---

SessionId Registry::new_id(const Login& login) {
  const std::array<std::uint64_t, 3> unique = {++ids_made_, login.self.start_ticks,
                                               static_cast<std::uint64_t>(login.self.pid)};
  return hash128(id_key_, bytes_of(unique));
}

RecordImage Registry::make_record(const Login& login, RecordKind kind, const Terms& terms,
                                  std::uint64_t ends_ms) {
  const HashKey& key = mapped_.header().hash_key;
  const Now at = now();
  RecordImage record{};
  record.id = new_id(login);
  record.user_hash = user_hash(login.user);
  record.idle_after_s = terms.idle_after_s;
  record.ttl_s = terms.ttl_s;
  for (const GroupRule& group : terms.groups)
    record.groups |= std::uint64_t{1} << group.index;
  record.victim_slot = kNoSlot;
  record.uid = login.uid;
  record.kind = kind;
  record.user_limit = terms.user_limit;
  record.flags = terms.may_use_reserved ? RecordFlags::may_use_reserved : RecordFlags::none;
  const bool is_reservation = kind == RecordKind::reservation;
  const ProcessId leader = is_reservation ? login.self : login.leader.value_or(login.self);
  record.leader_pid = static_cast<std::uint32_t>(leader.pid);
  record.parent_pid = static_cast<std::uint32_t>(login.parent.pid);
  record.leader_start_ticks = leader.start_ticks;
  record.parent_start_ticks = login.parent.start_ticks;
  record.opened_boottime_ms = at.boottime_ms;
  record.opened_realtime_ms = at.realtime_ms;
  record.ends_boottime_ms = ends_ms;
  if (kind == RecordKind::session && terms.lifetime_ms != 0)
    record.ends_boottime_ms = at.boottime_ms + terms.lifetime_ms;
  record.service_hash = hash64(key, login.service);
  record.connection_hash = connection_hash(login);
  copy_text(record.user, login.user);
  copy_text(record.service, login.service);
  copy_text(record.host, login.host);
  copy_text(record.tty, login.tty);
  return record;
}

std::uint64_t Registry::connection_hash(const Login& login) const {
  return login.connection.empty() ? 0 : hash64(mapped_.header().hash_key, login.connection);
}

UserHash Registry::user_hash(std::string_view user) const {
  return hash128(mapped_.header().hash_key, user);
}

Claimer Registry::claimer(const ProcessId& id) const {
  const unsigned bits = gate_.widths().hash_bits();
  // Never 0, which means that the start time is not known.
  const std::uint64_t values = (std::uint64_t{1} << bits) - 1;
  const std::uint64_t hash = hash64(mapped_.header().hash_key, bytes_of(id.start_ticks));
  return {static_cast<std::uint32_t>(id.pid),
          id.start_ticks == 0 ? 0 : static_cast<std::uint32_t>(hash % values + 1)};
}

std::optional<SlotRef> Registry::claim_for(const Login& login, RecordImage& record,
                                           Admission& ret) {
  // The sessions of a user with a limit stand together, so that they are counted by looking at a
  // few slots; those of others are spread, so that a thousand of one user make no long run.
  std::uint64_t place = 0;
  memcpy(&place, record.id.data(), sizeof place);
  if (record.user_limit >= 0) place = gate_.table().home(record.user_hash);
  const auto claim = gate_.table().claim(place, record.user_hash, claimer(login.self));
  if (!claim) return claim;
  Undo undo([&] { gate_.table().abandon(*claim); });
  if (make_token_ && record.kind != RecordKind::reservation) {
    ret.token = make_token_(record, claim->slot);
    if (!ret.token.empty()) record.token_digest = token_digest(ret.token);
  }
  gate_.table().write_record(*claim, record);
  undo.keep();
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
