#include "session/activity.h"

#include <array>
#include <span>

#include "base/text.h"
#include "registry/refusal.h"
#include "session/messages.h"
#include "session/returning.h"
#include "token/token_key.h"

namespace sessreg {
namespace {

bool is_out_of_time(const Registry& registry, const Snapshot& session, const Processes& processes,
                    std::uint64_t now_ms) {
  const auto is_past = [&](bool terminals_tell) {
    return now_ms >= expiry_ms(session, terminals_tell).value_or(~std::uint64_t{0});
  };
  if (is_past(false)) return true;
  if (!is_past(true) || !leader_of(session.record)) return false;
  // Unused for its time to live, if it can be seen whether it is used, and nobody has typed since.
  std::array look = {look_at(session.record)};
  processes.look_at_terminals(look);
  if (!look[0].tells_use()) return false;
  const std::uint64_t typed_ms = registry.boottime_of(look[0].typed_realtime_ms, now());
  return now_ms >= typed_ms + std::uint64_t{session.record.ttl_s} * 1000;
}

// Where the session has no lifetime, its token says so itself (see token_for).
bool is_token_past(const Snapshot& session, std::uint64_t now_ms) {
  constexpr std::uint64_t kTokenLife_ms = std::uint64_t{kUsualTokenLife_s} * 1000;
  return session.record.ends_boottime_ms == 0 &&
         now_ms >= session.record.opened_boottime_ms + kTokenLife_ms;
}

bool has_to_end(const Snapshot& session) {
  return session.mark != MarkStage::none || session.state.stage == Stage::evicted;
}

Marked mark(Registry& registry, const Config& config, Snapshot session, const Processes& processes,
            std::uint64_t now_ms, bool is_past) {
  Marked result;
  result.session = session;
  if (!has_to_end(session) && (is_past || is_out_of_time(registry, session, processes, now_ms))) {
    result.what = Marked::What::expired;
    // Without a process there is nothing to wait for.
    const std::uint32_t slot = session.ref.slot;
    if (!has_process(session.record)) registry.reap(std::span(&slot, 1), processes, now_ms);
    return result;
  }
  // As it is behind the touch: what has lost its seat by then is not told that it has one.
  if (!has_to_end(session) && (!registry.touch(session.ref, now_ms, UseIsTold::yes) ||
                               !registry.snapshot(session.ref, session)))
    return result;  // it has just gone
  if (has_to_end(session)) {
    result.what = Marked::What::revoked;
    result.reason = reason_of(session);
    return result;
  }
  result.what = Marked::What::marked;
  if (session.state.stage != Stage::parked) return result;

  const Return back = come_back(registry, config, session);
  if (back.what == Return::What::waits || back.what == Return::What::ended) {
    MessageValues values;
    values.limit = result.limit = back.decision.limit;
    values.count = result.count = back.decision.count;
    result.refusal = refusal_of(back.decision);
    values.site = config.site;
    values.user = text_of(session.record.user);
    values.service = text_of(session.record.service);
    result.what = Marked::What::site_full;
    result.message =
        format_message(message_for(result.refusal, back.decision.group, config, registry), values);
  }
  return result;
}

}  // namespace

std::int64_t token_end_s(const RecordImage& record) {
  const std::int64_t issued_s = record.opened_realtime_ms / 1000;
  if (record.ends_boottime_ms == 0) return issued_s + kUsualTokenLife_s;
  return issued_s +
         static_cast<std::int64_t>((record.ends_boottime_ms - record.opened_boottime_ms) / 1000);
}

Result<std::string> token_for(const RecordImage& record, std::uint32_t slot,
                              const std::string& site, const std::string& user,
                              const SigningKey& key) {
  TokenClaims claims;
  claims.site = site;
  claims.user = user;
  claims.session = record.id;
  claims.issued_s = record.opened_realtime_ms / 1000;
  claims.expires_s = token_end_s(record);
  claims.slot = slot;
  return issue_token(key, claims);
}

Marked mark_activity(Registry& registry, const Config& config, std::uint32_t slot,
                     const TokenDigest& digest, const Processes& processes, std::uint64_t now_ms) {
  Snapshot session;
  if (!registry.session_of_token(slot, digest, session)) return {};
  return mark(registry, config, session, processes, now_ms, is_token_past(session, now_ms));
}

Marked mark_activity(Registry& registry, const Config& config, const Snapshot& session,
                     const Processes& processes, std::uint64_t now_ms) {
  return mark(registry, config, session, processes, now_ms, false);
}

}  // namespace sessreg
