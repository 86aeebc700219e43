#include "toy_server.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <stdexcept>
#include <vector>

#include "../support/catch.h"

namespace toy {

using namespace sessreg::varlink;
using sessreg::Fd;

namespace {

constexpr int kPatience_ms = 30'000;

class ToyService final : public Service {
 public:
  explicit ToyService(sd_event* loop) : loop_(loop) {}
  void set_server(const Server& server) { server_ = &server; }

  std::string_view interface_name() const override { return "org.example.Toy"; }
  std::string_view description() const override {
    return "interface org.example.Toy\nmethod Echo(text: string) -> (text: string)\n";
  }

  void call(const Call& call, Exchange& exchange) override {
    const std::string_view member = call.member;
    if (member == "Echo") {
      const Parameters parameters(call, {"text"});
      exchange.reply({{"text", parameters.string("text")}});
    } else if (member == "Formatted") {
      exchange.reply_formatted("{\"text\":\"ready made\"}");
    } else if (member == "Later") {
      later(call, exchange);
    } else if (member == "Hold") {
      exchange.on_close([this] { ++closed_; });
      held_.push_back(exchange);
    } else if (member == "Forget") {
    } else if (member == "ForgetLater") {
      auto kept = std::make_shared<Exchange>(exchange);
      after(10, [kept]() mutable { kept.reset(); });
    } else if (member == "Throw") {
      throw std::runtime_error("a fault");
    } else if (member == "Refuse") {
      throw CallError("org.example.Toy.Refused", {{"why", "because"}});
    } else if (member == "Who") {
      const Peer& peer = exchange.peer();
      exchange.reply({{"uid", peer.uid}, {"gid", peer.gid}, {"pid", peer.pid}});
    } else if (member == "Stats") {
      exchange.reply({{"connections", server_->connections()},
                      {"bytes", server_->buffered_bytes()},
                      {"closed", closed_},
                      {"steps", steps_},
                      {"watchers", watchers_.size()}});
    } else if (member == "Note") {
      notes_ += Parameters(call, {"text"}).string("text");
      exchange.reply();
    } else if (member == "Notes") {
      exchange.reply({{"text", notes_}});
    } else if (member == "Big") {
      const auto bytes = Parameters(call, {"bytes"}).optional_integer("bytes");
      exchange.reply({{"text", std::string(static_cast<std::size_t>(bytes.value_or(0)), 'x')}});
    } else if (member == "Count") {
      const auto to = Parameters(call, {"to"}).optional_integer("to").value_or(0);
      exchange.stream(
          [i = std::int64_t{0}, to](bool& ret_last) mutable -> std::optional<std::string> {
            if (to == 0) return std::nullopt;
            ret_last = ++i == to;
            return Json{{"i", i}}.dump();
          });
    } else if (member == "CountThenFail") {
      exchange.stream([i = 0](bool&) mutable -> std::optional<std::string> {
        if (i == 3) throw CallError("org.example.Toy.Refused");
        return Json{{"i", i++}}.dump();
      });
    } else if (member == "Endless") {
      exchange.stream([](bool&) { return Json{{"text", std::string(1000, 'x')}}.dump(); });
    } else if (member == "Watch") {
      watchers_.push_back(exchange);
    } else if (member == "Shout") {
      const auto bytes = Parameters(call, {"bytes"}).optional_integer("bytes").value_or(1);
      const std::string event =
          Json{{"text", std::string(static_cast<std::size_t>(bytes), 'x')}}.dump();
      std::erase_if(watchers_, [&](Exchange& watcher) { return !watcher.push_formatted(event); });
      exchange.reply({{"heard", watchers_.size()}});
    } else if (member == "Climb") {
      climb(call, exchange);
    } else if (member == "Burn") {
      burn(Parameters(call, {"us"}).optional_integer("us").value_or(0));
      exchange.reply({{"burnt", burnt_++}});
    } else {
      throw method_not_found(call.method);
    }
  }

 private:
  void climb(const Call& call, Exchange& exchange) {
    const auto steps = Parameters(call, {"steps", "fail", "text"}).optional_integer("steps");
    exchange.go_on([this, exchange, to = steps.value_or(1),
                    taken = std::int64_t{0}](const Call& again) mutable {
      const Parameters parameters(again, {"steps", "fail", "text"});
      ++steps_;
      if (++taken < to) return;
      if (parameters.boolean("fail", false)) throw CallError("org.example.Toy.Refused");
      exchange.reply({{"taken", taken}, {"bytes", parameters.string("text").size()}});
    });
  }
  static void burn(std::int64_t us) {
    const auto used_us = [] {
      timespec used{};
      clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
      return used.tv_sec * 1'000'000 + used.tv_nsec / 1000;
    };
    for (const auto began_us = used_us(); used_us() - began_us < us;) {
    }
  }
  void later(const Call& call, Exchange& exchange) {
    const Parameters parameters(call, {"ms", "text"});
    after(parameters.optional_integer("ms").value_or(0),
          [exchange, text = std::string(parameters.string("text"))]() mutable {
            exchange.reply({{"text", text}});
          });
  }
  void after(std::int64_t ms, std::function<void()> work) {
    auto* kept = new std::function<void()>(std::move(work));
    const auto done = [](sd_event_source* source, std::uint64_t, void* its) {
      const std::unique_ptr<std::function<void()>> its_work(
          static_cast<std::function<void()>*>(its));
      (*its_work)();
      sd_event_source_disable_unref(source);
      return 0;
    };
    sd_event_source* source = nullptr;
    sd_event_add_time_relative(loop_, &source, CLOCK_MONOTONIC,
                               static_cast<std::uint64_t>(ms) * 1000, 1, done, kept);
  }

