#include "ours.h"

#include <stdexcept>

namespace bench {
namespace {

using namespace sessreg;

template <class T>
T value_of(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().what);
  return std::move(*result);
}

}  // namespace

Site::Site(const std::string& path, std::uint32_t limit, std::uint32_t sessions)
    : limit_(limit),
      mapped_(value_of(open_or_create_registry_file(path, value_of(host_identity()), limit))),
      gate_(mapped_.shared(), mapped_.slots(), mapped_.header().capacity),
      registry_(value_of(Registry::open(path, value_of(host_identity())))) {
  gate_.set_configured(gate_.configured(), configured());
  // The leader is this process, so that the system, if it is asked, finds the holders alive.
  const ProcessId self = self_id();
  record_.kind = RecordKind::session;
  record_.leader_pid = static_cast<std::uint32_t>(self.pid);
  record_.leader_start_ticks = self.start_ticks;
  record_.parent_pid = 1;
  record_.opened_boottime_ms = 1000;
  record_.opened_realtime_ms = 1000;
  record_.victim_slot = kNoSlot;
  record_.user_limit = -1;
  Random random(limit);
  refs_.reserve(sessions);
  for (std::uint32_t i = 0; i < sessions; ++i) {
    Seat seat{};
    // By the library's own placement: how full a table is to be searched is part of the cost.
    if (!take(random.key(), random.key(), seat)) throw std::runtime_error("cannot fill " + path);
    Snapshot seated;
    gate_.table().snapshot(seat.slot, seated);
    refs_.push_back(seated.ref);
  }
  become_worker();
}

void Site::become_worker() {
  login_.user = "somebody";
  login_.uid = 1000;
  login_.service = "sshd";
  login_.host = "192.0.2.7";
  login_.tty = "ssh";
  login_.connection = "192.0.2.7 50000 192.0.2.1 22";
  login_.self = self_id();
  login_.parent = parent_id();
}

bool Site::bind(const Key& id, Seat& reservation) {
  const auto claim = gate_.table().claim(id[0], record_.user_hash, {kPid, 1});
  if (!claim) return false;
  gate_.table().write_record(*claim, record_);
  if (gate_.bind(*claim, {reservation.slot, reservation.generation}) != Outcome::done) return false;
  reservation = {claim->slot, gate_.widths().next_generation(claim->epoch)};
  return true;
}

}  // namespace bench
