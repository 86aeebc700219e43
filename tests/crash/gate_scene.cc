#include "gate_scene.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <set>

using namespace sessreg;

namespace {

void demand(bool condition, const std::string& what) {
  if (!condition) throw Broken(what);
}

bool is_same(RecordImage a, RecordImage b) {
  // These tell of the occupancy, not of the session.
  a.epoch = b.epoch = a.victim_slot = b.victim_slot = 0;
  a.victim_generation = b.victim_generation = 0;
  a.victim_fate = b.victim_fate = VictimFate::freed;
  // And these are set by rows.
  a.groups = b.groups = a.idle_after_s = b.idle_after_s = 0;
  return std::memcmp(&a, &b, sizeof a) == 0;
}

}  // namespace

GateScene::GateScene() {
  void* at =
      mmap(nullptr, sizeof(Memory), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) throw std::bad_alloc();
  memory_ = new (at) Memory{};
}

GateScene::~GateScene() {
  munmap(memory_, sizeof(Memory));
}

void GateScene::reset(std::uint32_t seats) {
  new (memory_) Memory{};
  object = owner = {};
  clock_ms = kSeated_ms;
  most = kLimit;
  base = seats;
  extra = 0;
  rival_won = false;
  demand(gate().set_configured(gate().configured(), kConfigured), "the scene cannot be set");
  for (std::uint32_t pid = kFirst; pid < kFirst + seats; ++pid)
    demand(admit(pid, record_of(pid, RecordKind::session)), "the scene cannot be set");
}

RecordImage GateScene::record_of(std::uint32_t pid, RecordKind kind) {
  RecordImage record{};
  // Every word depends on who and what it is, so that a torn copy matches nobody's.
  std::uint64_t word = pid * std::uint64_t{0x9e3779b97f4a7c15} + static_cast<std::uint64_t>(kind);
  std::array<std::uint64_t, kRecordWords> words;
  for (std::uint64_t& w : words)
    w = word = word * 6364136223846793005u + 1442695040888963407u;
  std::memcpy(&record, words.data(), sizeof record);
  record.kind = kind;
  record.leader_pid = pid;
  record.opened_boottime_ms = 1'000'000;
  record.victim_slot = kNoSlot;
  record.victim_generation = 0;
  record.victim_fate = VictimFate::freed;
  record.groups = 0;
  record.idle_after_s = record.ttl_s = 0;
  record.user_limit = -1;
  record.flags = RecordFlags::none;
  return record;
}

SlotRef GateScene::claim(std::uint32_t pid, const RecordImage& record) {
  Gate g = gate();
  // Always from the same slot on, so that every child comes the same way.
  const auto claimed = g.table().claim(0, record.user_hash, Claimer{pid, 1});
  if (!claimed) return {};
  g.table().write_record(*claimed, record);
  return *claimed;
}

bool GateScene::add(SlotRef claim) {
  Gate g = gate();
  if (claim.slot == kNoSlot) return false;
  if (g.add(claim, site_rules()).done()) return true;
  g.table().abandon(claim);
  return false;
}

bool GateScene::admit(std::uint32_t pid, const RecordImage& record) {
  return add(claim(pid, record));
}

Rules GateScene::site_rules() {
  return {gate().configured(), 0, {}, -1, {}};
}

std::uint32_t GateScene::seated_generation(SlotRef ref) {
  return gate().widths().next_generation(ref.epoch);
}

std::uint32_t GateScene::parked_generation(SlotRef ref) {
  return gate().widths().next_generation(seated_generation(ref));
}

bool GateScene::evict(std::uint32_t pid, SlotRef victim, const RecordImage& record,
                      VictimFate fate) {
  Gate g = gate();
  const SlotRef mine = claim(pid, record);
  if (mine.slot == kNoSlot) return false;
  const Victim whom{victim.slot, seated_generation(victim)};
  if (g.evict(mine, whom, fate, site_rules()).done()) return true;
  g.table().abandon(mine);
  return false;
}

bool GateScene::take_idle(std::uint32_t pid, SlotRef victim, const RecordImage& record) {
  Gate g = gate();
  const SlotRef mine = claim(pid, record);
  if (mine.slot == kNoSlot) return false;
  const Victim idle{victim.slot, seated_generation(victim)};
  if (g.take_idle(mine, idle, kIdleSince_ms, site_rules()).done()) return true;
  g.table().abandon(mine);
  return false;
}

