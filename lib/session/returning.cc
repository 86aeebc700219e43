#include "session/returning.h"

#include "session/send_off.h"

namespace sessreg {

Return come_back(Registry& registry, const Config& config, const Snapshot& parked) {
  Terms terms;
  terms.reserved_seats = config.reserved_sessions;
  Decision decision;
  for (int turn = 0;; ++turn) {
    constexpr int kTurns = 100;
    // Whatever the last login found in the file holds for those who are inside.
    terms.site = registry.published_limit();
    const bool or_over_limit = config.on_return == OnReturn::admit;
    decision = registry.return_to_seat(parked.ref, terms, or_over_limit);
    if (decision.done()) return {Return::What::seated};
    if (decision.outcome == Outcome::gone) return {Return::What::gone};
    if (decision.outcome == Outcome::stale_configuration && turn < kTurns) continue;
    break;
  }
  if (config.on_return != OnReturn::end) return {Return::What::waits, decision};
  send_off(registry, config, {parked, Displaced::Why::returned_in_vain});
  return {Return::What::ended, decision};
}

}  // namespace sessreg
