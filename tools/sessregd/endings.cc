#include "sessregd/endings.h"

#include <fmt/core.h>
#include <syslog.h>

#include <algorithm>
#include <iterator>
#include <optional>
#include <set>

#include "sessregd/stopwatch.h"

namespace sessreg {
namespace {

constexpr std::chrono::milliseconds kFirstStep{5};
// After a step that failed.
constexpr std::chrono::milliseconds kNextTry{200};

}  // namespace

std::uint64_t Endings::end(const Session& session, EndingOptions options, OnEnded done) {
  const SlotRef ref = session.snapshot.ref;
  const std::uint64_t caller = ++callers_;
  std::vector<Waiting> waiting;
  if (Running* const earlier = running_for(ref)) {
    const bool is_sooner = std::chrono::steady_clock::now() + options.grace < earlier->signals_from;
    const bool is_stronger = earlier->is_by_its_user && !options.is_by_its_user;
    const bool is_weaker = !earlier->is_by_its_user && options.is_by_its_user;
    if (is_weaker || (!is_sooner && !is_stronger)) {
      earlier->waiting.push_back({caller, ref, std::move(done)});
      return caller;
    }
    if (is_sooner) {
      const auto moved = std::stable_partition(earlier->waiting.begin(), earlier->waiting.end(),
                                               [&](const Waiting& one) { return one.ref != ref; });
      std::move(moved, earlier->waiting.end(), std::back_inserter(waiting));
      earlier->waiting.erase(moved, earlier->waiting.end());
      if (earlier->refs.size() == 1)
        running_.remove_if([&](const Running& running) { return &running == earlier; });
    }
  }
  waiting.push_back({caller, ref, std::move(done)});
  add({session}, std::move(options), std::move(waiting));
  return caller;
}

void Endings::forget(std::uint64_t caller) {
  for (Running& running : running_)
    std::erase_if(running.waiting, [&](const Waiting& one) { return one.caller == caller; });
}

void Endings::start(const std::vector<Session>& sessions, EndingOptions options,
                    const ProcessTable& table) {
  add(sessions, std::move(options), {});
  begin(running_.front(), table);
}

void Endings::add(const std::vector<Session>& sessions, EndingOptions options,
                  std::vector<Waiting> waiting) {
  Running running;
  running.signals_from = std::chrono::steady_clock::now() + options.grace;
  running.is_by_its_user = options.is_by_its_user;
  for (const Session& session : sessions) {
    const SlotRef ref = session.snapshot.ref;
    running.refs.push_back(ref);
    if (Tracked* const tracked = roster_.find(ref)) tracked->is_being_ended = true;
  }
  running.sessions = sessions;
  running.options = std::move(options);
  running.waiting = std::move(waiting);
  running_.push_front(std::move(running));
  step_soon();
}

void Endings::begin(Running& running, const ProcessTable& table) {
  // Copies: if there is no memory the next step begins again.
  running.ender =
      std::make_unique<Ender>(registry_, config_, running.sessions, running.options, table);
  running.sessions.clear();
}

std::vector<Endings::OnEnded> Endings::take_waiting() {
  std::vector<OnEnded> result;
  for (Running& running : running_)
    for (Waiting& waiting : running.waiting)
      result.push_back(std::move(waiting.done));
  running_.clear();
  step_.reset();
  return result;
}

void Endings::step() {
  // In case this step fails.
  step_at(std::chrono::steady_clock::now() + kNextTry);
  const Stopwatch took;
  std::optional<ProcessTable> table;  // rule 5
  std::optional<std::chrono::microseconds> pause;
  std::vector<std::pair<OnEnded, Ended>> told;
  // First of all, as it may fail, and who is told something then would not be told.
  std::set<const Running*> begun;
  std::vector<EndedSession> just_ended;
  for (Running& running : running_) {
    if (running.ender) continue;
    if (!table && std::any_of(running.sessions.begin(), running.sessions.end(),
                              [](const Session& session) { return session.leader.has_value(); }))
      table = ProcessTable::read();
    begin(running, table ? *table : ProcessTable());
    begun.insert(&running);
    const auto& to_note = running.ender->to_note();
    just_ended.insert(just_ended.end(), to_note.begin(), to_note.end());
  }
  // Of all that begin now at once: it waits for the disk.
  if (const auto error = note_ended(config_, just_ended, EndedHow::revoked))
    loop_.log(LOG_ERR, error->what + "; a reboot would bring sessions back that were ended");
  for (auto running = running_.begin(); running != running_.end();) {
    auto next = begun.contains(&*running) ? kFirstStep : running->ender->rest();
    if (!next && !running->ender->is_over()) {
      if (!table) table = ProcessTable::read();
      next = running->ender->step(*table);
    }
    if (next) {
      pause = std::min<std::chrono::microseconds>(*next, pause.value_or(*next));
      ++running;
      continue;
    }
    finish(*running, told);
    running = running_.erase(running);
  }
  const auto now = std::chrono::steady_clock::now();
  rests_until_ = now + std::chrono::microseconds(took.rest_us(kRestOfEnding));
  if (pause)
    step_at(std::max(now + *pause, rests_until_));
  else
    step_.reset();
  // Last of all, because a callback may call end() again.
  for (const auto& [done, ended] : told)
    done(&ended);
}

void Endings::step_soon() {
  const auto soonest = std::max(std::chrono::steady_clock::now(), rests_until_);
  if (!step_ || soonest < next_step_) step_at(soonest);
}

void Endings::step_at(std::chrono::steady_clock::time_point time) {
  const auto left = std::chrono::duration_cast<std::chrono::microseconds>(
      time - std::chrono::steady_clock::now());
  next_step_ = time;
  step_ = loop_.after(std::max(left, std::chrono::microseconds::zero()), [this] { step(); });
}

void Endings::finish(Running& running, std::vector<std::pair<OnEnded, Ended>>& ret_told) {
  const std::vector<Ended> results = running.ender->results();
  const auto refs = std::exchange(running.refs, {});
  for (std::size_t i = 0; i < refs.size(); ++i) {
    for (Waiting& waiting : running.waiting)
      if (waiting.ref == refs[i]) ret_told.emplace_back(std::move(waiting.done), results[i]);
    Tracked* const tracked = roster_.find(refs[i]);
    if (tracked == nullptr || running_for(refs[i]) != nullptr) continue;
    tracked->is_being_ended = false;
    on_left_(*tracked);
    if (results[i].result == EndResult::survived)
      loop_.log(LOG_WARNING,
                fmt::format("the session {} could not be ended: {} of its processes are left",
                            to_hex(tracked->record.id), results[i].survivors.size()));
  }
}

Endings::Running* Endings::running_for(const SlotRef& ref) {
  const auto found = std::find_if(running_.begin(), running_.end(), [&](const Running& running) {
    return std::find(running.refs.begin(), running.refs.end(), ref) != running.refs.end();
  });
  return found == running_.end() ? nullptr : &*found;
}

}  // namespace sessreg
