// Tokens and the daemon: marks of activity against a signature's verification and a bare echo
// server, marks a second, how soon a killed session's seat is free, and what a crowd costs. Prints
// Markdown.
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <exception>
#include <fstream>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/fd.h"
#include "config/config.h"
#include "crowd.h"
#include "effort.h"
#include "machine.h"
#include "report.h"
#include "rounds.h"
#include "server.h"
#include "session/activity.h"
#include "tmpfs_dir.h"
#include "token/token_key.h"
#include "token/token_verify.h"
#include "varlink/server.h"
#include "varlink/write.h"

namespace bench {
namespace {

using namespace sessreg;
using varlink::append_call;

// A site whose sessions are this process's, each with its token.
class TokenSite {
 public:
  explicit TokenSite(unsigned sessions) {
    std::ofstream(conf()) << "registry = " << dir_ / "site.reg"
                          << "\nkey_file = " << dir_ / "site.key"
                          << "\ncapacity = 4096\n";
    config_ = *load_config("default", conf());
    auto key = load_or_make_key(config_.key_file);
    if (!key) throw std::runtime_error(key.error().what);
    key_.emplace(std::move(*key));
    auto registry = Registry::open_or_create(config_.registry, *host_identity(), 4096);
    if (!registry) throw std::runtime_error(registry.error().what);
    registry_.emplace(std::move(*registry));
    registry_->publish_limit(registry_->published_limit(), limit());
    registry_->set_token_maker([this](const RecordImage& record, std::uint32_t slot) {
      return *token_for(record, slot, "default", "somebody", *key_);
    });
    for (unsigned i = 0; i < sessions; ++i) {
      const Admission opened = open();
      tokens_.push_back(opened.token);
      slots_.push_back(opened.ref.slot);
    }
  }

  std::string conf() const { return dir_ / "site.conf"; }
  std::string socket() const { return dir_ / "socket"; }
  std::string path(const char* name) const { return dir_ / name; }
  const Config& config() const { return config_; }
  Registry& registry() { return *registry_; }
  const SigningKey& key() const { return *key_; }
  const std::vector<std::string>& tokens() const { return tokens_; }
  std::uint32_t slot(std::size_t i) const { return slots_[i]; }

  // One more, of the calling process.
  Admission open() {
    Login login;
    login.user = "somebody";
    login.uid = getuid();
    login.service = "sshd";
    login.self = self_id();
    login.parent = parent_id();
    Admission opened = registry_->admit(login, Terms(limit()), processes_);
    if (!opened.admitted()) throw std::runtime_error("the site is full");
    return opened;
  }

 private:
  ConfiguredLimit limit() const { return {config_.identity, config_.sessions_limit}; }

