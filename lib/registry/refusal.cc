#include "registry/refusal.h"

#include <array>

#include "config/config.h"

namespace sessreg {
namespace {

constexpr std::array kFacts = std::to_array<RefusalFacts>({
    {Refusal::site_full, "site_full", kRefusedSiteFull, kWouldRefuseSiteFull,
     &Config::message_site_full},
    {Refusal::drain, "drain", kRefusedDrain, kWouldRefuseDrain, &Config::message_drain},
    {Refusal::user_full, "user_full", kRefusedUserFull, kWouldRefuseUserFull,
     &Config::message_user_full},
    {Refusal::locked, "locked", kRefusedLocked, kWouldRefuseLocked, &Config::message_locked},
    {Refusal::group_full, "group_full", kRefusedGroupFull, kWouldRefuseGroupFull,
     &Config::message_group_full},
    {Refusal::table_full, "table_full", kRefusedTableFull, kWouldRefuseTableFull,
     &Config::message_table_full},
    {Refusal::blacklisted, "blacklisted", kRefusedBlacklisted, kWouldRefuseBlacklisted,
     &Config::message_blacklisted},
});

static_assert(has_row_for_each(kFacts, Refusal::site_full));

}  // namespace

std::span<const RefusalFacts> refusals() {
  return kFacts;
}

const RefusalFacts& facts_of(Refusal refusal) {
  return kFacts.at(static_cast<std::size_t>(refusal) - 1);
}

Refusal refusal_of(const Decision& decision) {
  switch (decision.outcome) {
    case Outcome::user_full:
      return Refusal::user_full;
    case Outcome::group_full:
      return Refusal::group_full;
    case Outcome::table_full:
      return Refusal::table_full;
    default:
      return decision.limit == 0 ? Refusal::drain : Refusal::site_full;
  }
}

const char* text(Refusal refusal) {
  return refusal == Refusal::none ? "none" : facts_of(refusal).name;
}

}  // namespace sessreg
