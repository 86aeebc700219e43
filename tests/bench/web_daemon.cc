#include "web_daemon.h"

#include <chrono>
#include <fstream>
#include <stdexcept>
#include <thread>

#include "machine.h"
#include "random.h"
#include "registry/registry.h"
#include "varlink/write.h"

namespace bench {
namespace {

using namespace sessreg;

constexpr std::string_view kTokenKey = "\"token\":\"";

std::string conf_in(const std::string& directory, std::uint32_t limit) {
  const std::string number = std::to_string(limit);
  std::ofstream(directory + "/site.conf")
      << "registry = " << directory << "/site.reg\nkey_file = " << directory
      << "/site.key\nsessions_limit = " << number << "\ncapacity = " << number << "\n";
  return directory + "/site.conf";
}

class DaemonPair final : public Task {
 public:
  explicit DaemonPair(std::shared_ptr<WebDaemon> daemon)
      : daemon_(std::move(daemon)), count_(seats_taken()) {}
  std::string name() const override { return "sessregd: Admit; Close"; }
  void attach() override { client_ = std::make_unique<WebClient>(daemon_->socket()); }
  void run(std::uint64_t iterations, Random& random) override {
    std::string user(16, '0'), device(16, '0');
    for (; iterations > 0; --iterations) {
      put_hex(random.next(), user.data());
      put_hex(random.next(), device.data());
      const std::string token = client_->admit(user, device);
      client_->call("Close", R"({"token":")" + token + R"("})", R"({"parameters":{}})");
    }
  }
  void check() override {
    if (seats_taken() != count_) throw std::runtime_error("sessregd: a seat was lost");
  }
  bool is_cpu_bound(unsigned) const override { return false; }

 private:
  std::uint32_t seats_taken() const {
    auto registry = Registry::open(daemon_->registry(), *host_identity());
    if (!registry) throw std::runtime_error(registry.error().what);
    return registry->count();
  }

  const std::shared_ptr<WebDaemon> daemon_;
  const std::uint32_t count_;
  std::unique_ptr<WebClient> client_;
};

}  // namespace

std::string WebClient::round_trip(std::string_view method, std::string_view parameters) {
  message_.clear();
  if (!varlink::append_formatted_call(message_, "org.sessreg.Sessions." + std::string(method),
                                      parameters))
    throw std::runtime_error("a NUL in the parameters");
  send_all(connection_.get(), message_);
  if (waits_ == Waits::awake)
    while (!has_more(connection_.get())) {
    }
  return receive(connection_.get());
}

void WebClient::call(std::string_view method, std::string_view parameters,
                     std::string_view answer) {
  const std::string got = round_trip(method, parameters);
  if (!got.starts_with(answer)) throw std::runtime_error("sessregd answers " + got);
}

std::string WebClient::admit(std::string_view user, std::string_view device) {
  std::string parameters = R"({"service":"shop","host":"192.0.2.7","label":"Firefox","user":")";
  parameters.append(user).append(R"(","device":")").append(device).append("\"}");
  const std::string answer = round_trip("Admit", parameters);
  const std::size_t at = answer.find(kTokenKey);
  if (at == std::string::npos) throw std::runtime_error("sessregd answers " + answer);
  const std::size_t begin = at + kTokenKey.size();
  return answer.substr(begin, answer.find('"', begin) - begin);
}

WebDaemon::WebDaemon(const std::string& directory, std::uint32_t limit, std::uint32_t sessions,
                     int core)
    : directory_(directory), server_([&, conf = conf_in(directory, limit)] {
        if (core >= 0) pin_to_core(static_cast<unsigned>(core));
        become_daemon(conf, socket(), directory_ + "/log");
      }) {
  WebClient client(socket());
  for (std::uint32_t i = 0; i < sessions; ++i)
    client.admit("user" + std::to_string(i), "device" + std::to_string(i));
  // Until then the configuration is read at each login, as it might be edited again within the second.
  std::this_thread::sleep_for(std::chrono::seconds(2));
}

std::unique_ptr<Task> daemon_pair(std::shared_ptr<WebDaemon> daemon) {
  return std::make_unique<DaemonPair>(std::move(daemon));
}

}  // namespace bench
