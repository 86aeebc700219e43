// A site's sessions as they were at one moment.
#include <memory>

#include "capi/arguments.h"
#include "capi/boundary.h"
#include "capi/handles.h"
#include "capi/structures.h"
#include "token/token.h"

using namespace sessreg;        // NOLINT
using namespace sessreg::capi;  // NOLINT

namespace {

int to_c(State state) {
  switch (state) {
    case State::active:
      return SESSREG_ACTIVE;
    case State::parked:
      return SESSREG_PARKED;
    case State::reserved:
      return SESSREG_RESERVED;
    case State::orphaned:
      return SESSREG_ORPHANED;
    case State::left:
      return SESSREG_LEFT;
    case State::ending:
      return SESSREG_ENDING;
    case State::exempt:
    case State::observed:
      return SESSREG_LISTED;
  }
  return SESSREG_ENDING;
}

}  // namespace

Shown sessreg::capi::shown(const Session& session) {
  return {session,
          session.id(),
          std::string(session.user()),
          std::string(session.service()),
          std::string(session.host()),
          std::string(session.tty())};
}

sessreg_entry sessreg::capi::entry_of(const Shown& listed) {
  const Session& session = listed.session;
  sessreg_entry entry = SESSREG_ENTRY_INIT;
  entry.id = listed.id.c_str();
  entry.user = listed.user.c_str();
  entry.service = listed.service.c_str();
  entry.host = listed.host.c_str();
  entry.tty = listed.tty.c_str();
  entry.reason = session.reason.c_str();
  entry.state = to_c(session.state);
  entry.has_seat = session.has_seat ? 1 : 0;
  entry.uid = session.uid ? static_cast<std::int64_t>(*session.uid) : -1;
  entry.leader = session.pid();
  entry.opened_s = session.opened_realtime_ms / 1000;
  entry.last_activity_s = session.last_activity_realtime_ms / 1000;
  entry.expires_s = session.expires_realtime_ms.value_or(0) / 1000;
  entry.idle_s = static_cast<std::int64_t>(session.idle_ms / 1000);
  entry.has_process = session.leader ? 1 : 0;
  return entry;
}

int sessreg_list_new(const sessreg_site* site, sessreg_list** ret_list, sessreg_error* error) {
  return sessreg_list_of(site, nullptr, nullptr, ret_list, error);
}

int sessreg_list_of(const sessreg_site* site, const char* user, const char* service,
                    sessreg_list** ret_list, sessreg_error* error) {
  if (ret_list != nullptr) *ret_list = nullptr;
  return guarded(error, [&]() -> Answer {
    if (auto fault = fault_of_pointer(site, "site")) return *fault;
    if (auto fault = fault_of_owner(site->owner)) return *fault;
    if (auto fault = fault_of(user, "user", kMaxTokenUserBytes, Presence::optional)) return *fault;
    if (auto fault = fault_of(service, "service", kMaxNameBytes, Presence::optional)) return *fault;
    if (auto fault = fault_of_pointer(ret_list, "ret_list")) return *fault;
    const auto config = site->read_config();
    if (!config) return answer_of(config.error(), SESSREG_ECONFIG);
    auto list = std::make_unique<sessreg_list>();
    list->limit = config->sessions_limit;
    auto registry = open_existing_registry(config->registry);
    if (registry) {
      for (const Session& session : read_sessions(*registry, *config, ProcessTable::read())) {
        const RecordImage& record = session.snapshot.record;
        if ((user == nullptr || registry->is_user_of(record, user)) &&
            (service == nullptr || registry->is_service_of(record, service)))
          list->sessions.push_back(shown(session));
      }
      list->seats = registry->count();
      list->limit = registry->limit_in_force(config->sessions_limit);
    } else if (!is_absent(registry.error())) {
      return answer_of(registry.error(), SESSREG_EREGISTRY);
    }
    *ret_list = list.release();
    return {};
  });
}

size_t sessreg_list_count(const sessreg_list* list) {
  return list == nullptr ? 0 : list->sessions.size();
}

uint32_t sessreg_list_seats(const sessreg_list* list) {
  return list == nullptr ? 0 : list->seats;
}

int32_t sessreg_list_limit(const sessreg_list* list) {
  return list == nullptr ? -1 : list->limit;
}

int sessreg_list_get(const sessreg_list* list, size_t index, sessreg_entry* ret_entry) {
  if (list == nullptr || index >= list->sessions.size() || ret_entry == nullptr ||
      ret_entry->size < kFirst<sessreg_entry>)
    return SESSREG_EINVAL;
  give(entry_of(list->sessions[index]), ret_entry);
  return SESSREG_OK;
}

void sessreg_list_free(sessreg_list* list) {
  const Undisturbed undisturbed;
  delete list;
}
