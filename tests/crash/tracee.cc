#include "tracee.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <optional>
#include <unordered_map>

#if defined(__x86_64__)
#define SESSREG_CAN_STEP 1
#else
#define SESSREG_CAN_STEP 0
#endif

namespace {

// A child that is forgotten must not stay.
constexpr unsigned kChildLife_s = 120;

// Where the traced part begins and ends: functions that do nothing, called by the child, whose
// addresses the parent knows because it is the same image. The empty asm keeps each its own.
[[gnu::noinline]] void begin_mark() {
  asm volatile("nop" ::: "memory");
}
[[gnu::noinline]] void end_mark() {
  asm volatile("nop; nop" ::: "memory");
}

std::uintptr_t address_of(void (*function)()) {
  return reinterpret_cast<std::uintptr_t>(function);
}

// The kernel's code that reads the clock: two pages at most.
bool is_in_vdso(std::uintptr_t address) {
  static const std::uintptr_t begin = getauxval(AT_SYSINFO_EHDR);
  return begin != 0 && address >= begin && address < begin + 2 * 4096;
}

[[noreturn]] void run_child(const Script& script) {
  alarm(kChildLife_s);
  if (script.enter) script.enter();
  if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) _exit(126);
  raise(SIGSTOP);
  begin_mark();
  const int result = script.act();
  end_mark();
  _exit(result);
}

#if SESSREG_CAN_STEP

std::uintptr_t instruction_pointer(pid_t pid) {
  errno = 0;
  const long value = ptrace(PTRACE_PEEKUSER, pid, offsetof(user_regs_struct, rip), nullptr);
  if (errno != 0) throw TraceeLost("cannot read a register of the child");
  return static_cast<std::uintptr_t>(value);
}

void set_instruction_pointer(pid_t pid, std::uintptr_t address) {
  if (ptrace(PTRACE_POKEUSER, pid, offsetof(user_regs_struct, rip), address) != 0)
    throw TraceeLost("cannot set a register of the child");
}

std::uintptr_t stack_pointer(pid_t pid) {
  errno = 0;
  const long value = ptrace(PTRACE_PEEKUSER, pid, offsetof(user_regs_struct, rsp), nullptr);
  if (errno != 0) throw TraceeLost("cannot read a register of the child");
  return static_cast<std::uintptr_t>(value);
}

user_regs_struct registers(pid_t pid) {
  user_regs_struct all;
  if (ptrace(PTRACE_GETREGS, pid, nullptr, &all) != 0)
    throw TraceeLost("cannot read the registers of the child");
  return all;
}

// The registers that REX and ModR/M number.
std::uint64_t general_register(const user_regs_struct& all, unsigned number) {
  const std::array<std::uint64_t, 16> in_order = {
      all.rax, all.rcx, all.rdx, all.rbx, all.rsp, all.rbp, all.rsi, all.rdi,
      all.r8,  all.r9,  all.r10, all.r11, all.r12, all.r13, all.r14, all.r15};
  return in_order[number];
}

