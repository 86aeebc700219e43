#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <stdexcept>

#include "peers.h"

namespace bench {
namespace {

// Debian's redis-tools has the server under the name of one of its other programs; what it does
// goes by argv[0].
constexpr const char* kPrograms[] = {"/usr/bin/redis-server", "/usr/bin/redis-check-rdb"};

constexpr const char* kAdmit =
    "if redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[1]) then return 0 end "
    "return redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])";

// One server, ended with the object by the process that started it.
class Server {
 public:
  explicit Server(const std::string& directory)
      : owner_(getpid()), socket_(directory + "/redis.socket"), pid_(fork()) {
    if (pid_ < 0) throw std::runtime_error("fork");
    if (pid_ != 0) return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    const int null = open("/dev/null", O_RDWR);
    for (const int fd : {0, 1, 2})
      dup2(null, fd);
    for (const char* program : kPrograms)
      execl(program, "redis-server", "--port", "0", "--unixsocket", socket_.c_str(),
            "--unixsocketperm", "700", "--save", "", "--appendonly", "no", "--dir",
            directory.c_str(), "--daemonize", "no", nullptr);
    _exit(127);
  }
  ~Server() {
    if (getpid() != owner_) return;  // a worker
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  const std::string& socket() const { return socket_; }

 private:
  const pid_t owner_;
  const std::string socket_;
  const pid_t pid_;
};

class Redis final : public Task {
 public:
  explicit Redis(const Scale& scale)
      : server_(scale.directory), limit_(std::to_string(scale.limit)), sessions_(scale.sessions) {
    connect();
    Random random(1);
    Record record;
    constexpr std::uint32_t kBatch = 500;
    for (std::uint32_t i = 0; i < sessions_;) {
      const std::uint32_t batch = std::min(kBatch, sessions_ - i);
      for (std::uint32_t k = 0; k < batch; ++k) {
        record.id = random.key();
        redisAppendCommand(connection_, "HSET s %b %b", record.id.data(), sizeof record.id, &record,
                           sizeof record);
      }
      for (std::uint32_t k = 0; k < batch; ++k)
        answer();
      i += batch;
    }
    disconnect();
  }
  ~Redis() override { disconnect(); }
  std::string name() const override { return "Redis 7, Lua, unix socket"; }
  void attach() override { connect(); }

  void run(std::uint64_t iterations, Random& random) override {
    Record record;
    for (; iterations > 0; --iterations) {
      record.id = random.key();
      record.user = random.key();
      redisAppendCommand(connection_, "EVALSHA %s 1 s %s %b %b", script_.c_str(), limit_.c_str(),
                         record.id.data(), sizeof record.id, &record, sizeof record);
      if (answer() != 1) throw std::runtime_error("redis: not admitted");
      redisAppendCommand(connection_, "HDEL s %b", record.id.data(), sizeof record.id);
      if (answer() != 1) throw std::runtime_error("redis: not released");
    }
  }
  void check() override {
    connect();
    redisAppendCommand(connection_, "HLEN s");
    if (answer() != sessions_) throw std::runtime_error("redis: sessions lost");
  }
  bool is_cpu_bound(unsigned) const override { return false; }

 private:
  void connect() {
    for (int attempt = 0; attempt < 500; ++attempt, usleep(10'000)) {
      connection_ = redisConnectUnix(server_.socket().c_str());
      if (connection_ != nullptr && connection_->err == 0) break;
      disconnect();
    }
    if (connection_ == nullptr) throw std::runtime_error("redis: no server");
    auto* loaded = static_cast<redisReply*>(redisCommand(connection_, "SCRIPT LOAD %s", kAdmit));
    if (loaded == nullptr || loaded->type != REDIS_REPLY_STRING)
      throw std::runtime_error("redis: SCRIPT LOAD");
    script_.assign(loaded->str, loaded->len);
    freeReplyObject(loaded);
  }
  void disconnect() {
    if (connection_ != nullptr) redisFree(connection_);
    connection_ = nullptr;
  }
  long long answer() {
    void* reply = nullptr;
    if (redisGetReply(connection_, &reply) != REDIS_OK || reply == nullptr)
      throw std::runtime_error("redis: connection lost");
    auto* read = static_cast<redisReply*>(reply);
    const long long value = read->type == REDIS_REPLY_INTEGER ? read->integer : -1;
    freeReplyObject(read);
    return value;
  }

  Server server_;
  const std::string limit_;
  const std::uint32_t sessions_;
  redisContext* connection_ = nullptr;
  std::string script_;
};

}  // namespace

std::unique_ptr<Task> redis(const Scale& scale) {
  return std::make_unique<Redis>(scale);
}

}  // namespace bench
