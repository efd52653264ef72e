#include "floors.h"

#ifdef __x86_64__
#include <immintrin.h>
#endif

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <vector>

#include "base/check.h"
#include "base/cpu.h"
#include "base/pool.h"

namespace keyheads::test {

#ifdef __x86_64__
namespace {

constexpr int kChains = 12;  // two units, each with a latency of up to six

// Sums of `count` steps of independent chains: nothing but fused multiply-adds.
[[gnu::target("avx2,fma"), gnu::noinline]] float chains_v3(int64_t count) {
  __m256 sum[kChains], x = _mm256_set1_ps(0.999f), y = _mm256_set1_ps(0.001f);
#pragma GCC unroll 12
  for (int c = 0; c < kChains; ++c) sum[c] = _mm256_set1_ps(static_cast<float>(c));
  for (int64_t i = 0; i < count; ++i) {
#pragma GCC unroll 12
    for (int c = 0; c < kChains; ++c) sum[c] = _mm256_fmadd_ps(sum[c], x, y);
  }
  __m256 all = sum[0];
#pragma GCC unroll 12
  for (int c = 1; c < kChains; ++c) all = _mm256_add_ps(all, sum[c]);
  return _mm256_cvtss_f32(all);
}

[[gnu::target("avx512f"), gnu::noinline]] float chains_v4(int64_t count) {
  __m512 sum[kChains], x = _mm512_set1_ps(0.999f), y = _mm512_set1_ps(0.001f);
#pragma GCC unroll 12
  for (int c = 0; c < kChains; ++c) sum[c] = _mm512_set1_ps(static_cast<float>(c));
  for (int64_t i = 0; i < count; ++i) {
#pragma GCC unroll 12
    for (int c = 0; c < kChains; ++c) sum[c] = _mm512_fmadd_ps(sum[c], x, y);
  }
  __m512 all = sum[0];
#pragma GCC unroll 12
  for (int c = 1; c < kChains; ++c) all = _mm512_add_ps(all, sum[c]);
  return _mm512_cvtss_f32(all);
}

// Sums of products of two pairs of bfloat16 numbers, each worth two multiply-adds.
[[gnu::target("avx512f,avx512bf16"), gnu::noinline]] float chains_v4_bf16(int64_t count) {
  __m512 sum[kChains];
  const auto x = reinterpret_cast<__m512bh>(_mm512_set1_epi32(0x3f7f3f7f));
  const auto y = reinterpret_cast<__m512bh>(_mm512_set1_epi32(0x3a833a83));
#pragma GCC unroll 12
  for (int c = 0; c < kChains; ++c) sum[c] = _mm512_set1_ps(static_cast<float>(c));
  for (int64_t i = 0; i < count; ++i) {
#pragma GCC unroll 12
    for (int c = 0; c < kChains; ++c) sum[c] = _mm512_dpbf16_ps(sum[c], x, y);
  }
  __m512 all = sum[0];
#pragma GCC unroll 12
  for (int c = 1; c < kChains; ++c) all = _mm512_add_ps(all, sum[c]);
  return _mm512_cvtss_f32(all);
}

[[gnu::target("avx2"), gnu::noinline]] int64_t read_all(const char* data, int64_t bytes) {
  __m256i sum = _mm256_setzero_si256();
  for (int64_t i = 0; i < bytes; i += 64) {
    _mm_prefetch(data + i + 2048, _MM_HINT_T0);
    sum = _mm256_add_epi64(sum, _mm256_load_si256(reinterpret_cast<const __m256i*>(data + i)));
    sum = _mm256_add_epi64(sum, _mm256_load_si256(reinterpret_cast<const __m256i*>(data + i + 32)));
  }
  return _mm256_extract_epi64(sum, 0);
}

// Best of many calls of f(thread), one on every thread of the pool at a time.
template <class F>
double best_seconds(Pool& pool, F f) {
  double best = 1e9;
  for (int i = 0; i < 30; ++i) {
    const auto start = std::chrono::steady_clock::now();
    pool.run(
        pool.threads(), [](void* data, int64_t i) { (*static_cast<F*>(data))(i); }, &f);
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
    best = std::min(best, taken.count());
  }
  return best;
}

}  // namespace

void print_floors() {
  Pool pool(default_threads());
  const auto isas = supported_isas();
  const auto has = [&](Isa isa) { return std::find(isas.begin(), isas.end(), isa) != isas.end(); };
  const bool wide = has(Isa::v4), fma = has(Isa::v3);
  if (!fma) {
    fail("NO_DEVICE", "the floors are measured with AVX2, which this processor does not have");
  }
  constexpr int64_t kSteps = 1000000, kBytes = int64_t{256} << 20;
  std::vector<double> sinks(static_cast<size_t>(pool.threads()) * 8);
  const double chains = best_seconds(pool, [&](int64_t thread) {
    sinks[static_cast<size_t>(thread) * 8] +=
        static_cast<double>(wide ? chains_v4(kSteps) : chains_v3(kSteps));
  });
  const double full = kSteps * kChains * (wide ? 32 : 16) / chains;
  double half = full;  // without such products, bfloat16 numbers are widened first
  if (has(Isa::v4_bf16)) {
    half = kSteps * kChains * 64 / best_seconds(pool, [&](int64_t thread) {
             sinks[static_cast<size_t>(thread) * 8] += static_cast<double>(chains_v4_bf16(kSteps));
           });
  }
  std::vector<std::vector<char>> blocks(static_cast<size_t>(pool.threads()));
  for (auto& block : blocks) block.assign(kBytes + 4096, 1);
  const double reads = best_seconds(pool, [&](int64_t thread) {
    const char* data = blocks[static_cast<size_t>(thread)].data();
    sinks[static_cast<size_t>(thread) * 8] +=
        static_cast<double>(read_all(data + 64 - reinterpret_cast<uintptr_t>(data) % 64, kBytes));
  });
  const double threads = pool.threads();
  std::printf("{\"threads\": %d, \"flops\": %.4g, \"bf16Flops\": %.4g, \"bytesRead\": %.4g}\n",
              pool.threads(), threads * full, threads * half, threads * kBytes / reads);
}

#else

void print_floors() { fail("NO_DEVICE", "the floors are measured on x86-64 only"); }

#endif

}  // namespace keyheads::test
