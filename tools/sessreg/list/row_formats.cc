#include "sessreg/list/row_formats.h"

#include <algorithm>
#include <charconv>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string_view>

#include "base/text.h"
#include "common/output.h"
#include "common/times.h"

namespace sessreg {
namespace {

void append_number(std::string& out, std::int64_t number) {
  std::array<char, 24> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
  out.append(digits.data(), end);
}

// Calls `writer` with each field. plain() gets the texts that need no escaping.
template <class Writer>
void write_fields(Writer& writer, const Row& row) {
  const auto text_of_row = [&](const char* name, std::string_view value) {
    if (row.is_plain && !value.empty())
      writer.plain(name, value);
    else
      writer.text(name, value);
  };
  const auto text_or_null = [&](const char* name, std::string_view value) {
    if (value.empty())
      writer.null(name);
    else
      text_of_row(name, value);
  };
  writer.plain("id", IdDigits(row.id).text());
  writer.text("site", *row.site);
  text_of_row("user", row.user());
  if (const auto uid = row.uid())
    writer.number("uid", *uid);
  else
    writer.null("uid");
  text_of_row("service", row.service());
  text_or_null("host", row.host());
  text_or_null("tty", row.tty());
  writer.plain("state", text(row.state));
  writer.time("opened", row.opened_realtime_ms);
  writer.time("last_activity", row.last_activity_realtime_ms);
  if (const auto expires_ms = row.expires_realtime_ms())
    writer.time("expires", *expires_ms);
  else
    writer.null("expires");
  writer.number("idle_seconds", static_cast<std::int64_t>(row.idle_ms / 1000));
  writer.number("pid", row.pid);
  writer.boolean("seat", row.has_seat);
  text_or_null("reason", row.reason());
  writer.boolean("process", row.pid != 0);
  text_or_null("terminal", row.terminal());
  text_or_null("command", row.command());
  writer.boolean("here", row.is_here);
}

template <class Writer>
void write_fields(Writer& writer, const UserRow& user) {
  writer.text("site", *user.site);
  writer.text("user", user.user);
  if (user.uid)
    writer.number("uid", *user.uid);
  else
    writer.null("uid");
  writer.number("sessions", static_cast<std::int64_t>(user.sessions));
  writer.number("seats", static_cast<std::int64_t>(user.seats));
  writer.number("dangling", static_cast<std::int64_t>(user.dangling));
  writer.time("last_activity", user.last_activity_realtime_ms);
  writer.number("idle_seconds", static_cast<std::int64_t>(user.idle_ms / 1000));
}

// What the writers share. A Format has begin(name), which also writes what separates fields, and
// null(), text(text), plain(text) and number(number) for values.
template <class Format>
class Writer : public Format {
 public:
  using Format::Format;

  void plain(const char* name, std::string_view value) {
    this->begin(name);
    this->put_plain(value);
  }
  void text(const char* name, std::string_view value) {
    this->begin(name);
    this->put_text(value);
  }
  void null(const char* name) {
    this->begin(name);
    this->put_null();
  }
  void number(const char* name, std::int64_t value) {
    this->begin(name);
    append_number(this->out(), value);
  }
  void boolean(const char* name, bool value) {
    this->begin(name);
    this->out() += value ? "true" : "false";
  }
  void time(const char* name, std::int64_t realtime_ms) {
    UtcTime time(realtime_ms);
    if (time.text().empty())
      null(name);
    else
      plain(name, time.text());
  }
};

class Csv {
 public:
  explicit Csv(std::string& out) : out_(out) {}
  std::string& out() { return out_; }
  void begin(const char*) {
    if (!std::exchange(is_first_, false)) out_ += ',';
  }
  void put_plain(std::string_view value) { out_ += value; }
  void put_null() {}
  void put_text(std::string_view raw) {
    const std::size_t start = out_.size();
    append_escaped(out_, raw);
    if (out_.size() == start) return;
    if (std::string_view("=+-@").find(out_[start]) != std::string_view::npos)
      out_.insert(start, 1, '\'');
    const std::string_view field = std::string_view(out_).substr(start);
    if (field.find_first_of(",\"") == std::string_view::npos) return;
    std::string quoted = "\"";
    for (const char c : field) {
      if (c == '"') quoted += '"';
      quoted += c;
    }
    out_.replace(start, std::string::npos, quoted + "\"");
  }

