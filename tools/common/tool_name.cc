#include "common/tool_name.h"

#include <string_view>

namespace sessreg {
namespace {

const char* called_by = kToolName;

}  // namespace

const char* tool_name() {
  return called_by;
}

void set_tool_name(const char* argv0) {
  std::string_view name(argv0 != nullptr ? argv0 : "");
  name.remove_prefix(name.rfind('/') + 1);  // npos + 1 is 0
  called_by = name == kUserToolName ? kUserToolName : kToolName;
}

}  // namespace sessreg
