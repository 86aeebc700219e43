// What web frameworks do to keep at most so many sessions: Django's table of sessions, in which the
// live ones are counted, and a row is put if that leaves room for it, in one transaction; and is taken
// away in another.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "peers.h"
#include "random.h"

namespace bench {

// As Django makes the table, and what it writes there.
inline constexpr const char* kSessionColumns =
    "session_key varchar(40) NOT NULL PRIMARY KEY, session_data text NOT NULL, expire_date";
struct WebSession {
  std::string key = std::string(32, '0');
  std::string data = std::string(250, 'x');  // a signed user id, and a little more
  std::string expires = "2100-01-01 00:00:00";

  void draw(Random& random) {
    put_hex(random.next(), key.data());
    put_hex(random.next(), key.data() + 16);
    const auto put = [&](std::size_t at, std::uint32_t number) {
      expires[at] = static_cast<char>('0' + number / 10);
      expires[at + 1] = static_cast<char>('0' + number % 10);
    };
    put(8, 1 + random.below(14));
    put(11, random.below(24));
    put(14, random.below(60));
    put(17, random.below(60));
  }
};

// SQLite in WAL mode, synchronous=OFF.
std::unique_ptr<Task> django_sqlite(const Scale& scale);
// A PostgreSQL server on a private unix socket; nothing if it is not installed.
std::unique_ptr<Task> django_postgres(const Scale& scale);

}  // namespace bench
