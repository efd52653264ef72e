#include "ops/attention.h"
#include "ops/attention_gradient.h"
#include "ops/attention_pass.h"

namespace keyheads::ops {
namespace {

template <class T>
void attention_impl(Context& ctx, const Attention<T>& a) {
  AttentionPlan<T>(ctx, a).run();
}

// A long segment goes through one after the other with all threads, the rest a task each: which way
// a segment goes changes no bit.
template <class T>
void attention_backward_impl(Context& ctx, const AttentionBackward<T>& a) {
  const int64_t tasks = a.segment_count * a.groups;
  const auto alone = [&](const Segment<T>& s) {
    return s.rows >= kLongRows || (s.rows >= kSharedRows && tasks < 2 * thread_count(ctx));
  };
  int64_t entries = 0;
  for (int64_t i = 0; i < a.segment_count; ++i) {
    const Segment<T>& s = a.segments[i];
    if (!alone(s)) entries += s.rows * (s.rows + s.past_rows);
    for (int64_t group = 0; alone(s) && group < a.groups; ++group) {
      AttentionGradient<T>(ctx, a, s, group).run();
    }
  }
  const int64_t cost = entries * a.heads * (a.width / 4 + 4) / larger<int64_t>(tasks, 1);
  for_rows(ctx, tasks, cost, [&](int64_t task) {
    const Segment<T>& s = a.segments[task / a.groups];
    if (!alone(s)) AttentionGradient<T>(ctx, a, s, task % a.groups).run();
  });
}

}  // namespace

DEFINE_OP(attention, Attention)
DEFINE_OP(attention_backward, AttentionBackward)

}  // namespace keyheads::ops
