// How lines of a PAM stack are put in order: which line of which file to move, add or write anew, so
// that whoever does it to the letter has a stack that works. A jump counts the lines of its own
// substack, so it changes with what it skips; lines that are included are edited in their own file.
//
// All entries are of one type. Each function returns one line of text.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sessreg/lint/pam_stacks.h"

namespace sessreg {

// Entry `own`, or a new line, moves before entry `other`, and before what jumps in between.
// `line`: the new one, as it is written; `own` unset. `file`: whose line it is, or shall be.
std::string mend_before(const std::vector<PamEntry>& entries, std::optional<std::size_t> own,
                        std::size_t other, const std::string& file, const std::string& line);

// An authfail line, `own` or a new one, stands directly behind entry `password`, the last that
// authenticates. The success of all that authenticate skips it, and pam_deny behind it.
// `is_second`: `password` is asked besides what has authenticated already, so that one that does not
// concern the user lets pass.
std::string mend_authfail(const std::vector<PamEntry>& entries, std::optional<std::size_t> own,
                          std::size_t password, const std::string& line, bool is_second = false);

}  // namespace sessreg
