#include "sessregd/watched_site.h"

#include <fmt/core.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include <charconv>

#include "base/clock.h"
#include "base/text.h"
#include "common/errors.h"
#include "session/ended.h"
#include "token/token_key.h"

namespace sessreg {
namespace {

std::optional<SessionId> session_id_from(std::string_view hex) {
  SessionId id{};
  if (hex.size() != 2 * id.size()) return std::nullopt;
  for (std::size_t i = 0; i < id.size(); ++i) {
    const char* const digits = hex.data() + 2 * i;
    const auto [end, error] = std::from_chars(digits, digits + 2, id[i], 16);
    if (error != std::errc() || end != digits + 2) return std::nullopt;
  }
  return to_hex(id) == hex ? std::optional(id) : std::nullopt;
}

// Which file it is, and everything that decides whether it can be used: reading a mapping whose
// file was truncated ends in SIGBUS.
WatchedSite::FileState state_of(const std::string& path) {
  struct stat file {};
  if (lstat(path.c_str(), &file) != 0) return {};
  return {file.st_dev, file.st_ino, file.st_size, file.st_mode, file.st_uid, file.st_nlink};
}

}  // namespace

WatchedSite::Parts::Parts(WatchedSite& site)
    : roster(*site.site_.registry, site.site_.config,
             [&site](Change change, Tracked& tracked, const Snapshot& held) {
               site.noticed(change, tracked, held);
             }),
      leaders(*site.site_.registry, roster, site.processes_, site.loop_),
      endings(*site.site_.registry, site.site_.config, roster, site.loop_,
              [this](Tracked& tracked) { time_outs.look_again(tracked); }),
      time_outs(*site.site_.registry, site.site_.config, roster, endings, site.processes_),
      terminal_rounds(*site.site_.registry, roster),
      desktops(*site.site_.registry, site.site_.config, roster, site.logind_) {}

WatchedSite::WatchedSite(sd_event* loop, Logind& logind, GlobalOptions global, OnChange on_change,
                         Log log)
    : global_(std::move(global)),
      on_change_(std::move(on_change)),
      site_(site_without_registry(global_)),
      loop_(loop, name(), std::move(log)),
      logind_(logind) {
  applications_.read(site_.config, boottime_ms());
}

// A fault in the file is logged once for each time that it was edited.
void WatchedSite::refresh() {
  applications_.look_again(site_.config, boottime_ms());
  struct stat file {};
  FileVersion seen;
  if (stat(site_.config_file().c_str(), &file) == 0)
    seen = {file.st_dev,          file.st_ino,         file.st_size,        file.st_mtim.tv_sec,
            file.st_mtim.tv_nsec, file.st_ctim.tv_sec, file.st_ctim.tv_nsec};
  // Some file systems count in seconds: what is read within the second of a change may change again
  // unseen, and is read once more.
  const bool is_final = seen.changed_s + 1 < now().realtime_ms / 1000;
  const bool is_known = seen == configuration_seen_;
  if (is_known && is_usable_ && (is_final_ || !is_final)) return;
  configuration_seen_ = seen;
  is_final_ = is_final;
  // What could not be read may be readable now: descriptors come back without a change of the file.
  reload(is_known && !is_usable_ ? Say::nothing : Say::fault);
}

Site* WatchedSite::current() {
  return is_final_ && is_usable_ && open_registry() ? &site_ : nullptr;
}

Rights WatchedSite::rights_of(const varlink::Peer& peer) const {
  return {peer, applications_.services_of(peer)};
}

void WatchedSite::reload(Say say) {
  try {
    const Config config = load_site_config(global_);
    if (config.registry != site_.config.registry) close_registry();
    site_.config = config;
    applications_.read(config, boottime_ms());
    is_usable_ = true;
  } catch (const Failure& failure) {
    is_usable_ = false;
    if (say == Say::fault)
      loop_.log(LOG_ERR,
                fmt::format("{}; the site {} goes on with what it had", failure.what(), name()));
  }
}

// --- Upkeep ---

void WatchedSite::tick() {
  refresh();
  if (!open_registry()) return;
  Registry& registry = *site_.registry;
  const std::uint64_t now_ms = boottime_ms();
  registry.note_daemon(getpid(), now_ms);

  // A login has read another version of the configuration than we have.
  const std::uint32_t published = registry.published_limit().identity;
  if (published != 0 && published != site_.config.identity && published != identity_seen_) {
    identity_seen_ = published;
    reload();
    if (!parts_) return;
  }
  if (parts_->roster.is_scan_due(now_ms)) scan();
  parts_->leaders.tick(now_ms);
  parts_->time_outs.tick(now_ms);
  parts_->terminal_rounds.tick(now_ms);
  parts_->desktops.tick(now_ms);
}

bool WatchedSite::open_registry() {
  const FileState file = state_of(site_.config.registry);
  if (parts_ && file == file_) return true;
  close_registry();
  // Nothing can be seen there, as at the last look.
  if (file == FileState{} && file == file_ && why_not_served_) return false;
  file_ = file;
  if (const auto error = site_.open_registry(Site::IfMissing::report)) {
    say_why_not_served(*error);
    return false;
  }
  if (why_not_served_) loop_.log(LOG_INFO, fmt::format("the site {} is served now", name()));
  why_not_served_.reset();
  if (const auto host = host_identity()) Registry::show_presence_at(site_.config.registry, *host);
  parts_.emplace(*this);
  return true;
}

void WatchedSite::say_why_not_served(const Error& error) {
  if (why_not_served_ == error.what) return;
  why_not_served_ = error.what;
  if (is_absent(error))
    loop_.log(LOG_NOTICE, fmt::format("{}; the site {} is not served until somebody logs in",
                                      error.what, name()));
  else
    loop_.log(LOG_ERR, fmt::format("{}; the site {} is not served", error.what, name()));
}

void WatchedSite::close_registry() {
  if (!parts_) return;
  const std::vector<Endings::OnEnded> waiting = parts_->endings.take_waiting();
  parts_->roster.forget_all();
  parts_.reset();
  site_.registry.reset();
  for (const Endings::OnEnded& done : waiting)
    done(nullptr);
}

void WatchedSite::scan() {
  parts_->roster.scan();
  parts_->leaders.watch_some();
}

void WatchedSite::noticed(Change change, Tracked& tracked, const Snapshot& held) {
  parts_->time_outs.noticed(change, tracked, held);
  if (held.record.kind == RecordKind::reservation) return;
  if (change == Change::opened) parts_->leaders.add(tracked.ref);
  State state = State::active;
  if (change == Change::ending || change == Change::closed)
    state = State::ending;
  else if (held.state.stage == Stage::parked)
    state = State::parked;
  else if (held.record.kind == RecordKind::exempt)
    state = has(held.record.flags, RecordFlags::observed) ? State::observed : State::exempt;
  on_change_(change, session_from(held, name(), state, tracked.terminals_tell, now()));
}

// --- Tokens ---

Marked WatchedSite::mark(std::string_view token, std::uint64_t now_ms) {
  if (!parts_) return {};
  const TokenDigest digest = site_.registry->token_digest(token);
  const auto slot = parts_->roster.slot_of_token(digest);
  if (!slot) return {};
  return mark_activity(*site_.registry, site_.config, *slot, digest, processes_, now_ms);
}

Marked WatchedSite::mark_at(std::uint32_t slot, std::string_view token, std::uint64_t now_ms) {
  if (!open_registry()) return {};
  return mark_activity(*site_.registry, site_.config, slot, site_.registry->token_digest(token),
                       processes_, now_ms);
}

Result<std::span<const PublicKey>> WatchedSite::public_keys() {
  return known_keys_.of(public_key_path(site_.config.key_file), now().realtime_ms / 1000);
}

std::optional<Session> WatchedSite::session_of_token(std::uint32_t slot, std::string_view token) {
  if (!open_registry()) return std::nullopt;
  Snapshot held;
  if (!site_.registry->session_of_token(slot, site_.registry->token_digest(token), held))
    return std::nullopt;
  StateReader states(processes_);
  return session_of(held, states);
}

// --- Sessions ---

std::optional<Session> WatchedSite::session_of(const Snapshot& held, StateReader& states) {
  const Tracked* const tracked = parts_->roster.find(held.ref);
  const bool terminals_tell = tracked != nullptr && tracked->terminals_tell;
  const Now at = now();
  const auto state = states.state_of(held, terminals_tell, at.boottime_ms);
  if (!state) return std::nullopt;
  return session_from(held, name(), *state, terminals_tell, at);
}

std::vector<Session> WatchedSite::sessions(std::uint32_t& slot, std::size_t most,
                                           std::uint32_t most_slots,
                                           const std::function<bool(const RecordImage&)>& want) {
  std::vector<Session> result;
  if (!open_registry()) {
    slot = kNoSlot;
    return result;
  }
  StateReader states(processes_);
  Registry& registry = *site_.registry;
  registry.count();  // settles, so that no seat is shown that was already given up
  for (; slot < registry.slots() && result.size() < most && most_slots > 0; ++slot, --most_slots) {
    Snapshot held;
    if (!registry.snapshot(slot, held) || !want(held.record)) continue;
    if (auto session = session_of(held, states)) result.push_back(std::move(*session));
  }
  if (slot >= registry.slots()) slot = kNoSlot;
  return result;
}

std::optional<Session> WatchedSite::find(std::string_view id) {
  const auto wanted = session_id_from(id);
  if (!wanted) return std::nullopt;
  auto slot = parts_ ? parts_->roster.slot_of_id(*wanted) : std::nullopt;
  if (!slot) {
    if (!open_registry()) return std::nullopt;
    scan();  // it may have been opened just now
    slot = parts_->roster.slot_of_id(*wanted);
  }
  Snapshot held;
  if (!slot || !site_.registry->snapshot(*slot, held) || held.record.id != *wanted)
    return std::nullopt;
  StateReader states(processes_);
  return session_of(held, states);
}

std::optional<Session> WatchedSite::session_at(SlotRef ref) {
  Snapshot held;
  if (!open_registry() || !site_.registry->snapshot(ref, held)) return std::nullopt;
  StateReader states(processes_);
  return session_of(held, states);
}

std::vector<Session> WatchedSite::devices_of(const std::string& user, std::size_t most) {
  std::vector<Session> result;
  if (!open_registry()) return result;
  StateReader states(processes_);
  site_.registry->for_each_device(user, [&](const Snapshot& held) {
    if (result.size() >= most) return;
    if (auto session = session_of(held, states)) result.push_back(std::move(*session));
  });
  return result;
}

bool WatchedSite::is_lost(const SessionId& id, std::int64_t issued_s) {
  // A registry that cannot be used may know of the session.
  if (!open_registry() && file_ != FileState{}) return false;
  if (site_.registry && issued_s >= site_.registry->created_realtime_ms() / 1000) return false;
  const auto ended = was_ended(site_.config, id);
  if (!ended) loop_.log(LOG_ERR, ended.error().what);
  return ended && !*ended;
}

// --- Ending ---

std::uint64_t WatchedSite::end(const Session& session, EndingOptions options,
                               Endings::OnEnded done) {
  if (parts_) return parts_->endings.end(session, std::move(options), std::move(done));
  done(nullptr);
  return 0;
}

void WatchedSite::forget(std::uint64_t caller) {
  if (parts_) parts_->endings.forget(caller);
}

bool WatchedSite::release(const Session& session) {
  if (!parts_ || !site_.registry->release(session.snapshot.ref)) return false;
  if (const auto ended = ended_session(session.snapshot.record))
    if (const auto error = note_ended(site_.config, {&*ended, 1}, EndedHow::closed))
      loop_.log(LOG_ERR, error->what);
  return true;
}

}  // namespace sessreg
