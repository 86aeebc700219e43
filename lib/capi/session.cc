// Sessions that are open: found, used, closed.
#include <sodium/utils.h>
#include <string.h>

#include <array>
#include <memory>
#include <utility>

#include "base/clock.h"
#include "base/text.h"
#include "capi/arguments.h"
#include "capi/boundary.h"
#include "capi/handles.h"
#include "capi/structures.h"
#include "session/activity.h"
#include "session/ended.h"
#include "token/token_key.h"
#include "token/token_verify.h"

using namespace sessreg;        // NOLINT
using namespace sessreg::capi;  // NOLINT

namespace {

// More than the registry keeps of it.
constexpr std::size_t kMaxReasonBytes = 1000;

Answer no_session(const char* text) {
  Answer answer;
  answer.code = SESSREG_NO_SESSION;
  answer.text = text;
  return answer;
}

Answer bad_token(const std::string& what) {
  Answer answer;
  answer.code = SESSREG_BAD_TOKEN;
  answer.text = what;
  return answer;
}

Answer ended() {
  return no_session("the session has ended: admit its user anew");
}

Answer answer_of(const Marked& marked) {
  Answer answer;
  switch (marked.what) {
    case Marked::What::marked:
      return answer;
    case Marked::What::unknown:
      return ended();
    case Marked::What::revoked:
      answer.code = SESSREG_REVOKED;
      answer.text =
          marked.reason.empty() ? "the session was revoked" : escape_for_terminal(marked.reason);
      return answer;
    case Marked::What::expired:
      answer.code = SESSREG_EXPIRED;
      answer.text = "the session is out of time: close it, and admit its user anew";
      return answer;
    case Marked::What::site_full:
      answer.code = SESSREG_SITE_FULL;
      answer.text = marked.message;
      answer.limit = marked.limit;
      return answer;
  }
  return ended();
}

bool snapshot_of(const sessreg_session& session, const Registry& registry, Snapshot& ret) {
  return registry.snapshot(session.seat->ref, ret) && ret.record.id == session.seat->id;
}

// For a token that no session knows: what its signature says.
Answer about_unknown(const Config& config, const char* token) {
  std::vector<PublicKey> keys;
  const auto known = read_public_keys(public_key_path(config.key_file));
  // A site without keys has issued nothing.
  if (!known && known.error().code != Errc::not_found)
    return capi::answer_of(known.error(), SESSREG_EKEY);
  if (known)
    for (const SitePublicKey& each : *known)
      keys.push_back(each.key);
  const auto verified = verify_token(token, keys, config.site, now().realtime_ms / 1000);
  if (verified) return ended();
  Answer answer = bad_token(verified.error().what);
  if (verified.error().fault == TokenFault::expired) answer.code = SESSREG_EXPIRED;
  return answer;
}

// A site as it is configured now. No registry: nobody has logged in yet.
struct Opened {
  Config config;
  std::optional<Registry> registry;
};
std::optional<Answer> open(const sessreg_site& site, Opened& ret) {
  auto config = site.read_config();
  if (!config) return capi::answer_of(config.error(), SESSREG_ECONFIG);
  auto registry = open_existing_registry(config->registry);
  if (!registry && !is_absent(registry.error()))
    return capi::answer_of(registry.error(), SESSREG_EREGISTRY);
  ret.config = std::move(*config);
  if (registry) ret.registry = std::move(*registry);
  return std::nullopt;
}

std::unique_ptr<sessreg_session> session_at(const sessreg_site& site, const Config& config,
                                            const Snapshot& held) {
  auto session = std::make_unique<sessreg_session>();
  const RecordImage& record = held.record;
  session->site = site;
  session->seat = {Seat::What::session, config.registry, held.ref, record.id, {}};
  session->standing = record.kind == RecordKind::exempt ? SESSREG_EXEMPT : SESSREG_COUNTED;
  session->progress = sessreg_session::Progress::bound;
  session->id_text = to_hex(record.id);
  return session;
}

// A session that is bound, in its registry; or what there is to say.
struct Found {
  std::optional<Registry> registry;
  Snapshot held{};
  Answer fault{};
};
Found find_bound(const sessreg_session& session) {
  Found found;
  if (session.progress != sessreg_session::Progress::bound) {
    found.fault.code = SESSREG_ESTATE;
    found.fault.text = session.progress == sessreg_session::Progress::admitted
                           ? "the session is not bound yet: call sessreg_bind first"
                           : "the session was closed: admit its user anew";
    return found;
  }
  if (!session.seat) {
    found.fault = no_session("the session is not recorded");
    return found;
  }
  auto registry = open_existing_registry(session.seat->registry_path);
  if (!registry)
    found.fault = is_absent(registry.error())
                      ? ended()
                      : capi::answer_of(registry.error(), SESSREG_EREGISTRY);
  else if (!snapshot_of(session, *registry, found.held))
    found.fault = ended();
  else
    found.registry = std::move(*registry);
  return found;
}

Answer touch(const sessreg_session& session) {
  if (session.progress == sessreg_session::Progress::bound && !session.seat)
    return {};  // not recorded
  Found found = find_bound(session);
  if (!found.registry) return found.fault;
  Config config;
  // Only a session without a seat needs the configuration; a fault in it must not hit the others.
  if (found.held.state.stage == Stage::parked) {
    auto read = session.site.read_config();
    if (!read) return capi::answer_of(read.error(), SESSREG_ECONFIG);
    config = std::move(*read);
  }
  return answer_of(
      mark_activity(*found.registry, config, found.held, SystemProcesses(), boottime_ms()));
}

Answer look(sessreg_session& session, sessreg_entry* ret_entry) {
  const Found found = find_bound(session);
  if (!found.registry) return found.fault;
  const SystemProcesses processes;
  const Now at = now();
  bool terminals_tell = false;
  if (leader_of(found.held.record)) {
    std::array terminals = {look_at(found.held.record)};
    processes.look_at_terminals(terminals);
    terminals_tell = terminals[0].tells_use();
  }
  const auto state = StateReader(processes).state_of(found.held, terminals_tell, at.boottime_ms);
  if (!state) return ended();
  Answer answer;
  if (*state == State::ending) {
    const bool is_marked =
        found.held.mark != MarkStage::none || found.held.state.stage == Stage::evicted;
    answer = answer_of(Marked{.what = is_marked ? Marked::What::revoked : Marked::What::expired,
                              .reason = reason_of(found.held)});
  }
  session.shown = shown(session_from(found.held, session.site.name, *state, terminals_tell, at));
  give(entry_of(*session.shown), ret_entry);
  return answer;
}

// So that a reboot does not bring it back.
Answer note(const sessreg_session& session, const RecordImage& record, EndedHow how) {
  const auto ended = ended_session(record);
  if (!ended) return {};
  const auto config = session.site.read_config();
  if (!config) return capi::answer_of(config.error(), SESSREG_ECONFIG);
  if (const auto error = note_ended(*config, {&*ended, 1}, how))
    return capi::answer_of(*error, SESSREG_ESYSTEM);
  return {};
}

Answer revoke(const sessreg_session& session, const char* reason) {
  Found found = find_bound(session);
  if (!found.registry) return found.fault;
  if (has_process(found.held.record)) {
    Answer answer;
    answer.code = SESSREG_ESTATE;
    answer.text =
        "the session has a process: end that, and close the session, or use 'sessreg revoke'";
    return answer;
  }
  if (!found.registry->mark_revoked(found.held.ref, text_or_empty(reason)) ||
      !found.registry->vacate(found.held.ref))
    return ended();
  return note(session, found.held.record, EndedHow::revoked);
}

Answer close_session(sessreg_session& session) {
  Answer answer;
  if (session.progress != sessreg_session::Progress::closed && session.seat) {
    const Found found = find_bound(session);
    if (const auto error = release(*session.seat))
      return capi::answer_of(*error, SESSREG_EREGISTRY);
    // The seat is free: what cannot be noted is only said.
    if (found.registry) answer.text = note(session, found.held.record, EndedHow::closed).text;
  }
  session.progress = sessreg_session::Progress::closed;
  return answer;
}

}  // namespace

