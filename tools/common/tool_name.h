// The names the build gives the tool. X.Org has a sessreg of its own, so it may need another name.
#pragma once

namespace sessreg {

#ifndef SESSREG_TOOL_NAME
#define SESSREG_TOOL_NAME "sessreg"
#endif
#ifndef SESSREG_VERSION
#define SESSREG_VERSION "unknown"
#endif

inline constexpr const char* kToolName = SESSREG_TOOL_NAME;
inline constexpr const char* kVersion = SESSREG_VERSION;

}  // namespace sessreg
