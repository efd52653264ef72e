// Small transposes, for packing. A leaf header.
#pragma once
#include "ops/rows.h"
#include "ops/simd.h"

namespace keyheads::ops {
namespace {

inline constexpr int64_t kBlock = 8;

// to[c * to_stride + r] = from[r * from_stride + c] for r < rows, c < cols
template <class T>
KEYHEADS_INLINE void transpose_plain(const T* from, int64_t from_stride, int64_t rows, int64_t cols,
                                     T* to, int64_t to_stride) {
  for (int64_t c = 0; c < cols; ++c) {
    for (int64_t r = 0; r < rows; ++r) to[c * to_stride + r] = from[r * from_stride + c];
  }
}

// 8 x 8: to[c * to_stride + r] = rows[r][first + c]
template <class T>
KEYHEADS_INLINE void transpose_block(const T* const (&rows)[kBlock], int64_t first, T* to,
                                     int64_t to_stride) {
#ifdef __AVX2__
  if constexpr (sizeof(T) == 4) {
    __m256 v[8], pairs[8], quads[8];
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) v[i] = _mm256_loadu_ps(rows[i] + first);
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      pairs[2 * i] = _mm256_unpacklo_ps(v[2 * i], v[2 * i + 1]);
      pairs[2 * i + 1] = _mm256_unpackhi_ps(v[2 * i], v[2 * i + 1]);
    }
#pragma GCC unroll 2
    for (int i = 0; i < 8; i += 4) {
      quads[i] = _mm256_shuffle_ps(pairs[i], pairs[i + 2], 0x44);
      quads[i + 1] = _mm256_shuffle_ps(pairs[i], pairs[i + 2], 0xee);
      quads[i + 2] = _mm256_shuffle_ps(pairs[i + 1], pairs[i + 3], 0x44);
      quads[i + 3] = _mm256_shuffle_ps(pairs[i + 1], pairs[i + 3], 0xee);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      _mm256_storeu_ps(to + i * to_stride, _mm256_permute2f128_ps(quads[i], quads[i + 4], 0x20));
      _mm256_storeu_ps(to + (i + 4) * to_stride,
                       _mm256_permute2f128_ps(quads[i], quads[i + 4], 0x31));
    }
    return;
  }
#endif
  for (int64_t c = 0; c < kBlock; ++c) {
    for (int64_t r = 0; r < kBlock; ++r) to[c * to_stride + r] = rows[r][first + c];
  }
}

template <class T>
KEYHEADS_INLINE void transpose(const T* from, int64_t from_stride, int64_t rows, int64_t cols,
                               T* to, int64_t to_stride) {
  const int64_t whole_rows = rows / kBlock * kBlock, whole_cols = cols / kBlock * kBlock;
  for (int64_t r = 0; r < whole_rows; r += kBlock) {
    const T* block[kBlock];
    for (int64_t i = 0; i < kBlock; ++i) block[i] = from + (r + i) * from_stride;
    for (int64_t c = 0; c < whole_cols; c += kBlock) {
      transpose_block(block, c, to + c * to_stride + r, to_stride);
    }
  }
  transpose_plain(from + whole_cols, from_stride, whole_rows, cols - whole_cols,
                  to + whole_cols * to_stride, to_stride);
  transpose_plain(from + whole_rows * from_stride, from_stride, rows - whole_rows, cols,
                  to + whole_rows, to_stride);
}

}  // namespace
}  // namespace keyheads::ops
