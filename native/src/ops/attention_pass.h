// Fused attention of some queries of one sequence, for the heads of one group. A leaf header.
#pragma once
#include "ops/attention_blocks.h"

namespace keyheads::ops {
namespace {

// Keys and values are packed this many at a time and used at once by all queries of a pass.
inline constexpr int64_t kKeys = 128;
// Scores that a pass holds: what leaves room for keys and values in a core's cache.
inline constexpr int64_t kScores = int64_t{1} << 15;

// Queries of a segment for one pass: all of them where their scores fit, else a block of rows that
// keys and values are read for once. Where a single row is long, memory grows with its length.
template <class T>
KEYHEADS_INLINE int64_t pass_queries(const Attention<T>& a, const Segment<T>& s) {
  const int64_t share = a.heads / a.groups;
  const int64_t keys = s.past_rows + s.rows;
  const int64_t seen = a.window > 0 ? smaller(keys, a.window + kTileRows) : keys;
  if (share * s.rows * seen <= kScores) return s.rows;
  const int64_t rows = larger<int64_t>(24, smaller<int64_t>(96, kScores / seen));
  return larger<int64_t>(rows / share / kTileRows, 1) * kTileRows;
}

// The keys of a segment and group, from `begin` on, packed for all its passes; k is null where the
// only pass packs them itself, block by block.
template <class T>
struct PackedGroup {
  T *k = nullptr, *v = nullptr;
  int64_t begin = 0, length = 0;
};

template <class T>
class AttentionPass {
 public:
  AttentionPass(const Attention<T>& a, const Segment<T>& s, int64_t group, int64_t first,
                int64_t queries, const PackedGroup<T>& packed)
      : a_(a),
        s_(s),
        first_(first),
        queries_(queries),
        share_(a.heads / a.groups),
        head_(group * share_),
        keys_(group_rows<T>(s, s.past_k, a.k, group, a.groups, a.width)),
        values_(group_rows<T>(s, s.past_v, a.v, group, a.groups, a.width)),
        all_(seen_keys<T>(s.past_rows + first, queries, a.window)),
        line_(line_of<T>(all_.count())),
        block_(smaller(kKeys, padded<T>(all_.count()))),
        packed_(packed) {
    const int64_t scores = share_ * queries * line_;
    const int64_t block = packed.k ? 0 : block_ * padded<T>(a.width);
    Arena<T> arena(scores + block);
    block_memory_ = arena.take(block);
    scores_ = arena.take(scores);
  }

  void run() {
    for_blocks([&](int64_t begin, int64_t count) {
      const T* k = block_memory_;
      if (packed_.k) {
        k = packed_.k + (begin - packed_.begin) * a_.width;
      } else {
        pack_keys(
            count, all_.end - begin, a_.width, [&](int64_t j) { return keys_(begin + j); },
            block_memory_);
      }
      for_tiles_of([&](const Tile& t) {
        const KeyRange range = overlap(t, begin, count);
        if (range.count() <= 0) return;
        tile_rows<T>(t.rows, {t.q, t.q_row, 1},
                     keys_right(k + (range.begin - begin) * a_.width, a_.width),
                     {t.p + range.begin - all_.begin, line_, range.count(), false}, a_.width);
      });
    });
    for_tiles_of([&](const Tile& t) {
      // Long rows one by one, so that each stays in the first cache.
      const int64_t together = line_ > 2048 ? 1 : t.rows;
      T* p = t.p + t.seen.begin - all_.begin;
      for (int64_t r = 0; r < t.rows; r += together) {
        T* row = p + r * line_;
        const T scale = cap_lines(row, line_, together, t.seen.count(), a_.scale, a_.cap);
        softmax_lines(row, line_, together, t.query + r * t.step + 1 - t.seen.begin, t.step,
                      a_.window, scale, t.seen.count());
      }
    });
    for_blocks([&](int64_t begin, int64_t count) {
      const T* v = block_memory_;
      if (packed_.k) {
        v = packed_.v + (begin - packed_.begin) * Simd<T>::kWidth;
      } else {
        pack_rows(
            count, all_.end - begin, a_.width, [&](int64_t j) { return values_(begin + j); },
            block_, T(1), block_memory_);
      }
      const int64_t length = packed_.k ? packed_.length : block_;
      for_tiles_of([&](const Tile& t) {
        const KeyRange range = overlap(t, begin, count);
        if (range.count() <= 0) return;
        tile_rows<T>(t.rows, {t.p + range.begin - all_.begin, line_, 1},
                     rows_right(v + (range.begin - begin) * Simd<T>::kWidth, length),
                     {t.z, t.z_row, a_.width, range.begin > t.seen.begin}, range.count());
      });
    });
  }

