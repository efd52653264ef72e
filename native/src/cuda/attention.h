// What the attention kernels share: the sizes of a call, its rows, and the tiles that blocks take.
//
// Query heads that read the same keys go through a block together: of a segment and group, "line" r
// is query r / share of head group * share + r % share, where share = heads / groups. So keys are
// read once for all of them, also where each head has a single query.
//
// A block holds some lines (or keys) of its own ("left") and goes through the other side ("right")
// tile by tile. How a block's threads multiply is the business of its `Tiles`: FloatTiles
// (attention_f32.h) or TensorTiles (attention_bf16.h). Each says
// - kThreads, kLines: of a block, and its left rows
// - kRight: rows of a right tile
// - kRights: how many right tiles shared memory has room for, 1 or 2
// - kRows, kAcross: at(i, j) of a thread's products is of left row line(i), right row across(j)
// - kColumns: at(i, c) of a thread's sums is of left row line(i), column column(c)
// - load_left(which, count, rows), load_right(which, count, rows): rows to shared memory, rounded
//   where they are to be; zeros beyond `count`
// - dots(left, right, count, products)
// - set_weights(products), gather_weights(weight): what the left rows take of the right ones, which
//   are products, or what a function says; with kWeightsAreShared they are there after a barrier
// - mix(right, count, sums): sums += weights . right rows, these ascending
// - kLanes: neighbouring threads that have the same left rows; one of them leads()
// - first_line(), last_line(): the left rows that a warp has
//
// What a left row becomes depends on the rows that it is multiplied with, on where right tiles
// begin, and on nothing else: right tiles begin at multiples of kRight.
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

// The sizes of a call.
struct AttentionShape {
  int64_t heads, groups, width;
  float scale, cap;
  int64_t window;
  uint32_t share;  // query heads that read the same keys

  AttentionShape(int64_t all_heads, int64_t key_groups, int64_t head_width, float factor = 1,
                 float score_cap = 0, int64_t keys_seen = 0)
      : heads(all_heads),
        groups(key_groups),
        width(head_width),
        scale(factor),
        cap(score_cap),
        window(keys_seen),
        share(static_cast<uint32_t>(all_heads / key_groups)) {}

