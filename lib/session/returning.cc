#include "session/returning.h"

#include "session/send_off.h"

namespace sessreg {

Return come_back(Registry& registry, const Config& config, const Snapshot& parked) {
  Terms terms;
  terms.reserved_seats = config.reserved_sessions;
  Decision decision;
  // More only if others publish another text, or seats change hands, in between, each time anew.
  constexpr int kTurns = 100, kLooks = 4;
  for (int turn = 0, look = 0; turn < kTurns && look < kLooks; ++turn) {
    // Whatever the last login found in the file holds for those who are inside.
    terms.site = registry.published_limit();
    const bool or_over_limit = config.on_return == OnReturn::admit;
    const std::uint64_t gate_before = registry.gate_word();
    decision = registry.return_to_seat(parked.ref, terms, or_over_limit);
    if (decision.done()) return {Return::What::seated};
    if (decision.outcome == Outcome::gone) return {Return::What::gone};
    if (decision.outcome == Outcome::stale_configuration) continue;
    if (config.on_return != OnReturn::end || registry.waits_for_logins(parked, decision, terms))
      break;
    ++look;
    if (registry.gate_word() != gate_before) continue;
    send_off(registry, config, {parked, Displaced::Why::returned_in_vain});
    return {Return::What::ended, decision};
  }
  return {Return::What::waits, decision};
}

}  // namespace sessreg
