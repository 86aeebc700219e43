#include "sessregd/roster.h"

#include <string.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "session/sessions.h"
#include "sessregd/stopwatch.h"

namespace sessreg {
namespace {

constexpr std::uint64_t kScanAnyway_ms = 2'000;

bool is_same(const StateWord& a, const StateWord& b) {
  return a.stage == b.stage && a.generation == b.generation;
}

}  // namespace

bool is_to_go(const Snapshot& held) {
  return held.mark != MarkStage::none || held.state.stage == Stage::evicted;
}

std::size_t Roster::DigestHash::operator()(const TokenDigest& digest) const {
  std::size_t hash = 0;  // the digest is a keyed hash already
  memcpy(&hash, digest.data(), sizeof hash);
  return hash;
}

void Roster::scan() {
  const Stopwatch took;
  // Read before the scan: what changes during it is seen the next time.
  gate_seen_ = registry_.gate_word();
  ++scans_;
  registry_.glance([&](std::uint32_t slot, const StateWord& state, bool marked) {
    look_at(slot, state, marked);
  });
  std::vector<SlotRef> gone;
  for (const auto& [slot, tracked] : tracked_)
    if (tracked.scan != scans_) gone.push_back(tracked.ref);
  for (const SlotRef& ref : gone)
    forget(ref);
  const std::uint64_t rest_ms = took.rest_ms(kRestOfLooking);
  next_scan_ms_ = boottime_ms() + rest_ms;
  next_full_scan_ms_ = boottime_ms() + std::max(kScanAnyway_ms, rest_ms);
}

bool Roster::is_scan_due(std::uint64_t now_ms) const {
  return now_ms >= next_full_scan_ms_ ||
         (now_ms >= next_scan_ms_ && registry_.gate_word() != gate_seen_);
}

void Roster::look_at(std::uint32_t slot, const StateWord& state, bool marked) {
  Tracked* known = in_slot(slot);
  if (known != nullptr && is_same(known->state, state) && marked == known->marked) {
    known->scan = scans_;
    return;
  }
  Snapshot held;
  if (!registry_.snapshot(slot, held)) return;  // gone in the meantime
  if (known != nullptr && known->ref != held.ref) {
    forget(known->ref);
    known = nullptr;
  }
  const bool is_new = known == nullptr;
  Tracked& tracked = is_new ? tracked_[slot] : *known;
  const Stage before = tracked.state.stage;
  const bool was_to_go = std::exchange(tracked.is_to_go, is_to_go(held));
  tracked.scan = scans_;
  tracked.state = held.state;
  tracked.marked = marked;
  if (is_new) {
    tracked.ref = held.ref;
    tracked.record = held.record;
    if (held.record.token_digest != TokenDigest{}) slot_of_digest_[held.record.token_digest] = slot;
    if (held.record.kind != RecordKind::reservation) slot_of_id_[held.record.id] = slot;
    notice_(Change::opened, tracked, held);
  } else if (before != held.state.stage && held.state.stage == Stage::parked) {
    notice_(Change::parked, tracked, held);
  } else if (before == Stage::parked && held.state.stage == Stage::seated) {
    notice_(Change::returned, tracked, held);
  }
  if (tracked.is_to_go && !was_to_go) notice_(Change::ending, tracked, held);
}

Tracked* Roster::find(const SlotRef& ref) {
  Tracked* const tracked = in_slot(ref.slot);
  return tracked != nullptr && tracked->ref == ref ? tracked : nullptr;
}

Tracked* Roster::in_slot(std::uint32_t slot) {
  const auto known = tracked_.find(slot);
  return known == tracked_.end() ? nullptr : &known->second;
}

std::optional<std::uint32_t> Roster::slot_of_id(const SessionId& id) const {
  const auto known = slot_of_id_.find(id);
  return known == slot_of_id_.end() ? std::nullopt : std::optional(known->second);
}

std::optional<std::uint32_t> Roster::slot_of_token(const TokenDigest& digest) const {
  const auto known = slot_of_digest_.find(digest);
  return known == slot_of_digest_.end() ? std::nullopt : std::optional(known->second);
}

void Roster::look_at_terminals(Tracked& tracked, Snapshot& held, const ProcessTable& table) {
  tracked.terminals_tell =
      take_typing_as_activity(held, registry_, config_, table, now()).tells_use();
}

void Roster::forget(const SlotRef& ref) {
  Tracked* const tracked = find(ref);
  if (tracked == nullptr) return;
  const auto of_digest = slot_of_digest_.find(tracked->record.token_digest);
  if (of_digest != slot_of_digest_.end() && of_digest->second == ref.slot)
    slot_of_digest_.erase(of_digest);
  const auto of_id = slot_of_id_.find(tracked->record.id);
  if (of_id != slot_of_id_.end() && of_id->second == ref.slot) slot_of_id_.erase(of_id);
  Snapshot last{};
  last.ref = tracked->ref;
  last.state = tracked->state;
  last.record = tracked->record;
  notice_(Change::closed, *tracked, last);
  tracked_.erase(ref.slot);
}

void Roster::forget_all() {
  while (!tracked_.empty())
    forget(tracked_.begin()->second.ref);
}

}  // namespace sessreg
