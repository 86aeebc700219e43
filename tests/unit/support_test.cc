// What the test programs have from tests/support.
#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "../support/catch.h"
#include "../support/child.h"

TEST_CASE("loops for ever", "[.hangs]") {
  for (;;)
    pause();
}

TEST_CASE("a case that hangs is ended and named") {
  int ends[2] = {-1, -1};
  REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
  Child program([&] {
    dup2(ends[1], STDERR_FILENO);
    setenv("SESSREG_CASE_SECONDS", "1", 1);
    execl("/proc/self/exe", "unit_test", "[.hangs]", nullptr);
    return 127;
  });
  close(ends[1]);
  std::string said;
  char text[4096];
  for (ssize_t size = 0; (size = read(ends[0], text, sizeof text)) > 0;)
    said.append(text, static_cast<std::size_t>(size));
  close(ends[0]);
  CHECK(program.wait() == 1);
  CHECK(said ==
        "HANGS: the case 'loops for ever' has not ended after 1 s (SESSREG_CASE_SECONDS)\n");
}
