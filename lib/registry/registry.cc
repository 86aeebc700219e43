#include "registry/registry.h"

#include <sodium/utils.h>

#include <set>

#include "base/text.h"
#include "config/policy.h"
#include "registry/older_layout.h"
#include "registry/registry_internal.h"

namespace sessreg {
namespace {

// More often than any session, or that of a device, changes during a call; in a damaged file it may
// never stop.
constexpr int kReleaseTurns = 1000;

}  // namespace

Registry::Registry(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Registry::Registry(Registry&& other) noexcept = default;
Registry& Registry::operator=(Registry&& other) noexcept = default;
Registry::~Registry() = default;

Result<Registry> Registry::open(const std::string& path, const HostIdentity& host) {
  auto mapped = open_registry_file(path, host);
  if (!mapped) return mapped.error();
  return Registry(std::make_unique<Parts>(std::move(*mapped)));
}

Result<Registry> Registry::open_or_create(const std::string& path, const HostIdentity& host,
                                          std::uint32_t capacity) {
  auto mapped = open_or_create_registry_file(path, host, capacity);
  if (!mapped && mapped.error().code == Errc::older_layout) {
    if (const auto error = replace_older_registry_file(
            path, host, capacity, [](const OlderRegistry& older, MappedRegistry made) {
              Registry(std::make_unique<Parts>(std::move(made))).adopt(older);
            }))
      return *error;
    mapped = open_or_create_registry_file(path, host, capacity);
  }
  if (!mapped) return mapped.error();
  return Registry(std::make_unique<Parts>(std::move(*mapped)));
}

Result<Registry> Registry::rebuild(const std::string& path, const HostIdentity& host,
                                   std::uint32_t capacity, std::string* ret_aside) {
  auto mapped = rebuild_registry_file(path, host, capacity, ret_aside);
  if (!mapped) return mapped.error();
  return Registry(std::make_unique<Parts>(std::move(*mapped)));
}

void Registry::show_presence_at(const std::string& path, const HostIdentity& host) {
  sessreg::show_presence_at(path, host);
}

bool Registry::is_successor() const {
  return parts_->mapped.is_successor();
}

void Registry::hide_from_children() {
  parts_->mapped.hide_from_children();
}

void Registry::set_token_maker(TokenMaker maker) {
  parts_->make_token = std::move(maker);
}

void Registry::adopt(const OlderRegistry& older) {
  // Published meanwhile, so that all find room; the next login puts its configured limit here.
  const ConfiguredLimit unlimited{1, -1};
  parts_->gate.set_configured(parts_->gate.configured(), unlimited);
  // In an empty table each gets the index that it had.
  for (const CarriedGroup& group : older.groups)
    if (const auto index = parts_->gate.group_index(group.name_hash))
      parts_->gate.note_group_limit(*index, group.limit);
  Login login;
  login.self = self_id();
  for (const CarriedSession& carried : older.sessions) {
    RecordImage record = carried.record;
    Admission admission;
    const auto claim = parts_->claim_for(login, record, admission);
    if (!claim) break;
    // A seat by the gate, as always; the other stages hold none.
    if (carried.stage != Stage::seated)
      parts_->table().change_stage(claim->slot, claim->epoch, Stage::claimed, carried.stage);
    else if (!parts_->gate.add(*claim, Rules{unlimited}).done())
      parts_->table().abandon(*claim);
    parts_->table().stamp(*claim, carried.last_activity_ms);
    if (carried.use_is_told) touch(*claim, carried.last_activity_ms, UseIsTold::yes);
    if (carried.is_revoked)
      mark_revoked(*claim, carried.reason, carried.grace_s, carried.revoked_by);
  }
  parts_->note_high_water(parts_->gate.count());
  if (older.override_limit) parts_->gate.set_override(older.override_limit);
  parts_->gate.set_configured(unlimited, {0, 0});
}

// --- Logging in and out ---

std::optional<Admission> Registry::bind(SlotRef reservation, const Login& login, const Terms& terms,
                                        const Processes& processes) {
  Snapshot held;
  if (!is_reservation_of(reservation, login) || !snapshot(reservation, held)) return std::nullopt;
  const LoginHashes hashes = parts_->hashes_of(login);
  RecordImage record = parts_->make_record(login, hashes, RecordKind::session, terms, 0);
  record.id = held.record.id;
  // As the reservation: its limits were the ones that were looked at.
  record.groups = held.record.groups;
  record.user_limit = held.record.user_limit;
  record.flags = without(record.flags, RecordFlags::may_use_reserved) | held.record.flags;
  Admission result;
  result.displaced.reserve(1);  // after the gate operation nothing may fail
  const auto take_slot = [&] {
    return parts_->claim_for(login, record, result, Parts::IfFull::drop_notes, reservation.slot);
  };
  auto claim = take_slot();
  if (!claim) {
    reap(processes, boottime_ms());
    claim = take_slot();
  }
  if (!claim) {
    result.refusal = Refusal::table_full;
    result.limit = static_cast<std::int32_t>(capacity());
    result.count = count();
    parts_->add_to(kRefusedTableFull, 1);
    return result;
  }
  Rules rules;
  rules.user = record.user_hash;
  rules.device = device_of(record);
  Decision bound;
  for (int turn = 0; turn < kReleaseTurns; ++turn) {
    bound = parts_->gate.bind(*claim, {reservation.slot, held.state.generation}, rules);
    if (!bound.is_of_device()) break;
    // With a seat only if it was opened since the reservation was made.
    parts_->end_session_of_device(bound);
  }
  if (!bound.done()) {
    parts_->table().abandon(*claim);
    return std::nullopt;
  }
  result.ref = *claim;
  result.id = record.id;
  if (bound.device_has_notes) parts_->drop_older_notes(result.ref, hashes);
  if (held.record.victim_fate == VictimFate::evicted_at_bind) {
    const std::uint32_t slot = held.record.victim_slot;
    const std::uint32_t parked =
        parts_->gate.widths().next_generation(held.record.victim_generation);
    Snapshot victim;
    if (slot < parts_->table().size() && parts_->table().snapshot(slot, victim) &&
        parts_->gate.bar(slot, parked)) {
      result.displaced.push_back({victim, Displaced::Why::evicted});
      parts_->add_to(kEvicted, 1);
    }
  }
  return result;
}

bool Registry::list_exempt(const Login& login, Admission& ret, const Terms& terms) {
  Terms times;
  if (login.no_process) {
    times.ttl_s = terms.ttl_s;
    times.lifetime_ms = terms.lifetime_ms;
  }
  const LoginHashes hashes = parts_->hashes_of(login);
  RecordImage record = parts_->make_record(login, hashes, RecordKind::exempt, times, 0);
  const auto claim = parts_->claim_for(login, record, ret);
  if (!claim) return false;
  Rules rules;
  rules.user = record.user_hash;
  rules.device = device_of(record);
  Decision listed;
  if (rules.device == kNoDevice) parts_->gate.list_exempt(*claim);
  for (int turn = 0; rules.device != kNoDevice && turn < kReleaseTurns; ++turn) {
    listed = parts_->gate.list_exempt(*claim, rules);
    if (listed.done()) break;
    parts_->end_session_of_device(listed);
  }
  if (!listed.done()) {
    parts_->table().abandon(*claim);
    return false;
  }
  ret.ref = *claim;
  ret.id = record.id;
  if (listed.device_has_notes) parts_->drop_older_notes(ret.ref, hashes);
  return true;
}

bool Registry::is_reservation_of(SlotRef ref, const Login& login) const {
  Snapshot held;
  return snapshot(ref, held) && parts_->may_bind(held, login);
}

std::optional<SlotRef> Registry::find_reservation(const Login& login,
                                                  std::vector<SlotRef>& ret_strays) {
  std::optional<SlotRef> found;
  for_each([&](const Snapshot& held) {
    const RecordImage& record = held.record;
    if (record.kind != RecordKind::reservation) return;
    if (parts_->is_record_of(record, login)) {
      if (!found && parts_->may_bind(held, login)) found = held.ref;
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
        parts_->is_record_of(held.record, login) &&
        is_process(login.self, held.record.leader_pid, held.record.leader_start_ticks))
      found = held.ref;
  });
  return found;
}

std::optional<SlotRef> Registry::find_device(const Login& login) {
  Rules rules;
  const LoginHashes hashes = parts_->hashes_of(login);
  rules.user = hashes.user;
  rules.device = hashes.device;
  for (int turn = 0; turn < kReleaseTurns; ++turn) {
    const Decision found = parts_->gate.find_device(rules);
    if (!found.is_of_device()) break;
    Snapshot session;
    if (snapshot(found.slot, session) && session.state.generation == found.generation)
      return session.ref;
  }
  return std::nullopt;
}

std::vector<std::uint32_t> Registry::slots_of_devices(std::string_view user) {
  const UserHash hash = parts_->user_hash(user);
  std::vector<std::uint32_t> slots;
  parts_->gate.count();  // settles
  parts_->table().for_each_behind(
      parts_->table().home(hash, Home::of_devices), [&](std::uint32_t slot, const StateWord& at) {
        if (at.stage != Stage::claimed && parts_->table().is_user(slot, hash) &&
            !parts_->table().has_process_in(slot))
          slots.push_back(slot);
      });
  return slots;
}

bool Registry::release(SlotRef ref) {
  Snapshot held;
  // It may lose its seat or take one again in between.
  for (int turn = 0; turn < kReleaseTurns && snapshot(ref, held); ++turn)
    if (parts_->free_slot(ref.slot, held.state)) return true;
  return false;
}

bool Registry::release_reservation(SlotRef ref) {
  Snapshot held;
  return snapshot(ref, held) && held.record.kind == RecordKind::reservation && release(ref);
}

// --- Upkeep ---

std::optional<std::uint32_t> Registry::group_index(std::string_view name, std::int32_t limit) {
  const auto index = parts_->gate.group_index(parts_->group_hash(name));
  if (index) parts_->gate.note_group_limit(*index, limit);
  return index;
}

bool Registry::note_group_limits(std::span<const GroupLimit> limits) {
  std::vector<std::string> names;
  for (const GroupLimit& limit : limits)
    names.push_back(limit.entry());
  if (group_entries_with(std::vector<std::string_view>(names.begin(), names.end())) > kMaxGroups)
    return false;
  std::set<std::uint32_t> noted;
  for (std::size_t i = 0; i < names.size(); ++i)
    if (const auto index = group_index(names[i], limits[i].limit)) noted.insert(*index);
  for (std::uint32_t i = 0; i < kMaxGroups; ++i)
    if (!noted.contains(i)) parts_->gate.note_group_limit(i, -1);
  return noted.size() == limits.size();
}

std::optional<std::uint32_t> Registry::find_group(std::string_view name) const {
  const std::uint64_t hash = parts_->group_hash(name);
  for (std::uint32_t i = 0; i < kMaxGroups; ++i)
    if (parts_->shared().groups[i].name_hash.load(std::memory_order_relaxed) == hash) return i;
  return std::nullopt;
}

std::size_t Registry::group_entries_with(std::span<const std::string_view> names) const {
  std::set<std::uint64_t> entries;
  // Relaxed: an entry is made once, and its hash is all that is read.
  for (const auto& group : parts_->shared().groups)
    if (const std::uint64_t hash = group.name_hash.load(std::memory_order_relaxed); hash != 0)
      entries.insert(hash);
  for (const std::string_view name : names)
    entries.insert(parts_->group_hash(name));
  return entries.size();
}

Failures Registry::failures(FailureRules rules, std::string_view service) {
  // Under another key no host or user of theirs is one of ours.
  const HashKey key = service.empty() ? parts_->hash_key()
                                      : hash128(parts_->hash_key(),
                                                "failures of the service " + std::string(service));
  return {parts_->mapped.failures(), key, rules};
}

void Registry::count(Counter counter) {
  parts_->add_to(counter, 1);
}

bool Registry::touch(SlotRef ref, std::uint64_t now_ms, UseIsTold told) {
  return ref.slot < slots() && parts_->gate.touch(ref, now_ms, told);
}

bool Registry::mark_revoked(SlotRef ref, std::string_view reason, std::uint32_t grace_s,
                            MarkStage how) {
  const std::string fits(utf8_prefix(reason.substr(0, reason.find('\0')), kReasonBytes));
  return ref.slot < parts_->table().size() &&
         parts_->table().mark_revoked(ref, fits, checksum_of_reason(fits), grace_s, how);
}

bool Registry::vacate(SlotRef ref) {
  Snapshot held;
  // A reservation may give its seat back to it in between.
  for (int turn = 0; turn < kReleaseTurns && snapshot(ref, held); ++turn) {
    if (held.state.stage == Stage::seated)
      parts_->gate.unseat(ref.slot, held.state.generation);
    else if (held.state.stage == Stage::parked)
      parts_->gate.bar(ref.slot, held.state.generation);
    else if (held.state.stage == Stage::exempt && !has_process(held.record))
      parts_->gate.bar_exempt(ref.slot, held.state.generation);
    else {
      // From now on it is a note.
      if (is_note(held)) parts_->gate.touch(ref, boottime_ms());
      return true;
    }
  }
  return false;
}

TokenDigest Registry::token_digest(std::string_view token) const {
  return parts_->token_digest(token);
}

bool Registry::session_of_token(std::uint32_t slot, const TokenDigest& digest,
                                Snapshot& ret) const {
  constexpr TokenDigest kNone{};
  return slot < parts_->table().size() && parts_->read(slot, ret) && digest != kNone &&
         sodium_memcmp(ret.record.token_digest.data(), digest.data(), digest.size()) == 0;
}

// Relaxed: nothing else is read through the word, and any other value costs no more than a check.
bool Registry::is_whole_key(std::span<const std::uint8_t> key) const {
  return parts_->shared().whole_key.load(std::memory_order_relaxed) == parts_->key_hash(key);
}

void Registry::note_whole_key(std::span<const std::uint8_t> key) {
  parts_->shared().whole_key.store(parts_->key_hash(key), std::memory_order_relaxed);
}

void Registry::note_daemon(pid_t pid, std::uint64_t now_ms) {
  parts_->shared().daemon_pid.store(static_cast<std::uint64_t>(pid), std::memory_order_relaxed);
  parts_->shared().daemon_seen_ms.store(now_ms, std::memory_order_relaxed);
}

Registry::Daemon Registry::daemon() const {
  return {static_cast<pid_t>(parts_->shared().daemon_pid.load(std::memory_order_relaxed)),
          parts_->shared().daemon_seen_ms.load(std::memory_order_relaxed)};
}

std::uint64_t Registry::gate_word() const {
  return parts_->shared().gate.load(std::memory_order_acquire);
}

void Registry::note_clock(const Now& at) {
  parts_->note_clock(at);
}

ConfiguredLimit Registry::published_limit() const {
  return parts_->gate.configured();
}

bool Registry::publish_limit(ConfiguredLimit seen, ConfiguredLimit limit) {
  return parts_->gate.set_configured(seen, limit);
}

void Registry::set_override(std::optional<std::int32_t> limit) {
  parts_->gate.set_override(limit);
}

std::optional<std::int32_t> Registry::override_limit() const {
  return parts_->gate.override_limit();
}

std::int32_t Registry::limit_in_force(std::int32_t configured) const {
  const ConfiguredLimit published = parts_->gate.configured();
  return parts_->gate.override_limit().value_or(published.identity == 0 ? configured
                                                                        : published.limit);
}

// --- Reading ---

bool Registry::snapshot(SlotRef ref, Snapshot& ret) const {
  return ref.slot < parts_->table().size() && parts_->read(ref.slot, ret) && ret.ref == ref;
}

bool Registry::snapshot(std::uint32_t slot, Snapshot& ret) const {
  return slot < slots() && parts_->read(slot, ret);
}

bool Registry::find_snapshot(std::uint32_t& slot, Snapshot& ret) const {
  while (slot < slots() && !parts_->read(slot, ret))
    ++slot;
  return slot < slots();
}

bool Registry::find_glance(std::uint32_t& slot, Glance& ret) const {
  const SlotTable<ProcessAtom>& table = parts_->table();
  for (; slot < table.size(); ++slot) {
    ret.state = table.state(slot);
    if (ret.state.stage == Stage::free || ret.state.stage == Stage::claimed) continue;
    ret.is_marked = table.is_marked(slot);
    return true;
  }
  return false;
}

bool Registry::is_free(std::uint32_t slot) const {
  return parts_->table().state(slot).stage == Stage::free;
}

std::uint32_t Registry::count() {
  return parts_->gate.count();
}

std::uint32_t Registry::capacity() const {
  return parts_->gate.capacity();
}

std::uint32_t Registry::slots() const {
  return parts_->table().size();
}

std::int64_t Registry::created_realtime_ms() const {
  return parts_->mapped.header().created_realtime_ms;
}

bool Registry::is_user_of(const RecordImage& record, std::string_view user) const {
  return record.user_hash == parts_->user_hash(user);
}

bool Registry::is_service_of(const RecordImage& record, std::string_view service) const {
  return record.service_hash == parts_->service_hash(service);
}

bool Registry::is_device_of(const RecordImage& record, std::string_view device) const {
  return !device.empty() &&
         device_of(record) == parts_->device_hash(record.user_hash, record.service_hash, device);
}

std::uint64_t Registry::counter(Counter counter) const {
  return parts_->shared().counters[counter].load(std::memory_order_relaxed);
}

}  // namespace sessreg
