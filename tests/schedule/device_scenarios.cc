// Logins, uses and ends of sessions with a device key, of which there is one at most.
#include "scenarios.h"

using namespace sessreg;

namespace {

// Nobody has used kOld's session since.
constexpr std::uint64_t kUnusedSince_ms = World::active_ms(kOld) + World::kIdle_ms;

const Actor login_1{"log in by 1", [](World& w) { w.won[0] = w.device_login(1); }, 1};
const Actor login_2{"log in by 2", [](World& w) { w.won[1] = w.device_login(2); }, 2};
const Actor use_1{"use by 1", [](World& w) { w.won[0] = w.device_use(1); }, 1};
const Actor use_2{"use by 2", [](World& w) { w.won[1] = w.device_use(2); }, 2};
const Actor exempt_1{"exempt by 1", [](World& w) { w.device_exempt(1); }, 1};
const Actor exempt_2{"exempt by 2", [](World& w) { w.device_exempt(2); }, 2};
// Another user, who wants a seat that is free for a moment.
const Actor admit_other{"another comes", [](World& w) { w.admit(3); }, 3};
const Actor leave{"leave", [](World& w) { w.leave(kOld, w.refs[0]); }, 3};
const Actor release_other{"release the other", [](World& w) { w.release(w.refs[1]); }};
const Actor return_{"return", [](World& w) { w.return_to_seat(kOld, w.refs[0]); }, 3};
const Actor vacate{"vacate", [](World& w) { w.vacate(kOld, w.refs[0]); }, 2};
const Actor reap{"reap", [](World& w) { w.reap(); }, 3};
const Actor expire{"expire", [](World& w) { w.expire(kOld, w.refs[0], kUnusedSince_ms); }, 3};
const Actor wake{"wake",
                 [](World& w) {
                   w.touch(w.refs[0], kUnusedSince_ms + World::kIdle_ms);
                   w.was_woken |= w.is_seated(kOld);
                 },
                 kOld};

void demand(bool condition, const char* what) {
  if (!condition) throw Broken(what);
}

std::function<void(World&)> of_device(std::int32_t limit, std::uint32_t seats) {
  return [=](World& w) {
    of_one_device(w);
    prepared(limit, seats)(w);
  };
}

}  // namespace

void of_one_device(World& w) {
  for (const std::uint32_t who : {1u, 2u, kOld}) {
    w.traits[who].user = 1;
    w.traits[who].device = 1;
  }
}

std::vector<Scenario> device_scenarios() {
  return {
      {.name = "two log in by one device",
       .prepare = of_device(3, 0),
       .actors = {login_1, login_2},
       .preemptions = 2},
      {.name = "two use one device",
       .prepare = of_device(3, 0),
       .actors = {use_1, use_2},
       .preemptions = 1,
       .deaths = 1},
      {.name = "a login against a use, by one device",
       .prepare = of_device(3, 0),
       .actors = {login_1, use_2},
       .preemptions = 2},
      {.name = "a device logs in anew on a full site, and another wants the seat",
       .prepare = of_device(1, 1),
       .actors = {login_1, admit_other},
       .preemptions = 2,
       .check = [](World& w) { demand(w.won[0], "who had a seat by that device was refused"); }},
      {.name = "a device logs in anew while its session is closed",
       .prepare = of_device(2, 1),
       .actors = {login_1, leave, use_2},
       .preemptions = 1,
       .deaths = 1},
      {.name = "a device is used while its session's time is up",
       .prepare =
           [](World& w) {
             of_one_device(w);
             w.traits[kOld].idle_after_s = World::kIdle_s;
             prepared(2, 1)(w);
           },
       .actors = {expire, wake, use_2},
       .preemptions = 1,
       .deaths = 1,
       .check =
           [](World& w) {
             demand(!w.was_woken || w.is_seated(kOld), "a session that was used has expired");
           }},
      {.name = "a parked session returns, and its device logs in",
       .prepare =
           [](World& w) {
             of_one_device(w);
             prepared_with_parked(false, false)(w);
           },
       .actors = {login_1, return_, release_other},
       .preemptions = 1,
       .deaths = 1},
      {.name = "a session is revoked while its device logs in, and is used",
       .prepare =
           [](World& w) {
             of_one_device(w);
             w.may_vacate = true;
             prepared(2, 1)(w);
           },
       .actors = {vacate, login_1, use_2},
       .preemptions = 2},
      {.name = "two list a device as exempt",
       .prepare = of_device(2, 0),
       .actors = {exempt_1, exempt_2},
       .preemptions = 1,
       .deaths = 1},
      {.name = "a device is exempt, or not any more",
       .prepare = of_device(2, 1),
       .actors = {exempt_1, login_2, reap},
       .preemptions = 1,
       .deaths = 1},
  };
}
