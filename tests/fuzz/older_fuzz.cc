// libFuzzer target: a registry of an earlier layout whose slots are anybody's. Any bytes have to
// give a registry that answers: no crash, no hang, no more seats than it has.
//
// The input is what lies in the file from the first slots on; its first bytes say in which.

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "../support/exercise.h"
#include "../support/temp_dir.h"
#include "../support/version2.h"
#include "registry/registry_file.h"

using namespace sessreg;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const TempDir dir;
  static const HostIdentity host = *host_identity();
  const std::string path = dir / "site.reg";
  version2::Version2 old(host);
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t slot = input.empty() ? 0 : static_cast<std::uint8_t>(input[0]) % 4;
  const std::size_t at = version2::Version2::at(static_cast<std::uint32_t>(slot * 345));
  input.substr(std::min<std::size_t>(1, size))
      .copy(old.bytes().data() + at, old.bytes().size() - at);
  dir.write("site.reg", old.bytes());
  chmod(path.c_str(), 0600);
  auto registry = Registry::open_or_create(path, host, 4);
  if (!registry || registry->count() > registry->capacity()) abort();
  exercise_registry(path, host);
  unlink(path.c_str());
  return 0;
}
