#include "sessreg/lint/near_file.h"

#include <filesystem>
#include <string_view>
#include <vector>

#include "config/spelling.h"

namespace sessreg {
namespace {

// Of a folder with more nobody wants to wait.
constexpr std::size_t kMostFiles = 10'000;

}  // namespace

std::string near_file(const std::string& path) {
  const std::filesystem::path wanted(path);
  std::vector<std::string> names;
  std::error_code error;
  std::filesystem::directory_iterator entry(wanted.parent_path(), error);
  const std::filesystem::directory_iterator end;
  for (; !error && entry != end && names.size() < kMostFiles; entry.increment(error))
    names.push_back(entry->path().filename().string());
  const std::vector<std::string_view> views(names.begin(), names.end());
  const std::string_view nearest = nearest_spelling(wanted.filename().string(), views);
  return nearest.empty() ? std::string() : (wanted.parent_path() / nearest).string();
}

}  // namespace sessreg
