#include "ops/adamw.h"
#include "ops/rows.h"

namespace keyheads::ops {
namespace {

// Partial sums of pieces of fixed size, added in order.
template <class T>
void sum_of_squares_impl(Context& ctx, const SumOfSquares<T>& a) {
  constexpr int64_t kPiece = 16384;
  const int64_t pieces = ceil_div(a.count, kPiece);
  auto* partial =
      static_cast<double*>(op_scratch(static_cast<size_t>(pieces + 1) * sizeof(double)));
  parallel_for(ctx, pieces, [&](int64_t i) {
    double sum = 0;
    const int64_t end = smaller(a.count, (i + 1) * kPiece);
    for (int64_t j = i * kPiece; j < end; ++j) {
      sum += static_cast<double>(a.x[j]) * static_cast<double>(a.x[j]);
    }
    partial[i] = sum;
  });
  double sum = 0;
  for (int64_t i = 0; i < pieces; ++i) sum += partial[i];
  a.out[0] = sum;
}

template <class T>
void adamw_impl(Context& ctx, const AdamW<T>& a) {
  const T factor = static_cast<T>(a.factor);
  const T beta1 = static_cast<T>(a.beta1), rest1 = static_cast<T>(1 - a.beta1);
  const T beta2 = static_cast<T>(a.beta2), rest2 = static_cast<T>(1 - a.beta2);
  const T keep = static_cast<T>(1 - a.lr * a.weight_decay);
  const T step = static_cast<T>(a.lr / a.correction1);
  const T root = static_cast<T>(1 / __builtin_sqrt(a.correction2)), eps = static_cast<T>(a.eps);
  const int64_t columns = a.gradient.cols;
  for_rows(ctx, a.gradient.rows, 8 * columns, [&](int64_t r) {
    T* gradient = a.gradient.row(r);
    T* m = a.m + r * columns;
    T* v = a.v + r * columns;
    T* w = &a.w.at(a.n0 + r, a.k0);
    for (int64_t c = 0; c < columns; ++c) {
      const T g = factor * gradient[c];
      gradient[c] = 0;
      m[c] = beta1 * m[c] + rest1 * g;
      v[c] = beta2 * v[c] + rest2 * (g * g);
      const T denominator = __builtin_sqrt(v[c]) * root + eps;
      w[c * kPanel] = w[c * kPanel] * keep - step * m[c] / denominator;
    }
  });
}

}  // namespace

DEFINE_OP(sum_of_squares, SumOfSquares)
DEFINE_OP(adamw, AdamW)

}  // namespace keyheads::ops