  sd_event* loop_;
  const Server* server_ = nullptr;
  std::vector<Exchange> held_, watchers_;
  std::string notes_;
  long closed_ = 0, steps_ = 0, burnt_ = 0;
};

int serve(Fd socket, const Limits& limits) {
  sd_event* loop = nullptr;
  if (sd_event_new(&loop) < 0) return 1;
  ToyService service(loop);
  Server server(loop, {"Example", "Toy", "1", "https://example.org"}, {}, limits);
  service.set_server(server);
  server.add(service);
  if (server.listen(std::move(socket))) return 1;
  return sd_event_loop(loop);
}

}  // namespace

ToyServer::ToyServer(Limits limits, std::function<void()> prepare)
    : path_(directory_ / "toy.sock") {
  raise_descriptor_limit();
  auto socket = make_listening_socket(path_, 0666);
  if (!socket) throw std::runtime_error(socket.error().what);
  child_ = std::make_unique<Child>([&] {
    if (prepare) prepare();
    return serve(std::move(*socket), limits);
  });
}

void ToyServer::stop() const {
  int status = 0;
  kill(pid(), SIGSTOP);
  if (waitpid(pid(), &status, WUNTRACED) != pid() || !WIFSTOPPED(status))
    throw std::runtime_error("the server does not stop");
}

void ToyServer::run() const {
  kill(pid(), SIGCONT);
}

Json ToyServer::call(std::string_view member, const Json& parameters) const {
  ClientOptions options;
  options.timeout = std::chrono::milliseconds(kPatience_ms);
  Client client = Client::connect(path_, options);
  const Reply reply = client.call("org.example.Toy." + std::string(member),
                                  parameters.is_null() ? Json::object() : parameters);
  if (!reply.error.empty()) throw std::runtime_error(std::string(reply.error));
  return reply.json();
}

bool ToyServer::eventually(const std::function<bool(const ToyServer&)>& so) const {
  for (int waited_ms = 0; waited_ms < kPatience_ms; waited_ms += 10) {
    if (so(*this)) return true;
    usleep(10'000);
  }
  return false;
}

AsUser::AsUser(uid_t uid) {
  if (seteuid(uid) != 0) throw std::runtime_error("seteuid");
}
AsUser::~AsUser() {
  if (seteuid(0) != 0) abort();
}

bool is_root(const char* what) {
  if (getuid() == 0) return true;
  WARN("not root, so this was not tried: " << what);
  return false;
}

std::string toy_call(std::string_view member, const Json& parameters, CallFlags flags) {
  std::string message;
  append_call(message, "org.example.Toy." + std::string(member),
              parameters.is_null() ? Json::object() : parameters, flags);
  return message;
}

RawPeer::RawPeer(const std::string& path) : socket_(socket(AF_UNIX, SOCK_STREAM, 0)) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  memcpy(address.sun_path, path.data(), path.size());
  if (connect(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    throw std::runtime_error("connect: " + std::string(strerror(errno)));
}

std::size_t RawPeer::send_some(std::string_view bytes) const {
  std::size_t all = 0;
  while (all < bytes.size()) {
    const ssize_t sent =
        ::send(socket_.get(), bytes.data() + all, bytes.size() - all, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0) break;
    all += static_cast<std::size_t>(sent);
  }
  return all;
}

bool RawPeer::send(std::string_view bytes) const {
  while (true) {
    bytes.remove_prefix(send_some(bytes));
    if (bytes.empty()) return true;
    if (errno != EAGAIN) return false;
    pollfd wait{socket_.get(), POLLOUT, 0};
    if (poll(&wait, 1, kPatience_ms) != 1) return false;
  }
}

std::optional<std::string> RawPeer::receive() {
  while (true) {
    if (const auto nul = buffer_.find('\0'); nul != std::string::npos) {
      std::string message = buffer_.substr(0, nul);
      buffer_.erase(0, nul + 1);
      return message;
    }
    pollfd wait{socket_.get(), POLLIN, 0};
    if (poll(&wait, 1, kPatience_ms) != 1) {
      FAIL_CHECK("neither an answer nor an end came");
      return std::nullopt;
    }
    std::string piece(64 << 10, '\0');
    const ssize_t got = recv(socket_.get(), piece.data(), piece.size(), 0);
    if (got <= 0) return std::nullopt;
    buffer_.append(piece, 0, static_cast<std::size_t>(got));
  }
}

Json RawPeer::receive_json() {
  const auto message = receive();
  return message ? Json::parse(*message) : Json{{"error", "closed"}};
}

void RawPeer::end_sending() const {
  shutdown(socket_.get(), SHUT_WR);
}

}  // namespace toy
