#include "common/options.h"

#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <string_view>
#include <utility>

#include "base/text.h"
#include "common/errors.h"
#include "common/output.h"
#include "config/spelling.h"

namespace sessreg {
namespace {

// Help that is broken at the 80 columns of a terminal, whatever it is printed to.
class HelpFormatter final : public CLI::Formatter {
 public:
  HelpFormatter() { column_width(kNameColumns); }

  std::string make_option(const CLI::Option* option, bool is_positional) const override {
    return entry(is_positional ? make_option_usage(option)
                               : make_option_name(option, false) + make_option_opts(option),
                 make_option_desc(option));
  }
  std::string make_subcommand(const CLI::App* command) const override {
    return entry(command->get_name(), command->get_description());
  }
  std::string make_option_usage(const CLI::Option* option) const override {
    const std::string text = option->get_option_text();
    return text.empty() ? CLI::Formatter::make_option_usage(option) : text;
  }

 private:
  static constexpr std::size_t kColumns = 80, kNameColumns = 26;

  // "  NAME    what it is": the second part broken at its spaces.
  static std::string entry(const std::string& name, const std::string& what) {
    std::string text, line = "  " + name;
    // A name that is too long for its column has a line of its own.
    if (line.size() + 2 > kNameColumns) {
      text = line + "\n";
      line.clear();
    }
    line.resize(kNameColumns, ' ');
    bool is_first = true;
    for (std::size_t start = 0; start < what.size();) {
      const std::size_t end = std::min(what.find(' ', start), what.size());
      const std::string word = what.substr(start, end - start);
      if (!is_first && line.size() + 1 + word.size() > kColumns) {
        text += line + "\n";
        line.assign(kNameColumns, ' ');
        is_first = true;
      }
      line += (is_first ? "" : " ") + word;
      is_first = false;
      start = end + 1;
    }
    return text + line + "\n";
  }
};

// A flag takes no value: nobody must take `--dry-run=no` for its absence, or `--watch=3` for an
// interval.
void refuse_values_of_flags(CLI::App& parser) {
  for (CLI::Option* option : parser.get_options())
    if (option->get_items_expected_max() == 0) option->disable_flag_override();
  for (CLI::App* command : parser.get_subcommands({}))
    refuse_values_of_flags(*command);
}

// After "--" there are no options. CLI11 would still take a word that the command itself does not
// want for a global option. A number may be negative.
void refuse_options_after_double_dash(const CLI::App& program, int argc, char** argv) {
  char** const end = argv + argc;
  for (char** word = std::find(argv, end, std::string_view("--")); word < end; ++word) {
    const std::string_view argument = *word;
    if (argument.size() > 1 && argument[0] == '-' && argument != "--" &&
        (argument[1] < '0' || argument[1] > '9'))
      throw usage_failure(fmt::format("unexpected argument '{}'; see '{} --help'",
                                      escape_for_terminal(argument), program.get_name()));
  }
}

// Names the --help that explains what was wrong: that of the command, if one was given.
std::string see_help(const CLI::App& program) {
  const auto commands = program.get_subcommands();
  return fmt::format("see '{} {}--help'", program.get_name(),
                     commands.empty() ? "" : commands.front()->get_name() + " ");
}

// Refuses an option that takes one value and is given more than once.
void refuse_repeated_option(const CLI::App& parser) {
  for (const CLI::Option* option : parser.get_options())
    if (option->get_items_expected_max() == 1 && option->count() > 1 &&
        option->get_multi_option_policy() == CLI::MultiOptionPolicy::Throw)
      throw usage_failure(fmt::format("{} given more than once", option->get_name()));
  for (const CLI::App* command : parser.get_subcommands())
    refuse_repeated_option(*command);
}

// The command, or the option of the command that was given or of the program, that `word` may have been
// meant for; empty: none is close.
std::string nearest_word(const CLI::App& program, const std::string& word, bool is_command) {
  std::vector<std::string> known;
  if (is_command) {
    for (const CLI::App* command : program.get_subcommands({}))
      known.push_back(command->get_name());
  } else {
    std::vector<const CLI::App*> parsers = {&program};
    for (const CLI::App* command : program.get_subcommands())
      parsers.push_back(command);
    for (const CLI::App* parser : parsers)
      for (const CLI::Option* option : parser->get_options())
        if (!option->get_group().empty())
          for (const std::string& name : option->get_lnames())
            known.push_back("--" + name);
  }
  const std::vector<std::string_view> views(known.begin(), known.end());
  return std::string(nearest_spelling(word.substr(0, word.find('=')), views));
}

void refuse_extras(const CLI::App& program) {
  const auto extras = program.remaining(true);
  if (extras.empty()) return;
  const std::string& word = extras.front();
  const bool is_command = program.get_subcommands().empty() && !word.starts_with('-');
  const bool can_be_meant = is_command || word.starts_with("--");
  const std::string nearest = can_be_meant ? nearest_word(program, word, is_command) : "";
  throw usage_failure(
      fmt::format("{} '{}'; {}", is_command ? "there is no command" : "unexpected argument",
                  escape_for_terminal(word),
                  nearest.empty() ? see_help(program) : fmt::format("did you mean {}?", nearest)));
}

}  // namespace

Option& Option::value_name(const std::string& name) {
  option_->option_text(name);
  return *this;
}

Option& Option::not_empty() {
  option_->check([](const std::string& value) { return value.empty() ? "is empty" : ""; }, "");
  return *this;
}

Option& Option::required() {
  option_->required();
  return *this;
}

Option& Option::hidden() {
  option_->group("");
  return *this;
}

bool Option::is_given() const {
  return option_->count() > 0;
}

Option Options::add_option(const std::string& name, std::string& value, const std::string& help) {
  return Option(parser_->add_option(name, value, help));
}

Option Options::add_option(const std::string& name, std::vector<std::string>& values,
                           const std::string& help) {
  return Option(parser_->add_option(name, values, help)
                    ->expected(1)
                    ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll));
}

