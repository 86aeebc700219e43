// What a registry does besides: refuse, mark activity, be read as a whole.
#pragma once

#include <memory>
#include <string>

#include "ours.h"
#include "report.h"
#include "rounds.h"
#include "task.h"

namespace bench {

class Singles {
 public:
  // Adds its tasks to `tasks`; before the workers are forked.
  Singles(std::shared_ptr<Site> site, const std::string& directory, std::uint32_t n,
          std::uint32_t sessions, Tasks& tasks);

  void measure(Workers& workers, const RoundOptions& options);
  void print(const Tasks& tasks, Goals& goals) const;
  // Measures and prints Registry::reserve on full sites. Not in rounds: once in a while a call
  // searches for the dead, so what tells is the mean over seconds.
  void print_whole_refusals(double seconds);

 private:
  const std::uint32_t n_;
  const std::shared_ptr<Site> site_, small_full_, full_;
  std::size_t first_task_;
  Rounds rounds_;
};

}  // namespace bench
