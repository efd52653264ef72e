#include "ops/norm.h"
#include "ops/rows.h"

namespace keyheads::ops {
namespace {

template <class T>
double mean_of(const T* x, int64_t n) {
  double sum = 0;
  for (int64_t c = 0; c < n; ++c) sum += x[c];
  return sum / static_cast<double>(n);
}

template <class T>
KEYHEADS_INLINE void scale_row(const Mat<const T>& x, int64_t m, T eps, bool centre, T* mean,
                               T* scale) {
  const T* row = x.row(m);
  const T middle = centre ? static_cast<T>(mean_of(row, x.cols)) : T(0);
  double sum = 0;
  for (int64_t c = 0; c < x.cols; ++c) {
    const double d = static_cast<double>(row[c]) - static_cast<double>(middle);
    sum += d * d;
  }
  mean[m] = middle;
  scale[m] =
      static_cast<T>(__builtin_sqrt(sum / static_cast<double>(x.cols) + static_cast<double>(eps)));
}

template <class T>
void norm_impl(Context& ctx, const Norm<T>& a) {
  for_rows(ctx, a.x.rows, 4 * a.x.cols, [&](int64_t m) {
    scale_row(a.x, m, a.eps, a.centre, a.mean, a.scale);
    const T* x = a.x.row(m);
    T* y = a.y.row(m);
    for (int64_t c = 0; c < a.x.cols; ++c) {
      const T scaled = (x[c] - a.mean[m]) / a.scale[m] * a.gain[c];
      y[c] = a.bias ? scaled + a.bias[c] : scaled;
    }
  });
}

template <class T>
void norm_scale_impl(Context& ctx, const NormScale<T>& a) {
  for_rows(ctx, a.x.rows, 2 * a.x.cols,
           [&](int64_t m) { scale_row(a.x, m, a.eps, a.centre, a.mean, a.scale); });
}

template <class T>
void norm_divide_impl(Context& ctx, const NormDivide<T>& a) {
  for_rows(ctx, a.x.rows, a.x.cols, [&](int64_t m) {
    const T* x = a.x.row(m);
    T* n = a.normalized.row(m);
    for (int64_t c = 0; c < a.x.cols; ++c) n[c] = (x[c] - a.mean[m]) / a.scale[m];
  });
}

template <class T>
void norm_affine_impl(Context& ctx, const NormAffine<T>& a) {
  for_rows(ctx, a.y.rows, a.y.cols, [&](int64_t m) {
    const T* n = a.normalized.row(m);
    T* y = a.y.row(m);
    for (int64_t c = 0; c < a.y.cols; ++c) {
      const T scaled = n[c] * a.gain[c];
      y[c] = a.bias ? scaled + a.bias[c] : scaled;
    }
  });
}

// dgain += sum over rows of dy * n(m, c), dbias += sum of dy: columns in parallel, rows ascending.
template <class T, class N>
KEYHEADS_INLINE void affine_gradients(Context& ctx, const Mat<const T>& dy, T* dgain, T* dbias,
                                      const N& n) {
  if (!dgain && !dbias) return;
  for_ranges(ctx, dy.cols, 2 * dy.rows, 64, [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c) {
      double gain = 0, bias = 0;
      for (int64_t m = 0; m < dy.rows; ++m) {
        const double d = dy.row(m)[c];
        gain += d * static_cast<double>(n(m, c));
        bias += d;
      }
      if (dgain) dgain[c] += static_cast<T>(gain);
      if (dbias) dbias[c] += static_cast<T>(bias);
    }
  });
}

template <class T>
void norm_backward_impl(Context& ctx, const NormBackward<T>& a) {
  const auto normalized = [&](int64_t m, int64_t c) {
    return (a.x.row(m)[c] - a.mean[m]) / a.scale[m];
  };
  affine_gradients(ctx, a.dy, a.dgain, a.dbias, normalized);
  if (!a.dx.data) return;
  for_rows(ctx, a.x.rows, 6 * a.x.cols, [&](int64_t m) {
    const T* dy = a.dy.row(m);
    T* dx = a.dx.row(m);
    double sum_g = 0, sum_gn = 0;
    for (int64_t c = 0; c < a.x.cols; ++c) {
      const double g = static_cast<double>(dy[c]) * static_cast<double>(a.gain[c]);
      sum_g += g;
      sum_gn += g * static_cast<double>(normalized(m, c));
    }
    const double columns = static_cast<double>(a.x.cols);
    const T mean_g = a.centre ? static_cast<T>(sum_g / columns) : T(0);
    const T mean_gn = static_cast<T>(sum_gn / columns);
    for (int64_t c = 0; c < a.x.cols; ++c) {
      const T d = (dy[c] * a.gain[c] - mean_g - normalized(m, c) * mean_gn) / a.scale[m];
      dx[c] = a.accumulate ? dx[c] + d : d;
    }
  });
}

template <class T>
void norm_scale_backward_impl(Context& ctx, const NormScaleBackward<T>& a) {
  for_rows(ctx, a.x.rows, a.x.cols, [&](int64_t m) {
    const T* x = a.x.row(m);
    T* dx = a.dx.row(m);
    const T factor = a.dscale[m] / (static_cast<T>(a.x.cols) * a.scale[m]);
    for (int64_t c = 0; c < a.x.cols; ++c) dx[c] += factor * (x[c] - a.mean[m]);
  });
}

template <class T>
void norm_divide_backward_impl(Context& ctx, const NormDivideBackward<T>& a) {
  for_rows(ctx, a.dx.rows, 4 * a.dx.cols, [&](int64_t m) {
    const T* dn = a.dnormalized.row(m);
    const T* n = a.normalized.row(m);
    T* dx = a.dx.row(m);
    double sum = 0, sum_n = 0;
    for (int64_t c = 0; c < a.dx.cols; ++c) {
      sum += static_cast<double>(dn[c]);
      sum_n += static_cast<double>(dn[c]) * static_cast<double>(n[c]);
    }
    const T mean = a.centre ? static_cast<T>(sum / static_cast<double>(a.dx.cols)) : T(0);
    for (int64_t c = 0; c < a.dx.cols; ++c) dx[c] = (dn[c] - mean) / a.scale[m];
    a.dscale[m] = static_cast<T>(-sum_n / static_cast<double>(a.scale[m]));
  });
}

template <class T>
void norm_affine_backward_impl(Context& ctx, const NormAffineBackward<T>& a) {
  affine_gradients(ctx, a.dy, a.dgain, a.dbias,
                   [&](int64_t m, int64_t c) { return a.normalized.row(m)[c]; });
  for_rows(ctx, a.dy.rows, a.dy.cols, [&](int64_t m) {
    const T* dy = a.dy.row(m);
    T* dn = a.dnormalized.row(m);
    for (int64_t c = 0; c < a.dy.cols; ++c) dn[c] = dy[c] * a.gain[c];
  });
}

}  // namespace

DEFINE_OP(norm, Norm)
DEFINE_OP(norm_backward, NormBackward)
DEFINE_OP(norm_scale, NormScale)
DEFINE_OP(norm_divide, NormDivide)
DEFINE_OP(norm_affine, NormAffine)
DEFINE_OP(norm_scale_backward, NormScaleBackward)
DEFINE_OP(norm_divide_backward, NormDivideBackward)
DEFINE_OP(norm_affine_backward, NormAffineBackward)

}  // namespace keyheads::ops
