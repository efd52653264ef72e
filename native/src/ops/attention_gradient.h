// The backward pass of fused attention for one sequence and group. A leaf header.
#pragma once
#include "ops/attention_blocks.h"

namespace keyheads::ops {
namespace {

// Segments from kLongRows on are never computed side by side, since each needs memory in proportion
// to its length; those from kSharedRows on only where there are enough of them for all threads.
inline constexpr int64_t kLongRows = 4096;
inline constexpr int64_t kSharedRows = 256;

// Queries go in blocks whose pattern is recomputed; the gradients of keys and values grow from
// block to block and from head to head of the group, each a chain in that order. Threads share the
// queries of a block, and then the keys; inside a task, one does it all.
template <class T>
class AttentionGradient {
 public:
  AttentionGradient(Context& ctx, const AttentionBackward<T>& a, const Segment<T>& s, int64_t group)
      : ctx_(ctx),
        a_(a),
        s_(s),
        group_(group),
        all_(seen_keys<T>(s.past_rows, s.rows, a.window)),
        line_(line_of<T>(lines_seen())),
        arena_(size()) {
    k_ = arena_.take(padded<T>(all_.count()) * a.width);
    v_ = arena_.take(padded<T>(all_.count()) * a.width);
    k_rows_ = arena_.take(all_.count() * padded<T>(a.width));
    q_rows_ = arena_.take(kQueries * padded<T>(a.width));
    dz_rows_ = arena_.take(kQueries * padded<T>(a.width));
    p_ = {arena_.take(kQueries * line_), 0, line_, line_};
    ds_ = {arena_.take(kQueries * line_), 0, line_, line_};
    slopes_ = arena_.take(a.cap > 0 ? kQueries * line_ : 0);
  }

  void run() {
    const auto keys = group_rows<T>(s_, s_.past_k, a_.k, group_, a_.groups, a_.width);
    const auto values = group_rows<T>(s_, s_.past_v, a_.v, group_, a_.groups, a_.width);
    dk_ = part(a_.dk, s_.row, s_.rows, group_, a_.width);
    dv_ = part(a_.dv, s_.row, s_.rows, group_, a_.width);
    set_zero(dk_);
    set_zero(dv_);
    for_key_ranges(all_.count(), [&](int64_t begin, int64_t count) {
      const auto key = [&](int64_t j) { return keys(all_.begin + begin + j); };
      const auto value = [&](int64_t j) { return values(all_.begin + begin + j); };
      pack_keys(count, count, a_.width, key, k_ + begin * a_.width);
      pack_keys(count, count, a_.width, value, v_ + begin * a_.width);
      pack_rows(count, count, a_.width, key, all_.count(), a_.scale, k_rows_ + begin * kWidth);
    });
    const int64_t share = a_.heads / a_.groups;
    for (int64_t h = group_ * share; h < (group_ + 1) * share; ++h) {
      for (int64_t i = 0; i < s_.rows; i += kQueries) block(h, i, smaller(kQueries, s_.rows - i));
    }
  }

 private:
  // Keys that a block of queries sees, at most.
  int64_t lines_seen() const {
    const int64_t all = all_.count();
    return a_.window > 0 ? smaller(all, a_.window + kQueries + kWidth) : all;
  }
  int64_t size() const {
    const int64_t width = padded<T>(a_.width);
    const int64_t lines = kQueries * (a_.cap > 0 ? 3 : 2);
    const int64_t packed = 2 * padded<T>(all_.count()) * a_.width + all_.count() * width;
    return packed + 2 * kQueries * width + lines * line_;
  }

