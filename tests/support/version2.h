// A registry of layout version 2, written byte by byte as that version did.
#pragma once

#include <cstring>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/hash.h"
#include "registry/layout.h"

namespace sessreg::version2 {

inline constexpr std::uint32_t kCapacity = 16;
inline constexpr std::uint32_t kSlots = kCapacity + 1024;
inline constexpr std::size_t kHeader = 2048;
inline constexpr std::size_t kSlot = 384;
inline constexpr HashKey kKey = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

// A file of version 2 in memory. The offsets are those of its slots' and records' fields.
class Version2 {
 public:
  explicit Version2(const HostIdentity& host) : bytes_(kHeader + kSlots * kSlot, '\0') {
    HeaderImage header{};
    header.magic = kMagic;
    header.version = 2;
    header.header_bytes = kHeader;
    header.slot_bytes = kSlot;
    header.slots = kSlots;
    header.capacity = kCapacity;
    header.boot_id = host.boot_id;
    header.pid_namespace = host.pid_namespace;
    header.time_namespace = host.time_namespace;
    header.created_realtime_ms = 1'700'000'000'000;
    header.hash_key = kKey;
    set_header(header);
  }

  HeaderImage header() const {
    HeaderImage header{};
    std::memcpy(&header, bytes_.data(), sizeof header);
    return header;
  }
  void set_header(HeaderImage header) {
    constexpr HashKey kStampKey = {'s', 'e', 's', 's', 'r', 'e', 'g', ' ',
                                   'h', 'e', 'a', 'd', 'e', 'r', ' ', '1'};
    header.stamp =
        hash64(kStampKey, {reinterpret_cast<const char*>(&header), offsetof(HeaderImage, stamp)});
    std::memcpy(bytes_.data(), &header, sizeof header);
  }

  template <class T>
  void put(std::size_t offset, T value) {
    std::memcpy(bytes_.data() + offset, &value, sizeof value);
  }
  void put_text(std::size_t offset, std::string_view text) {
    text.copy(bytes_.data() + offset, text.size());
  }
  static std::size_t at(std::uint32_t slot) { return kHeader + slot * kSlot; }

  void add(std::uint32_t slot, Stage stage, RecordKind kind, const std::string& user,
           std::uint64_t opened_ms, std::uint64_t used_ms) {
    const std::size_t state = at(slot), record = state + 32;
    const std::uint64_t epoch = 7;
    put<std::uint64_t>(state, 1 << 3 | static_cast<std::uint64_t>(stage));
    put<std::uint64_t>(state + 16, epoch << 32 | used_ms / 100);
    put<std::uint64_t>(state + 24, epoch << 32);
    put(record, hash128(kKey, "id of " + user));
    put(record + 16, hash128(kKey, user));
    put<std::uint32_t>(record + 32, 1000);
    put(record + 36, kind);
    put<std::uint32_t>(record + 40, static_cast<std::uint32_t>(self_id().pid));
    put<std::uint64_t>(record + 48, self_id().start_ticks);
    put<std::uint64_t>(record + 64, opened_ms);
    put<std::int64_t>(record + 72, now().realtime_ms - 60'000);
    put<std::uint64_t>(record + 88, hash64(kKey, "sshd"));
    put<std::uint32_t>(record + 104, static_cast<std::uint32_t>(epoch));
    put_text(record + 136, user);
    put_text(record + 176, "sshd");
    put_text(record + 208, "192.0.2.7");
    put_text(record + 264, "pts/1");
  }
  void revoke(std::uint32_t slot, std::string_view reason) {
    put<std::uint64_t>(at(slot) + 24, std::uint64_t{7} << 32 | 2);
    put_text(at(slot) + 320, reason);
  }
  void set_override(std::uint32_t limit) {
    put<std::uint64_t>(336, std::uint64_t{1} << 32 | limit);
  }

  std::string& bytes() { return bytes_; }

 private:
  std::string bytes_;
};

}  // namespace sessreg::version2
