// A login under the rules of a file that is edited meanwhile, and in a table that is full.
#include "session/login.h"

#include "../../support/catch.h"
#include "../../support/temp_dir.h"
#include "host/process.h"

using namespace sessreg;

namespace {

struct Place {
  Site open() const {
    auto config = load_config("default", dir / "site.conf");
    REQUIRE(config);
    auto site = Site::open(std::move(*config), dir / "site.conf", Site::IfMissing::create);
    REQUIRE(site);
    return std::move(*site);
  }
  void write(const std::string& text) const {
    dir.write("site.conf", "registry = " + (dir / "registry/site.reg") + "\n" + text);
  }
  static Login login_of(const std::string& user) {
    Login login;
    login.user = user;
    login.service = "sshd";
    login.self = self_id();
    return login;
  }
  static Rulebook rules_of(const Site& site, const std::string& user) {
    return rules_for(site.config, user, "sshd", [](const std::string&) { return false; });
  }
  static Admission reserve_in(Site& site, const std::string& user) {
    auto admission = reserve(site, login_of(user), rules_of(site, user));
    REQUIRE(admission);
    return std::move(*admission);
  }

  TempDir dir;
};

}  // namespace

TEST_CASE("who read the file before it was edited does not put the old limit back") {
  const Place place;
  place.write("sessions_limit = 1\n");
  Site older = place.open();
  place.write("sessions_limit = 5\n");
  Site newer = place.open();
  REQUIRE(Place::reserve_in(newer, "a").admitted());
  const Admission answer = Place::reserve_in(older, "b");
  CHECK(answer.stale_configuration);
  CHECK_FALSE(answer.admitted());
  CHECK(newer.registry->published_limit().limit == 5);
  CHECK(newer.registry->count() == 1);
}

TEST_CASE("who finds no slot for the session keeps no reservation") {
  const Place place;
  place.write("sessions_limit = 2\ncapacity = 2\n");
  Site site = place.open();
  const Admission reserved = Place::reserve_in(site, "a");
  REQUIRE(reserved.admitted());
  Admission listed;
  while (site.registry->list_exempt(Place::login_of("root"), listed)) {
  }
  const auto answer =
      bind_or_admit(site, Place::login_of("a"), Place::rules_of(site, "a"), reserved.ref);
  REQUIRE(answer);
  CHECK(answer->refusal == Refusal::table_full);
  CHECK(site.registry->count() == 0);
  Snapshot gone;
  CHECK_FALSE(site.registry->snapshot(reserved.ref, gone));
}
