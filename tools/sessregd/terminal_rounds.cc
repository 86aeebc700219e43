#include "sessregd/terminal_rounds.h"

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
        left_.push_back(tracked.ref);
    });
    if (left_.empty()) return;
    began_ = now();
    cost_us_ = 0;
    reader_.emplace();
  }
  const Stopwatch took;
  look(took);
  cost_us_ += took.us();
  if (!left_.empty()) return;
  table_.reset();
  registry_.note_clock(began_);
  next_ms_ = now_ms + std::max(kBetweenRounds_ms, kRestOfLooking * cost_us_ / 1000);
}

void TerminalRounds::look(const Stopwatch& took) {
  const auto is_time_up = [&] { return took.us() >= kPerTick_us; };
  if (reader_) {
    if (!reader_->read_some(is_time_up)) return;
    table_ = reader_->take();
    reader_.reset();
  }
  while (!left_.empty() && !is_time_up()) {
    Tracked* const tracked = roster_.find(left_.back());
    left_.pop_back();
    Snapshot held;
    if (tracked != nullptr && registry_.snapshot(tracked->ref, held))
      roster_.look_at_terminals(*tracked, held, *table_);
  }
}

}  // namespace sessreg
