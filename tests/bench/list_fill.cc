// A registry full of sessions, for long_list: all are of this process, which lives until its
// standard input ends.
//
// usage: list_fill REGISTRY SESSIONS
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <string>

#include "ours.h"
#include "registry/registry.h"

int main(int argc, char** argv) {
  using namespace sessreg;
  if (argc != 3) return 2;
  const int sessions = atoi(argv[2]);
  auto registry =
      Registry::open_or_create(argv[1], *host_identity(), static_cast<std::uint32_t>(sessions));
  if (!registry) {
    fprintf(stderr, "list_fill: %s\n", registry.error().what.c_str());
    return 1;
  }
  const Terms terms(ConfiguredLimit{1, -1});
  registry->publish_limit(registry->published_limit(), terms.site);
  const bench::AllAlive alive;
  for (int i = 0; i < sessions; ++i) {
    Login login;
    login.user = "user" + std::to_string(100'000 + i % 20'000);
    login.uid = static_cast<std::uint32_t>(1000 + i % 20'000);
    login.service = "sshd";
    login.host = "192.0.2." + std::to_string(i % 254 + 1);
    login.tty = "pts/" + std::to_string(i % 1000);
    login.self = login.parent = self_id();
    if (!registry->admit(login, terms, alive).admitted()) return 1;
  }
  puts("filled");
  fflush(stdout);
  char ignored = 0;
  while (read(STDIN_FILENO, &ignored, 1) > 0) {
  }
}
