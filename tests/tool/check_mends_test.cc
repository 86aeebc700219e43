// sessreg check: whoever does to the letter what it says has a stack without findings, in which
// libpam lets in who is right, and brings who is wrong to the authfail line.
#include <security/pam_appl.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>

#include "../support/catch.h"
#include "check_host.h"

namespace {

std::string read_file(const std::string& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

// The files of one finding while its mend is carried out. Lines keep the numbers they had.
class Editor {
 public:
  // Returns whether all of the mend could be carried out.
  bool carry_out(const std::string& place, const std::string& mend) {
    own_ = place;
    std::string moved;
    const std::regex part(
        "(?:^|, and |, )(?:(move it|add '([^']*)') (before|behind) (it|[^ ,]+:[0-9]+)|write "
        "(?:'([^']*)' on ([^ ,]+:[0-9]+)|(required|requisite))|(add) 'session required "
        "pam_sessreg.so' with the same arguments)");
    std::size_t end = 0;
    for (std::sregex_iterator at(mend.begin(), mend.end(), part), none; at != none; ++at) {
      if (static_cast<std::size_t>(at->position()) != end) return false;
      end = static_cast<std::size_t>(at->position() + at->length());
      const std::smatch& found = *at;
      if (found[7].matched) {
        set_control(own_, found[7]);
      } else if (found[8].matched) {
        file(own_).push_back({0, "session required pam_sessreg.so"});
      } else if (found[5].matched) {
        set_control(found[6], found[5]);
      } else {
        const std::string text = found[2].matched ? found[2].str() : take(own_);
        const std::string where = found[4] == "it" ? last_ : found[4].str();
        put(where, found[3] == "behind", text);
      }
    }
    save();
    return end == mend.size();
  }

 private:
  struct Line {
    unsigned number;  // 0: new here
    std::string text;
  };

  static std::string path_of(const std::string& place) { return place.substr(0, place.rfind(':')); }
  static unsigned number_of(const std::string& place) {
    return static_cast<unsigned>(std::stoul(place.substr(place.rfind(':') + 1)));
  }
  std::vector<Line>& file(const std::string& place) {
    const auto [at, is_new] = files_.try_emplace(path_of(place));
    std::ifstream in(at->first);
    std::string text;
    for (unsigned number = 1; is_new && std::getline(in, text); ++number)
      at->second.push_back({number, text});
    return at->second;
  }
  std::vector<Line>::iterator find(const std::string& place) {
    std::vector<Line>& lines = file(place);
    const auto at = std::find_if(lines.begin(), lines.end(),
                                 [&](const Line& line) { return line.number == number_of(place); });
    REQUIRE(at != lines.end());
    return at;
  }
  std::string take(const std::string& place) {
    const auto at = find(place);
    std::string text = at->text;
    file(place).erase(at);
    return text;
  }
  void put(const std::string& place, bool behind, const std::string& text) {
    const unsigned number = 10'000 + made_++;
    file(place).insert(find(place) + (behind ? 1 : 0), {number, text});
    last_ = path_of(place) + ":" + std::to_string(number);
  }
  void set_control(const std::string& place, const std::string& control) {
    const auto at = find(place);
    at->text = std::regex_replace(at->text, std::regex("^(-?[a-z]+ +)(\\[[^\\]]*\\]|[a-z]+)"),
                                  "$1" + control);
  }
  void save() const {
    for (const auto& [path, lines] : files_) {
      std::ofstream out(path);
      for (const Line& line : lines)
        out << line.text << "\n";
    }
  }

  std::string own_, last_;
  std::map<std::string, std::vector<Line>> files_;
  unsigned made_ = 0;
};

// Carries out one finding after the other, until there is none.
void mend_all(const Host& host) {
  for (int turn = 0; turn < 5; ++turn) {
    const nlohmann::json findings = host.check({"--json"}).json();
    if (findings.empty()) return;
    const nlohmann::json& first = findings[0];
    INFO(first.dump());
    REQUIRE(Editor().carry_out(first["place"], first["mend"]));
  }
  CHECK(host.findings() == "no findings\n");
}

using Answers = std::map<std::string, std::string>;  // of modules, as pam_debug takes them

int converse(int, const pam_message**, pam_response**, void*) {
  return PAM_CONV_ERR;
}

// What libpam answers in the stack of login, whose modules answer so.
int answer_of(const Host& host, const Answers& answers, int (*phase)(pam_handle_t*, int)) {
  const std::string directory = host.sandbox().directory() + "/played";
  std::filesystem::remove_all(directory);
  std::filesystem::create_directory(directory);
  for (const auto& entry : std::filesystem::directory_iterator(host.pam_dir())) {
    // Debian's @include looks into /etc/pam.d for what has no directory.
    std::string text =
        std::regex_replace(read_file(entry.path()), std::regex("(include|substack) ([a-z-]+\n)"),
                           "$1 " + directory + "/$2");
    for (const auto& [module, answer] : answers)
      text = std::regex_replace(text, std::regex(module), "pam_debug.so " + answer);
    std::ofstream(directory + "/" + entry.path().filename().string()) << text;
  }
  const pam_conv conversation{converse, nullptr};
  pam_handle_t* pamh = nullptr;
  REQUIRE(pam_start_confdir("login", "root", &conversation, directory.c_str(), &pamh) ==
          PAM_SUCCESS);
  const int answer = phase(pamh, PAM_SILENT);
  pam_end(pamh, answer);
  return answer;
}

int login_with(const Host& host, const std::string& password, const std::string& second,
               const std::string& host_is = "ignore") {
  Answers answers = {{"pam_sessreg.so preauth", "auth=" + host_is},
                     {"pam_sessreg.so authfail", "auth=cred_expired"},
                     {"pam_google_authenticator.so", "auth=" + second}};
  for (const char* module : {"pam_unix.so", "pam_sss.so", "pam_krb5.so"})
    answers[module] = "auth=" + password;
  return answer_of(host, answers, pam_authenticate);
}

using Files = std::map<std::string, std::string>;

void write_all(const Host& host, const Files& files) {
  for (const auto& [name, text] : files)
    host.stack(name, text);
}

std::string shown(const Host& host, const Files& files) {
  std::string text;
  for (const auto& [name, ignored] : files)
    text += name + ":\n" + read_file(host.pam_dir() + "/" + name);
  return text;
}

constexpr const char* kPreauth = "auth requisite pam_sessreg.so preauth\n";
constexpr const char* kAuthfail = "auth [default=die] pam_sessreg.so authfail\n";
constexpr const char* kEnd = "auth requisite pam_deny.so\nauth required pam_permit.so\n";

}  // namespace

TEST_CASE("auth lines that are mended as check says let in who is right, and count who is wrong") {
  const std::string preauth = kPreauth, authfail = kAuthfail, end = kEnd;
  const std::string unix_one = "auth [success=1 default=ignore] pam_unix.so nullok\n";
  const std::string unix_two = "auth [success=2 default=ignore] pam_unix.so nullok\n";
  const std::string sss_one = "auth [success=1 default=ignore] pam_sss.so use_first_pass\n";
  const Files stacks[] = {
      // Debian's, with the lines in the service's file.
      {{"common-auth", unix_one + end}, {"login", preauth + "@include common-auth\n" + authfail}},
      {{"common-auth", unix_two + sss_one + end},
       {"login", "@include common-auth\n" + preauth + authfail}},
      {{"common-auth", unix_two + sss_one + end}, {"login", preauth + "@include common-auth\n"}},
      {{"common-auth", unix_two + sss_one + authfail + end},
       {"login", "auth required pam_env.so\n@include common-auth\n"}},
      // In a substack, as on Red Hat: jumps count its own lines, and end in it.
      {{"password-auth",
        "auth required pam_env.so\nauth sufficient pam_unix.so\nauth required pam_deny.so\n"},
       {"login", preauth + "auth substack password-auth\n" + authfail}},
      {{"password-auth", "auth required pam_unix.so\n"},
       {"login",
        preauth + "auth substack password-auth\n" + authfail + "auth required pam_permit.so\n"}},
      {{"password-auth", unix_one + end},
       {"login", "auth substack password-auth\n" + authfail + "auth required pam_permit.so\n"}},
      {{"password-auth", unix_one + end},
       {"login", "auth substack password-auth\n" + preauth + "auth required pam_env.so\n"}},
      {{"password-auth", unix_one + authfail + end},
       {"middle", "auth required pam_env.so\nauth substack password-auth\n"},
       {"login", "auth include middle\n" + preauth}},
      // authselect's, in which conditions jump to pam_deny.
      {{"password-auth",
        "auth required pam_env.so\n"
        "auth [default=1 ignore=ignore success=ok] pam_usertype.so isregular\n"
        "auth [default=1 ignore=ignore success=ok] pam_localuser.so\n"
        "auth sufficient pam_unix.so nullok\n"
        "auth [default=1 ignore=ignore success=ok] pam_usertype.so isregular\n"
        "auth sufficient pam_sss.so forward_pass\n"
        "auth required pam_deny.so\n"},
       {"login", preauth + "auth substack password-auth\n"}},
      // A refusal in a substack ends only that.
      {{"password-auth", preauth + "auth sufficient pam_unix.so\n"},
       {"login",
        "auth required pam_env.so\nauth substack password-auth\n"
        "auth sufficient pam_krb5.so\n" +
            authfail}},
      // Behind each other.
      {{"login", preauth + "auth required pam_unix.so\n" + authfail}},
      {{"login", preauth + "auth requisite pam_krb5.so\n"}},
      {{"login", preauth + authfail + "auth sufficient pam_unix.so\nauth required pam_krb5.so\n"}},
      {{"login", preauth + unix_two + authfail + "auth sufficient pam_sss.so\n" + end}},
      {{"login", preauth + unix_two + sss_one + authfail + end}},
      {{"login", unix_two + authfail + end}},
      {{"login", unix_two + sss_one + preauth + end + authfail}},
      {{"login", preauth + "auth [success=1 new_authtok_reqd=ok default=ignore] pam_unix.so\n" +
                     authfail + "auth requisite pam_deny.so\n"}},
      // Where something jumps over all of them.
      {{"login", "auth [success=5 default=ignore] pam_succeed_if.so uid = 4711 quiet\n" + unix_one +
                     preauth + end + authfail + "auth required pam_permit.so\n"}},
  };
  for (const Files& files : stacks) {
    const Host host("sessions_limit = 9\n");
    write_all(host, files);
    INFO(shown(host, files));
    mend_all(host);
    INFO("mended:\n" << shown(host, files));
    CHECK(login_with(host, "success", "success") == PAM_SUCCESS);
    CHECK(login_with(host, "auth_err", "success") == PAM_CRED_EXPIRED);
    CHECK(login_with(host, "success", "success", "perm_denied") == PAM_PERM_DENIED);
  }
}

TEST_CASE("a second factor that is mended as check says is asked, and its failures are counted") {
  const std::string first =
      std::string(kPreauth) + "auth [success=2 default=ignore] pam_unix.so\n" + kAuthfail + kEnd;
  const std::string second = "auth required pam_google_authenticator.so nullok\n";
  const Files stacks[] = {
      {{"common-auth", first}, {"login", "@include common-auth\n" + second}},
      {{"common-auth", first}, {"login", "auth substack common-auth\n" + second}},
      {{"login", first + second + "auth required pam_env.so\n"}},
      {{"login", first + second + kAuthfail}},
      {{"second", second}, {"login", first + "auth substack second\n"}},
  };
  for (const Files& files : stacks) {
    const Host host("sessions_limit = 9\n");
    write_all(host, files);
    INFO(shown(host, files));
    mend_all(host);
    INFO("mended:\n" << shown(host, files));
    CHECK(login_with(host, "success", "success") == PAM_SUCCESS);
    CHECK(login_with(host, "success", "ignore") == PAM_SUCCESS);  // who has none yet
    CHECK(login_with(host, "success", "auth_err") == PAM_CRED_EXPIRED);
    CHECK(login_with(host, "auth_err", "success") == PAM_CRED_EXPIRED);
  }
}

TEST_CASE("the lines of a site that are added as check says are that site's") {
  const Host host("sessions_limit = 9\n");
  const std::string conf = host.sandbox().directory() + "/web.conf";
  host.write("web.conf", "");
  host.stack("login",
             "auth [success=2 default=ignore] pam_unix.so\n"
             "auth [default=die] /opt/pam_sessreg.so authfail site=web conf=" +
                 conf + "\n" + kEnd);
  CHECK_THAT(host.check().out,
             Catch::Contains("; add 'auth requisite /opt/pam_sessreg.so preauth site=web conf=" +
                             conf + "' before " + host.pam_dir() + "/login:1\n"));
}

TEST_CASE("account and session lines that are mended as check says refuse whom they should") {
  const std::string account = "account required pam_sessreg.so\n";
  const std::string session = "session required pam_sessreg.so\n";
  const std::string common =
      "account [success=1 new_authtok_reqd=done default=ignore] pam_unix.so\n"
      "account requisite pam_deny.so\n"
      "account required pam_permit.so\n";
  const Files stacks[] = {
      {{"common-account", common + "account sufficient pam_localuser.so\n"},
       {"login", "account required pam_env.so\n@include common-account\n" + account + session}},
      {{"common-account", common + "account sufficient pam_localuser.so\n" + account},
       {"login", "@include common-account\n" + session}},
      {{"login", "account [success=1 default=ignore] pam_unix.so\n" + account +
                     "account required pam_permit.so\n" + session}},
      {{"login",
        "account [success=2 default=ignore] pam_succeed_if.so uid = 4711\n"
        "account sufficient pam_unix.so\naccount required pam_permit.so\n" +
            account + session}},
      {{"common-session",
        "session [default=1] pam_permit.so\nsession requisite pam_deny.so\n"
        "session required pam_permit.so\nsession optional pam_systemd.so\n"},
       {"login", account + "@include common-session\n" + session}},
      {{"common-session", "session optional pam_systemd.so\n"},
       {"login", account + "session substack common-session\n" + session}},
      {{"common-session", "session optional pam_elogind.so\n" + session},
       {"login",
        account + "session [success=1 default=ignore] pam_permit.so\nsession required pam_deny.so\n"
                  "session include common-session\n"}},
      {{"login", "account optional pam_sessreg.so\n"}},
  };
  const Answers answers = {{"pam_sessreg.so", "acct=perm_denied open_session=perm_denied"},
                           {"pam_(unix|localuser|systemd|elogind).so", ""},
                           {"pam_env.so", ""}};
  for (const Files& files : stacks) {
    const Host host("sessions_limit = 9\n");
    write_all(host, files);
    INFO(shown(host, files));
    mend_all(host);
    INFO("mended:\n" << shown(host, files));
    CHECK(answer_of(host, answers, pam_acct_mgmt) == PAM_PERM_DENIED);
    CHECK(answer_of(host, answers, pam_open_session) == PAM_PERM_DENIED);
    // Who is let in is let in by the others, too.
    Answers good = answers;
    good["pam_sessreg.so"] = "acct=ignore open_session=ignore";
    if (!files.contains("common-session") && files.at("login").size() > 40)
      CHECK(answer_of(host, good, pam_acct_mgmt) == PAM_SUCCESS);
  }
}
