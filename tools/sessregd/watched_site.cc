#include "sessregd/watched_site.h"

#include <fmt/core.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <iterator>

#include "base/text.h"
#include "common/audit.h"
#include "common/errors.h"

namespace sessreg {
namespace {

// A seat changes hands only by the gate; the exempt, and marks, show in a scan alone.
constexpr std::uint64_t kScanAnyway_ms = 2'000;
// What costs much is done less often: at most a twentieth of a processor.
constexpr std::uint64_t kCostFactor = 20;
constexpr std::uint64_t kOrphans_ms = 1'000;
constexpr std::uint64_t kTerminals_ms = 5'000;
constexpr std::uint64_t kTerminalsPerTick_us = 10'000;
// Whoever revoked or evicted a session ends it by itself, unless it died; see ending.h for how long
// that takes behind the grace.
constexpr std::uint64_t kTakeOver_ms = 5'000;
constexpr std::uint64_t kTryAgain_ms = 60'000;
// What is left of the usual grace for who gave way, and was asked to go when it did.
constexpr std::chrono::milliseconds kGraceOfEvicted{5'000};
constexpr std::uint64_t kLeadersPerTurn_us = 20'000;
constexpr std::chrono::milliseconds kFirstStep{5};
// While sessions are being ended: at most a fifth of a processor.
constexpr std::uint64_t kStepCostFactor = 4;
// Each is told on its terminals; the rest comes with the next tick.
constexpr std::size_t kMostEndedAtOnce = 500;
constexpr std::uint64_t kAnew_ms = 100;
constexpr std::uint64_t kNever = ~std::uint64_t{0};

std::uint64_t monotonic_us() {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(
                                        std::chrono::steady_clock::now().time_since_epoch())
                                        .count());
}

bool is_same(const StateWord& a, const StateWord& b) {
  return a.stage == b.stage && a.generation == b.generation;
}

std::optional<SessionId> session_id_from(std::string_view hex) {
  SessionId id{};
  if (hex.size() != 2 * id.size()) return std::nullopt;
  for (std::size_t i = 0; i < id.size(); ++i) {
    const char* const digits = hex.data() + 2 * i;
    const auto [end, error] = std::from_chars(digits, digits + 2, id[i], 16);
    if (error != std::errc() || end != digits + 2) return std::nullopt;
  }
  return to_hex(id) == hex ? std::optional(id) : std::nullopt;
}

// Of the file, and of all that decides whether it can be used: to read a mapping whose file was cut
// short is death by SIGBUS.
WatchedSite::FileState state_of(const std::string& path) {
  struct stat file {};
  if (lstat(path.c_str(), &file) != 0) return {};
  return {file.st_dev, file.st_ino, file.st_size, file.st_mode, file.st_uid, file.st_nlink};
}

bool is_to_go(const Snapshot& held) {
  return held.mark != MarkStage::none || held.state.stage == Stage::evicted;
}

}  // namespace

std::size_t WatchedSite::DigestHash::operator()(const TokenDigest& digest) const {
  std::size_t hash = 0;  // it is one already, and keyed
  memcpy(&hash, digest.data(), sizeof hash);
  return hash;
}

WatchedSite::WatchedSite(sd_event* loop, GlobalOptions global, OnChange on_change, Log log)
    : loop_(loop),
      global_(std::move(global)),
      on_change_(std::move(on_change)),
      log_(std::move(log)),
      site_(site_without_registry(global_)) {}

void WatchedSite::reload() {
  try {
    const Config config = load_site_config(global_);
    if (config.registry != site_.config.registry) forget_all();
    site_.config = config;
  } catch (const Failure& failure) {
    log_(LOG_ERR, fmt::format("{}; the site {} goes on with what it had", failure.what(), name()));
  }
}

// --- Upkeep ---

void WatchedSite::tick() {
  open_registry();
  if (!site_.registry) return;
  Registry& registry = *site_.registry;
  const std::uint64_t now_ms = boottime_ms();
  registry.note_daemon(getpid(), now_ms);

  // A login has read another text than ours.
  const std::uint32_t published = registry.published_limit().identity;
  if (published != 0 && published != site_.config.identity && published != identity_seen_) {
    identity_seen_ = published;
    reload();
    if (!site_.registry) return;
  }
  if (now_ms >= next_full_scan_ms_ ||
      (now_ms >= next_scan_ms_ && registry.gate_word() != gate_seen_))
    scan();
  if (!leaderless_.empty() && now_ms >= next_orphans_ms_) look_at_the_leaderless();
  if (now_ms >= next_check_ms_ && now_ms >= checks_rest_ms_) look_at_times(now_ms);
  look_at_some_terminals(now_ms);
}

void WatchedSite::open_registry() {
  const FileState file = state_of(site_.config.registry);
  if (site_.registry && file == file_) return;
  forget_all();
  if (file == FileState{}) return;
  if (const auto error = open_registry_of(site_)) {
    if (error->what != last_error_) log_(LOG_ERR, error->what);
    last_error_ = error->what;
    return;
  }
  if (!site_.registry) return;
  last_error_.clear();
  file_ = file;
}

void WatchedSite::forget_all() {
  // Before the registry goes: the enders use it.
  const auto lost = std::exchange(running_, {});
  step_.reset();
  while (!tracked_.empty())
    forget(tracked_.begin()->first);
  slot_of_digest_.clear();
  slot_of_id_.clear();
  unwatched_.clear();
  leaderless_.clear();
  round_.clear();
  site_.registry.reset();
  next_scan_ms_ = next_full_scan_ms_ = next_check_ms_ = next_round_ms_ = 0;
  for (const Running& running : lost)
    for (const auto& [ref, done] : running.waiting)
      done(nullptr);
}

void WatchedSite::scan() {
  const std::uint64_t began_us = monotonic_us();
  Registry& registry = *site_.registry;
  // Before the look: what changes meanwhile is seen the next time.
  gate_seen_ = registry.gate_word();
  ++scans_;
  registry.glance([&](std::uint32_t slot, const StateWord& state, bool marked) {
    notice(slot, state, marked);
  });
  std::vector<std::uint32_t> gone;
  for (const auto& [slot, tracked] : tracked_)
    if (tracked.scan != scans_) gone.push_back(slot);
  for (const std::uint32_t slot : gone)
    forget(slot);
  const std::uint64_t rest_ms = kCostFactor * (monotonic_us() - began_us) / 1000;
  next_scan_ms_ = boottime_ms() + rest_ms;
  next_full_scan_ms_ = boottime_ms() + std::max(kScanAnyway_ms, rest_ms);
  watch_some_leaders();
}

// For who asks about a session that is not known: it may have been opened just now.
void WatchedSite::look_anew() {
  open_registry();
  if (!site_.registry) return;
  const std::uint64_t now_ms = boottime_ms();
  if (now_ms < next_scan_ms_) return;
  if (site_.registry->gate_word() != gate_seen_ ||
      now_ms + kScanAnyway_ms >= next_full_scan_ms_ + kAnew_ms)
    scan();
}

void WatchedSite::notice(std::uint32_t slot, const StateWord& state, bool marked) {
  auto known = tracked_.find(slot);
  if (known != tracked_.end() && is_same(known->second.state, state) &&
      marked == known->second.marked) {
    known->second.scan = scans_;
    return;
  }
  Snapshot held;
  if (!site_.registry->snapshot(slot, held)) return;  // gone meanwhile
  if (known != tracked_.end() && known->second.ref != held.ref) {
    forget(slot);
    known = tracked_.end();
  }
  const bool is_new = known == tracked_.end();
  Tracked& tracked = is_new ? tracked_[slot] : known->second;
  const Stage before = tracked.state.stage;
  const bool was_to_go = std::exchange(tracked.is_to_go, is_to_go(held));
  tracked.scan = scans_;
  tracked.state = held.state;
  tracked.marked = marked;
  if (is_new) {
    tracked.ref = held.ref;
    tracked.record = held.record;
    if (held.record.token_digest != TokenDigest{}) slot_of_digest_[held.record.token_digest] = slot;
    if (held.record.kind != RecordKind::reservation) {
      slot_of_id_[held.record.id] = slot;
      unwatched_.push_back(held.ref);
    }
    tell(Change::opened, tracked, held);
  } else if (before != held.state.stage && held.state.stage == Stage::parked) {
    tell(Change::parked, tracked, held);
  } else if (before == Stage::parked && held.state.stage == Stage::seated) {
    tell(Change::returned, tracked, held);
  }
  const std::uint64_t now_ms = boottime_ms();
  if (tracked.is_to_go && !was_to_go) {
    tell(Change::ending, tracked, held);
    tracked.check_ms = now_ms + std::uint64_t{held.grace_s} * 1000 + kTakeOver_ms;
  } else if (is_new) {
    // An earliest moment: with a terminal it may have a time to live.
    tracked.check_ms = held.record.kind == RecordKind::reservation
                           ? now_ms + kOrphans_ms
                           : expiry_ms(held, true).value_or(kNever);
  }
  next_check_ms_ = std::min(next_check_ms_, tracked.check_ms);
}

void WatchedSite::forget(std::uint32_t slot) {
  const auto known = tracked_.find(slot);
  if (known == tracked_.end()) return;
  Tracked& tracked = known->second;
  const auto of_digest = slot_of_digest_.find(tracked.record.token_digest);
  if (of_digest != slot_of_digest_.end() && of_digest->second == slot)
    slot_of_digest_.erase(of_digest);
  const auto of_id = slot_of_id_.find(tracked.record.id);
  if (of_id != slot_of_id_.end() && of_id->second == slot) slot_of_id_.erase(of_id);
  Snapshot last{};
  last.ref = tracked.ref;
  last.state = tracked.state;
  last.record = tracked.record;
  tell(Change::closed, tracked, last);
  tracked_.erase(known);
}

// At its start the daemon may find a million: some at a time.
void WatchedSite::watch_some_leaders() {
  watch_soon_.reset();
  const std::uint64_t began_us = monotonic_us();
  while (!unwatched_.empty() && monotonic_us() - began_us < kLeadersPerTurn_us) {
    const SlotRef ref = unwatched_.back();
    unwatched_.pop_back();
    if (!is_tracked(ref)) continue;
    const auto known = tracked_.find(ref.slot);
    bool gone = false;
    known->second.leader = ProcessWatch::watch(loop_, leader_of(known->second.record), gone,
                                               guarded([this, ref] { on_leader_gone(ref); }));
    if (known->second.leader) continue;
    if (gone) {
      on_leader_gone(ref);
      continue;
    }
    leaderless_.push_back(ref);
    if (!std::exchange(said_unwatchable_, true))
      log_(LOG_WARNING,
           "there are more sessions than descriptors: some are freed later than at once; raise "
           "LimitNOFILE=");
  }
  if (!unwatched_.empty())
    watch_soon_ = after(std::chrono::milliseconds(1), &WatchedSite::watch_some_leaders);
}

bool WatchedSite::is_tracked(const SlotRef& ref) const {
  const auto known = tracked_.find(ref.slot);
  return known != tracked_.end() && known->second.ref == ref;
}

void WatchedSite::on_leader_gone(SlotRef ref) {
  leaderless_.push_back(ref);
  // Of many that die together, all are looked at in one reading of /proc.
  if (!look_soon_)
    look_soon_ = EventSource::soon(loop_, guarded([this] { look_at_the_leaderless(); }));
}

void WatchedSite::look_at_the_leaderless() {
  look_soon_.reset();
  if (!site_.registry) return;
  const std::uint64_t began_us = monotonic_us();
  std::vector<std::uint32_t> slots;
  Snapshot held;
  // Most have been closed by themselves before they died.
  std::erase_if(leaderless_, [&](const SlotRef& ref) {
    if (site_.registry->snapshot(ref, held)) {
      slots.push_back(ref.slot);
      return false;
    }
    if (is_tracked(ref)) forget(ref.slot);
    return true;
  });
  site_.registry->reap(slots, processes_, boottime_ms());
  std::erase_if(leaderless_, [&](const SlotRef& ref) {
    if (site_.registry->snapshot(ref, held)) return false;  // others of its processes still run
    if (is_tracked(ref)) {
      const auto known = tracked_.find(ref.slot);
      log_(LOG_INFO, fmt::format("freed the session {} of {}: its processes have gone",
                                 to_hex(known->second.record.id),
                                 log_value(text_of(known->second.record.user))));
      forget(ref.slot);
    }
    return true;
  });
  next_orphans_ms_ =
      boottime_ms() + std::max(kOrphans_ms, kCostFactor * (monotonic_us() - began_us) / 1000);
}

// --- Times ---

void WatchedSite::look_at_times(std::uint64_t now_ms) {
  const std::uint64_t began_us = monotonic_us();
  std::vector<std::uint32_t> due;
  for (const auto& [slot, tracked] : tracked_)
    if (now_ms >= tracked.check_ms && due.size() < kMostEndedAtOnce) due.push_back(slot);
  if (!due.empty()) {
    // One look at the processes for all: those of a whole class can run out at once.
    const ProcessTable table = ProcessTable::read();
    Overdue overdue;
    for (const std::uint32_t slot : due) {
      const auto known = tracked_.find(slot);
      if (known != tracked_.end()) check_time(known->second, table, now_ms, overdue);
    }
    for (const auto& [how, sessions] : overdue) {
      EndingOptions options;
      std::tie(options.reason, options.grace, options.tell) = how;
      start(sessions, std::move(options), table);
    }
  }
  next_check_ms_ = kNever;
  for (const auto& [slot, tracked] : tracked_)
    next_check_ms_ = std::min(next_check_ms_, tracked.check_ms);
  checks_rest_ms_ = now_ms + kStepCostFactor * (monotonic_us() - began_us) / 1000;
}

void WatchedSite::check_time(Tracked& tracked, const ProcessTable& table, std::uint64_t now_ms,
                             Overdue& ret) {
  const SlotRef ref = tracked.ref;
  Snapshot held;
  if (!site_.registry->snapshot(ref, held)) return forget(ref.slot);
  if (held.record.kind == RecordKind::reservation) {
    site_.registry->reap(std::array{ref.slot}, processes_, now_ms);
    tracked.check_ms = now_ms + kOrphans_ms;
    if (!site_.registry->snapshot(ref, held)) forget(ref.slot);
    return;
  }
  if (tracked.is_being_ended) {
    tracked.check_ms = kNever;  // until that is over
    return;
  }
  EndingOptions options;
  options.tell = !is_to_go(held);
  if (options.tell) {
    // Nobody is called out of time before its terminals were looked at.
    tracked.has_terminal = take_typing_as_activity(held, site_, table, now());
    const auto end_ms = expiry_ms(held, tracked.has_terminal);
    if (!end_ms || now_ms < *end_ms) {
      // A token may be shown, and so begin its time to live, at any moment.
      const std::uint64_t earliest_ms = expiry_ms(held, true).value_or(kNever);
      tracked.check_ms = earliest_ms > now_ms ? earliest_ms : now_ms + kTryAgain_ms;
      return;
    }
    const bool too_old =
        held.record.ends_boottime_ms != 0 && now_ms >= held.record.ends_boottime_ms;
    options.reason = too_old ? "its lifetime is over" : "it was not used for too long";
  } else {
    // It was asked already, and has had its grace.
    options.reason = reason_of(held);
    options.grace = held.mark != MarkStage::none ? std::chrono::milliseconds(0) : kGraceOfEvicted;
  }
  Session session = session_from(held, name(), State::ending, tracked.has_terminal, now());
  audit("end", name(),
        {{"session", session.id()},
         {"user", session.user()},
         {"service", session.service()},
         {"host", session.host()},
         {"pid", std::to_string(session.leader.pid)},
         {"reason", options.reason}});
  tracked.check_ms = kNever;
  ret[{options.reason, options.grace, options.tell}].push_back(std::move(session));
}

void WatchedSite::look_at_some_terminals(std::uint64_t now_ms) {
  if (round_.empty()) {
    if (now_ms < next_round_ms_) return;
    next_round_ms_ = now_ms + kTerminals_ms;
    for (const auto& [slot, tracked] : tracked_)
      if (tracked.record.kind != RecordKind::reservation) round_.push_back(slot);
    if (round_.empty()) return;
    round_began_ = now();
    round_cost_us_ = 0;
  }
  const std::uint64_t began_us = monotonic_us();
  const ProcessTable table = ProcessTable::read();
  std::uint64_t spent_us = 0;
  // The reading of /proc is not counted: it must not leave no time for any.
  const std::uint64_t read_us = monotonic_us() - began_us;
  while (!round_.empty() && spent_us < std::max(kTerminalsPerTick_us, read_us)) {
    const auto known = tracked_.find(round_.back());
    round_.pop_back();
    Snapshot held;
    if (known != tracked_.end() && site_.registry->snapshot(known->second.ref, held))
      known->second.has_terminal = take_typing_as_activity(held, site_, table, now());
    spent_us = monotonic_us() - began_us - read_us;
  }
  round_cost_us_ += monotonic_us() - began_us;
  if (!round_.empty()) return;
  site_.registry->note_clock(round_began_);
  next_round_ms_ = now_ms + std::max(kTerminals_ms, kCostFactor * round_cost_us_ / 1000);
}

// --- Tokens ---

Marked WatchedSite::mark(std::string_view token, std::uint64_t now_ms) {
  if (!site_.registry) return {};
  const TokenDigest digest = site_.registry->token_digest(token);
  const auto known = slot_of_digest_.find(digest);
  if (known == slot_of_digest_.end()) return {};
  return mark_activity(*site_.registry, site_.config, known->second, digest, processes_, now_ms);
}

Marked WatchedSite::mark_at(std::uint32_t slot, std::string_view token, std::uint64_t now_ms) {
  open_registry();
  if (!site_.registry) return {};
  return mark_activity(*site_.registry, site_.config, slot, site_.registry->token_digest(token),
                       processes_, now_ms);
}

std::optional<Session> WatchedSite::session_of_token(std::uint32_t slot, std::string_view token) {
  Snapshot held;
  open_registry();
  if (!site_.registry ||
      !site_.registry->session_of_token(slot, site_.registry->token_digest(token), held))
    return std::nullopt;
  StateReader states(processes_);
  return session_of(held, states);
}

// --- Sessions ---

std::optional<Session> WatchedSite::session_of(const Snapshot& held, StateReader& states) {
  const auto known = tracked_.find(held.ref.slot);
  const bool has_terminal =
      known != tracked_.end() && known->second.ref == held.ref && known->second.has_terminal;
  const Now at = now();
  const auto state = states.state_of(held, has_terminal, at.boottime_ms);
  if (!state) return std::nullopt;
  return session_from(held, name(), *state, has_terminal, at);
}

std::vector<Session> WatchedSite::sessions(std::uint32_t& slot, std::size_t most,
                                           std::uint32_t most_slots,
                                           const std::function<bool(const RecordImage&)>& want) {
  std::vector<Session> result;
  open_registry();
  if (!site_.registry) {
    slot = kNoSlot;
    return result;
  }
  StateReader states(processes_);
  Registry& registry = *site_.registry;
  registry.count();  // settles, so that no seat is shown that was given up before
  for (; slot < registry.slots() && result.size() < most && most_slots > 0; ++slot, --most_slots) {
    Snapshot held;
    if (!registry.snapshot(slot, held) || !want(held.record)) continue;
    if (auto session = session_of(held, states)) result.push_back(std::move(*session));
  }
  if (slot >= registry.slots()) slot = kNoSlot;
  return result;
}

std::optional<Session> WatchedSite::find(std::string_view id) {
  const auto wanted = session_id_from(id);
  if (!wanted) return std::nullopt;
  auto known = slot_of_id_.find(*wanted);
  if (known == slot_of_id_.end()) {
    look_anew();
    known = slot_of_id_.find(*wanted);
  }
  Snapshot held;
  if (known == slot_of_id_.end() || !site_.registry ||
      !site_.registry->snapshot(known->second, held) || held.record.id != *wanted)
    return std::nullopt;
  StateReader states(processes_);
  return session_of(held, states);
}

// --- Ending ---

void WatchedSite::end(const Session& session, EndingOptions options, OnEnded done) {
  const SlotRef ref = session.snapshot.ref;
  std::vector<std::pair<SlotRef, OnEnded>> waiting;
  if (Running* const earlier = running_for(ref)) {
    const auto signals_from = std::chrono::steady_clock::now() + options.grace;
    if (earlier->signals_from <= signals_from) {
      earlier->waiting.emplace_back(ref, std::move(done));
      return;
    }
    const auto moved = std::stable_partition(earlier->waiting.begin(), earlier->waiting.end(),
                                             [&](const auto& waits) { return waits.first != ref; });
    std::move(moved, earlier->waiting.end(), std::back_inserter(waiting));
    earlier->waiting.erase(moved, earlier->waiting.end());
    if (earlier->refs.size() == 1)
      running_.remove_if([&](const Running& running) { return &running == earlier; });
  }
  waiting.emplace_back(ref, std::move(done));
  start({session}, std::move(options), ProcessTable::read());
  running_.front().waiting = std::move(waiting);
}

void WatchedSite::start(const std::vector<Session>& sessions, EndingOptions options,
                        const ProcessTable& table) {
  Running running;
  running.signals_from = std::chrono::steady_clock::now() + options.grace;
  for (const Session& session : sessions) {
    const SlotRef ref = session.snapshot.ref;
    running.refs.push_back(ref);
    const auto known = tracked_.find(ref.slot);
    if (known != tracked_.end() && known->second.ref == ref) known->second.is_being_ended = true;
  }
  running.ender =
      std::make_unique<Ender>(*site_.registry, site_.config, sessions, std::move(options), table);
  // The latest first: it is the least patient one of a session.
  running_.push_front(std::move(running));
  step_ = after(kFirstStep, &WatchedSite::step);
}

// All with one look at the processes.
void WatchedSite::step() {
  // In case that this fails.
  step_ = after(std::chrono::milliseconds(kTick), &WatchedSite::step);
  const std::uint64_t began_us = monotonic_us();
  const ProcessTable table = ProcessTable::read();
  std::optional<std::chrono::microseconds> pause;
  std::vector<std::pair<OnEnded, Ended>> told;
  for (auto running = running_.begin(); running != running_.end();) {
    if (const auto next = running->ender->step(table)) {
      pause = std::min<std::chrono::microseconds>(*next, pause.value_or(*next));
      ++running;
      continue;
    }
    finish(*running, told);
    running = running_.erase(running);
  }
  if (pause) {
    const std::chrono::microseconds rest(kStepCostFactor * (monotonic_us() - began_us));
    step_ = after(std::max(*pause, rest), &WatchedSite::step);
  } else {
    step_.reset();
  }
  for (const auto& [done, ended] : told)
    done(&ended);
}

void WatchedSite::finish(Running& running, std::vector<std::pair<OnEnded, Ended>>& ret_told) {
  const std::vector<Ended> results = running.ender->results();
  const auto refs = std::exchange(running.refs, {});
  for (std::size_t i = 0; i < refs.size(); ++i) {
    for (auto& [ref, done] : running.waiting)
      if (ref == refs[i]) ret_told.emplace_back(std::move(done), results[i]);
    const auto known = tracked_.find(refs[i].slot);
    if (known == tracked_.end() || known->second.ref != refs[i]) continue;
    if (running_for(refs[i]) != nullptr) continue;
    known->second.is_being_ended = false;
    known->second.check_ms = boottime_ms() + kTryAgain_ms;
    next_check_ms_ = std::min(next_check_ms_, known->second.check_ms);
    if (results[i].result == EndResult::survived)
      log_(LOG_WARNING,
           fmt::format("the session {} could not be ended: {} of its processes are left",
                       to_hex(known->second.record.id), results[i].survivors.size()));
  }
}

WatchedSite::Running* WatchedSite::running_for(const SlotRef& ref) {
  const auto found = std::find_if(running_.begin(), running_.end(), [&](const Running& running) {
    return std::find(running.refs.begin(), running.refs.end(), ref) != running.refs.end();
  });
  return found == running_.end() ? nullptr : &*found;
}

EventSource WatchedSite::after(std::chrono::microseconds time, void (WatchedSite::*callback)()) {
  return EventSource::after(loop_, time, guarded([this, callback] { (this->*callback)(); }));
}

// The loop is C: nothing may be thrown through it. What fails is tried again by the next tick.
std::function<void()> WatchedSite::guarded(std::function<void()> callback) {
  return [this, callback = std::move(callback)] {
    try {
      callback();
    } catch (const std::exception& error) {
      log_(LOG_ERR, fmt::format("site {}: {}", name(), error.what()));
    }
  };
}

bool WatchedSite::release(const Session& session) {
  return site_.registry && site_.registry->release(session.snapshot.ref);
}

void WatchedSite::tell(Change change, const Tracked& tracked, const Snapshot& held) {
  if (!on_change_ || held.record.kind == RecordKind::reservation) return;
  State state = State::active;
  if (change == Change::ending || change == Change::closed)
    state = State::ending;
  else if (held.state.stage == Stage::parked)
    state = State::parked;
  else if (held.record.kind == RecordKind::exempt)
    state = State::exempt;
  on_change_(change, session_from(held, name(), state, tracked.has_terminal, now()));
}

}  // namespace sessreg
