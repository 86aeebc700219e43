// The refusals as the C API names them: its column of the table in registry/refusal.h.
#pragma once

#include <array>

#include "capi/sessreg.h"
#include "registry/refusal.h"

namespace sessreg::capi {

struct RefusalCode {
  Refusal refusal;
  int code;
  const char* text;
};
inline constexpr std::array kRefusalCodes = std::to_array<RefusalCode>({
    {Refusal::none, SESSREG_OK, "done"},
    {Refusal::site_full, SESSREG_SITE_FULL, "refused: all seats are taken"},
    {Refusal::drain, SESSREG_DRAIN, "refused: nobody new is admitted"},
    {Refusal::user_full, SESSREG_USER_FULL, "refused: the user has no seat left"},
    {Refusal::locked, SESSREG_USER_LOCKED,
     "refused: the user's older session is too new to give way"},
    {Refusal::group_full, SESSREG_GROUP_FULL, "refused: the group has no seat left"},
    {Refusal::table_full, SESSREG_TABLE_FULL, "refused: the table of sessions is full"},
    {Refusal::blacklisted, SESSREG_BLACKLISTED,
     "refused: the host failed to authenticate too often"},
});
static_assert(has_row_for_each(kRefusalCodes, Refusal::none));

constexpr int code_of(Refusal refusal) {
  return kRefusalCodes[static_cast<std::size_t>(refusal)].code;
}

}  // namespace sessreg::capi
