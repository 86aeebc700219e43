// The machine: its cores, its clocks, and what can be said of it in a report.
#pragma once

#include <cstdint>
#include <string>

namespace bench {

unsigned cores();
void pin_to_core(unsigned core);  // the calling process; cores beyond the last wrap around

std::uint64_t wall_ns();
std::uint64_t cpu_ns();  // of the calling thread

// Returns when nobody else wants to run, or after a tenth of a second.
void wait_for_idle_machine();

// Faults in every page of each mapping whose file lies in that directory, so that no contestant is
// charged for the first touch of a page.
void populate_mappings(const std::string& directory);

// One line each: processor, cores, kernel, compiler.
std::string machine_facts();

}  // namespace bench
