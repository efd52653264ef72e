#include "cuda/attention_sizes.h"

namespace keyheads::ops {
namespace {

// What the blocks of split lines leave for join_kernel: of every part and line, the sums of its
// keys' values weighted with exp(score - top), its top, and the sum of the weights.
struct Parts {
  float* sums;   // (parts, groups, lines of a tile, width)
  float2* tops;  // (parts, groups, lines of a tile): top, sum
};

template <class Args>
AttentionShape shape_of(const Args& a) {
  return {a.heads, a.groups, a.width, a.scale, a.cap, a.window};
}

// The running softmax of a thread's lines; all threads of a line hold the same.
template <class T>
struct Running {
  float top[T::kRows], sum[T::kRows];

  __device__ __forceinline__ Running() {
    for (int i = 0; i < T::kRows; ++i) {
      top[i] = -INFINITY;
      sum[i] = 0;
    }
  }
  // Scores become exp(score - top), and 0 where unseen; what was summed before is to be multiplied
  // by `fade`.
  __device__ __forceinline__ void add(typename T::Products& scores,
                                      const bool (&seen)[T::kRows][T::kAcross],
                                      float (&fade)[T::kRows]) {
#pragma unroll
    for (int i = 0; i < T::kRows; ++i) {
      float most = top[i];
#pragma unroll
      for (int j = 0; j < T::kAcross; ++j) {
        most = seen[i][j] ? fmaxf(most, scores.at(i, j)) : most;
      }
      most = cuda::warp_max<T::kLanes>(most);
      const float base = most == -INFINITY ? 0 : most;  // nothing seen yet
      float added = 0;
#pragma unroll
      for (int j = 0; j < T::kAcross; ++j) {
        float& score = scores.at(i, j);
        score = seen[i][j] ? expf(score - base) : 0;
        added += score;
      }
      fade[i] = expf(top[i] - base);
      sum[i] = fmaf(sum[i], fade[i], cuda::warp_sum<T::kLanes>(added));
      top[i] = most;
    }
  }
};

// The lines of a block that goes through keys.
template <class T>
struct LineBlock {
  const AttentionShape& shape;
  const Tile& tile;
  Segment<float> s;
  int64_t group, count;

  __device__ __forceinline__ LineBlock(const Segment<float>* segments, const AttentionShape& sizes,
                                       const Tile& mine)
      : shape(sizes),
        tile(mine),
        s(segments[mine.segment]),
        group(blockIdx.y),
        count(min(int64_t{T::kLines}, s.rows * sizes.share - mine.first)) {}

