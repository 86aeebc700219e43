// A site whose sessions have no process, as web applications open them. All is done by the library's
// whole calls.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "ours.h"
#include "random.h"

namespace bench {

class DeviceSite {
 public:
  enum class By { device, nothing };  // what opens a session, besides its user
  // So many devices has a user whose devices are looked for.
  static constexpr std::array<unsigned, 3> kHoldings = {1, 10, 100};

  // A new registry with that limit and so many sessions, each of a user of its own; but for the last
  // ones, which are by the devices of `holders` users for each of kHoldings.
  DeviceSite(const std::string& path, std::uint32_t limit, std::uint32_t sessions, By by,
             unsigned holders);

  // Of a random user and, if by a device, a random one.
  bool admit(Random& random) {
    login_.user.resize(kDigits);
    put_hex(random.next(), login_.user.data());
    put_hex(random.next(), device_.data());
    return open(by_, device_);
  }
  // The one that was opened last.
  bool release() {
    const bool was_there = registry_.release(held_.back());
    held_.pop_back();
    return was_there;
  }
  // A random device of a random user who has kHoldings[holding] of them.
  bool find(std::size_t holding, Random& random);
  std::uint32_t count() { return registry_.count(); }

  // To be called in a worker: logins are its own.
  void become_worker() { login_.self = sessreg::self_id(); }

 private:
  static constexpr std::size_t kDigits = 16;

  bool open(By by, const std::string& device);

  const By by_;
  sessreg::Registry registry_;
  const sessreg::Terms terms_;
  AllAlive alive_;
  sessreg::Login login_;
  std::string device_;
  std::vector<sessreg::SlotRef> held_;
  const unsigned holders_;
  std::vector<std::string> device_names_;
};

}  // namespace bench
