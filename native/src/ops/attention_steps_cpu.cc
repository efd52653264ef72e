#include "ops/attention_blocks.h"
#include "ops/attention_steps.h"

namespace keyheads::ops {
namespace {

// One segment and group: n queries a head, `keys` keys of which the first `past` are not ours.
template <class T>
struct Part {
  const Segment<T>& s;
  int64_t index, group, n, past, keys;
};

// Calls f(part) for all segments and groups, in parallel; the small ones several at a time.
template <class T, class Args, class F>
KEYHEADS_INLINE void for_parts(Context& ctx, const Args& a, const F& f) {
  int64_t entries = 0;
  for (int64_t i = 0; i < a.segment_count; ++i) {
    entries += a.segments[i].rows * (a.segments[i].rows + a.segments[i].past_rows);
  }
  const int64_t tasks = a.segment_count * a.groups;
  const int64_t cost = entries * a.heads * (a.width / 4 + 4) / larger<int64_t>(tasks, 1);
  for_rows(ctx, tasks, cost, [&](int64_t task) {
    const Segment<T>& s = a.segments[task / a.groups];
    f(Part<T>{s, task / a.groups, task % a.groups, s.rows, s.past_rows, s.past_rows + s.rows});
  });
}

// Calls f(head, offset of its pattern) for the query heads of a part.
template <class T, class Args, class F>
KEYHEADS_INLINE void for_heads(const Args& a, const Part<T>& part, const F& f) {
  const int64_t share = a.heads / a.groups;
  for (int64_t h = part.group * share; h < (part.group + 1) * share; ++h) {
    f(h, a.pattern_offsets[part.index] + h * part.n * part.keys);
  }
}

template <class T>
void attention_scores_impl(Context& ctx, const AttentionScores<T>& a) {
  for_parts<T>(ctx, a, [&](const Part<T>& x) {
    const int64_t size = padded<T>(x.keys) * a.width;
    T* k = Arena<T>(size).take(size);
    pack_keys(x.keys, x.keys, a.width,
              group_rows<T>(x.s, x.s.past_k, a.k, x.group, a.groups, a.width), k);
    for_heads(a, x, [&](int64_t h, int64_t offset) {
      const Mat<const T> q = part(a.q, x.s.row, x.n, h, a.width);
      for_tiles(x.n, [&](int64_t i, int64_t count) {
        const KeyRange seen = seen_keys<T>(x.past + i, count, a.window);
        T* scores = a.scores + offset + i * x.keys;
        tile_rows<T>(count, {q.row(i), q.stride, 1}, keys_right(k + seen.begin * a.width, a.width),
                     {scores + seen.begin, x.keys, seen.count(), false}, a.width);
        for (int64_t r = 0; r < count; ++r) {
          T* row = scores + r * x.keys;
          const int64_t query = x.past + i + r, first = first_key(query, a.window);
          const int64_t visible = query + 1 - first;
          const T scale = cap_lines(row + first, 0, 1, visible, a.scale, a.cap);
          for (int64_t j = 0; j < visible; ++j) row[first + j] *= scale;
          for (int64_t j = 0; j < first; ++j) row[j] = -static_cast<T>(__builtin_inf());
          for (int64_t j = query + 1; j < x.keys; ++j) row[j] = -static_cast<T>(__builtin_inf());
        }
      });
    });
  });
}

// f(offset of a row of the pattern buffers, its length) for all rows
template <class T, class Args, class F>
KEYHEADS_INLINE void for_pattern_rows(Context& ctx, const Args& a, const F& f) {
  parallel_for(ctx, a.segment_count * a.heads, [&](int64_t task) {
    const Segment<T>& s = a.segments[task / a.heads];
    const int64_t keys = s.past_rows + s.rows;
    const int64_t start = a.pattern_offsets[task / a.heads] + task % a.heads * s.rows * keys;
    for (int64_t i = 0; i < s.rows; ++i) f(start + i * keys, keys);
  });
}

template <class T>
void attention_softmax_impl(Context& ctx, const AttentionSoftmax<T>& a) {
  for_pattern_rows<T>(ctx, a, [&](int64_t row, int64_t keys) {
    T* line = Arena<T>(padded<T>(keys)).take(padded<T>(keys));
    for (int64_t j = 0; j < keys; ++j) line[j] = a.scores[row + j];
    softmax_lines(line, keys, 1, keys, 0, 0, T(1), keys);
    for (int64_t j = 0; j < keys; ++j) a.pattern[row + j] = line[j];
  });
}

template <class T>
void attention_softmax_backward_impl(Context& ctx, const AttentionSoftmaxBackward<T>& a) {
  for_pattern_rows<T>(ctx, a, [&](int64_t row, int64_t keys) {
    softmax_row_backward(a.dscores + row, a.dpattern + row, a.pattern + row, keys);
  });
}

// The keys behind which all of some rows of a pattern are zero, and before which: zero weights at
// either end of a chain change no bit.
template <class T>
KEYHEADS_INLINE KeyRange weighted(const T* pattern, int64_t rows, int64_t keys) {
  KeyRange range{keys, 0};
  for (int64_t r = 0; r < rows; ++r) {
    const T* row = pattern + r * keys;
    int64_t begin = 0, end = keys;
    while (end > range.end && row[end - 1] == 0) --end;
    range.end = end;
    while (begin < range.begin && row[begin] == 0) ++begin;
    range.begin = begin;
  }
  return range.begin < range.end ? range : KeyRange{0, 0};
}

template <class T>
void attention_mix_impl(Context& ctx, const AttentionMix<T>& a) {
  for_parts<T>(ctx, a, [&](const Part<T>& x) {
    const int64_t size = x.keys * padded<T>(a.width);
    T* v = Arena<T>(size).take(size);
    pack_rows(x.keys, x.keys, a.width,
              group_rows<T>(x.s, x.s.past_v, a.v, x.group, a.groups, a.width), x.keys, T(1), v);
    for_heads(a, x, [&](int64_t h, int64_t offset) {
      const Mat<T> z = part(a.z, x.s.row, x.n, h, a.width);
      for_tiles(x.n, [&](int64_t i, int64_t count) {
        const T* pattern = a.pattern + offset + i * x.keys;
        const KeyRange range = weighted(pattern, count, x.keys);
        tile_rows<T>(count, {pattern + range.begin, x.keys, 1},
                     rows_right(v + range.begin * Simd<T>::kWidth, x.keys),
                     {z.row(i), z.stride, a.width, false}, range.count());
      });
    });
  });
}

template <class T>
void attention_mix_backward_impl(Context& ctx, const AttentionMixBackward<T>& a) {
  for_parts<T>(ctx, a, [&](const Part<T>& x) {
    const int64_t wide = padded<T>(a.width), size = padded<T>(x.keys) * a.width;
    Arena<T> arena(size + kQueries * wide);
    T* v = arena.take(size);
    T* dz_rows = arena.take(kQueries * wide);
    pack_keys(x.keys, x.keys, a.width,
              group_rows<T>(x.s, x.s.past_v, a.v, x.group, a.groups, a.width), v);
    const Mat<T> dv = part(a.dv, x.s.row, x.n, x.group, a.width);
    set_zero(dv);
    for_heads(a, x, [&](int64_t h, int64_t offset) {
      for (int64_t i = 0; i < x.n; i += kQueries) {
        const int64_t count = smaller(kQueries, x.n - i), first = offset + i * x.keys;
        const Mat<const T> dz = part(a.dz, x.s.row + i, count, h, a.width);
        multiply<T>(count, {dz.data, dz.stride, 1}, keys_right(v, a.width),
                    {a.dpattern + first, x.keys, x.keys, false}, a.width);
        pack_rows(dz, kQueries, T(1), dz_rows);
        const T* pattern = a.pattern + first;
        bool causal = true;
        for (int64_t r = 0; r < count && causal; ++r) {
          causal = weighted(pattern + r * x.keys, 1, x.keys).end <= x.past + i + r + 1;
        }
        const int64_t own = causal ? smaller(i + count, x.n) : x.n;
        add_transposed<T>({dv.data, own, a.width, dv.stride},
                          {pattern + x.past, count, x.keys, x.keys}, causal ? i : x.n, 0,
                          rows_right(dz_rows, kQueries));
      }
    });
  });
}

template <class T>
void attention_scores_backward_impl(Context& ctx, const AttentionScoresBackward<T>& a) {
  for_parts<T>(ctx, a, [&](const Part<T>& x) {
    const int64_t wide = padded<T>(a.width);
    Arena<T> arena(x.keys * wide + kQueries * (wide + x.keys));
    T* k_rows = arena.take(x.keys * wide);
    T* q_rows = arena.take(kQueries * wide);
    T* ds = arena.take(kQueries * x.keys);
    pack_rows(x.keys, x.keys, a.width,
              group_rows<T>(x.s, x.s.past_k, a.k, x.group, a.groups, a.width), x.keys, a.scale,
              k_rows);
    const Mat<T> dk = part(a.dk, x.s.row, x.n, x.group, a.width);
    set_zero(dk);
    for_heads(a, x, [&](int64_t h, int64_t offset) {
      for (int64_t i = 0; i < x.n; i += kQueries) {
        const int64_t count = smaller(kQueries, x.n - i);
        const KeyRange seen = seen_keys<T>(x.past + i, count, a.window);
        for (int64_t r = 0; r < count; ++r) {
          const int64_t query = x.past + i + r, row = offset + (i + r) * x.keys;
          T* line = ds + r * x.keys;
          for (int64_t j = seen.begin; j < seen.end; ++j) line[j] = 0;
          for (int64_t j = first_key(query, a.window); j <= query; ++j) {
            line[j] = a.dscores[row + j];
            if (a.cap > 0) line[j] *= cap_slope(a.scores[row + j], a.cap);
          }
        }
        const Mat<const T> q = part(a.q, x.s.row + i, count, h, a.width);
        const Mat<T> dq = part(a.dq, x.s.row + i, count, h, a.width);
        multiply<T>(count, {ds + seen.begin, x.keys, 1},
                    rows_right(k_rows + seen.begin * Simd<T>::kWidth, x.keys),
                    {dq.data, dq.stride, a.width, false}, seen.count());
        pack_rows(q, kQueries, a.scale, q_rows);
        const int64_t own = larger(seen.begin, x.past);  // the first key that is ours
        add_transposed<T>({dk.row(own - x.past), seen.end - own, a.width, dk.stride},
                          {ds + own, count, x.keys, x.keys}, x.past + i - own, a.window,
                          rows_right(q_rows, kQueries));
      }
    });
  });
}

}  // namespace

DEFINE_OP(attention_scores, AttentionScores)
DEFINE_OP(attention_softmax, AttentionSoftmax)
DEFINE_OP(attention_mix, AttentionMix)
DEFINE_OP(attention_mix_backward, AttentionMixBackward)
DEFINE_OP(attention_softmax_backward, AttentionSoftmaxBackward)
DEFINE_OP(attention_scores_backward, AttentionScoresBackward)

}  // namespace keyheads::ops
