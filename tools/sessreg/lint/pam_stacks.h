// The PAM stacks of a host as libpam reads them: pam.d(5), libpam/pam_handlers.c, and Debian's
// "@include".
//
// The files may hold anything, so there are bounds: on files (host_file.h), on nested includes
// (kMostIncludes) and on the lines of a stack (kMostLines). Texts are kept as read: escape them
// before showing them.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sessreg {

inline constexpr unsigned kMostIncludes = 16;  // PAM_SUBSTACK_MAX_LEVEL
inline constexpr std::size_t kMostLines = 16384;
inline constexpr std::size_t kMostServices = 4096;

// One line of a file, continuations joined.
struct PamLine {
  std::string file;
  unsigned number = 0;  // of its first physical line
  std::string type;     // in lower case, without '-': "auth", …; "@include"
  std::string control;  // in lower case; "[success=1 default=ignore]" without its brackets
  std::string module;   // a path or a name; for an include, the file
  std::vector<std::string> arguments;

  std::string_view module_name() const;  // without its directory
  bool is_substack() const { return control == "substack"; }
};

// The lines that a stack has by an include.
struct PamInclusion {
  const PamLine* line;        // the include itself, or substack
  const PamInclusion* outer;  // nullptr: that line is in the service's own file
};

// A line at its place in a stack.
struct PamEntry {
  const PamLine* line;
  unsigned level;  // of substacks; the "substack" line is an entry too, one level above its lines
  const PamInclusion* within = nullptr;  // nullptr: the line is in the service's own file

  // The line of `file` that it is, or comes by; if the way to it leads through no such file, the line
  // of the service's own file.
  const PamLine& seen_from(const std::string& file) const;
};

struct PamProblem {
  std::string file;
  unsigned number = 0;  // 0: the file as a whole
  std::string what, mend;
};

struct PamService {
  std::string name;
  std::vector<PamEntry> entries;     // of all types, with includes followed
  std::vector<PamProblem> problems;  // of the files it is made of; some may be there twice

  std::vector<PamEntry> of_type(std::string_view type) const;
};

class PamStacks {
 public:
  // Takes each file name from the first directory that has it.
  explicit PamStacks(std::vector<std::string> directories);

  const std::vector<PamService>& services() const { return services_; }
  // What could not be looked at, so that nobody knows which modules it names.
  const std::vector<PamProblem>& problems() const { return problems_; }
  // Whether another file includes lines of that type from this one.
  bool is_included(const std::string& file, const std::string& type) const;

 private:
  struct File;

  void read_directory(const std::string& directory, std::map<std::string, std::string>& ret_paths);
  const File& file(const std::string& path);
  void append(PamService& service, const std::string& path, const std::string& type,
              unsigned includes, unsigned level, const PamInclusion* within);
  void include(PamService& service, const PamLine& line, const std::string& type, unsigned includes,
               unsigned level, const PamInclusion* within);

  std::vector<std::string> directories_;
  std::size_t visited_ = 0;  // lines of the stack being read; an include counts every time
  std::map<std::string, std::shared_ptr<const File>> files_;
  std::map<std::pair<std::string, std::string>, bool> included_;
  std::deque<PamInclusion> inclusions_;
  std::vector<PamService> services_;
  std::vector<PamProblem> problems_;
};

// What libpam does with an answer of a module.
struct PamAction {
  enum class Kind { ignore, ok, done, bad, die, reset, jump };
  Kind kind = Kind::bad;
  unsigned jump = 0;
};
// `answer` is named as in a control: "success", "perm_denied", … ret_valid: whether libpam can
// parse the control; if it cannot, it takes it as "bad" whatever the answer.
PamAction action_on(const std::string& control, std::string_view answer, bool* ret_valid = nullptr);

// Where a stack goes on if entry `at` jumps; entries.size(): it ends. A jump counts the lines of its own
// substack. All entries are of one type.
std::size_t jump_target(const std::vector<PamEntry>& entries, std::size_t at, unsigned jump);

// Where a stack goes on if entry `at` succeeds; entries.size(): it ends. All entries are of one type.
std::size_t next_on_success(const std::vector<PamEntry>& entries, std::size_t at);

// Whether a stack gets from entry `from` to entry `to` if `from` and all entries between succeed.
// All entries are of one type.
bool success_leads_to(const std::vector<PamEntry>& entries, std::size_t from, std::size_t to);

}  // namespace sessreg
