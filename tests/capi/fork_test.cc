// Children and threads of a program that uses the C API.
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <map>
#include <string_view>
#include <thread>

#include "../support/child.h"
#include "../support/mappings.h"
#include "site.h"

namespace {

bool has_anything_of(const Gateway& site) {
  if (mappings_of().find(site.dir.path()) != std::string::npos) return true;
  for (const auto& fd : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    const std::string file = std::filesystem::read_symlink(fd.path(), gone).string();
    if (file.find(site.dir.path()) != std::string::npos) return true;
  }
  return false;
}

}  // namespace

TEST_CASE("nothing is left open or mapped after a call, here or in a child") {
  Gateway site;
  auto session = site.admitted("daemon");
  CHECK_FALSE(has_anything_of(site));
  REQUIRE(sessreg_bind(session.get(), nullptr, nullptr) == SESSREG_OK);
  REQUIRE(sessreg_touch(session.get(), nullptr) == SESSREG_OK);
  const auto list = site.list();
  CHECK_FALSE(has_anything_of(site));
  Child child([&] { return has_anything_of(site) ? 1 : 0; });
  CHECK(child.wait() == 0);
}

TEST_CASE("in a child every function says that the handle is its parent's, who goes on with it") {
  Gateway site;
  const auto session = site.opened("daemon");
  const auto reserved = site.admitted("bin");
  const std::string id = sessreg_session_id(session.get());
  Child child([&] {
    const sessreg_login login = Gateway::login_of("bin");
    sessreg_session* made = nullptr;
    sessreg_list* list = nullptr;
    Told told;
    const int codes[] = {
        sessreg_admit(site.handle.get(), &login, &made, &told),
        sessreg_bind(reserved.get(), nullptr, &told),
        sessreg_find(site.handle.get(), id.c_str(), "gateway", &made, &told),
        sessreg_touch(session.get(), &told),
        sessreg_touch_token(site.handle.get(), sessreg_session_token(session.get()), &told),
        sessreg_close(session.get(), &told),
        sessreg_close(reserved.get(), &told),
        sessreg_list_new(site.handle.get(), &list, &told),
    };
    for (std::size_t i = 0; i < std::size(codes); ++i)
      if (codes[i] != SESSREG_EFORKED) return static_cast<int>(i) + 1;
    const std::string expected = "made by process " + std::to_string(getppid()) +
                                 ", used in its child " + std::to_string(getpid()) +
                                 ": open the site in the child";
    return told.text == expected ? 0 : 99;
  });
  CHECK(child.wait() == 0);
  CHECK(sessreg_touch(session.get(), nullptr) == SESSREG_OK);
  CHECK(sessreg_bind(reserved.get(), nullptr, nullptr) == SESSREG_OK);
  CHECK(site.seats() == 2);
}

TEST_CASE("a child that frees its parent's handles and leaves changes nothing") {
  Gateway site;
  auto session = site.opened("daemon");
  auto reserved = site.admitted("bin");
  Child child([&] {
    session.reset();
    reserved.reset();
    site.handle.reset();
    return 0;
  });
  CHECK(child.wait() == 0);
  CHECK(site.seats() == 2);
  CHECK(sessreg_touch(session.get(), nullptr) == SESSREG_OK);
  CHECK(sessreg_bind(reserved.get(), nullptr, nullptr) == SESSREG_OK);
}

TEST_CASE("a child that opens the site itself finds its parent's session") {
  Gateway site;
  const auto session = site.opened("daemon");
  const std::string id = sessreg_session_id(session.get());
  Child child([&] {
    sessreg_site* own = nullptr;
    sessreg_session* found = nullptr;
    if (sessreg_open(nullptr, site.config_path().c_str(), &own, nullptr) != SESSREG_OK) return 1;
    if (sessreg_find(own, id.c_str(), "gateway", &found, nullptr) != SESSREG_OK) return 2;
    return sessreg_close(found, nullptr);
  });
  CHECK(child.wait() == 0);
  CHECK(site.seats() == 0);
}

