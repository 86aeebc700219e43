#include <sched.h>
#include <sqlite3.h>
#include <unistd.h>

#include <stdexcept>

#include "peers.h"

namespace bench {
namespace {

// Kinder to SQLite than its own handler, which sleeps for milliseconds.
int try_again(void*, int attempt) {
  if (attempt < 100)
    sched_yield();
  else
    usleep(50);
  return attempt < 200'000;
}

class Sqlite final : public Task {
 public:
  Sqlite(const Scale& scale, std::string journal)
      : path_(scale.directory + "/sqlite-" + journal),
        journal_(std::move(journal)),
        sessions_(scale.sessions) {
    open();
    execute("CREATE TABLE site(count INTEGER, seats INTEGER)");
    execute("CREATE TABLE session(id BLOB PRIMARY KEY, record BLOB) WITHOUT ROWID");
    execute("INSERT INTO site VALUES(" + std::to_string(sessions_) + ", " +
            std::to_string(scale.limit) + ")");
    prepare();
    execute("BEGIN");
    Random random(1);
    Record record;
    for (std::uint32_t i = 0; i < sessions_; ++i) {
      record.id = random.key();
      insert(record);
    }
    execute("COMMIT");
    close();
  }
  ~Sqlite() override { close(); }
  std::string name() const override { return "SQLite, synchronous=OFF, " + journal_; }
  void attach() override {
    open();
    prepare();
  }

  void run(std::uint64_t iterations, Random& random) override {
    Record record;
    for (; iterations > 0; --iterations) {
      record.id = random.key();
      record.user = random.key();
      step(begin_);
      step(take_seat_);
      if (sqlite3_changes(db_) != 1) throw std::runtime_error("sqlite: not admitted");
      insert(record);
      step(commit_);
      step(begin_);
      sqlite3_bind_blob(delete_, 1, record.id.data(), sizeof record.id, SQLITE_STATIC);
      step(delete_);
      if (sqlite3_changes(db_) != 1) throw std::runtime_error("sqlite: not released");
      step(give_seat_);
      step(commit_);
    }
  }
  void check() override {
    open();
    sqlite3_stmt* query = statement("SELECT count FROM site");
    if (sqlite3_step(query) != SQLITE_ROW ||
        sqlite3_column_int64(query, 0) != static_cast<sqlite3_int64>(sessions_))
      throw std::runtime_error("sqlite: sessions lost");
    sqlite3_finalize(query);
  }
  bool is_cpu_bound(unsigned processes) const override { return processes == 1; }

 private:
  [[noreturn]] void fail() const {
    throw std::runtime_error(std::string("sqlite: ") + sqlite3_errmsg(db_));
  }
  void open() {
    if (sqlite3_open(path_.c_str(), &db_) != SQLITE_OK) fail();
    sqlite3_busy_handler(db_, try_again, nullptr);
    execute("PRAGMA journal_mode=" + journal_);
    execute("PRAGMA synchronous=OFF");
    execute("PRAGMA cache_size=-65536");  // KiB, for each connection
  }
  void close() {
    for (sqlite3_stmt* each : {begin_, take_seat_, insert_, delete_, give_seat_, commit_})
      sqlite3_finalize(each);
    begin_ = take_seat_ = insert_ = delete_ = give_seat_ = commit_ = nullptr;
    sqlite3_close(db_);
    db_ = nullptr;
  }
  void execute(const std::string& sql) {
    if (sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) fail();
  }
  sqlite3_stmt* statement(const char* sql) {
    sqlite3_stmt* result = nullptr;
    if (sqlite3_prepare_v2(db_, sql, -1, &result, nullptr) != SQLITE_OK) fail();
    return result;
  }
  void prepare() {
    begin_ = statement("BEGIN IMMEDIATE");
    take_seat_ = statement("UPDATE site SET count = count + 1 WHERE count < seats");
    insert_ = statement("INSERT INTO session VALUES(?, ?)");
    delete_ = statement("DELETE FROM session WHERE id = ?");
    give_seat_ = statement("UPDATE site SET count = count - 1");
    commit_ = statement("COMMIT");
  }
  void step(sqlite3_stmt* statement) {
    if (sqlite3_step(statement) != SQLITE_DONE) fail();
    sqlite3_reset(statement);
  }
  void insert(const Record& record) {
    sqlite3_bind_blob(insert_, 1, record.id.data(), sizeof record.id, SQLITE_STATIC);
    sqlite3_bind_blob(insert_, 2, &record, sizeof record, SQLITE_STATIC);
    step(insert_);
  }

  const std::string path_, journal_;
  const std::uint32_t sessions_;
  sqlite3* db_ = nullptr;
  sqlite3_stmt *begin_ = nullptr, *take_seat_ = nullptr, *insert_ = nullptr, *delete_ = nullptr,
               *give_seat_ = nullptr, *commit_ = nullptr;
};

}  // namespace

std::unique_ptr<Task> sqlite(const Scale& scale, const std::string& journal) {
  return std::make_unique<Sqlite>(scale, journal);
}

}  // namespace bench
