// What a worker that may not open the registry makes of the daemon's answers.
#include "session/daemon.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <thread>

#include "../../support/catch.h"
#include "../../support/child.h"
#include "../../support/temp_dir.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/json.h"

using namespace sessreg;

namespace {

// Takes one call, and answers with these bytes; then it closes the connection, if it is not to hang.
class Daemon {
 public:
  explicit Daemon(std::string answer, bool hangs = false, const std::string& path = {})
      : path_(path.empty() ? dir_ / "sock" : path), answer_(std::move(answer)), hangs_(hangs) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    memcpy(address.sun_path, path_.data(), path_.size());
    REQUIRE(bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(listen(listener_.get(), 1) == 0);
    thread_ = std::thread([this] { serve(); });
  }
  ~Daemon() { join(); }

  Result<LoginAnswer> ask(const Login& login) {
    auto answer = ask_daemon_to_use(path_, "site", login);
    join();
    return answer;
  }
  const std::string& asked() const { return asked_; }

 private:
  void join() {
    shutdown(listener_.get(), SHUT_RDWR);
    if (thread_.joinable()) thread_.join();
  }
  void serve() {
    const Fd connection(accept(listener_.get(), nullptr, nullptr));
    if (!connection) return;
    char c = 0;
    while (read(connection.get(), &c, 1) == 1 && c != '\0')
      asked_ += c;
    for (std::size_t at = 0; at < answer_.size();) {
      const ssize_t sent =
          send(connection.get(), answer_.data() + at, answer_.size() - at, MSG_NOSIGNAL);
      if (sent <= 0) return;
      at += static_cast<std::size_t>(sent);
    }
    // Until the other side goes.
    while (hangs_ && read(connection.get(), &c, 1) == 1) {
    }
  }

  TempDir dir_;
  Fd listener_{socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  std::string path_, answer_, asked_;
  bool hangs_;
  std::thread thread_;
};

Login some_login() {
  Login login;
  login.user = "a\"b";
  login.service = "web";
  login.host = "192.0.2.1";
  login.device = "192.0.2.1";
  login.no_process = true;
  return login;
}

std::string answer(const std::string& text) {
  return text + '\0';
}

std::string error(const std::string& name, const std::string& parameters = "{}") {
  return answer("{\"error\":\"org.sessreg.Sessions." + name + "\",\"parameters\":" + parameters +
                "}");
}

}  // namespace

TEST_CASE("a use is asked for with all that is known of the login") {
  Daemon daemon(answer(R"({"parameters":{"session":{},"opened":true}})"));
  const auto got = daemon.ask(some_login());
  REQUIRE(got);
  CHECK(got->what == LoginAnswer::What::opened);
  const auto call = JsonObject::parse(daemon.asked());
  REQUIRE(call);
  CHECK(call->string("method") == "org.sessreg.Sessions.Use");
  const auto parameters = call->object("parameters");
  REQUIRE(parameters);
  CHECK(parameters->string("site") == "site");
  CHECK(parameters->string("service") == "web");
  CHECK(parameters->string("user") == "a\"b");
  CHECK(parameters->string("host") == "192.0.2.1");
  CHECK(parameters->string("device") == "192.0.2.1");
  CHECK_FALSE(parameters->string("label"));
}

TEST_CASE("a session that is there already is none that was opened") {
  const auto got =
      Daemon(answer(R"({"parameters":{"session":{},"opened":false}})")).ask(some_login());
  REQUIRE(got);
  CHECK(got->what == LoginAnswer::What::already);
}

TEST_CASE("a refusal comes with its reason, its numbers and its message") {
  const auto got =
      Daemon(error("Refused", R"({"reason":"user_full","message":"no \"more\"","limit":2,)"
                              R"("count":3,"seconds":4,"own":[]})"))
          .ask(some_login());
  REQUIRE(got);
  CHECK(got->what == LoginAnswer::What::refused);
  CHECK(got->refused.refusal == Refusal::user_full);
  CHECK(got->refused.limit == 2);
  CHECK(got->refused.count == 3);
  CHECK(got->refused.seconds == 4);
  CHECK(got->refused.message == "no \"more\"");
}

