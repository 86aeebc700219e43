// What arrived on a connection, cut into messages at its NULs.
//
// Bytes are read into memory that all connections share. Only an incomplete message left over after
// a turn is copied into the connection's own memory, so an idle connection holds none.
//
// Thread safety: none.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

#include "varlink/accounts.h"
#include "varlink/message.h"

namespace sessreg::varlink {

class Scratch {
 public:
  explicit Scratch(std::size_t bytes) : bytes_(bytes), memory_(new char[bytes + kPaddingBytes]()) {}
  char* begin() { return memory_.get(); }
  std::size_t bytes() const { return bytes_; }

 private:
  std::size_t bytes_;
  std::unique_ptr<char[]> memory_;
};

class Input {
 public:
  enum class Next { message, incomplete, too_long };

  Input(std::size_t max_message_bytes, Scratch& scratch)
      : max_message_bytes_(max_message_bytes), scratch_(scratch) {}
  ~Input();
  Input(const Input&) = delete;
  Input& operator=(const Input&) = delete;

  // Where to read to. Throws bad_alloc.
  std::span<char> space();
  // That many bytes were read there.
  void add(std::size_t bytes) { end_ += bytes; }
  // `ret_message` is without its NUL, followed by kPaddingBytes readable bytes, and valid until
  // space() or keep().
  Next next(std::string_view& ret_message);
  // That message is the next one again. MUST follow next(), which returned it.
  void put_back(std::string_view message) {
    begin_ -= message.size() + 1;
    searched_ = begin_;
  }
  // MUST be called before another connection uses the scratch memory. Throws bad_alloc.
  void keep();

  void clear();

  bool is_empty() const { return begin_ == end_; }
  // Memory of its own, after keep().
  std::size_t held_bytes() const { return capacity_; }

 private:
  void reserve(std::size_t bytes);

  const std::size_t max_message_bytes_;
  Scratch& scratch_;
  char* own_ = nullptr;
  std::size_t capacity_ = 0;
  char* data_ = nullptr;  // own_ or the scratch memory
  std::size_t begin_ = 0, end_ = 0;
  std::size_t searched_ = 0;  // no NUL in [begin_, searched_)
};

}  // namespace sessreg::varlink
