#include "sessregd/sessions_service.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "common/session.h"
#include "sessregd/stopwatch.h"
#include "token/token_verify.h"
#include "varlink/write.h"

namespace sessreg {
namespace {

using varlink::Call;
using varlink::CallError;
using varlink::Exchange;
using varlink::Json;
using varlink::Parameters;

constexpr std::string_view kInterface = "org.sessreg.Sessions";

// Keeps an answer that is not a stream well below the largest message.
constexpr std::size_t kMostAtOnce = 1000;
constexpr std::size_t kBatch = 100;
constexpr std::uint32_t kSlotsPerBatch = 1 << 14;
constexpr std::int64_t kMostGrace_s = 24 * 3600;
// For anybody but root.
constexpr std::int64_t kMostUsersGrace_s = 5 * 60;
// More than fit in a message if they are real tokens. The answer must fit in a message, too.
constexpr std::size_t kMostTokens = 4096;
// For one call: some 10 ms.
constexpr std::size_t kMostSignatures = 100;
// Processor time of one step of a call that holds much.
constexpr std::uint64_t kStep_us = 2'000;
// A good token takes less than a microsecond: looking at the clock would take a part of that.
constexpr std::size_t kTokensBetweenLooks = 64;
// The registry keeps less of it.
constexpr std::size_t kMostReasonBytes = 1000;
// Of a user: each change is told to all at once.
constexpr int kMostWatchers = 16;
// Of what a user gives, who may write on no terminal otherwise.
constexpr std::size_t kMostUsersReasonBytes = 64;

constexpr std::string_view kDescription = R"(# The user sessions of this host.
# Root sees and ends all of them, anybody else the own ones, and an application those of its services.
interface org.sessreg.Sessions

# Times are RFC 3339 in UTC. state: active, parked, reserved, orphaned, left, ending, exempt or
# observed.
# can_idle: it can be told whether the session is used. process: false, and pid 0, if it has none; tty is
# a label of its device then.
type Session (
  id: string,
  site: string,
  user: string,
  uid: ?int,
  service: string,
  host: ?string,
  tty: ?string,
  state: string,
  opened: ?string,
  last_activity: ?string,
  expires: ?string,
  idle_seconds: int,
  pid: int,
  process: ?bool,
  seat: bool,
  reason: ?string,
  can_idle: bool
)

# A session of the user that may be taken over. label: of its device.
type Own (
  id: string,
  service: string,
  host: ?string,
  label: ?string,
  opened: ?string,
  idle_seconds: int
)

# index: in the list of tokens that was sent. error: as Touch would have answered.
type Failed (index: int, error: string)

# Logs a user in, for the application that is a client of the service (see sessreg.conf(5)), or root.
# The session has no process: it ends by being closed, revoked or evicted, and by its times. The user is
# a name as given, unless the configuration has them as accounts. device names the browser or client: a login by one that has a session takes its place
# and its seat. ttl_seconds: if it is shorter than the configured time to live. take_over: the id of a
# session of the same user that gives way. exempt: listed, neither counted nor refused. token: null if
# the site has none.
method Admit(site: ?string, service: string, user: string, host: ?string, label: ?string,
  device: ?string, ttl_seconds: ?int, take_over: ?string, exempt: ?bool)
  -> (session: Session, token: ?string)

# Marks the session that the user has by that device as used, or opens one: for services that are told
# the user at each request.
method Use(site: ?string, service: string, user: string, host: ?string, label: ?string, device: string)
  -> (session: Session, opened: bool)

# Counts a failed authentication (failed), or asks before one, which renews a blacklisting. Those of a
# service are counted apart. blacklisted_seconds: 0 if it is not.
method Attempt(site: ?string, service: string, user: ?string, host: string, failed: ?bool)
  -> (failures: int, blacklisted_seconds: int)

# Marks the token's session as used now. One that was parked takes a seat again. passive: marks nothing,
# and answers when it may be parked (yields_in), when it is over, and its state.
method Touch(token: string, passive: ?bool)
  -> (idle_seconds: ?int, yields_in: ?int, expires_in: ?int, state: ?string)

# One session, by one of the two.
method Show(token: ?string, id: ?string) -> (session: Session)

# The same for many, 4096 at most. Those that fail do not keep the others from being marked. Of the
# tokens that no session knows, the signatures of the first 100 are checked, to tell whether they are
# TokenInvalid; the others are NoSuchSession.
method TouchMany(tokens: []string) -> (marked: int, failed: []Failed)

# Closes the token's session: for root, and for the application whose it is, at once; for its own user
# by ending its processes, and answers when they are gone.
method Close(token: string) -> ()

# Of one site, or of all. More than a thousand sessions need a call with 'more', and come in
# several answers. limit: -1 is none.
# user, service: only those.
method List(site: ?string, user: ?string, service: ?string) -> (site: string, limit: int, active: int, sessions: []Session)

# Ends a session: its user is told, and its processes are asked, then made to go. Answers when it is
# over. Asked by its user, no process is forced that this user could not signal. grace_seconds: 10 if
# not given; 86400 at most, 300 for anybody but root. result: ended, survived, ending (its process
# serves other sessions too and was left alone; it is marked, and has no seat any more).
method Revoke(id: string, reason: ?string, grace_seconds: ?int) -> (result: string, survivors: []int)

# Each change, as it is noticed; needs 'more'. event: opened, closed, parked, returned or ending.
# The first answer has neither.
method Watch(site: ?string) -> (event: ?string, session: ?Session)

error TokenInvalid (reason: string)
# message: for the user; of Admit and Use.
error SessionRevoked (reason: string, message: ?string)
error SessionExpired ()
error SiteFull (limit: int, message: string)
error PermissionDenied ()
# A user watches often enough already.
error TooManyWatchers (most: int)
# lost: the token is good, and the registry that knew its session is gone, as by a reboot: its user may
# log in again without more.
error NoSuchSession (lost: ?bool)
# Why there is no seat; message is for the user. seconds: until another try may succeed; 0 if that is not
# known. own: sessions of the user that Admit may take over.
error Refused (reason: string, message: string, limit: int, count: int, seconds: int, own: []Own)
# let_through: the configuration has on_error = allow.
error CannotDecide (reason: string, let_through: bool)
error NoSuchSite (site: string)
)";

// Appends an object's members, without its end.
class JsonMembers {
 public:
  explicit JsonMembers(std::string& out) : out_(out) {}
  void operator()(std::string_view name, std::string_view text) {
    varlink::append_json_string(begin(name), text);
  }
  void operator()(std::string_view name, std::nullptr_t) { begin(name) += "null"; }
  void operator()(std::string_view name, bool value) { begin(name) += value ? "true" : "false"; }
  template <class Integer>
  void operator()(std::string_view name, Integer value) {
    const fmt::format_int digits(value);
    begin(name).append(digits.data(), digits.size());
  }