bool GateScene::park(SlotRef ref) {
  Gate g = gate();
  return g.park({ref.slot, seated_generation(ref)}, kIdleSince_ms, site_rules()) == Outcome::done;
}

bool GateScene::return_to_seat(SlotRef parked, bool over_limit) {
  return gate()
      .return_to_seat(parked.slot, parked_generation(parked), site_rules(), over_limit)
      .done();
}

bool GateScene::give_back(SlotRef reservation) {
  return gate().give_back(reservation.slot, seated_generation(reservation));
}

bool GateScene::bar(SlotRef parked) {
  return gate().bar(parked.slot, parked_generation(parked));
}

bool GateScene::drop(SlotRef parked) {
  return gate().drop(parked.slot, parked_generation(parked));
}

bool GateScene::free_slot(std::uint32_t slot, const StateWord& state) {
  switch (state.stage) {
    case Stage::seated:
      return gate().table().is_reservation(slot) ? gate().give_back(slot, state.generation)
                                                 : gate().remove(slot, state.generation);
    case Stage::parked:
      return gate().drop(slot, state.generation);
    case Stage::evicted:
      return gate().unlist_evicted(slot, state.generation);
    case Stage::exempt:
      return gate().unlist_exempt(slot, state.generation);
    default:
      return false;
  }
}

bool GateScene::bind(std::uint32_t pid, SlotRef reservation, const RecordImage& record) {
  Gate g = gate();
  const SlotRef mine = claim(pid, record);
  if (mine.slot == kNoSlot) return false;
  if (g.bind(mine, {reservation.slot, seated_generation(reservation)}) == Outcome::done)
    return true;
  g.table().abandon(mine);
  return false;
}

bool GateScene::remove(SlotRef ref) {
  Gate g = gate();
  return g.remove(ref.slot, g.widths().next_generation(ref.epoch));
}

int GateScene::recover(std::uint32_t dead) {
  Gate g = gate();
  int freed = 0;
  const auto is_dead = [&](std::uint32_t pid) { return pid == dead || pid == kLongDead; };
  for (std::uint32_t slot = 0; slot < kSlots; ++slot) {
    const StateWord state = g.table().state(slot);
    if (state.stage == Stage::claimed && is_dead(state.claimer_pid))
      freed += g.free_dead_claim(slot, state.generation);
    Snapshot held;
    if (!g.table().snapshot(slot, held) || !is_dead(held.record.leader_pid)) continue;
    freed += free_slot(slot, held.state);
  }
  return freed;
}

std::optional<Snapshot> GateScene::find(std::uint32_t pid, RecordKind kind) {
  Gate g = gate();
  g.count();
  Snapshot held;
  for (std::uint32_t slot = 0; slot < kSlots; ++slot)
    if (g.table().snapshot(slot, held) && held.record.leader_pid == pid && held.record.kind == kind)
      return held;
  return std::nullopt;
}

std::uint32_t GateScene::seated() const {
  const Widths widths(kSlots);
  return static_cast<std::uint32_t>(std::count_if(
      memory_->slots.begin(), memory_->slots.end(),
      [&](const auto& slot) { return widths.state(slot.state.load()).stage == Stage::seated; }));
}

void GateScene::demand_not_too_many() {
  const Widths widths(kSlots);
  const GateWord named = widths.gate(memory_->shared.gate.load());
  std::uint32_t half_given_back = 0;
  if (named.op == GateOp::return_ &&
      gate().table().is_at(named.slot, named.generation, Stage::seated)) {
    const auto its = gate().table().victim_of(named.slot);
    half_given_back = its.slot < kSlots && gate().table().state(its.slot).stage == Stage::seated;
  }
  demand(seated() <= static_cast<std::uint32_t>(most) + half_given_back,
         "more slots are seated than the limit");
}

std::int32_t GateScene::limit() {
  Gate g = gate();
  const std::int32_t limit = g.override_limit().value_or(g.configured().limit);
  const auto capacity = static_cast<std::int32_t>(kCapacity);
  return limit < 0 ? capacity : std::min(limit, capacity);
}

