#include "common/parallel.h"

#include <sched.h>

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace sessreg {

std::size_t threads_for(std::size_t sessions) {
  constexpr std::size_t kEach = 16'384;
  // The processors that this process may use.
  cpu_set_t set;
  const bool known = sched_getaffinity(0, sizeof set, &set) == 0;
  const std::size_t processors = known ? static_cast<std::size_t>(CPU_COUNT(&set)) : 1;
  return std::max<std::size_t>(std::min({sessions / kEach, processors, kMostThreads}), 1);
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
    // No more threads, or no memory for them: this one does the rest.
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
  // Whichever thread finishes a block writes all finished blocks that are next in line, so that
  // threads wait for the reader, never for their turn. Blocks are small enough for the caches.
  constexpr std::size_t kBlock = 256;
  const std::size_t blocks = (count + kBlock - 1) / kBlock;
  struct Text {
    std::string text;
    bool is_done = false;
  };
  std::vector<Text> ring(4 * threads);
  std::mutex mutex;
  std::condition_variable changed;
  std::size_t taken = 0, written = 0;  // blocks
  bool is_writing = false, failed = false;
  const auto write_what_is_done = [&](std::unique_lock<std::mutex>& lock) {
    is_writing = true;
    for (Text* next; !failed && (next = &ring[written % ring.size()])->is_done; ++written) {
      lock.unlock();
      print(next->text);
      lock.lock();
      next->is_done = false;
      changed.notify_all();
    }
    is_writing = false;
  };
  const auto work = [&](std::size_t) {
    std::unique_lock lock(mutex);
    try {
      for (;;) {
        changed.wait(lock, [&] { return failed || taken < written + ring.size(); });
        if (failed || taken == blocks) return;
        const std::size_t block = taken++;
        Text& mine = ring[block % ring.size()];
        lock.unlock();
        mine.text.clear();
        const std::size_t end = std::min(count, (block + 1) * kBlock);
        for (std::size_t i = block * kBlock; i < end; ++i)
          append(mine.text, i);
        lock.lock();
        mine.is_done = true;
        if (!is_writing) write_what_is_done(lock);
      }
    } catch (...) {
      if (!lock.owns_lock()) lock.lock();
      failed = true;
      changed.notify_all();
      throw;
    }
  };
  share_work(threads, work);
}

}  // namespace sessreg