 private:
  std::string& begin(std::string_view name) {
    out_ += next_;
    next_ = ',';
    return out_.append(1, '"').append(name).append("\":");
  }

  std::string& out_;
  char next_ = '{';
};

// Once for each change: not for a session that is ending already, unless root now does what its user
// began.
void audit_end(const char* event, const Session& session, const std::string& reason,
               const varlink::Peer& peer) {
  if (is_to_go(session.snapshot) &&
      (!is_master(peer) || session.snapshot.mark != MarkStage::revoked_by_its_user))
    return;
  audit_session(event, session, reason,
                {{"for_uid", std::to_string(peer.uid)}, {"for_pid", std::to_string(peer.pid)}});
}

// False: no session is known by this token. Throws if there is one and it was not marked.
bool is_marked(const Marked& marked) {
  switch (marked.what) {
    case Marked::What::marked:
      return true;
    case Marked::What::unknown:
      return false;
    case Marked::What::revoked:
      throw error_named("SessionRevoked", {{"reason", marked.reason}});
    case Marked::What::expired:
      throw error_named("SessionExpired");
    case Marked::What::site_full:
      throw error_named("SiteFull", {{"limit", marked.limit}, {"message", marked.message}});
  }
  return false;
}

}  // namespace

CallError error_named(std::string_view name, Json parameters) {
  return CallError(fmt::format("{}.{}", kInterface, name), std::move(parameters));
}

