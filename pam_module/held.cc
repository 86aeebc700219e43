#include "held.h"

#include <security/pam_ext.h>

#include <memory>
#include <new>

namespace sessreg {
namespace {

std::string data_name(std::string_view site) {
  return std::string("sessreg:").append(site);
}

// Whether `status`, with which a transaction ends, is an error. Some services put flags beside the
// code (systemd: PAM_SILENT).
bool is_error(int status) {
  const unsigned flags = PAM_DATA_REPLACE | PAM_DATA_SILENT | PAM_SILENT;
  const unsigned code = static_cast<unsigned>(status) & ~flags;
  return code != PAM_SUCCESS && code < _PAM_RETURN_VALUES;
}

extern "C" void clean_up_held(pam_handle_t* /*pamh*/, void* data, int status) noexcept {
  const std::unique_ptr<Held> held(static_cast<Held*>(data));
  if (held == nullptr || held->is_closed || (status & (PAM_DATA_REPLACE | PAM_DATA_SILENT)) != 0)
    return;
  if (held->seat.what != Seat::What::reservation && !is_error(status)) return;
  try {
    give_back(held->seat);
  } catch (const std::bad_alloc&) {
    // A reservation runs out by itself; a session ends with its processes.
  }
}

}  // namespace

const Held* get_held(pam_handle_t* pamh, std::string_view site) {
  const void* data = nullptr;
  if (pam_get_data(pamh, data_name(site).c_str(), &data) != PAM_SUCCESS) return nullptr;
  return static_cast<const Held*>(data);
}

bool set_held(pam_handle_t* pamh, std::string_view site, const Held& held) {
  auto copy = std::make_unique<Held>(held);
  if (pam_set_data(pamh, data_name(site).c_str(), copy.get(), clean_up_held) != PAM_SUCCESS)
    return false;
  static_cast<void>(copy.release());  // PAM's now
  return true;
}

}  // namespace sessreg
