#include "ops/attention.h"
#include "ops/attention_blocks.h"
#include "ops/attention_gradient.h"

namespace keyheads::ops {
namespace {

// Calls f(segment, group) for all of both, in parallel; the small ones several at a time.
template <class T, class F>
KEYHEADS_INLINE void for_groups(Context& ctx, const Segment<T>* segments, int64_t segment_count,
                                int64_t groups, int64_t heads, int64_t width, const F& f) {
  int64_t entries = 0;
  for (int64_t i = 0; i < segment_count; ++i) {
    entries += segments[i].rows * (segments[i].rows + segments[i].past_rows);
  }
  const int64_t tasks = segment_count * groups;
  const int64_t cost = entries * heads * (width / 4 + 4) / larger<int64_t>(tasks, 1);
  for_rows(ctx, tasks, cost, [&](int64_t task) { f(task / groups, task % groups); });
}

// A task is a segment and a group: its keys and values are packed once for all its query heads.
template <class T>
void attention_impl(Context& ctx, const Attention<T>& a) {
  const int64_t share = a.heads / a.groups;
  for_groups(ctx, a.segments, a.segment_count, a.groups, a.heads, a.width,
             [&](int64_t index, int64_t group) {
               const Segment<T>& s = a.segments[index];
               const int64_t keys = s.past_rows + s.rows;
               const int64_t line = padded<T>(keys);
               Arena<T> arena(line * a.width + keys * padded<T>(a.width) + kTileRows * line);
               T* k = arena.take(line * a.width);
               T* v = arena.take(keys * padded<T>(a.width));
               T* p = arena.take(kTileRows * line);
               const auto key = [&](int64_t j) {
                 return j < s.past_rows ? s.past_k + (j * a.groups + group) * a.width
                                        : a.k.row(s.row + j - s.past_rows) + group * a.width;
               };
               pack_keys(keys, a.width, key, k);
               if (s.past_rows > 0) {
                 const T* past = s.past_v + group * a.width;
                 pack_rows<T>({past, s.past_rows, a.width, a.groups * a.width}, 0, keys, T(1), v);
               }
               pack_rows(part(a.v, s.row, s.rows, group, a.width), s.past_rows, keys, T(1), v);
               for (int64_t h = group * share; h < (group + 1) * share; ++h) {
                 const Mat<const T> q = part(a.q, s.row, s.rows, h, a.width);
                 const Mat<T> z = part(a.z, s.row, s.rows, h, a.width);
                 for_tiles(s.rows, [&](int64_t i, int64_t count) {
                   const int64_t end = s.past_rows + i + count;  // keys that the last query sees
                   tile_rows<T>(count, {q.row(i), q.stride, 1}, keys_right(k, a.width),
                                {p, line, end, false}, a.width);
                   softmax_lines(p, line, count, s.past_rows + i + 1, a.scale, end);
                   tile_rows<T>(count, {p, line, 1}, rows_right(v, keys),
                                {z.row(i), z.stride, a.width, false}, end);
                 });
               }
             });
}

template <class T>
void attention_backward_impl(Context& ctx, const AttentionBackward<T>& a) {
  for_groups(ctx, a.segments, a.segment_count, a.groups, a.heads, a.width,
             [&](int64_t index, int64_t group) {
               AttentionGradient<T>(a, a.segments[index], group).run();
             });
}

// The same in steps, over pattern buffers [heads, n, n] of each segment.

template <class T>
void attention_scores_impl(Context& ctx, const AttentionScores<T>& a) {
  const int64_t share = a.heads / a.groups;
  for_groups(ctx, a.segments, a.segment_count, a.groups, a.heads, a.width,
             [&](int64_t index, int64_t group) {
               const Segment<T>& s = a.segments[index];
               const int64_t n = s.rows;
               Arena<T> arena(padded<T>(n) * a.width);
               T* k = arena.take(padded<T>(n) * a.width);
               pack_keys(part(a.k, s.row, n, group, a.width), k);
               for (int64_t h = group * share; h < (group + 1) * share; ++h) {
                 const Mat<const T> q = part(a.q, s.row, n, h, a.width);
                 T* scores = a.scores + a.pattern_offsets[index] + h * n * n;
                 for_tiles(n, [&](int64_t i, int64_t count) {
                   tile_rows<T>(count, {q.row(i), q.stride, 1}, keys_right(k, a.width),
                                {scores + i * n, n, i + count, false}, a.width);
                   for (int64_t r = i; r < i + count; ++r) {
                     for (int64_t j = 0; j <= r; ++j) scores[r * n + j] *= a.scale;
                     for (int64_t j = r + 1; j < n; ++j)
                       scores[r * n + j] = -static_cast<T>(__builtin_inf());
                   }
                 });
               }
             });
}

// f(offset of a row of the pattern buffers, its length) for all rows
template <class T, class F>
KEYHEADS_INLINE void for_pattern_rows(Context& ctx, const Segment<T>* segments,
                                      const int64_t* offsets, int64_t segment_count, int64_t heads,
                                      const F& f) {
  parallel_for(ctx, segment_count * heads, [&](int64_t task) {
    const int64_t n = segments[task / heads].rows;
    const int64_t start = offsets[task / heads] + task % heads * n * n;
    for (int64_t i = 0; i < n; ++i) f(start + i * n, n);
  });
}

template <class T>
void attention_softmax_impl(Context& ctx, const AttentionSoftmax<T>& a) {
  for_pattern_rows(ctx, a.segments, a.pattern_offsets, a.segment_count, a.heads,
                   [&](int64_t row, int64_t n) {
                     T* line = Arena<T>(padded<T>(n)).take(padded<T>(n));
                     for (int64_t j = 0; j < n; ++j) line[j] = a.scores[row + j];
                     softmax_lines(line, n, 1, n, T(1), n);
                     for (int64_t j = 0; j < n; ++j) a.pattern[row + j] = line[j];
                   });
}

template <class T>
void attention_softmax_backward_impl(Context& ctx, const AttentionSoftmaxBackward<T>& a) {
  for_pattern_rows(ctx, a.segments, a.pattern_offsets, a.segment_count, a.heads,
                   [&](int64_t row, int64_t n) {
                     softmax_row_backward(a.dscores + row, a.dpattern + row, a.pattern + row, n);
                   });
}

template <class T>
void attention_mix_impl(Context& ctx, const AttentionMix<T>& a) {
  const int64_t share = a.heads / a.groups;
  for_groups(ctx, a.segments, a.segment_count, a.groups, a.heads, a.width,
             [&](int64_t index, int64_t group) {
               const Segment<T>& s = a.segments[index];
               const int64_t n = s.rows;
               Arena<T> arena(n * padded<T>(a.width) + kTileRows * n);
               T* v = arena.take(n * padded<T>(a.width));
               T* p = arena.take(kTileRows * n);
               pack_rows(part(a.v, s.row, n, group, a.width), 0, n, T(1), v);
               for (int64_t h = group * share; h < (group + 1) * share; ++h) {
                 const T* pattern = a.pattern + a.pattern_offsets[index] + h * n * n;
                 const Mat<T> z = part(a.z, s.row, n, h, a.width);
                 for_tiles(n, [&](int64_t i, int64_t count) {
                   for (int64_t r = 0; r < count; ++r) {
                     copy_causal(p + r * n, pattern + (i + r) * n, i + r, i + count);
                   }
                   tile_rows<T>(count, {p, n, 1}, rows_right(v, n),
                                {z.row(i), z.stride, a.width, false}, i + count);
                 });
               }
             });
}

template <class T>
void attention_mix_backward_impl(Context& ctx, const AttentionMixBackward<T>& a) {
  const int64_t share = a.heads / a.groups;
  for_groups(ctx, a.segments, a.segment_count, a.groups, a.heads, a.width,
             [&](int64_t index, int64_t group) {
               const Segment<T>& s = a.segments[index];
               const int64_t n = s.rows, line = padded<T>(n), wide = padded<T>(a.width);
               Arena<T> arena(line * a.width + kQueries * (wide + n));
               T* v = arena.take(line * a.width);
               T* dz_rows = arena.take(kQueries * wide);
               T* p = arena.take(kQueries * n);
               pack_keys(part(a.v, s.row, n, group, a.width), v);
               const Mat<T> dv = part(a.dv, s.row, n, group, a.width);
               set_zero(dv);
               for (int64_t h = group * share; h < (group + 1) * share; ++h) {
                 const int64_t start = a.pattern_offsets[index] + h * n * n;
                 for (int64_t i = 0; i < n; i += kQueries) {
                   const int64_t count = smaller(kQueries, n - i);
                   const Mat<const T> dz = part(a.dz, s.row + i, count, h, a.width);
                   multiply<T>(count, {dz.data, dz.stride, 1}, keys_right(v, a.width),
                               {a.dpattern + start + i * n, n, n, false}, a.width);
                   for (int64_t r = 0; r < count; ++r) {
                     for (int64_t j = i + r + 1; j < n; ++j)
                       a.dpattern[start + (i + r) * n + j] = 0;
                     copy_causal(p + r * n, a.pattern + start + (i + r) * n, i + r, i + count);
                   }
                   pack_rows(dz, 0, kQueries, T(1), dz_rows);
                   add_transposed<T>({dv.data, i + count, a.width, dv.stride}, {p, count, n, n}, i,
                                     rows_right(dz_rows, kQueries));
                 }
               }
             });
}

template <class T>
void attention_scores_backward_impl(Context& ctx, const AttentionScoresBackward<T>& a) {
  const int64_t share = a.heads / a.groups;
  for_groups(ctx, a.segments, a.segment_count, a.groups, a.heads, a.width,
             [&](int64_t index, int64_t group) {
               const Segment<T>& s = a.segments[index];
               const int64_t n = s.rows, wide = padded<T>(a.width);
               Arena<T> arena(n * wide + kQueries * (wide + n));
               T* k_rows = arena.take(n * wide);
               T* q_rows = arena.take(kQueries * wide);
               T* ds = arena.take(kQueries * n);
               pack_rows(part(a.k, s.row, n, group, a.width), 0, n, a.scale, k_rows);
               const Mat<T> dk = part(a.dk, s.row, n, group, a.width);
               set_zero(dk);
               for (int64_t h = group * share; h < (group + 1) * share; ++h) {
                 const T* dscores = a.dscores + a.pattern_offsets[index] + h * n * n;
                 for (int64_t i = 0; i < n; i += kQueries) {
                   const int64_t count = smaller(kQueries, n - i);
                   const Mat<const T> q = part(a.q, s.row + i, count, h, a.width);
                   const Mat<T> dq = part(a.dq, s.row + i, count, h, a.width);
                   for (int64_t r = 0; r < count; ++r) {
                     copy_causal(ds + r * n, dscores + (i + r) * n, i + r, i + count);
                   }
                   multiply<T>(count, {ds, n, 1}, rows_right(k_rows, n),
                               {dq.data, dq.stride, a.width, false}, i + count);
                   pack_rows(q, 0, kQueries, a.scale, q_rows);
                   add_transposed<T>({dk.data, i + count, a.width, dk.stride}, {ds, count, n, n}, i,
                                     rows_right(q_rows, kQueries));
                 }
               }
             });
}

}  // namespace

DEFINE_OP(attention, Attention)
DEFINE_OP(attention_backward, AttentionBackward)
DEFINE_OP(attention_scores, AttentionScores)
DEFINE_OP(attention_softmax, AttentionSoftmax)
DEFINE_OP(attention_mix, AttentionMix)
DEFINE_OP(attention_mix_backward, AttentionMixBackward)
DEFINE_OP(attention_softmax_backward, AttentionSoftmaxBackward)
DEFINE_OP(attention_scores_backward, AttentionScoresBackward)

}  // namespace keyheads::ops