// The address that the operand of an instruction in memory has, as its ModR/M byte says (Intel's
// manual, volume 2, chapter 2); none: it has no such operand. Where an instruction has no ModR/M
// byte, another byte is taken for it: that gives an address too many now and then.
std::optional<std::uint64_t> operand_address(std::span<const std::uint8_t> code,
                                             const user_regs_struct& all) {
  std::size_t at = 0;
  const auto is_prefix = [](std::uint8_t byte) {
    return byte == 0x66 || byte == 0xf0 || byte == 0xf2 || byte == 0xf3;
  };
  while (is_prefix(code[at]))
    ++at;
  unsigned index_high = 0, base_high = 0;
  if ((code[at] & 0xf0) == 0x40) {  // REX
    index_high = (code[at] & 2u) << 2, base_high = (code[at] & 1u) << 3;
    ++at;
  }
  if (code[at] == 0x0f) {
    ++at;
    if (code[at] == 0x38 || code[at] == 0x3a) ++at;
  }
  ++at;
  const unsigned mod = code[at] >> 6, rm = code[at] & 7u;
  ++at;
  if (mod == 3) return std::nullopt;
  if (mod == 0 && rm == 5) return std::nullopt;  // relative to the code, where no shared memory is
  std::uint64_t address = 0;
  std::size_t displacement = mod == 1 ? 1 : mod == 2 ? 4 : 0;
  if (rm == 4) {  // SIB
    const unsigned scale = code[at] >> 6, index = ((code[at] >> 3) & 7u) | index_high;
    const unsigned base = (code[at] & 7u) | base_high;
    if (index != 4) address += general_register(all, index) << scale;
    if (mod == 0 && (code[at] & 7u) == 5)
      displacement = 4;
    else
      address += general_register(all, base);
    ++at;
  } else {
    address += general_register(all, rm | base_high);
  }
  if (displacement == 1) {
    address += static_cast<std::uint64_t>(static_cast<std::int8_t>(code[at]));
  } else if (displacement == 4) {
    std::int32_t more;
    memcpy(&more, &code[at], sizeof more);
    address += static_cast<std::uint64_t>(std::int64_t{more});
  }
  return address;
}

constexpr unsigned long kBreakpoint = 0xcc;  // int3
constexpr unsigned long kSystemCall = 0x050f;

#else

std::uintptr_t instruction_pointer(pid_t) {
  throw TraceeLost("not on this processor");
}
void set_instruction_pointer(pid_t, std::uintptr_t) {}
std::uintptr_t stack_pointer(pid_t) {
  return 0;
}
constexpr unsigned long kBreakpoint = 0;
constexpr unsigned long kSystemCall = 0;

#endif

}  // namespace

std::string Tracee::unavailable() {
  if (!SESSREG_CAN_STEP) return "single steps are written for x86-64 only";
  try {
    Tracee child(Script{[] {}, [] { return 0; }});
    child.step();
    child.kill();
    return {};
  } catch (const TraceeLost& e) {
    return e.what();
  }
}

Tracee::Tracee(const Script& script) : pid_(fork()) {
  if (pid_ < 0) throw TraceeLost("cannot fork");
  if (pid_ == 0) run_child(script);
  int status = 0;
  if (waitpid(pid_, &status, __WALL) != pid_ || !WIFSTOPPED(status) ||
      WSTOPSIG(status) != SIGSTOP) {
    if (!WIFSTOPPED(status)) pid_ = -1;
    kill();
    throw TraceeLost("the child cannot be traced");
  }
  ptrace(PTRACE_SETOPTIONS, pid_, nullptr, PTRACE_O_EXITKILL);
  try {
    if (!run_to(address_of(begin_mark), 1))
      throw TraceeLost("the child did not begin the operation");
  } catch (...) {
    kill();
    throw;
  }
}

Tracee::~Tracee() {
  kill();
}

void Tracee::kill() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  int status = 0;
  while (waitpid(pid_, &status, __WALL) == pid_ && WIFSTOPPED(status)) {
  }
  pid_ = -1;
}

void Tracee::wait_for_trap() {
  int status = 0;
  if (waitpid(pid_, &status, __WALL) != pid_) throw TraceeLost("the child cannot be waited for");
  if (WIFEXITED(status) || WIFSIGNALED(status)) {
    pid_ = -1;
    throw TraceeLost("the child ended by itself");
  }
  if (WSTOPSIG(status) != SIGTRAP)
    throw TraceeLost(std::string("the child got a signal: ") + strsignal(WSTOPSIG(status)));
}

std::uintptr_t Tracee::address() const {
  return instruction_pointer(pid_);
}

bool Tracee::at_end() const {
  return address() == address_of(end_mark);
}

bool Tracee::at_system_call() const {
  errno = 0;
  const long word = ptrace(PTRACE_PEEKTEXT, pid_, address(), nullptr);
  return errno == 0 && (static_cast<unsigned long>(word) & 0xffff) == kSystemCall;
}

