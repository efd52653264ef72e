// Tiles that are multiplied in f32: a block of 16 x 16 threads has 16 R left rows, thread (ty, tx)
// left rows ty R .. ty R + R - 1 and right rows tx, tx + 16 ..
#pragma once
#include "cuda/attention.h"

namespace keyheads::ops {
namespace {

template <int R, int D>  // D: the width of a head, rounded up
struct FloatTiles {
  static constexpr int kThreads = 256, kLines = 16 * R;
  static constexpr int kRight = D > 128 ? 32 : 64, kRights = 1;
  static constexpr int kRows = R, kAcross = kRight / 16, kColumns = D / 16, kLanes = 16;
  static constexpr bool kWeightsAreShared = true;
  // of a row, in floats: threads that read neighbours meet no bank twice
  static constexpr int kLine = D + 4, kWeightLine = kRight + 4;
  using Products = Registers<kRows, kAcross>;
  using Sums = Registers<kRows, kColumns>;

  static constexpr size_t bytes(int lefts) {
    return sizeof(float) *
           static_cast<size_t>((lefts * kLines + kRight) * kLine + kLines * kWeightLine);
  }

  float *lefts, *right, *weights;
  int64_t width;
  bool bf16;  // whether rows are rounded to it
  int tx, ty;

  __device__ FloatTiles(float* shared, int left_sides, int64_t width_of_head, bool round)
      : lefts(shared),
        right(lefts + left_sides * kLines * kLine),
        weights(right + kRight * kLine),
        width(width_of_head),
        bf16(round),
        tx(static_cast<int>(threadIdx.x) % 16),
        ty(static_cast<int>(threadIdx.x) / 16) {}

  __device__ int line(int i) const { return ty * R + i; }
  __device__ int across(int j) const { return tx + 16 * j; }
  // neighbours in groups of four
  __device__ int column(int c) const { return c / 4 * 64 + tx * 4 + c % 4; }
  __device__ int first_line() const { return static_cast<int>(threadIdx.x) / 32 * 2 * R; }
  __device__ int last_line() const { return first_line() + 2 * R - 1; }

  template <class Rows>
  __device__ __forceinline__ void load_left(int which, int64_t count, const Rows& rows) {
    load<kLines>(left(which), count, rows);
  }
  template <class Rows>
  __device__ __forceinline__ void load_right(int, int64_t count, const Rows& rows) {
    load<kRight>(right, count, rows);
  }

  __device__ __forceinline__ void dots(int which, int, int64_t count, Products& products) const {
    products.set_zero();
    const float* mine = left(which) + ty * R * kLine;
    const float* theirs = right + tx * kLine;
    for (int e = 0; e < width; e += 4) {
      float4 x[R];
#pragma unroll
      for (int i = 0; i < R; ++i) x[i] = *reinterpret_cast<const float4*>(mine + i * kLine + e);
#pragma unroll
      for (int j = 0; j < kAcross; ++j) {
        if (16 * j >= count) break;
        const float4 y = *reinterpret_cast<const float4*>(theirs + 16 * j * kLine + e);
#pragma unroll
        for (int i = 0; i < R; ++i) {
          float& sum = products.at(i, j);
          sum = fmaf(x[i].x, y.x, sum);
          sum = fmaf(x[i].y, y.y, sum);
          sum = fmaf(x[i].z, y.z, sum);
          sum = fmaf(x[i].w, y.w, sum);
        }
      }
    }
  }

  __device__ __forceinline__ void set_weights(Products& products) {
#pragma unroll
    for (int i = 0; i < R; ++i) {
#pragma unroll
      for (int j = 0; j < kAcross; ++j) {
        weights[line(i) * kWeightLine + across(j)] = products.at(i, j);
      }
    }
  }
  // weight(left row, right row); `lines_are_neighbours`: in the memory that it reads. Returns
  // whether a thread's were other than zero.
  template <bool lines_are_neighbours, class Weight>
  __device__ __forceinline__ bool gather_weights(const Weight& weight) {
    bool any = false;
    for (int e = static_cast<int>(threadIdx.x); e < kLines * kRight; e += kThreads) {
      const int i = lines_are_neighbours ? e % kLines : e / kRight;
      const int j = lines_are_neighbours ? e / kLines : e % kRight;
      const float w = weight(i, j);
      weights[i * kWeightLine + j] = w;
      any = any || w != 0;
    }
    return any;
  }

  __device__ __forceinline__ void mix(int, int64_t count, Sums& sums) const {
    const float* mine = weights + ty * R * kWeightLine;
    for (int j = 0; j < count; j += 4) {
      float4 w[R];
#pragma unroll
      for (int i = 0; i < R; ++i) {
        w[i] = *reinterpret_cast<const float4*>(mine + i * kWeightLine + j);
      }
#pragma unroll
      for (int q = 0; q < 4; ++q) {
        const float* row = right + (j + q) * kLine;
#pragma unroll
        for (int c = 0; c < kColumns; c += 4) {
          const float4 y = *reinterpret_cast<const float4*>(row + column(c));
#pragma unroll
          for (int i = 0; i < R; ++i) {
            const float x = q == 0 ? w[i].x : q == 1 ? w[i].y : q == 2 ? w[i].z : w[i].w;
            sums.at(i, c) = fmaf(x, y.x, sums.at(i, c));
            sums.at(i, c + 1) = fmaf(x, y.y, sums.at(i, c + 1));
            sums.at(i, c + 2) = fmaf(x, y.z, sums.at(i, c + 2));
            sums.at(i, c + 3) = fmaf(x, y.w, sums.at(i, c + 3));
          }
        }
      }
    }
  }

  __device__ bool leads() const { return tx == 0; }

 private:
  __device__ float* left(int which) const { return lefts + which * kLines * kLine; }
  template <int rows, class Rows>
  __device__ __forceinline__ void load(float* to, int64_t count, const Rows& row) {
    const bool wide = row.wide();
    for (int v = static_cast<int>(threadIdx.x); v < rows * (D / 4); v += kThreads) {
      const int i = v / (D / 4), e = v % (D / 4) * 4;
      float4 x = i < count && e < width ? cuda::four(row(i) + e, width - e, wide)
                                        : make_float4(0, 0, 0, 0);
      if (bf16) x = cuda::each_of_four([](float whole) { return rounded_to_bf16(whole); }, x);
      *reinterpret_cast<float4*>(to + i * kLine + e) = x;
    }
  }
};

}  // namespace
}  // namespace keyheads::ops
