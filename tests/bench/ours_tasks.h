// The registry as a contestant. Sites are set up before the fork and shared by tasks.
#pragma once

#include "ours.h"
#include "task.h"

namespace bench {

std::unique_ptr<Task> gate_pair(std::shared_ptr<Site> site, const std::string& name);
std::unique_ptr<Task> registry_pair(std::shared_ptr<Site> site);
// `site` full.
std::unique_ptr<Task> gate_refusal(std::shared_ptr<Site> site);
// Every touch finds a mark at least a tenth of a second old, so each one writes.
std::unique_ptr<Task> touch(std::shared_ptr<Site> site, std::uint32_t sessions);
std::unique_ptr<Task> scan(std::shared_ptr<Site> site);

}  // namespace bench
