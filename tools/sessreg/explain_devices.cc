#include "sessreg/explain_devices.h"

#include <fmt/core.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "config/policy.h"

namespace sessreg {
namespace {

bool contains_all(const std::vector<std::string>& list, const std::vector<std::string>& names) {
  return std::all_of(names.begin(), names.end(), [&](const std::string& name) {
    return std::find(list.begin(), list.end(), name) != list.end();
  });
}

}  // namespace

std::string names_text(const NameList& list) {
  std::string text;
  for (const std::string& user : list.users)
    text += (text.empty() ? "" : " ") + escape_for_terminal(in_file(user));
  for (const std::string& group : list.groups)
    text += (text.empty() ? "@" : " @") + escape_for_terminal(in_file(group));
  return text.empty() ? "nobody" : text;
}

const NameList* clients_of(const Config& config, const std::string& service) {
  for (const Section& section : config.sections)
    if (section.kind == SectionKind::service && section.name == service && section.settings.clients)
      return &*section.settings.clients;
  return nullptr;
}

std::vector<std::string> services_of_clients(const Config& config, const NameList& clients) {
  std::vector<std::string> services;
  for (const Section& section : config.sections) {
    const auto& others = section.settings.clients;
    if (section.kind == SectionKind::service && others &&
        contains_all(others->users, clients.users) && contains_all(others->groups, clients.groups))
      services.push_back(section.name);
  }
  return services;
}

std::optional<Devices> devices_of(const Site& site, const std::string& user,
                                  const std::string& service,
                                  const std::vector<Session>& sessions) {
  Devices devices;
  for (const Session& session : sessions) {
    const RecordImage& record = session.snapshot.record;
    if (!site.registry->is_service_of(record, service)) continue;
    devices.seats += session.has_seat;
    if (has_process(record) || !site.registry->is_user_of(record, user)) continue;
    ++(is_note(session.snapshot) ? devices.ended : devices.sessions);
  }
  for (const GroupLimit& limit : limited_groups(site.config))
    devices.has_limit |= limit.is_of_service && limit.name == service;
  devices.rules = rules_of_service(site.config, service);
  if (const NameList* clients = clients_of(site.config, service))
    devices.clients = *clients;
  else if (devices.sessions + devices.ended == 0 && devices.rules.keep.count() == 0)
    return std::nullopt;
  return devices;
}

void append_fields(std::vector<std::pair<std::string, std::string>>& ret_fields,
                   const Devices& devices, const std::string& user) {
  std::string of_user = fmt::format("{} of {}", devices.sessions, escape_for_terminal(user));
  if (devices.ended > 0)
    of_user += fmt::format("; ended, to be told why at the next use: {}", devices.ended);
  const bool has_clients =
      devices.clients && !(devices.clients->users.empty() && devices.clients->groups.empty());
  ret_fields.emplace_back("clients",
                          has_clients ? names_text(*devices.clients) + ", and root" : "root alone");
  ret_fields.emplace_back("seats",
                          fmt::format("{} held by the service{}", devices.seats,
                                      devices.has_limit ? "" : ", which has no limit of its own"));
  ret_fields.emplace_back("devices", std::move(of_user));
}

nlohmann::ordered_json to_json(const Devices& devices) {
  nlohmann::ordered_json json;
  json["clients"] =
      devices.clients ? nlohmann::ordered_json(names_text(*devices.clients)) : nullptr;
  json["seats"] = devices.seats;
  json["sessions"] = devices.sessions;
  json["ended"] = devices.ended;
  return json;
}

}  // namespace sessreg