  void block(int64_t h, int64_t first, int64_t count) {
    const auto of_head = [&](const auto& m) { return part(m, s_.row + first, count, h, a_.width); };
    const Mat<const T> q = of_head(a_.q), dz = of_head(a_.dz);
    const Mat<T> dq = of_head(a_.dq);
    const int64_t query = s_.past_rows + first;
    const KeyRange seen = seen_keys<T>(query, count, a_.window);
    p_.rows = ds_.rows = count;
    const int64_t tiles = ceil_div(count, kTileRows);
    parallel_for(ctx_, tiles, [&](int64_t task) {
      const int64_t i = task * (count / tiles) + smaller(task, count % tiles);
      const int64_t rows = count / tiles + (task < count % tiles);
      tile(query + i, rows, q.row(i), q.stride, dz.row(i), dz.stride, seen, i);
      tile_rows<T>(rows, {ds_.row(i), line_, 1},
                   rows_right(k_rows_ + (seen.begin - all_.begin) * kWidth, all_.count()),
                   {dq.row(i), dq.stride, a_.width, false}, query + i + rows - seen.begin);
    });
    pack_rows(q, kQueries, a_.scale, q_rows_);
    pack_rows(dz, kQueries, T(1), dz_rows_);
    const int64_t own = larger(seen.begin, s_.past_rows);  // the first key that is ours
    for_key_ranges(seen.end - own, [&](int64_t begin, int64_t keys) {
      const auto add = [&](const Mat<T>& d, const Mat<T>& weights, const T* rows) {
        add_transposed<T>({d.row(own + begin - s_.past_rows), keys, d.cols, d.stride},
                          {weights.data + own + begin - seen.begin, count, line_, line_},
                          query - own - begin, a_.window, rows_right(rows, kQueries));
      };
      add(dk_, ds_, q_rows_);
      add(dv_, p_, dz_rows_);
    });
  }

  // f(first, count) for pieces of the keys, in parallel
  template <class F>
  void for_key_ranges(int64_t keys, const F& f) {
    constexpr int64_t kRange = 192;  // a multiple of tiles and vectors
    parallel_for(ctx_, ceil_div(keys, kRange), [&](int64_t task) {
      f(task * kRange, smaller<int64_t>(kRange, keys - task * kRange));
    });
  }

  // Pattern and gradient of the scores of a few queries, over the keys that their block sees.
  void tile(int64_t query, int64_t rows, const T* q, int64_t q_stride, const T* dz,
            int64_t dz_stride, KeyRange block, int64_t row) {
    T* p = p_.row(row);
    const KeyRange seen = seen_keys<T>(query, rows, a_.window);
    const int64_t from = seen.begin - block.begin, packed = (seen.begin - all_.begin) * a_.width;
    tile_rows<T>(rows, {q, q_stride, 1}, keys_right(k_ + packed, a_.width),
                 {p + from, line_, seen.count(), false}, a_.width);
    tile_rows<T>(rows, {dz, dz_stride, 1}, keys_right(v_ + packed, a_.width),
                 {ds_.row(row) + from, line_, seen.count(), false}, a_.width);
    const T scale = cap_lines(p + from, line_, rows, seen.count(), a_.scale, a_.cap);
    for (int64_t r = 0; r < rows && a_.cap > 0; ++r) {
      for (int64_t j = from; j < from + seen.count(); ++j) {
        slopes_[(row + r) * line_ + j] = cap_slope(p[r * line_ + j], a_.cap);
      }
    }
    softmax_lines(p, line_, rows, query + 1 - block.begin, 1, a_.window, scale, block.count());
    for (int64_t r = 0; r < rows; ++r) {
      T* ds = ds_.row(row + r);
      const int64_t length = padded<T>(block.count());
      const int64_t last = query + r + 1 - block.begin, lowest = first_key(last - 1, a_.window);
      for (int64_t j = 0; j < lowest; ++j) ds[j] = 0;
      for (int64_t j = last; j < length; ++j) ds[j] = 0;
      softmax_row_backward(ds, ds, p + r * line_, length);
      for (int64_t j = lowest; j < last && a_.cap > 0; ++j) ds[j] *= slopes_[(row + r) * line_ + j];
    }
  }

  static constexpr int64_t kWidth = Simd<T>::kWidth;

  Context& ctx_;
  const AttentionBackward<T>& a_;
  const Segment<T>& s_;
  int64_t group_;
  KeyRange all_;
  int64_t line_;
  Arena<T> arena_;
  T *k_, *v_, *k_rows_, *q_rows_, *dz_rows_, *slopes_;
  Mat<T> p_, ds_, dk_, dv_;
};

}  // namespace
}  // namespace keyheads::ops