void GateScene::demand_invariants(std::uint32_t child, std::int64_t expected_count) {
  demand_not_too_many();
  Gate g = gate();
  const std::uint32_t count = g.count();
  demand(count == seated(),
         "the count is " + std::to_string(count) + ", but seated are " + std::to_string(seated()));
  demand(count == expected_count,
         "the count is " + std::to_string(count) + " instead of " + std::to_string(expected_count));
  std::set<std::pair<std::uint32_t, RecordKind>> seen;
  for (std::uint32_t slot = 0; slot < kSlots; ++slot) {
    const StateWord state = g.table().state(slot);
    if (state.stage == Stage::free) continue;
    if (state.stage == Stage::claimed) {
      demand(state.claimer_pid == child || state.claimer_pid == kLongDead, "a claim is nobody's");
      continue;
    }
    Snapshot held;
    demand(g.table().snapshot(slot, held), "an occupied slot cannot be read");
    const RecordImage& record = held.record;
    demand(is_same(record, record_of(record.leader_pid, record.kind)), "a record is torn");
    // Seated the first, third, … generation after the claim; parked or evicted a later one.
    const std::uint32_t since = state.generation - held.ref.epoch;
    const bool odd = state.stage == Stage::seated || state.stage == Stage::exempt;
    demand(odd ? since % 2 == 1 : since >= 2, "an epoch is wrong");
    if (state.stage == Stage::parked || state.stage == Stage::evicted) continue;
    // A session and the reservation it came from are one seat; nobody has two of either.
    const RecordKind kind = record.kind == RecordKind::exempt ? record.kind : RecordKind::session;
    const bool may_have_two = record.leader_pid == kNewcomer || record.leader_pid == kLongDead;
    demand(may_have_two || seen.emplace(record.leader_pid, kind).second,
           "process " + std::to_string(record.leader_pid) + " is seated twice");
  }
  demand_group_counts();
}

void GateScene::demand_group_counts() {
  Gate g = gate();
  std::array<std::uint32_t, kMaxGroups> members{};
  for (std::uint32_t slot = 0; slot < kSlots; ++slot)
    for (std::size_t i = 0; i < kMaxGroups; ++i)
      members[i] +=
          g.table().state(slot).stage == Stage::seated && (g.table().groups_of(slot) >> i & 1) != 0;
  for (std::uint32_t i = 0; i < kMaxGroups; ++i)
    demand(g.group_count(i) == members[i],
           "group " + std::to_string(i) + " has " + std::to_string(members[i]) +
               " seats, but its word says " + std::to_string(g.group_count(i)));
}

// The others can fill it up to the limit and no further; *ret_admitted of them.
void GateScene::demand_exact_room(std::int64_t* ret_admitted) {
  const std::int64_t room = std::max<std::int64_t>(0, limit() - std::int64_t{gate().count()});
  *ret_admitted = 0;
  while (admit(kNewcomer, record_of(kNewcomer, RecordKind::session)))
    demand(++*ret_admitted <= room, "one too many was admitted");
  demand(*ret_admitted == room, "only " + std::to_string(*ret_admitted) + " were admitted where " +
                                    std::to_string(room) + " seats were free");
  demand(seated() <= static_cast<std::uint32_t>(most), "more slots are seated than the limit");
}

// When all have left, every slot is free and can be claimed.
void GateScene::demand_nothing_left() {
  Gate g = gate();
  // Twice: a reservation that is freed may give a seat to one that was parked before.
  for (std::uint32_t i = 0; i < 2 * kSlots; ++i)
    free_slot(i % kSlots, g.table().state(i % kSlots));
  demand(g.count() == 0, "the count is not 0 when all have left");
  demand_group_counts();
  for (std::uint32_t slot = 0; slot < kSlots; ++slot)
    demand(g.table().claim(0, {}, {kNewcomer, 1}).has_value(), "a slot has leaked");
}

