#include "parallel.h"

#include <sched.h>

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace sessreg {

std::size_t threads_for(std::size_t sessions) {
  constexpr std::size_t kMost = 8;  // reading a registry is bound by memory soon
  constexpr std::size_t kEach = 16'384;
  // Those that this process may use.
  cpu_set_t set;
  const bool known = sched_getaffinity(0, sizeof set, &set) == 0;
  const std::size_t processors = known ? static_cast<std::size_t>(CPU_COUNT(&set)) : 1;
  return std::max<std::size_t>(std::min({sessions / kEach, processors, kMost}), 1);
}

void share_work(std::size_t parts, const std::function<void(std::size_t)>& work) {
  std::vector<std::exception_ptr> failures(parts);
  const auto run = [&](std::size_t part) {
    try {
      work(part);
    } catch (...) {
      failures[part] = std::current_exception();
    }
  };
  std::vector<std::thread> threads;
  threads.reserve(parts);
  std::size_t part = 1;
  try {
    for (; part < parts; ++part)
      threads.emplace_back(run, part);
  } catch (const std::exception&) {
    // The system gives no more of them, or no memory for them: the rest is this one's.
  }
  run(0);
  for (; part < parts; ++part)
    run(part);
  for (std::thread& thread : threads)
    thread.join();
  for (const std::exception_ptr& failure : failures)
    if (failure) std::rethrow_exception(failure);
}

void write_items(Output& output, std::size_t count,
                 const std::function<void(std::string&, std::size_t)>& append) {
  const std::size_t threads = threads_for(count);
  if (threads == 1) {
    for (std::size_t i = 0; i < count; ++i) {
      append(output.text(), i);
      output.line_done();
    }
    return;
  }
  output.flush();
  constexpr std::size_t kBlock = 1024;
  std::mutex mutex;
  std::condition_variable changed;
  std::size_t taken = 0, written = 0;  // blocks
  bool failed = false;
  const auto work = [&](std::size_t) {
    std::string text;
    for (;;) {
      std::unique_lock lock(mutex);
      const std::size_t block = taken;
      if (failed || block * kBlock >= count) return;
      ++taken;
      lock.unlock();

      text.clear();
      const std::size_t end = std::min(count, (block + 1) * kBlock);
      try {
        for (std::size_t i = block * kBlock; i < end; ++i)
          append(text, i);
        lock.lock();
        changed.wait(lock, [&] { return failed || written == block; });
        if (failed) return;
        lock.unlock();
        print(text);  // no other thread's turn meanwhile
        lock.lock();
      } catch (...) {
        if (!lock.owns_lock()) lock.lock();
        failed = true;
        changed.notify_all();
        throw;
      }
      ++written;
      changed.notify_all();
    }
  };
  share_work(threads, work);
}

}  // namespace sessreg
