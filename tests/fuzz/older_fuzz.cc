// libFuzzer target: a registry of an earlier layout whose slots are anybody's. Any bytes have to
// give a registry that answers: no crash, no hang, no more seats than it has.
//
// The input is what lies in the file from some slot on; its first byte says of which version it is,
// and in which slot.

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

#include "../support/exercise.h"
#include "../support/temp_dir.h"
#include "../support/version2.h"
#include "registry/registry_file.h"

using namespace sessreg;

namespace {

// The file of version 3 differs from today's in its header.
std::string version3(const std::string& path, const HostIdentity& host) {
  if (!Registry::open_or_create(path, host, version2::kCapacity)) abort();
  std::ifstream file(path, std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(file)), {});
  HeaderImage header{};
  std::memcpy(&header, bytes.data(), sizeof header);
  header.version = 3;
  version2::Version2 stamper(host);
  stamper.set_header(header);
  header = stamper.header();
  std::memcpy(bytes.data(), &header, sizeof header);
  return bytes;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const TempDir dir;
  static const HostIdentity host = *host_identity();
  const std::string path = dir / "site.reg";
  static const std::string third = version3(path, host);
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const unsigned first = input.empty() ? 0 : static_cast<std::uint8_t>(input[0]);
  const std::uint32_t slot = first % 4;
  const bool is_third = (first & 4) != 0;
  std::string bytes = is_third ? third : version2::Version2(host).bytes();
  const std::size_t at =
      is_third ? kSlotsOffset + slot * 7 * kSlotBytes : version2::Version2::at(slot * 345);
  input.substr(std::min<std::size_t>(1, size)).copy(bytes.data() + at, bytes.size() - at);
  dir.write("site.reg", bytes);
  chmod(path.c_str(), 0600);
  auto registry = Registry::open_or_create(path, host, 4);
  if (!registry || registry->count() > registry->capacity()) abort();
  exercise_registry(path, host);
  unlink(path.c_str());
  return 0;
}