int sessreg_session_standing(const sessreg_session* session) {
  return session == nullptr ? SESSREG_COUNTED : session->standing;
}

const char* sessreg_session_id(const sessreg_session* session) {
  return session == nullptr ? "" : session->id_text.c_str();
}

const char* sessreg_session_token(const sessreg_session* session) {
  return session == nullptr ? "" : session->token.c_str();
}

int sessreg_find(const sessreg_site* site, const char* id, const char* service,
                 sessreg_session** ret_session, sessreg_error* error) {
  if (ret_session != nullptr) *ret_session = nullptr;
  return guarded(error, [&]() -> Answer {
    if (auto fault = fault_of_pointer(site, "site")) return *fault;
    if (auto fault = fault_of_owner(site->owner)) return *fault;
    if (auto fault = fault_of_id(id)) return *fault;
    if (auto fault = fault_of(service, "service", kMaxNameBytes, Presence::required)) return *fault;
    if (auto fault = fault_of_pointer(ret_session, "ret_session")) return *fault;
    Opened opened;
    if (auto fault = open(*site, opened)) return *fault;
    std::unique_ptr<sessreg_session> session;
    if (opened.registry)
      opened.registry->for_each([&](const Snapshot& held) {
        const RecordImage& record = held.record;
        if (record.kind != RecordKind::reservation && to_hex(record.id) == id &&
            opened.registry->is_service_of(record, service))
          session = session_at(*site, opened.config, held);
      });
    if (!session) return no_session("no session of that service has that id");
    *ret_session = session.release();
    return {};
  });
}