 private:
  std::string& out_;
  bool is_first_ = true;
};

class Tsv {
 public:
  explicit Tsv(std::string& out) : out_(out) {}
  std::string& out() { return out_; }
  void begin(const char*) {
    if (!std::exchange(is_first_, false)) out_ += '\t';
  }
  void put_plain(std::string_view value) { out_ += value; }
  void put_null() { out_ += '-'; }
  void put_text(std::string_view raw) {
    if (raw.empty())
      out_ += '-';
    else if (raw == "-")
      out_ += "\\x2d";
    else
      append_escaped(out_, raw);
  }

 private:
  std::string& out_;
  bool is_first_ = true;
};

class Json {
 public:
  Json(std::string& out, JsonForm form, int indent) : out_(out), form_(form), indent_(indent) {}
  std::string& out() { return out_; }
  void begin(const char* name) {
    if (!std::exchange(is_first_, false)) out_ += ',';
    new_line(indent_ + 2);
    out_ += '"';
    out_ += name;
    out_ += form_ == JsonForm::lines ? "\": " : "\":";
  }
  void new_line(int indent) {
    if (form_ == JsonForm::one_line) return;
    out_ += '\n';
    out_.append(static_cast<std::size_t>(indent), ' ');
  }
  void put_plain(std::string_view value) {
    out_ += '"';
    out_ += value;
    out_ += '"';
  }
  void put_null() { out_ += "null"; }
  void put_text(std::string_view raw) {
    const bool is_plain = std::all_of(raw.begin(), raw.end(), [](char c) {
      return c >= ' ' && c < '\x7f' && c != '"' && c != '\\';
    });
    if (is_plain) return put_plain(raw);
    // The library calls localeconv(3), which is not thread-safe.
    static std::mutex mutex;
    const std::lock_guard lock(mutex);
    std::string line = json_line(std::string(raw));
    line.pop_back();  // the newline
    out_ += line;
  }

 private:
  std::string& out_;
  JsonForm form_;
  int indent_;
  bool is_first_ = true;
};

// Only the names.
class CsvHeader {
 public:
  explicit CsvHeader(std::string& out) : out_(out) {}
  std::string& out() { return ignored_; }
  void begin(const char* name) {
    if (!std::exchange(is_first_, false)) out_ += ',';
    out_ += name;
  }
  void put_plain(std::string_view) {}
  void put_null() {}
  void put_text(std::string_view) {}

 private:
  std::string& out_;
  std::string ignored_;
  bool is_first_ = true;
};

template <class T>
void append_json_object(std::string& out, const T& item, JsonForm form, int indent) {
  Writer<Json> writer(out, form, indent);
  out += '{';
  write_fields(writer, item);
  writer.new_line(indent);
  out += '}';
}

template <class Format, class T>
void append_line(std::string& out, const T& item, const char* end) {
  Writer<Format> writer(out);
  write_fields(writer, item);
  out += end;
}

}  // namespace

void append_json(std::string& out, const Row& row, JsonForm form, int indent) {
  append_json_object(out, row, form, indent);
}

void append_json(std::string& out, const UserRow& user, JsonForm form, int indent) {
  append_json_object(out, user, form, indent);
}

void append_csv(std::string& out, const Row& row) {
  append_line<Csv>(out, row, "\r\n");
}

void append_csv(std::string& out, const UserRow& user) {
  append_line<Csv>(out, user, "\r\n");
}

void append_tsv(std::string& out, const Row& row) {
  append_line<Tsv>(out, row, "\n");
}

void append_tsv(std::string& out, const UserRow& user) {
  append_line<Tsv>(out, user, "\n");
}

void append_csv_header(std::string& out, bool by_user) {
  const std::string no_site;
  if (by_user) {
    UserRow nobody;
    nobody.site = &no_site;
    append_line<CsvHeader>(out, nobody, "\r\n");
  } else {
    Row nobody;
    nobody.site = &no_site;
    append_line<CsvHeader>(out, nobody, "\r\n");
  }
}

}  // namespace sessreg
