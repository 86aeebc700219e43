#include "rounds.h"

#include <algorithm>
#include <cstdint>

#include "machine.h"

namespace bench {
namespace {

constexpr double kLostTooMuch = 0.05;
constexpr unsigned kTries = 3;
constexpr std::size_t kFewest = 15;  // rounds that a median needs

// So many iterations that a slice lasts about that long. Warms up on the way.
std::uint64_t calibrate(Workers& workers, std::size_t task, unsigned processes, double slice_ns) {
  std::uint64_t iterations = 1;
  for (;;) {
    const double slice = workers.run(task, processes, iterations).ns;
    const double took_ns = slice * static_cast<double>(iterations);
    if (took_ns > slice_ns / 2)
      return std::max<std::uint64_t>(1, static_cast<std::uint64_t>(slice_ns / slice));
    iterations *= took_ns < slice_ns / 20 ? 8 : 2;
  }
}

}  // namespace

RoundOptions rounds_of(Effort effort) {
  switch (effort) {
    case Effort::smoke:
      return {1, 0.1, 0};
    case Effort::quick:
      return {15, 3, 5};
    case Effort::full:
      break;
  }
  return {31, 10, 15};
}

Spread spread_of(std::vector<double> values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  const std::size_t n = values.size();
  return {(values[(n - 1) / 2] + values[n / 2]) / 2, values.front(), values.back()};
}

Spread Rounds::ratio(std::size_t contestant, std::size_t to) const {
  std::vector<double> ratios;
  for (std::size_t round = 0; round < ns[contestant].size(); ++round)
    ratios.push_back(ns[contestant][round] / ns[to][round]);
  return spread_of(ratios);
}

Rounds run_rounds(Workers& workers, const std::vector<std::size_t>& contestants, unsigned processes,
                  const RoundOptions& options) {
  // Where workers share a core, a slice must hold many turns of the scheduler.
  const double slice_ns = options.slice_ms * (processes > cores() ? 3e6 : 1e6);
  std::vector<std::uint64_t> iterations;
  iterations.reserve(contestants.size());
  for (const std::size_t task : contestants)
    iterations.push_back(calibrate(workers, task, processes, slice_ns));

  const std::uint64_t began_ns = wall_ns();
  const auto in_time = [&] {
    return static_cast<double>(wall_ns() - began_ns) < options.patience_s * 1e9;
  };
  Rounds result;
  std::vector<std::vector<double>> quiet, noisy;  // [round][contestant]
  while (quiet.size() < options.rounds &&
         (in_time() || quiet.size() + noisy.size() < options.rounds)) {
    wait_for_idle_machine();
    const std::size_t n = contestants.size(), round = quiet.size() + noisy.size();
    std::vector<double> ns(n);
    bool lost = false;
    for (std::size_t turn = 0; turn < n; ++turn) {
      const std::size_t i = (turn + round) % n;
      Slice slice = workers.run(contestants[i], processes, iterations[i]);
      for (unsigned tried = 1; slice.lost > kLostTooMuch && tried < kTries && in_time(); ++tried) {
        ++result.repeated;
        slice = workers.run(contestants[i], processes, iterations[i]);
      }
      ns[i] = slice.ns;
      lost |= slice.lost > kLostTooMuch;
    }
    (lost ? noisy : quiet).push_back(std::move(ns));
  }
  if (quiet.size() < kFewest) {
    result.noisy = static_cast<unsigned>(noisy.size());
    quiet.insert(quiet.end(), noisy.begin(), noisy.end());
  }
  result.ns.resize(contestants.size());
  for (const auto& ns : quiet)
    for (std::size_t i = 0; i < ns.size(); ++i)
      result.ns[i].push_back(ns[i]);
  return result;
}

}  // namespace bench
