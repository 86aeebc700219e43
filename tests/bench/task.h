// What is measured: one kind of work, set up in the parent and done in forked workers.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "random.h"

namespace bench {

class Task {
 public:
  virtual ~Task() = default;

  virtual std::string name() const = 0;
  // In each worker, once after the fork: for what must not be shared (connections, locks).
  virtual void attach() {}
  // Does it that often; throws if it did not work.
  virtual void run(std::uint64_t iterations, Random& random) = 0;
  // In the parent, after all rounds: throws if anything was lost or is left over.
  virtual void check() {}
  // Whether that many processes at it never sleep. Only then does missing processor time tell of
  // neighbours.
  virtual bool is_cpu_bound(unsigned /*processes*/) const { return true; }
};

using Tasks = std::vector<std::unique_ptr<Task>>;

}  // namespace bench
