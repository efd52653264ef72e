// The tensor cores' product of small tiles and what brings tiles to it, each with its twin for the
// CPU.
#pragma once
#include <cstdint>
#include <cstring>

#include "base/view.h"
#include "cuda/reduce.h"

namespace keyheads::cuda {

// d (16, 8) += a (16, 16) b (16, 8), bf16 with sums in f32, by the 32 lanes of a warp together.
// With g = lane / 4 and t = lane % 4, a lane holds, as pairs of neighbours in depth:
// - a: rows g, g + 8, g, g + 8, depths 2 t, 2 t, 2 t + 8, 2 t + 8
// - b: column g, depths 2 t, 2 t + 8
// - d: rows g, g, g + 8, g + 8, columns 2 t, 2 t + 1, 2 t, 2 t + 1
__device__ __forceinline__ void mma_bf16(float (&d)[4], const uint32_t (&a)[4],
                                         const uint32_t (&b)[2]) {
#ifdef __CUDACC__
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  const auto lane = static_cast<int>(shim::lane());
  const int g = lane / 4, t = lane % 4;
  const uint32_t mine[6] = {a[0], a[1], a[2], a[3], b[0], b[1]};
  const shim::Words* of = shim::share_words(mine, 6);
  for (int half = 0; half < 2; ++half) {
    for (int from = 0; from < 4; ++from) {
      const Bf16Pair upper{of[4 * g + from][2 * half]}, lower{of[4 * g + from][2 * half + 1]};
      for (int column = 0; column < 2; ++column) {
        const Bf16Pair right{of[4 * (2 * t + column) + from][4 + half]};
        d[column] += upper.first() * right.first() + upper.second() * right.second();
        d[2 + column] += lower.first() * right.first() + lower.second() * right.second();
      }
    }
  }
  __syncwarp();  // before the words are written again
#endif
}

// Four tiles of 8 x 8 bf16 from shared memory, by the 32 lanes of a warp together: lane i points to
// row i % 8 of tile i / 8, which is 16-byte aligned. With g and t as above a lane gets, of each
// tile, columns 2 t and 2 t + 1 of row g; transposed, rows 2 t and 2 t + 1 of column g.
template <bool transposed>
__device__ __forceinline__ void load_tiles(uint32_t (&to)[4], const uint16_t* row) {
#ifdef __CUDACC__
  const auto at = static_cast<uint32_t>(__cvta_generic_to_shared(row));
  if constexpr (transposed) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(at)
                 : "memory");
  } else {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(at)
                 : "memory");
  }
#else
  const auto lane = static_cast<int>(shim::lane());
  const int g = lane / 4, t = lane % 4;
  uint32_t mine[2];
  memcpy(mine, &row, sizeof row);
  const shim::Words* of = shim::share_words(mine, 2);
  for (int tile = 0; tile < 4; ++tile) {
    const auto element = [&](int r, int c) {
      const uint16_t* at;
      memcpy(&at, of[8 * tile + r], sizeof at);
      return uint32_t{at[c]};
    };
    to[tile] = transposed ? element(2 * t, g) | element(2 * t + 1, g) << 16
                          : element(g, 2 * t) | element(g, 2 * t + 1) << 16;
  }
  __syncwarp();  // before the words are written again
#endif
}

// Two floats, each rounded to the nearest bf16, ties to even.
__device__ __forceinline__ Bf16Pair pair_of(float first, float second) {
#ifdef __CUDACC__
  Bf16Pair pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair.bits) : "f"(second), "f"(first));
  return pair;
#else
  return {round_to_bf16(first) | round_to_bf16(second) << 16};
#endif
}

}  // namespace keyheads::cuda