TEST_CASE("a child that another thread forks in the middle of calls gets no mapping") {
  Gateway site("sessions_limit = -1\n");
  std::atomic<bool> stop{false};
  std::thread caller([&] {
    while (!stop) {
      sessreg_list* list = nullptr;
      if (sessreg_list_new(site.handle.get(), &list, nullptr) != SESSREG_OK) break;
      sessreg_list_free(list);
    }
  });
  const auto session = site.opened("daemon");
  constexpr int kChildren = 200;
  const std::string file = site.registry_path();
  std::string maps(1 << 20, '\0');
  int with_mapping = 0;
  for (int i = 0; i < kChildren; ++i) {
    // Allocates nothing: the caller's thread may hold the allocator's lock, which nobody gives back
    // in the child.
    Child child([&] {
      const int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
      std::size_t size = 0;
      for (ssize_t got = 1; got > 0 && size < maps.size(); size += static_cast<std::size_t>(got))
        got = std::max<ssize_t>(read(fd, maps.data() + size, maps.size() - size), 0);
      return std::string_view(maps.data(), size).find(file) == std::string_view::npos ? 0 : 1;
    });
    with_mapping += child.wait() != 0;
  }
  stop = true;
  caller.join();
  // Between its making and its marking a mapping is anybody's: for a microsecond, or for as long as
  // another fork keeps the marking waiting. Without the mark nearly every child gets one, as every
  // list holds it most of its time.
  CHECK(with_mapping < kChildren / 2);
}

TEST_CASE("many threads use one site at once, and exactly as many get in as there are seats") {
  constexpr int kThreads = 8;
  Gateway site("sessions_limit = 5\n");
  std::vector<std::thread> threads;
  threads.reserve(kThreads);
  std::atomic<int> most{0}, inside{0}, wrong{0}, refused{0};
  for (int i = 0; i < kThreads; ++i)
    threads.emplace_back([&] {
      for (int round = 0; round < 30; ++round) {
        Told told;
        const sessreg_login login = Gateway::login_of("daemon");
        sessreg_session* session = nullptr;
        const int code = sessreg_admit(site.handle.get(), &login, &session, &told);
        if (code == SESSREG_SITE_FULL) {
          ++refused;
          wrong += told.count != 5;
          continue;
        }
        const int now_inside = ++inside;
        for (int seen = most; seen < now_inside && !most.compare_exchange_weak(seen, now_inside);) {
        }
        wrong += code != SESSREG_OK || sessreg_bind(session, nullptr, nullptr) != SESSREG_OK ||
                 sessreg_touch(session, nullptr) != SESSREG_OK;
        const std::string token = sessreg_session_token(session);
        wrong += sessreg_touch_token(site.handle.get(), token.c_str(), nullptr) != SESSREG_OK;
        --inside;
        wrong += sessreg_close(session, nullptr) != SESSREG_OK;
        sessreg_session_free(session);
      }
    });
  for (auto& thread : threads)
    thread.join();
  CHECK(wrong == 0);
  CHECK(most <= 5);
  CHECK(site.seats() == 0);
}

TEST_CASE("a thread is not cancelled inside a call") {
  Gateway site("sessions_limit = -1\n");
  std::atomic<int> done{0};
  struct Shared {
    Gateway& site;
    std::atomic<int>& done;
  } shared{site, done};
  pthread_t thread{};
  REQUIRE(pthread_create(
              &thread, nullptr,
              [](void* data) -> void* {
                auto& [at, calls] = *static_cast<Shared*>(data);
                for (;;) {
                  sessreg_list* list = nullptr;
                  if (sessreg_list_new(at.handle.get(), &list, nullptr) != SESSREG_OK) return data;
                  sessreg_list_free(list);
                  if (++calls > 20) pthread_testcancel();
                }
              },
              &shared) == 0);
  REQUIRE(pthread_cancel(thread) == 0);
  void* result = nullptr;
  REQUIRE(pthread_join(thread, &result) == 0);
  CHECK(result == PTHREAD_CANCELED);
  CHECK(done > 20);
  CHECK_FALSE(has_anything_of(site));
}
