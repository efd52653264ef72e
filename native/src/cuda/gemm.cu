// Matrix products by the library's own kernels.
#include <algorithm>

#include "cuda/gemm.h"
#include "cuda/mma.h"
#include "cuda/rows.h"
#include "cuda/vectors.h"

namespace keyheads::cuda {
namespace {

int64_t blocks_of(int64_t count, int64_t size) { return (count + size - 1) / size; }

// A piece of the product: where its tile of c goes, and which depths it sums.
struct Tiling {
  int64_t rows, cols, depth;  // of the product
  int64_t per_split;          // depths of a block; blockIdx.z says which
  bool tf32;                  // floats are rounded before they are multiplied
};

// To the nearest with a fraction of 10 bits, ties away from zero, as tensor cores take it.
__device__ __forceinline__ float to_tf32(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  if ((bits & 0x7f800000u) == 0x7f800000u) return x;
  bits = (bits + 0x1000u) & ~0x1fffu;
  memcpy(&x, &bits, sizeof x);
  return x;
}

// One thread's share of a strip of `lines` lines and 1024 / lines depths, on its way from memory to
// shared memory, where it lies depth by depth. `along`: neighbours in memory are neighbours in
// depth, else lines are.
template <int lines, bool along>
struct Strip {
  static constexpr int kLine = lines + 4;
  const float* data;
  int64_t stride, count;  // lines there are
  bool wide;
  float4 held;

  __device__ __forceinline__ int line() const {
    return static_cast<int>(threadIdx.x) / (256 / lines);
  }
  __device__ __forceinline__ int depth() const {
    return static_cast<int>(threadIdx.x) % (256 / lines) * 4;
  }
  __device__ __forceinline__ int first_line() const {
    return static_cast<int>(threadIdx.x) % (lines / 4) * 4;
  }
  __device__ __forceinline__ int own_depth() const {
    return static_cast<int>(threadIdx.x) / (lines / 4);
  }
  // of the depths from..end
  __device__ __forceinline__ void fetch(int64_t from, int64_t end) {
    if constexpr (along) {
      const int64_t p = from + depth();
      held = four(data + line() * stride + p, line() < count ? end - p : 0, wide);
    } else {
      const int64_t p = from + own_depth();
      held = four(data + p * stride + first_line(), p < end ? count - first_line() : 0, wide);
    }
  }
  __device__ __forceinline__ void put(float* shared, bool tf32) {
    if (tf32) held = {to_tf32(held.x), to_tf32(held.y), to_tf32(held.z), to_tf32(held.w)};
    if constexpr (along) {
      float* to = shared + depth() * kLine + line();
      to[0] = held.x;
      to[kLine] = held.y;
      to[2 * kLine] = held.z;
      to[3 * kLine] = held.w;
    } else {
      *reinterpret_cast<float4*>(shared + own_depth() * kLine + first_line()) = held;
    }
  }
};

// Adds a number to c, or sets it: with splits, to their own copy of c.
struct Output {
  Mat<float> c;
  float* parts;  // (splits, rows, cols), or null
  bool accumulate;
  const float* bias;

