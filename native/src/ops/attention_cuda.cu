#include "cuda/attention.h"

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

// The running softmax of a thread's lines; all 16 threads of a line hold the same.
template <int R>
struct Running {
  float top[R], sum[R];

  __device__ __forceinline__ Running() {
    for (int i = 0; i < R; ++i) {
      top[i] = -INFINITY;
      sum[i] = 0;
    }
  }
  // Scores, of which unseen ones are -infinity, become exp(score - top); what was summed before is
  // to be multiplied by `fade`.
  template <int N>
  __device__ __forceinline__ void add(float (&scores)[R][N], const bool (&seen)[R][N],
                                      float (&fade)[R]) {
#pragma unroll
    for (int i = 0; i < R; ++i) {
      float most = top[i];
#pragma unroll
      for (int j = 0; j < N; ++j) most = seen[i][j] ? fmaxf(most, scores[i][j]) : most;
      most = max_across(most);
      const float base = most == -INFINITY ? 0 : most;  // nothing seen yet
      float added = 0;
#pragma unroll
      for (int j = 0; j < N; ++j) {
        scores[i][j] = seen[i][j] ? expf(scores[i][j] - base) : 0;
        added += scores[i][j];
      }
      fade[i] = expf(top[i] - base);
      sum[i] = fmaf(sum[i], fade[i], sum_across(added));
      top[i] = most;
    }
  }
};

// The scores of a block's lines with a right tile of keys, and which of them are seen.
template <int R, int D>
__device__ __forceinline__ void score_tile(const AttentionShape& shape, const Segment<float>& s,
                                           int64_t first, int64_t key, int64_t end,
                                           float (&scores)[R][kAcross<D>],
                                           bool (&seen)[R][kAcross<D>]) {
#pragma unroll
  for (int i = 0; i < R; ++i) {
    const int64_t query = s.past_rows + (first + tile_y() * R + i) / shape.share();
#pragma unroll
    for (int j = 0; j < kAcross<D>; ++j) {
      const int64_t at = key + tile_x() + 16 * j;
      seen[i][j] = at < end && shape.sees(query, at);
      scores[i][j] = shape.score(scores[i][j]);
    }
  }
}

// A block: 16 R lines of a segment and group with the keys of its tile, in one pass.
template <int R, int D>
__global__ void __launch_bounds__(kAttentionThreads)
    attention_kernel(Attention<float> a, AttentionShape shape, const Tile* tiles, Parts parts) {
  DYNAMIC_SHARED(float, shared);
  float* left = shared;
  float* right = left + 16 * R * kLine<D>;
  float* weights = right + kRight<D> * kLine<D>;
  const Tile tile = tiles[blockIdx.x];
  const Segment<float> s = a.segments[tile.segment];
  const int64_t group = blockIdx.y;
  const int64_t count = min(int64_t{16} * R, s.rows * shape.share() - tile.first);
  const Lines<const float> q(a.q, s, shape, group);
  const KeyRows keys(s.past_k, a.k, s, shape, group), values(s.past_v, a.v, s, shape, group);
  load_rows<16 * R, D>(left, count, a.width, q.wide(),
                       [&](int64_t i) { return q(tile.first + i); });
  Running<R> softmax;
  float sums[R][kColumns<D>];
  set_zero(sums);
  for (int64_t key = tile.begin; key < tile.end; key += kRight<D>) {
    const int64_t n = min(int64_t{kRight<D>}, tile.end - key);
    float p[R][kAcross<D>], fade[R];
    bool seen[R][kAcross<D>];
    __syncthreads();  // nobody reads the tile before any more
    load_rows<kRight<D>, D>(right, n, a.width, keys.wide(),
                            [&](int64_t j) { return keys(key + j); });
    __syncthreads();
    dots<R, D>(left, right, n, a.width, p);
    score_tile<R, D>(shape, s, tile.first, key, tile.end, p, seen);
    softmax.add(p, seen, fade);
    put_weights<R, D>(weights, p);
    __syncthreads();
    load_rows<kRight<D>, D>(right, n, a.width, values.wide(),
                            [&](int64_t j) { return values(key + j); });
    __syncthreads();
#pragma unroll
    for (int i = 0; i < R; ++i) {
#pragma unroll
      for (int c = 0; c < kColumns<D>; ++c) sums[i][c] *= fade[i];
    }
    mix<R, D>(weights, right, n, sums);
  }
  if (tile.part >= 0) {
    const int64_t at = (tile.part * gridDim.y + group) * 16 * R;
    store_rows<R, D>(sums, count, a.width, 1,
                     [&](int64_t i) { return parts.sums + (at + i) * a.width; });
    for (int i = 0; i < R && tile_x() == 0; ++i) {
      parts.tops[at + tile_y() * R + i] = make_float2(softmax.top[i], softmax.sum[i]);
    }
    return;
  }
#pragma unroll
  for (int i = 0; i < R; ++i) {
#pragma unroll
    for (int c = 0; c < kColumns<D>; ++c) sums[i][c] /= softmax.sum[i];
  }
  const Lines<float> z(a.z, s, shape, group);
  store_rows<R, D>(sums, count, a.width, 1, [&](int64_t i) { return z(tile.first + i); });
}

