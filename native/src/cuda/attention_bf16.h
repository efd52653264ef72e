// Tiles that are multiplied on tensor cores: rows are rounded to bf16, sums are f32. A block has
// four warps of 16 left rows each; of these, and of a right tile's rows, a thread has what
// cuda::mma_bf16 gives a lane.
//
// Weights keep 16 bits: each is the sum of two bf16, x and what rounding took from it, so that a
// pattern loses nothing that could be seen beside the rounding of the rows.
#pragma once
#include "cuda/attention.h"
#include "cuda/mma.h"

namespace keyheads::ops {
namespace {

template <int D>  // the width of a head, rounded up
struct TensorTiles {
  static constexpr int kThreads = 128, kLines = 64;
  static constexpr int kRight = D > 128 ? 32 : 64, kRights = D > 128 ? 1 : 2;
  static constexpr int kRows = 2, kAcross = kRight / 4, kColumns = D / 4, kLanes = 4;
  static constexpr bool kWeightsAreShared = false;
  static constexpr int kLine = D + 8;  // of a row, in bf16: no bank is met twice

  // Tiles of 8 columns: of each, what a lane holds of a product's d.
  template <int tiles>
  struct Fragments {
    float x[tiles][4];
    __device__ __forceinline__ float& at(int i, int j) { return x[j / 2][2 * i + j % 2]; }
    __device__ __forceinline__ void set_zero() {
#pragma unroll
      for (int j = 0; j < tiles; ++j) {
#pragma unroll
        for (int e = 0; e < 4; ++e) x[j][e] = 0;
      }
    }
  };
  using Products = Fragments<kRight / 8>;
  using Sums = Fragments<D / 8>;

  static constexpr size_t bytes(int lefts) {
    return sizeof(uint16_t) * static_cast<size_t>((lefts * kLines + kRights * kRight) * kLine);
  }

  uint16_t *lefts, *rights;
  int64_t width;
  int warp, lane;
  Products weights;

  __device__ TensorTiles(float* shared, int left_sides, int64_t width_of_head, bool)
      : lefts(reinterpret_cast<uint16_t*>(shared)),
        rights(lefts + left_sides * kLines * kLine),
        width(width_of_head),
        warp(static_cast<int>(threadIdx.x) / 32),
        lane(static_cast<int>(threadIdx.x) % 32) {}

  __device__ int line(int i) const { return first_line() + lane / 4 + 8 * i; }
  __device__ int across(int j) const { return j / 2 * 8 + lane % 4 * 2 + j % 2; }
  __device__ int column(int c) const { return across(c); }
  __device__ int first_line() const { return 16 * warp; }
  __device__ int last_line() const { return first_line() + 15; }

  template <class Rows>
  __device__ __forceinline__ void load_left(int which, int64_t count, const Rows& rows) {
    load<kLines>(lefts + which * kLines * kLine, count, rows);
  }
  template <class Rows>
  __device__ __forceinline__ void load_right(int which, int64_t count, const Rows& rows) {
    load<kRight>(right(which), count, rows);
  }

  __device__ __forceinline__ void dots(int left, int which, int64_t count,
                                       Products& products) const {
    products.set_zero();
    // of the lane's row in four tiles: left ones lie below each other first, right ones beside
    const uint16_t* a = lefts + (left * kLines + first_line() + lane % 16) * kLine + lane / 16 * 8;
    const uint16_t* b = right(which) + (lane / 16 * 8 + lane % 8) * kLine + lane / 8 % 2 * 8;
#pragma unroll
    for (int e = 0; e < D; e += 16) {
      if (e >= width) break;
      uint32_t x[4];
      cuda::load_tiles<false>(x, a + e);
#pragma unroll
      for (int j = 0; j < kRight / 16; ++j) {
        if (16 * j >= count) break;
        uint32_t y[4];
        cuda::load_tiles<false>(y, b + 16 * j * kLine + e);
        cuda::mma_bf16(products.x[2 * j], x, {y[0], y[1]});
        cuda::mma_bf16(products.x[2 * j + 1], x, {y[2], y[3]});
      }
    }
  }

  __device__ __forceinline__ void set_weights(const Products& products) { weights = products; }
  template <bool lines_are_neighbours, class Weight>
  __device__ __forceinline__ bool gather_weights(const Weight& weight) {
    bool any = false;
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
#pragma unroll
      for (int j = 0; j < kAcross; ++j) {
        const float w = weight(line(i), across(j));
        weights.at(i, j) = w;
        any = any || w != 0;
      }
    }
    return any;
  }

  __device__ __forceinline__ void mix(int which, int64_t count, Sums& sums) const {
    const uint16_t* b = right(which) + lane % 16 * kLine + lane / 16 * 8;
#pragma unroll
    for (int j = 0; j < kRight / 16; ++j) {
      if (16 * j >= count) break;
      uint32_t upper[4], lower[4];
#pragma unroll
      for (int part = 0; part < 4; ++part) {
        const float* of = weights.x[2 * j + part / 2] + part % 2 * 2;
        const Bf16Pair pair = cuda::pair_of(of[0], of[1]);
        upper[part] = pair.bits;
        lower[part] = cuda::pair_of(of[0] - pair.first(), of[1] - pair.second()).bits;
      }
#pragma unroll
      for (int c = 0; c < D; c += 16) {
        if (c >= width) break;
        uint32_t y[4];
        cuda::load_tiles<true>(y, b + 16 * j * kLine + c);
        for (const int half : {0, 1}) {
          float(&sum)[4] = sums.x[c / 8 + half];
          cuda::mma_bf16(sum, lower, {y[2 * half], y[2 * half + 1]});
          cuda::mma_bf16(sum, upper, {y[2 * half], y[2 * half + 1]});
        }
      }
    }
  }

  __device__ bool leads() const { return lane % 4 == 0; }

 private:
  __device__ uint16_t* right(int which) const {
    return rights + (kRights > 1 ? which : 0) * kRight * kLine;
  }
  template <int rows, class Rows>
  __device__ __forceinline__ void load(uint16_t* to, int64_t count, const Rows& row) {
    const bool wide = row.wide();
#pragma unroll 4
    for (int v = static_cast<int>(threadIdx.x); v < rows * (D / 4); v += kThreads) {
      const int i = v / (D / 4), e = v % (D / 4) * 4;
      const float4 x = i < count && e < width ? cuda::four(row(i) + e, width - e, wide)
                                              : make_float4(0, 0, 0, 0);
      *reinterpret_cast<uint2*>(to + i * kLine + e) = {cuda::pair_of(x.x, x.y).bits,
                                                       cuda::pair_of(x.z, x.w).bits};
    }
  }
};

}  // namespace
}  // namespace keyheads::ops
