// "Kill at every instruction": one operation of the registry, run by a child that is killed after
// step k, for every k until it completes; and in a second form stopped after step k, while others
// work, and then let go on.
//
// What is tried is a Trial. It knows nothing of ptrace, and explore() nothing of the registry:
// Scenes (gate_scene.h, registry_scene.h) make Trials of their rows of operations.
//
// Both forms demand, of every k:
//   1. The scene's invariants hold, seen by another process than the killed one.
//   2. An operation happens at once: how much of it has happened never goes down with k, is nothing
//      at k = 0 and all of it at the end.
//   3. Recovery gives back what the dead process held, and the scene fills up exactly to its limit.
//
// With SESSREG_THOROUGH=1 that is so. By default the points are those that differ: a kill leaves
// the shared memory and the files, and nothing else, so it is tried after each step that changed
// the memory and on both sides of each system call; who is stopped has besides read what it has
// read, so that is tried before each access to the memory, with each form of others in turn.
//
// Where an operation is long, or does not access the memory where it is watched, the points are all
// steps that changed it and all system calls, each with the step before it, and some kBetween at
// equal distances in between; by default, again, with others in turn.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

// An operation of more steps than this is long.
inline constexpr std::size_t kEveryStep = 3000;
inline constexpr std::size_t kBetween = 40;

// A demand was not met. The text says which.
class Broken : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// What the others do while the child stands still.
enum class Others {
  fill,   // take every seat that is left, and keep them
  churn,  // come and go through every operation, and leave all as it was
  rival,  // do the child's own operation on the same object, where the row has such a thing
};
const char* text(Others others);

struct Trial {
  std::string name;
  std::function<void()> prepare;  // a fresh scene
  std::function<void()> enter;    // the child, untraced
  std::function<int()> act;       // the child, traced. 1: done; 0: refused, or too late
  int complete = 1;               // what look() returns when all has happened
  // False: what the child meets after step k differs from child to child (records lie at random
  // places), so that of demand 2 only the beginning and the end can be held.
  bool same_way = true;
  // Checks the invariants as they are, `child` being alive or dead but not recovered. Returns how
  // much of the operation has happened.
  std::function<int(pid_t child)> look;
  // After a death: recovers, and checks all that a full recovery promises.
  std::function<void(pid_t child)> recover;
  std::vector<Others> others;
  std::function<void(Others, pid_t child)> work;
  // After the child went on and finished, before recover(). result: of act.
  std::function<void(Others, int result, int happened)> settle_accounts;
  std::span<const std::byte> watched;  // the shared memory
  bool in_place = false;               // the child accesses it at that very address
};

// What was tried of one operation.
struct Tally {
  std::string name;
  std::size_t steps = 0;
  std::size_t kills = 0;
  std::size_t stops = 0;
  std::size_t astray = 0;      // of these, not exactly after step k: see child_after()
  std::size_t happens_at = 0;  // the first k after which all of it had happened; 0: not known
  const char* points = "";
  bool is_complete = false;  // no point was left out that differs from all others
};

// Throws Broken, its text beginning with the name of the operation and the step.
Tally explore(const Trial& trial);

// All tallies of this run, for the table at its end.
std::vector<Tally>& all_tallies();
void print_table(const std::vector<Tally>& tallies);
