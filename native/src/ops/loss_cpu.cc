#include "ops/loss.h"
#include "ops/reduce.h"
#include "ops/vector_math.h"

namespace keyheads::ops {
namespace {

// The maximum's lowest index; 0 if there is none that equals it (a row with NaN).
template <class T>
int32_t index_of(const T* x, int64_t n, T value) {
  constexpr int64_t kGroup = 64;
  for (int64_t i = 0; i < n; i += kGroup) {
    const int64_t end = smaller(n, i + kGroup);
    int found = 0;
    for (int64_t j = i; j < end; ++j) found |= x[j] == value;
    if (!found) continue;
    while (x[i] != value) ++i;
    return static_cast<int32_t>(i);
  }
  return 0;
}

template <class T>
T log_sum_exp(const T* x, int64_t n, T top) {
  using D = Simd<double>;
  constexpr int64_t kPiece = 256;
  double sum = 0;
  for (int64_t i = 0; i < n; i += kPiece) {
    T e[kPiece];
    const int64_t count = smaller(kPiece, n - i);
    for (int64_t j = 0; j < count; ++j) e[j] = exp_of(x[i + j] - top);
    sum += double_sums<1>(count, 0, [&](D::V* s, const auto& load) {
             s[0] = s[0] + load(e);
           }).value[0];
  }
  return static_cast<T>(static_cast<double>(top) + __builtin_log(sum));
}

template <class T>
void cross_entropy_impl(Context& ctx, const CrossEntropy<T>& a) {
  for_rows(ctx, a.logits.rows, 8 * a.logits.cols, [&](int64_t r) {
    const T* x = a.logits.row(r);
    const int64_t n = a.logits.cols, target = a.targets[r];
    const T total = log_sum_exp(x, n, row_max(x, n));
    a.loss[r] = total - x[target];
    if (!a.dlogits.data) return;
    const T weight = a.weights[r];
    T* dx = a.dlogits.row(r);
#pragma GCC ivdep  // dlogits may be logits
    for (int64_t i = 0; i < n; ++i) dx[i] = weight * exp_of(x[i] - total);
    dx[target] -= weight;
  });
}

template <class T>
void row_summary_impl(Context& ctx, const RowSummary<T>& a) {
  for_rows(ctx, a.logits.rows, (a.logsumexp ? 8 : 2) * a.logits.cols, [&](int64_t r) {
    const T* x = a.logits.row(r);
    const T top = row_max(x, a.logits.cols);
    if (a.argmax) a.argmax[r] = index_of(x, a.logits.cols, top);
    if (a.logsumexp) a.logsumexp[r] = log_sum_exp(x, a.logits.cols, top);
  });
}

}  // namespace

DEFINE_OP(cross_entropy, CrossEntropy)
DEFINE_OP(row_summary, RowSummary)

}  // namespace keyheads::ops
