#pragma once
#include <cmath>
#include <cstdint>
#include <string>

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

 private:
  uint64_t state_ = 1469598103934665603u;
};

}  // namespace keyheads::test
