// The public keys of a site for those who verify many tokens.
//
// The file is opened and checked at each use, by the rules of key_files.h. It is read again only if it
// is another file than before, or was changed.
//
// Thread safety: none.
#pragma once

#include <sys/types.h>
#include <time.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "token/token.h"

namespace sessreg {

class KnownKeys {
 public:
  // The keys in the file with that path, retired ones too; valid until the next call. Only those of
  // the last file are kept. `now_s`: CLOCK_REALTIME. Errors as read_public_keys().
  Result<std::span<const PublicKey>> of(const std::string& path, std::int64_t now_s);

 private:
  // Two states of a file with the same identity have the same content, once its time of change has
  // passed: each write sets that time, whoever makes it.
  struct Identity {
    dev_t device = 0;
    ino_t inode = 0;
    off_t bytes = 0;
    timespec modified{};
    timespec changed{};
  };
  static bool is_same(const Identity& one, const Identity& other);

  Identity file_;
  std::vector<PublicKey> keys_;  // empty: none are known
};

}  // namespace sessreg