void append_json(std::string& out, const Session& session) {
  constexpr std::size_t kUsual_bytes = 512;
  out.reserve(out.size() + kUsual_bytes);
  JsonMembers members(out);
  for_each_member(session, members);
  members("can_idle", session.can_idle);
  out += '}';
}

std::string_view SessionsService::interface_name() const {
  return kInterface;
}

std::string_view SessionsService::description() const {
  return kDescription;
}

void SessionsService::call(const Call& call, Exchange& exchange) {
  // What others may do stands in the file. Who has a token may mark its session whatever stands there.
  if (!is_master(exchange.peer()) && call.member != "Touch" && call.member != "TouchMany")
    for (const auto& site : sites_)
      site->refresh();
  if (call.member == "Touch") {
    const Parameters parameters(call, {"token", "passive"});
    if (parameters.boolean("passive", false)) return look(parameters.string("token"), exchange);
    std::size_t signatures_left = 1;
    touch(parameters.string("token"), signatures_left);
    exchange.reply_formatted("{}");
  } else if (call.member == "Admit") {
    log_in(admit, call, exchange);
  } else if (call.member == "Use") {
    log_in(use, call, exchange);
  } else if (call.member == "Attempt") {
    log_in(attempt, call, exchange);
  } else if (call.member == "Show") {
    show(call, exchange);
  } else if (call.member == "TouchMany") {
    touch_many(call, exchange);
  } else if (call.member == "Close") {
    close(Parameters(call, {"token"}).string("token"), exchange);
  } else if (call.member == "List") {
    list(call, exchange);
  } else if (call.member == "Revoke") {
    revoke(call, exchange);
  } else if (call.member == "Watch") {
    watch(call, exchange);
  } else {
    throw varlink::method_not_found(call.method);
  }
}

// --- Tokens ---

// Finds the session by what the registry knows of tokens, without parsing the token.
Marked SessionsService::mark(std::string_view token, std::uint64_t now_ms) {
  for (const auto& site : sites_) {
    Marked marked = site->mark(token, now_ms);
    if (marked.what != Marked::What::unknown) return marked;
  }
  return {};
}

// Where the token says that its session is: nothing of it is checked yet.
SessionsService::Claimed SessionsService::claimed_by(std::string_view token) const {
  const auto inspected = inspect_token(token);
  if (!inspected) throw error_named("TokenInvalid", {{"reason", inspected.error().what}});
  WatchedSite* const site = site_named(inspected->claimed.site);
  if (site == nullptr)
    throw error_named("TokenInvalid", {{"reason", "it is of a site that is not served here"}});
  return {*site, inspected->claimed.slot};
}

SessionsService::Held SessionsService::session_of(std::string_view token) const {
  const Claimed claimed = claimed_by(token);
  auto session = claimed.site.session_of_token(claimed.slot, token);
  std::size_t signatures_left = 1;
  if (!session) refuse_unknown(token, claimed.site, signatures_left);
  return {claimed.site, std::move(*session)};
}

void SessionsService::touch(std::string_view token, std::size_t& signatures_left) {
  const std::uint64_t now_ms = boottime_ms();
  if (is_marked(mark(token, now_ms))) return;
  // The session was opened just now, or there is none: the token says where it should be.
  const Claimed claimed = claimed_by(token);
  if (is_marked(claimed.site.mark_at(claimed.slot, token, now_ms))) return;
  refuse_unknown(token, claimed.site, signatures_left);
}

// No session has this token: was it ever valid?
void SessionsService::refuse_unknown(std::string_view token, WatchedSite& site,
                                     std::size_t& signatures_left) const {
  if (signatures_left == 0) throw error_named("NoSuchSession");
  --signatures_left;
  const auto keys = site.public_keys();
  if (!keys) throw error_named("TokenInvalid", {{"reason", keys.error().what}});
  const auto verified = verify_token(token, *keys, site.name(), now().realtime_ms / 1000);
  if (verified)
    throw error_named(
        "NoSuchSession",
        {{"lost", site.is_lost(verified->claims().session, verified->claims().issued_s)}});
  if (verified.error().fault == TokenFault::expired) throw error_named("SessionExpired");
  throw error_named("TokenInvalid", {{"reason", verified.error().what}});
}

