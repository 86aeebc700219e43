// Who is there: the sessions of a registry as the latest scan found them, and an index of them by
// id and by token.
//
// Rules:
//   1. The registry is the truth, and this only remembers it: whoever acts on an entry reads its
//      slot again first.
//   2. An entry is of one session, or of one reservation. What takes the slot later gets an entry
//      of its own, after the earlier one was reported as closed.
//   3. Every slot is looked at when a seat has changed hands, and in any case every 2 seconds,
//      because exempt sessions and marks do not pass the gate.
//
// Thread safety: none; it belongs to the loop's thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "config/config.h"
#include "host/process_table.h"
#include "registry/registry.h"
#include "session/change.h"
#include "sessregd/event_source.h"
#include "sessregd/logind.h"

namespace sessreg {

// Whether it was revoked or evicted.
bool is_to_go(const Snapshot& held);

// A session that is there. What other parts remember about it is kept here too, because it goes
// when the session does.
struct Tracked {
  SlotRef ref;
  StateWord state{};
  RecordImage record{};
  bool marked = false;  // from the glance, which may be about an earlier session in the slot
  bool is_to_go = false;
  bool terminals_tell = false;  // see TerminalLook; as it was last looked at
  std::uint64_t scan = 0;       // the scan that saw it last

  std::optional<ProcessWatch> leader;  // leaders.h
  std::uint64_t check_ms = 0;          // time_outs.h
  bool end_was_audited = false;        // the same
  bool is_being_ended = false;         // endings.h
  struct Desktop {                     // desktops.h
    std::string session;               // logind's; empty: not known
    std::unique_ptr<Logind::Question> question;
    bool has_told = false;  // whether its user is idle
  } desktop;
};

class Roster {
 public:
  // Called from inside the roster's functions with each change noticed, of reservations too. `held`
  // is the slot as it was read; for a closed session, as it was last seen.
  using Notice = std::function<void(Change, Tracked&, const Snapshot& held)>;

  // `registry` and `config` must outlive it.
  Roster(Registry& registry, const Config& config, Notice notice)
      : registry_(registry), config_(config), notice_(std::move(notice)) {}

  // Looks at every slot.
  void scan();
  bool is_scan_due(std::uint64_t now_ms) const;

  // nullptr: the session is not there, or not known yet.
  Tracked* find(const SlotRef& ref);
  Tracked* in_slot(std::uint32_t slot);
  // The slot may hold another session by now, or none.
  std::optional<std::uint32_t> slot_of_id(const SessionId& id) const;
  std::optional<std::uint32_t> slot_of_token(const TokenDigest& digest) const;

  template <class Visit>
  void for_each(Visit visit) {
    for (auto& [slot, tracked] : tracked_)
      visit(tracked);
  }

  // Takes the typing on its terminals as activity. `ret_held` is read again.
  void look_at_terminals(Tracked& tracked, Snapshot& ret_held, const ProcessTable& table);

  // The session is closed.
  void forget(const SlotRef& ref);
  void forget_all();

 private:
  struct DigestHash {
    std::size_t operator()(const TokenDigest& digest) const;
  };

  void look_at(std::uint32_t slot, const StateWord& state, bool marked);

  Registry& registry_;
  const Config& config_;
  const Notice notice_;
  std::unordered_map<std::uint32_t, Tracked> tracked_;  // by slot
  std::unordered_map<TokenDigest, std::uint32_t, DigestHash> slot_of_digest_;
  std::unordered_map<SessionId, std::uint32_t, DigestHash> slot_of_id_;
  std::uint64_t scans_ = 0;
  std::uint64_t gate_seen_ = 0;
  std::uint64_t next_scan_ms_ = 0;       // if a seat has changed hands
  std::uint64_t next_full_scan_ms_ = 0;  // in any case
};

}  // namespace sessreg
