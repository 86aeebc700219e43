#include "sessregd/leaders.h"

#include <fmt/core.h>
#include <syslog.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/clock.h"
#include "base/text.h"
#include "sessregd/stopwatch.h"

namespace sessreg {
namespace {

constexpr std::uint64_t kBetweenLooks_ms = 1'000;
constexpr std::uint64_t kWatchingPerTurn_us = 20'000;

}  // namespace

void Leaders::watch_some() {
  watch_soon_.reset();
  const Stopwatch took;
  while (!unwatched_.empty() && took.us() < kWatchingPerTurn_us) {
    const SlotRef ref = unwatched_.back();
    unwatched_.pop_back();
    Tracked* const tracked = roster_.find(ref);
    if (tracked == nullptr) continue;
    const auto leader = leader_of(tracked->record);
    if (!leader) continue;
    bool gone = false;
    tracked->leader = loop_.watch(*leader, gone, [this, ref] { on_leader_gone(ref); });
    if (tracked->leader) continue;
    if (gone) {
      on_leader_gone(ref);
      continue;
    }
    leaderless_.push_back(ref);
    if (!std::exchange(said_unwatchable_, true))
      loop_.log(LOG_WARNING,
                "there are more sessions than descriptors: some are freed later than at once; "
                "raise LimitNOFILE=");
  }
  if (!unwatched_.empty())
    watch_soon_ = loop_.after(std::chrono::milliseconds(1), [this] { watch_some(); });
}

void Leaders::on_leader_gone(const SlotRef& ref) {
  leaderless_.push_back(ref);
  if (!look_soon_) look_soon_ = loop_.soon([this] { look_at_leaderless(); });
}

void Leaders::tick(std::uint64_t now_ms) {
  if (!leaderless_.empty() && now_ms >= next_look_ms_) look_at_leaderless();
}

void Leaders::look_at_leaderless() {
  look_soon_.reset();
  const Stopwatch took;
  std::vector<std::uint32_t> slots;
  Snapshot held;
  // Most sessions were closed properly before their leader died.
  std::erase_if(leaderless_, [&](const SlotRef& ref) {
    if (registry_.snapshot(ref, held)) {
      slots.push_back(ref.slot);
      return false;
    }
    roster_.forget(ref);
    return true;
  });
  registry_.reap(slots, processes_, boottime_ms());
  std::erase_if(leaderless_, [&](const SlotRef& ref) {
    if (registry_.snapshot(ref, held)) return false;  // other processes of the session still run
    if (const Tracked* const tracked = roster_.find(ref)) {
      loop_.log(LOG_INFO,
                fmt::format("freed the session {} of {}: its processes have gone",
                            to_hex(tracked->record.id), log_value(text_of(tracked->record.user))));
      roster_.forget(ref);
    }
    return true;
  });
  next_look_ms_ = boottime_ms() + std::max(kBetweenLooks_ms, took.rest_ms(kRestOfLooking));
}

}  // namespace sessreg
