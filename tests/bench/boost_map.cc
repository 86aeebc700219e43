#include <boost/interprocess/allocators/allocator.hpp>
#include <boost/interprocess/managed_mapped_file.hpp>
#include <boost/interprocess/sync/interprocess_mutex.hpp>
#include <boost/interprocess/sync/scoped_lock.hpp>
#include <boost/unordered_map.hpp>
#include <stdexcept>

#include "peers.h"

namespace bench {
namespace {

namespace ipc = boost::interprocess;

struct HashKey {
  std::size_t operator()(const Key& key) const { return key[0]; }  // random already
};
using Allocator =
    ipc::allocator<std::pair<const Key, Record>, ipc::managed_mapped_file::segment_manager>;
using Map = boost::unordered_map<Key, Record, HashKey, std::equal_to<Key>, Allocator>;
using Lock = ipc::scoped_lock<ipc::interprocess_mutex>;

class BoostMap final : public Task {
 public:
  explicit BoostMap(const Scale& scale)
      : path_(scale.directory + "/boost"), limit_(scale.limit), sessions_(scale.sessions) {
    const std::size_t bytes = (16u << 20) + std::size_t{scale.limit} * 512;
    file_ = ipc::managed_mapped_file(ipc::create_only, path_.c_str(), bytes);
    mutex_ = file_.construct<ipc::interprocess_mutex>("mutex")();
    map_ = file_.construct<Map>("map")(scale.limit, HashKey(), std::equal_to<Key>(),
                                       Allocator(file_.get_segment_manager()));
    Random random(1);
    Record record;
    for (std::uint32_t i = 0; i < sessions_; ++i) {
      record.id = random.key();
      map_->emplace(record.id, record);
    }
  }
  std::string name() const override { return "Boost mutex + unordered_map"; }

  // The mapping comes with the fork, as does a pointer into it.
  void run(std::uint64_t iterations, Random& random) override {
    Record record;
    for (; iterations > 0; --iterations) {
      record.id = random.key();
      record.user = random.key();
      {
        Lock lock(*mutex_);
        if (map_->size() >= limit_ || !map_->emplace(record.id, record).second)
          throw std::runtime_error("boost: not admitted");
      }
      Lock lock(*mutex_);
      if (map_->erase(record.id) != 1) throw std::runtime_error("boost: not released");
    }
  }
  void check() override {
    if (map_->size() != sessions_) throw std::runtime_error("boost: sessions lost");
  }
  bool is_cpu_bound(unsigned processes) const override { return processes == 1; }

 private:
  const std::string path_;
  const std::size_t limit_, sessions_;
  ipc::managed_mapped_file file_;
  ipc::interprocess_mutex* mutex_;
  Map* map_;
};

}  // namespace

std::unique_ptr<Task> boost_map(const Scale& scale) {
  return std::make_unique<BoostMap>(scale);
}

}  // namespace bench