TEST_CASE("a revoked session is told with its reason") {
  const auto got =
      Daemon(error("SessionRevoked", R"_({"reason":"go home","message":"ended (go home)"})_"))
          .ask(some_login());
  REQUIRE(got);
  CHECK(got->what == LoginAnswer::What::ended);
  CHECK(got->reason == "go home");
  CHECK(got->refused.message == "ended (go home)");
}

TEST_CASE("what an answer says is safe to show") {
  const auto got =
      Daemon(error("SessionRevoked", R"({"reason":"a\u001b[2J","message":"b\nuser=root"})"))
          .ask(some_login());
  REQUIRE(got);
  CHECK(got->reason.empty());
  CHECK(got->refused.message.empty());
  const auto failed = Daemon(answer(R"({"error":"a\nb"})")).ask(some_login());
  REQUIRE_FALSE(failed);
  CHECK(failed.error().what.find('\n') == std::string::npos);
}

TEST_CASE("what is no answer to the login is an error that names the mend") {
  struct {
    std::string answer, says;
  } const cases[] = {
      {error("PermissionDenied"),
       "is no client of the service web; name its user in 'clients' of [service web]"},
      {error("NoSuchSite", R"({"site":"site"})"), "sessregd does not serve this site"},
      {error("CannotDecide", R"({"reason":"registry: no space","let_through":true})"),
       "registry: no space"},
      {answer(
           R"({"error":"org.varlink.service.InvalidParameter","parameters":{"parameter":"user"}})"),
       "sessregd answers org.varlink.service.InvalidParameter"},
      {error("Refused", R"({"reason":"bad mood"})"), "for no known reason"},
      {answer(R"({"parameters":{}})"), "none to what was asked"},
      {answer(R"({"parameters":{"opened":1}})"), "none to what was asked"},
      {answer("{}"), "none to what was asked"},
      {answer("[]"), "not Varlink"},
      {answer(""), "not Varlink"},
      {"", "before it answered"},
      {R"({"parameters":{"opened":true}})", "before it answered"},  // without its NUL
  };
  for (const auto& each : cases) {
    CAPTURE(each.answer);
    const auto got = Daemon(each.answer).ask(some_login());
    REQUIRE_FALSE(got);
    CHECK(got.error().code == Errc::system);
    CHECK_THAT(got.error().what, Catch::Contains(each.says));
  }
}

TEST_CASE("an answer that does not come, or has no end, is none") {
  const std::uint64_t begun_ms = boottime_ms();
  const auto late = Daemon(R"({"parameters":)", true).ask(some_login());
  REQUIRE_FALSE(late);
  CHECK_THAT(late.error().what, Catch::Contains("in time"));
  CHECK(boottime_ms() - begun_ms >= std::uint64_t{kDaemonWait.count()});
  const auto endless = Daemon(std::string(1 << 20, ' '), true).ask(some_login());
  REQUIRE_FALSE(endless);
  CHECK_THAT(endless.error().what, Catch::Contains("no end"));
}

TEST_CASE("where nobody listens it is said so") {
  const TempDir dir;
  const auto got = ask_daemon_to_use(dir / "nobody", "site", some_login());
  REQUIRE_FALSE(got);
  CHECK_THAT(got.error().what, Catch::Contains("cannot ask sessregd"));
  CHECK_FALSE(ask_daemon_to_use("", "site", some_login()));
  CHECK_FALSE(ask_daemon_to_use(std::string(200, 'a'), "site", some_login()));
}

TEST_CASE("who listens is root or oneself") {
  if (geteuid() != 0) return;  // only root can listen as somebody else
  const TempDir dir;
  chmod(dir.path().c_str(), 0777);
  const std::string path = dir / "sock";
  // The credentials are of who began to listen.
  REQUIRE(seteuid(65534) == 0);
  Daemon daemon(answer(R"({"parameters":{"session":{},"opened":true}})"), false, path);
  REQUIRE(seteuid(0) == 0);
  const auto got = daemon.ask(some_login());
  REQUIRE_FALSE(got);
  CHECK_THAT(got.error().what, Catch::Contains("uid 65534 listens there"));
}
