// The one procedure of a login, from asking whether there is a seat to the end of the session. Its
// answers are neutral: the PAM module and the C API each put them into their own codes and words.
//
// Rules this file keeps:
//   1. When a call returns, a seat that it took MUST have been kept by the login service or be free
//      again, even if memory runs out (std::bad_alloc, which passes through).
//   2. If the configuration is edited during a call, the call begins again.
//   3. A login that cannot be decided about is let through or refused as `on_error`
//      says; root is let through. A caller that lacks the rights to use the registry
//      opens no session for anybody.
//   4. An exempt user is not refused because the session cannot be listed.
//
// Thread safety: an object belongs to one thread and one call. Any number of them at once.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "config/config.h"
#include "config/policy.h"
#include "registry/registry.h"
#include "session/site.h"

namespace sessreg {

// What a login service keeps of a login between its calls.
struct Seat {
  enum class What {
    reservation,
    session,
    device,  // a session without a process that this login has opened, and that is not its to close
  };
  What what = What::reservation;
  std::string registry_path;
  SlotRef ref;
  SessionId id{};
  ProcessId maker;  // who took it; a forked child has the same bytes, but not the seat
};

struct Refused {
  Refusal refusal = Refusal::none;
  std::int32_t limit = -1;
  std::uint32_t count = 0;    // blacklisted: of failed authentications
  std::uint32_t seconds = 0;  // until another try may succeed; 0: not known
  std::string message;        // for the user, safe to show
};

struct CountedFailure {
  std::uint32_t failures = 0;
  std::int32_t most = 0;  // before the host is blacklisted
  bool blacklisted = false;
};

struct LoginAnswer {
  enum class What {
    not_counted,  // ignored or exempt: nothing was taken
    observed,     // `observe`: told what would have happened; nothing was taken
    reserved,
    deferred,  // nothing was taken, as others would have to go for it, or as the user may only be
               // coming back to an open session: opening decides
    opened,    // also an exempt session; if it could not be listed, no seat is kept
    already,   // by an earlier call
    refused,
    ended,   // of use(): the device's session was revoked or evicted; `reason` says why
    failed,  // it could not be decided
  };
  enum class OnFailure {
    not_ours,  // the caller lacks the rights
    root_let_in,
    observed,     // let through, as everybody is
    let_through,  // on_error = allow
    turned_away,
  };

  What what = What::not_counted;
  Standing standing = Standing::counted;
  Refused refused{};     // What::refused; of What::ended the message alone
  std::string reason{};  // What::ended: as it was given, maybe empty
  // What::failed
  std::optional<Error> error{};
  bool is_of_registry = false;  // else of the configuration
  OnFailure on_failure = OnFailure::turned_away;
};

// Who asks, and what becomes of the answer on the way.
class LoginService {
 public:
  virtual ~LoginService() = default;

  // From now on the seat is this login's. If this or anything after it throws, the seat is freed
  // again. `token`: that of an opened session that has one.
  virtual void keep(const Seat& seat, const std::string& token) = 0;

  // For the log: a session that gave way, and has been told.
  virtual void say_displaced(const Displaced& /*displaced*/) {}
  virtual void say_no_token(const Error& /*error*/) {}
  virtual void say_not_listed(const Error& /*error*/) {}
  // The registry that a container had left behind at `path` was replaced.
  virtual void say_replaced(const std::string& /*path*/) {}
  // With `observe`.
  virtual void say_would_refuse(const Refused& /*refused*/) {}
  virtual void say_would_displace(const Displaced& /*displaced*/) {}
  virtual void say_cannot_foresee(const Error& /*error*/) {}
};

struct LoginOptions {
  std::string site = "default";
  std::optional<std::string> config_path;  // absolute; unset: the site's default path
  std::optional<OnError> on_error;         // in place of the configuration's
  bool observe = false;
  // False: the user is a name of the login service's own, and never root.
  bool is_account = true;
  // The calling process is the login service of many users at once: it binds only the reservation
  // that it names, and gives no other one back.
  bool serves_many = false;

  // Where the service has `keep`, a login is one use of a session without a process: reserve() is
  // use(), opening and closing do nothing. Who may not open the registry asks the daemon at `socket`.
  bool obeys_keep = false;
  std::string socket;

  // The user is one of an application that opens sessions of its own services, and which is not to be
  // trusted with others': only sessions of `evictable_services` are ended for this login (unset: any),
  // and its failures are counted for its service alone. `exempt` and `reserved_for` of the file are
  // about accounts of this host; for others the application itself says who is `exempt`.
  bool is_of_application = false;
  bool exempt = false;
  std::optional<std::vector<std::string>> evictable_services{};
  // The time to live, if it is shorter than the configured one; 0: none.
  Seconds ttl{0};

  // Of a caller of many calls that has the site open under the configuration that the file has now: it is
  // used as it is, until it turns out that the file has been edited since. Tokens are made in it for the
  // length of a call only.
  Site* open_site = nullptr;
};

// The caller's, or one that was opened for a call.
class OpenSite {
 public:
  explicit OpenSite(Site* callers) : callers_(callers) {}
  explicit OpenSite(Site own) : own_(std::move(own)) {}
  Site& operator*() { return callers_ != nullptr ? *callers_ : *own_; }