 private:
  // At most kTileRows rows: queries of one head, or one query of several.
  struct Tile {
    const T* q;
    T *z, *p;
    int64_t q_row, z_row, rows, query, step;  // row r belongs to query + r * step
    KeyRange seen;
  };

  template <class F>
  KEYHEADS_INLINE void for_tiles_of(const F& f) {
    const Mat<const T> q = part(a_.q, s_.row + first_, queries_, head_, a_.width);
    const Mat<T> z = part(a_.z, s_.row + first_, queries_, head_, a_.width);
    const int64_t query = s_.past_rows + first_;
    if (queries_ == 1) {
      for_tiles(share_, [&](int64_t h, int64_t rows) {
        f(Tile{q.data + h * a_.width, z.data + h * a_.width, scores_ + h * line_, a_.width,
               a_.width, rows, query, 0, all_});
      });
      return;
    }
    for (int64_t h = 0; h < share_; ++h) {
      for_tiles(queries_, [&](int64_t i, int64_t rows) {
        f(Tile{q.row(i) + h * a_.width, z.row(i) + h * a_.width,
               scores_ + (h * queries_ + i) * line_, q.stride, z.stride, rows, query + i, 1,
               seen_keys<T>(query + i, rows, a_.window)});
      });
    }
  }

  // f(first key, count) for blocks of all keys
  template <class F>
  KEYHEADS_INLINE void for_blocks(const F& f) {
    for (int64_t begin = all_.begin; begin < all_.end; begin += block_) {
      f(begin, smaller(block_, all_.end - begin));
    }
  }
  KEYHEADS_INLINE static KeyRange overlap(const Tile& t, int64_t begin, int64_t count) {
    return {larger(t.seen.begin, begin), smaller(t.seen.end, begin + count)};
  }

  const Attention<T>& a_;
  const Segment<T>& s_;
  int64_t first_, queries_, share_, head_;
  GroupRows<T> keys_, values_;
  KeyRange all_;
  int64_t line_, block_;
  PackedGroup<T> packed_;
  T *block_memory_, *scores_;
};

// A call as a list of passes: several small ones are a task, and of a segment those that see most
// keys come first.
template <class T>
class AttentionPlan {
 public:
  AttentionPlan(Context& ctx, const Attention<T>& a) : ctx_(ctx), a_(a) {
    int64_t passes = 0, packed = 0;
    for_segments([&](int64_t, const Segment<T>& s, int64_t queries) {
      passes += ceil_div(s.rows, queries) * a.groups;
      packed += queries < s.rows ? a.groups * packed_size(s) : 0;
    });
    const int64_t integers = passes * (sizeof(Pass) / sizeof(int64_t) + 1);
    const int64_t bytes = (integers + 16) * sizeof(int64_t) + (packed + 64) * sizeof(T);
    passes_ = static_cast<Pass*>(op_scratch(static_cast<size_t>(bytes)));
    ends_ = reinterpret_cast<int64_t*>(passes_ + passes);
    packed_ = align_up(reinterpret_cast<T*>(ends_ + passes));
    list(passes);
  }