bool Tracee::at_access_to(std::span<const std::byte> memory) const {
#if SESSREG_CAN_STEP
  const user_regs_struct all = registers(pid_);
  // Two words hold any instruction but the longest, which none of ours is.
  std::array<long, 2> code;
  for (std::size_t i = 0; i < code.size(); ++i)
    code[i] = ptrace(PTRACE_PEEKTEXT, pid_, all.rip + i * sizeof(long), nullptr);
  std::array<std::uint8_t, sizeof code> bytes;
  memcpy(bytes.data(), code.data(), sizeof code);
  const auto address = operand_address(bytes, all);
  // Up to a cache line before it is its beginning.
  constexpr std::uint64_t kWidest = 64;
  const auto begin = reinterpret_cast<std::uintptr_t>(memory.data());
  return address && *address + kWidest > begin && *address < begin + memory.size();
#else
  static_cast<void>(memory);
  return false;
#endif
}

void Tracee::step() {
  if (ptrace(PTRACE_SINGLESTEP, pid_, nullptr, nullptr) != 0)
    throw TraceeLost("cannot step the child");
  wait_for_trap();
  if (!is_in_vdso(instruction_pointer(pid_))) return;
  // Just called: the return address is on top of the stack.
  errno = 0;
  const long back = ptrace(PTRACE_PEEKDATA, pid_, stack_pointer(pid_), nullptr);
  if (errno != 0 || !run_to(static_cast<std::uintptr_t>(back), 1))
    throw TraceeLost("the child did not return from the vdso");
}

// False: no breakpoint can be set there, or the child did not come there so often.
bool Tracee::run_to(std::uintptr_t address, std::size_t times) {
  errno = 0;
  const long word = ptrace(PTRACE_PEEKTEXT, pid_, address, nullptr);
  if (errno != 0) return false;
  const unsigned long patched = (static_cast<unsigned long>(word) & ~0xffUL) | kBreakpoint;
  for (std::size_t i = 0; i < times; ++i) {
    if (i > 0) step();
    if (instruction_pointer(pid_) == address) continue;
    if (ptrace(PTRACE_POKETEXT, pid_, address, patched) != 0) return false;
    if (ptrace(PTRACE_CONT, pid_, nullptr, nullptr) != 0) return false;
    wait_for_trap();
    if (ptrace(PTRACE_POKETEXT, pid_, address, word) != 0) return false;
    if (instruction_pointer(pid_) != address + 1) return false;
    set_instruction_pointer(pid_, address);
  }
  return true;
}

Path Tracee::trace(const std::function<void()>& visit) {
  constexpr std::size_t kBreakpointCost = 3;  // in single steps
  Path path;
  std::unordered_map<std::uintptr_t, std::size_t> times;
  std::size_t cost = 0;
  for (;;) {
    const std::uintptr_t here = address();
    const std::size_t k = path.steps.size();
    const std::size_t direct = kBreakpointCost * ++times[here];
    if (k == 0) {
      path.jump.push_back({});
    } else if (direct < cost + 1) {
      path.jump.push_back({k, times[here]});
      cost = direct;
    } else {
      path.jump.push_back(path.jump.back());
      ++cost;
    }
    path.steps.push_back(here);
    if (visit) visit();
    if (here == address_of(end_mark)) return path;
    step();
  }
}

bool Tracee::go_to(const Path& path, std::size_t k) {
  const Path::Jump jump = path.jump[k];
  if (jump.times > 0 && !run_to(path.steps[jump.to], jump.times)) return false;
  for (std::size_t i = jump.to; i < k; ++i)
    step();
  return address() == path.steps[k];
}

int Tracee::finish() {
  ptrace(PTRACE_DETACH, pid_, nullptr, nullptr);
  int status = 0;
  if (waitpid(pid_, &status, __WALL) != pid_) throw TraceeLost("the child cannot be waited for");
  pid_ = -1;
  if (!WIFEXITED(status) || WEXITSTATUS(status) > 100)
    throw TraceeLost("the child did not finish its operation");
  return WEXITSTATUS(status);
}
