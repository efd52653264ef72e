// What the attention kernels share: tiles of rows in shared memory and the products with them.
//
// Query heads that read the same keys go through a block together: of a segment and group, "line" r
// is query r / share of head group * share + r % share, where share = heads / groups. So keys are
// read once for all of them, also where each head has a single query.
//
// A block has 256 threads, 16 x 16: it holds 16 R lines of its own ("left") and goes through the
// other side ("right") in tiles of kRight<D> rows, where D is the width of a head rounded up.
// Thread (ty, tx) computes the products of lines ty R .. ty R + R - 1 with right rows tx, tx + 16
// ..
#pragma once
#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

#include "cuda/op.h"
#include "cuda/reduce.h"
#include "cuda/vectors.h"
#include "ops/attention.h"

namespace keyheads::ops {
namespace {

using cuda::Queue;

constexpr int kAttentionThreads = 256;

template <int D>
constexpr int kRight = D > 128 ? 32 : 64;  // rows of a right tile
template <int D>
constexpr int kAcross = kRight<D> / 16;  // of these, a thread's
template <int D>
constexpr int kLine = D + 4;  // floats of a row: threads that read neighbours meet no bank twice
template <int D>
constexpr int kWeightLine = kRight<D> + 4;
template <int D>
constexpr int kColumns = D / 16;  // a thread's share of a row's columns

__device__ __forceinline__ int tile_x() { return static_cast<int>(threadIdx.x) % 16; }
__device__ __forceinline__ int tile_y() { return static_cast<int>(threadIdx.x) / 16; }

// The column that a thread's number c is: neighbours in groups of four.
__device__ __forceinline__ int column_of(int c) { return c / 4 * 64 + tile_x() * 4 + c % 4; }

// Rows of shared memory: row i is that which row(i) points to, for i < count; zeros beyond, and
// beyond their width.
template <int rows, int D, class Row>
__device__ __forceinline__ void load_rows(float* to, int64_t count, int64_t width, bool wide,
                                          const Row& row) {
  for (int v = static_cast<int>(threadIdx.x); v < rows * (D / 4); v += kAttentionThreads) {
    const int i = v / (D / 4), e = v % (D / 4) * 4;
    *reinterpret_cast<float4*>(to + i * kLine<D> + e) =
        i < count && e < width ? cuda::four(row(i) + e, width - e, wide) : make_float4(0, 0, 0, 0);
  }
}

// products[i][j] = left line . right row, over the width; of the first `count` right rows.
template <int R, int D>
__device__ __forceinline__ void dots(const float* left, const float* right, int64_t count,
                                     int64_t width, float (&products)[R][kAcross<D>]) {
#pragma unroll
  for (int i = 0; i < R; ++i) {
#pragma unroll
    for (int j = 0; j < kAcross<D>; ++j) products[i][j] = 0;
  }
  const float* mine = left + tile_y() * R * kLine<D>;
  const float* theirs = right + tile_x() * kLine<D>;
  for (int e = 0; e < width; e += 4) {
    float4 x[R];
#pragma unroll
    for (int i = 0; i < R; ++i) x[i] = *reinterpret_cast<const float4*>(mine + i * kLine<D> + e);
#pragma unroll
    for (int j = 0; j < kAcross<D>; ++j) {
      if (16 * j >= count) break;
      const float4 y = *reinterpret_cast<const float4*>(theirs + 16 * j * kLine<D> + e);
#pragma unroll
      for (int i = 0; i < R; ++i) {
        float& sum = products[i][j];
        sum = fmaf(x[i].x, y.x, sum);
        sum = fmaf(x[i].y, y.y, sum);
        sum = fmaf(x[i].z, y.z, sum);
        sum = fmaf(x[i].w, y.w, sum);
      }
    }
  }
}

// The weights of a thread's lines and right rows, to where mix() reads those of all.
template <int R, int D>
__device__ __forceinline__ void put_weights(float* weights, const float (&w)[R][kAcross<D>]) {
#pragma unroll
  for (int i = 0; i < R; ++i) {
#pragma unroll
    for (int j = 0; j < kAcross<D>; ++j) {
      weights[(tile_y() * R + i) * kWeightLine<D> + tile_x() + 16 * j] = w[i][j];
    }
  }
}

// sums[i][c] += weights of line i . column c of the first `count` right rows, ascending
template <int R, int D>
__device__ __forceinline__ void mix(const float* weights, const float* right, int64_t count,
                                    float (&sums)[R][kColumns<D>]) {
  const float* mine = weights + tile_y() * R * kWeightLine<D>;
  for (int j = 0; j < count; j += 4) {
    float4 w[R];
#pragma unroll
    for (int i = 0; i < R; ++i) {
      w[i] = *reinterpret_cast<const float4*>(mine + i * kWeightLine<D> + j);
    }
#pragma unroll
    for (int q = 0; q < 4; ++q) {
      const float* row = right + (j + q) * kLine<D>;
#pragma unroll
      for (int c = 0; c < kColumns<D>; c += 4) {
        const float4 y = *reinterpret_cast<const float4*>(row + column_of(c));
#pragma unroll
        for (int i = 0; i < R; ++i) {
          const float x = q == 0 ? w[i].x : q == 1 ? w[i].y : q == 2 ? w[i].z : w[i].w;
          sums[i][c] = fmaf(x, y.x, sums[i][c]);
          sums[i][c + 1] = fmaf(x, y.y, sums[i][c + 1]);
          sums[i][c + 2] = fmaf(x, y.z, sums[i][c + 2]);
          sums[i][c + 3] = fmaf(x, y.w, sums[i][c + 3]);
        }
      }
    }
  }
}

template <int R, int N>
__device__ __forceinline__ void set_zero(float (&sums)[R][N]) {
#pragma unroll
  for (int i = 0; i < R; ++i) {
#pragma unroll
    for (int c = 0; c < N; ++c) sums[i][c] = 0;
  }
}

// Over the 16 threads that have the same lines.
__device__ __forceinline__ float sum_across(float v) {
  for (int m = 8; m > 0; m >>= 1) v += __shfl_xor_sync(cuda::kAllLanes, v, m);
  return v;
}
__device__ __forceinline__ float max_across(float v) {
  for (int m = 8; m > 0; m >>= 1) v = fmaxf(v, __shfl_xor_sync(cuda::kAllLanes, v, m));
  return v;
}

// The sizes of a call.
struct AttentionShape {
  int64_t heads, groups, width;
  float scale, cap;
  int64_t window;

