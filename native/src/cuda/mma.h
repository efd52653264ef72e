// The tensor cores' product of small tiles, and its twin for the CPU.
#pragma once
#include <cstdint>

#include "base/view.h"
#include "cuda/reduce.h"

namespace keyheads::cuda {

// d (16, 8) += a (16, 16) b (16, 8), bf16 with sums in f32, by the 32 lanes of a warp together.
// With g = lane / 4 and t = lane % 4, a lane holds, as pairs of neighbours in depth:
//   a: rows g, g + 8, g, g + 8, depths 2 t, 2 t, 2 t + 8, 2 t + 8;  b: column g, depths 2 t, 2 t +
//   8 d: rows g, g, g + 8, g + 8, columns 2 t, 2 t + 1, 2 t, 2 t + 1
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

}  // namespace keyheads::cuda
