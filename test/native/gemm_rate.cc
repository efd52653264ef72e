#include "gemm_rate.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/cpu.h"
#include "base/pool.h"
#include "base/tensor.h"
#include "ops/linear.h"

namespace keyheads::test {
namespace {

struct Shape {
  int64_t m, n, k;
};

Tensor<float> noise(int64_t rows, int64_t cols) {
  Tensor<float> t(rows, cols);
  uint32_t state = 1;
  for (int64_t i = 0; i < t.size(); ++i) {
    state = state * 1664525u + 1013904223u;
    t.data()[i] = static_cast<float>(state >> 8) / 8388608.0f - 1.0f;
  }
  return t;
}

// Best of eight tenths of a second.
double rate(Context& ctx, const Shape& s, Storage storage) {
  Weight<float> w{nullptr, s.n, s.k, storage};
  const auto hold = allocate(static_cast<size_t>(w.bytes()), Purpose::work);
  w.data = hold.get();
  const Tensor<float> matrix = noise(s.n, s.k), x = noise(s.m, s.k);
  ops::pack(ctx, ops::Pack<float>{.w = w, .matrix = matrix.m});
  const Tensor<float> y(s.m, s.n);
  const double flops =
      2.0 * static_cast<double>(s.m) * static_cast<double>(s.n) * static_cast<double>(s.k);
  double best = 0;
  for (int i = 0; i < 8; ++i) {
    const auto start = std::chrono::steady_clock::now();
    int calls = 0;
    std::chrono::duration<double> taken{};
    do {
      ops::linear(ctx, ops::Linear<float>{.y = y.m, .x = x.m, .w = w, .bias = nullptr});
      ++calls;
      taken = std::chrono::steady_clock::now() - start;
    } while (taken.count() < 0.1);
    best = std::max(best, flops * calls / taken.count());
  }
  return best;
}

}  // namespace

void print_gemm_rates(int count, char** arguments) {
  const std::string dtype = count > 0 ? arguments[0] : "";
  if ((dtype != "f32" && dtype != "bf16") || count % 3 != 1 || count < 4) {
    throw std::invalid_argument("--gemm takes f32 or bf16, then M N K of every shape");
  }
  Pool pool(default_threads());
  Context ctx{.isa = detect_isa(), .pool = &pool, .progress = {}};
  const Storage storage = dtype == "bf16" ? Storage::bf16 : Storage::full;
  std::printf("[");
  for (int i = 1; i + 2 < count; i += 3) {
    const Shape s{std::stoll(arguments[i]), std::stoll(arguments[i + 1]),
                  std::stoll(arguments[i + 2])};
    std::printf("%s{\"m\": %lld, \"n\": %lld, \"k\": %lld, \"flops\": %.4g}", i > 1 ? ", " : "",
                static_cast<long long>(s.m), static_cast<long long>(s.n),
                static_cast<long long>(s.k), rate(ctx, s, storage));
  }
  std::printf("]\n");
}

}  // namespace keyheads::test
