#include "sessreg/access/remote.h"

#include <fmt/core.h>
#include <signal.h>
#include <simdjson.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <optional>

#include "base/clock.h"
#include "base/hash.h"
#include "base/text.h"
#include "common/socket_path.h"
#include "host/terminals.h"
#include "registry/capacity.h"
#include "token/token.h"
#include "varlink/client.h"

namespace sessreg {
namespace {

using simdjson::dom::element;
using simdjson::dom::object;
using varlink::Client;
using varlink::ClientErrc;
using varlink::ClientError;
using varlink::ClientOptions;
using varlink::Json;
using varlink::Reply;

constexpr std::string_view kInterface = "org.sessreg.Sessions.";
constexpr std::chrono::milliseconds kTimeout{5'000};
// The daemon's own limits.
constexpr std::chrono::hours kLongestGrace{24};
constexpr std::chrono::minutes kLongestGraceOfUsers{5};
// How long ending a session may take beyond its grace (ending.h), with the daemon's own delays.
constexpr std::chrono::seconds kBeyondGrace{10};
// Below what the daemon allows one user, whose other programs need connections too.
constexpr std::size_t kConnectionsAtOnce = 64;
// A byte that was not UTF-8 arrives as U+FFFD, which has three bytes.
constexpr std::size_t kGrowth = 3;
constexpr std::size_t kMostText = 1000;

// An answer that no daemon gives.
struct BadAnswer {
  std::string what;
};

// One object of an answer.
class Fields {
 public:
  explicit Fields(const object& from) : object_(from) {}

  element required(const char* name) const {
    const auto found = find(name);
    if (!found) throw BadAnswer{fmt::format("has no '{}'", name)};
    return *found;
  }

  // null counts as absent.
  std::optional<element> find(const char* name) const {
    element value;
    if (object_.at_key(name).get(value) != simdjson::SUCCESS || value.is_null())
      return std::nullopt;
    return value;
  }

  std::string string(const char* name, std::size_t most) const {
    std::string_view value;
    if (required(name).get(value) != simdjson::SUCCESS || value.size() > most ||
        value.find('\0') != std::string_view::npos)
      bad(name);
    return std::string(value);
  }

  // Empty where there is none.
  std::string optional_string(const char* name, std::size_t most) const {
    return find(name) ? string(name, most) : std::string();
  }

  std::int64_t integer(const char* name, std::int64_t least, std::int64_t most) const {
    std::int64_t value = 0;
    if (required(name).get(value) != simdjson::SUCCESS || value < least || value > most) bad(name);
    return value;
  }

  bool boolean(const char* name) const {
    bool value = false;
    if (required(name).get(value) != simdjson::SUCCESS) bad(name);
    return value;
  }

  std::optional<std::int64_t> time_ms(const char* name) const {
    if (!find(name)) return std::nullopt;
    const auto time_s = from_rfc3339(string(name, kMostText));
    if (!time_s) bad(name);
    return *time_s * 1000;
  }

  simdjson::dom::array array(const char* name) const {
    simdjson::dom::array value;
    if (required(name).get(value) != simdjson::SUCCESS) bad(name);
    return value;
  }

 private:
  [[noreturn]] static void bad(const char* name) {
    throw BadAnswer{fmt::format("has an impossible '{}'", name)};
  }

  object object_;
};

Fields fields_of(const Reply& reply) {
  return Fields(reply.parameters ? *reply.parameters : throw BadAnswer{"has no parameters"});
}

template <std::size_t N>
void put(std::array<char, N>& field, const std::string& text) {
  const std::string_view fits = utf8_prefix(text, N);
  std::memcpy(field.data(), fits.data(), fits.size());
}

SessionId id_of(const std::string& hex) {
  SessionId id{};
  const auto digit = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    throw BadAnswer{"has an impossible 'id'"};
  };
  if (hex.size() != 2 * id.size()) throw BadAnswer{"has an impossible 'id'"};
  for (std::size_t i = 0; i < id.size(); ++i)
    id[i] = static_cast<std::uint8_t>(digit(hex[2 * i]) << 4 | digit(hex[2 * i + 1]));
  return id;
}

// The counterpart of to_json(Session).
Session session_of(const Fields& json, const std::string& site, const ProcessTable& table,
                   const Now& at) {
  Session session{};  // its record's texts are shorter than their fields
  RecordImage& record = session.snapshot.record;
  session.site = json.string("site", kMostText);
  if (session.site != site) throw BadAnswer{"is of another site"};
  record.id = id_of(json.string("id", kMostText));
  const std::string user = json.string("user", kGrowth * sizeof record.user);
  put(record.user, user);
  put(record.service, json.string("service", kGrowth * sizeof record.service));
  put(record.host, json.optional_string("host", kGrowth * sizeof record.host));
  put(record.tty, json.optional_string("tty", kGrowth * sizeof record.tty));
  session.reason = json.optional_string("reason", kGrowth * kReasonBytes);
  record.user_hash = hash128({}, site + '\0' + user);
  record.uid = kNoUid;
  if (json.find("uid")) record.uid = static_cast<std::uint32_t>(json.integer("uid", 0, kNoUid - 1));
  session.uid = uid_of(record);

  const auto state = state_named(json.string("state", kMostText));
  if (!state) throw BadAnswer{"has an impossible 'state'"};
  session.state = *state;
  record.kind = *state == State::reserved                              ? RecordKind::reservation
                : *state == State::exempt || *state == State::observed ? RecordKind::exempt
                                                                       : RecordKind::session;
  session.has_seat = json.boolean("seat");
  session.can_idle = json.boolean("can_idle");

  // A process with that pid is the leader: the kernel does not reuse a pid while it is still the id
  // of a session of processes.
  const bool has_process = !json.find("process") || json.boolean("process");
  const auto pid =
      static_cast<pid_t>(json.integer("pid", 0, std::numeric_limits<std::int32_t>::max()));
  const ProcessTable::Entry* const process = table.find(pid);
  if (has_process) session.leader = process != nullptr ? process->id : ProcessId{pid, 0};
  if (session.leader && *state != State::reserved) {
    TerminalLook look{*session.leader, session.uid};
    look_at_terminals({&look, 1}, table);
    session.tty_device = look.tty_device;
  }
  // By which it is known from then on, as the daemon knows it.
  if (!has_process) record.flags = RecordFlags::no_process;

  // The times of a damaged registry may be outside any calendar.
  constexpr std::int64_t kNone = std::numeric_limits<std::int64_t>::min();
  session.opened_realtime_ms = json.time_ms("opened").value_or(kNone);
  session.last_activity_realtime_ms = json.time_ms("last_activity").value_or(kNone);
  session.expires_realtime_ms = json.time_ms("expires");
  record.opened_realtime_ms = session.opened_realtime_ms;
  const std::int64_t age_ms =
      std::clamp<std::int64_t>(at.realtime_ms, 0, at.realtime_ms) -
      std::clamp<std::int64_t>(session.opened_realtime_ms, 0, at.realtime_ms);
  record.opened_boottime_ms =
      at.boottime_ms - std::min(at.boottime_ms, static_cast<std::uint64_t>(age_ms));
  constexpr std::int64_t kLongest_s = std::numeric_limits<std::int64_t>::max() / 1000;
  session.idle_ms = static_cast<std::uint64_t>(json.integer("idle_seconds", 0, kLongest_s)) * 1000;
  return session;
}

Ended ended_of(const Fields& json) {
  Ended ended;
  const std::string result = json.string("result", kMostText);
  if (result == text(EndResult::ended))
    ended.result = EndResult::ended;
  else if (result == text(EndResult::ending))
    ended.result = EndResult::ending;
  else if (result == text(EndResult::survived))
    ended.result = EndResult::survived;
  else
    throw BadAnswer{"has an impossible 'result'"};
  for (const element each : json.array("survivors")) {
    std::int64_t pid = 0;
    if (each.get(pid) != simdjson::SUCCESS || pid <= 0 ||
        pid > std::numeric_limits<std::int32_t>::max())
      throw BadAnswer{"has an impossible 'survivors'"};
    ended.survivors.push_back(static_cast<pid_t>(pid));
  }
  return ended;
}

}  // namespace

Failure token_invalid(const std::string& why) {
  return {kExitRefused, "token_invalid", why};
}

Failure session_revoked(const std::string& reason) {
  return {kExitRefused, "session_revoked",
          reason.empty() ? "the session was revoked"
                         : "the session was revoked: " + escape_for_terminal(reason)};
}

Failure session_expired() {
  return {kExitRefused, "session_expired", "the session has expired: log in again"};
}

Failure site_full(const std::string& message) {
  return {kExitRefused, "site_full", message};
}

Failure no_session_of_token() {
  return {kExitNoSuchSession, "no_such_session", "the token is good, but its session is over"};
}

Remote::Remote(const std::string& refused) : path_(default_socket_path()), refused_(refused) {}

void Remote::fail(const ClientError& error) const {
  switch (error.code()) {
    case ClientErrc::no_daemon:
      throw Failure(kExitPermission, "no_daemon",
                    fmt::format("only root may read {}, and no daemon answers on {}: ask the "
                                "administrator to start sessregd, or use sudo",
                                escape_for_terminal(refused_), escape_for_terminal(path_)));
    case ClientErrc::permission_denied:
    case ClientErrc::untrusted:
      throw Failure(
          kExitPermission,
          error.code() == ClientErrc::untrusted ? "untrusted_daemon" : "permission_denied",
          fmt::format("only root may read {}, and the daemon cannot be asked: {}",
                      escape_for_terminal(refused_), one_line(error.what())));
    default:
      throw Failure(kExitFailed, "daemon", one_line(error.what()));
  }
}

void Remote::fail(const Reply& reply, const std::string& about) const {
  const std::string_view name = reply.error.starts_with(kInterface)
                                    ? reply.error.substr(kInterface.size())
                                    : std::string_view();
  const auto given = [&](const char* field) {
    return reply.parameters ? Fields(*reply.parameters).optional_string(field, kMostText) : "";
  };
  if (name == "TokenInvalid") throw token_invalid(one_line(given("reason")));
  if (name == "SessionRevoked") throw session_revoked(given("reason"));
  if (name == "SessionExpired") throw session_expired();
  if (name == "SiteFull") throw site_full(one_line(given("message")));
  if (name == "NoSuchSession") {
    if (about.empty()) throw no_session_of_token();
    throw Failure(kExitNoSuchSession, "no_such_session",
                  fmt::format("no session with the id {}", about));
  }
  if (name == "PermissionDenied")
    throw Failure(kExitPermission, "permission_denied",
                  fmt::format("the session {} is somebody else's: only root may do this", about));
  if (name == "TooManyWatchers")
    throw Failure(kExitFailed, "too_many_watchers",
                  "you watch the sessions as often as a user may: end one of your "
                  "'sessreg list --watch'");
  if (name == "NoSuchSite")
    throw Failure(kExitPermission, "no_daemon",
                  fmt::format("only root may read {}, and the daemon on {} does not serve the site "
                              "{}: ask the administrator to reload sessregd, or use sudo",
                              escape_for_terminal(refused_), escape_for_terminal(path_), about));
  throw Failure(kExitFailed, "daemon",
                fmt::format("{}: the daemon answers with the error {}", escape_for_terminal(path_),
                            escape_for_terminal(utf8_prefix(reply.error, kMostText))));
}

namespace {

// Calls `ask`, and turns anything wrong with the answer into a Failure.
template <class Ask>
auto checked(const std::string& path, Ask ask) {
  try {
    return ask();
  } catch (const BadAnswer& bad) {
    throw Failure(
        kExitFailed, "bad_answer",
        fmt::format("{}: the daemon's answer {}: is it of another version than this tool?",
                    escape_for_terminal(path), bad.what));
  }
}

}  // namespace

Client Remote::connect(std::chrono::milliseconds timeout) const {
  ClientOptions options;
  options.timeout = timeout;
  return Client::connect(path_, options);
}

Remote::Seats Remote::list(const std::string& site, const ProcessTable& table,
                           const std::function<void(const Session&)>& visit) {
  Seats seats;
  std::size_t sessions = 0;
  const Now at = now();
  checked(path_, [&] {
    try {
      Client client = connect(kTimeout);
      client.call_more(std::string(kInterface) + "List", {{"site", site}}, [&](const Reply& reply) {
        if (!reply.error.empty()) fail(reply, escape_for_terminal(site));
        // The last of several answers may be empty.
        if (!reply.parameters || reply.parameters->size() == 0) return true;
        const Fields json = fields_of(reply);
        if (json.string("site", kMostText) != site) throw BadAnswer{"is of another site"};
        seats.limit = static_cast<std::int32_t>(
            json.integer("limit", -1, std::numeric_limits<std::int32_t>::max()));
        seats.taken = static_cast<std::uint32_t>(
            json.integer("active", 0, std::numeric_limits<std::uint32_t>::max()));
        for (const element each : json.array("sessions")) {
          object one;
          if (each.get(one) != simdjson::SUCCESS) throw BadAnswer{"has an impossible 'sessions'"};
          if (++sessions > slots_for(kMaxRegistryCapacity))
            throw BadAnswer{"has more sessions than a registry"};
          visit(session_of(Fields(one), site, table, at));
        }
        return true;
      });
    } catch (const ClientError& error) {
      fail(error);
    }
  });
  return seats;
}

std::vector<Ended> Remote::end(const std::vector<Session>& sessions, const EndingOptions& options) {
  const auto grace_s = std::chrono::ceil<std::chrono::seconds>(options.grace);
  if (grace_s > kLongestGrace)
    throw usage_failure(
        fmt::format("--grace: the daemon waits for at most {}h", kLongestGrace.count()));
  if (geteuid() != 0 && grace_s > kLongestGraceOfUsers)
    throw usage_failure(fmt::format("--grace: for anybody but root it is {}m at most",
                                    kLongestGraceOfUsers.count()));
  signal(SIGHUP, SIG_IGN);
  if (options.include_own) signal(SIGTERM, SIG_IGN);
  std::vector<Ended> results;
  checked(path_, [&] {
    try {
      // One connection for each session: calls on a shared one would be answered one after the
      // other, and each waits for processes.
      for (std::size_t begin = 0; begin < sessions.size(); begin += kConnectionsAtOnce) {
        const std::size_t end = std::min(begin + kConnectionsAtOnce, sessions.size());
        std::vector<Client> clients;
        for (std::size_t i = begin; i < end; ++i) {
          Json parameters = {{"id", sessions[i].id()}, {"grace_seconds", grace_s.count()}};
          if (!options.reason.empty()) parameters["reason"] = options.reason;
          std::string message;
          varlink::append_call(message, std::string(kInterface) + "Revoke", parameters);
          clients.push_back(connect(grace_s + kBeyondGrace));
          clients.back().send(message);
        }
        for (Client& client : clients) {
          const Reply reply = client.receive();
          // It has just ended by itself.
          const bool gone = reply.error == std::string(kInterface) + "NoSuchSession";
          if (!reply.error.empty() && !gone) fail(reply, sessions[results.size()].id());
          results.push_back(gone ? Ended() : ended_of(fields_of(reply)));
        }
      }
    } catch (const ClientError& error) {
      fail(error);
    }
  });
  return results;
}

void Remote::touch(std::string_view token) {
  checked(path_, [&] {
    try {
      Client client = connect(kTimeout);
      const Reply reply = client.call(std::string(kInterface) + "Touch", {{"token", token}});
      if (!reply.error.empty()) fail(reply, "");
    } catch (const ClientError& error) {
      fail(error);
    }
  });
}

}  // namespace sessreg
