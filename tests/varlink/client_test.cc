#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../support/catch.h"
#include "toy_server.h"

using namespace toy;
using namespace sessreg::varlink;

namespace {

std::optional<ClientErrc> error_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const ClientError& error) {
    CHECK_THAT(error.what(), !Catch::Contains("\n"));
    return error.code();
  }
  return std::nullopt;
}

ClientOptions impatient() {
  ClientOptions options;
  options.timeout = std::chrono::milliseconds(100);
  return options;
}

// Somebody else at the other end, who says what he likes to the first that comes.
class Impostor {
 public:
  explicit Impostor(std::string says, bool stays = false)
      : path_(directory_ / "impostor.sock"),
        listening_(std::move(*make_listening_socket(path_, 0666))),
        child_([this, says = std::move(says), stays] {
          sessreg::Fd peer;
          while (!peer)
            peer = sessreg::Fd(accept(listening_.get(), nullptr, nullptr)), usleep(1000);
          char call[4096];
          if (recv(peer.get(), call, sizeof call, 0) <= 0) return 1;
          (void)send(peer.get(), says.data(), says.size(), MSG_NOSIGNAL);
          if (stays) pause();
          return 0;
        }) {}
  const std::string& path() const { return path_; }

 private:
  TempDir directory_;
  std::string path_;
  sessreg::Fd listening_;
  Child child_;
};

}  // namespace

TEST_CASE("that there is no daemon is told from other errors") {
  const TempDir directory;
  const std::string path = directory / "none.sock";
  CHECK(error_of([&] { Client::connect(path); }) == ClientErrc::no_daemon);
  CHECK_FALSE(Client::connect_if_there(path).has_value());
  {
    auto abandoned = make_listening_socket(path, 0666);
    REQUIRE(abandoned);
  }
  CHECK(error_of([&] { Client::connect(path); }) == ClientErrc::no_daemon);
  CHECK(error_of([&] { Client::connect(std::string(200, 'x')); }) == ClientErrc::system);
  CHECK(error_of([&] { Client::connect(""); }) == ClientErrc::system);
}

TEST_CASE("an abandoned socket is replaced, one in use or another file is not") {
  const TempDir directory;
  const std::string path = directory / "a.sock";
  { REQUIRE(make_listening_socket(path, 0660)); }
  auto again = make_listening_socket(path, 0660);
  REQUIRE(again);
  struct stat made;
  REQUIRE(lstat(path.c_str(), &made) == 0);
  CHECK((made.st_mode & 0777) == 0660);
  const auto second = make_listening_socket(path, 0660);
  REQUIRE_FALSE(second);
  CHECK_THAT(second.error().what, Catch::Contains("listens on " + path));
  const std::string file = directory.write("file", "precious");
  const auto over_file = make_listening_socket(file, 0660);
  REQUIRE_FALSE(over_file);
  CHECK_THAT(over_file.error().what, Catch::Contains(file + " is not a socket"));
}

TEST_CASE("answers and errors of the service are both answers") {
  const ToyServer server;
  Client client = Client::connect(server.path());
  const Reply good = client.call("org.example.Toy.Echo", {{"text", "hello"}});
  CHECK(good.error.empty());
  CHECK(good.json().at("text") == "hello");
  const Reply bad = client.call("org.example.Toy.Refuse");
  CHECK(bad.error == "org.example.Toy.Refused");
  CHECK(bad.json().at("why") == "because");
}

TEST_CASE("the client reads a stream, and may leave it") {
  const ToyServer server;
  Client client = Client::connect(server.path());
  int count = 0;
  client.call_more("org.example.Toy.Count", {{"to", 500}}, [&](const Reply& reply) {
    CHECK(reply.json().at("i") == ++count);
    return true;
  });
  CHECK(count == 500);
  CHECK(client.call("org.example.Toy.Echo", {{"text", "on"}}).json().at("text") == "on");
  client.call_more("org.example.Toy.Endless", Json::object(),
                   [&](const Reply&) { return --count > 0; });
  CHECK(count == 0);
  CHECK(error_of([&] { client.call("org.example.Toy.Who"); }) == ClientErrc::disconnected);
}

TEST_CASE("calls are sent in a batch larger than any socket buffer") {
  const ToyServer server;
  Client client = Client::connect(server.path());
  std::string batch;
  for (int i = 0; i < 2000; ++i)
    append_call(batch, "org.example.Toy.Echo", {{"text", std::string(1000, 'x')}});
  client.send(batch);
  for (int i = 0; i < 2000; ++i)
    REQUIRE(client.receive().json().at("text").get<std::string>().size() == 1000);
}

TEST_CASE("an answer that does not come is not waited for") {
  const ToyServer server;
  Client client = Client::connect(server.path(), impatient());
  CHECK(error_of([&] { client.call("org.example.Toy.Hold"); }) == ClientErrc::timeout);
  CHECK(error_of([&] { client.call("org.example.Toy.Who"); }) == ClientErrc::disconnected);
}

TEST_CASE("a daemon that stopped reading does not block the client") {
  const ToyServer server;
  Client client = Client::connect(server.path(), impatient());
  CHECK(error_of([&] {
          std::string batch;
          for (int i = 0; i < 100; ++i)
            append_call(batch, "org.example.Toy.Hold", {{"x", std::string(100'000, 'x')}});
          client.send(batch);
          client.receive();
        }) == ClientErrc::timeout);
}

TEST_CASE("whatever an impostor says ends as an error") {
  const auto said = [](std::string text, bool stays = false) {
    const Impostor impostor(std::move(text), stays);
    ClientOptions options = impatient();
    options.reply_bytes = 100'000;
    options.timeout = std::chrono::seconds(20);
    if (stays) options.timeout = std::chrono::milliseconds(200);
    Client client = Client::connect(impostor.path(), options);
    return error_of([&] { client.call("org.example.Toy.Who"); });
  };
  CHECK(said("") == ClientErrc::disconnected);
  CHECK(said("{\"parameters\":") == ClientErrc::disconnected);
  CHECK(said("{\"parameters\":", true) == ClientErrc::timeout);
  CHECK(said(std::string("\0", 1)) == ClientErrc::invalid_answer);
  CHECK(said(std::string("[]\0", 3)) == ClientErrc::invalid_answer);
  CHECK(said(std::string("{\"error\":\"no name\"}\0", 20)) == ClientErrc::invalid_answer);
  CHECK(said(std::string(200'000, 'x')) == ClientErrc::too_long);
  CHECK(said(std::string("{}\0", 3)) == std::nullopt);
}

TEST_CASE("a socket that somebody else listens on is not trusted") {
  if (!is_root("another user's socket")) return;
  const TempDir directory;
  REQUIRE(chmod(directory.path().c_str(), 0777) == 0);
  const std::string path = directory / "planted.sock";
  Pipe ready, finished;
  const Child other([&] {
    if (setgid(4801) != 0 || setuid(4801) != 0) return 1;
    const auto socket = make_listening_socket(path, 0666);
    ready.put('.');
    finished.close_write();
    return finished.get();
  });
  REQUIRE(ready.get() == '.');
  CHECK(error_of([&] { Client::connect(path); }) == ClientErrc::untrusted);
  ClientOptions any;
  any.trusted_only = false;
  CHECK(error_of([&] { Client::connect(path, any); }) == std::nullopt);
}