  __host__ __device__ int64_t share() const { return heads / groups; }
  __host__ __device__ int64_t first_key(int64_t query) const {
    return window > 0 && query + 1 > window ? query + 1 - window : 0;
  }
  // Whether a query sees a key; both count from the first past key.
  __device__ bool sees(int64_t query, int64_t key) const {
    return key <= query && key >= first_key(query);
  }
  __device__ float score(float dot) const {
    const float x = dot * scale;
    return cap > 0 ? cap * tanhf(x / cap) : x;
  }
  // of the cap, at a score
  __device__ float slope(float score) const {
    return cap > 0 ? 1 - (score / cap) * (score / cap) : 1;
  }
};

// The lines of one segment and group, in q, dq, z or dz.
template <class T>
struct Lines {
  T* data;  // of the segment's first row and the group's first head
  int64_t stride, share, width;

  __device__ Lines(const Mat<T>& m, const Segment<float>& s, const AttentionShape& shape,
                   int64_t group)
      : data(m.row(s.row) + group * shape.share() * shape.width),
        stride(m.stride),
        share(shape.share()),
        width(shape.width) {}
  __device__ T* operator()(int64_t line) const {
    return data + line / share * stride + line % share * width;
  }
  __device__ bool wide() const {
    return cuda::rows_are_wide(data, stride * 4) && (width % 4 == 0 || share == 1);
  }
};

// The keys, or the values, of one segment and group: the past ones, then its own.
struct KeyRows {
  const float* past;
  const float* own;
  int64_t past_rows, past_stride, own_stride;

