// What a registry counts about itself. These are statistics: nothing is decided by them.
#pragma once

#include <cstddef>

namespace sessreg {

enum Counter : std::size_t {
  kAdmissions,
  kRefusedSiteFull,
  kRefusedDrain,
  kRefusedTableFull,
  kRefusedUserFull,
  kRefusedLocked,
  kRefusedGroupFull,
  kRefusedBlacklisted,
  kReapedSessions,
  kReapedReservations,
  kReapedClaims,
  kHighWater,
  kParked,       // idle sessions whose seat was wanted
  kReturned,     // parked sessions that took a seat again
  kEvicted,      // sessions that gave way to a newer one of their user
  kFailedAuths,  // failed authentications counted
  // As the refusals, of logins that `observe` has let in.
  kWouldRefuseSiteFull,
  kWouldRefuseDrain,
  kWouldRefuseTableFull,
  kWouldRefuseUserFull,
  kWouldRefuseLocked,
  kWouldRefuseGroupFull,
  kWouldRefuseBlacklisted,
  kCounters
};
}  // namespace sessreg
