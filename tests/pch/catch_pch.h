// What is here is precompiled for the tests, to save time and for nothing else: each file still
// includes what it uses, which tests/tidy sees, as it builds without (-Db_pch=false). Only headers
// that many include, and none of our own but catch.h, after a change of which everything would be
// built anew. Not for what is optimized: there it saves little, and g++ 12 warns of faults in its own
// library (GCC bug 105651).
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "../support/catch.h"