  __device__ __forceinline__ void put(int64_t i, int64_t j, float sum) const {
    if (i >= c.rows || j >= c.cols) return;
    if (parts) {
      parts[(static_cast<int64_t>(blockIdx.z) * c.rows + i) * c.cols + j] = sum;
    } else {
      float* at = c.row(i) + j;
      *at = accumulate ? *at + sum : bias ? sum + bias[j] : sum;
    }
  }
};

// A block computes 16 T x 16 T elements of c, a thread T x T of them, in f32: one chain over
// ascending depth each. While one strip of both sides is multiplied, the next is on its way.
template <int T, bool a_along, bool b_along>
__global__ void __launch_bounds__(256)
    f32_kernel(Tiling tiling, const float* a, int64_t a_stride, bool a_wide, const float* b,
               int64_t b_stride, bool b_wide, Output out) {
  constexpr int kTile = 16 * T, kDepth = 1024 / kTile, kLine = kTile + 4;
  SHARED(float, a_strips, 2 * kDepth * kLine);
  SHARED(float, b_strips, 2 * kDepth * kLine);
  const int64_t row = static_cast<int64_t>(blockIdx.y) * kTile;
  const int64_t col = static_cast<int64_t>(blockIdx.x) * kTile;
  const int64_t begin = blockIdx.z * tiling.per_split;
  const int64_t end = min(begin + tiling.per_split, tiling.depth);
  Strip<kTile, a_along> left{
      a + (a_along ? row * a_stride : row), a_stride, tiling.rows - row, a_wide, {}};
  Strip<kTile, b_along> right{
      b + (b_along ? col * b_stride : col), b_stride, tiling.cols - col, b_wide, {}};
  const int tx = threadIdx.x % 16, ty = threadIdx.x / 16;
  float sums[T][T];
  for (int i = 0; i < T; ++i) {
    for (int j = 0; j < T; ++j) sums[i][j] = 0;
  }
  left.fetch(begin, end);
  right.fetch(begin, end);
  int now = 0;
  for (int64_t p = begin; p < end; p += kDepth, now ^= 1) {
    float* as = a_strips + now * kDepth * kLine;
    float* bs = b_strips + now * kDepth * kLine;
    left.put(as, tiling.tf32);
    right.put(bs, tiling.tf32);
    __syncthreads();
    left.fetch(p + kDepth, end);
    right.fetch(p + kDepth, end);
#pragma unroll
    for (int q = 0; q < kDepth; ++q) {
      float x[T], y[T];
#pragma unroll
      for (int part = 0; part < T / 4; ++part) {  // fours of lines, 64 apart
        *reinterpret_cast<float4*>(x + 4 * part) =
            *reinterpret_cast<const float4*>(as + q * kLine + 64 * part + 4 * ty);
        *reinterpret_cast<float4*>(y + 4 * part) =
            *reinterpret_cast<const float4*>(bs + q * kLine + 64 * part + 4 * tx);
      }
#pragma unroll
      for (int i = 0; i < T; ++i) {
#pragma unroll
        for (int j = 0; j < T; ++j) sums[i][j] = fmaf(x[i], y[j], sums[i][j]);
      }
    }
  }
#pragma unroll
  for (int i = 0; i < T; ++i) {
#pragma unroll
    for (int j = 0; j < T; ++j) {
      out.put(row + i / 4 * 64 + 4 * ty + i % 4, col + j / 4 * 64 + 4 * tx + j % 4, sums[i][j]);
    }
  }
}

// Eight neighbours in memory, as four().
struct alignas(16) Eight {
  uint16_t x[8];
};
__device__ __forceinline__ Eight eight(const uint16_t* at, int64_t left, bool wide) {
  if (wide && left >= 8) return *reinterpret_cast<const Eight*>(at);
  Eight v{};
  for (int i = 0; i < 8; ++i) v.x[i] = i < left ? at[i] : 0;
  return v;
}

constexpr int kHalfDepth = 32;             // of a strip of bf16
constexpr int kHalfLine = kHalfDepth + 8;  // lanes that read a fragment meet no bank twice

// The same for bf16, as it lies in shared memory line by line: two vectors a thread.
template <int lines, int threads, bool along>
struct HalfStrip {
  static constexpr int kVectors = lines * kHalfDepth / 8 / threads;
  const uint16_t* data;
  int64_t stride, count;
  bool wide;
  Eight held[kVectors];

