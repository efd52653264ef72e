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
  for_groups(
      ctx, a.segments, a.segment_count, a.groups, a.heads, a.width,
      [&](int64_t index, int64_t group) {
        const Segment<T>& s = a.segments[index];
        const KeyRange all = seen_keys<T>(s.past_rows, s.rows, a.window);
        const int64_t line = padded<T>(all.count());
        Arena<T> arena(line * a.width + all.count() * padded<T>(a.width) + kTileRows * line);
        T* k = arena.take(line * a.width);
        T* v = arena.take(all.count() * padded<T>(a.width));
        T* p = arena.take(kTileRows * line);
        const auto keys = group_rows<T>(s, s.past_k, a.k, group, a.groups, a.width);
        const auto values = group_rows<T>(s, s.past_v, a.v, group, a.groups, a.width);
        pack_keys(
            all.count(), a.width, [&](int64_t j) { return keys(all.begin + j); }, k);
        pack_rows(
            all.count(), a.width, [&](int64_t j) { return values(all.begin + j); }, all.count(),
            T(1), v);
        for (int64_t h = group * share; h < (group + 1) * share; ++h) {
          const Mat<const T> q = part(a.q, s.row, s.rows, h, a.width);
          const Mat<T> z = part(a.z, s.row, s.rows, h, a.width);
          for_tiles(s.rows, [&](int64_t i, int64_t count) {
            const KeyRange seen = seen_keys<T>(s.past_rows + i, count, a.window);
            const int64_t skip = seen.begin - all.begin;
            tile_rows<T>(count, {q.row(i), q.stride, 1}, keys_right(k + skip * a.width, a.width),
                         {p, line, seen.count(), false}, a.width);
            const T scale = cap_lines(p, line, count, seen.count(), a.scale, a.cap);
            softmax_lines(p, line, count, s.past_rows + i + 1 - seen.begin, a.window, scale,
                          seen.count());
            tile_rows<T>(count, {p, line, 1}, rows_right(v + skip * Simd<T>::kWidth, all.count()),
                         {z.row(i), z.stride, a.width, false}, seen.count());
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

}  // namespace

DEFINE_OP(attention, Attention)
DEFINE_OP(attention_backward, AttentionBackward)

}  // namespace keyheads::ops
