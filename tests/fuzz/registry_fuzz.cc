// libFuzzer target: a registry file whose words are anybody's. Any bytes behind the header's stamp
// have to give an error or a registry that answers: no crash, no hang.
//
// The input is a list of changes to a good file: where, how many bytes, and which. A few places are
// what matters (the words that many share, and the first slots), so most offsets are drawn there.

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

#include "../support/exercise.h"
#include "../support/temp_dir.h"
#include "registry/registry_file.h"

using namespace sessreg;

namespace {

class Image {
 public:
  Image() : host_(*host_identity()) {
    if (!Registry::open_or_create(path_, host_, 4)) abort();
    struct stat st {};
    if (stat(path_.c_str(), &st) != 0) abort();
    size_ = static_cast<std::size_t>(st.st_size);
  }

  void try_out(std::string_view changes) {
    const int fd = open(path_.c_str(), O_RDWR | O_CLOEXEC);
    if (fd < 0) abort();
    // Zeros behind the header are the good file.
    if (ftruncate(fd, sizeof(HeaderImage)) != 0 || ftruncate(fd, static_cast<off_t>(size_)) != 0)
      abort();
    while (changes.size() > 4) {
      std::uint32_t where = 0;
      memcpy(&where, changes.data(), 3);
      const std::size_t count =
          std::min<std::size_t>(static_cast<unsigned char>(changes[3]), changes.size() - 4);
      const std::size_t offset = place(where);
      const std::size_t fits = std::min(count, size_ - offset);
      if (pwrite(fd, changes.data() + 4, fits, static_cast<off_t>(offset)) < 0) abort();
      changes.remove_prefix(4 + count);
    }
    close(fd);
    exercise_registry(path_, host_);
  }

 private:
  std::size_t place(std::uint32_t where) const {
    constexpr std::size_t kSlotsOften = 8 * kSlotBytes, kFailuresOften = 4096;
    const std::size_t at = where >> 2;
    switch (where & 3) {
      case 0:
        return kSharedOffset + at % (kHeaderBytes - kSharedOffset);
      case 1:
        return kSlotsOffset + at % kSlotsOften;
      case 2:
        return kFailuresOffset + at % kFailuresOften;
      default:
        return sizeof(HeaderImage) + at % (size_ - sizeof(HeaderImage));
    }
  }

  TempDir dir_;
  const std::string path_ = dir_ / "site.reg";
  const HostIdentity host_;
  std::size_t size_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Image image;
  image.try_out({reinterpret_cast<const char*>(data), size});
  return 0;
}