Option Options::add_argument(const std::string& name, std::string& value, const std::string& help) {
  return Option(parser_->add_option(name, value, help));
}

Option Options::add_argument(const std::string& name, std::vector<std::string>& values,
                             const std::string& help) {
  return Option(parser_->add_option(name, values, help));
}

void Options::add_flag(const std::string& name, bool& given, const std::string& help) {
  parser_->add_flag(name, given, help);
}

Options Options::add_command(const std::string& name, const std::string& help,
                             const std::string& footer) {
  parser_->require_subcommand(0, 1);
  CLI::App* const command = parser_->add_subcommand(name, help);
  command->footer(footer);
  return Options({parser_, command});  // keeps the program's parser
}

void Options::when_chosen(std::function<void()> act) {
  parser_->callback(std::move(act));
}

ProgramOptions::ProgramOptions(const std::string& name, const std::string& about)
    : Options(std::make_shared<CLI::App>(about, name)) {
  parser_->formatter(std::make_shared<HelpFormatter>());  // commands inherit it
  parser_->fallthrough();
}

void ProgramOptions::add_version_and_help(const std::string& version) {
  parser_->set_version_flag("--version", fmt::format("{} {}", parser_->get_name(), version))
      ->description("show the version");
  parser_->set_help_flag("--help,-h", "show this help");
}

void ProgramOptions::set_footer(const std::string& text) {
  parser_->footer(text);
}

bool ProgramOptions::parse(int argc, char** argv) {
  CLI::App& program = *parser_;
  // With commands, more can go wrong than CLI11 notices. That is reported in our own words.
  const bool has_commands = !program.get_subcommands({}).empty();
  if (has_commands) {
    refuse_values_of_flags(program);
    refuse_options_after_double_dash(program, argc, argv);
  }
  try {
    program.parse(argc, argv);
    return true;
  } catch (const CLI::CallForHelp&) {
    if (has_commands && program.get_subcommands().empty()) refuse_extras(program);
    print(program.help());
    return false;
  } catch (const CLI::CallForVersion& version) {
    print(std::string(version.what()) + "\n");
    return false;
  } catch (const CLI::ParseError& error) {
    if (has_commands) {
      refuse_repeated_option(program);
      if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::ExtrasError))
        refuse_extras(program);
    }
    throw usage_failure(fmt::format("{}; {}", one_line(error.what()), see_help(program)));
  }
}

}  // namespace sessreg