void SessionsService::touch_many(const Call& call, Exchange& exchange) {
  const Parameters parameters(call, {"tokens"});
  std::size_t count = 0;
  parameters.for_each_string("tokens", [&](std::string_view) { ++count; });
  if (count > kMostTokens) throw varlink::invalid_parameter("tokens");
  Batch batch;
  batch.signatures_left = kMostSignatures;
  const auto answer = [](const Batch& done, Exchange& its) {
    if (done.failed.empty())
      return its.reply_formatted(fmt::format(R"({{"marked":{},"failed":[]}})", done.marked));
    Json failed = Json::array();
    for (const Batch::Failed& each : done.failed)
      failed.push_back({{"index", each.index}, {"error", done.errors[each.error]}});
    its.reply({{"marked", done.marked}, {"failed", std::move(failed)}});
  };
  if (touch_some(parameters, batch)) return answer(batch, exchange);
  exchange.go_on([this, exchange, answer, batch = std::move(batch)](const Call& again) mutable {
    if (touch_some(Parameters(again, {"tokens"}), batch)) answer(batch, exchange);
  });
}

// The work of one step. False: there is more to do.
bool SessionsService::touch_some(const Parameters& parameters, Batch& batch) {
  const Stopwatch stopwatch;
  std::size_t index = 0, looked_at = batch.next;
  bool is_step_over = false;
  parameters.for_each_string("tokens", [&](std::string_view token) {
    const std::size_t at = index++;
    if (at < batch.next || is_step_over) return;
    ++batch.next;
    try {
      touch(token, batch.signatures_left);
      ++batch.marked;
      if (at - looked_at < kTokensBetweenLooks) return;
    } catch (const CallError& error) {
      const auto name = std::find(batch.errors.begin(), batch.errors.end(), error.name());
      batch.failed.push_back({static_cast<std::uint32_t>(at),
                              static_cast<std::uint32_t>(name - batch.errors.begin())});
      if (name == batch.errors.end()) batch.errors.push_back(error.name());
    }
    looked_at = at;
    is_step_over = stopwatch.us() >= kStep_us;
  });
  return batch.next == index;
}

void SessionsService::close(std::string_view token, Exchange& exchange) {
  const auto [site, session] = session_of(token);
  const Rights rights = site.rights_of(exchange.peer());
  const RecordImage& record = session.snapshot.record;
  const Registry& registry = *site.site().registry;
  if (!rights.may_see(record, registry)) throw error_named("PermissionDenied");
  if (rights.is_master() || rights.is_of_application(record, registry)) {
    site.release(session);
    exchange.reply();
    return;
  }
  EndingOptions options;
  options.reason = "closed by its user";
  options.is_by_its_user = true;
  end("close", site, session, std::move(options), exchange,
      [exchange](const Ended*) mutable { exchange.reply(); });
}

// --- Sessions ---

void SessionsService::list(const Call& call, Exchange& exchange) {
  const Parameters parameters(call, {"site", "user", "service"});
  std::vector<std::string> names;
  if (const auto name = parameters.optional_string("site")) {
    if (site_named(*name) == nullptr) throw error_named("NoSuchSite", {{"site", *name}});
    names.emplace_back(*name);
  } else {
    for (const auto& site : sites_)
      names.push_back(site->name());
  }
  const auto given = [&](std::string_view name) {
    const auto text = parameters.optional_string(name);
    return text ? std::optional<std::string>(*text) : std::nullopt;
  };
  const auto wanted = [peer = exchange.peer(), user = given("user"),
                       service = given("service")](WatchedSite& site) {
    return [rights = site.rights_of(peer), user, service, &site](const RecordImage& record) {
      const Registry& registry = *site.site().registry;
      return rights.may_see(record, registry) && (!user || registry.is_user_of(record, *user)) &&
             (!service || registry.is_service_of(record, *service));
    };
  };
  const auto answer = [](WatchedSite& site, const std::vector<Session>& sessions) {
    std::string list;
    for (const Session& session : sessions) {
      if (!list.empty()) list += ',';
      append_json(list, session);
    }
    return fmt::format(R"({{"site":"{}","limit":{},"active":{},"sessions":[{}]}})", site.name(),
                       site.site().limit_in_force(), site.site().seats_taken(), list);
  };
  if (!exchange.wants_more()) {
    // A single answer is about one site.
    if (names.size() != 1) throw varlink::expected_more();
    WatchedSite& site = *site_named(names[0]);
    std::uint32_t slot = 0;
    const auto sessions = site.sessions(slot, kMostAtOnce, kNoSlot, wanted(site));
    if (slot != kNoSlot) throw varlink::expected_more();
    exchange.reply_formatted(answer(site, sessions));
    return;
  }
  // A site may go while it is listed.
  exchange.stream([this, names, wanted, answer, at = std::size_t{0},
                   slot = std::uint32_t{0}](bool& ret_last) mutable -> std::optional<std::string> {
    while (at < names.size()) {
      WatchedSite* const site = site_named(names[at]);
      if (site == nullptr) {
        ++at;
        slot = 0;
        continue;
      }
      const auto sessions = site->sessions(slot, kBatch, kSlotsPerBatch, wanted(*site));
      if (slot == kNoSlot) {
        ++at;
        slot = 0;
      }
      ret_last = at == names.size();
      return answer(*site, sessions);
    }
    ret_last = true;
    return std::nullopt;
  });
}