  __device__ __forceinline__ void fetch(int64_t from, int64_t end) {
#pragma unroll
    for (int v = 0; v < kVectors; ++v) {
      const int at = static_cast<int>(threadIdx.x) + v * threads;
      if constexpr (along) {
        const int64_t line = at / (kHalfDepth / 8), p = from + at % (kHalfDepth / 8) * 8;
        held[v] = eight(data + line * stride + p, line < count ? end - p : 0, wide);
      } else {
        const int64_t p = from + at / (lines / 8), line = at % (lines / 8) * 8;
        held[v] = eight(data + p * stride + line, p < end ? count - line : 0, wide);
      }
    }
  }
  __device__ __forceinline__ void put(uint16_t* shared) const {
#pragma unroll
    for (int v = 0; v < kVectors; ++v) {
      const int at = static_cast<int>(threadIdx.x) + v * threads;
      if constexpr (along) {
        *reinterpret_cast<Eight*>(shared + at / (kHalfDepth / 8) * kHalfLine +
                                  at % (kHalfDepth / 8) * 8) = held[v];
      } else {
        uint16_t* to = shared + at % (lines / 8) * 8 * kHalfLine + at / (lines / 8);
        for (int i = 0; i < 8; ++i) to[i * kHalfLine] = held[v].x[i];
      }
    }
  }
};

__device__ __forceinline__ uint32_t pair_at(const uint16_t* at) {
  return *reinterpret_cast<const uint32_t*>(at);
}

// A block computes 32 T x 32 T elements of c in bf16, by 2 x T warps on tensor cores: a warp 16 T x
// 32 of them.
template <int T, bool a_along, bool b_along>
__global__ void __launch_bounds__(64 * T)
    bf16_kernel(Tiling tiling, const uint16_t* a, int64_t a_stride, bool a_wide, const uint16_t* b,
                int64_t b_stride, bool b_wide, Output out) {
  constexpr int kTile = 32 * T, kBlock = 64 * T;
  SHARED(uint16_t, a_strip, kTile * kHalfLine);
  SHARED(uint16_t, b_strip, kTile * kHalfLine);
  const int64_t row = static_cast<int64_t>(blockIdx.y) * kTile;
  const int64_t col = static_cast<int64_t>(blockIdx.x) * kTile;
  const int64_t begin = blockIdx.z * tiling.per_split;
  const int64_t end = min(begin + tiling.per_split, tiling.depth);
  HalfStrip<kTile, kBlock, a_along> left{
      a + (a_along ? row * a_stride : row), a_stride, tiling.rows - row, a_wide, {}};
  HalfStrip<kTile, kBlock, b_along> right{
      b + (b_along ? col * b_stride : col), b_stride, tiling.cols - col, b_wide, {}};
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
  const int warp_row = warp / T * 16 * T, warp_col = warp % T * 32;
  float sums[T][4][4];
  for (int i = 0; i < T; ++i) {
    for (int j = 0; j < 4; ++j) {
      for (int e = 0; e < 4; ++e) sums[i][j][e] = 0;
    }
  }
  left.fetch(begin, end);
  right.fetch(begin, end);
  for (int64_t p = begin; p < end; p += kHalfDepth) {
    __syncthreads();  // nobody reads the strips before any more
    left.put(a_strip);
    right.put(b_strip);
    __syncthreads();
    left.fetch(p + kHalfDepth, end);
    right.fetch(p + kHalfDepth, end);
#pragma unroll
    for (int q = 0; q < kHalfDepth; q += 16) {
      uint32_t x[T][4], y[4][2];
#pragma unroll
      for (int i = 0; i < T; ++i) {
        const uint16_t* at = a_strip + (warp_row + 16 * i + g) * kHalfLine + q + 2 * t;
        x[i][0] = pair_at(at);
        x[i][1] = pair_at(at + 8 * kHalfLine);
        x[i][2] = pair_at(at + 8);
        x[i][3] = pair_at(at + 8 * kHalfLine + 8);
      }
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const uint16_t* at = b_strip + (warp_col + 8 * j + g) * kHalfLine + q + 2 * t;
        y[j][0] = pair_at(at);
        y[j][1] = pair_at(at + 8);
      }
#pragma unroll
      for (int i = 0; i < T; ++i) {
#pragma unroll
        for (int j = 0; j < 4; ++j) mma_bf16(sums[i][j], x[i], y[j]);
      }
    }
  }
#pragma unroll
  for (int i = 0; i < T; ++i) {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      for (int e = 0; e < 4; ++e) {
        out.put(row + warp_row + 16 * i + g + e / 2 * 8, col + warp_col + 8 * j + 2 * t + e % 2,
                sums[i][j][e]);
      }
    }
  }
}

// c from the copies that the splits made, added in their order.
struct AddSplits {
  Output out;
  int64_t splits;
  __device__ void operator()(int64_t i, int64_t j) const {
    const int64_t size = out.c.rows * out.c.cols, at = i * out.c.cols + j;
    float sum = out.parts[at];
    for (int64_t s = 1; s < splits; ++s) sum += out.parts[s * size + at];
    Output whole = out;
    whole.parts = nullptr;
    whole.put(i, j, sum);
  }
};

bool is_wide(const Operand& x) { return rows_are_wide(x.data, x.stride * (x.bf16 ? 2 : 4)); }

// Blocks that fill a device, about: beyond that nothing is split, and tiles are large.
constexpr int64_t kManyBlocks = 256;
constexpr int64_t kShortestSplit = 256;

int64_t tiles_of(const Product& p, int64_t tile) {
  return blocks_of(p.c.rows, tile) * blocks_of(p.c.cols, tile);
}

