// The backward pass of fused attention for one sequence and group. A leaf header.
#pragma once
#include "ops/attention_blocks.h"

namespace keyheads::ops {
namespace {

// Queries go in blocks whose pattern is recomputed; the gradients of keys and values grow from
// block to block and from head to head of the group.
template <class T>
class AttentionGradient {
 public:
  AttentionGradient(const AttentionBackward<T>& a, const Segment<T>& s, int64_t group)
      : a_(a), s_(s), group_(group), line_(padded<T>(s.rows)), arena_(size()) {
    k_ = arena_.take(line_ * a.width);
    v_ = arena_.take(line_ * a.width);
    k_rows_ = arena_.take(s.rows * padded<T>(a.width));
    q_rows_ = arena_.take(kQueries * padded<T>(a.width));
    dz_rows_ = arena_.take(kQueries * padded<T>(a.width));
    p_ = {arena_.take(kQueries * line_), 0, s.rows, line_};
    ds_ = {arena_.take(kQueries * line_), 0, s.rows, line_};
  }

  void run() {
    const auto of_group = [&](const auto& m) { return part(m, s_.row, s_.rows, group_, a_.width); };
    const Mat<const T> k = of_group(a_.k), v = of_group(a_.v);
    dk_ = of_group(a_.dk);
    dv_ = of_group(a_.dv);
    pack_keys(k, k_);
    pack_keys(v, v_);
    pack_rows(k, 0, s_.rows, a_.scale, k_rows_);
    set_zero(dk_);
    set_zero(dv_);
    const int64_t share = a_.heads / a_.groups;
    for (int64_t h = group_ * share; h < (group_ + 1) * share; ++h) {
      for (int64_t i = 0; i < s_.rows; i += kQueries) block(h, i, smaller(kQueries, s_.rows - i));
    }
  }

 private:
  int64_t size() const {
    const int64_t width = padded<T>(a_.width);
    return 2 * line_ * a_.width + (s_.rows + 2 * kQueries) * width + 2 * kQueries * line_;
  }

  void block(int64_t h, int64_t first, int64_t count) {
    const auto of_head = [&](const auto& m) { return part(m, s_.row + first, count, h, a_.width); };
    const Mat<const T> q = of_head(a_.q), dz = of_head(a_.dz);
    const Mat<T> dq = of_head(a_.dq);
    p_.rows = ds_.rows = count;
    const int64_t end = first + count;
    for_tiles(count, [&](int64_t i, int64_t rows) {
      const int64_t seen = first + i + rows;
      tile_rows<T>(rows, {q.row(i), q.stride, 1}, keys_right(k_, a_.width),
                   {p_.row(i), line_, seen, false}, a_.width);
      tile_rows<T>(rows, {dz.row(i), dz.stride, 1}, keys_right(v_, a_.width),
                   {ds_.row(i), line_, seen, false}, a_.width);
      softmax_lines(p_.row(i), line_, rows, first + i + 1, a_.scale, end);
      for (int64_t r = i; r < i + rows; ++r) {
        T* ds = ds_.row(r);
        const int64_t length = padded<T>(end);
        for (int64_t j = first + r + 1; j < length; ++j) ds[j] = 0;
        softmax_row_backward(ds, ds, p_.row(r), length);
      }
      tile_rows<T>(rows, {ds_.row(i), line_, 1}, rows_right(k_rows_, s_.rows),
                   {dq.row(i), dq.stride, a_.width, false}, seen);
    });
    pack_rows(q, 0, kQueries, a_.scale, q_rows_);
    pack_rows(dz, 0, kQueries, T(1), dz_rows_);
    const auto seen_keys = [&](Mat<T> d) { return Mat<T>{d.data, end, d.cols, d.stride}; };
    add_transposed<T>(seen_keys(dk_), ds_, first, rows_right(q_rows_, kQueries));
    add_transposed<T>(seen_keys(dv_), p_, first, rows_right(dz_rows_, kQueries));
  }

  const AttentionBackward<T>& a_;
  const Segment<T>& s_;
  int64_t group_, line_;
  Arena<T> arena_;
  T *k_, *v_, *k_rows_, *q_rows_, *dz_rows_;
  Mat<T> p_, ds_, dk_, dv_;
};

}  // namespace
}  // namespace keyheads::ops
