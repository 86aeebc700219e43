// The peers: other ways to admit against a limit, keep a record, and release. Each admits only
// while fewer than `limit` sessions exist, stores the 288 bytes of a Record by its id, and takes it
// away again. Files go to `directory`, which is on a tmpfs; `sessions` records are there already.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "task.h"

namespace bench {

struct Scale {
  std::string directory;
  std::uint32_t limit;
  std::uint32_t sessions;
};

// Boost.Interprocess: an unordered_map under an interprocess_mutex.
std::unique_ptr<Task> boost_map(const Scale& scale);
// LMDB with NOSYNC and WRITEMAP: one transaction to admit, one to release.
std::unique_ptr<Task> lmdb(const Scale& scale);
// SQLite with synchronous=OFF, counter row and rows of sessions.
std::unique_ptr<Task> sqlite(const Scale& scale, const std::string& journal);
// A Redis server on a private unix socket; a Lua script admits.
std::unique_ptr<Task> redis(const Scale& scale);
// A counter in a file under flock; keeps no record.
std::unique_ptr<Task> flock_counter(const Scale& scale);

// No peer but a floor: four CAS on two shared cache lines, and `written` bytes into a random slot.
std::unique_ptr<Task> pair_floor(const Scale& scale, std::uint32_t slots, std::size_t slot_bytes,
                                 std::size_t written);

}  // namespace bench
