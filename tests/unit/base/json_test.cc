#include "base/json.h"

#include "../../support/catch.h"

using namespace sessreg;

namespace {

std::string nested(int depth) {
  std::string text = "{\"a\":";
  for (int at = 1; at < depth; ++at)
    text += '[';
  text += '0';
  for (int at = 1; at < depth; ++at)
    text += ']';
  return text + "}";
}

}  // namespace

TEST_CASE("an object's members are read by name and type") {
  const auto object = JsonObject::parse(
      " { \"s\" : \"a\\\"\\\\\\/\\n\\u00e4\\ud83d\\ude00 \xc3\xa4\", \"i\":-12 "
      ",\"t\":true,\"f\":false,"
      "\"n\":null,\"o\":{\"x\":{\"y\":\"z\"}},\"l\":[1,2.5e-3,[]],\"e\":{},\"big\":"
      "99999999999999999999}\n");
  REQUIRE(object);
  CHECK(object->string("s") == "a\"\\/\n\xc3\xa4\xf0\x9f\x98\x80 \xc3\xa4");
  CHECK(object->integer("i") == -12);
  CHECK(object->boolean("t") == true);
  CHECK(object->boolean("f") == false);
  REQUIRE(object->object("o"));
  CHECK(object->object("o")->object("x")->string("y") == "z");
  CHECK(object->object("e"));
  // Another type, or none.
  CHECK_FALSE(object->string("i"));
  CHECK_FALSE(object->string("n"));
  CHECK_FALSE(object->string("nothing"));
  CHECK_FALSE(object->integer("s"));
  CHECK_FALSE(object->integer("big"));
  CHECK_FALSE(object->boolean("i"));
  CHECK_FALSE(object->object("l"));
}

TEST_CASE("what is not one JSON object is refused") {
  const auto text = GENERATE(values<std::string>({
      "",
      " ",
      "null",
      "[]",
      "\"a\"",
      "1",
      "{",
      "}",
      "{}x",
      "{} {}",
      "{\"a\"}",
      "{\"a\":}",
      "{\"a\":1,}",
      "{,}",
      "{a:1}",
      "{'a':1}",
      "{\"a\":01}",
      "{\"a\":1.}",
      "{\"a\":.5}",
      "{\"a\":+1}",
      "{\"a\":-}",
      "{\"a\":1e}",
      "{\"a\":0x1}",
      "{\"a\":tru}",
      "{\"a\":truex}",
      "{\"a\":NaN}",
      "{\"a\":\"\n\"}",
      "{\"a\":\"\\x\"}",
      "{\"a\":\"\\u12\"}",
      "{\"a\":\"\\u12g4\"}",
      "{\"a\":\"\\ud800\"}",
      "{\"a\":\"\\ud800\\u0041\"}",
      "{\"a\":\"\\udc00\"}",
      "{\"a\":\"\xff\"}",
      "{\"a\":\"\xc0\x80\"}",
      "{\"a\":\"",
      "{\"a\":\"\\",
      "{\"a\":[1}",
      "{\"a\":[1,]}",
      "{\"a\":1 \"b\":2}",
      "// {}",
  }));
  CAPTURE(text);
  CHECK_FALSE(JsonObject::parse(text));
}

TEST_CASE("no name may come twice in one object, however it is written") {
  CHECK_FALSE(JsonObject::parse(R"({"a":1,"a":1})"));
  CHECK_FALSE(JsonObject::parse(R"({"a":1,"\u0061":1})"));
  CHECK_FALSE(JsonObject::parse(R"({"o":{"b":1,"a":1,"b":1}})"));
  CHECK(JsonObject::parse(R"({"a":1,"o":{"a":1}})"));
}

TEST_CASE("nothing is read that is too deep") {
  CHECK(JsonObject::parse(nested(kMostJsonDepth)));
  CHECK_FALSE(JsonObject::parse(nested(kMostJsonDepth + 1)));
  CHECK_FALSE(JsonObject::parse(nested(1'000'000)));
}

TEST_CASE("a string is written so that it is read back") {
  const std::string text("a\"\\\b\x01\x1f/\xc3\xa4\x7f\0", 11);
  const std::string written = "{\"a\":" + json_string(text) + "}";
  const auto object = JsonObject::parse(written);
  REQUIRE(object);
  CHECK(object->string("a") == text);
}
