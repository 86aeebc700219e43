// The parts of a Registry: what it writes into records, and how it knows names and processes.
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>

#include "base/text.h"
#include "base/undo.h"
#include "registry/registry_internal.h"

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

}  // namespace

Registry::Parts::Parts(MappedRegistry mapped_file)
    : mapped(std::move(mapped_file)),
      gate(mapped.shared(), mapped.slots(), mapped.header().capacity) {
  if (shared().clock_offset_ms.load(std::memory_order_relaxed) == 0) note_clock(now());
  if (random_bytes(id_key)) return;
  // The kernel has no randomness to give: still unique, only not unguessable (it is no secret).
  const std::array<std::uint64_t, 2> ticks = {
      static_cast<std::uint64_t>(getpid()),
      static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count())};
  id_key = hash128(hash_key(), bytes_of(ticks));
}

bool Registry::Parts::free_slot(std::uint32_t slot, const StateWord& state) {
  switch (state.stage) {
    case Stage::seated:
      if (!table().is_reservation(slot)) return gate.remove(slot, state.generation);
      if (!gate.give_back(slot, state.generation)) return false;
      // Who got its seat back may be idle already: the last search did not know of it.
      forget_search();
      return true;
    case Stage::parked:
      return gate.drop(slot, state.generation);
    case Stage::evicted:
      return gate.unlist_evicted(slot, state.generation);
    case Stage::exempt:
      return gate.unlist_exempt(slot, state.generation);
    default:
      return false;
  }
}

bool Registry::Parts::may_bind(const Snapshot& held, const Login& login) const {
  const RecordImage& record = held.record;
  if (record.kind != RecordKind::reservation || !is_record_of(record, login)) return false;
  const bool own = is_process(login.self, record.leader_pid, record.leader_start_ticks);
  const bool of_child = is_process(login.self, record.parent_pid, record.parent_start_ticks);
  const std::uint64_t connection = connection_hash(login);
  const bool same_connection =
      connection == 0 || record.connection_hash == 0 || connection == record.connection_hash;
  return (own || of_child || login.inherited == held.ref) && same_connection;
}

SessionId Registry::Parts::new_id(const Login& login) {
  const std::array<std::uint64_t, 3> unique = {++ids_made, login.self.start_ticks,
                                               static_cast<std::uint64_t>(login.self.pid)};
  return hash128(id_key, bytes_of(unique));
}

bool Registry::Parts::read(std::uint32_t slot, Snapshot& ret) const {
  if (!table().snapshot(slot, ret)) return false;
  // Of a display it is the daemon who tells: without it nobody would tell that it is used again.
  if (ret.use_is_told && has(ret.record.flags, RecordFlags::has_display)) {
    const std::uint64_t seen_ms = shared().daemon_seen_ms.load(std::memory_order_relaxed);
    ret.use_is_told = boottime_ms() <= seen_ms + kDaemonSilence_ms;
  }
  return true;
}