// A block: the lines of a split tile and group, a warp each. The parts are added in their order.
// Of a Tile here, begin and end are those of its parts.
__global__ void join_kernel(Attention<float> a, AttentionShape shape, const Tile* tiles,
                            int64_t lines, Parts parts) {
  const Tile tile = tiles[blockIdx.x];
  const Segment<float> s = a.segments[tile.segment];
  const int64_t group = blockIdx.y;
  const int64_t count = min(lines, s.rows * shape.share() - tile.first);
  const Lines<float> z(a.z, s, shape, group);
  for (int64_t i = threadIdx.x / 32; i < count; i += kAttentionThreads / 32) {
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

// Blocks that fill a device, about: below that the keys of a tile are shared by several blocks.
constexpr int64_t kManyBlocks = 256;
constexpr int64_t kFewestKeys = 256;  // of a part

// Splits tiles; returns those that were, with their parts.
std::vector<Tile> split_keys(std::vector<Tile>& tiles, int64_t groups) {
  int64_t keys = 0;
  for (const Tile& tile : tiles) keys += (tile.end - tile.begin) * groups;
  const auto blocks = static_cast<int64_t>(tiles.size()) * groups;
  if (blocks >= kManyBlocks) return {};
  const int64_t per_part = std::max(
      kFewestKeys, (keys / (2 * kManyBlocks) + kFewestKeys - 1) / kFewestKeys * kFewestKeys);
  std::vector<Tile> pieces, joins;
  int64_t parts = 0;
  for (const Tile& tile : tiles) {
    if (tile.end - tile.begin <= 2 * per_part) {
      pieces.push_back(tile);
      continue;
    }
    Tile join = tile;
    join.begin = parts;
    for (int64_t key = tile.begin; key < tile.end; key += per_part) {
      Tile piece = tile;
      piece.begin = key;
      piece.end = std::min(tile.end, key + per_part);
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
  const Attention<float> there = with_segments_there(queue, a);
  const int64_t lines = most_lines(shape, a.segments, a.segment_count);
  const auto run = [&]<int R, int D>(Size<R, D>) {
    std::vector<Tile> tiles = line_tiles(shape, a.segments, a.segment_count, 16 * R, false);
    if (tiles.empty()) return;
    const std::vector<Tile> joins = split_keys(tiles, a.groups);
    Parts parts{};
    if (!joins.empty()) {
      const int64_t count = joins.back().end * a.groups * 16 * R;
      parts = {queue.scratch<float>(count * a.width), queue.scratch<float2>(count)};
    }
    const Tile *work = upload(queue, tiles), *joined = upload(queue, joins);
    LAUNCH_TILES((attention_kernel<R, D>), 1, tiles, there, shape, work, parts);
    if (joins.empty()) return;
    LAUNCH(join_kernel, dim3(static_cast<unsigned>(joins.size()), static_cast<unsigned>(a.groups)),
           dim3(kAttentionThreads), 0, queue.stream, there, shape, joined, int64_t{16 * R}, parts);
    cuda::check_launch("attention");
  };
  // one left side leaves room for more
  if (a.width > 64 && a.width <= 128 && lines > 32) return run(Size<4, 128>());
  if (a.width > 128 && a.width <= 256 && lines > 16) return run(Size<2, 256>());
  visit_size(a.width, lines, run);
}

// What the backward pass needs of a query and head, at its row * heads + head: the pattern is
// exp(score - top) * inverse, `mean` the pattern's sum of dpattern.
struct Stats {
  float top, inverse, mean, unused;
};

// The rows and lines of the pass of one block over keys: q and dz on the left.
template <int R, int D>
struct LineBlock {
  const AttentionBackward<float>& a;
  const AttentionShape& shape;
  const Tile& tile;
  Segment<float> s;
  int64_t group, count;
  float *q, *dz, *right, *weights;
  KeyRows keys, values;

  __device__ __forceinline__ LineBlock(const AttentionBackward<float>& args,
                                       const AttentionShape& sizes, const Tile& mine, float* shared)
      : a(args),
        shape(sizes),
        tile(mine),
        s(args.segments[mine.segment]),
        group(blockIdx.y),
        count(min(int64_t{16} * R, s.rows * sizes.share() - mine.first)),
        q(shared),
        dz(q + 16 * R * kLine<D>),
        right(dz + 16 * R * kLine<D>),
        weights(right + kRight<D> * kLine<D>),
        keys(s.past_k, args.k, s, sizes, group),
        values(s.past_v, args.v, s, sizes, group) {
    const Lines<const float> q_rows(a.q, s, shape, group), dz_rows(a.dz, s, shape, group);
    load_rows<16 * R, D>(q, count, a.width, q_rows.wide(),
                         [&](int64_t i) { return q_rows(tile.first + i); });
    load_rows<16 * R, D>(dz, count, a.width, dz_rows.wide(),
                         [&](int64_t i) { return dz_rows(tile.first + i); });
  }
  // dpattern, scores and what is seen of a tile of n keys; leaves the keys in `right`.
  __device__ __forceinline__ void tiles_of(int64_t key, int64_t n, float (&dp)[R][kAcross<D>],
                                           float (&scores)[R][kAcross<D>],
                                           bool (&seen)[R][kAcross<D>]) const {
    __syncthreads();
    load_rows<kRight<D>, D>(right, n, a.width, values.wide(),
                            [&](int64_t j) { return values(key + j); });
    __syncthreads();
    dots<R, D>(dz, right, n, a.width, dp);
    __syncthreads();
    load_rows<kRight<D>, D>(right, n, a.width, keys.wide(),
                            [&](int64_t j) { return keys(key + j); });
    __syncthreads();
    dots<R, D>(q, right, n, a.width, scores);
    score_tile<R, D>(shape, s, tile.first, key, tile.end, scores, seen);
  }
  // Where the statistics of a line lie.
  __device__ __forceinline__ int64_t line(int64_t i) const {
    const int64_t at = tile.first + i, share = shape.share();
    return (s.row + at / share) * shape.heads + group * share + at % share;
  }
};

// A block: the statistics of 16 R lines.
template <int R, int D>
__global__ void __launch_bounds__(kAttentionThreads)
    stats_kernel(AttentionBackward<float> a, AttentionShape shape, const Tile* tiles,
                 Stats* stats) {
  DYNAMIC_SHARED(float, shared);
  const Tile tile = tiles[blockIdx.x];
  const LineBlock<R, D> block(a, shape, tile, shared);
  Running<R> softmax;
  float mean[R];
  for (int i = 0; i < R; ++i) mean[i] = 0;
  for (int64_t key = tile.begin; key < tile.end; key += kRight<D>) {
    float dp[R][kAcross<D>], p[R][kAcross<D>], fade[R];
    bool seen[R][kAcross<D>];
    block.tiles_of(key, min(int64_t{kRight<D>}, tile.end - key), dp, p, seen);
    softmax.add(p, seen, fade);
#pragma unroll
    for (int i = 0; i < R; ++i) {
      float added = 0;
#pragma unroll
      for (int j = 0; j < kAcross<D>; ++j) added = fmaf(p[i][j], dp[i][j], added);
      mean[i] = fmaf(mean[i], fade[i], sum_across(added));
    }
  }
  for (int i = 0; i < R && tile_x() == 0; ++i) {
    const int64_t line = tile_y() * R + i;
    if (line >= block.count) continue;
    const float inverse = 1 / softmax.sum[i];
    stats[block.line(line)] = {softmax.top[i], inverse, mean[i] * inverse, 0};
  }
}

// The gradient of a score before the cap, but for the scale.
__device__ __forceinline__ float score_gradient(const AttentionShape& shape, const Stats& line,
                                                float p, float dp, float score) {
  return p * (dp - line.mean) * shape.slope(score);
}

// A block: dq of 16 R lines.
template <int R, int D>
__global__ void __launch_bounds__(kAttentionThreads)
    dq_kernel(AttentionBackward<float> a, AttentionShape shape, const Tile* tiles,
              const Stats* stats) {
  DYNAMIC_SHARED(float, shared);
  const Tile tile = tiles[blockIdx.x];
  const LineBlock<R, D> block(a, shape, tile, shared);
  Stats mine[R];
#pragma unroll
  for (int i = 0; i < R; ++i) {
    const int64_t line = tile_y() * R + i;
    mine[i] = line < block.count ? stats[block.line(line)] : Stats{};
  }
  float sums[R][kColumns<D>];
  set_zero(sums);
  for (int64_t key = tile.begin; key < tile.end; key += kRight<D>) {
    const int64_t n = min(int64_t{kRight<D>}, tile.end - key);
    float dp[R][kAcross<D>], ds[R][kAcross<D>];
    bool seen[R][kAcross<D>];
    block.tiles_of(key, n, dp, ds, seen);
#pragma unroll
    for (int i = 0; i < R; ++i) {
#pragma unroll
      for (int j = 0; j < kAcross<D>; ++j) {
        const float p = expf(ds[i][j] - mine[i].top) * mine[i].inverse;
        ds[i][j] = seen[i][j] ? score_gradient(shape, mine[i], p, dp[i][j], ds[i][j]) : 0;
      }
    }
    put_weights<R, D>(block.weights, ds);
    __syncthreads();
    mix<R, D>(block.weights, block.right, n, sums);
  }
  const Lines<float> dq(a.dq, block.s, shape, block.group);
  store_rows<R, D>(sums, block.count, a.width, a.scale,
                   [&](int64_t i) { return dq(tile.first + i); });
}

// A block: dk and dv of 16 R own keys of a segment and group, which goes through the lines that see
// them, heads and queries in their order.
template <int R, int D>
__global__ void __launch_bounds__(kAttentionThreads)
    dkdv_kernel(AttentionBackward<float> a, AttentionShape shape, const Tile* tiles,
                const Stats* stats) {
  DYNAMIC_SHARED(float, shared);
  float* k = shared;
  float* v = k + 16 * R * kLine<D>;
  float* right = v + 16 * R * kLine<D>;
  float* weights = right + kRight<D> * kLine<D>;
  const Tile tile = tiles[blockIdx.x];
  const Segment<float> s = a.segments[tile.segment];
  const int64_t group = blockIdx.y, share = shape.share();
  const int64_t count = min(int64_t{16} * R, s.rows - tile.first);
  const KeyRows keys(s.past_k, a.k, s, shape, group), values(s.past_v, a.v, s, shape, group);
  const Lines<const float> q(a.q, s, shape, group), dz(a.dz, s, shape, group);
  const int64_t first = s.past_rows + tile.first;
  load_rows<16 * R, D>(k, count, a.width, keys.wide(), [&](int64_t i) { return keys(first + i); });
  load_rows<16 * R, D>(v, count, a.width, values.wide(),
                       [&](int64_t i) { return values(first + i); });
  float dk[R][kColumns<D>], dv[R][kColumns<D>];
  set_zero(dk);
  set_zero(dv);
  for (int64_t line = tile.begin; line < tile.end; line += kRight<D>) {
    const int64_t n = min(int64_t{kRight<D>}, tile.end - line);
    const auto load = [&](const Lines<const float>& rows) {
      __syncthreads();
      load_rows<kRight<D>, D>(right, n, a.width, rows.wide(),
                              [&](int64_t j) { return rows(line + j); });
      __syncthreads();
    };
    float p[R][kAcross<D>], ds[R][kAcross<D>];
    load(q);
    dots<R, D>(k, right, n, a.width, ds);
    load(dz);
    dots<R, D>(v, right, n, a.width, p);
#pragma unroll
    for (int j = 0; j < kAcross<D>; ++j) {
      const int64_t at = tile_x() + 16 * j, query = (line + at) / share;
      const Stats of =
          at < n ? stats[(s.row + query) * shape.heads + group * share + (line + at) % share]
                 : Stats{};
#pragma unroll
      for (int i = 0; i < R; ++i) {
        const bool seen = at < n && shape.sees(s.past_rows + query, first + tile_y() * R + i);
        const float dp = p[i][j], score = shape.score(ds[i][j]);
        p[i][j] = seen ? expf(score - of.top) * of.inverse : 0;
        ds[i][j] = seen ? score_gradient(shape, of, p[i][j], dp, score) : 0;
      }
    }
    put_weights<R, D>(weights, p);
    __syncthreads();
    mix<R, D>(weights, right, n, dv);
    load(q);
    put_weights<R, D>(weights, ds);
    __syncthreads();
    mix<R, D>(weights, right, n, dk);
  }
  const auto row = [&](const Mat<float>& m) {
    float* rows = m.row(s.row + tile.first) + group * shape.width;
    return [rows, stride = m.stride](int64_t i) { return rows + i * stride; };
  };
  store_rows<R, D>(dk, count, a.width, a.scale, row(a.dk));
  store_rows<R, D>(dv, count, a.width, 1, row(a.dv));
}

void attention_backward_impl(Queue& queue, const AttentionBackward<float>& a) {
  const AttentionShape shape = shape_of(a);
  const AttentionBackward<float> there = with_segments_there(queue, a);
  const int64_t lines = most_lines(shape, a.segments, a.segment_count);
  if (lines == 0) return;
  auto* stats = queue.scratch<Stats>(a.q.rows * a.heads);
  const auto run = [&]<int R, int D>(Size<R, D>) {
    const auto tiles = line_tiles(shape, a.segments, a.segment_count, 16 * R, false);
    const Tile* line_work = upload(queue, tiles);
    LAUNCH_TILES((stats_kernel<R, D>), 2, tiles, there, shape, line_work, stats);
    LAUNCH_TILES((dq_kernel<R, D>), 2, tiles, there, shape, line_work, stats);
    const auto own = key_tiles(shape, a.segments, a.segment_count, 16 * R, false);
    const Tile* key_work = upload(queue, own);
    LAUNCH_TILES((dkdv_kernel<R, D>), 2, own, there, shape, key_work, stats);
  };
  visit_size(a.width, lines, run);
}

}  // namespace

DEFINE_CUDA_OP(attention, Attention)
DEFINE_CUDA_OP(attention_backward, AttentionBackward)

}  // namespace keyheads::ops
