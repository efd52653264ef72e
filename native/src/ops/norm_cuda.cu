#include "cuda/rows.h"
#include "cuda/vectors.h"
#include "ops/norm.h"

namespace keyheads::ops {
namespace {

using cuda::Queue;

// The steps of the norm, which has the same bits in one piece and in three.
struct Moments {
  float mean, scale;
};
template <class Threads>
__device__ Moments moments(const float* x, int64_t n, float eps, bool centre,
                           const Threads& threads) {
  const auto count = static_cast<float>(n);
  const bool wide = cuda::are_wide(x);
  float mean = 0, squares = 0;
  if (centre) {
    float sum = 0;
    cuda::for_fours(threads, n, [&](int64_t c, int64_t left) {
      const float4 v = cuda::four(x + c, left, wide);
      sum += (v.x + v.y) + (v.z + v.w);
    });
    mean = threads.sum(sum) / count;
  }
  cuda::for_fours(threads, n, [&](int64_t c, int64_t left) {
    const float4 v = cuda::four(x + c, left, wide, mean);
    const float d[] = {v.x - mean, v.y - mean, v.z - mean, v.w - mean};
#pragma unroll
    for (int k = 0; k < 4; ++k) squares = fmaf(d[k], d[k], squares);
  });
  return {mean, sqrtf(threads.sum(squares) / count + eps)};
}
__device__ __forceinline__ float normalize(float x, float mean, float scale) {
  return (x - mean) / scale;
}
__device__ __forceinline__ float affine(float normalized, float gain, bool biased, float bias) {
  return biased ? fmaf(normalized, gain, bias) : normalized * gain;
}

struct NormRow {
  Norm<float> a;
  template <class Threads>
  __device__ void operator()(int64_t m, const Threads& threads) const {
    const float* x = a.x.row(m);
    float* y = a.y.row(m);
    const Moments of = moments(x, a.x.cols, a.eps, a.centre, threads);
    if (threads.first == 0) {
      a.mean[m] = of.mean;
      a.scale[m] = of.scale;
    }
    const bool wide = cuda::are_wide(x, y, a.gain, a.bias), biased = a.bias;
    cuda::for_fours(threads, a.x.cols, [&](int64_t c, int64_t left) {
      const float4 v = cuda::four(x + c, left, wide), gain = cuda::four(a.gain + c, left, wide);
      const float4 bias = biased ? cuda::four(a.bias + c, left, wide) : make_float4(0, 0, 0, 0);
      const auto one = [&](float at, float g, float b) {
        return affine(normalize(at, of.mean, of.scale), a.offset + g, biased, b);
      };
      cuda::put_four(y + c, cuda::each_of_four(one, v, gain, bias), left, wide);
    });
  }
};
void norm_impl(Queue& queue, const Norm<float>& a) {
  cuda::for_rows(queue, a.x.rows, a.x.cols, NormRow{a}, "norm");
}

struct NormScaleRow {
  NormScale<float> a;
  template <class Threads>
  __device__ void operator()(int64_t m, const Threads& threads) const {
    const Moments of = moments(a.x.row(m), a.x.cols, a.eps, a.centre, threads);
    if (threads.first != 0) return;
    a.mean[m] = of.mean;
    a.scale[m] = of.scale;
  }
};
void norm_scale_impl(Queue& queue, const NormScale<float>& a) {
  cuda::for_rows(queue, a.x.rows, a.x.cols, NormScaleRow{a}, "norm_scale");
}

struct NormDivideEach {
  NormDivide<float> a;
  __device__ void operator()(int64_t m, int64_t c) const {
    a.normalized.row(m)[c] = normalize(a.x.row(m)[c], a.mean[m], a.scale[m]);
  }
};
void norm_divide_impl(Queue& queue, const NormDivide<float>& a) {
  cuda::for_elements(queue, a.x.rows, a.x.cols, NormDivideEach{a}, "norm_divide");
}

struct NormAffineEach {
  NormAffine<float> a;
  __device__ void operator()(int64_t m, int64_t c) const {
    a.y.row(m)[c] =
        affine(a.normalized.row(m)[c], a.offset + a.gain[c], a.bias, a.bias ? a.bias[c] : 0);
  }
};
void norm_affine_impl(Queue& queue, const NormAffine<float>& a) {
  cuda::for_elements(queue, a.y.rows, a.y.cols, NormAffineEach{a}, "norm_affine");
}

// Sums over rows of dy and of dy times the normalized x: of kRows rows in float, these in double.
struct GainOfRows {
  static constexpr int64_t kRows = 32;
  float* partial;  // (rows / kRows, 2, cols)
  Mat<const float> dy, x;
  const float *mean, *scale;  // null: x is normalized
  __device__ void operator()(int64_t chunk, int64_t c) const {
    const int64_t end = min(dy.rows, (chunk + 1) * kRows);
    float gain = 0, bias = 0;
    for (int64_t m = chunk * kRows; m < end; ++m) {
      const float d = dy.row(m)[c], at = x.row(m)[c];
      gain = fmaf(d, mean ? normalize(at, mean[m], scale[m]) : at, gain);
      bias += d;
    }
    float* to = partial + 2 * chunk * dy.cols + c;
    to[0] = gain;
    to[dy.cols] = bias;
  }
};
struct GainColumn {
  float *dgain, *dbias;  // null: not wanted
  const float* partial;
  int64_t chunks, cols;
  __device__ void operator()(int64_t c) const {
    double gain = 0, bias = 0;
    for (int64_t chunk = 0; chunk < chunks; ++chunk) {
      const float* from = partial + 2 * chunk * cols + c;
      gain += from[0];
      bias += from[cols];
    }
    if (dgain) dgain[c] += static_cast<float>(gain);
    if (dbias) dbias[c] += static_cast<float>(bias);
  }
};
void gain_gradient(Queue& queue, float* dgain, float* dbias, const Mat<const float>& dy,
                   const Mat<const float>& x, const float* mean, const float* scale,
                   const char* op) {
  const int64_t chunks = (dy.rows + GainOfRows::kRows - 1) / GainOfRows::kRows;
  if (chunks == 0 || (!dgain && !dbias)) return;
  auto* partial = queue.scratch<float>(2 * chunks * dy.cols);
  cuda::for_elements(queue, chunks, dy.cols, GainOfRows{partial, dy, x, mean, scale}, op);
  cuda::for_each(queue, dy.cols, GainColumn{dgain, dbias, partial, chunks, dy.cols}, op);
}

struct NormBackwardRow {
  NormBackward<float> a;
  template <class Threads>
  __device__ void operator()(int64_t m, const Threads& threads) const {
    const float *dy = a.dy.row(m), *x = a.x.row(m);
    const float mean = a.mean[m], inverse = 1 / a.scale[m];
    const auto n = static_cast<float>(a.x.cols);
    float* dx = a.dx.row(m);
    const bool wide = cuda::are_wide(dy, x, dx, a.gain);
    // dy times the gain: 0 beyond the row
    const auto gradient = [&](int64_t c, int64_t left) {
      const float4 d = cuda::four(dy + c, left, wide), gain = cuda::four(a.gain + c, left, wide);
      return cuda::each_of_four([&](float of, float g) { return of * (a.offset + g); }, d, gain);
    };
    float sum_g = 0, sum_gx = 0;
    cuda::for_fours(threads, a.x.cols, [&](int64_t c, int64_t left) {
      const float4 g = gradient(c, left), at = cuda::four(x + c, left, wide);
      sum_g += (g.x + g.y) + (g.z + g.w);
      sum_gx = fmaf(g.x, at.x - mean, sum_gx);
      sum_gx = fmaf(g.y, at.y - mean, sum_gx);
      sum_gx = fmaf(g.z, at.z - mean, sum_gx);
      sum_gx = fmaf(g.w, at.w - mean, sum_gx);
    });
    const float mean_g = a.centre ? threads.sum(sum_g) / n : 0;
    // mean(g * normalized) / scale, to be multiplied by x - mean
    const float slope = threads.sum(sum_gx) / n * inverse * inverse;
    cuda::for_fours(threads, a.x.cols, [&](int64_t c, int64_t left) {
      const float4 g = gradient(c, left), at = cuda::four(x + c, left, wide);
      const float4 old = a.accumulate ? cuda::four(dx + c, left, wide) : make_float4(0, 0, 0, 0);
      const auto one = [&](float of, float here, float before) {
        const float d = (of - mean_g - (here - mean) * slope) * inverse;
        return a.accumulate ? before + d : d;
      };
      cuda::put_four(dx + c, cuda::each_of_four(one, g, at, old), left, wide);
    });
  }
};
void norm_backward_impl(Queue& queue, const NormBackward<float>& a) {
  gain_gradient(queue, a.dgain, a.dbias, a.dy, a.x, a.mean, a.scale, "norm_backward");
  if (!a.dx.data) return;
  cuda::for_rows(queue, a.dy.rows, a.dy.cols, NormBackwardRow{a}, "norm_backward");
}

struct NormScaleBackwardEach {
  NormScaleBackward<float> a;
  __device__ void operator()(int64_t m, int64_t c) const {
    const float factor = a.dscale[m] / (static_cast<float>(a.x.cols) * a.scale[m]);
    a.dx.row(m)[c] += factor * (a.x.row(m)[c] - a.mean[m]);
  }
};
void norm_scale_backward_impl(Queue& queue, const NormScaleBackward<float>& a) {
  cuda::for_elements(queue, a.x.rows, a.x.cols, NormScaleBackwardEach{a}, "norm_scale_backward");
}

struct NormDivideBackwardRow {
  NormDivideBackward<float> a;
  template <class Threads>
  __device__ void operator()(int64_t m, const Threads& threads) const {
    const float *dn = a.dnormalized.row(m), *normalized = a.normalized.row(m);
    float sum = 0, product = 0;
    for (int64_t c = threads.first; c < a.dx.cols; c += threads.step) {
      sum += dn[c];
      product = fmaf(dn[c], normalized[c], product);
    }
    const float scale = a.scale[m];
    const float mean = a.centre ? threads.sum(sum) / static_cast<float>(a.dx.cols) : 0;
    product = threads.sum(product);
    if (threads.first == 0) a.dscale[m] = -product / scale;
    float* dx = a.dx.row(m);
    for (int64_t c = threads.first; c < a.dx.cols; c += threads.step) {
      dx[c] = (dn[c] - mean) / scale;
    }
  }
};
void norm_divide_backward_impl(Queue& queue, const NormDivideBackward<float>& a) {
  cuda::for_rows(queue, a.dx.rows, a.dx.cols, NormDivideBackwardRow{a}, "norm_divide_backward");
}

struct NormAffineBackwardEach {
  NormAffineBackward<float> a;
  __device__ void operator()(int64_t m, int64_t c) const {
    a.dnormalized.row(m)[c] = a.dy.row(m)[c] * (a.offset + a.gain[c]);
  }
};
void norm_affine_backward_impl(Queue& queue, const NormAffineBackward<float>& a) {
  gain_gradient(queue, a.dgain, a.dbias, a.dy, a.normalized, nullptr, nullptr,
                "norm_affine_backward");
  cuda::for_elements(queue, a.dy.rows, a.dy.cols, NormAffineBackwardEach{a},
                     "norm_affine_backward");
}

}  // namespace

DEFINE_CUDA_OP(norm, Norm)
DEFINE_CUDA_OP(norm_backward, NormBackward)
DEFINE_CUDA_OP(norm_scale, NormScale)
DEFINE_CUDA_OP(norm_divide, NormDivide)
DEFINE_CUDA_OP(norm_affine, NormAffine)
DEFINE_CUDA_OP(norm_scale_backward, NormScaleBackward)
DEFINE_CUDA_OP(norm_divide_backward, NormDivideBackward)
DEFINE_CUDA_OP(norm_affine_backward, NormAffineBackward)

}  // namespace keyheads::ops
