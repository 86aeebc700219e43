#include "sessreg/lint/pam_mends.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <deque>
#include <functional>
#include <set>

#include "base/text.h"
#include "sessreg/lint/auth_modules.h"
#include "sessreg/lint/findings.h"

namespace sessreg {
namespace {

// The control with each jump as `change` wants it; one of nothing is no jump.
std::string with_jumps(const std::string& control,
                       const std::function<unsigned(unsigned)>& change) {
  std::string result;
  for (std::size_t at = 0; at < control.size();) {
    result += control[at++];
    if (result.back() != '=') continue;
    while (at < control.size() && control[at] == ' ')
      ++at;
    unsigned jump = 0;
    const char* const begin = control.data() + at;
    const auto [end, error] = std::from_chars(begin, control.data() + control.size(), jump);
    if (error != std::errc()) continue;
    const unsigned changed = change(jump);
    result += changed == 0 ? "ignore" : std::to_string(changed);
    at += static_cast<std::size_t>(end - begin);
  }
  return result;
}

// The control with a success that skips so many lines.
std::string with_success(const std::string& control, unsigned jump, bool is_second) {
  const std::string skips = std::to_string(jump);
  const bool is_list = control.find('=') != std::string::npos &&
                       control.find(" =") == std::string::npos &&
                       control.find("= ") == std::string::npos;
  if (!is_list)
    return fmt::format("success={}{} default=ignore", skips, is_second ? " ignore=" + skips : "");
  std::string result;
  bool has_success = false;
  for (std::size_t at = 0; at < control.size();) {
    const std::size_t size = std::min(control.find(' ', at), control.size()) - at;
    std::string word = control.substr(at, size);
    at += size + 1;
    const bool is_success = word.starts_with("success=");
    has_success |= is_success;
    if (is_success || word.starts_with("new_authtok_reqd=")) {
      word.resize(word.find('=') + 1);
      word += skips;
    }
    result += (result.empty() ? "" : " ") + word;
  }
  return has_success ? result : "success=" + skips + " " + result;
}

// The lines while they are edited. What flows past an edit goes where it went.
class Draft {
 public:
  explicit Draft(const std::vector<PamEntry>& entries) : entries_(entries) {
    for (const PamEntry& entry : entries)
      originals_.push_back(entry.line);
  }

  const std::vector<PamEntry>& entries() const { return entries_; }
  const PamEntry& operator[](std::size_t at) const { return entries_[at]; }

  void remove(std::size_t at) {
    shift_jumps(at, entries_[at].level, -1, [&](std::size_t target) { return at < target; });
    entries_.erase(entries_.begin() + static_cast<std::ptrdiff_t>(at));
    originals_.erase(originals_.begin() + static_cast<std::ptrdiff_t>(at));
  }

  // Before `at`, beside `like`. `is_skipped`: a jump to `at` does not come by here.
  void insert(std::size_t at, const PamEntry& like, const PamLine& line, bool is_skipped) {
    shift_jumps(at, like.level, 1,
                [&](std::size_t target) { return at < target || (is_skipped && at == target); });
    entries_.insert(entries_.begin() + static_cast<std::ptrdiff_t>(at),
                    {&lines_.emplace_back(line), like.level, like.within});
    originals_.insert(originals_.begin() + static_cast<std::ptrdiff_t>(at), nullptr);
  }

  void set_control(std::size_t at, std::string control) {
    if (control == entries_[at].line->control) return;
    PamLine& line = lines_.emplace_back(*entries_[at].line);
    line.control = std::move(control);
    entries_[at].line = &line;
  }

  // "write '[…]' on FILE:LINE", for each control that is another now.
  void add_edits(std::vector<std::string>& ret) const {
    std::set<const PamLine*> told;  // a file may be included twice
    for (std::size_t i = 0; i < entries_.size(); ++i) {
      const PamLine* original = originals_[i];
      const PamLine& line = *entries_[i].line;
      if (original == nullptr || original->control == line.control) continue;
      if (!told.insert(original).second) continue;
      ret.push_back(fmt::format("write '[{}]' on {}", escape_for_terminal(line.control),
                                place_of(line.file, line.number)));
    }
  }

 private:
  // Changes the jumps from before `at` whose target is beyond it.
  void shift_jumps(std::size_t at, unsigned level, int change,
                   const std::function<bool(std::size_t target)>& is_beyond) {
    for (std::size_t from = 0; from < at; ++from) {
      if (entries_[from].level != level || entries_[from].line->is_substack()) continue;
      set_control(from, with_jumps(entries_[from].line->control, [&](unsigned jump) {
                    const bool concerned = is_beyond(jump_target(entries_, from, jump));
                    return concerned ? jump + static_cast<unsigned>(change) : jump;
                  }));
    }
  }

