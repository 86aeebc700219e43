// Sites, and what the library says of itself.
#include <unistd.h>

#include <memory>

#include "capi/arguments.h"
#include "capi/boundary.h"
#include "capi/handles.h"
#include "capi/refusal_codes.h"

using namespace sessreg;        // NOLINT
using namespace sessreg::capi;  // NOLINT

static_assert(SESSREG_VERSION == SESSREG_PROJECT_VERSION, "sessreg.h is of another version");

const char* sessreg_strerror(int code) {
  for (const RefusalCode& refusal : kRefusalCodes)
    if (refusal.code == code) return refusal.text;
  switch (code) {
    case SESSREG_EINVAL:
      return "an argument is wrong";
    case SESSREG_EUNSUPPORTED:
      return "not known to this version of the library";
    case SESSREG_EFORKED:
      return "made by the parent process";
    case SESSREG_ESTATE:
      return "not in this state of the session";
    case SESSREG_ENOMEM:
      return "out of memory";
    case SESSREG_ECONFIG:
      return "unusable configuration";
    case SESSREG_EREGISTRY:
      return "unusable registry";
    case SESSREG_EPERMISSION:
      return "permission denied";
    case SESSREG_ENOSPACE:
      return "no space left";
    case SESSREG_EKEY:
      return "no usable public key";
    case SESSREG_ESYSTEM:
      return "system call failed";
    case SESSREG_NO_SESSION:
      return "no such session";
    case SESSREG_REVOKED:
      return "the session was revoked";
    case SESSREG_EXPIRED:
      return "expired";
    case SESSREG_BAD_TOKEN:
      return "not a valid token";
    default:
      return "unknown code";
  }
}

int sessreg_version(void) {
  return SESSREG_VERSION;
}

int sessreg_open(const char* name, const char* conf_file, sessreg_site** ret_site,
                 sessreg_error* error) {
  if (ret_site != nullptr) *ret_site = nullptr;
  return guarded(error, [&]() -> Answer {
    if (auto fault = fault_of_pointer(ret_site, "ret_site")) return *fault;
    if (name == nullptr) name = "default";
    if (auto fault = fault_of_site(name, conf_file)) return *fault;
    auto site =
        std::make_unique<sessreg_site>(sessreg_site{getpid(), name, text_or_empty(conf_file)});
    if (const auto config = site->read_config(); !config)
      return answer_of(config.error(), SESSREG_ECONFIG);
    *ret_site = site.release();
    return {};
  });
}

void sessreg_site_free(sessreg_site* site) {
  const Undisturbed undisturbed;
  delete site;
}