void SessionsService::revoke(const Call& call, Exchange& exchange) {
  const Parameters parameters(call, {"id", "reason", "grace_seconds"});
  const std::string_view id = parameters.string("id");
  EndingOptions options;
  options.reason = parameters.optional_string("reason").value_or("");
  if (options.reason.size() > kMostReasonBytes) throw varlink::invalid_parameter("reason");
  const varlink::Peer peer = exchange.peer();
  if (const auto grace = parameters.optional_integer("grace_seconds")) {
    const std::int64_t most_s = is_master(peer) ? kMostGrace_s : kMostUsersGrace_s;
    if (*grace < 0 || *grace > most_s) throw varlink::invalid_parameter("grace_seconds");
    options.grace = std::chrono::seconds(*grace);
  }
  for (const auto& site : sites_) {
    const auto session = site->find(id);
    if (!session) continue;
    const Rights rights = site->rights_of(peer);
    const RecordImage& record = session->snapshot.record;
    const Registry& registry = *site->site().registry;
    if (!rights.may_see(record, registry)) throw error_named("PermissionDenied");
    options.is_by_its_user = !rights.is_master() && !rights.is_of_application(record, registry);
    if (options.is_by_its_user && !options.reason.empty())
      options.reason = fmt::format("reason given by {}: {}", session->user(),
                                   utf8_prefix(options.reason, kMostUsersReasonBytes));
    const auto answer = [exchange](const Ended* ended) mutable {
      if (ended != nullptr) {
        exchange.reply({{"result", text(ended->result)}, {"survivors", ended->survivors}});
        return;
      }
      const CallError error = error_named("NoSuchSession");
      exchange.error(error.name(), error.parameters());
    };
    end("revoke", *site, *session, std::move(options), exchange, answer);
    return;
  }
  throw error_named("NoSuchSession");
}

void SessionsService::end(const char* event, WatchedSite& site, const Session& session,
                          EndingOptions options, Exchange& exchange, Endings::OnEnded done) {
  const varlink::Peer peer = exchange.peer();
  audit_end(event, session, options.reason, peer);
  const std::uint64_t caller = site.end(session, std::move(options), std::move(done));
  // By its name: the site may go first, and has answered everybody then.
  exchange.on_close([this, name = site.name(), caller] {
    if (WatchedSite* const there = site_named(name)) there->forget(caller);
  });
}

void SessionsService::watch(const Call& call, Exchange& exchange) {
  const Parameters parameters(call, {"site"});
  if (!exchange.wants_more()) throw varlink::expected_more();
  const auto name = parameters.optional_string("site");
  if (name && site_named(*name) == nullptr) throw error_named("NoSuchSite", {{"site", *name}});
  // At once, so that the peer knows from when on it misses nothing.
  // Watchers that went while nothing changed would pile up.
  std::erase_if(watchers_, [](const Watcher& watcher) { return !watcher.exchange.is_open(); });
  const auto mine = std::count_if(watchers_.begin(), watchers_.end(), [&](const Watcher& watcher) {
    return watcher.exchange.peer().uid == exchange.peer().uid;
  });
  if (!is_master(exchange.peer()) && mine >= kMostWatchers)
    throw error_named("TooManyWatchers", {{"most", kMostWatchers}});
  if (exchange.push_formatted("{}"))
    watchers_.push_back({exchange, std::string(name.value_or(""))});
}

