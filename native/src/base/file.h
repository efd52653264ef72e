#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace keyheads {

// Exactly `count` bytes from `offset`; throws BAD_CHECKPOINT naming the file if it has fewer.
std::vector<char> read_bytes(const std::string& path, int64_t offset, int64_t count);

}  // namespace keyheads
