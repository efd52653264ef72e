#include "ops/norm.h"
#include "ops/reduce.h"

namespace keyheads::ops {
namespace {

using D = Simd<double>;

template <class T>
KEYHEADS_INLINE void scale_row(const Mat<const T>& x, int64_t m, T eps, bool centre, T* mean,
                               T* scale) {
  const T* row = x.row(m);
  const double n = static_cast<double>(x.cols);
  T middle = 0;
  if (centre) {
    const auto sums = double_sums<1>(
        x.cols, 0, [&](auto* sum, const auto& load) { sum[0] = sum[0] + load(row); });
    middle = static_cast<T>(sums.value[0] / n);
  }
  const double offset = static_cast<double>(middle);
  const auto sums = double_sums<1>(x.cols, offset, [&](auto* sum, const auto& load) {
    const auto d = load(row) - D::set(offset);
    sum[0] = D::fma(d, d, sum[0]);
  });
  mean[m] = middle;
  scale[m] = static_cast<T>(__builtin_sqrt(sums.value[0] / n + static_cast<double>(eps)));
}

// The steps of the norm, element by element, so that it has the same bits in one piece and in
// three.
template <class T>
KEYHEADS_INLINE T normalize(T x, T mean, T scale) {
  return (x - mean) / scale;
}
template <class T>
KEYHEADS_INLINE T affine(T normalized, T gain, const T* bias, int64_t c) {
  return bias ? normalized * gain + bias[c] : normalized * gain;
}

template <class T>
void norm_impl(Context& ctx, const Norm<T>& a) {
  for_rows(ctx, a.x.rows, 4 * a.x.cols, [&](int64_t m) {
    scale_row(a.x, m, a.eps, a.centre, a.mean, a.scale);
    const T* x = a.x.row(m);
    const T mean = a.mean[m], scale = a.scale[m];
    T* y = a.y.row(m);
    for (int64_t c = 0; c < a.x.cols; ++c) {
      y[c] = affine(normalize(x[c], mean, scale), a.offset + a.gain[c], a.bias, c);
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
  for_rows(ctx, a.x.rows, 2 * a.x.cols, [&](int64_t m) {
    const T* x = a.x.row(m);
    const T mean = a.mean[m], scale = a.scale[m];
    T* n = a.normalized.row(m);
    for (int64_t c = 0; c < a.x.cols; ++c) n[c] = normalize(x[c], mean, scale);
  });
}

template <class T>
void norm_affine_impl(Context& ctx, const NormAffine<T>& a) {
  for_rows(ctx, a.y.rows, a.y.cols, [&](int64_t m) {
    const T* n = a.normalized.row(m);
    T* y = a.y.row(m);
    for (int64_t c = 0; c < a.y.cols; ++c) y[c] = affine(n[c], a.offset + a.gain[c], a.bias, c);
  });
}

// dgain += sum over rows of dy * n, dbias += sum over rows of dy, in double: a partial sum for
// every kRows rows, these added in order.
template <class T>
class GainGradient {
 public:
  static constexpr int64_t kRows = 64;

  GainGradient(int64_t rows, int64_t cols, T* dgain, T* dbias)
      : chunks_(ceil_div(rows, kRows)), cols_(cols), dgain_(dgain), dbias_(dbias) {
    if (!wanted()) return;
    const size_t count = static_cast<size_t>(chunks_ * cols_) * 2;
    partial_ = static_cast<double*>(op_scratch(count * sizeof(double)));
  }
  bool wanted() const { return dgain_ || dbias_; }

  // n = (x - mean) * inverse
  KEYHEADS_INLINE void add(int64_t row, const T* dy, const T* x, T mean, T inverse) const {
    double* gain = partial_ + row / kRows * cols_ * 2;
    double* bias = gain + cols_;
    const bool first = row % kRows == 0;
#pragma GCC ivdep
    for (int64_t c = 0; c < cols_; ++c) {
      const double d = dy[c], n = (x[c] - mean) * inverse;
      gain[c] = first ? d * n : gain[c] + d * n;
      bias[c] = first ? d : bias[c] + d;
    }
  }
  void finish() const {
    if (!wanted()) return;
    for (int64_t c = 0; c < cols_; ++c) {
      double gain = 0, bias = 0;
      for (int64_t i = 0; i < chunks_; ++i) {
        gain += partial_[i * cols_ * 2 + c];
        bias += partial_[i * cols_ * 2 + cols_ + c];
      }
      if (dgain_) dgain_[c] += static_cast<T>(gain);
      if (dbias_) dbias_[c] += static_cast<T>(bias);
    }
  }

 private:
  int64_t chunks_, cols_;
  T* dgain_;
  T* dbias_;
  double* partial_ = nullptr;
};

// Calls f(row) for all rows, the kRows of one partial sum in order on one thread.
template <class T, class F>
KEYHEADS_INLINE void for_gain_rows(Context& ctx, const GainGradient<T>& gradient, int64_t rows,
                                   int64_t cost, const F& f) {
  if (!gradient.wanted()) return for_rows(ctx, rows, cost, f);
  for_ranges(ctx, rows, cost, GainGradient<T>::kRows, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) f(r);
  });
  gradient.finish();
}

template <class T>
KEYHEADS_INLINE void norm_gradient_row(const NormBackward<T>& a, int64_t m) {
  const T* dy = a.dy.row(m);
  const T* x = a.x.row(m);
  const double n = static_cast<double>(a.x.cols);
  const auto middle = D::set(static_cast<double>(a.mean[m]));
  const auto offset = D::set(static_cast<double>(a.offset));
  const auto sums = double_sums<2>(a.x.cols, 0, [&](auto* sum, const auto& load) {
    const auto g = load(dy) * (offset + load(a.gain));
    sum[0] = sum[0] + g;
    sum[1] = D::fma(g, load(x) - middle, sum[1]);
  });
  const T mean = a.mean[m], inverse = T(1) / a.scale[m];
  const T mean_g = a.centre ? static_cast<T>(sums.value[0] / n) : T(0);
  // mean(g * normalized) / scale, to be multiplied by x - mean
  const T slope = static_cast<T>(sums.value[1] / n) * inverse * inverse;
  T* dx = a.dx.row(m);
  const auto gradient = [&](int64_t c) {
    return (dy[c] * (a.offset + a.gain[c]) - mean_g - (x[c] - mean) * slope) * inverse;
  };
  if (a.accumulate) {
    for (int64_t c = 0; c < a.x.cols; ++c) dx[c] += gradient(c);
  } else {
    for (int64_t c = 0; c < a.x.cols; ++c) dx[c] = gradient(c);
  }
}

template <class T>
void norm_backward_impl(Context& ctx, const NormBackward<T>& a) {
  const GainGradient<T> gain(a.dy.rows, a.dy.cols, a.dgain, a.dbias);
  for_gain_rows(ctx, gain, a.dy.rows, 8 * a.dy.cols, [&](int64_t m) {
    if (gain.wanted()) gain.add(m, a.dy.row(m), a.x.row(m), a.mean[m], T(1) / a.scale[m]);
    if (a.dx.data) norm_gradient_row(a, m);
  });
}

template <class T>
void norm_scale_backward_impl(Context& ctx, const NormScaleBackward<T>& a) {
  for_rows(ctx, a.x.rows, a.x.cols, [&](int64_t m) {
    const T* x = a.x.row(m);
    T* dx = a.dx.row(m);
    const T mean = a.mean[m], factor = a.dscale[m] / (static_cast<T>(a.x.cols) * a.scale[m]);
    for (int64_t c = 0; c < a.x.cols; ++c) dx[c] += factor * (x[c] - mean);
  });
}

template <class T>
void norm_divide_backward_impl(Context& ctx, const NormDivideBackward<T>& a) {
  for_rows(ctx, a.dx.rows, 4 * a.dx.cols, [&](int64_t m) {
    const T* dn = a.dnormalized.row(m);
    const T* normalized = a.normalized.row(m);
    const double n = static_cast<double>(a.dx.cols);
    const auto sums = double_sums<2>(a.dx.cols, 0, [&](auto* sum, const auto& load) {
      sum[0] = sum[0] + load(dn);
      sum[1] = D::fma(load(dn), load(normalized), sum[1]);
    });
    const T scale = a.scale[m];
    const T mean = a.centre ? static_cast<T>(sums.value[0] / n) : T(0);
    T* dx = a.dx.row(m);
    for (int64_t c = 0; c < a.dx.cols; ++c) dx[c] = (dn[c] - mean) / scale;
    a.dscale[m] = static_cast<T>(-sums.value[1] / static_cast<double>(scale));
  });
}

template <class T>
void norm_affine_backward_impl(Context& ctx, const NormAffineBackward<T>& a) {
  const GainGradient<T> gain(a.dy.rows, a.dy.cols, a.dgain, a.dbias);
  for_gain_rows(ctx, gain, a.dy.rows, 4 * a.dy.cols, [&](int64_t m) {
    const T* dy = a.dy.row(m);
    if (gain.wanted()) gain.add(m, dy, a.normalized.row(m), T(0), T(1));
    T* dn = a.dnormalized.row(m);
    for (int64_t c = 0; c < a.dy.cols; ++c) dn[c] = dy[c] * (a.offset + a.gain[c]);
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
