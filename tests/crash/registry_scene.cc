#include "registry_scene.h"

#include <string.h>

#include <algorithm>

using namespace sessreg;

namespace {

void demand(bool condition, const std::string& what) {
  if (!condition) throw Broken(what);
}

}  // namespace

RegistryScene::RegistryScene()
    : host_(*host_identity()),
      test_(self_id()),
      registry_(std::move(*Registry::open_or_create(dir_ / "site.reg", host_, kCapacity))),
      mapped_(std::move(*open_registry_file(dir_ / "site.reg", host_))),
      gate_(mapped_.shared(), mapped_.slots(), kCapacity) {
  told_.dead = kLongDead;
}

std::span<const std::byte> RegistryScene::image() {
  const auto* begin = reinterpret_cast<const std::byte*>(&mapped_.shared());
  const auto* end =
      reinterpret_cast<const std::byte*>(mapped_.slots().data()) + mapped_.slots().size_bytes();
  return {begin, end};
}

void RegistryScene::reset(std::uint32_t seats) {
  memset(static_cast<void*>(&mapped_.shared()), 0, image().size());
  // Anew: it remembers what its own last search found.
  registry_ = std::move(*Registry::open(dir_ / "site.reg", host_));
  object = owner = {};
  extra = 0;
  most = kLimit.limit;
  registry_.publish_limit(registry_.published_limit(), kLimit);
  for (std::uint32_t i = 0; i < seats; ++i)
    demand(admit_other(), "the scene cannot be set");
}

Login RegistryScene::login_of(const ProcessId& self, const std::string& user) {
  Login login;
  login.user = user;
  login.uid = 1000;
  login.service = "sshd";
  login.host = "198.51.100.7";
  login.self = self;
  login.parent = {1, 0};
  return login;
}

bool RegistryScene::admit_other() {
  // Its configuration is what is published: a login that finds another reads the file again. With
  // a limit of its user it stands at that one's home, each time the same.
  Terms terms(gate_.configured());
  terms.user_limit = 100;
  return registry_.admit(other("other"), terms, RealProcesses()).admitted();
}

SlotRef RegistryScene::admit_idle(const Login& login, const Terms& terms) {
  const Admission admitted = registry_.admit(login, terms, RealProcesses());
  demand(admitted.admitted(), "the scene cannot be set");
  // Opened, and so last used, some time ago.
  constexpr std::size_t kOpenedWord = offsetof(RecordImage, opened_boottime_ms) / 8;
  const std::uint64_t then_ms = now().boottime_ms - 1000 * std::uint64_t{terms.idle_after_s} - 1000;
  Slot<ProcessAtom>& slot = mapped_.slots()[admitted.ref.slot];
  slot.record[kOpenedWord].store(then_ms);
  gate_.table().stamp(admitted.ref, then_ms);
  return admitted.ref;
}

void RegistryScene::make_slow(SlotRef reservation) {
  constexpr std::size_t kOpenedWord = offsetof(RecordImage, opened_boottime_ms) / 8;
  mapped_.slots()[reservation.slot].record[kOpenedWord].fetch_sub(2 * kReservationYields_ms);
}

void RegistryScene::make_expired(SlotRef session) {
  constexpr std::size_t kEndsWord = offsetof(RecordImage, ends_boottime_ms) / 8;
  mapped_.slots()[session.slot].record[kEndsWord].store(1);
}

void RegistryScene::forget_search() {
  mapped_.shared().search.store(0);
}

Stage RegistryScene::stage_of(SlotRef ref) {
  registry_.count();
  return gate_.table().state(ref.slot).stage;
}

void RegistryScene::leave_claim(std::uint32_t pid) {
  demand(gate_.table().claim(0, {}, Claimer{pid, 1}).has_value(), "the scene cannot be set");
}

void RegistryScene::unsettle_add() {
  const GateWord named = gate_.widths().gate(mapped_.shared().gate.load());
  demand(named.op == GateOp::add, "the scene cannot be set");
  ProcessAtom& word = mapped_.slots()[named.slot].state;
  StateWord state = gate_.widths().state(word.load());
  state.stage = Stage::claimed;
  state.generation = named.generation;
  word.store(gate_.widths().pack(state));
}

std::size_t RegistryScene::listed(pid_t leader) {
  std::size_t n = 0;
  registry_.for_each([&](const Snapshot& held) {
    n += held.record.leader_pid == static_cast<std::uint32_t>(leader);
  });
  return n;
}

std::uint32_t RegistryScene::count_unsettled() {
  return gate_.widths().gate(mapped_.shared().gate.load()).count;
}

std::size_t RegistryScene::claimed(pid_t claimer) {
  std::size_t n = 0;
  for (std::uint32_t slot = 0; slot < gate_.table().size(); ++slot) {
    const StateWord state = gate_.table().state(slot);
    if (state.stage != Stage::claimed) continue;
    demand(state.claimer_pid == static_cast<std::uint32_t>(claimer) ||
               state.claimer_pid == static_cast<std::uint32_t>(kLongDead),
           "a claim is nobody's");
    ++n;
  }
  return n;
}

