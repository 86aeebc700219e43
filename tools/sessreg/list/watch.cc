#include "sessreg/list/watch.h"

#include <fmt/core.h>
#include <poll.h>
#include <unistd.h>

#include <deque>
#include <map>
#include <span>

#include "base/clock.h"
#include "common/output.h"
#include "common/times.h"
#include "sessreg/list/changes.h"
#include "sessreg/list/views.h"
#include "sessreg/terminal/screen.h"
#include "sessreg/terminal/table.h"

namespace sessreg {
namespace {

constexpr std::chrono::milliseconds kBetweenLooks{1000};
constexpr std::uint64_t kNew_ms = 5000;  // for this long a session is shown as new
constexpr std::size_t kMostNews = 3;

struct News {
  std::string text;
  Colour colour;
};

Colour colour_of(Change change) {
  switch (change) {
    case Change::opened:
    case Change::reserved:
      return Colour::green;
    case Change::closed:
      return Colour::red;
    default:
      return Colour::yellow;
  }
}

std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> lines;
  for (std::size_t end; (end = text.find('\n')) != std::string_view::npos;
       text.remove_prefix(end + 1))
    lines.emplace_back(text.substr(0, end));
  return lines;
}

class Watch {
 public:
  Watch(const GlobalOptions& global, const ListOptions& options)
      : global_(global), options_(options), listing_(read_listing(global, options)) {}

  // A site that cannot be read for a while (its file is being edited) is reported and tried again.
  void look() {
    Listing next;
    try {
      next = read_next_listing(global_, options_, listing_);
      error_ = next.failure ? next.failure->what() : "";
    } catch (const Failure& failure) {
      error_ = failure.what();
      return;
    }
    const Now at = now();
    for (const RowChange& change : changes_between(listing_, next)) {
      if (change.what == Change::opened || change.what == Change::reserved)
        new_until_ms_[change.row->id] = at.boottime_ms + kNew_ms;
      news_.push_front(
          {local_time(at.realtime_ms).substr(11) + " " + describe(change), colour_of(change.what)});
    }
    if (news_.size() > kMostNews) news_.resize(kMostNews);
    std::erase_if(new_until_ms_, [&](const auto& one) { return one.second < at.boottime_ms; });
    listing_ = std::move(next);
  }

  std::vector<std::string> frame(const Terminal& terminal) const {
    const std::int64_t now_ms = now().realtime_ms;
    std::vector<std::string> below;
    for (const SiteSummary& site : listing_.sites)
      below.push_back(cut(footer(site, options_), terminal));
    for (const News& news : news_)
      below.push_back(coloured(cut(news.text, terminal), news.colour, terminal));
    if (!error_.empty()) below.push_back(coloured(cut(error_, terminal), Colour::red, terminal));
    below.push_back(coloured(cut("q quits", terminal), Colour::dim, terminal));

    // The last line but one of the table says how many rows are left out.
    const std::size_t height = terminal.rows > 0 ? static_cast<std::size_t>(terminal.rows) : 24;
    const std::size_t room = height > below.size() + 2 ? height - below.size() : 2;
    std::vector<std::string> lines = table(terminal, room, now_ms);
    lines.insert(lines.end(), below.begin(), below.end());
    return lines;
  }

 private:
  static std::string cut(const std::string& text, const Terminal& terminal) {
    return shortened(terminal.utf8 ? text : to_ascii(text), terminal.columns, terminal.utf8);
  }

