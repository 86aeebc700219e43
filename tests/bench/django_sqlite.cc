#include <sqlite3.h>

#include <stdexcept>

#include "web_peers.h"

namespace bench {
namespace {

class DjangoSqlite final : public Task {
 public:
  explicit DjangoSqlite(const Scale& scale)
      : path_(scale.directory + "/django.sqlite"), limit_(scale.limit), sessions_(scale.sessions) {
    open();
    execute("PRAGMA journal_mode=WAL");
    execute(std::string("CREATE TABLE django_session(") + kSessionColumns + " datetime NOT NULL)");
    execute("CREATE INDEX django_session_expire_date ON django_session(expire_date)");
    prepare();
    execute("BEGIN");
    Random random(1);
    for (std::uint32_t i = 0; i < sessions_; ++i) {
      session_.draw(random);
      insert();
    }
    execute("COMMIT");
    close();
  }
  ~DjangoSqlite() override { close(); }
  std::string name() const override { return "SQLite, WAL: count, insert; delete"; }
  void attach() override {
    open();
    prepare();
  }

  void run(std::uint64_t iterations, Random& random) override {
    for (; iterations > 0; --iterations) {
      session_.draw(random);
      step(begin_);
      if (count() >= limit_) throw std::runtime_error("django in sqlite: not admitted");
      insert();
      step(commit_);
      bind(delete_, 1, session_.key);
      step(delete_);
      if (sqlite3_changes(db_) != 1) throw std::runtime_error("django in sqlite: not released");
    }
  }
  void check() override {
    open();
    prepare();
    if (count() != sessions_) throw std::runtime_error("django in sqlite: sessions lost");
  }

 private:
  [[noreturn]] void fail() const {
    throw std::runtime_error(std::string("django in sqlite: ") + sqlite3_errmsg(db_));
  }
  void open() {
    if (sqlite3_open(path_.c_str(), &db_) != SQLITE_OK) fail();
    execute("PRAGMA synchronous=OFF");
    execute("PRAGMA cache_size=-65536");  // KiB
  }
  void close() {
    for (sqlite3_stmt* each : {begin_, count_, insert_, commit_, delete_})
      sqlite3_finalize(each);
    begin_ = count_ = insert_ = commit_ = delete_ = nullptr;
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
    count_ = statement("SELECT count(*) FROM django_session WHERE expire_date > CURRENT_TIMESTAMP");
    insert_ = statement("INSERT INTO django_session VALUES(?, ?, ?)");
    commit_ = statement("COMMIT");
    delete_ = statement("DELETE FROM django_session WHERE session_key = ?");
  }
  void bind(sqlite3_stmt* statement, int at, const std::string& text) {
    sqlite3_bind_text(statement, at, text.data(), static_cast<int>(text.size()), SQLITE_STATIC);
  }
  void step(sqlite3_stmt* statement) {
    if (sqlite3_step(statement) != SQLITE_DONE) fail();
    sqlite3_reset(statement);
  }
  std::uint32_t count() {
    if (sqlite3_step(count_) != SQLITE_ROW) fail();
    const auto live = static_cast<std::uint32_t>(sqlite3_column_int64(count_, 0));
    sqlite3_reset(count_);
    return live;
  }
  void insert() {
    bind(insert_, 1, session_.key);
    bind(insert_, 2, session_.data);
    bind(insert_, 3, session_.expires);
    step(insert_);
  }

  const std::string path_;
  const std::uint32_t limit_, sessions_;
  WebSession session_;
  sqlite3* db_ = nullptr;
  sqlite3_stmt *begin_ = nullptr, *count_ = nullptr, *insert_ = nullptr, *commit_ = nullptr,
               *delete_ = nullptr;
};

}  // namespace

std::unique_ptr<Task> django_sqlite(const Scale& scale) {
  return std::make_unique<DjangoSqlite>(scale);
}

}  // namespace bench
