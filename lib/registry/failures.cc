#include "registry/failures.h"

#include "registry/failure_table.h"

namespace sessreg {
namespace {

using Table = FailureTable<std::atomic<std::uint64_t>>;

}  // namespace

FailureStatus Failures::failed(const RemoteHost& host, std::string_view user,
                               std::uint64_t now_ms) {
  return Table(*words_, key_, rules_).failed(host, user, now_ms);
}

FailureStatus Failures::attempt(const RemoteHost& host, std::uint64_t now_ms) {
  return Table(*words_, key_, rules_).attempt(host, now_ms);
}

FailureStatus Failures::status(const RemoteHost& host, std::uint64_t now_ms) {
  return Table(*words_, key_, rules_).status(host, now_ms);
}

void Failures::succeeded(const RemoteHost& host, std::string_view user, std::uint64_t now_ms) {
  Table(*words_, key_, rules_).succeeded(host, user, now_ms);
}

std::string Failures::reset(const RemoteHost& host, std::uint64_t now_ms) {
  return Table(*words_, key_, rules_).reset(host, now_ms);
}

bool Failures::reset(const HostHash& host_hash, std::uint64_t now_ms) {
  return Table(*words_, key_, rules_).reset(host_hash, now_ms);
}

std::size_t Failures::reset_all(std::uint64_t now_ms) {
  return Table(*words_, key_, rules_).reset_all(now_ms);
}

std::vector<HostFailures> Failures::list(std::uint64_t now_ms) {
  return Table(*words_, key_, rules_).list(now_ms);
}

}  // namespace sessreg
