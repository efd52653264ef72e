#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <iterator>
#include <map>
#include <string>
#include <vector>

namespace keyheads::test {

// SplitMix64, seeded by a name.
class Random {
 public:
  explicit Random(const std::string& name) {
    for (const char c : name) state_ = state_ * 1099511628211u + static_cast<unsigned char>(c);
  }
  uint64_t bits() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  double uniform() { return static_cast<double>(bits() >> 11) * 0x1p-53; }
  double normal() {
    return std::sqrt(-2 * std::log(1 - uniform())) * std::cos(6.283185307179586 * uniform());
  }
  int32_t below(int64_t n) { return static_cast<int32_t>(bits() % static_cast<uint64_t>(n)); }
  // From first to last, both included.
  int64_t between(int64_t first, int64_t last) { return first + below(last - first + 1); }
  // A size from 1 to `most`: mostly one where vectors, panels and unrolled loops end.
  int64_t size(int64_t most) {
    constexpr int64_t kEdges[] = {1,   2,   3,   4,   5,   7,   8,   9,   12,  13,  15, 16, 17,
                                  31,  32,  33,  47,  48,  49,  63,  64,  65,  95,  96, 97, 127,
                                  128, 129, 191, 192, 193, 255, 256, 257, 511, 512, 513};
    const auto fitting = std::upper_bound(std::begin(kEdges), std::end(kEdges), most);
    if (below(4) == 0) return between(1, most);
    return kEdges[below(fitting - std::begin(kEdges))];
  }

 private:
  uint64_t state_ = 1469598103934665603u;
};

// At least the first `count` normal() of Random(name), kept for the next call that wants them.
inline const std::vector<double>& normals(const std::string& name, int64_t count) {
  struct Drawn {
    Random random;
    std::vector<double> values{};
  };
  static std::map<std::string, Drawn> all;
  Drawn& drawn = all.try_emplace(name, Drawn{Random(name)}).first->second;
  while (std::ssize(drawn.values) < count) drawn.values.push_back(drawn.random.normal());
  return drawn.values;
}

}  // namespace keyheads::test
