#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <stdexcept>

#include "peers.h"

namespace bench {
namespace {

class FlockCounter final : public Task {
 public:
  explicit FlockCounter(const Scale& scale)
      : path_(scale.directory + "/counter"), limit_(scale.limit), sessions_(scale.sessions) {
    attach();
    write(sessions_);
  }
  ~FlockCounter() override { close(fd_); }
  std::string name() const override { return "flock'ed counter file (no records)"; }
  // A lock belongs to the open file, so each worker opens it.
  void attach() override {
    if (fd_ >= 0) close(fd_);
    fd_ = open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd_ < 0) throw std::runtime_error("open " + path_);
  }

  void run(std::uint64_t iterations, Random&) override {
    for (; iterations > 0; --iterations) {
      change(+1);
      change(-1);
    }
  }
  void check() override {
    if (read() != sessions_) throw std::runtime_error("flock: sessions lost");
  }
  bool is_cpu_bound(unsigned processes) const override { return processes == 1; }

 private:
  std::uint32_t read() const {
    std::uint32_t count = 0;
    if (pread(fd_, &count, sizeof count, 0) != sizeof count) throw std::runtime_error("pread");
    return count;
  }
  void write(std::uint32_t count) const {
    if (pwrite(fd_, &count, sizeof count, 0) != sizeof count) throw std::runtime_error("pwrite");
  }
  void change(int by) {
    while (flock(fd_, LOCK_EX) != 0) {
    }
    const std::uint32_t count = read();
    if (by > 0 && count >= limit_) throw std::runtime_error("flock: not admitted");
    write(count + static_cast<std::uint32_t>(by));
    flock(fd_, LOCK_UN);
  }

  const std::string path_;
  const std::uint32_t limit_, sessions_;
  int fd_ = -1;
};

}  // namespace

std::unique_ptr<Task> flock_counter(const Scale& scale) {
  return std::make_unique<FlockCounter>(scale);
}

}  // namespace bench