void SessionsService::changed(Change change, const Session& session) {
  if (watchers_.empty()) return;
  std::string event = fmt::format(R"({{"event":"{}","session":)", text(change));
  append_json(event, session);
  event += '}';
  std::erase_if(watchers_, [&](Watcher& watcher) {
    const bool wants = (watcher.site.empty() || watcher.site == session.site) &&
                       may_see(watcher.exchange.peer(), session);
    return wants ? !watcher.exchange.push_formatted(event) : !watcher.exchange.is_open();
  });
}

bool SessionsService::may_see(const varlink::Peer& peer, const Session& session) const {
  if (is_master(peer) || session.uid == peer.uid) return true;
  WatchedSite* const site = site_named(session.site);
  return site != nullptr && site->site().registry &&
         site->rights_of(peer).may_see(session.snapshot.record, *site->site().registry);
}

void SessionsService::log_in(LoginCall how, const Call& call, Exchange& exchange) const {
  const std::string_view name = Parameters::any(call).optional_string("site").value_or("default");
  WatchedSite* const site = site_named(name);
  if (site == nullptr) throw error_named("NoSuchSite", {{"site", name}});
  // Who gave up waiting would not know of the seat. A call that wants no answer is another matter.
  if (!exchange.is_oneway() && exchange.has_hung_up())
    throw error_named("CannotDecide",
                      {{"reason", "nobody waits for the answer"}, {"let_through", false}});
  site->refresh();
  how(*site, site->rights_of(exchange.peer()), call, exchange);
}

// What Touch would answer, and how long it has, without a mark.
void SessionsService::look(std::string_view token, Exchange& exchange) {
  const auto [site, session] = session_of(token);
  if (is_to_go(session.snapshot)) throw error_named("SessionRevoked", {{"reason", session.reason}});
  if (session.state == State::ending) throw error_named("SessionExpired");
  const RecordImage& record = session.snapshot.record;
  Json answer = {{"idle_seconds", session.idle_ms / 1000},
                 {"yields_in", nullptr},
                 {"expires_in", nullptr},
                 {"state", text(session.state)}};
  const auto seconds_left = [idle_ms = session.idle_ms](std::uint64_t after_ms) {
    return after_ms > idle_ms ? (after_ms - idle_ms) / 1000 : 0;
  };
  if (record.idle_after_s != 0 && session.can_idle && session.state == State::active)
    answer["yields_in"] = seconds_left(std::uint64_t{record.idle_after_s} * 1000);
  if (session.expires_realtime_ms)
    answer["expires_in"] =
        std::max<std::int64_t>(0, *session.expires_realtime_ms - now().realtime_ms) / 1000;
  exchange.reply(answer);
}

void SessionsService::show(const Call& call, Exchange& exchange) {
  const Parameters parameters(call, {"token", "id"});
  const auto token = parameters.optional_string("token");
  const auto id = parameters.optional_string("id");
  if (token.has_value() == id.has_value()) throw varlink::invalid_parameter(token ? "id" : "token");
  const auto answer = [&](WatchedSite& site, const Session& session) {
    if (!site.rights_of(exchange.peer()).may_see(session.snapshot.record, *site.site().registry))
      throw error_named("PermissionDenied");
    std::string reply = R"({"session":)";
    append_json(reply, session);
    exchange.reply_formatted(reply += '}');
  };
  if (id) {
    for (const auto& site : sites_)
      if (const auto session = site->find(*id)) return answer(*site, *session);
    throw error_named("NoSuchSession");
  }
  const auto [site, session] = session_of(*token);
  answer(site, session);
}

WatchedSite* SessionsService::site_named(std::string_view name) const {
  const auto found = std::find_if(sites_.begin(), sites_.end(),
                                  [&](const auto& site) { return site->name() == name; });
  return found == sites_.end() ? nullptr : found->get();
}

}  // namespace sessreg
