#include <lmdb.h>
#include <sys/stat.h>

#include <stdexcept>

#include "peers.h"

namespace bench {
namespace {

void must(int code) {
  if (code != MDB_SUCCESS) throw std::runtime_error(std::string("lmdb: ") + mdb_strerror(code));
}

class Lmdb final : public Task {
 public:
  explicit Lmdb(const Scale& scale)
      : path_(scale.directory + "/lmdb"), limit_(scale.limit), sessions_(scale.sessions) {
    open();
    MDB_txn* txn = nullptr;
    must(mdb_txn_begin(env_, nullptr, 0, &txn));
    must(mdb_dbi_open(txn, nullptr, 0, &sessions_dbi_));
    Random random(1);
    Record record;
    for (std::uint32_t i = 0; i < sessions_; ++i) {
      record.id = random.key();
      put(txn, record);
    }
    must(mdb_txn_commit(txn));
    close();  // an environment must not be taken through a fork
  }
  ~Lmdb() override { close(); }
  std::string name() const override { return "LMDB, NOSYNC + WRITEMAP"; }
  void attach() override { open(); }

  void run(std::uint64_t iterations, Random& random) override {
    Record record;
    for (; iterations > 0; --iterations) {
      record.id = random.key();
      record.user = random.key();
      MDB_txn* txn = nullptr;
      must(mdb_txn_begin(env_, nullptr, 0, &txn));
      if (count(txn) >= limit_) throw std::runtime_error("lmdb: not admitted");
      put(txn, record);
      must(mdb_txn_commit(txn));
      must(mdb_txn_begin(env_, nullptr, 0, &txn));
      MDB_val key{sizeof record.id, record.id.data()};
      must(mdb_del(txn, sessions_dbi_, &key, nullptr));
      must(mdb_txn_commit(txn));
    }
  }
  void check() override {
    open();
    MDB_txn* txn = nullptr;
    must(mdb_txn_begin(env_, nullptr, MDB_RDONLY, &txn));
    const std::size_t left = count(txn);
    mdb_txn_abort(txn);
    if (left != sessions_) throw std::runtime_error("lmdb: sessions lost");
  }
  bool is_cpu_bound(unsigned processes) const override { return processes == 1; }

 private:
  void open() {
    must(mdb_env_create(&env_));
    must(mdb_env_set_mapsize(env_, (16u << 20) + std::size_t{limit_} * 1024));
    must(mdb_env_open(env_, path_.c_str(), MDB_NOSUBDIR | MDB_NOSYNC | MDB_WRITEMAP, 0600));
    MDB_txn* txn = nullptr;
    must(mdb_txn_begin(env_, nullptr, MDB_RDONLY, &txn));
    must(mdb_dbi_open(txn, nullptr, 0, &sessions_dbi_));
    must(mdb_txn_commit(txn));
  }
  void close() {
    if (env_ != nullptr) mdb_env_close(env_);
    env_ = nullptr;
  }
  void put(MDB_txn* txn, Record& record) {
    MDB_val key{sizeof record.id, record.id.data()}, value{sizeof record, &record};
    must(mdb_put(txn, sessions_dbi_, &key, &value, MDB_NOOVERWRITE));
  }
  std::size_t count(MDB_txn* txn) const {
    MDB_stat stat{};
    must(mdb_stat(txn, sessions_dbi_, &stat));
    return stat.ms_entries;
  }

  const std::string path_;
  const std::uint32_t limit_, sessions_;
  MDB_env* env_ = nullptr;
  MDB_dbi sessions_dbi_ = 0;
};

}  // namespace

std::unique_ptr<Task> lmdb(const Scale& scale) {
  return std::make_unique<Lmdb>(scale);
}

}  // namespace bench
