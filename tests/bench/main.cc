// The benchmarks of the registry itself; bench_pam has those of the PAM module, bench_memory the
// allocations. Prints Markdown; progress goes to stderr.
#include <stdio.h>

#include <exception>

#include "effort.h"
#include "machine.h"
#include "pairs.h"

int main(int argc, char** argv) {
  const auto effort = bench::effort_of(argc, argv);
  if (!effort) {
    fprintf(stderr, "usage: bench [--quick | --smoke]\n");
    return 2;
  }
  try {
    bench::Goals goals;
    printf("%s\n", bench::machine_facts().c_str());
    bench::measure_pairs(*effort, goals);
    bench::measure_races(*effort, goals);
    goals.print();
    return 0;
  } catch (const std::exception& e) {
    fprintf(stderr, "bench: %s\n", e.what());
    return 1;
  }
}
