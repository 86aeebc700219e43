#include "device_site.h"

#include <numeric>
#include <stdexcept>

namespace bench {
namespace {

using namespace sessreg;

Registry registry_at(const std::string& path, std::uint32_t capacity) {
  auto registry = Registry::open_or_create(path, *host_identity(), capacity);
  if (!registry) throw std::runtime_error(registry.error().what);
  return std::move(*registry);
}

std::string holder(std::size_t holding, unsigned index) {
  return "holder " + std::to_string(holding) + " " + std::to_string(index);
}

}  // namespace

DeviceSite::DeviceSite(const std::string& path, std::uint32_t limit, std::uint32_t sessions, By by,
                       unsigned holders)
    : by_(by),
      registry_(registry_at(path, limit)),
      terms_(ConfiguredLimit{1, static_cast<std::int32_t>(limit)}),
      device_(kDigits, '0'),
      holders_(holders) {
  registry_.publish_limit(registry_.published_limit(), terms_.site);
  login_.service = "shop";
  login_.host = "192.0.2.7";
  login_.tty = "Firefox";
  login_.no_process = true;
  become_worker();
  const auto require = [&](bool opened) {
    if (!opened) throw std::runtime_error("cannot fill " + path);
  };
  for (unsigned i = 0; i < kHoldings.back(); ++i)
    device_names_.push_back("device " + std::to_string(i));
  const unsigned held = holders * std::accumulate(kHoldings.begin(), kHoldings.end(), 0u);
  Random random(limit);
  for (std::uint32_t i = held; i < sessions; ++i)
    require(admit(random));
  for (std::size_t holding = 0; holding < kHoldings.size(); ++holding) {
    for (unsigned i = 0; i < holders; ++i) {
      login_.user = holder(holding, i);
      for (unsigned device = 0; device < kHoldings[holding]; ++device)
        require(open(By::device, device_names_[device]));
    }
  }
  held_.clear();
}

bool DeviceSite::open(By by, const std::string& device) {
  if (by == By::device)
    login_.device = device;
  else
    login_.device.clear();
  const Admission admission = registry_.admit(login_, terms_, alive_);
  if (admission.admitted()) held_.push_back(admission.ref);
  return admission.admitted();
}

bool DeviceSite::find(std::size_t holding, Random& random) {
  login_.user = holder(holding, random.below(holders_));
  login_.device = device_names_[random.below(kHoldings[holding])];
  return registry_.find_device(login_).has_value();
}

}  // namespace bench