  void run() {
    int64_t offset = 0;
    for_segments([&](int64_t, const Segment<T>& s, int64_t queries) {
      if (queries == s.rows) return;
      pack(s, offset);
      offset += a_.groups * packed_size(s);
    });
    parallel_for(ctx_, tasks_, [&](int64_t task) {
      for (int64_t i = task == 0 ? 0 : ends_[task - 1]; i < ends_[task]; ++i) {
        const Pass& p = passes_[i];
        const Segment<T>& s = a_.segments[p.segment];
        AttentionPass<T>(a_, s, p.group, p.first, p.queries,
                         p.offset < 0 ? PackedGroup<T>{} : packed_group(s, p.group, p.offset))
            .run();
      }
    });
  }

 private:
  struct Pass {
    int64_t segment, group, first, queries, offset;  // offset of the segment's packed keys, or -1
  };

  // f(index, segment, queries of a pass)
  template <class F>
  void for_segments(const F& f) const {
    for (int64_t i = 0; i < a_.segment_count; ++i) {
      if (a_.segments[i].rows > 0) f(i, a_.segments[i], pass_queries(a_, a_.segments[i]));
    }
  }

  void list(int64_t passes) {
    int64_t count = 0, cost = 0, offset = 0;
    for_segments([&](int64_t i, const Segment<T>& s, int64_t queries) {
      const bool alone = queries == s.rows;
      for (int64_t first = (s.rows - 1) / queries * queries; first >= 0; first -= queries) {
        const int64_t rows = smaller(queries, s.rows - first);
        const KeyRange seen = seen_keys<T>(s.past_rows + first, rows, a_.window);
        for (int64_t group = 0; group < a_.groups; ++group) {
          passes_[count++] = {i, group, first, rows, alone ? -1 : offset};
          cost += seen.count() * (rows * (a_.heads / a_.groups) + 2) * (a_.width / 4 + 4);
          if (cost < kChunkCost && count < passes) continue;
          ends_[tasks_++] = count;
          cost = 0;
        }
      }
      if (!alone) offset += a_.groups * packed_size(s);
    });
  }

  KeyRange keys_of(const Segment<T>& s) const {
    return seen_keys<T>(s.past_rows, s.rows, a_.window);
  }
  // Elements for one group.
  int64_t packed_size(const Segment<T>& s) const {
    const int64_t keys = padded<T>(keys_of(s).count());
    return keys * (a_.width + padded<T>(a_.width));
  }
  PackedGroup<T> packed_group(const Segment<T>& s, int64_t group, int64_t offset) const {
    const KeyRange all = keys_of(s);
    T* k = packed_ + offset + group * packed_size(s);
    return {k, k + padded<T>(all.count()) * a_.width, all.begin, padded<T>(all.count())};
  }
  void pack(const Segment<T>& s, int64_t offset) const {
    constexpr int64_t kRange = 256;  // keys a task
    const KeyRange all = keys_of(s);
    const int64_t ranges = ceil_div(all.count(), kRange);
    parallel_for(ctx_, ranges * a_.groups, [&](int64_t task) {
      const int64_t group = task % a_.groups, first = task / a_.groups * kRange;
      const int64_t count = smaller(kRange, all.count() - first), begin = all.begin + first;
      const PackedGroup<T> to = packed_group(s, group, offset);
      const auto keys = group_rows<T>(s, s.past_k, a_.k, group, a_.groups, a_.width);
      const auto values = group_rows<T>(s, s.past_v, a_.v, group, a_.groups, a_.width);
      pack_keys(
          count, count, a_.width, [&](int64_t j) { return keys(begin + j); },
          to.k + first * a_.width);
      pack_rows(
          count, count, a_.width, [&](int64_t j) { return values(begin + j); }, to.length, T(1),
          to.v + first * Simd<T>::kWidth);
    });
  }

  Context& ctx_;
  const Attention<T>& a_;
  Pass* passes_;
  int64_t* ends_;  // of the passes of each task
  T* packed_;
  int64_t tasks_ = 0;
};

}  // namespace
}  // namespace keyheads::ops