  // Of a line of a segment, which are fewer than 2^32: GPUs divide 64 bits slowly.
  __host__ __device__ int64_t query_of(int64_t line) const {
    return static_cast<uint32_t>(line) / share;
  }
  __host__ __device__ int64_t head_in_group(int64_t line) const {
    return static_cast<uint32_t>(line) % share;
  }
  __host__ __device__ int64_t first_key(int64_t query) const {
    return window > 0 && query + 1 > window ? query + 1 - window : 0;
  }
  // Whether a query sees a key; both count from the first past key.
  __device__ bool sees(int64_t query, int64_t key) const {
    return key <= query && key >= first_key(query);
  }
  // Whether any of the queries sees any of the keys, both from first to last.
  __device__ bool any_sees(int64_t first_query, int64_t last_query, int64_t first,
                           int64_t last) const {
    return first <= last_query && last >= first_key(first_query);
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
  int64_t stride, width;
  uint32_t share;

  __device__ Lines(const Mat<T>& m, const Segment<float>& s, const AttentionShape& shape,
                   int64_t group)
      : data(m.row(s.row) + group * shape.share * shape.width),
        stride(m.stride),
        width(shape.width),
        share(shape.share) {}
  __device__ T* operator()(int64_t line) const {
    const auto at = static_cast<uint32_t>(line);
    return data + at / share * stride + at % share * width;
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

// Rows of either kind from one of them on.
template <class Rows>
struct RowsFrom {
  const Rows& rows;
  int64_t first;
  __device__ const float* operator()(int64_t i) const { return rows(first + i); }
  __device__ bool wide() const { return rows.wide(); }
};
template <class Rows>
__device__ RowsFrom<Rows> from(const Rows& rows, int64_t first) {
  return {rows, first};
}

// products[i][j] or sums[i][c] of a thread.
template <int rows, int columns>
struct Registers {
  float x[rows][columns];
  __device__ __forceinline__ float& at(int i, int j) { return x[i][j]; }
  __device__ __forceinline__ void set_zero() {
#pragma unroll
    for (int i = 0; i < rows; ++i) {
#pragma unroll
      for (int j = 0; j < columns; ++j) x[i][j] = 0;
    }
  }
};

// A block's sums, one row each left row, times a factor.
template <class T, class Row>
__device__ __forceinline__ void store_rows(const T& tiles, typename T::Sums& sums, int64_t count,
                                           int64_t width, float factor, const Row& row) {
#pragma unroll
  for (int i = 0; i < T::kRows; ++i) {
    if (tiles.line(i) >= count) continue;
    float* to = row(tiles.line(i));
#pragma unroll
    for (int c = 0; c < T::kColumns; ++c) {
      const int column = tiles.column(c);
      if (column < width) to[column] = factor * sums.at(i, c);
    }
  }
}

// What a block does: some lines (or own keys) of a segment, and the keys (or lines) that it goes
// through.
struct Tile {
  int64_t segment, first, begin, end;
  int64_t part;  // where split: its number, else -1
};

// The keys that lines first .. first + count - 1 of a segment see, from a multiple of `step` on.
inline void seen_by(const AttentionShape& shape, const Segment<float>& s, int64_t first,
                    int64_t count, int64_t step, int64_t& begin, int64_t& end) {
  begin = shape.first_key(s.past_rows + shape.query_of(first)) / step * step;
  end = s.past_rows + shape.query_of(first + count - 1) + 1;
}

// Tiles of T::kLines lines with the keys that they see, or all keys.
template <class T>
std::vector<Tile> line_tiles(const AttentionShape& shape, const Segment<float>* segments,
                             int64_t count, bool all_keys) {
  constexpr int64_t lines = T::kLines;
  std::vector<Tile> tiles;
  for (int64_t i = 0; i < count; ++i) {
    const Segment<float>& s = segments[i];
    const int64_t n = s.rows * shape.share;
    // the longest first, which are the last
    for (int64_t t = (n + lines - 1) / lines - 1; t >= 0; --t) {
      Tile tile{i, t * lines, 0, s.past_rows + s.rows, -1};
      if (!all_keys) {
        seen_by(shape, s, tile.first, std::min(lines, n - tile.first), T::kRight, tile.begin,
                tile.end);
      }
      tiles.push_back(tile);
    }
  }
  return tiles;
}

// Tiles of T::kLines own keys with the lines that see any of them, or all lines.
template <class T>
std::vector<Tile> key_tiles(const AttentionShape& shape, const Segment<float>* segments,
                            int64_t count, bool all_lines) {
  constexpr int64_t keys = T::kLines;
  std::vector<Tile> tiles;
  for (int64_t i = 0; i < count; ++i) {
    const Segment<float>& s = segments[i];
    for (int64_t key = 0; key < s.rows; key += keys) {
      Tile tile{i, key, 0, s.rows, -1};
      if (!all_lines) {
        tile.begin = key;
        if (shape.window > 0) tile.end = std::min(s.rows, key + keys - 1 + shape.window);
      }
      tile.begin = tile.begin * shape.share / T::kRight * T::kRight;
      tile.end *= shape.share;
      tiles.push_back(tile);
    }
  }
  return tiles;
}

inline int64_t most_lines(const AttentionShape& shape, const Segment<float>* segments,
                          int64_t count) {
  int64_t most = 0;
  for (int64_t i = 0; i < count; ++i) most = std::max(most, segments[i].rows * shape.share);
  return most;
}

// Launches a kernel of T for all tiles and groups, with room for `lefts` left sides.
#define LAUNCH_TILES(T, kernel, lefts, tiles, ...)                                            \
  do {                                                                                        \
    constexpr size_t bytes_ = T::bytes(lefts);                                                \
    cuda::check(                                                                              \
        cudaFuncSetAttribute(LAUNCH_NAME kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, \
                             static_cast<int>(bytes_)),                                       \
        "attention");                                                                         \
    LAUNCH(kernel,                                                                            \
           dim3(static_cast<unsigned>((tiles).size()), static_cast<unsigned>(shape.groups)),  \
           dim3(T::kThreads), bytes_, queue.stream, __VA_ARGS__);                             \
    cuda::check_launch("attention");                                                          \
  } while (false)

}  // namespace
}  // namespace keyheads::ops
