#include "sessregd/terminal_rounds.h"

#include <algorithm>

#include "host/process_table.h"
#include "sessregd/stopwatch.h"

namespace sessreg {
namespace {

constexpr std::uint64_t kBetweenRounds_ms = 5'000;
constexpr std::uint64_t kPerTick_us = 10'000;

}  // namespace

void TerminalRounds::tick(std::uint64_t now_ms) {
  if (left_.empty()) {
    if (now_ms < next_ms_) return;
    next_ms_ = now_ms + kBetweenRounds_ms;
    roster_.for_each([&](const Tracked& tracked) {
      if (tracked.record.kind != RecordKind::reservation && has_process(tracked.record))
        left_.push_back(tracked.ref.slot);
    });
    if (left_.empty()) return;
    began_ = now();
    cost_us_ = 0;
  }
  const Stopwatch took;
  const ProcessTable table = ProcessTable::read();
  std::uint64_t spent_us = 0;
  // Reading /proc is not counted: otherwise it could leave no time for any terminal.
  const std::uint64_t read_us = took.us();
  while (!left_.empty() && spent_us < std::max(kPerTick_us, read_us)) {
    Tracked* const tracked = roster_.in_slot(left_.back());
    left_.pop_back();
    Snapshot held;
    if (tracked != nullptr && registry_.snapshot(tracked->ref, held))
      roster_.look_at_terminals(*tracked, held, table);
    spent_us = took.us() - read_us;
  }
  cost_us_ += took.us();
  if (!left_.empty()) return;
  registry_.note_clock(began_);
  next_ms_ = now_ms + std::max(kBetweenRounds_ms, kRestOfLooking * cost_us_ / 1000);
}

}  // namespace sessreg
