#include <nlohmann/json.hpp>
#include <regex>

#include "catch_pch.h"
