#include "registry/record.h"

#include <algorithm>
#include <cstring>

#include "base/hash.h"

namespace sessreg {

std::string to_hex(const SessionId& id) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  hex.reserve(id.size() * 2);
  for (const std::uint8_t byte : id) {
    hex += kDigits[byte >> 4];
    hex += kDigits[byte & 15];
  }
  return hex;
}

std::optional<ProcessId> leader_of(const RecordImage& record) {
  // Pid 0 comes from a damaged file only, and means the caller itself to half of the system calls.
  if (!has_process(record) || record.leader_pid == 0) return std::nullopt;
  return ProcessId{static_cast<pid_t>(record.leader_pid), record.leader_start_ticks};
}

DeviceHash device_of(const RecordImage& record) {
  DeviceHash device = kNoDevice;
  if (has_process(record)) return device;
  const std::array<std::uint64_t, 2> words = {record.leader_start_ticks, record.parent_start_ticks};
  std::memcpy(device.data(), words.data(), device.size());
  return device;
}

Leftovers leftovers_of(const RecordImage& record) {
  Leftovers leftovers;
  if (record.kind == RecordKind::reservation || !has(record.flags, RecordFlags::has_audit_session))
    return leftovers;
  leftovers.audit_session = record.parent_pid;
  leftovers.uid = record.uid;
  leftovers.terminals_only = has(record.flags, RecordFlags::counts_terminals);
  leftovers.beside_leader = leftovers.terminals_only || has(record.flags, RecordFlags::counts_any);
  return leftovers;
}

TerminalLook look_at(const RecordImage& record) {
  TerminalLook look{leader_of(record).value(), uid_of(record), leftovers_of(record)};
  look.has_display = has(record.flags, RecordFlags::has_display);
  return look;
}

std::optional<std::uint64_t> expiry_ms(const Snapshot& session, bool terminals_tell) {
  const RecordImage& record = session.record;
  std::optional<std::uint64_t> end;
  const bool is_limited = record.kind == RecordKind::session ||
                          (record.kind == RecordKind::exempt && !has_process(record));
  if (!is_limited) return end;
  if (record.ends_boottime_ms != 0) end = record.ends_boottime_ms;
  if (record.ttl_s != 0 && (terminals_tell || session.use_is_told || !has_process(record))) {
    const std::uint64_t last_ms = std::max(session.last_activity_ms, record.opened_boottime_ms);
    const std::uint64_t unused_ms = last_ms + std::uint64_t{record.ttl_s} * 1000;
    end = std::min(end.value_or(unused_ms), unused_ms);
  }
  return end;
}

bool is_note(const Snapshot& session) {
  return session.state.stage == Stage::evicted && !has_process(session.record);
}

std::uint64_t end_of_note_ms(const Snapshot& note) {
  // Whoever took its seat away has noted the time as its last activity.
  const std::uint64_t kept_ms =
      std::max(note.last_activity_ms, note.record.opened_boottime_ms) + kNoteKept_ms;
  return std::min(expiry_ms(note, true).value_or(kept_ms), kept_ms);
}

const char* reason_of_expiry(const RecordImage& record, std::uint64_t now_ms) {
  const bool too_old = record.ends_boottime_ms != 0 && now_ms >= record.ends_boottime_ms;
  return too_old ? "its lifetime is over" : "it was not used for too long";
}

std::string reason_of(const Snapshot& session) {
  if (session.mark < MarkStage::revoked) return {};
  const std::string reason(text_of(session.reason));
  // A text that two revokers wrote at once does not match.
  return checksum_of_reason(reason) == session.reason_checksum ? reason : std::string();
}

std::uint16_t checksum_of_reason(std::string_view reason) {
  constexpr HashKey kReasonKey = {'s', 'e', 's', 's', 'r', 'e', 'g', ' ',
                                  'r', 'e', 'a', 's', 'o', 'n', ' ', '1'};
  return static_cast<std::uint16_t>(hash64(kReasonKey, reason));
}

}  // namespace sessreg
