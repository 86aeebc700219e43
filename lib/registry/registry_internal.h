// What the files of Registry share: an admission and a search under way. Internal to lib/.
#pragma once

#include <array>
#include <optional>
#include <vector>

#include "registry/registry.h"

namespace sessreg {

// A session whose seat may be wanted by another.
struct Registry::Candidate {
  Victim victim;
  SlotRef ref;
  std::uint64_t last_activity_ms;
  std::uint64_t opened_ms;
  std::uint64_t groups;
  bool idle;
};

struct Registry::Attempt {
  const Login& login;
  RecordKind kind;
  const Terms& terms;
  const Processes& processes;
  std::uint64_t ends_ms;
  bool dry_run = false;

  Rules rules{};
  std::optional<SlotRef> claim{};
  bool searched_table = false;
  bool searched_user = false;
  bool locked = false;
  unsigned evictions_tried = 0;
  std::vector<Candidate> idle{};  // of the whole table, stalest first
  std::vector<Candidate> own{};   // the user's sessions, stalest first
  Admission result{};
};

struct Registry::Search {
  const Processes& processes;
  std::uint64_t now_ms;
  // What the idle are looked for with; nullptr: only the dead are looked for.
  const Terms* terms = nullptr;
  const UserHash* user = nullptr;  // only this user's sessions, idle or not
  std::vector<Candidate>* ret = nullptr;

  struct Look {
    Snapshot session;
    bool parked;
  };
  struct Leaderless {
    std::uint32_t slot;
    StateWord state;
    pid_t leader;
  };

  Reaped reaped{};
  bool found_dead = false;  // whether or not somebody else was quicker to free it
  bool clock_was_set = false;
  std::uint64_t next_change_ms = ~std::uint64_t{0};
  std::vector<Look> looks{};
  std::array<Leaderless, 64> leaderless{};
  std::size_t leaderless_count = 0;
};

}  // namespace sessreg
