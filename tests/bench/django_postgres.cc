// The server refuses to run as root: it runs as the user that Debian's package makes for it.
#include <fcntl.h>
#include <grp.h>
#include <libpq-fe.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <stdexcept>
#include <vector>

#include "server.h"
#include "web_peers.h"

namespace bench {
namespace {

constexpr const char* kVersions = "/usr/lib/postgresql";
constexpr const char* kUser = "postgres";

// Where the programs of the newest version are; unset: nowhere.
std::optional<std::string> programs() {
  std::optional<std::string> newest;
  std::error_code none;
  for (const auto& version : std::filesystem::directory_iterator(kVersions, none)) {
    const std::string its = version.path() / "bin";
    if (access((its + "/initdb").c_str(), X_OK) == 0 &&
        access((its + "/postgres").c_str(), X_OK) == 0)
      newest = std::max(newest, std::optional(its));
  }
  return newest;
}

// A directory of the server's own, which root can look into.
std::string directory_for(const passwd& user, const std::string& parent) {
  // The name is needed to get through, and who has it finds nothing that is for others.
  std::string path = parent + "/postgres";
  if (chmod(parent.c_str(), 0711) != 0 || mkdir(path.c_str(), 0700) != 0 ||
      chown(path.c_str(), user.pw_uid, user.pw_gid) != 0)
    throw std::runtime_error("cannot make " + path);
  return path;
}

// In a process that was forked for it.
[[noreturn]] void become(const passwd& user, const std::vector<std::string>& command) {
  if (setgroups(0, nullptr) == 0 && setgid(user.pw_gid) == 0 && setuid(user.pw_uid) == 0 &&
      chdir("/") == 0) {
    prctl(PR_SET_PDEATHSIG, SIGQUIT);  // which setuid takes away
    const int null = open("/dev/null", O_RDWR);
    dup2(null, STDIN_FILENO);
    dup2(null, STDOUT_FILENO);
    std::vector<char*> arguments;
    for (const std::string& word : command)
      arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    execv(arguments[0], arguments.data());
  }
  _exit(127);
}

void run_as(const passwd& user, const std::vector<std::string>& command) {
  const pid_t pid = fork();
  if (pid < 0) throw std::runtime_error("fork");
  if (pid == 0) become(user, command);
  int status = 0;
  if (waitpid(pid, &status, 0) != pid || status != 0)
    throw std::runtime_error("postgres: " + command[0] + " failed");
}

using Reply = std::unique_ptr<PGresult, decltype(&PQclear)>;

class DjangoPostgres final : public Task {
 public:
  DjangoPostgres(const Scale& scale, const std::string& bin, const passwd& user)
      : directory_(directory_for(user, scale.directory)),
        limit_(scale.limit),
        sessions_(scale.sessions) {
    const std::string data = directory_ + "/data";
    run_as(user, {bin + "/initdb", "-D", data, "-A", "trust", "-U", kUser, "-E", "UTF8",
                  "--locale=C", "--no-sync"});
    // At once, with its shared memory given back.
    server_.emplace(
        [&] {
          become(user,
                 {bin + "/postgres", "-D", data, "-k", directory_, "-c", "listen_addresses=", "-c",
                  "unix_socket_permissions=0700", "-c", "fsync=off", "-c", "synchronous_commit=off",
                  "-c", "full_page_writes=off", "-c", "log_min_messages=panic"});
        },
        SIGQUIT);
    connect();
    execute(std::string("CREATE TABLE django_session(") + kSessionColumns +
            " timestamptz NOT NULL)");
    prepare();
    execute("CREATE INDEX ON django_session(expire_date)");
    execute("CREATE INDEX ON django_session(session_key varchar_pattern_ops)");
    execute("BEGIN");
    Random random(1);
    for (std::uint32_t i = 0; i < sessions_; ++i) {
      session_.draw(random);
      insert();
    }
    execute("COMMIT");
    execute("VACUUM ANALYZE django_session");
    disconnect();
  }
  ~DjangoPostgres() override { disconnect(); }
  std::string name() const override { return "PostgreSQL: lock, count, insert; delete"; }
  void attach() override {
    connect();
    prepare();
  }

  // The lock makes the count exact: each statement of a transaction sees what was committed before it
  // began, so the count sees all that was put by whoever had the lock before.
  void run(std::uint64_t iterations, Random& random) override {
    for (; iterations > 0; --iterations) {
      session_.draw(random);
      execute("BEGIN; SELECT pg_advisory_xact_lock(1)");
      if (count() >= limit_) throw std::runtime_error("postgres: not admitted");
      insert();
      execute("COMMIT");
      if (atoi(PQcmdTuples(call("delete", {&session_.key}).get())) != 1)
        throw std::runtime_error("postgres: not released");
    }
  }
  void check() override {
    attach();
    if (count() != sessions_) throw std::runtime_error("postgres: sessions lost");
  }
  bool is_cpu_bound(unsigned) const override { return false; }

 private:
  void connect() {
    const std::string where = "host=" + directory_ + " dbname=postgres user=" + kUser;
    for (int tried = 0; tried < 500; ++tried, usleep(10'000)) {
      connection_ = PQconnectdb(where.c_str());
      if (PQstatus(connection_) == CONNECTION_OK) break;
      if (tried == 499) fail();
      disconnect();
    }
  }
  void prepare() {
    prepare("count", "SELECT count(*) FROM django_session WHERE expire_date > now()");
    prepare("insert", "INSERT INTO django_session VALUES($1, $2, $3)");
    prepare("delete", "DELETE FROM django_session WHERE session_key = $1");
  }
  void disconnect() {
    PQfinish(connection_);
    connection_ = nullptr;
  }
  [[noreturn]] void fail() const {
    throw std::runtime_error(std::string("postgres: ") + PQerrorMessage(connection_));
  }
  Reply checked(PGresult* result) const {
    Reply reply(result, PQclear);
    const ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) fail();
    return reply;
  }
  void execute(const std::string& sql) { checked(PQexec(connection_, sql.c_str())); }
  void prepare(const char* name, const char* sql) {
    checked(PQprepare(connection_, name, sql, 0, nullptr));
  }
  Reply call(const char* name, std::initializer_list<const std::string*> values) {
    std::vector<const char*> texts;
    for (const std::string* value : values)
      texts.push_back(value->c_str());
    return checked(PQexecPrepared(connection_, name, static_cast<int>(texts.size()), texts.data(),
                                  nullptr, nullptr, 0));
  }
  std::uint32_t count() {
    return static_cast<std::uint32_t>(atoi(PQgetvalue(call("count", {}).get(), 0, 0)));
  }
  void insert() { call("insert", {&session_.key, &session_.data, &session_.expires}); }

  const std::string directory_;
  const std::uint32_t limit_, sessions_;
  std::optional<Server> server_;
  WebSession session_;
  PGconn* connection_ = nullptr;
};

}  // namespace

std::unique_ptr<Task> django_postgres(const Scale& scale) {
  const auto bin = programs();
  const passwd* const user = getpwnam(kUser);
  if (!bin || user == nullptr || geteuid() != 0) return nullptr;
  return std::make_unique<DjangoPostgres>(scale, *bin, *user);
}

}  // namespace bench
