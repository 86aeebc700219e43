#include <string>

#include "../support/catch.h"
#include "varlink/write.h"

using namespace sessreg::varlink;

namespace {

class Parsed {
 public:
  explicit Parsed(std::string text) : text_(std::move(text)) {
    const std::size_t size = text_.size();
    text_.append(kPaddingBytes, '\0');
    fault = parser_.parse_call({text_.data(), size}, call);
  }
  Fault fault;
  Call call;

 private:
  std::string text_;
  MessageParser parser_;
};

Fault fault_of(const std::string& text) {
  return Parsed(text).fault;
}

std::string thrown_name(const std::function<void()>& work) {
  try {
    work();
  } catch (const CallError& error) {
    return error.name() + error.parameters().dump();
  }
  return "nothing";
}

}  // namespace

TEST_CASE("a call is read with its flags and parameters") {
  const Parsed parsed(
      R"({"method":"org.example.Toy.Echo","parameters":{"text":"a\u0000b","n":-5},"more":true})");
  REQUIRE(parsed.fault == Fault::none);
  CHECK(parsed.call.interface_name == "org.example.Toy");
  CHECK(parsed.call.member == "Echo");
  CHECK(parsed.call.more);
  CHECK_FALSE(parsed.call.oneway);
  const Parameters parameters(parsed.call, {"text", "n", "other"});
  CHECK(parameters.string("text") == std::string_view("a\0b", 3));
  CHECK(parameters.optional_integer("n") == -5);
  CHECK(parameters.boolean("other", true));
}

TEST_CASE("null counts as absent, as in the specification") {
  const Parsed parsed(R"({"method":"a.b.C","parameters":null,"more":null,"oneway":true})");
  REQUIRE(parsed.fault == Fault::none);
  CHECK(parsed.call.parameters == nullptr);
  CHECK_FALSE(parsed.call.more);
  CHECK(parsed.call.oneway);
}

TEST_CASE("extensions in reverse-domain notation are ignored, other keys refused") {
  CHECK(fault_of(R"({"method":"a.b.C","org.example.trace":{"id":1}})") == Fault::none);
  CHECK(fault_of(R"({"method":"a.b.C","org.example.trace":1})") == Fault::unknown_key);
  CHECK(fault_of(R"({"method":"a.b.C","trace":{}})") == Fault::unknown_key);
}

TEST_CASE("what is not a call is refused by kind") {
  const std::string deep = R"({"method":"a.b.C","parameters":{"a":)" + std::string(20, '[') +
                           std::string(20, ']') + "}}";
  std::string many = R"({"method":"a.b.C","parameters":{)";
  for (int i = 0; i < 33; ++i)
    many += (i == 0 ? "\"k" : ",\"k") + std::to_string(i) + "\":0";
  many += "}}";
  CHECK(fault_of("") == Fault::not_json);
  CHECK(fault_of("hello") == Fault::not_json);
  CHECK(fault_of(R"({"method":"a.b.C"} x)") == Fault::not_json);
  CHECK(fault_of("{\"method\":\"a.b.C\xff\"}") == Fault::not_json);
  CHECK(fault_of(R"({"method":"a.b.C","parameters":{"a":"\ud800"}})") == Fault::not_json);
  CHECK(fault_of("[]") == Fault::not_an_object);
  CHECK(fault_of(deep) == Fault::too_deep);
  CHECK(fault_of(many) == Fault::too_many_keys);
  CHECK(fault_of(R"({"method":"a.b.C","method":"a.b.D"})") == Fault::duplicate_key);
  CHECK(fault_of(R"({"method":"a.b.C","parameters":{"a":1,"\u0061":2}})") == Fault::duplicate_key);
  CHECK(fault_of(R"({"method":"a.b.C","parameters":{"a":[0,{"b":1,"b":1}]}})") ==
        Fault::duplicate_key);
  CHECK(fault_of("{}") == Fault::no_method);
  CHECK(fault_of(R"({"method":1})") == Fault::wrong_type);
  CHECK(fault_of(R"({"method":"a.b.C","more":1})") == Fault::wrong_type);
  CHECK(fault_of(R"({"method":"a.b.C","parameters":[]})") == Fault::wrong_type);
  CHECK(fault_of(R"({"method":"a.b.C","oneway":true,"more":true})") == Fault::conflicting_flags);
}

TEST_CASE("names follow the specification's grammar") {
  for (const char* good : {"org.example.Foo", "org.ex-am--ple.2nd.Foo2", "Org.Foo.Bar"}) {
    INFO(good);
    CHECK(is_member_name(good));
  }
  for (const char* bad : {"", "Foo", ".Foo", "a.Foo", "a..b.Foo", "a.b.foo", "a.b.", "a.-b.Foo",
                          "a.b-.Foo", "1a.b.Foo", "a.b.F_o", "a.b.F-", "a b.c.Foo"}) {
    INFO(bad);
    CHECK_FALSE(is_member_name(bad));
    CHECK(fault_of(Json{{"method", bad}}.dump()) != Fault::none);
  }
}

TEST_CASE("an invalid parameter is named") {
  const Parsed parsed(R"({"method":"a.b.C","parameters":{"text":1,"all":["x",2],"big":1e300}})");
  REQUIRE(parsed.fault == Fault::none);
  const auto named = [](const std::string& name) {
    return "org.varlink.service.InvalidParameter{\"parameter\":\"" + name + "\"}";
  };
  CHECK(thrown_name([&] { Parameters(parsed.call, {"text", "all"}); }) == named("big"));
  const Parameters parameters(parsed.call, {"text", "all", "big", "none"});
  CHECK(thrown_name([&] { parameters.string("text"); }) == named("text"));
  CHECK(thrown_name([&] { parameters.string("none"); }) == named("none"));
  CHECK(thrown_name([&] { parameters.boolean("text", true); }) == named("text"));
  CHECK(thrown_name([&] { parameters.optional_integer("big"); }) == named("big"));
  CHECK(thrown_name([&] { parameters.for_each_string("text", [](auto) {}); }) == named("text"));
  int called = 0;
  CHECK(thrown_name([&] { parameters.for_each_string("all", [&](auto) { ++called; }); }) ==
        named("all"));
  CHECK(called == 0);
}

TEST_CASE("what is written is read again, and what is not UTF-8 becomes U+FFFD") {
  std::string message;
  append_reply(message, {{"text", "a\xff\0b"}, {"list", {1, 2}}}, true);
  REQUIRE(message.back() == '\0');
  REQUIRE(message.find('\0') == message.size() - 1);
  const std::size_t size = message.size() - 1;
  message.append(kPaddingBytes, '\0');
  MessageParser parser;
  Reply reply;
  REQUIRE(parser.parse_reply({message.data(), size}, reply) == Fault::none);
  CHECK(reply.continues);
  CHECK(reply.error.empty());
  CHECK(reply.json().dump() == "{\"text\":\"a\xef\xbf\xbd\",\"list\":[1,2]}");
}

TEST_CASE("parameters that are ready made cannot end a message early") {
  std::string message;
  CHECK_FALSE(append_formatted_reply(message, std::string_view("{\"a\":\"\0\"}", 9)));
  CHECK(message.empty());
  CHECK(append_formatted_reply(message, "{}"));
  CHECK(message == std::string("{\"parameters\":{}}\0", 18));
}
