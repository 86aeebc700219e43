// Small files that decide whom to trust: opened distrustfully, written whole or not at all.
//
// Rules this file keeps:
//   1. The directory MUST belong to root or to the caller, and nobody else may be able to write to
//      it, before anything in it is made or believed.
//   2. What is checked is the opened file, not its name; opening never blocks or follows a link.
//   3. A file MUST be complete, and on the disk, before it has its name. A writer that fails leaves
//      nothing behind; one that is killed leaves at most a hidden file that its successor removes.
//   4. No descriptor may be inherited by a program that is started (O_CLOEXEC), nor outlive its
//      object: login services fork without exec.
//
// Thread safety: functions keep no state.
#pragma once

#include <sys/stat.h>

#include <span>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "base/result.h"

namespace sessreg {

// A file's place, with its directory open.
struct KeyPlace {
  Fd directory;
  std::string directory_path;
  std::string name;
  std::string shown;  // the path, escaped for the terminal
};

// `make`: a missing directory is made (0755), not its parents. Errors: not_found,
// permission_denied, insecure_file, no_space, system.
Result<KeyPlace> open_key_place(const std::string& path, bool make);

struct OpenedFile {
  Fd fd;
  struct stat status {};
};

// Opens a regular file that root or the caller owns and whose mode has none of `forbidden_mode`.
// Errors: not_found, permission_denied, insecure_file, system.
Result<OpenedFile> open_key_file(const KeyPlace& at, mode_t forbidden_mode);

// Reads to the end of the file; more than fits is an error (bad_key). Returns how many bytes.
Result<std::size_t> read_key_file(const OpenedFile& file, const std::string& shown,
                                  std::span<char> ret);

// Makes a file that must not exist: of several makers one wins, and the others get already_exists.
// Further errors: permission_denied, no_space, unsupported_fs, system.
Result<bool> make_key_file(const KeyPlace& at, std::string_view content, mode_t mode);

// Writes a hidden file beside it; its name is returned. One of an earlier writer is removed, so
// only one may write at a time.
Result<std::string> write_successor(const KeyPlace& at, std::string_view content, mode_t mode);
// Puts it in the place of `at`, and removes it if that fails.
Result<bool> put_in_place(const KeyPlace& at, const std::string& successor);
void remove_successor(const KeyPlace& at, const std::string& successor);

}  // namespace sessreg