namespace {

// The others go through every operation, and leave all as it was.
void churn(GateScene& scene, bool changes_limit) {
  constexpr std::uint32_t kWho = GateScene::kNewcomer;
  auto gate = scene.gate();
  std::int64_t admitted = 0;
  scene.demand_exact_room(&admitted);
  for (; admitted > 0; --admitted) {
    const auto one = scene.find(kWho, RecordKind::session);
    demand(one.has_value(), "an admitted session is not listed");
    demand(gate.touch(one->ref, GateScene::kActivity_ms), "a session cannot be touched");
    demand(gate.table().mark_revoked(one->ref, {}, 0), "a session cannot be revoked");
    demand(scene.remove(one->ref), "a session cannot be released");
    if (!scene.admit(kWho, GateScene::record_of(kWho, RecordKind::reservation)))
      throw Broken("a seat that was released is not free");
    const auto reserved = scene.find(kWho, RecordKind::reservation);
    const auto session = GateScene::record_of(kWho, RecordKind::session);
    demand(reserved && scene.bind(kWho, reserved->ref, session), "a reservation cannot be bound");
    demand(scene.remove(scene.find(kWho, RecordKind::session)->ref), "a bound one cannot leave");
  }
  if (!changes_limit) {
    gate.set_override(0);
    demand(!scene.admit(kWho, GateScene::record_of(kWho, RecordKind::session)),
           "admitted above a lowered limit");
    gate.set_override(std::nullopt);
  }
  const SlotRef exempt = scene.claim(kWho, GateScene::record_of(kWho, RecordKind::exempt));
  demand(exempt.slot != kNoSlot, "no free slot");
  gate.list_exempt(exempt);
  demand(gate.unlist_exempt(exempt.slot, gate.widths().next_generation(exempt.epoch)),
         "an exempt one cannot leave");
}

}  // namespace

Trial trial_of(GateScene& scene, const GateOperation& op) {
  Trial trial;
  trial.name = op.name;
  trial.complete = op.complete;
  trial.prepare = [&scene, op] {
    scene.reset(op.seats);
    if (op.prepare) op.prepare(scene);
    scene.nop_before = scene.memory().shared.nop.load();
    // As it is: a row may have left an operation unsettled.
    scene.base = scene.gate().widths().gate(scene.memory().shared.gate.load()).count;
  };
  trial.enter = [&scene, op] {
    if (op.enter) op.enter(scene);
  };
  trial.act = [&scene, op] { return op.act(scene); };
  trial.look = [&scene, op](pid_t child) {
    const auto pid = static_cast<std::uint32_t>(child);
    // Before anything settles: happened() settles too.
    scene.demand_not_too_many();
    const int happened = op.happened(scene, child);
    scene.demand_invariants(pid, scene.base + scene.extra + op.seats_changed * happened);
    return happened;
  };
  trial.recover = [&scene, op](pid_t child) {
    scene.recover(static_cast<std::uint32_t>(child));
    if (op.recovered) op.recovered(scene);
    const auto held = static_cast<std::int64_t>(scene.seated());
    scene.demand_invariants(0, held);
    for (const auto& slot : scene.memory().slots) {
      const StateWord state = scene.gate().widths().state(slot.state.load());
      demand(state.stage != Stage::claimed, "a claim was not recovered");
      demand(state.stage == Stage::free || state.claimer_pid != static_cast<std::uint32_t>(child),
             "a seat of the dead was not recovered");
    }
    std::int64_t admitted = 0;
    scene.demand_exact_room(&admitted);
    scene.demand_nothing_left();
  };
  trial.others = {Others::fill, Others::churn};
  if (op.rival) trial.others.push_back(Others::rival);
  trial.work = [&scene, op](Others others, pid_t) {
    std::int64_t admitted = 0;
    switch (others) {
      case Others::fill:
        scene.demand_exact_room(&admitted);
        scene.extra += admitted;
        break;
      case Others::churn:
        churn(scene, op.changes_limit);
        break;
      case Others::rival:
        scene.rival_won = op.rival(scene);
        break;
    }
  };
  trial.settle_accounts = [&scene, op](Others others, int result, int happened) {
    if (others == Others::rival && op.rival_excludes) {
      demand((result == 1) != scene.rival_won,
             scene.rival_won ? "both it and the rival won" : "neither it nor the rival won");
      return;
    }
    demand((result == 1) == (happened == op.complete), "what it returned is not what happened");
    demand(others != Others::churn || result == 1, "it failed though all was left as it was");
  };
  trial.watched = std::as_bytes(std::span(&scene.memory(), 1));
  trial.in_place = true;
  return trial;
}