int sessreg_touch(sessreg_session* session, sessreg_error* error) {
  return guarded(error, [&]() -> Answer {
    if (auto fault = fault_of_pointer(session, "session")) return *fault;
    if (auto fault = fault_of_owner(session->site.owner)) return *fault;
    return touch(*session);
  });
}

int sessreg_touch_token(const sessreg_site* site, const char* token, sessreg_error* error) {
  return guarded(error, [&]() -> Answer {
    if (auto fault = fault_of_pointer(site, "site")) return *fault;
    if (auto fault = fault_of_owner(site->owner)) return *fault;
    if (auto fault = fault_of_pointer(token, "token")) return *fault;
    const std::string_view text(token, strnlen(token, kMaxTokenBytes + 1));
    const auto claims = inspect_token(text);
    if (!claims) return bad_token(claims.error().what);
    Opened opened;
    if (auto fault = open(*site, opened)) return *fault;
    if (!opened.registry) return about_unknown(opened.config, token);
    const Marked marked =
        mark_activity(*opened.registry, opened.config, claims->claimed.slot,
                      opened.registry->token_digest(text), SystemProcesses(), boottime_ms());
    return marked.what == Marked::What::unknown ? about_unknown(opened.config, token)
                                                : answer_of(marked);
  });
}

int sessreg_find_token(const sessreg_site* site, const char* token, sessreg_session** ret_session,
                       sessreg_error* error) {
  if (ret_session != nullptr) *ret_session = nullptr;
  return guarded(error, [&]() -> Answer {
    if (auto fault = fault_of_pointer(site, "site")) return *fault;
    if (auto fault = fault_of_owner(site->owner)) return *fault;
    if (auto fault = fault_of_pointer(token, "token")) return *fault;
    if (auto fault = fault_of_pointer(ret_session, "ret_session")) return *fault;
    const std::string_view text(token, strnlen(token, kMaxTokenBytes + 1));
    const auto claims = inspect_token(text);
    if (!claims) return bad_token(claims.error().what);
    Opened opened;
    if (auto fault = open(*site, opened)) return *fault;
    Snapshot held;
    if (!opened.registry || !opened.registry->session_of_token(
                                claims->claimed.slot, opened.registry->token_digest(text), held))
      return about_unknown(opened.config, token);
    auto session = session_at(*site, opened.config, held);
    session->token = text;
    *ret_session = session.release();
    return {};
  });
}

int sessreg_look(sessreg_session* session, sessreg_entry* ret_entry, sessreg_error* error) {
  return guarded(error, [&]() -> Answer {
    if (auto fault = fault_of_pointer(session, "session")) return *fault;
    if (auto fault = fault_of_owner(session->site.owner)) return *fault;
    if (auto fault = fault_of_pointer(ret_entry, "ret_entry")) return *fault;
    if (ret_entry->size < kFirst<sessreg_entry>)
      return too_small("ret_entry", "SESSREG_ENTRY_INIT");
    return look(*session, ret_entry);
  });
}

int sessreg_revoke(sessreg_session* session, const char* reason, sessreg_error* error) {
  return guarded(error, [&]() -> Answer {
    if (auto fault = fault_of_pointer(session, "session")) return *fault;
    if (auto fault = fault_of_owner(session->site.owner)) return *fault;
    if (auto fault = fault_of(reason, "reason", kMaxReasonBytes, Presence::optional)) return *fault;
    return revoke(*session, reason);
  });
}

int sessreg_close(sessreg_session* session, sessreg_error* error) {
  return guarded(error, [&]() -> Answer {
    if (auto fault = fault_of_pointer(session, "session")) return *fault;
    if (auto fault = fault_of_owner(session->site.owner)) return *fault;
    return close_session(*session);
  });
}

void sessreg_session_free(sessreg_session* session) {
  const Undisturbed undisturbed;
  if (session != nullptr) sodium_memzero(session->token.data(), session->token.size());
  delete session;
}
