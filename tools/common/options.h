// What a program takes on its command line, and reading it.
//
// A program makes ProgramOptions, adds its own options, then its commands with theirs, and calls
// parse() once. parse() writes to the variables that were passed when the options were added. They
// must live until then, and keep their values if nothing is given. Nothing is kept by address but
// these variables: names and texts are copied.
//
// CLI11 does the work. Its header takes ten seconds to compile, so only options.cc includes it.
//
// Thread safety: none. A program reads its command line before it starts a thread.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace sessreg {

// An option or argument that takes a value. Lives no longer than the Options it was added to.
class Option {
 public:
  // The placeholder for the value in --help; TEXT unless set. Of an argument: all of what stands for
  // it there.
  Option& value_name(const std::string& name);
  // An empty value is a usage error.
  Option& not_empty();
  // Leaving it out is a usage error.
  Option& required();
  // Not in --help.
  Option& hidden();

  // After parse(): whether it was on the command line, with whatever value.
  bool is_given() const;

 private:
  friend class Options;
  explicit Option(CLI::Option* option) : option_(option) {}

  CLI::Option* option_;
};

// The options of a program or of one of its commands; a copy refers to the same ones. --help lists
// them in the order in which they are added.
class Options {
 public:
  // May be given at most once, unless it takes several values.
  Option add_option(const std::string& name, std::string& value, const std::string& help = "");
  Option add_option(const std::string& name, std::vector<std::string>& values,
                    const std::string& help);
  // A positional argument; with several values, any number of them.
  Option add_argument(const std::string& name, std::string& value, const std::string& help);
  Option add_argument(const std::string& name, std::vector<std::string>& values,
                      const std::string& help);
  // Takes no value; may be given more than once.
  void add_flag(const std::string& name, bool& given, const std::string& help);

  // A command takes the options of the program too, before or after its name. `footer` stands below
  // the options in its --help. At most one command is chosen; parse() then calls what was passed to
  // its when_chosen().
  Options add_command(const std::string& name, const std::string& help, const std::string& footer);
  void when_chosen(std::function<void()> act);

 protected:
  explicit Options(std::shared_ptr<CLI::App> parser) : parser_(std::move(parser)) {}

  std::shared_ptr<CLI::App> parser_;
};

class ProgramOptions : public Options {
 public:
  // `about` opens --help.
  ProgramOptions(const std::string& name, const std::string& about);

  // Call it after adding the program's own options, because --help shows these two last, and before
  // adding any command, because commands inherit --help from here.
  void add_version_and_help(const std::string& version);
  // Stands at the end of --help.
  void set_footer(const std::string& text);

  // False: --help or --version was given, and has been answered. For a wrong command line, throws a
  // usage Failure that names the --help that explains it.
  bool parse(int argc, char** argv);
};

}  // namespace sessreg