  __device__ KeyRows(const float* past_of_segment, const Mat<const float>& m,
                     const Segment<float>& s, const AttentionShape& shape, int64_t group)
      : past(past_of_segment + group * shape.width),
        own(m.row(s.row) + group * shape.width),
        past_rows(s.past_rows),
        past_stride(shape.groups * shape.width),
        own_stride(m.stride) {}
  __device__ const float* operator()(int64_t key) const {
    return key < past_rows ? past + key * past_stride : own + (key - past_rows) * own_stride;
  }
  __device__ bool wide() const {
    return cuda::rows_are_wide(own, own_stride * 4) &&
           (past_rows == 0 || cuda::rows_are_wide(past, past_stride * 4));
  }
};

// A block's sums, one row each line, times a factor, to the lines from `first` on.
template <int R, int D, class Row>
__device__ __forceinline__ void store_rows(const float (&sums)[R][kColumns<D>], int64_t count,
                                           int64_t width, float factor, const Row& row) {
#pragma unroll
  for (int i = 0; i < R; ++i) {
    const int64_t line = tile_y() * R + i;
    if (line >= count) continue;
    float* to = row(line);
#pragma unroll
    for (int c = 0; c < kColumns<D>; ++c) {
      const int column = column_of(c);
      if (column < width) to[column] = factor * sums[i][c];
    }
  }
}

// What a block does: some lines (or own keys) of a segment, and the keys (or lines) that it goes
// through.
struct Tile {
  int64_t segment, first, begin, end;
  int64_t part;  // where split: its number, else -1
};

// The keys that lines first .. first + count - 1 of a segment see.
inline void seen_by(const AttentionShape& shape, const Segment<float>& s, int64_t first,
                    int64_t count, int64_t& begin, int64_t& end) {
  begin = shape.first_key(s.past_rows + first / shape.share());
  end = s.past_rows + (first + count - 1) / shape.share() + 1;
}

// Tiles of `lines` lines with the keys that they see, or all keys.
inline std::vector<Tile> line_tiles(const AttentionShape& shape, const Segment<float>* segments,
                                    int64_t count, int64_t lines, bool all_keys) {
  std::vector<Tile> tiles;
  for (int64_t i = 0; i < count; ++i) {
    const Segment<float>& s = segments[i];
    const int64_t n = s.rows * shape.share();
    // the longest first, which are the last
    for (int64_t t = (n + lines - 1) / lines - 1; t >= 0; --t) {
      Tile tile{i, t * lines, 0, s.past_rows + s.rows, -1};
      if (!all_keys) {
        seen_by(shape, s, tile.first, std::min(lines, n - tile.first), tile.begin, tile.end);
      }
      tiles.push_back(tile);
    }
  }
  return tiles;
}

// Tiles of `keys` own keys with the lines that see any of them, or all lines.
inline std::vector<Tile> key_tiles(const AttentionShape& shape, const Segment<float>* segments,
                                   int64_t count, int64_t keys, bool all_lines) {
  std::vector<Tile> tiles;
  for (int64_t i = 0; i < count; ++i) {
    const Segment<float>& s = segments[i];
    for (int64_t key = 0; key < s.rows; key += keys) {
      Tile tile{i, key, 0, s.rows, -1};
      if (!all_lines) {
        tile.begin = key;
        if (shape.window > 0) tile.end = std::min(s.rows, key + keys - 1 + shape.window);
      }
      tile.begin *= shape.share();
      tile.end *= shape.share();
      tiles.push_back(tile);
    }
  }
  return tiles;
}

inline int64_t most_lines(const AttentionShape& shape, const Segment<float>* segments,
                          int64_t count) {
  int64_t most = 0;
  for (int64_t i = 0; i < count; ++i) most = std::max(most, segments[i].rows * shape.share());
  return most;
}

template <int R, int D>
struct Size {};

[[noreturn]] inline void refuse_width(int64_t width) {
  throw std::runtime_error("attention: heads are " + std::to_string(width) +
                           " wide; on a GPU at most 256");
}

// f(Size<R, D>()) with as many lines a thread as shared memory lets where there are two left sides.
template <class F>
void visit_size(int64_t width, const F& f) {
  if (width <= 64) return f(Size<4, 64>());
  if (width <= 128) return f(Size<2, 128>());
  if (width <= 256) return f(Size<1, 256>());
  refuse_width(width);
}
// The same, but no more than segments of at most `lines` fill.
template <class F>
void visit_size(int64_t width, int64_t lines, const F& f) {
  if (width <= 64 && lines <= 16) return f(Size<1, 64>());
  if (width <= 64 && lines <= 32) return f(Size<2, 64>());
  if (width > 64 && width <= 128 && lines <= 16) return f(Size<1, 128>());
  visit_size(width, f);
}

// Bytes of shared memory with `lefts` left sides.
template <int R, int D>
constexpr size_t tile_bytes(int lefts) {
  return sizeof(float) *
         static_cast<size_t>((lefts * 16 * R + kRight<D>)*kLine<D> + 16 * R * kWeightLine<D>);
}

template <class Kernel>
void allow_shared(Kernel kernel, size_t bytes) {
  cuda::check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                   static_cast<int>(bytes)),
              "attention");
}

// Launches a kernel for all tiles and groups.
#define LAUNCH_TILES(kernel, lefts, tiles, ...)                                              \
  do {                                                                                       \
    constexpr size_t bytes_ = tile_bytes<R, D>(lefts);                                       \
    allow_shared(LAUNCH_NAME kernel, bytes_);                                                \
    LAUNCH(kernel,                                                                           \
           dim3(static_cast<unsigned>((tiles).size()), static_cast<unsigned>(shape.groups)), \
           dim3(kAttentionThreads), bytes_, queue.stream, __VA_ARGS__);                      \
    cuda::check_launch("attention");                                                         \
  } while (false)

}  // namespace
}  // namespace keyheads::ops
