// A private directory on a tmpfs, which goes with the object in the process that made it.
#pragma once

#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <stdexcept>
#include <string>

namespace bench {

class TmpfsDir {
 public:
  TmpfsDir() {
    if (const char* parent = getenv("SESSREG_BENCH_DIR")) path_ = parent + std::string("/XXXXXX");
    if (mkdtemp(path_.data()) == nullptr) throw std::runtime_error("mkdtemp " + path_);
  }
  ~TmpfsDir() {
    if (getpid() != owner_) return;
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TmpfsDir(const TmpfsDir&) = delete;
  TmpfsDir& operator=(const TmpfsDir&) = delete;

  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  const pid_t owner_ = getpid();
  std::string path_ = "/dev/shm/sessreg-bench-XXXXXX";
};

}  // namespace bench
