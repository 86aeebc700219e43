// The lines of a configuration file. Every refusal ends the parse: nothing is half applied.

#include "config/config.h"

#include <algorithm>
#include <map>

#include "base/hash.h"
#include "base/text.h"
#include "base/utf8.h"
#include "config/config_internal.h"
#include "config/config_keys.h"
#include "config/config_values.h"

namespace sessreg {
namespace {

constexpr std::size_t kFileBytes = 1U << 20;
constexpr std::size_t kLineBytes = 1024;

std::string_view section_word(SectionKind kind) {
  switch (kind) {
    case SectionKind::user:
      return "user";
    case SectionKind::group:
      return "group";
    case SectionKind::service:
      return "service";
  }
  return {};
}

Place place_of(SectionKind kind) {
  switch (kind) {
    case SectionKind::user:
      return kUser;
    case SectionKind::group:
      return kGroup;
    case SectionKind::service:
      return kService;
  }
  return kNowhere;
}

std::string where_allowed(const Key& key) {
  std::string where = (key.places & kTop) != 0 ? "move it above the first section" : "";
  for (const SectionKind kind : {SectionKind::user, SectionKind::group, SectionKind::service}) {
    if ((key.places & place_of(kind)) == 0) continue;
    where += where.empty() ? "move it into a [" : " or into a [";
    where.append(section_word(kind)).append(" NAME] section");
  }
  return where;
}

// Up to a comment: a '#' after white space, not in double quotes. (Lines that are only a comment are
// gone by then.)
std::string_view without_comment(std::string_view text) {
  bool in_quotes = false;
  for (std::size_t at = 1; at < text.size(); ++at) {
    if (text[at] == '"') in_quotes = !in_quotes;
    if (in_quotes && text[at] == '\\')
      ++at;  // and what it escapes
    else if (text[at] == '#' && !in_quotes && kBlank.find(text[at - 1]) != std::string_view::npos)
      return text.substr(0, at);
  }
  return text;
}

// Why the bytes of a line cannot be text; "" if they can. The line's end is not part of it.
std::string line_fault(std::string_view line) {
  if (!line.empty() && line.back() == '\r') {
    return "line ends with a carriage return; save the file with Unix line ends";
  }
  if (line.size() > kLineBytes) {
    return "line is longer than " + std::to_string(kLineBytes) + " bytes; shorten it";
  }
  for (std::size_t at = 0; at < line.size();) {
    const Utf8Char next = decode_utf8(line.substr(at));
    if (next.size_bytes == 0) {
      return "byte " + escape_for_terminal(line.substr(at, 1)) +
             " is not valid UTF-8; save the file as UTF-8";
    }
    if (is_unsafe_to_show(next.code) && next.code != U'\t') {
      return "control character " + escape_for_terminal(line.substr(at, next.size_bytes)) +
             " is not allowed; remove it";
    }
    at += next.size_bytes;
  }
  return {};
}

class Parser {
 public:
  Parser(const std::string& file, std::string_view site)
      : file_(escape_for_terminal(file)), config_(default_config(site)) {}

  Result<Config> parse(std::string_view text) {
    if (text.size() > kFileBytes) {
      return Error{Errc::invalid_config, file_ + ": file is larger than " +
                                             std::to_string(kFileBytes) +
                                             " bytes; is this the configuration file?"};
    }
    config_.identity = identity_of(text);
    while (!text.empty()) {
      const std::string_view line = text.substr(0, text.find('\n'));
      text.remove_prefix(std::min(line.size() + 1, text.size()));
      ++line_;
      std::string fault = line_fault(line);
      if (fault.empty()) fault = read_line(trim(line));
      if (!fault.empty()) return refused(line_, fault);
    }
    return checked();
  }

 private:
  static std::uint32_t identity_of(std::string_view text) {
    static constexpr HashKey kKey{'s', 'e', 's', 's', 'r', 'e', 'g', '.', 'c', 'o', 'n', 'f'};
    const auto bits = static_cast<std::uint32_t>(hash64(kKey, text) & 0x7fffffff);
    return bits != 0 ? bits : 1;
  }

  Error refused(unsigned line, const std::string& why) const {
    return Error{Errc::invalid_config, file_ + ":" + std::to_string(line) + ": " + why};
  }

  // These return why the line is refused, or "".

  std::string read_line(std::string_view line) {
    if (line_ == 1 && decode_utf8(line).code == 0xfeff) {
      return "file begins with a byte order mark; save it without one";
    }
    if (line.empty() || line.front() == '#') return {};
    if (line.front() == '[') return read_section(trim(without_comment(line)));
    return read_key(line);
  }

  std::string read_section(std::string_view header) {
    static constexpr const char* kMend = "; write [user NAME], [group NAME] or [service NAME]";
    if (header.back() != ']') return quoted(header) + " has no ']' at its end" + kMend;
    const std::string_view inside = trim(header.substr(1, header.size() - 2));
    const std::string_view word = inside.substr(0, inside.find_first_of(" \t"));
    const std::string_view name = trim(inside.substr(word.size()));
    for (const SectionKind kind : {SectionKind::user, SectionKind::group, SectionKind::service}) {
      if (word == section_word(kind)) return begin_section(kind, name);
    }
    return quoted(header) + " is not a known section" + kMend;
  }

