#include "ops/linear.h"
#include "ops/rows.h"

namespace keyheads::ops {
namespace {

// a * b + c, rounded once where the instruction set can
template <class T>
KEYHEADS_INLINE T mul_add(T a, T b, T c) {
#ifdef __FMA__
  if constexpr (sizeof(T) == 4) return __builtin_fmaf(a, b, c);
  return __builtin_fma(a, b, c);
#else
  return a * b + c;
#endif
}

template <class T>
void linear_impl(Context& ctx, const Linear<T>& a) {
  for_rows(ctx, a.y.rows, a.w.k * a.w.n / 8, [&](int64_t m) {
    const T* x = a.x.row(m);
    for (int64_t p = 0; p < a.w.count(); ++p) {
      T sum[kPanel] = {};
      const T* w = a.w.panel(p);
      for (int64_t k = 0; k < a.w.k; ++k) {
        for (int64_t j = 0; j < kPanel; ++j) sum[j] = mul_add(x[k], w[k * kPanel + j], sum[j]);
      }
      const int64_t n = smaller(kPanel, a.w.n - p * kPanel);
      T* y = a.y.row(m) + p * kPanel;
      for (int64_t j = 0; j < n; ++j) y[j] = a.bias ? sum[j] + a.bias[p * kPanel + j] : sum[j];
    }
  });
}

template <class T>
void linear_input_grad_impl(Context& ctx, const LinearInputGrad<T>& a) {
  for_rows(ctx, a.dx.rows, a.w.k * a.w.n, [&](int64_t m) {
    const T* dy = a.dy.row(m);
    for (int64_t k = 0; k < a.w.k; ++k) {
      T sum = 0;
      for (int64_t n = 0; n < a.w.n; ++n) sum = mul_add(dy[n], a.w.at(n, k), sum);
      T* dx = a.dx.row(m) + k;
      *dx = a.accumulate ? *dx + sum : sum;
    }
  });
}

template <class T>
void linear_weight_grad_impl(Context& ctx, const LinearWeightGrad<T>& a) {
  for_rows(ctx, a.dw.rows, a.dw.cols * a.dy.rows, [&](int64_t n) {
    T* dw = a.dw.row(n);
    for (int64_t m = 0; m < a.dy.rows; ++m) {
      const T dy = a.dy.row(m)[a.n0 + n];
      const T* x = a.x.row(m) + a.k0;
      for (int64_t k = 0; k < a.dw.cols; ++k) dw[k] = mul_add(dy, x[k], dw[k]);
    }
  });
}

template <class T>
void linear_bias_grad_impl(Context& ctx, const LinearBiasGrad<T>& a) {
  for_ranges(ctx, a.n1 - a.n0, a.dy.rows, 64, [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      double sum = 0;
      for (int64_t m = 0; m < a.dy.rows; ++m) sum += a.dy.row(m)[a.n0 + n];
      a.db[n] += static_cast<T>(sum);
    }
  });
}

template <class T>
void selected_linear_impl(Context& ctx, const SelectedLinear<T>& a) {
  for_rows(ctx, a.y.rows, 4 * a.y.cols * a.w.k, [&](int64_t m) {
    const T* x = a.x.row(m);
    for (int64_t j = 0; j < a.y.cols; ++j) {
      const T* w = &a.w.at(a.ids[m * a.y.cols + j], 0);
      T sum = 0;
      for (int64_t k = 0; k < a.w.k; ++k) sum = mul_add(x[k], w[k * kPanel], sum);
      a.y.row(m)[j] = sum;
    }
  });
}

template <class T>
void pack_impl(Context& ctx, const Pack<T>& a) {
  parallel_for(ctx, a.panels.count(), [&](int64_t p) {
    T* panel = a.panels.panel(p);
    const int64_t n = smaller(kPanel, a.panels.n - p * kPanel);
    for (int64_t k = 0; k < a.panels.k; ++k) {
      for (int64_t j = 0; j < kPanel; ++j) {
        panel[k * kPanel + j] = j < n ? a.matrix.row(p * kPanel + j)[k] : T(0);
      }
    }
  });
}

template <class T>
void unpack_impl(Context& ctx, const Unpack<T>& a) {
  for_rows(ctx, a.panels.n, 4 * a.panels.k, [&](int64_t n) {
    for (int64_t k = 0; k < a.panels.k; ++k) a.matrix.row(n)[k] = a.panels.at(n, k);
  });
}

}  // namespace

DEFINE_OP(linear, Linear)
DEFINE_OP(linear_input_grad, LinearInputGrad)
DEFINE_OP(linear_weight_grad, LinearWeightGrad)
DEFINE_OP(linear_bias_grad, LinearBiasGrad)
DEFINE_OP(selected_linear, SelectedLinear)
DEFINE_OP(pack, Pack)
DEFINE_OP(unpack, Unpack)

}  // namespace keyheads::ops