 private:
  Site* callers_ = nullptr;
  std::optional<Site> own_;
};

class LoginProcedure {
 public:
  // All must outlive it. `login` has everything, self if it is known, and the user as find_account()
  // knows it; `primary_group` is the one of its account.
  LoginProcedure(const LoginOptions& options, const Login& login,
                 std::optional<unsigned> primary_group, LoginService& service);

  // Refuses a blacklisted remote host, and forgets its failures to log this user in; then takes a
  // seat until the session is opened. `held`: from an earlier call for the same login, or nullptr.
  LoginAnswer reserve(const Seat* held);

  // Opens the session. `hint`: a reservation made in another process,
  // checked before it is believed.
  LoginAnswer open(const Seat* held, std::optional<SlotRef> hint);

  // Marks the session of the login's device as used, or opens one (opened). What was there is kept, too
  // (already).
  LoginAnswer use();

  // Before authentication. If it cannot be decided, not_counted, as reserve() decides.
  LoginAnswer refuse_blacklisted();
  // What reserve() would answer. The same.
  LoginAnswer foresee();
  // Counts a failed authentication. nullopt: none are counted for that host.
  Result<std::optional<CountedFailure>> count_failure();

  // Ends the session of that id, if this process opened it for this login. Without an id: of
  // those that it opened for this login's user, service and tty, one that is to end, or else the
  // latest; it is no error if nobody can tell.
  std::optional<Error> close(std::optional<std::string_view> id);

 private:
  using What = LoginAnswer::What;

  // nullopt: begin again.
  std::optional<LoginAnswer> try_reserve(const Seat* held);
  std::optional<LoginAnswer> try_open(const Seat* held, std::optional<SlotRef> hint);
  std::optional<LoginAnswer> try_use();
  std::optional<LoginAnswer> use_in(const Config& config);
  bool can_ask_daemon(const Error& error) const;
  LoginAnswer use_by_daemon(const Config& config);
  std::optional<LoginAnswer> use_existing(Site& site);
  bool is_as_it_stands(const Registry& registry, SlotRef ref) const;
  std::optional<LoginAnswer> only_observed(Site& site, std::optional<LoginAnswer> used);
  std::optional<LoginAnswer> use_found(Site& site, SlotRef ref);
  template <class Try>
  LoginAnswer until_steady(Try attempt);

  Result<const Config*> read_config();
  Result<OpenSite> open_site(const Config& config) const;
  // Whether the login is one use of a session without a process, which it is made then.
  bool becomes_use(const Config& config);
  Standing standing(const Config& config) const;
  Rulebook rules(const Config& config) const;

  LoginAnswer answer(What what) const;
  LoginAnswer refused(Refused why) const;
  LoginAnswer failed(const Error& error, const Config* config) const;
  LoginAnswer list_exempt(const Config& config, const Seat* held, bool is_use);
  bool has_too_many_exempt(Registry& registry) const;
  std::optional<Failures> failures_from(Site& site, const RemoteHost& host) const;
  bool is_of_sshd() const;
  // Forgets the user's failed authentications from this host: in the account phase, or of sshd in
  // the opening of the session.
  void note_success(Site& site);
  // A login goes through several phases, and each says what it would refuse: it is counted in one.
  enum class Counts { yes, no };
  // nullopt: it is not, or it is only to be observed.
  std::optional<Refused> blacklisted(Site& site, Counts counts);
  // With `observe`: the answer, if the login would not just get a seat.
  std::optional<LoginAnswer> observe(Site& site, Counts counts);
  void would_refuse(Site& site, const Refused& why, Counts counts);
  // Who is let in by `observe` is listed, and holds no seat.
  void list_observed(Site& site);
  bool is_ours(const Registry& registry, const Seat& seat) const;
  std::optional<SlotRef> find_latest(Registry& registry) const;
  void issue_tokens_in(Site& site);
  // Rule 1.
  void take(Site& site, const Admission& admission, Seat::What what);

  const LoginOptions& options_;
  Login login_;
  std::optional<unsigned> primary_group_;
  LoginService& service_;
  Site* open_site_;  // nullptr: files decide
  Config config_;    // as it was read
  Standing standing_ = Standing::counted;
  bool is_kept_ = false;  // the session is its device's, and not the login service's to close
};

// The device of a login by a service that has `keep`: the host, as far as its owner cannot choose it.
std::string kept_device(const std::string& host);

// Closes a session that is kept: frees its seat, unless what it leaves running is to count
// (count_leftovers) and there is something. No error if there is none any more.
std::optional<Error> close_kept(const Seat& seat);

// Frees a seat that is kept, if it is still there: a session's, or a reservation's, which gives
// back what it took from others. No error if there is none any more.
std::optional<Error> release(const Seat& seat);

// Whether the error is that the caller lacks the rights to use a registry, which root and the daemon
// have. Such a caller opens no session for anybody (a screen locker, a web server).
bool lacks_rights(const Error& error);

// Frees the seat of a login that comes to nothing; does nothing if another process took it. If that
// fails, a reservation runs out by itself, and a session ends with its processes.
void give_back(const Seat& seat);

}  // namespace sessreg
