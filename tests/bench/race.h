// Processes that log in at one instant, to see whether too many get in.
#pragma once

#include <functional>

namespace bench {

struct Contender {
  std::function<bool()> log_in;  // true: admitted
  std::function<void()> log_out;
};

struct Race {
  unsigned rounds = 0;
  unsigned over = 0;   // rounds that admitted more than there was room for
  unsigned under = 0;  // rounds that admitted fewer
};

// Forks that many processes, each with a contender of its own; each round all are let go together
// and there is room for `room`.
Race race(unsigned processes, unsigned rounds, unsigned room,
          const std::function<Contender(unsigned index)>& make_contender);

}  // namespace bench