  std::string begin_section(SectionKind kind, std::string_view name) {
    const std::string word(section_word(kind));
    if (name.empty()) return "section has no name; write [" + word + " NAME]";
    if (name.front() == '@') {
      return quoted(name) + " is not a name; write it without the '@' (a group: [group NAME])";
    }
    if (name.front() != '"' && name.find_first_of("[]") != std::string_view::npos) {
      return quoted(name) +
             " is not a name; a section's name has '[' and ']' in double quotes only";
    }
    auto parsed = parse_name(name);
    if (!parsed) return parsed.error().what;
    const auto [earlier, fresh] = line_of_section_.try_emplace({kind, *parsed}, line_);
    if (!fresh) {
      return "section [" + word + " " + escape_for_terminal(in_file(*parsed)) +
             "] was already begun on line " + std::to_string(earlier->second) +
             "; put its keys together";
    }
    config_.sections.push_back({kind, std::move(*parsed), {}, line_});
    line_of_section_key_.clear();
    return {};
  }

  std::string read_key(std::string_view line) {
    const std::string_view statement = without_comment(line);
    const std::size_t equals = statement.find('=');
    if (equals == std::string_view::npos) {
      return quoted(trim(statement)) + " has no '='; write KEY = VALUE";
    }
    std::string_view name = trim(statement.substr(0, equals));
    const bool adds = name.ends_with('+');
    if (adds) name = trim(name.substr(0, name.size() - 1));
    if (name.empty()) return "no key before the '='; write KEY = VALUE";
    const Key* key = find_key(name);
    if (key == nullptr) return unknown(name);
    // A message keeps its '#': cutting "call the help desk #4711" short would go unnoticed.
    const bool whole_line = key->shape == ValueShape::message;
    return set(*key, trim((whole_line ? line : statement).substr(equals + 1)), adds);
  }

  static std::string unknown(std::string_view name) {
    const std::string_view nearest = nearest_key(name);
    return "unknown key " + quoted(name) + "; " +
           (nearest.empty() ? "sessreg.conf(5) lists the keys"
                            : "did you mean " + std::string(nearest) + "?");
  }

  std::string set(const Key& key, std::string_view value, bool adds) {
    const std::string name(key.name);
    const bool at_top = config_.sections.empty();
    const Place place = at_top ? kTop : place_of(config_.sections.back().kind);
    if ((key.places & place) == 0) {
      if (at_top) return name + " cannot be set for the whole site; " + where_allowed(key);
      return name + " cannot be set in a [" +
             std::string(section_word(config_.sections.back().kind)) + " NAME] section; " +
             where_allowed(key);
    }
    if (value.empty() && key.shape != ValueShape::list) {
      return name + " has no value; write one, or remove the line to have the default";
    }
    if (adds && key.shape != ValueShape::list)
      return name + " is no list that could be added to; write " + name + " = VALUE";
    const Target target{config_, at_top ? nullptr : &config_.sections.back().settings, adds};
    const std::string fault = key.set(value, target);
    if (!fault.empty()) return name + ": " + fault;
    unsigned& line =
        at_top ? config_.lines_at_top[static_cast<std::size_t>(&key - config_keys().data())]
               : line_of_section_key_[key.name];
    if (line != 0) return name + " was already set on line " + std::to_string(line);
    line = line_;
    replaces_ignored_ |= name == "ignore_services" && !adds;
    return {};
  }

  // "capacity 10 (line 3)"
  std::string described(std::string_view top_key, std::int32_t value) const {
    const unsigned line = line_at_top(config_, top_key);
    return std::string(top_key) + " " + std::to_string(value) +
           (line == 0 ? " (the default)" : " (line " + std::to_string(line) + ")");
  }

  // A service whose sessions are described here is not ignored because most do not open any.
  void count_described_services() {
    const auto described = [](const Section& section) { return is_described(section.settings); };
    if (replaces_ignored_ ||
        std::none_of(config_.sections.begin(), config_.sections.end(), described))
      return;
    std::vector<std::string> defaults = default_config(config_.site).ignore_services;
    const std::vector<std::string> added(
        config_.ignore_services.begin() + static_cast<std::ptrdiff_t>(defaults.size()),
        config_.ignore_services.end());
    for (const Section& section : config_.sections)
      if (described(section)) std::erase(defaults, section.name);
    config_.ignore_services = std::move(defaults);
    config_.ignore_services.insert(config_.ignore_services.end(), added.begin(), added.end());
  }

  static bool is_described(const SectionSettings& settings) {
    return settings.keep.value_or(Seconds(0)).count() != 0 ||
           (settings.clients &&
            !(settings.clients->users.empty() && settings.clients->groups.empty()));
  }

  // What only the whole file shows.
  Result<Config> checked() {
    count_described_services();
    const std::int32_t limit = config_.sessions_limit;
    if (config_.capacity < limit) {
      return refused(
          std::max(line_at_top(config_, "capacity"), line_at_top(config_, "sessions_limit")),
          described("capacity", config_.capacity) + " is less than " +
              described("sessions_limit", limit) + "; raise capacity or lower sessions_limit");
    }
    // A limit of 0 closes the site for a while: that must not need a second edit.
    if (limit > 0 && config_.reserved_sessions > limit) {
      return refused(std::max(line_at_top(config_, "reserved_sessions"),
                              line_at_top(config_, "sessions_limit")),
                     described("reserved_sessions", config_.reserved_sessions) + " is more than " +
                         described("sessions_limit", limit) + "; lower reserved_sessions");
    }
    return std::move(config_);
  }

  const std::string file_;
  Config config_;
  unsigned line_ = 0;
  bool replaces_ignored_ = false;
  std::map<std::string_view, unsigned> line_of_section_key_;
  std::map<std::pair<SectionKind, std::string>, unsigned> line_of_section_;
};

}  // namespace

Result<Config> parse_config(std::string_view text, const std::string& file, std::string_view site) {
  if (!is_valid_site_name(site)) return invalid_site_name(site);
  return Parser(file, site).parse(text);
}

}  // namespace sessreg
