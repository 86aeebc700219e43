#include "varlink/introspection.h"

namespace sessreg::varlink {
namespace {

constexpr std::string_view kServiceInterface = "org.varlink.service";

constexpr std::string_view kServiceDescription =
    R"(# The Varlink Service Interface is provided by every varlink service. It
# describes the service and the interfaces it implements.
interface org.varlink.service

# Get a list of all the interfaces a service provides and information
# about the implementation.
method GetInfo() -> (
  vendor: string,
  product: string,
  version: string,
  url: string,
  interfaces: []string
)

# Get the description of an interface that is implemented by this service.
method GetInterfaceDescription(interface: string) -> (description: string)

# The requested interface was not found.
error InterfaceNotFound (interface: string)

# The requested method was not found
error MethodNotFound (method: string)

# The interface defines the requested method, but the service does not
# implement it.
error MethodNotImplemented (method: string)

# One of the passed parameters is invalid.
error InvalidParameter (parameter: string)

# Client is denied access
error PermissionDenied ()

# Method is expected to be called with 'more' set to true, but wasn't
error ExpectedMore ()
)";

constexpr std::string_view kConnectionDescription =
    R"(# What a connection may get instead of an answer. After all but InternalError it is closed.
interface org.sessreg.Connection

# What was sent is not a Varlink call.
error InvalidMessage (reason: string)

# A message is longer than that.
error MessageTooLong (limit_bytes: int)

# A message was begun, and not ended in that time.
error HalfMessage (limit_ms: int)

# There are too many connections, or too many of one user.
error TooManyConnections (reason: string)

# The service holds too many unread or unsent bytes, or too many of one user.
error OutOfMemory ()

# A fault of the service; its log has more.
error InternalError ()
)";

}  // namespace

Introspection::Introspection(ServiceInfo info) : info_(std::move(info)) {}

void Introspection::add(Service& service) {
  services_[std::string(service.interface_name())] = &service;
}

void Introspection::route(const Call& call, Exchange& exchange) {
  if (const auto found = services_.find(call.interface_name); found != services_.end())
    return found->second->call(call, exchange);
  if (call.interface_name == kConnectionInterface) throw method_not_found(call.method);
  if (call.interface_name != kServiceInterface) throw interface_not_found(call.interface_name);
  if (call.member == "GetInfo") return get_info(call, exchange);
  if (call.member == "GetInterfaceDescription") return get_description(call, exchange);
  throw method_not_found(call.method);
}

void Introspection::get_info(const Call& call, Exchange& exchange) const {
  const Parameters parameters(call, {});
  Json interfaces = {kServiceInterface, kConnectionInterface};
  for (const auto& [name, service] : services_)
    interfaces.push_back(name);
  exchange.reply({{"vendor", info_.vendor},
                  {"product", info_.product},
                  {"version", info_.version},
                  {"url", info_.url},
                  {"interfaces", std::move(interfaces)}});
}

void Introspection::get_description(const Call& call, Exchange& exchange) const {
  const Parameters parameters(call, {"interface"});
  const std::string_view name = parameters.string("interface");
  std::string_view description;
  if (const auto found = services_.find(name); found != services_.end()) {
    description = found->second->description();
  } else if (name == kServiceInterface) {
    description = kServiceDescription;
  } else if (name == kConnectionInterface) {
    description = kConnectionDescription;
  } else {
    throw interface_not_found(name);
  }
  exchange.reply({{"description", description}});
}

}  // namespace sessreg::varlink
