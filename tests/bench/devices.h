// What a device key costs in the library: at a login, in a large table, and in looking for it.
#pragma once

#include <memory>
#include <string>

#include "device_site.h"
#include "effort.h"
#include "report.h"
#include "task.h"

namespace bench {

// One admitted, and released.
std::unique_ptr<Task> device_pair(std::shared_ptr<DeviceSite> site, const std::string& name);

// In the calling process, too.
void measure_devices(Effort effort, Goals& goals);

}  // namespace bench