void RegistryScene::demand_counted(std::int64_t expected) {
  const auto count_seated = [&] {
    std::int64_t seated = 0;
    for (std::uint32_t slot = 0; slot < gate_.table().size(); ++slot)
      seated += gate_.table().state(slot).stage == Stage::seated;
    return seated;
  };
  // Where a seat is given back, the reservation is freed last.
  const GateWord named = gate_.widths().gate(mapped_.shared().gate.load());
  const bool half = named.op == GateOp::return_ &&
                    gate_.table().is_at(named.slot, named.generation, Stage::seated);
  demand(count_seated() <= most + half, "more slots are seated than the limit");
  const std::int64_t count = registry_.count();
  demand(count == count_seated(), "the count is not the number of seated slots");
  demand(count == expected,
         "the count is " + std::to_string(count) + " instead of " + std::to_string(expected));
}

// As the next login would. A reservation outlives its maker by the grace time.
void RegistryScene::recover(pid_t child) {
  const RealProcesses processes;
  std::uint64_t made = 0;
  registry_.for_each([&](const Snapshot& held) {
    if (held.record.leader_pid == static_cast<std::uint32_t>(child) &&
        held.record.kind == RecordKind::reservation)
      made = held.record.opened_boottime_ms;
  });
  registry_.reap(processes, now().boottime_ms);
  if (made != 0) {
    demand(listed(child) == 1, "a reservation did not outlive its maker");
    registry_.reap(processes, made + kMakerDeathGrace_ms);
  }
  demand(listed(child) == 0, "the dead are still listed");
  demand(listed(kLongDead) == 0, "the long dead are still listed");
  demand(claimed(child) == 0, "a claim was not recovered");
}

void RegistryScene::demand_exact_room() {
  // A login that finds it full would do this itself, and find more room than before.
  registry_.reap(RealProcesses(), now().boottime_ms);
  const std::int64_t room =
      std::max<std::int64_t>(0, registry_.limit_in_force(-1) - std::int64_t{registry_.count()});
  std::int64_t admitted = 0;
  while (admit_other())
    demand(++admitted <= room, "one too many was admitted");
  demand(admitted == room, "only " + std::to_string(admitted) + " were admitted where " +
                               std::to_string(room) + " seats were free");
  extra += admitted;
}

void RegistryScene::demand_nothing_left() {
  // Whoever has a seat again by the release of a reservation is released after it, in whatever
  // order they stand.
  std::vector<SlotRef> all;
  registry_.for_each([&](const Snapshot& held) {
    all.insert(held.record.kind == RecordKind::reservation ? all.begin() : all.end(), held.ref);
  });
  for (const SlotRef ref : all)
    demand(registry_.release(ref), "a session cannot be released");
  demand(registry_.count() == 0, "the count is not 0 when all have left");
  for (std::uint32_t slot = 0; slot < gate_.table().size(); ++slot)
    demand(gate_.table().state(slot).stage == Stage::free, "a slot has leaked");
}

namespace {

// The others go through every operation, and leave all as it was.
void churn(RegistryScene& scene) {
  Registry& registry = scene.registry();
  Terms limit(registry.published_limit());
  limit.user_limit = 100;
  const Login login = scene.other("churn");
  const RealProcesses processes;
  const auto reserved = registry.reserve(login, limit, processes, ~std::uint64_t{0});
  if (reserved.admitted()) {
    const auto bound = registry.bind(reserved.ref, login, limit, processes);
    demand(bound && bound->admitted(), "a reservation cannot be bound");
    demand(registry.touch(bound->ref, now().boottime_ms), "a session cannot be touched");
    demand(registry.mark_revoked(bound->ref, "no"), "a session cannot be revoked");
    demand(registry.release(bound->ref), "a session cannot be released");
  }
  Admission exempt;
  demand(registry.list_exempt(login, exempt), "an exempt session cannot be listed");
  demand(registry.release(exempt.ref), "an exempt session cannot be released");
}

}  // namespace

Trial trial_of(RegistryScene& scene, const RegistryOperation& op) {
  Trial trial;
  trial.name = op.name;
  trial.complete = op.complete;
  trial.same_way = op.same_way;
  trial.prepare = [&scene, op] {
    scene.reset(op.seats);
    if (op.prepare) op.prepare(scene);
    // As it is: a row may have left an operation unsettled.
    scene.base = scene.count_unsettled();
  };
  trial.enter = [&scene, op] {
    if (op.enter) op.enter(scene);
  };
  trial.act = [&scene, op] { return op.act(scene); };
  trial.look = [&scene, op](pid_t child) {
    const int happened = scene.happened = op.happened(scene, child);
    const int change = op.change ? op.change(happened) : op.seats_changed * happened;
    scene.demand_counted(scene.base + scene.extra + change);
    demand(scene.claimed(child) <= 2, "more claims than one process makes");
    return happened;
  };
  trial.recover = [&scene, op](pid_t child) {
    scene.recover(child);
    if (op.recovered) op.recovered(scene);
    scene.demand_exact_room();
    scene.demand_nothing_left();
  };
  trial.others = {Others::fill, Others::churn};
  trial.work = [&scene](Others others, pid_t) {
    if (others == Others::fill)
      scene.demand_exact_room();
    else
      churn(scene);
    // They saw no terminals, and so nobody idle.
    scene.forget_search();
  };
  trial.settle_accounts = [op](Others others, int result, int happened) {
    demand((result == 1) == (happened == op.complete), "what it returned is not what happened");
    demand(others != Others::churn || result == 1, "it failed though all was left as it was");
  };
  trial.watched = scene.image();
  return trial;
}