  __device__ int64_t query(int64_t line) const {
    return s.past_rows + shape.query_of(tile.first + line);
  }
  // How many keys the right tile from `key` on has.
  __device__ int64_t keys_from(int64_t key) const {
    return min(int64_t{T::kRight}, tile.end - key);
  }
  // Whether this warp has a line that sees any of n keys. What the others would add is nothing.
  __device__ bool needs(const T& tiles, int64_t key, int64_t n) const {
    if (tiles.first_line() >= count) return false;
    const int64_t last = min(int64_t{tiles.last_line()}, count - 1);
    return shape.any_sees(query(tiles.first_line()), query(last), key, key + n - 1);
  }
  // Products of lines and keys become scores.
  __device__ __forceinline__ void score(const T& tiles, int64_t key, typename T::Products& products,
                                        bool (&seen)[T::kRows][T::kAcross]) const {
#pragma unroll
    for (int i = 0; i < T::kRows; ++i) {
      const int64_t of = query(tiles.line(i));
#pragma unroll
      for (int j = 0; j < T::kAcross; ++j) {
        const int64_t at = key + tiles.across(j);
        seen[i][j] = at < tile.end && shape.sees(of, at);
        products.at(i, j) = shape.score(products.at(i, j));
      }
    }
  }
};

// A block: the lines of a segment and group with the keys of its tile, in one pass.
template <class T>
__global__ void __launch_bounds__(T::kThreads)
    attention_kernel(Attention<float> a, AttentionShape shape, const Tile* all, Parts parts) {
  DYNAMIC_SHARED(float, shared);
  T tiles(shared, 1, a.width, a.bf16);
  const Tile tile = all[blockIdx.x];
  const LineBlock<T> block(a.segments, shape, tile);
  const Lines<const float> q(a.q, block.s, shape, block.group);
  const KeyRows keys(block.s.past_k, a.k, block.s, shape, block.group);
  const KeyRows values(block.s.past_v, a.v, block.s, shape, block.group);
  tiles.load_left(0, block.count, from(q, tile.first));
  Running<T> softmax;
  typename T::Sums sums;
  sums.set_zero();
  for (int64_t key = tile.begin; key < tile.end; key += T::kRight) {
    const int64_t n = block.keys_from(key);
    const bool needed = block.needs(tiles, key, n);
    typename T::Products p;
    float fade[T::kRows];
    __syncthreads();  // nobody reads the tile before any more
    tiles.load_right(0, n, from(keys, key));
    if constexpr (T::kRights > 1) tiles.load_right(1, n, from(values, key));
    __syncthreads();
    if (needed) {
      bool seen[T::kRows][T::kAcross];
      tiles.dots(0, 0, n, p);
      block.score(tiles, key, p, seen);
      softmax.add(p, seen, fade);
      tiles.set_weights(p);
    }
    if constexpr (T::kRights == 1) {
      __syncthreads();
      tiles.load_right(0, n, from(values, key));
    }
    if constexpr (T::kRights == 1 || T::kWeightsAreShared) __syncthreads();
    if (!needed) continue;
#pragma unroll
    for (int i = 0; i < T::kRows; ++i) {
#pragma unroll
      for (int c = 0; c < T::kColumns; ++c) sums.at(i, c) *= fade[i];
    }
    tiles.mix(1, n, sums);
  }
  if (tile.part >= 0) {
    const int64_t at = (tile.part * gridDim.y + block.group) * T::kLines;
    store_rows(tiles, sums, block.count, a.width, 1,
               [&](int64_t i) { return parts.sums + (at + i) * a.width; });
    for (int i = 0; i < T::kRows && tiles.leads(); ++i) {
      parts.tops[at + tiles.line(i)] = make_float2(softmax.top[i], softmax.sum[i]);
    }
    return;
  }
#pragma unroll
  for (int i = 0; i < T::kRows; ++i) {
#pragma unroll
    for (int c = 0; c < T::kColumns; ++c) sums.at(i, c) /= softmax.sum[i];
  }
  const Lines<float> z(a.z, block.s, shape, block.group);
  store_rows(tiles, sums, block.count, a.width, 1, [&](int64_t i) { return z(tile.first + i); });
}

constexpr int kJoinThreads = 256;

// A block: the lines of a split tile and group, a warp each. The parts are added in their order.
// Of a Tile here, begin and end are those of its parts.
__global__ void join_kernel(Attention<float> a, AttentionShape shape, const Tile* tiles,
                            int64_t lines, Parts parts) {
  const Tile tile = tiles[blockIdx.x];
  const Segment<float> s = a.segments[tile.segment];
  const int64_t group = blockIdx.y;
  const int64_t count = min(lines, s.rows * shape.share - tile.first);
  const Lines<float> z(a.z, s, shape, group);
  for (int64_t i = threadIdx.x / 32; i < count; i += kJoinThreads / 32) {
    const auto at = [&](int64_t part) { return (part * gridDim.y + group) * lines + i; };
    float top = -INFINITY, sum = 0;
    for (int64_t part = tile.begin; part < tile.end; ++part) {
      top = fmaxf(top, parts.tops[at(part)].x);
    }
    if (top == -INFINITY) top = 0;  // as Running has it
    for (int64_t part = tile.begin; part < tile.end; ++part) {
      const float2 each = parts.tops[at(part)];
      sum = fmaf(each.y, expf(each.x - top), sum);
    }
    float* to = z(tile.first + i);
    for (int64_t c = threadIdx.x % 32; c < shape.width; c += 32) {
      float value = 0;
      for (int64_t part = tile.begin; part < tile.end; ++part) {
        value =
            fmaf(parts.sums[at(part) * shape.width + c], expf(parts.tops[at(part)].x - top), value);
      }
      to[c] = value / sum;
    }
  }
}

// Segments of so few lines have few blocks, which share their keys with others: so many each, a
// multiple of every kRight. Both are constants, so that a segment is computed alike in any batch.
constexpr int64_t kFewLines = 64;
constexpr int64_t kKeysOfPart = 256;

// Splits the tiles of such segments; returns those that were, with their parts.
std::vector<Tile> split_keys(const AttentionShape& shape, const Segment<float>* segments,
                             std::vector<Tile>& tiles) {
  std::vector<Tile> pieces, joins;
  int64_t parts = 0;
  for (const Tile& tile : tiles) {
    if (segments[tile.segment].rows * shape.share > kFewLines ||
        tile.end - tile.begin <= 2 * kKeysOfPart) {
      pieces.push_back(tile);
      continue;
    }
    Tile join = tile;
    join.begin = parts;
    for (int64_t key = tile.begin; key < tile.end;) {
      Tile piece = tile;
      piece.begin = key;
      key = std::min(tile.end, (key / kKeysOfPart + 1) * kKeysOfPart);
      piece.end = key;
      piece.part = parts++;
      pieces.push_back(piece);
    }
    join.end = parts;
    joins.push_back(join);
  }
  tiles = std::move(pieces);
  return joins;
}

template <class Args>
Args with_segments_there(Queue& queue, const Args& a) {
  Args there = a;
  there.segments = queue.upload(a.segments, a.segment_count);
  return there;
}
const Tile* upload(Queue& queue, const std::vector<Tile>& tiles) {
  return queue.upload(tiles.data(), static_cast<int64_t>(tiles.size()));
}

void attention_impl(Queue& queue, const Attention<float>& a) {
  const AttentionShape shape = shape_of(a);
  const int64_t lines = most_lines(shape, a.segments, a.segment_count);
  if (lines == 0) return;
  const Attention<float> there = with_segments_there(queue, a);
  visit_tiles<1>(a.width, a.bf16, lines, [&]<class T>(std::type_identity<T>) {
    std::vector<Tile> tiles = line_tiles<T>(shape, a.segments, a.segment_count, false);
    const std::vector<Tile> joins = split_keys(shape, a.segments, tiles);
    Parts parts{};
    if (!joins.empty()) {
      const int64_t count = joins.back().end * a.groups * T::kLines;
      parts = {queue.scratch<float>(count * a.width), queue.scratch<float2>(count)};
    }
    const Tile *work = upload(queue, tiles), *joined = upload(queue, joins);
    LAUNCH_TILES(T, (attention_kernel<T>), 1, tiles, there, shape, work, parts);
    if (joins.empty()) return;
    LAUNCH(join_kernel, dim3(static_cast<unsigned>(joins.size()), static_cast<unsigned>(a.groups)),
           dim3(kJoinThreads), 0, queue.stream, there, shape, joined, int64_t{T::kLines}, parts);
    cuda::check_launch("attention");
  });
}

// What the backward pass needs of a query and head, at its row * heads + head: the pattern is
// exp(score - top) * inverse, `mean` the pattern's sum of dpattern.
struct Stats {
  float top, inverse, mean, unused;
};
__device__ __forceinline__ int64_t stat_of(const AttentionShape& shape, const Segment<float>& s,
                                           int64_t group, int64_t line) {
  return (s.row + shape.query_of(line)) * shape.heads + group * shape.share +
         shape.head_in_group(line);
}

// A block's lines with q and dz on the left; values, then keys, on the right.
template <class T>
struct BackwardLines {
  const AttentionBackward<float>& a;
  T tiles;
  LineBlock<T> block;
  KeyRows keys, values;