RecordImage Registry::Parts::make_record(const Login& login, const LoginHashes& hashes,
                                         RecordKind kind, const Terms& terms,
                                         std::uint64_t ends_ms) {
  const Now at = now();
  RecordImage record{};
  record.id = new_id(login);
  record.user_hash = hashes.user;
  record.idle_after_s = terms.idle_after_s;
  record.ttl_s = terms.ttl_s;
  for (const GroupRule& group : terms.groups)
    record.groups |= std::uint64_t{1} << group.index;
  record.victim_slot = kNoSlot;
  record.uid = login.uid;
  record.kind = kind;
  record.user_limit = terms.user_limit;
  record.flags = terms.may_use_reserved ? RecordFlags::may_use_reserved : RecordFlags::none;
  if (kind == RecordKind::exempt && login.is_observed)
    record.flags = record.flags | RecordFlags::observed;
  const bool is_reservation = kind == RecordKind::reservation;
  const bool no_process = login.no_process && !is_reservation;
  if (no_process) {
    record.flags = record.flags | RecordFlags::no_process;
  } else if (!is_reservation && login.has_shared_leader) {
    record.flags = record.flags | RecordFlags::shared_leader;
  } else if (!is_reservation && login.audit_session != 0) {
    record.flags = record.flags | RecordFlags::has_audit_session;
    if (terms.count_terminals) record.flags = record.flags | RecordFlags::counts_terminals;
    if (terms.count_any) record.flags = record.flags | RecordFlags::counts_any;
  }
  if (no_process) {
    std::array<std::uint64_t, 2> words;
    memcpy(words.data(), hashes.device.data(), sizeof words);
    record.leader_start_ticks = words[0];
    record.parent_start_ticks = words[1];
  } else {
    const ProcessId leader = is_reservation ? login.self : login.leader.value_or(login.self);
    record.leader_pid = static_cast<std::uint32_t>(leader.pid);
    if (!is_reservation && login.has_display)
      record.flags = record.flags | RecordFlags::has_display;
    record.parent_pid = has(record.flags, RecordFlags::has_audit_session)
                            ? login.audit_session
                            : static_cast<std::uint32_t>(login.parent.pid);
    record.leader_start_ticks = leader.start_ticks;
    record.parent_start_ticks = login.parent.start_ticks;
  }
  record.opened_boottime_ms = at.boottime_ms;
  record.opened_realtime_ms = at.realtime_ms;
  record.ends_boottime_ms = ends_ms;
  if ((kind == RecordKind::session || no_process) && terms.lifetime_ms != 0)
    record.ends_boottime_ms = at.boottime_ms + terms.lifetime_ms;
  record.service_hash = hashes.service;
  record.connection_hash = connection_hash(login);
  copy_text(record.user, login.user);
  copy_text(record.service, login.service);
  copy_text(record.host, login.host);
  copy_text(record.tty, login.tty);
  return record;
}

std::uint64_t Registry::Parts::connection_hash(const Login& login) const {
  return login.connection.empty() ? 0 : hash64(hash_key(), login.connection);
}

std::uint64_t Registry::Parts::service_hash(std::string_view service) const {
  return hash64(hash_key(), service);
}

std::uint64_t Registry::Parts::group_hash(std::string_view name) const {
  const std::uint64_t hash = hash64(hash_key(), name);
  return hash != 0 ? hash : 1;
}

DeviceHash Registry::Parts::device_hash(const UserHash& user, std::uint64_t service,
                                        std::string_view device) const {
  std::string text;
  text.reserve(sizeof user + sizeof service + device.size());
  text += bytes_of(user);
  text += bytes_of(service);
  text += device;
  DeviceHash hash = hash128(hash_key(), text);
  if (hash == kNoDevice) hash[0] = 1;
  return hash;
}

LoginHashes Registry::Parts::hashes_of(const Login& login) const {
  LoginHashes hashes{user_hash(login.user), service_hash(login.service), kNoDevice};
  if (!login.device.empty()) hashes.device = device_hash(hashes.user, hashes.service, login.device);
  return hashes;
}

std::uint64_t Registry::Parts::key_hash(std::span<const std::uint8_t> key) const {
  const std::uint64_t hash =
      hash64(hash_key(), {reinterpret_cast<const char*>(key.data()), key.size()});
  return hash != 0 ? hash : 1;
}

TokenDigest Registry::Parts::token_digest(std::string_view token) const {
  return hash128(hash_key(), token);
}

UserHash Registry::Parts::user_hash(std::string_view user) const {
  return hash128(hash_key(), user);
}

Claimer Registry::Parts::claimer(const ProcessId& id) const {
  const unsigned bits = gate.widths().hash_bits();
  // Never 0, which means that the start time is not known.
  const std::uint64_t values = (std::uint64_t{1} << bits) - 1;
  const std::uint64_t hash = hash64(hash_key(), bytes_of(id.start_ticks));
  return {static_cast<std::uint32_t>(id.pid),
          id.start_ticks == 0 ? 0 : static_cast<std::uint32_t>(hash % values + 1)};
}

