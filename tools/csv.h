// Sessions as CSV (RFC 4180): a header line, lines end in CR LF, names as in the JSON. Texts are
// escaped as for a terminal; one that begins with = + - or @ gets a ' before it, as spreadsheets
// would take it for a formula. What JSON has as null is empty.
#pragma once

#include <string>
#include <vector>

#include "views.h"

namespace sessreg {

std::string sessions_csv(const std::vector<Session>& sessions);
std::string users_csv(const std::vector<UserView>& users);

}  // namespace sessreg
