#include "varlink/input.h"

#include <stdlib.h>
#include <string.h>

#include <algorithm>
#include <new>

namespace sessreg::varlink {
namespace {

// A connection's memory may have this much empty space, on top of as much as is full.
constexpr std::size_t kSpareBytes = 16 << 10;

}  // namespace

Input::~Input() {
  free(own_);
}

void Input::reserve(std::size_t bytes) {
  if (bytes <= capacity_) return;
  void* grown = realloc(own_, bytes + kPaddingBytes);
  if (grown == nullptr) throw std::bad_alloc();
  own_ = static_cast<char*>(grown);
  capacity_ = bytes;
}

std::span<char> Input::space() {
  if (is_empty()) {
    keep();
    data_ = scratch_.begin();
    return {data_, scratch_.bytes()};
  }
  keep();
  if (capacity_ - end_ < kSpareBytes && begin_ > 0) {
    memmove(own_, own_ + begin_, end_ - begin_);
    end_ -= begin_;
    searched_ -= begin_;
    begin_ = 0;
  }
  if (capacity_ - end_ < kSpareBytes)
    reserve(std::min(2 * end_, max_message_bytes_ + kSpareBytes) + kSpareBytes);
  data_ = own_;
  return {own_ + end_, std::min(capacity_ - end_, scratch_.bytes())};
}

Input::Next Input::next(std::string_view& ret_message) {
  const void* nul = searched_ == end_ ? nullptr : memchr(data_ + searched_, '\0', end_ - searched_);
  if (nul == nullptr) {
    searched_ = end_;
    return end_ - begin_ > max_message_bytes_ ? Next::too_long : Next::incomplete;
  }
  const auto at = static_cast<std::size_t>(static_cast<const char*>(nul) - data_);
  if (at - begin_ > max_message_bytes_) return Next::too_long;
  ret_message = {data_ + begin_, at - begin_};
  begin_ = searched_ = at + 1;
  return Next::message;
}

void Input::clear() {
  free(own_);
  own_ = data_ = nullptr;
  capacity_ = begin_ = end_ = searched_ = 0;
}

void Input::keep() {
  const std::size_t size = end_ - begin_;
  if (size == 0) return clear();
  if (data_ == own_) return;
  reserve(size + kSpareBytes);
  memcpy(own_, data_ + begin_, size);
  data_ = own_;
  searched_ -= begin_;
  begin_ = 0;
  end_ = size;
}

}  // namespace sessreg::varlink