  __device__ __forceinline__ BackwardLines(const AttentionBackward<float>& args,
                                           const AttentionShape& shape, const Tile& tile,
                                           float* shared)
      : a(args),
        tiles(shared, 2, args.width, args.bf16),
        block(args.segments, shape, tile),
        keys(block.s.past_k, args.k, block.s, shape, block.group),
        values(block.s.past_v, args.v, block.s, shape, block.group) {
    const Lines<const float> q(a.q, block.s, shape, block.group);
    const Lines<const float> dz(a.dz, block.s, shape, block.group);
    tiles.load_left(0, block.count, from(q, tile.first));
    tiles.load_left(1, block.count, from(dz, tile.first));
  }
  // dpattern, scores and what is seen of a tile of n keys, which stay in right tile 1; false where
  // this warp needs none of them.
  __device__ __forceinline__ bool products(int64_t key, int64_t n, typename T::Products& dp,
                                           typename T::Products& scores,
                                           bool (&seen)[T::kRows][T::kAcross]) {
    const bool needed = block.needs(tiles, key, n);
    __syncthreads();
    tiles.load_right(0, n, from(values, key));
    if constexpr (T::kRights > 1) tiles.load_right(1, n, from(keys, key));
    __syncthreads();
    if (needed) tiles.dots(1, 0, n, dp);
    if constexpr (T::kRights == 1) {
      __syncthreads();
      tiles.load_right(1, n, from(keys, key));
      __syncthreads();
    }
    if (!needed) return false;
    tiles.dots(0, 1, n, scores);
    block.score(tiles, key, scores, seen);
    return true;
  }
  __device__ __forceinline__ int64_t line(int64_t i) const {
    return stat_of(block.shape, block.s, block.group, block.tile.first + i);
  }
};

// A block: the statistics of its lines.
template <class T>
__global__ void __launch_bounds__(T::kThreads)
    stats_kernel(AttentionBackward<float> a, AttentionShape shape, const Tile* all, Stats* stats) {
  DYNAMIC_SHARED(float, shared);
  const Tile tile = all[blockIdx.x];
  BackwardLines<T> lines(a, shape, tile, shared);
  Running<T> softmax;
  float mean[T::kRows];
  for (int i = 0; i < T::kRows; ++i) mean[i] = 0;
  for (int64_t key = tile.begin; key < tile.end; key += T::kRight) {
    typename T::Products dp, p;
    float fade[T::kRows];
    bool seen[T::kRows][T::kAcross];
    if (!lines.products(key, lines.block.keys_from(key), dp, p, seen)) continue;
    softmax.add(p, seen, fade);
#pragma unroll
    for (int i = 0; i < T::kRows; ++i) {
      float added = 0;
#pragma unroll
      for (int j = 0; j < T::kAcross; ++j) added = fmaf(p.at(i, j), dp.at(i, j), added);
      mean[i] = fmaf(mean[i], fade[i], cuda::warp_sum<T::kLanes>(added));
    }
  }
  for (int i = 0; i < T::kRows && lines.tiles.leads(); ++i) {
    const int64_t line = lines.tiles.line(i);
    if (line >= lines.block.count) continue;
    const float inverse = 1 / softmax.sum[i];
    stats[lines.line(line)] = {softmax.top[i], inverse, mean[i] * inverse, 0};
  }
}

// The gradient of a score before the cap, but for the scale.
__device__ __forceinline__ float score_gradient(const AttentionShape& shape, const Stats& line,
                                                float p, float dp, float score) {
  return p * (dp - line.mean) * shape.slope(score);
}

// A block: dq of its lines.
template <class T>
__global__ void __launch_bounds__(T::kThreads)
    dq_kernel(AttentionBackward<float> a, AttentionShape shape, const Tile* all,
              const Stats* stats) {
  DYNAMIC_SHARED(float, shared);
  const Tile tile = all[blockIdx.x];
  BackwardLines<T> lines(a, shape, tile, shared);
  T& tiles = lines.tiles;
  Stats mine[T::kRows];
#pragma unroll
  for (int i = 0; i < T::kRows; ++i) {
    const int64_t line = tiles.line(i);
    mine[i] = line < lines.block.count ? stats[lines.line(line)] : Stats{};
  }
  typename T::Sums sums;
  sums.set_zero();
  for (int64_t key = tile.begin; key < tile.end; key += T::kRight) {
    const int64_t n = lines.block.keys_from(key);
    typename T::Products dp, ds;
    bool seen[T::kRows][T::kAcross];
    const bool needed = lines.products(key, n, dp, ds, seen);
    if (needed) {
#pragma unroll
      for (int i = 0; i < T::kRows; ++i) {
#pragma unroll
        for (int j = 0; j < T::kAcross; ++j) {
          float& score = ds.at(i, j);
          const float p = expf(score - mine[i].top) * mine[i].inverse;
          score = seen[i][j] ? score_gradient(shape, mine[i], p, dp.at(i, j), score) : 0;
        }
      }
      tiles.set_weights(ds);
    }
    if constexpr (T::kWeightsAreShared) __syncthreads();
    if (needed) tiles.mix(1, n, sums);
  }
  const Lines<float> dq(a.dq, lines.block.s, shape, lines.block.group);
  store_rows(tiles, sums, lines.block.count, a.width, a.scale,
             [&](int64_t i) { return dq(tile.first + i); });
}

// A block: dk and dv of own keys of a segment and group, which goes through the lines that see
// them, heads and queries in their order.
template <class T>
__global__ void __launch_bounds__(T::kThreads)
    dkdv_kernel(AttentionBackward<float> a, AttentionShape shape, const Tile* all,
                const Stats* stats) {
  DYNAMIC_SHARED(float, shared);
  T tiles(shared, 2, a.width, a.bf16);
  const Tile tile = all[blockIdx.x];
  const Segment<float> s = a.segments[tile.segment];
  const int64_t group = blockIdx.y;
  const int64_t count = min(int64_t{T::kLines}, s.rows - tile.first);
  const KeyRows keys(s.past_k, a.k, s, shape, group), values(s.past_v, a.v, s, shape, group);
  const Lines<const float> q(a.q, s, shape, group), dz(a.dz, s, shape, group);
  const int64_t first = s.past_rows + tile.first;
  tiles.load_left(0, count, from(keys, first));
  tiles.load_left(1, count, from(values, first));
  typename T::Sums dk, dv;
  dk.set_zero();
  dv.set_zero();
  for (int64_t line = tile.begin; line < tile.end; line += T::kRight) {
    const int64_t n = min(int64_t{T::kRight}, tile.end - line);
    const bool needed = tiles.first_line() < count &&
                        shape.any_sees(s.past_rows + shape.query_of(line),
                                       s.past_rows + shape.query_of(line + n - 1),
                                       first + tiles.first_line(), first + tiles.last_line());
    // Of the two right sides, those that are not there together follow each other.
    const auto load = [&](int which, const Lines<const float>& rows) {
      if (T::kRights > 1) return;
      __syncthreads();
      tiles.load_right(which, n, from(rows, line));
      __syncthreads();
    };
    if constexpr (T::kRights > 1) {
      __syncthreads();
      tiles.load_right(0, n, from(q, line));
      tiles.load_right(1, n, from(dz, line));
      __syncthreads();
    }
    typename T::Products p, ds;
    load(0, q);
    if (needed) tiles.dots(0, 0, n, ds);
    load(1, dz);
    if (needed) {
      tiles.dots(1, 1, n, p);
#pragma unroll
      for (int j = 0; j < T::kAcross; ++j) {
        const int64_t at = tiles.across(j), query = shape.query_of(line + at);
        const Stats of = at < n ? stats[stat_of(shape, s, group, line + at)] : Stats{};
#pragma unroll
        for (int i = 0; i < T::kRows; ++i) {
          const bool seen = at < n && shape.sees(s.past_rows + query, first + tiles.line(i));
          const float dp = p.at(i, j), score = shape.score(ds.at(i, j));
          p.at(i, j) = seen ? expf(score - of.top) * of.inverse : 0;
          ds.at(i, j) = seen ? score_gradient(shape, of, p.at(i, j), dp, score) : 0;
        }
      }
      tiles.set_weights(p);
    }
    if constexpr (T::kWeightsAreShared) __syncthreads();
    if (needed) tiles.mix(1, n, dv);
    load(0, q);
    if (needed) tiles.set_weights(ds);
    if constexpr (T::kWeightsAreShared) __syncthreads();
    if (needed) tiles.mix(0, n, dk);
  }
  const auto row = [&](const Mat<float>& m) {
    float* rows = m.row(s.row + tile.first) + group * shape.width;
    return [rows, stride = m.stride](int64_t i) { return rows + i * stride; };
  };
  store_rows(tiles, dk, count, a.width, a.scale, row(a.dk));
  store_rows(tiles, dv, count, a.width, 1, row(a.dv));
}

void attention_backward_impl(Queue& queue, const AttentionBackward<float>& a) {
  const AttentionShape shape = shape_of(a);
  const int64_t lines = most_lines(shape, a.segments, a.segment_count);
  if (lines == 0) return;
  const AttentionBackward<float> there = with_segments_there(queue, a);
  auto* stats = queue.scratch<Stats>(a.q.rows * a.heads);
  visit_tiles<2>(a.width, a.bf16, lines, [&]<class T>(std::type_identity<T>) {
    const auto tiles = line_tiles<T>(shape, a.segments, a.segment_count, false);
    const Tile* line_work = upload(queue, tiles);
    LAUNCH_TILES(T, (stats_kernel<T>), 2, tiles, there, shape, line_work, stats);
    LAUNCH_TILES(T, (dq_kernel<T>), 2, tiles, there, shape, line_work, stats);
    const auto own = key_tiles<T>(shape, a.segments, a.segment_count, false);
    const Tile* key_work = upload(queue, own);
    LAUNCH_TILES(T, (dkdv_kernel<T>), 2, own, there, shape, key_work, stats);
  });
}

}  // namespace

DEFINE_CUDA_OP(attention, Attention)
DEFINE_CUDA_OP(attention_backward, AttentionBackward)

}  // namespace keyheads::ops
