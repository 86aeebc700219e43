#include "ours_tasks.h"

#include <stdexcept>

namespace bench {
namespace {

void require(bool worked, const char* what) {
  if (!worked) throw std::runtime_error(what);
}

class OurTask : public Task {
 public:
  OurTask(std::shared_ptr<Site> site, std::string name)
      : site_(std::move(site)), name_(std::move(name)), count_(site_->count()) {}
  std::string name() const override { return name_; }
  void attach() override { site_->become_worker(); }
  void check() override { require(site_->count() == count_, "a seat was lost, or is left over"); }

 protected:
  const std::shared_ptr<Site> site_;

 private:
  const std::string name_;
  const std::uint32_t count_;
};

class GatePair final : public OurTask {
 public:
  using OurTask::OurTask;
  void run(std::uint64_t iterations, Random& random) override {
    for (; iterations > 0; --iterations) {
      Site::Seat seat{};
      require(site_->take(random.key(), random.key(), seat), "not admitted");
      require(site_->give_up(seat), "not released");
    }
  }
};

class RegistryPair final : public OurTask {
 public:
  using OurTask::OurTask;
  void run(std::uint64_t iterations, Random&) override {
    for (; iterations > 0; --iterations) {
      require(site_->admit(), "not admitted");
      require(site_->release(), "not released");
    }
  }
};

class GateRefusal final : public OurTask {
 public:
  using OurTask::OurTask;
  void run(std::uint64_t iterations, Random&) override {
    for (; iterations > 0; --iterations)
      require(site_->is_full(), "not full");
  }
};

class Touch final : public OurTask {
 public:
  Touch(std::shared_ptr<Site> site, std::uint32_t sessions)
      : OurTask(std::move(site), "touch"), sessions_(sessions) {}
  void run(std::uint64_t iterations, Random& random) override {
    for (; iterations > 0; --iterations)
      require(site_->touch(random.below(sessions_), boottime_ms_ += 100), "not touched");
  }

 private:
  const std::uint32_t sessions_;
  std::uint64_t boottime_ms_ = 1'000'000;
};

class Scan final : public OurTask {
 public:
  using OurTask::OurTask;
  void run(std::uint64_t iterations, Random&) override {
    for (; iterations > 0; --iterations)
      require(site_->scan() != 0, "nothing read");
  }
};

}  // namespace

std::unique_ptr<Task> gate_pair(std::shared_ptr<Site> site, const std::string& name) {
  return std::make_unique<GatePair>(std::move(site), name);
}
std::unique_ptr<Task> registry_pair(std::shared_ptr<Site> site) {
  return std::make_unique<RegistryPair>(std::move(site), "sessreg, whole library call");
}
std::unique_ptr<Task> gate_refusal(std::shared_ptr<Site> site) {
  return std::make_unique<GateRefusal>(std::move(site), "refusal");
}
std::unique_ptr<Task> touch(std::shared_ptr<Site> site, std::uint32_t sessions) {
  return std::make_unique<Touch>(std::move(site), sessions);
}
std::unique_ptr<Task> scan(std::shared_ptr<Site> site) {
  return std::make_unique<Scan>(std::move(site), "scan");
}

}  // namespace bench
