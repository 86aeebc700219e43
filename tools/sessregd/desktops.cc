#include "sessregd/desktops.h"

#include <algorithm>
#include <utility>

#include "base/clock.h"
#include "host/process.h"
#include "session/returning.h"
#include "sessregd/stopwatch.h"

namespace sessreg {
namespace {

constexpr std::uint64_t kBetweenRounds_ms = 5'000;
constexpr std::uint64_t kPerTick_us = 10'000;

bool has_display(const RecordImage& record) {
  return has(record.flags, RecordFlags::has_display);
}

// Whether it matters when the session is used. A leader of several is no desktop.
bool is_asked_after(const Tracked& tracked) {
  const RecordImage& record = tracked.record;
  return record.kind == RecordKind::session && (record.idle_after_s != 0 || record.ttl_s != 0) &&
         !tracked.is_to_go && !has(record.flags, RecordFlags::shared_leader) && leader_of(record);
}

}  // namespace

Desktops::Desktops(Registry& registry, const Config& config, Roster& roster, Logind& logind)
    : registry_(registry), config_(config), roster_(roster), logind_(logind) {
  registry_.for_each([&](const Snapshot& held) {
    if (has_display(held.record)) registry_.touch(held.ref, 0, UseIsTold::no);
  });
}

void Desktops::tick(std::uint64_t now_ms) {
  if (left_.empty()) {
    if (now_ms < next_ms_) return;
    next_ms_ = now_ms + kBetweenRounds_ms;
    cost_us_ = 0;
    roster_.for_each([&](const Tracked& tracked) {
      if (is_asked_after(tracked)) left_.push_back(tracked.ref.slot);
    });
  }
  const Stopwatch took;
  while (!left_.empty() && !logind_.is_busy() && took.us() < kPerTick_us) {
    Tracked* const tracked = roster_.in_slot(left_.back());
    left_.pop_back();
    if (tracked != nullptr && is_asked_after(*tracked)) ask_after(*tracked);
  }
  cost_us_ += took.us();
  if (left_.empty()) next_ms_ = std::max(next_ms_, now_ms + kRestOfLooking * cost_us_ / 1000);
}

void Desktops::ask_after(Tracked& tracked) {
  Tracked::Desktop& desktop = tracked.desktop;
  if (desktop.question && desktop.question->is_open()) return;
  if (desktop.session.empty()) {
    const ProcessId leader = leader_of(tracked.record).value();
    const auto session = Logind::session_of(leader.pid);
    const auto stat = read_process_stat(leader.pid);
    if (!session || !stat || stat->start_ticks != leader.start_ticks) return;
    desktop.session = *session;
  }
  if (!Logind::is_desktop(desktop.session)) return told_nothing(tracked);
  // Its question goes when the session does.
  desktop.question = logind_.ask(desktop.session, [this, &tracked](const auto& answer) {
    if (answer)
      told(tracked, *answer);
    else
      told_nothing(tracked);
  });
  if (!desktop.question) told_nothing(tracked);
}

void Desktops::told(Tracked& tracked, const Logind::Answer& answer) {
  Snapshot held;
  if (!registry_.snapshot(tracked.ref, held)) return;
  const bool was_ever_told = answer.since_realtime_ms != 0;
  const Now at = now();
  if (!has_display(held.record)) {
    if (answer.is_idle) return;
    registry_.touch(held.ref, at.boottime_ms);
  } else {
    if (!was_ever_told) return told_nothing(tracked);
    tracked.desktop.has_told = true;
    if (answer.is_idle) {
      const std::uint64_t since_ms = registry_.boottime_of(answer.since_realtime_ms, at);
      if (!held.use_is_told || held.last_activity_ms + kActivityUnit_ms < since_ms)
        registry_.touch(held.ref, since_ms, UseIsTold::yes);
      return;
    }
    registry_.touch(held.ref, at.boottime_ms, UseIsTold::no);
  }
  if (was_ever_told && held.state.stage == Stage::parked) come_back(registry_, config_, held);
}

// Logind may have been started anew, and not hear again what it was told before.
void Desktops::told_nothing(Tracked& tracked) {
  if (std::exchange(tracked.desktop.has_told, false))
    registry_.touch(tracked.ref, 0, UseIsTold::no);
}

}  // namespace sessreg
