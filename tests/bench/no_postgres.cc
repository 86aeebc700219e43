// For a build without libpq.
#include "web_peers.h"

namespace bench {

std::unique_ptr<Task> django_postgres(const Scale&) {
  return nullptr;
}

}  // namespace bench