template <class Launch>
void split(Queue& queue, const Product& p, int64_t tile, const Launch& launch) {
  const int64_t fit = std::max<int64_t>(1, kManyBlocks / tiles_of(p, tile));
  const int64_t wanted = std::min(fit, blocks_of(p.depth, kShortestSplit));
  const int64_t per_split = blocks_of(blocks_of(p.depth, wanted), 32) * 32;
  const int64_t splits = blocks_of(p.depth, per_split);
  Output out{p.c, nullptr, p.accumulate, p.bias};
  if (splits > 1) out.parts = queue.scratch<float>(splits * p.c.rows * p.c.cols);
  // rows that one launch's grid holds
  const int64_t most = int64_t{65535} * tile;
  for (int64_t row = 0; row < p.c.rows; row += most) {
    Output part = out;
    Product strip = p;
    part.c.data = strip.c.data = p.c.row(row);
    part.c.rows = strip.c.rows = std::min(most, p.c.rows - row);
    const int64_t skipped = p.a.transposed ? row : row * p.a.stride;
    strip.a.data = static_cast<const char*>(p.a.data) + skipped * (p.a.bf16 ? 2 : 4);
    const dim3 grid(static_cast<unsigned>(blocks_of(p.c.cols, tile)),
                    static_cast<unsigned>(blocks_of(strip.c.rows, tile)),
                    static_cast<unsigned>(splits));
    launch(grid, strip, Tiling{strip.c.rows, p.c.cols, p.depth, per_split, queue.tf32}, part);
  }
  check_launch("product");
  if (splits > 1) {
    for_elements(queue, p.c.rows, p.c.cols, AddSplits{out, splits}, "product");
  }
}

template <int T, bool a_along, bool b_along>
void multiply_f32(Queue& queue, const Product& p) {
  split(queue, p, 16 * T,
        [&](const dim3& grid, const Product& strip, const Tiling& tiling, const Output& out) {
          LAUNCH((f32_kernel<T, a_along, b_along>), grid, dim3(256), 0, queue.stream, tiling,
                 static_cast<const float*>(strip.a.data), strip.a.stride, is_wide(strip.a),
                 static_cast<const float*>(strip.b.data), strip.b.stride, is_wide(strip.b), out);
        });
}

template <int T, bool a_along, bool b_along>
void multiply_bf16(Queue& queue, const Product& p) {
  split(queue, p, 32 * T,
        [&](const dim3& grid, const Product& strip, const Tiling& tiling, const Output& out) {
          LAUNCH((bf16_kernel<T, a_along, b_along>), grid, dim3(64 * T), 0, queue.stream, tiling,
                 static_cast<const uint16_t*>(strip.a.data), strip.a.stride, is_wide(strip.a),
                 static_cast<const uint16_t*>(strip.b.data), strip.b.stride, is_wide(strip.b), out);
        });
}

template <bool a_along, bool b_along>
void multiply_by_kernels(Queue& queue, const Product& p) {
  const bool large = tiles_of(p, 128) >= kManyBlocks / 2;
  if (p.a.bf16) {
    large ? multiply_bf16<4, a_along, b_along>(queue, p)
          : multiply_bf16<2, a_along, b_along>(queue, p);
  } else {
    large ? multiply_f32<8, a_along, b_along>(queue, p)
          : multiply_f32<4, a_along, b_along>(queue, p);
  }
}

struct SetToBias {
  Mat<float> c;
  const float* bias;
  __device__ void operator()(int64_t i, int64_t j) const { c.row(i)[j] = bias ? bias[j] : 0; }
};

struct RoundEach {
  uint16_t* to;
  Mat<const float> x;
  int64_t stride;
  __device__ void operator()(int64_t r, int64_t c) const {
    to[r * stride + c] = static_cast<uint16_t>(round_to_bf16(x.row(r)[c]));
  }
};

}  // namespace

Operand rounded(Queue& queue, const Mat<const float>& x) {
  const int64_t stride = blocks_of(x.cols, 8) * 8;
  auto* to = queue.scratch<uint16_t>(std::max<int64_t>(1, x.rows * stride));
  for_elements(queue, x.rows, x.cols, RoundEach{to, x, stride}, "rounding");
  return {to, stride, true, false};
}

void multiply(Queue& queue, const Product& p) {
  if (p.c.rows == 0 || p.c.cols == 0) return;
  if (p.depth == 0) {
    if (p.accumulate) return;
    return for_elements(queue, p.c.rows, p.c.cols, SetToBias{p.c, p.bias}, "product");
  }
  if (queue.lt && lt_multiply(queue, p)) return;
  if (p.a.transposed) {
    p.b.transposed ? multiply_by_kernels<false, true>(queue, p)
                   : multiply_by_kernels<false, false>(queue, p);
  } else {
    p.b.transposed ? multiply_by_kernels<true, true>(queue, p)
                   : multiply_by_kernels<true, false>(queue, p);
  }
}

}  // namespace keyheads::cuda
