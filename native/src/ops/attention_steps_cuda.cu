#include "cuda/attention_sizes.h"
#include "cuda/rows.h"
#include "cuda/vectors.h"
#include "ops/attention_steps.h"

namespace keyheads::ops {
namespace {

// One segment and group of a call in steps, whose pattern buffers hold, of line r and key j, entry
// row(r) + j.
struct Pattern {
  Segment<float> s;
  const AttentionShape& shape;
  int64_t offset, group, keys;

  __device__ Pattern(const Segment<float>* segments, const int64_t* offsets,
                     const AttentionShape& sizes, int64_t segment)
      : s(segments[segment]),
        shape(sizes),
        offset(offsets[segment]),
        group(blockIdx.y),
        keys(s.past_rows + s.rows) {}
  __device__ int64_t lines() const { return s.rows * shape.share; }
  __device__ int64_t query(int64_t line) const { return s.past_rows + shape.query_of(line); }
  __device__ int64_t row(int64_t line) const {
    const int64_t head = group * shape.share + shape.head_in_group(line);
    return offset + (head * s.rows + shape.query_of(line)) * keys;
  }
};

// What is made of a product of a line and a key, and where.
struct ToScores {
  static constexpr bool kSkipsUnseen = true;
  AttentionShape shape;
  __device__ float operator()(int64_t query, int64_t key, float dot) const {
    return shape.sees(query, key) ? shape.score(dot) : -INFINITY;
  }
};
struct AsItIs {
  static constexpr bool kSkipsUnseen = false;
  __device__ float operator()(int64_t, int64_t, float dot) const { return dot; }
};

// What the blocks of all kernels here are given.
struct Steps {
  AttentionShape shape;
  const Segment<float>* segments;
  const int64_t* offsets;
  const Tile* tiles;
  bool bf16;
};

// A block: the products of lines of `left` with a right tile of keys (or values), to a pattern
// buffer. Of its tile, begin and end are those of the keys. Past rows are those of keys or of
// values.
template <class T, class Make>
__global__ void __launch_bounds__(T::kThreads)
    line_products_kernel(Steps a, float* to, Mat<const float> left_rows, Mat<const float> own,
                         bool values, Make make) {
  DYNAMIC_SHARED(float, shared);
  T tiles(shared, 1, a.shape.width, a.bf16);
  const Tile tile = a.tiles[blockIdx.x];
  const Pattern pattern(a.segments, a.offsets, a.shape, tile.segment);
  const int64_t count = min(int64_t{T::kLines}, pattern.lines() - tile.first);
  const int64_t n = tile.end - tile.begin;
  typename T::Products products;
  const bool needed = !Make::kSkipsUnseen || a.shape.any_sees(pattern.query(tile.first),
                                                              pattern.query(tile.first + count - 1),
                                                              tile.begin, tile.end - 1);
  if (needed) {
    const Lines<const float> lines(left_rows, pattern.s, a.shape, pattern.group);
    const KeyRows keys(values ? pattern.s.past_v : pattern.s.past_k, own, pattern.s, a.shape,
                       pattern.group);
    tiles.load_left(0, count, from(lines, tile.first));
    tiles.load_right(0, n, from(keys, tile.begin));
    __syncthreads();
    tiles.dots(0, 0, n, products);
  } else {
    products.set_zero();
  }
#pragma unroll
  for (int i = 0; i < T::kRows; ++i) {
    const int64_t line = tiles.line(i);
    if (line >= count) continue;
    const int64_t row = pattern.row(tile.first + line), query = pattern.query(tile.first + line);
#pragma unroll
    for (int j = 0; j < T::kAcross; ++j) {
      const int64_t key = tile.begin + tiles.across(j);
      if (key < tile.end) to[row + key] = make(query, key, products.at(i, j));
    }
  }
}

// Weights of lines and keys: a pattern's own entries ..
struct Entries {
  static constexpr bool kMayBeZero = true;
  const float* pattern;
  __device__ float operator()(int64_t at, int64_t, int64_t) const { return pattern[at]; }
};
// .. or the gradient of the scores before the cap, of what is seen.
struct ScoreGradients {
  static constexpr bool kMayBeZero = false;
  AttentionShape shape;
  const float *dscores, *scores;
  __device__ float operator()(int64_t at, int64_t query, int64_t key) const {
    if (!shape.sees(query, key)) return 0;
    return shape.cap > 0 ? dscores[at] * shape.slope(scores[at]) : dscores[at];
  }
};

// Whether any thread of the block says so.
__device__ __forceinline__ bool any_in_block(bool here) {
  return cuda::block_max(here ? 1 : 0) != 0;
}

// A block: lines of `to` = factor * weights . keys (or values), keys ascending.
template <class T, class Weights>
__global__ void __launch_bounds__(T::kThreads)
    line_sums_kernel(Steps a, Mat<float> to, Mat<const float> own, bool values, float factor,
                     Weights weight) {
  DYNAMIC_SHARED(float, shared);
  T tiles(shared, 0, a.shape.width, a.bf16);
  const Tile tile = a.tiles[blockIdx.x];
  const Pattern pattern(a.segments, a.offsets, a.shape, tile.segment);
  const int64_t count = min(int64_t{T::kLines}, pattern.lines() - tile.first);
  const KeyRows keys(values ? pattern.s.past_v : pattern.s.past_k, own, pattern.s, a.shape,
                     pattern.group);
  typename T::Sums sums;
  sums.set_zero();
  for (int64_t key = tile.begin; key < tile.end; key += T::kRight) {
    const int64_t n = min(int64_t{T::kRight}, tile.end - key);
    __syncthreads();  // nobody reads the tile before any more
    const bool any = tiles.template gather_weights<false>([&](int64_t i, int64_t j) {
      const int64_t line = tile.first + i;
      return i < count && j < n ? weight(pattern.row(line) + key + j, pattern.query(line), key + j)
                                : 0;
    });
    if (Weights::kMayBeZero && !any_in_block(any)) continue;
    tiles.load_right(0, n, from(keys, key));
    __syncthreads();
    tiles.mix(0, n, sums);
  }
  const Lines<float> rows(to, pattern.s, a.shape, pattern.group);
  store_rows(tiles, sums, count, a.shape.width, factor,
             [&](int64_t i) { return rows(tile.first + i); });
}

// A block: own keys (or values) of `to` = factor * weights^T . lines, lines ascending.
template <class T, class Weights>
__global__ void __launch_bounds__(T::kThreads)
    key_sums_kernel(Steps a, Mat<float> to, Mat<const float> line_rows, float factor,
                    Weights weight) {
  DYNAMIC_SHARED(float, shared);
  T tiles(shared, 0, a.shape.width, a.bf16);
  const Tile tile = a.tiles[blockIdx.x];
  const Pattern pattern(a.segments, a.offsets, a.shape, tile.segment);
  const int64_t count = min(int64_t{T::kLines}, pattern.s.rows - tile.first);
  const int64_t first = pattern.s.past_rows + tile.first;
  const Lines<const float> lines(line_rows, pattern.s, a.shape, pattern.group);
  typename T::Sums sums;
  sums.set_zero();
  for (int64_t line = tile.begin; line < tile.end; line += T::kRight) {
    const int64_t n = min(int64_t{T::kRight}, tile.end - line);
    __syncthreads();
    // neighbours in the buffer are keys, which are the left rows here
    const bool any = tiles.template gather_weights<true>([&](int64_t i, int64_t j) {
      return i < count && j < n
                 ? weight(pattern.row(line + j) + first + i, pattern.query(line + j), first + i)
                 : 0;
    });
    if (Weights::kMayBeZero && !any_in_block(any)) continue;
    tiles.load_right(0, n, from(lines, line));
    __syncthreads();
    tiles.mix(0, n, sums);
  }
  float* rows = to.row(pattern.s.row + tile.first) + pattern.group * a.shape.width;
  store_rows(tiles, sums, count, a.shape.width, factor,
             [&](int64_t i) { return rows + i * to.stride; });
}

// A call's segments and offsets on the device, the tiles to come.
template <class Args>
Steps steps_of(Queue& queue, const Args& a, const AttentionShape& shape) {
  return {shape, queue.upload(a.segments, a.segment_count),
          queue.upload(a.pattern_offsets, a.segment_count), nullptr, a.bf16};
}
Steps with(Queue& queue, Steps steps, const std::vector<Tile>& tiles) {
  steps.tiles = queue.upload(tiles.data(), static_cast<int64_t>(tiles.size()));
  return steps;
}

// Tiles of lines, one for every right tile of the segment's keys.
template <class T>
std::vector<Tile> product_tiles(const AttentionShape& shape, const Segment<float>* segments,
                                int64_t count) {
  std::vector<Tile> tiles;
  for (const Tile& tile : line_tiles<T>(shape, segments, count, true)) {
    for (int64_t key = 0; key < tile.end; key += T::kRight) {
      Tile piece = tile;
      piece.begin = key;
      piece.end = std::min(tile.end, key + T::kRight);
      tiles.push_back(piece);
    }
  }
  return tiles;
}

// f(std::type_identity<T>()) for a call, unless it has no rows.
template <class Args, class F>
void for_call(const Args& a, const AttentionShape& shape, const F& f) {
  const int64_t lines = most_lines(shape, a.segments, a.segment_count);
  if (lines > 0) visit_tiles<1>(a.width, a.bf16, lines, f);
}

void attention_scores_impl(Queue& queue, const AttentionScores<float>& a) {
  const AttentionShape shape(a.heads, a.groups, a.width, a.scale, a.cap, a.window);
  const Steps steps = steps_of(queue, a, shape);
  for_call(a, shape, [&]<class T>(std::type_identity<T>) {
    const auto tiles = product_tiles<T>(shape, a.segments, a.segment_count);
    const Steps there = with(queue, steps, tiles);
    LAUNCH_TILES(T, (line_products_kernel<T, ToScores>), 1, tiles, there, a.scores, a.q, a.k, false,
                 ToScores{shape});
  });
}

void attention_mix_impl(Queue& queue, const AttentionMix<float>& a) {
  const AttentionShape shape(a.heads, a.groups, a.width);
  const Steps steps = steps_of(queue, a, shape);
  for_call(a, shape, [&]<class T>(std::type_identity<T>) {
    const auto tiles = line_tiles<T>(shape, a.segments, a.segment_count, true);
    const Steps there = with(queue, steps, tiles);
    LAUNCH_TILES(T, (line_sums_kernel<T, Entries>), 0, tiles, there, a.z, a.v, true, 1.0f,
                 Entries{a.pattern});
  });
}

void attention_mix_backward_impl(Queue& queue, const AttentionMixBackward<float>& a) {
  const AttentionShape shape(a.heads, a.groups, a.width);
  const Steps steps = steps_of(queue, a, shape);
  for_call(a, shape, [&]<class T>(std::type_identity<T>) {
    const auto tiles = product_tiles<T>(shape, a.segments, a.segment_count);
    const Steps there = with(queue, steps, tiles);
    LAUNCH_TILES(T, (line_products_kernel<T, AsItIs>), 1, tiles, there, a.dpattern, a.dz, a.v, true,
                 AsItIs{});
    const auto own = key_tiles<T>(shape, a.segments, a.segment_count, true);
    const Steps keys = with(queue, steps, own);
    LAUNCH_TILES(T, (key_sums_kernel<T, Entries>), 0, own, keys, a.dv, a.dz, 1.0f,
                 Entries{a.pattern});
  });
}

void attention_scores_backward_impl(Queue& queue, const AttentionScoresBackward<float>& a) {
  const AttentionShape shape(a.heads, a.groups, a.width, a.scale, a.cap, a.window);
  const Steps steps = steps_of(queue, a, shape);
  const ScoreGradients weights{shape, a.dscores, a.scores};
  for_call(a, shape, [&]<class T>(std::type_identity<T>) {
    const auto tiles = line_tiles<T>(shape, a.segments, a.segment_count, false);
    const Steps there = with(queue, steps, tiles);
    LAUNCH_TILES(T, (line_sums_kernel<T, ScoreGradients>), 0, tiles, there, a.dq, a.k, false,
                 a.scale, weights);
    const auto own = key_tiles<T>(shape, a.segments, a.segment_count, false);
    const Steps keys = with(queue, steps, own);
    LAUNCH_TILES(T, (key_sums_kernel<T, ScoreGradients>), 0, own, keys, a.dk, a.q, a.scale,
                 weights);
  });
}

// A row of the pattern buffers: where it begins, and its length.
struct PatternRows {
  int64_t offset, rows, keys;
};

constexpr int kWarps = cuda::kThreads / 32;

// A warp a row of one segment: blockIdx.y, and further ones where there are more of them.
template <class F>
__global__ void pattern_rows_kernel(const PatternRows* segments, int64_t count, F f) {
  for (int64_t i = blockIdx.y; i < count; i += gridDim.y) {
    const PatternRows s = segments[i];
    for (int64_t r = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / 32; r < s.rows;
         r += static_cast<int64_t>(gridDim.x) * kWarps) {
      f(s.offset + r * s.keys, s.keys);
    }
  }
}

template <class Args, class F>
void for_pattern_rows(Queue& queue, const Args& a, const F& f) {
  std::vector<PatternRows> segments;
  int64_t most = 0;
  for (int64_t i = 0; i < a.segment_count; ++i) {
    const Segment<float>& s = a.segments[i];
    segments.push_back({a.pattern_offsets[i], a.heads * s.rows, s.past_rows + s.rows});
    most = std::max(most, a.heads * s.rows);
  }
  if (most == 0) return;
  const PatternRows* there = queue.upload(segments.data(), a.segment_count);
  const dim3 grid(cuda::blocks_for(most, kWarps),
                  static_cast<unsigned>(std::min<int64_t>(a.segment_count, 65535)));
  LAUNCH(pattern_rows_kernel<F>, grid, dim3(cuda::kThreads), 0, queue.stream, there,
         a.segment_count, f);
  cuda::check_launch("attention_softmax");
}

struct SoftmaxRow {
  float* pattern;
  const float* scores;
  __device__ void operator()(int64_t row, int64_t keys) const {
    const cuda::WarpOfRow threads{threadIdx.x % 32, 32};
    const float* x = scores + row;
    float* y = pattern + row;
    const bool wide = cuda::are_wide(x, y);
    float top = -INFINITY, sum = 0;
    cuda::for_fours(threads, keys, [&](int64_t j, int64_t left) {
      const float4 v = cuda::four(x + j, left, wide, -INFINITY);
      top = fmaxf(fmaxf(fmaxf(top, v.x), fmaxf(v.y, v.z)), v.w);
    });
    top = cuda::warp_max(top);
    cuda::for_fours(threads, keys, [&](int64_t j, int64_t left) {
      const float4 v = cuda::each_of_four([&](float score) { return expf(score - top); },
                                          cuda::four(x + j, left, wide, -INFINITY));
      sum += (v.x + v.y) + (v.z + v.w);
      cuda::put_four(y + j, v, left, wide);  // each lane reads what it wrote
    });
    sum = cuda::warp_sum(sum);
    cuda::for_fours(threads, keys, [&](int64_t j, int64_t left) {
      const float4 v = cuda::four(y + j, left, wide);
      cuda::put_four(y + j, cuda::each_of_four([&](float each) { return each / sum; }, v), left,
                     wide);
    });
  }
};
void attention_softmax_impl(Queue& queue, const AttentionSoftmax<float>& a) {
  for_pattern_rows(queue, a, SoftmaxRow{a.pattern, a.scores});
}

struct SoftmaxBackwardRow {
  float* dscores;
  const float *dpattern, *pattern;
  __device__ void operator()(int64_t row, int64_t keys) const {
    const cuda::WarpOfRow threads{threadIdx.x % 32, 32};
    const float *p = pattern + row, *dp = dpattern + row;
    float* to = dscores + row;
    const bool wide = cuda::are_wide(p, dp, to);
    float sum = 0;
    cuda::for_fours(threads, keys, [&](int64_t j, int64_t left) {
      const float4 v = cuda::four(p + j, left, wide), d = cuda::four(dp + j, left, wide);
      sum = fmaf(v.x, d.x, sum);
      sum = fmaf(v.y, d.y, sum);
      sum = fmaf(v.z, d.z, sum);
      sum = fmaf(v.w, d.w, sum);
    });
    sum = cuda::warp_sum(sum);
    cuda::for_fours(threads, keys, [&](int64_t j, int64_t left) {
      const float4 v = cuda::four(p + j, left, wide), d = cuda::four(dp + j, left, wide);
      const auto one = [&](float weight, float of) { return weight * (of - sum); };
      cuda::put_four(to + j, cuda::each_of_four(one, v, d), left, wide);
    });
  }
};
void attention_softmax_backward_impl(Queue& queue, const AttentionSoftmaxBackward<float>& a) {
  for_pattern_rows(queue, a, SoftmaxBackwardRow{a.dscores, a.dpattern, a.pattern});
}

}  // namespace

DEFINE_CUDA_OP(attention_scores, AttentionScores)
DEFINE_CUDA_OP(attention_softmax, AttentionSoftmax)
DEFINE_CUDA_OP(attention_mix, AttentionMix)
DEFINE_CUDA_OP(attention_mix_backward, AttentionMixBackward)
DEFINE_CUDA_OP(attention_softmax_backward, AttentionSoftmaxBackward)
DEFINE_CUDA_OP(attention_scores_backward, AttentionScoresBackward)

}  // namespace keyheads::ops
