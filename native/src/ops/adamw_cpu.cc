#include "ops/adamw.h"
#include "ops/reduce.h"

namespace keyheads::ops {
namespace {

template <class T>
void sum_of_squares_impl(Context& ctx, const SumOfSquares<T>& a) {
  using D = Simd<double>;
  constexpr int64_t kPiece = 16384;
  const int64_t pieces = ceil_div(a.count, kPiece);
  auto* partial = static_cast<double*>(op_scratch(static_cast<size_t>(pieces) * sizeof(double)));
  parallel_for(ctx, pieces, [&](int64_t i) {
    const T* x = a.x + i * kPiece;
    partial[i] =
        double_sums<1>(smaller(kPiece, a.count - i * kPiece), 0, [&](D::V* sum, const auto& load) {
          const D::V value = load(x);
          sum[0] = D::fma(value, value, sum[0]);
        }).value[0];
  });
  double sum = 0;
  for (int64_t i = 0; i < pieces; ++i) sum += partial[i];
  a.out[0] = sum;
}

// A panel of the weight has its rows side by side; moments and gradients have them one after the
// other. In blocks of few columns the panel's lines stay in the cache from row to row.
template <class T>
void adamw_impl(Context& ctx, const AdamW<T>& a) {
  constexpr int64_t kColumns = 64, kRows = 16;
  const T factor = static_cast<T>(a.factor);
  const T beta1 = static_cast<T>(a.beta1), rest1 = static_cast<T>(1 - a.beta1);
  const T beta2 = static_cast<T>(a.beta2), rest2 = static_cast<T>(1 - a.beta2);
  const T keep = static_cast<T>(1 - a.lr * a.weight_decay);
  const T step = static_cast<T>(a.lr / a.correction1);
  const T root = static_cast<T>(1 / __builtin_sqrt(a.correction2)), eps = static_cast<T>(a.eps);
  const int64_t columns = a.gradient.cols;
  for_ranges(ctx, a.gradient.rows, 8 * columns, kRows, [&](int64_t begin, int64_t end) {
    for (int64_t first = 0; first < columns; first += kColumns) {
      const int64_t count = smaller(kColumns, columns - first);
      for (int64_t r = begin; r < end; ++r) {
        T* gradient = a.gradient.row(r) + first;
        T* m = a.m + r * columns + first;
        T* v = a.v + r * columns + first;
        T change[kColumns];
        for (int64_t c = 0; c < count; ++c) {
          const T g = factor * gradient[c];
          gradient[c] = 0;
          m[c] = beta1 * m[c] + rest1 * g;
          v[c] = beta2 * v[c] + rest2 * (g * g);
          const T size = sizeof(T) == 4 ? static_cast<T>(__builtin_sqrtf(v[c]))
                                        : static_cast<T>(__builtin_sqrt(v[c]));
          change[c] = step * m[c] / (size * root + eps);
        }
        if constexpr (sizeof(T) == sizeof(float)) {
          if (a.w.storage == Storage::bf16) {
            const Panels<Bf16Pair> w = a.w.bf16();
            T* p = a.master + r * columns + first;
            for (int64_t c = 0; c < count; ++c) {
              const int64_t row = a.n0 + r, col = a.k0 + first + c;
              p[c] = master_value(read_element(w, row, col), p[c]) * keep - change[c];
              write_element(w, row, col, p[c]);
            }
            continue;
          }
        }
        T* w = &a.w.full().at(a.n0 + r, a.k0 + first);
        for (int64_t c = 0; c < count; ++c) w[c * kPanel] = w[c * kPanel] * keep - change[c];
      }
    }
  });
}

}  // namespace

DEFINE_OP(sum_of_squares, SumOfSquares)
DEFINE_OP(adamw, AdamW)

}  // namespace keyheads::ops
