// Sums of rows that go to the same place, in their order: of each place by one thread a column.
#pragma once
#include <algorithm>
#include <limits>
#include <vector>

#include "cuda/queue.h"

namespace keyheads::cuda {

// places[g], ascending, is given the rows members[starts[g]] .. members[starts[g + 1] - 1],
// ascending too. All on the device.
struct Groups {
  int64_t count;
  const int32_t *places, *starts, *members;
};

// Rows i of [0, count) by their place, a number in [begin, end); others are left out.
inline Groups group_rows(Queue& queue, const int32_t* places, int64_t count, int64_t begin = 0,
                         int64_t end = std::numeric_limits<int32_t>::max()) {
  std::vector<uint64_t> keys;  // a place, and below it the row
  for (int64_t i = 0; i < count; ++i) {
    if (places[i] < begin || places[i] >= end) continue;
    keys.push_back(static_cast<uint64_t>(places[i]) << 32 | static_cast<uint64_t>(i));
  }
  std::sort(keys.begin(), keys.end());
  std::vector<int32_t> found, starts, members;
  for (const uint64_t key : keys) {
    const auto place = static_cast<int32_t>(key >> 32);
    if (found.empty() || found.back() != place) {
      found.push_back(place);
      starts.push_back(static_cast<int32_t>(members.size()));
    }
    members.push_back(static_cast<int32_t>(key & 0xffffffffu));
  }
  starts.push_back(static_cast<int32_t>(members.size()));
  const auto groups = static_cast<int64_t>(found.size());
  found.insert(found.end(), starts.begin(), starts.end());
  found.insert(found.end(), members.begin(), members.end());
  const int32_t* all = queue.upload(found.data(), static_cast<int64_t>(found.size()));
  return {groups, all, all + groups, all + 2 * groups + 1};
}

}  // namespace keyheads::cuda
