// What `explain` says of a service whose sessions have no process, as a web application's.
//
// Thread safety: functions keep no state.
#pragma once

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/session.h"
#include "config/policy.h"

namespace sessreg {

struct Devices {
  std::optional<NameList> clients;  // of the service; unset: the file names none
  ServiceRules rules;
  bool has_limit = false;    // a sessions_limit of the service's own
  std::size_t seats = 0;     // that the service's sessions hold
  std::size_t sessions = 0;  // of the user, by this service: one a device
  std::size_t ended = 0;     // of the user: without a seat, kept to tell their holder why
};

// The names in a list of users and @groups; "nobody".
std::string names_text(const NameList& list);

// Of `clients` in the section of that service; nullptr: it has none, and is no application's.
const NameList* clients_of(const Config& config, const std::string& service);

// The services that whoever is a client of this one is a client of, too: whose sessions a login may end.
std::vector<std::string> services_of_clients(const Config& config, const NameList& clients);

// nullopt: nothing says that the sessions of this service have no process.
std::optional<Devices> devices_of(const Site& site, const std::string& user,
                                  const std::string& service, const std::vector<Session>& sessions);

// Adds what people are told of them: names, and texts that are safe to show.
void append_fields(std::vector<std::pair<std::string, std::string>>& ret_fields,
                   const Devices& devices, const std::string& user);
nlohmann::ordered_json to_json(const Devices& devices);

}  // namespace sessreg
