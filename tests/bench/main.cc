// The benchmarks of the registry itself; bench_pam has those of the PAM module, bench_memory the
// allocations. Prints Markdown; progress goes to stderr.
#include <stdio.h>
#include <string.h>

#include <exception>

#include "machine.h"
#include "pairs.h"

int main(int argc, char** argv) {
  bench::Options options;
  for (int i = 1; i < argc; ++i) {
    if (strcmp(argv[i], "--quick") != 0) {
      fprintf(stderr, "usage: bench [--quick]\n");
      return 2;
    }
    options.quick = true;
  }
  try {
    bench::Goals goals;
    printf("%s\n", bench::machine_facts().c_str());
    bench::measure_pairs(options, goals);
    bench::measure_races(options, goals);
    goals.print();
    return 0;
  } catch (const std::exception& e) {
    fprintf(stderr, "bench: %s\n", e.what());
    return 1;
  }
}
