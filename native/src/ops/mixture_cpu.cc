#include "ops/mixture.h"
#include "ops/reduce.h"
#include "ops/vector_math.h"

namespace keyheads::ops {
namespace {

using D = Simd<double>;

// How many come before x[e] in descending order.
template <class T>
KEYHEADS_INLINE int64_t rank_of(const T* x, int64_t n, int64_t e) {
  int64_t rank = 0;
  for (int64_t j = 0; j < n; ++j) rank += x[j] > x[e] || (x[j] == x[e] && j < e);
  return rank;
}

template <class T>
void route_impl(Context& ctx, const Route<T>& a) {
  const int64_t n = a.logits.cols;
  for_rows(ctx, a.logits.rows, n * (n + 8), [&](int64_t m) {
    const T* x = a.logits.row(m);
    T* w = a.weights.row(m);
    const T top = row_max(x, n);
    double sum = 0;
    for (int64_t e = 0; e < n; ++e) {
      w[e] = rank_of(x, n, e) < a.chosen ? exp_of(x[e] - top) : T(0);
      sum += static_cast<double>(w[e]);
    }
    for (int64_t e = 0; e < n; ++e) w[e] = static_cast<T>(static_cast<double>(w[e]) / sum);
  });
}

template <class T>
void route_backward_impl(Context& ctx, const RouteBackward<T>& a) {
  for_rows(ctx, a.weights.rows, 4 * a.weights.cols, [&](int64_t m) {
    const T* w = a.weights.row(m);
    const T* dw = a.dweights.row(m);
    T* dx = a.dlogits.row(m);
    double mean = 0;
    for (int64_t e = 0; e < a.weights.cols; ++e) {
      mean += static_cast<double>(w[e]) * static_cast<double>(dw[e]);
    }
    for (int64_t e = 0; e < a.weights.cols; ++e) dx[e] = w[e] * (dw[e] - static_cast<T>(mean));
  });
}

template <class T>
void choices_impl(Context& ctx, const Choices<T>& a) {
  const int64_t n = a.logits.cols;
  for_rows(ctx, a.logits.rows, n * n, [&](int64_t m) {
    for (int64_t i = 0; i < a.y.cols; ++i) a.y.row(m)[i] = 0;  // a row with NaN leaves some out
    for (int64_t e = 0; e < n; ++e) {
      const int64_t rank = rank_of(a.logits.row(m), n, e);
      if (rank < a.y.cols) a.y.row(m)[rank] = static_cast<T>(e);
    }
  });
}

template <class T>
void mix_expert_impl(Context& ctx, const MixExpert<T>& a) {
  for_rows(ctx, a.x.rows, 2 * a.x.cols, [&](int64_t i) {
    const T weight = a.weights.row(a.rows[i])[a.expert];
    const T* x = a.x.row(i);
    T* y = a.y.row(a.rows[i]);
    for (int64_t c = 0; c < a.x.cols; ++c) y[c] += weight * x[c];
  });
}

template <class T>
void mix_expert_backward_impl(Context& ctx, const MixExpertBackward<T>& a) {
  for_rows(ctx, a.x.rows, 4 * a.x.cols, [&](int64_t i) {
    const T weight = a.weights.row(a.rows[i])[a.expert];
    const T* x = a.x.row(i);
    const T* dy = a.dy.row(a.rows[i]);
    T* dx = a.dx.row(i);
    for (int64_t c = 0; c < a.x.cols; ++c) dx[c] = weight * dy[c];
    const auto sums = double_sums<1>(a.x.cols, 0, [&](auto* sum, const auto& load) {
      sum[0] = D::fma(load(dy), load(x), sum[0]);
    });
    a.dweights.row(a.rows[i])[a.expert] = static_cast<T>(sums.value[0]);
  });
}

}  // namespace

DEFINE_OP(route, Route)
DEFINE_OP(route_backward, RouteBackward)
DEFINE_OP(choices, Choices)
DEFINE_OP(mix_expert, MixExpert)
DEFINE_OP(mix_expert_backward, MixExpertBackward)

}  // namespace keyheads::ops