std::optional<SlotRef> Registry::Parts::claim_slot(const Login& login, const RecordImage& record,
                                                   std::optional<std::uint32_t> near) {
  // The sessions of a user with a limit stand together, so that they are counted by looking at a
  // few slots; those of others are spread, so that a thousand of one user make no long run. Those with
  // a device key stand together in any case, so that they are found. The session of a reservation stands
  // beside it: that page of memory is there already.
  const Home home = device_of(record) != kNoDevice ? Home::of_devices : Home::of_user;
  std::uint64_t place = 0;
  memcpy(&place, record.id.data(), sizeof place);
  if (near) place = *near;
  if (record.user_limit >= 0 || home == Home::of_devices)
    place = table().home(record.user_hash, home);
  return table().claim(place, record.user_hash, claimer(login.self), home);
}

std::optional<SlotRef> Registry::Parts::claim_for(const Login& login, RecordImage& record,
                                                  Admission& ret, IfFull if_full,
                                                  std::optional<std::uint32_t> near) {
  auto claim = claim_slot(login, record, near);
  while (!claim && if_full == IfFull::drop_notes && drop_stalest_note())
    claim = claim_slot(login, record, near);
  if (!claim) return claim;
  Undo undo([&] { table().abandon(*claim); });
  if (make_token && record.kind != RecordKind::reservation) {
    ret.token = make_token(record, claim->slot);
    if (!ret.token.empty()) record.token_digest = token_digest(ret.token);
  }
  table().write_record(*claim, record);
  undo.keep();
  return claim;
}

// Nobody has a claim to a note's slot. False: there was none.
bool Registry::Parts::drop_stalest_note() {
  std::optional<Snapshot> stalest;
  Snapshot held;
  for (std::uint32_t slot = 0; slot < table().size(); ++slot)
    if (table().state(slot).stage == Stage::evicted && read(slot, held) && is_note(held) &&
        (!stalest || held.last_activity_ms < stalest->last_activity_ms))
      stalest = held;
  if (!stalest) return false;
  gate.unlist_evicted(stalest->ref.slot, stalest->state.generation);
  return true;  // also where somebody else was quicker: look again
}

void Registry::Parts::drop_older_notes(SlotRef session, const LoginHashes& hashes) {
  Snapshot anew, note;
  if (!read(session.slot, anew) || anew.ref != session) return;  // it has gone already
  table().for_each_behind(
      table().home(hashes.user, Home::of_devices), [&](std::uint32_t slot, const StateWord& state) {
        if (slot != session.slot && state.stage == Stage::evicted &&
            table().is_device(slot, hashes.device) && read(slot, note) && is_note(note) &&
            note.record.opened_boottime_ms <= anew.record.opened_boottime_ms)
          gate.unlist_evicted(slot, note.state.generation);
      });
}

void Registry::Parts::end_session_of_device(const Decision& found) {
  if (found.outcome == Outcome::device_seated) gate.remove(found.slot, found.generation);
  if (found.outcome == Outcome::device_parked) gate.drop(found.slot, found.generation);
  if (found.outcome == Outcome::device_exempt) gate.unlist_exempt(found.slot, found.generation);
}

bool Registry::Parts::is_record_of(const RecordImage& record, const Login& login) const {
  return record.user_hash == user_hash(login.user) &&
         record.service_hash == service_hash(login.service);
}

// Statistics: relaxed, and lost if the process is killed right here.
void Registry::Parts::add_to(Counter counter, std::uint64_t amount) {
  if (amount != 0) shared().counters[counter].fetch_add(amount, std::memory_order_relaxed);
}

void Registry::Parts::note_high_water(std::uint32_t count) {
  auto& word = shared().counters[kHighWater];
  std::uint64_t seen = word.load(std::memory_order_relaxed);
  while (seen < count && !word.compare_exchange_weak(seen, count, std::memory_order_relaxed)) {
  }
}

}  // namespace sessreg