  std::vector<PamEntry> entries_;
  std::vector<const PamLine*> originals_;  // nullptr: a new one
  std::deque<PamLine> lines_;
};

bool is_deny(const PamLine& line) {
  return line.module_name() == "pam_deny.so";
}

std::string joined(const std::vector<std::string>& parts) {
  std::string text;
  for (std::size_t i = 0; i < parts.size(); ++i)
    text += (i == 0 ? "" : i + 1 == parts.size() ? ", and " : ", ") + parts[i];
  return text;
}

// Whether an answer of entry `from` jumps over `to`, to a line up to `last`.
bool jumps_between(const std::vector<PamEntry>& entries, std::size_t from, std::size_t to,
                   std::size_t last) {
  if (entries[from].line->is_substack()) return false;
  bool found = false;
  with_jumps(entries[from].line->control, [&](unsigned jump) {
    const std::size_t target = jump_target(entries, from, jump);
    found |= to < target && target <= last;
    return jump;
  });
  return found;
}

// Whether a stack that goes on at entry `at` by successes alone is a success.
bool succeeds_from(const std::vector<PamEntry>& entries, std::size_t at) {
  using Kind = PamAction::Kind;
  for (; at < entries.size(); at = next_on_success(entries, at)) {
    if (entries[at].line->is_substack()) continue;
    const Kind kind = action_on(entries[at].line->control, "success").kind;
    if (kind == Kind::ok || kind == Kind::done) return true;
  }
  return false;
}

}  // namespace

std::string mend_before(const std::vector<PamEntry>& entries, std::optional<std::size_t> own,
                        std::size_t other, const std::string& file, const std::string& line) {
  // Where what is seen from `file` as that line begins.
  const auto begin_of = [&](std::size_t at) {
    const PamLine* seen = &entries[at].seen_from(file);
    while (at > 0 && &entries[at - 1].seen_from(file) == seen)
      --at;
    return at;
  };
  std::size_t to = begin_of(other);
  for (std::size_t from = to; from-- > 0;)
    if (jumps_between(entries, from, to, own.value_or(entries.size()))) to = begin_of(from);

  const PamLine& before = entries[to].seen_from(file);
  const std::string place = place_of(before.file, before.number);
  std::vector<std::string> parts = {own ? "move it before " + place
                                        : fmt::format("add '{}' before {}", line, place)};
  Draft draft(entries);
  if (own) draft.remove(*own);
  draft.insert(to, entries[to], PamLine(), false);
  draft.add_edits(parts);
  return joined(parts);
}

std::string mend_authfail(const std::vector<PamEntry>& entries, std::optional<std::size_t> own,
                          std::size_t password, const std::string& line, bool is_second) {
  Draft draft(entries);
  std::vector<std::string> parts;
  const PamEntry& before = entries[password];
  std::size_t at = password + 1;  // of the authfail line
  const bool stays = own && *own == at && entries[at].level == before.level &&
                     entries[at].line->file == before.line->file;
  if (!stays) {
    const std::string place = place_of(before.line->file, before.line->number);
    parts.push_back(own ? "move it behind " + place
                        : fmt::format("add '{}' behind {}", line, place));
    if (own) draft.remove(*own);
    if (own && *own < at) --at;
    PamLine authfail;
    authfail.file = before.line->file;
    authfail.control = "default=die";
    // What jumps there to be denied, as a condition of authselect's, is to be counted before that.
    const bool denies = at < draft.entries().size() && is_deny(*draft[at].line);
    draft.insert(at, before, authfail, !denies);
  }
  std::size_t to = at + 1;  // where a success is to lead
  while (to < draft.entries().size() && draft[to].level == before.level && is_deny(*draft[to].line))
    ++to;
  bool jumps = false;
  for (std::size_t i = at; i-- > 0 && draft[i].level >= before.level;) {
    if (draft[i].level > before.level || !can_authenticate(*draft[i].line)) continue;
    bool fails = false;
    for (std::size_t bad = at; bad < to; ++bad)
      fails |= success_leads_to(draft.entries(), i, bad);
    if (fails && (!is_second || i + 1 == at)) {
      const auto skipped =
          std::count_if(draft.entries().begin() + static_cast<std::ptrdiff_t>(i) + 1,
                        draft.entries().begin() + static_cast<std::ptrdiff_t>(to),
                        [&](const PamEntry& entry) { return entry.level == before.level; });
      draft.set_control(
          i, with_success(draft[i].line->control, static_cast<unsigned>(skipped), is_second));
    }
    jumps |= action_on(draft[i].line->control, "success").kind == PamAction::Kind::jump &&
             next_on_success(draft.entries(), i) == to;
  }
  // A jump by itself is no success.
  if (jumps && !succeeds_from(draft.entries(), to)) {
    const PamLine& last = *draft[to - 1].line;
    parts.push_back("add 'auth required pam_permit.so' behind " +
                    (last.number == 0 ? "it" : place_of(last.file, last.number)));
  }
  draft.add_edits(parts);
  return parts.empty() ? "let that skip it" : joined(parts);
}

}  // namespace sessreg
