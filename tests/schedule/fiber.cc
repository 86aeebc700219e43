#include "fiber.h"

#include <cstdint>

#if defined(__SANITIZE_ADDRESS__)
#define SESSREG_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SESSREG_ASAN 1
#endif
#endif

#ifdef SESSREG_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace {

#ifdef SESSREG_ASAN
void before_switch(void** ret_fake, const void* stack, std::size_t bytes) {
  __sanitizer_start_switch_fiber(ret_fake, stack, bytes);
}
void after_switch(void* fake, const void** ret_stack, std::size_t* ret_bytes) {
  __sanitizer_finish_switch_fiber(fake, ret_stack, ret_bytes);
}
void forget_stack(char* stack, std::size_t bytes) {
  __asan_unpoison_memory_region(stack, bytes);
}
#else
void before_switch(void**, const void*, std::size_t) {}
void after_switch(void*, const void**, std::size_t*) {}
void forget_stack(char*, std::size_t) {}
#endif

}  // namespace

Fiber::Fiber() : stack_(std::make_unique<char[]>(kStackBytes)) {
  // Once: it is a system call.
  getcontext(&inside_);
}

void Fiber::start(void (*body)(void*), void* argument) {
  forget_stack(stack_.get(), kStackBytes);
  body_ = body;
  argument_ = argument;
  done_ = false;
  inside_.uc_stack.ss_sp = stack_.get();
  inside_.uc_stack.ss_size = kStackBytes;
  inside_.uc_link = nullptr;
  // makecontext passes ints only.
  const auto self = reinterpret_cast<std::uintptr_t>(this);
  makecontext(&inside_, reinterpret_cast<void (*)()>(entry), 2, static_cast<unsigned>(self >> 32),
              static_cast<unsigned>(self));
}

void Fiber::entry(unsigned high, unsigned low) {
  auto* self = reinterpret_cast<Fiber*>(static_cast<std::uintptr_t>(high) << 32 | low);
  after_switch(nullptr, &self->outside_stack_, &self->outside_stack_bytes_);
  self->body_(self->argument_);
  self->done_ = true;
  self->yield();
}

bool Fiber::resume() {
  if (done_) return false;
  void* fake = nullptr;
  before_switch(&fake, stack_.get(), kStackBytes);
  swapcontext(&outside_, &inside_);
  after_switch(fake, nullptr, nullptr);
  return !done_;
}

void Fiber::yield() {
  void* fake = nullptr;
  before_switch(&fake, outside_stack_, outside_stack_bytes_);
  swapcontext(&inside_, &outside_);
  after_switch(fake, &outside_stack_, &outside_stack_bytes_);
}