  std::vector<std::string> table(const Terminal& terminal, std::size_t room,
                                 std::int64_t now_ms) const {
    std::size_t all = 0;
    std::vector<std::string> lines;
    if (options_.by_user) {
      auto users = by_user(listing_.rows, order_of(options_), options_.reverse);
      all = users.size();
      if (all + 1 > room) users.resize(room - 2);
      lines = lines_of(users_table(users, options_.all_sites, terminal, now_ms));
    } else {
      all = listing_.rows.size();
      const auto shown = std::span(listing_.rows).first(all + 1 > room ? room - 2 : all);
      RowTable table(options_.all_sites, terminal, now_ms, true, options_.wide);
      for (const Row* row : shown)
        table.measure(*row);
      table.fit(distinct_digits(listing_.rows));
      std::string text;
      table.append_header(text);
      for (const Row* row : shown)
        table.append_line(text, *row, new_until_ms_.count(row->id) != 0);
      lines = lines_of(text);
    }
    const std::size_t shown = lines.size() - 1;
    if (shown < all)
      lines.push_back(
          coloured(cut(fmt::format("and {} more", all - shown), terminal), Colour::dim, terminal));
    return lines;
  }

  const GlobalOptions& global_;
  const ListOptions& options_;
  Listing listing_;
  std::deque<News> news_;  // the latest first
  std::map<SessionId, std::uint64_t> new_until_ms_;
  std::string error_;
};

int watch_on_screen(const GlobalOptions& global, const ListOptions& options) {
  Watch watch(global, options);  // before the screen is taken, so that errors stay readable
  int signal_number = 0;
  {
    Screen screen;
    for (bool goes_on = true; goes_on;) {
      const Terminal terminal = stdout_terminal();
      screen.show(watch.frame(terminal), terminal.rows);
      switch (screen.wait(kBetweenLooks)) {
        case Screen::Event::interrupted:
          goes_on = false;
          break;
        case Screen::Event::ended:
          signal_number = screen.signal_number();
          goes_on = false;
          break;
        case Screen::Event::key:
          if (screen.key() == 'q' || screen.key() == 'Q' || screen.key() == 4) {
            goes_on = false;
            break;
          }
          [[fallthrough]];
        case Screen::Event::timeout:
          watch.look();
          break;
        case Screen::Event::resized:
          break;
      }
    }
  }
  // Dies of the signal, so that its sender sees that it was obeyed.
  if (signal_number != 0) {
    signal(signal_number, SIG_DFL);
    raise(signal_number);
  }
  return kExitDone;
}

// False: nobody reads the output any more.
bool wait_for_next_look() {
  pollfd reader{STDOUT_FILENO, 0, 0};
  const int ready = poll(&reader, 1, static_cast<int>(kBetweenLooks.count()));
  return ready <= 0 || (reader.revents & (POLLERR | POLLHUP)) == 0;
}

int watch_as_lines(const GlobalOptions& global, const ListOptions& options) {
  Listing before = read_listing(global, options);
  const auto tell = [&](const std::vector<RowChange>& changes) {
    const std::int64_t now_ms = now().realtime_ms;
    std::string lines;
    for (const RowChange& change : changes)
      lines += global.json ? change_json(change, now_ms) : change_line(change, now_ms);
    if (!lines.empty()) print(lines);
  };
  tell(first_look(before));
  // As on a screen, a site that cannot be read for a while is reported, once, and tried again.
  std::string told;
  const auto tell_failure = [&](const std::optional<Failure>& failure) {
    if (failure && failure->what() != told) report(*failure, global.json);
    told = failure ? failure->what() : "";
  };
  while (wait_for_next_look()) {
    try {
      Listing next = read_next_listing(global, options, before);
      tell_failure(next.failure);
      tell(changes_between(before, next));
      before = std::move(next);
    } catch (const Failure& failure) {
      if (failure.name() == "output") throw;
      tell_failure(failure);
    }
  }
  return kExitDone;
}

}  // namespace

int watch(const GlobalOptions& global, const ListOptions& options) {
  if (options.csv || options.tsv)
    throw usage_failure("--watch goes with --json, but not with --csv and --tsv");
  if (isatty(STDOUT_FILENO) == 1 && !global.json) return watch_on_screen(global, options);
  if (options.by_user)
    throw usage_failure("--watch with --by-user needs a terminal, and no --json");
  return watch_as_lines(global, options);
}

}  // namespace sessreg
