// org.varlink.service, which every Varlink service implements. Source: https://varlink.org/Service.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "varlink/server.h"

namespace sessreg::varlink {

class Introspection {
 public:
  explicit Introspection(ServiceInfo info);

  void add(Service& service);
  // Throws CallError.
  void route(const Call& call, Exchange& exchange);

 private:
  void get_info(const Call& call, Exchange& exchange) const;
  void get_description(const Call& call, Exchange& exchange) const;

  const ServiceInfo info_;
  std::map<std::string, Service*, std::less<>> services_;
};

}  // namespace sessreg::varlink
