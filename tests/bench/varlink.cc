// Round trips over a unix stream socket: a method of a Varlink server against a bare echo server.
// Prints Markdown.
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <exception>
#include <stdexcept>
#include <string>
#include <vector>

#include "fd.h"
#include "machine.h"
#include "report.h"
#include "rounds.h"
#include "tmpfs_dir.h"
#include "varlink_server.h"
#include "varlink_write.h"

namespace bench {
namespace {

using namespace sessreg::varlink;
using sessreg::Fd;

// The parameters are a token's size.
constexpr std::size_t kTextBytes = 400;

class Toy final : public Service {
 public:
  std::string_view interface_name() const override { return "org.example.Toy"; }
  std::string_view description() const override { return "interface org.example.Toy\n"; }
  void call(const Call& call, Exchange& exchange) override {
    const Parameters parameters(call, {"text"});
    answer_.assign("{\"text\":\"").append(parameters.string("text")).append("\"}");
    exchange.reply_formatted(answer_);
  }

 private:
  std::string answer_;
};

void serve_varlink(Fd listening) {
  sd_event* loop = nullptr;
  if (sd_event_new(&loop) < 0) return;
  Toy toy;
  Server server(loop, {"Example", "Toy", "1", ""}, {});
  server.add(toy);
  if (server.listen(std::move(listening))) return;
  sd_event_loop(loop);
}

// One connection, blocking: as little as a server can do.
void serve_echo(Fd listening) {
  const int flags = 0;
  const Fd peer([&] {
    int fd = -1;
    while ((fd = accept4(listening.get(), nullptr, nullptr, flags)) < 0)
      usleep(1000);
    return fd;
  }());
  std::vector<char> buffer(64 << 10);
  while (true) {
    const ssize_t got = recv(peer.get(), buffer.data(), buffer.size(), 0);
    if (got <= 0) return;
    if (send(peer.get(), buffer.data(), static_cast<std::size_t>(got), MSG_NOSIGNAL) != got) return;
  }
}

// One that can have several: it waits by epoll, as every server must that has more than one peer.
void serve_epoll_echo(Fd listening) {
  const Fd poller(epoll_create1(EPOLL_CLOEXEC));
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = listening.get();
  epoll_ctl(poller.get(), EPOLL_CTL_ADD, listening.get(), &event);
  std::vector<char> buffer(64 << 10);
  while (epoll_wait(poller.get(), &event, 1, -1) >= 0) {
    const int fd = event.data.fd;
    if (fd == listening.get()) {
      epoll_event added{};
      added.events = EPOLLIN;
      added.data.fd = accept4(fd, nullptr, nullptr, SOCK_NONBLOCK);
      epoll_ctl(poller.get(), EPOLL_CTL_ADD, added.data.fd, &added);
      continue;
    }
    const ssize_t got = recv(fd, buffer.data(), buffer.size(), 0);
    if (got <= 0) return;
    if (send(fd, buffer.data(), static_cast<std::size_t>(got), MSG_NOSIGNAL) != got) return;
  }
}

class Contestant {
 public:
  Contestant(const char* name, const std::string& path, void (*serve)(Fd)) : name_(name) {
    auto listening = make_listening_socket(path, 0600);
    if (!listening) throw std::runtime_error(listening.error().what);
    pid_ = fork();
    if (pid_ < 0) throw std::runtime_error("fork");
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      pin_to_core(1);
      serve(std::move(*listening));
      _exit(1);
    }
    socket_ = Fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    memcpy(address.sun_path, path.data(), path.size());
    if (connect(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
      throw std::runtime_error("connect");
    append_call(message_, "org.example.Toy.Echo", {{"text", std::string(kTextBytes, 'x')}});
  }
  ~Contestant() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  Contestant(const Contestant&) = delete;
  Contestant& operator=(const Contestant&) = delete;
  const char* name() const { return name_; }

  // Nanoseconds a round trip.
  double run(unsigned trips) {
    const std::uint64_t began_ns = wall_ns();
    for (unsigned i = 0; i < trips; ++i) {
      if (send(socket_.get(), message_.data(), message_.size(), MSG_NOSIGNAL) < 0)
        throw std::runtime_error(std::string(name_) + ": cannot send");
      std::size_t all = 0;
      do {
        const ssize_t got = recv(socket_.get(), answer_ + all, sizeof answer_ - all, 0);
        if (got <= 0) throw std::runtime_error(std::string(name_) + ": no answer");
        all += static_cast<std::size_t>(got);
      } while (answer_[all - 1] != '\0');
      if (all < kTextBytes) throw std::runtime_error(std::string(name_) + ": a short answer");
    }
    return static_cast<double>(wall_ns() - began_ns) / trips;
  }

 private:
  const char* name_;
  pid_t pid_ = -1;
  Fd socket_;
  std::string message_;
  char answer_[4096];
};

void measure(bool quick) {
  const TmpfsDir dir;
  Contestant ours("**Varlink server**", dir.path() + "/varlink", serve_varlink);
  Contestant epoll("echo, epoll and non-blocking", dir.path() + "/epoll", serve_epoll_echo);
  Contestant blocking("echo, one connection, blocking", dir.path() + "/echo", serve_echo);
  const std::vector<Contestant*> all = {&ours, &epoll, &blocking};
  pin_to_core(0);
  const unsigned trips = 2000;
  Rounds rounds;
  rounds.ns.resize(all.size());
  for (Contestant* each : all)
    each->run(trips);  // warm
  for (unsigned round = 0; round < (quick ? 31u : 101u); ++round) {
    wait_for_idle_machine();
    for (std::size_t turn = 0; turn < all.size(); ++turn) {
      const std::size_t i = (turn + round) % all.size();
      rounds.ns[i].push_back(all[i]->run(trips));
    }
  }
  printf(
      "Round trips of one call with %zu bytes of text, client and server on a core each (%zu "
      "rounds of %u):\n\n",
      kTextBytes, rounds.ns[0].size(), trips);
  print_head({"server", "a round trip", "speed of ours / its"});
  for (std::size_t i = 0; i < all.size(); ++i)
    print_row({all[i]->name(), time_text(rounds.absolute(i).median),
               i == 0 ? "" : ratio_text(rounds.ratio(i, 0))});
  printf("\n");
  Goals goals;
  goals.at_least("round trips a second / of a bare echo server", rounds.ratio(2, 0), 0.8);
  goals.print();
}

}  // namespace
}  // namespace bench

int main(int argc, char** argv) {
  const bool quick = argc == 2 && strcmp(argv[1], "--quick") == 0;
  if (argc > 1 && !quick) {
    fprintf(stderr, "usage: bench_varlink [--quick]\n");
    return 2;
  }
  try {
    bench::measure(quick);
    return 0;
  } catch (const std::exception& e) {
    fprintf(stderr, "bench_varlink: %s\n", e.what());
    return 1;
  }
}
