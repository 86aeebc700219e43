// Forked processes that do slices of tasks, let go together.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "task.h"

namespace bench {

struct Slice {
  double ns = 0;    // from the first start to the last end, a iteration of each worker
  double lost = 0;  // the largest share of a core's time that the workers on it did not get
};

class Workers {
 public:
  // Forks; the tasks MUST be set up. `directory`: its mappings are faulted in.
  Workers(unsigned count, const Tasks& tasks, const std::string& directory);
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  // The first `processes` workers do `iterations` each.
  Slice run(std::size_t task, unsigned processes, std::uint64_t iterations);

 private:
  struct Worker {
    pid_t pid;
    int socket;
  };
  [[noreturn]] void serve(unsigned index, int socket, const Tasks& tasks,
                          const std::string& directory);
  void wait_for_others(unsigned processes, std::uint32_t turn) const;

  const Tasks& tasks_;
  std::atomic<std::uint32_t>* arrived_;  // shared; counts up for ever
  std::uint32_t turn_ = 0;               // what it must reach
  std::vector<Worker> workers_;
};

}  // namespace bench
