#include "ops/loss.h"
#include "ops/rows.h"

namespace keyheads::ops {
namespace {

template <class T>
struct RowMaximum {
  T value;
  int32_t index;
};

template <class T>
RowMaximum<T> maximum(const T* x, int64_t n) {
  RowMaximum<T> best{x[0], 0};
  for (int64_t i = 1; i < n; ++i) {
    if (x[i] > best.value) best = {x[i], static_cast<int32_t>(i)};
  }
  return best;
}

template <class T>
T log_sum_exp(const T* x, int64_t n, T top) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += __builtin_exp(static_cast<double>(x[i] - top));
  return static_cast<T>(static_cast<double>(top) + __builtin_log(sum));
}

template <class T>
void cross_entropy_impl(Context& ctx, const CrossEntropy<T>& a) {
  for_rows(ctx, a.logits.rows, 8 * a.logits.cols, [&](int64_t r) {
    const T* x = a.logits.row(r);
    const int64_t n = a.logits.cols;
    const T total = log_sum_exp(x, n, maximum(x, n).value);
    a.loss[r] = total - x[a.targets[r]];
    if (!a.dlogits.data) return;
    T* dx = a.dlogits.row(r);
    for (int64_t i = 0; i < n; ++i) {
      const T p = static_cast<T>(__builtin_exp(static_cast<double>(x[i] - total)));
      dx[i] = a.weights[r] * (p - (i == a.targets[r] ? T(1) : T(0)));
    }
  });
}

template <class T>
void row_summary_impl(Context& ctx, const RowSummary<T>& a) {
  for_rows(ctx, a.logits.rows, 8 * a.logits.cols, [&](int64_t r) {
    const T* x = a.logits.row(r);
    const RowMaximum<T> best = maximum(x, a.logits.cols);
    if (a.argmax) a.argmax[r] = best.index;
    if (a.logsumexp) a.logsumexp[r] = log_sum_exp(x, a.logits.cols, best.value);
  });
}

}  // namespace

DEFINE_OP(cross_entropy, CrossEntropy)
DEFINE_OP(row_summary, RowSummary)

}  // namespace keyheads::ops