  TmpfsDir dir_;
  Config config_;
  std::optional<SigningKey> key_;
  std::optional<Registry> registry_;
  SystemProcesses processes_;
  std::vector<std::string> tokens_;
  std::vector<std::uint32_t> slots_;
};

// One connection, blocking: as little as a server can do.
void serve_echo(int listening) {
  const Fd peer(accept4(listening, nullptr, nullptr, SOCK_CLOEXEC));
  std::vector<char> buffer(64 << 10);
  for (;;) {
    const ssize_t got = recv(peer.get(), buffer.data(), buffer.size(), 0);
    if (got <= 0) return;
    if (send(peer.get(), buffer.data(), static_cast<std::size_t>(got), MSG_NOSIGNAL) != got) return;
  }
}

// One that can have several: it waits by epoll, as every server must that has more than one peer.
void serve_epoll_echo(int listening) {
  const Fd poller(epoll_create1(EPOLL_CLOEXEC));
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = listening;
  epoll_ctl(poller.get(), EPOLL_CTL_ADD, listening, &event);
  std::vector<char> buffer(64 << 10);
  while (epoll_wait(poller.get(), &event, 1, -1) >= 0) {
    const int fd = event.data.fd;
    if (fd == listening) {
      epoll_event added{};
      added.events = EPOLLIN;
      added.data.fd = accept4(fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      epoll_ctl(poller.get(), EPOLL_CTL_ADD, added.data.fd, &added);
      continue;
    }
    const ssize_t got = recv(fd, buffer.data(), buffer.size(), 0);
    if (got <= 0) return;
    if (send(fd, buffer.data(), static_cast<std::size_t>(got), MSG_NOSIGNAL) != got) return;
  }
}

// Nanoseconds a round trip of that message, which is to be answered by `expected` (empty: itself).
double round_trip_ns(int fd, const std::string& message, const std::string& expected,
                     unsigned trips) {
  const std::uint64_t began_ns = wall_ns();
  std::string answer;
  for (unsigned i = 0; i < trips; ++i) {
    send_all(fd, message);
    answer = receive(fd);
    if (answer.size() != (expected.empty() ? message : expected).size())
      throw std::runtime_error("another answer: " + answer);
  }
  return static_cast<double>(wall_ns() - began_ns) / trips;
}

double mean_ns(unsigned times, const std::function<void(unsigned)>& each) {
  const std::uint64_t began_ns = wall_ns();
  for (unsigned i = 0; i < times; ++i)
    each(i);
  return static_cast<double>(wall_ns() - began_ns) / times;
}

void measure_digest(TokenSite& site, unsigned rounds, Goals& goals) {
  fprintf(stderr, "marks and signatures\n");
  const std::vector<PublicKey> keys = {site.key().public_key()};
  const std::int64_t now_s = now().realtime_ms / 1000;
  const std::size_t n = site.tokens().size();
  SystemProcesses processes;
  std::uint64_t later_ms = boottime_ms();
  Rounds result;
  result.ns.resize(3);
  for (unsigned round = 0; round < rounds; ++round) {
    wait_for_idle_machine();
    result.ns[0].push_back(mean_ns(2000, [&](unsigned i) {
      later_ms += 1;
      const auto digest = site.registry().token_digest(site.tokens()[i % n]);
      const Marked marked = mark_activity(site.registry(), site.config(), site.slot(i % n), digest,
                                          processes, later_ms);
      if (marked.what != Marked::What::marked) throw std::runtime_error("not marked");
    }));
    result.ns[1].push_back(mean_ns(100, [&](unsigned i) {
      if (!verify_token(site.tokens()[i % n], keys, "default", now_s))
        throw std::runtime_error("not verified");
    }));
    result.ns[2].push_back(mean_ns(100, [&](unsigned i) {
      site.key();
      TokenClaims claims{"default", "somebody", {}, now_s, now_s + 1000, i};
      if (!issue_token(site.key(), claims)) throw std::runtime_error("not issued");
    }));
  }
  printf("Tokens, 1 process (%u rounds, %zu sessions):\n\n", rounds, n);
  print_head({"what", "time", "ratio to the mark"});
  const char* names[] = {"**mark by a token's digest** (hash, comparison, checks, store)",
                         "verification of the token (Ed25519, base64url, JSON, claims)",
                         "issue of a token, the key loaded"};
  for (std::size_t i = 0; i < 3; ++i)
    print_row({names[i], time_text(result.absolute(i).median),
               i == 0 ? "" : ratio_text(result.ratio(i, 0))});
  printf("\n");
  goals.at_least("verification / mark by digest", result.ratio(1, 0), 50);
}

void measure_round_trips(TokenSite& site, unsigned rounds, unsigned trips, Goals& goals) {
  fprintf(stderr, "round trips\n");
  auto epoll_listening = varlink::make_listening_socket(site.path("epoll"), 0600);
  auto echo_listening = varlink::make_listening_socket(site.path("echo"), 0600);
  if (!epoll_listening || !echo_listening) throw std::runtime_error("cannot listen");
  const Server epoll([&] {
    pin_to_core(1);
    serve_epoll_echo(epoll_listening->get());
  });
  const Server echo([&] {
    pin_to_core(1);
    serve_echo(echo_listening->get());
  });
  const Fd connections[] = {connect_to(site.socket()), connect_to(site.path("epoll")),
                            connect_to(site.path("echo"))};
  std::string message, answer;
  append_call(message, "org.sessreg.Sessions.Touch", {{"token", site.tokens()[0]}});
  varlink::append_reply(answer, varlink::Json::object());
  Rounds result;
  result.ns.resize(3);
  for (unsigned round = 0; round <= rounds; ++round) {
    wait_for_idle_machine();
    for (std::size_t turn = 0; turn < 3; ++turn) {
      const std::size_t i = (turn + round) % 3;
      const double ns = round_trip_ns(connections[i].get(), message, i == 0 ? answer : "", trips);
      if (round > 0) result.ns[i].push_back(ns);  // the first is to warm up
    }
  }
  printf(
      "One mark a message of %zu bytes, client and server on a core each (%u rounds of %u round "
      "trips):\n\n",
      message.size(), rounds, trips);
  print_head({"server", "a round trip", "speed of sessregd / its"});
  const char* names[] = {"**sessregd, Touch**", "echo, epoll and non-blocking",
                         "echo, one connection, blocking"};
  for (std::size_t i = 0; i < 3; ++i)
    print_row({names[i], time_text(result.absolute(i).median),
               i == 0 ? "" : ratio_text(result.ratio(i, 0))});
  printf("\n");
  goals.at_least("single marks / messages of a bare echo server", result.ratio(2, 0), 0.8);
}

void measure_batches(TokenSite& site, unsigned rounds, Goals& goals) {
  fprintf(stderr, "batches\n");
  const Fd connection = connect_to(site.socket());
  constexpr unsigned kBatch = 1000, kBatches = 100;
  varlink::Json tokens = varlink::Json::array();
  for (unsigned i = 0; i < kBatch; ++i)
    tokens.push_back(site.tokens()[i % site.tokens().size()]);
  std::string message;
  append_call(message, "org.sessreg.Sessions.TouchMany", {{"tokens", std::move(tokens)}});
  const std::string expected = "\"marked\":1000,";
  std::vector<double> per_second;
  for (unsigned round = 0; round <= rounds; ++round) {
    wait_for_idle_machine();
    const std::uint64_t began_ns = wall_ns();
    // Two on the way, so that the daemon has one to work on while the other travels. Several
    // answers may come at once.
    send_all(connection.get(), message);
    for (unsigned sent = 1, answered = 0; answered < kBatches;) {
      if (sent < kBatches && sent < answered + 2) {
        send_all(connection.get(), message);
        ++sent;
        continue;
      }
      const std::string answers = receive(connection.get());
      std::size_t all_marked = 0;
      for (std::size_t at = answers.find(expected); at != std::string::npos;
           at = answers.find(expected, at + 1))
        ++all_marked;
      if (all_marked != static_cast<std::size_t>(std::ranges::count(answers, '\0')))
        throw std::runtime_error("not all were marked");
      answered += static_cast<unsigned>(all_marked);
    }
    const double seconds = static_cast<double>(wall_ns() - began_ns) / 1e9;
    if (round > 0) per_second.push_back(kBatch * kBatches / seconds);
  }
  const Spread spread = spread_of(per_second);
  printf(
      "Marks in batches of %u (%zu KB a message), one client and one daemon: %s a second (%s to "
      "%s), %s each.\n\n",
      kBatch, message.size() / 1024, count_text(static_cast<std::uint64_t>(spread.median)).c_str(),
      count_text(static_cast<std::uint64_t>(spread.min)).c_str(),
      count_text(static_cast<std::uint64_t>(spread.max)).c_str(),
      time_text(1e9 / spread.median).c_str());
  goals.at_least("marks a second in batches / 1,000,000",
                 {spread.median / 1e6, spread.min / 1e6, spread.max / 1e6}, 1.0);
}

// From the signal to the moment that the seat is seen free.
void measure_killed(TokenSite& site, unsigned deaths, Goals& goals) {
  fprintf(stderr, "killed sessions\n");
  std::vector<double> times;
  for (unsigned i = 0; i < deaths; ++i) {
    int ready[2];
    if (pipe2(ready, O_CLOEXEC) != 0) throw std::runtime_error("pipe");
    const std::uint32_t before = site.registry().count();
    fflush(nullptr);
    const pid_t pid = fork();
    if (pid == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      site.open();
      if (write(ready[1], "1", 1) != 1) _exit(1);
      for (;;)
        pause();
    }
    char byte = 0;
    if (read(ready[0], &byte, 1) != 1) throw std::runtime_error("no session");
    close(ready[0]);
    close(ready[1]);
    usleep(600'000);  // longer than the daemon takes to notice a login
    if (site.registry().count() != before + 1) throw std::runtime_error("no seat taken");
    const std::uint64_t killed_ns = wall_ns();
    kill(pid, SIGKILL);
    while (site.registry().count() != before) {
      if (wall_ns() - killed_ns > 10'000'000'000) throw std::runtime_error("the seat stays taken");
      usleep(20);
    }
    times.push_back(static_cast<double>(wall_ns() - killed_ns));
    waitpid(pid, nullptr, 0);
  }
  const Spread spread = spread_of(times);
  printf(
      "A session's process killed with SIGKILL: its seat is free after %s (%s to %s; %u "
      "times).\n\n",
      time_text(spread.median).c_str(), time_text(spread.min).c_str(),
      time_text(spread.max).c_str(), deaths);
  goals.at_most_ns("the seat of a killed session is free", spread, 5e6);
}

void measure(Effort effort) {
  TokenSite site(1000);
  pin_to_core(0);
  Goals goals;
  const bool full = effort == Effort::full, quick = effort == Effort::quick;
  const unsigned rounds = full ? 61 : quick ? 15 : 1;
  measure_digest(site, rounds, goals);
  {
    const Server daemon([&] {
      pin_to_core(1);
      become_daemon(site.conf(), site.socket(), site.path("log"));
    });
    connect_to(site.socket());
    measure_round_trips(site, rounds, full || quick ? 2000 : 20, goals);
    measure_batches(site, full ? 21 : quick ? 5 : 1, goals);
    measure_killed(site, full ? 25 : quick ? 5 : 1, goals);
  }
  measure_crowd(effort, goals);
  goals.print();
}

}  // namespace
}  // namespace bench

int main(int argc, char** argv) {
  const auto effort = bench::effort_of(argc, argv);
  if (!effort) {
    fprintf(stderr, "usage: bench_daemon [--quick | --smoke]\n");
    return 2;
  }
  try {
    bench::measure(*effort);
    return 0;
  } catch (const std::exception& e) {
    fprintf(stderr, "bench_daemon: %s\n", e.what());
    return 1;
  }
}
