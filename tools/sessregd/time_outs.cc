#include "sessregd/time_outs.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/clock.h"
#include "common/session.h"
#include "sessregd/stopwatch.h"

namespace sessreg {
namespace {

constexpr std::uint64_t kReservations_ms = 1'000;
// See ending.h for how long ending takes beyond the grace.
constexpr std::uint64_t kTakeOver_ms = 5'000;
constexpr std::uint64_t kTryAgain_ms = 60'000;
// What is left of the usual grace for an evicted session, which was asked to go when it gave way.
constexpr std::chrono::milliseconds kGraceOfEvicted{5'000};
// Each user is told on the session's terminals.
constexpr std::size_t kMostAtOnce = 500;
constexpr std::uint64_t kNever = ~std::uint64_t{0};

}  // namespace

void TimeOuts::noticed(Change change, Tracked& tracked, const Snapshot& held) {
  if (change == Change::opened) {
    // The earliest moment possible: a session with a terminal may have a time to live.
    check_at(tracked, held.record.kind == RecordKind::reservation
                          ? boottime_ms() + kReservations_ms
                          : expiry_ms(held, true).value_or(kNever));
  } else if (change == Change::ending && is_note(held)) {
    check_at(tracked, end_of_note_ms(held));
  } else if (change == Change::ending) {
    check_at(tracked, boottime_ms() + std::uint64_t{held.grace_s} * 1000 + kTakeOver_ms);
  }
}

void TimeOuts::look_again(Tracked& tracked) {
  check_at(tracked, boottime_ms() + kTryAgain_ms);
}

void TimeOuts::check_at(Tracked& tracked, std::uint64_t time_ms) {
  tracked.check_ms = time_ms;
  next_check_ms_ = std::min(next_check_ms_, time_ms);
}

void TimeOuts::tick(std::uint64_t now_ms) {
  if (now_ms >= next_check_ms_ && now_ms >= rests_until_ms_) look(now_ms);
}

void TimeOuts::look(std::uint64_t now_ms) {
  const Stopwatch took;
  std::vector<SlotRef> due;
  roster_.for_each([&](const Tracked& tracked) {
    if (now_ms >= tracked.check_ms && due.size() < kMostAtOnce) due.push_back(tracked.ref);
  });
  if (!due.empty()) {
    const ProcessTable table = ProcessTable::read();
    Overdue overdue;
    for (const SlotRef& ref : due)
      if (Tracked* const tracked = roster_.find(ref)) look_at(*tracked, table, now_ms, overdue);
    for (const auto& [how, sessions] : overdue) {
      EndingOptions options;
      std::tie(options.reason, options.grace, options.tell, options.is_by_its_user) = how;
      endings_.start(sessions, std::move(options), table);
    }
  }
  next_check_ms_ = kNever;
  roster_.for_each(
      [&](const Tracked& tracked) { next_check_ms_ = std::min(next_check_ms_, tracked.check_ms); });
  rests_until_ms_ = now_ms + took.rest_ms(kRestOfEnding);
}

void TimeOuts::look_at(Tracked& tracked, const ProcessTable& table, std::uint64_t now_ms,
                       Overdue& ret) {
  Snapshot held;
  if (!registry_.snapshot(tracked.ref, held)) return roster_.forget(tracked.ref);
  if (held.record.kind == RecordKind::reservation) return look_at_reservation(tracked, now_ms);
  if (!has_process(held.record)) return look_at_clock(tracked, held, now_ms);
  if (tracked.is_being_ended) {
    tracked.check_ms = kNever;  // until the ending is over
    return;
  }
  EndingOptions options;
  options.tell = !is_to_go(held);
  if (options.tell) {
    roster_.look_at_terminals(tracked, held, table);
    const auto end_ms = expiry_ms(held, tracked.terminals_tell);
    if (!end_ms || now_ms < *end_ms) {
      // At any moment its token may be presented, and so start its time to live.
      const std::uint64_t earliest_ms = expiry_ms(held, true).value_or(kNever);
      tracked.check_ms = earliest_ms > now_ms ? earliest_ms : now_ms + kTryAgain_ms;
      return;
    }
    options.reason = reason_of_expiry(held.record, now_ms);
  } else {
    // It was already asked to go, and has had its grace.
    options.is_by_its_user = is_ended_by_its_user(held, tracked.terminals_tell, now_ms);
    options.reason = reason_of(held);
    options.grace = held.mark != MarkStage::none ? std::chrono::milliseconds(0) : kGraceOfEvicted;
  }
  Session session = session_from(held, config_.site, State::ending, tracked.terminals_tell, now());
  // Once, however often its end is tried.
  if (!std::exchange(tracked.end_was_audited, true)) audit_session("end", session, options.reason);
  tracked.check_ms = kNever;
  ret[{options.reason, options.grace, options.tell, options.is_by_its_user}].push_back(
      std::move(session));
}

// A session without a process: nothing has to be ended, and a note only goes.
void TimeOuts::look_at_clock(Tracked& tracked, const Snapshot& held, std::uint64_t now_ms) {
  registry_.reap(std::array{tracked.ref.slot}, processes_, now_ms);
  Snapshot left;
  if (registry_.snapshot(tracked.ref, left)) {
    const std::uint64_t ends_ms =
        is_note(left) ? end_of_note_ms(left) : expiry_ms(left, true).value_or(kNever);
    tracked.check_ms = std::max(ends_ms, now_ms + 1);
    return;
  }
  if (!is_to_go(held)) {
    audit_session("end", session_from(held, config_.site, State::ending, true, now()),
                  reason_of_expiry(held.record, now_ms));
    if (const auto ended = ended_session(held.record))
      (void)note_ended(config_, {&*ended, 1}, EndedHow::closed);
  }
  roster_.forget(tracked.ref);
}

void TimeOuts::look_at_reservation(Tracked& tracked, std::uint64_t now_ms) {
  registry_.reap(std::array{tracked.ref.slot}, processes_, now_ms);
  tracked.check_ms = now_ms + kReservations_ms;
  Snapshot held;
  if (!registry_.snapshot(tracked.ref, held)) roster_.forget(tracked.ref);
}

}  // namespace sessreg
