#include "cuda/rows.h"
#include "ops/mixture.h"

namespace keyheads::ops {
namespace {

using cuda::Queue;

// How many come before x[e] in descending order.
__device__ __forceinline__ int64_t rank_of(const float* x, int64_t n, int64_t e) {
  int64_t rank = 0;
  for (int64_t j = 0; j < n; ++j) rank += x[j] > x[e] || (x[j] == x[e] && j < e);
  return rank;
}

struct RouteRow {
  Route<float> a;
  template <class Threads>
  __device__ void operator()(int64_t m, const Threads& threads) const {
    const float* x = a.logits.row(m);
    float* w = a.weights.row(m);
    const int64_t n = a.logits.cols;
    float top = -INFINITY, sum = 0;
    for (int64_t e = threads.first; e < n; e += threads.step) top = x[e] > top ? x[e] : top;
    top = threads.max(top);
    for (int64_t e = threads.first; e < n; e += threads.step) {
      w[e] = rank_of(x, n, e) < a.chosen ? expf(x[e] - top) : 0;
      sum += w[e];
    }
    sum = threads.sum(sum);
    for (int64_t e = threads.first; e < n; e += threads.step) w[e] /= sum;
  }
};
void route_impl(Queue& queue, const Route<float>& a) {
  cuda::for_rows(queue, a.logits.rows, a.logits.cols, RouteRow{a}, "route");
}

struct RouteBackwardRow {
  RouteBackward<float> a;
  template <class Threads>
  __device__ void operator()(int64_t m, const Threads& threads) const {
    const float *w = a.weights.row(m), *dw = a.dweights.row(m);
    float* dx = a.dlogits.row(m);
    float mean = 0;
    for (int64_t e = threads.first; e < a.weights.cols; e += threads.step) {
      mean = fmaf(w[e], dw[e], mean);
    }
    mean = threads.sum(mean);
    for (int64_t e = threads.first; e < a.weights.cols; e += threads.step) {
      dx[e] = w[e] * (dw[e] - mean);
    }
  }
};
void route_backward_impl(Queue& queue, const RouteBackward<float>& a) {
  cuda::for_rows(queue, a.weights.rows, a.weights.cols, RouteBackwardRow{a}, "route_backward");
}

struct ChoicesEach {
  Choices<float> a;
  __device__ void operator()(int64_t m, int64_t e) const {
    const int64_t rank = rank_of(a.logits.row(m), a.logits.cols, e);
    if (rank < a.y.cols) a.y.row(m)[rank] = static_cast<float>(e);
  }
};
struct ZeroEach {
  Mat<float> y;
  __device__ void operator()(int64_t r, int64_t c) const { y.row(r)[c] = 0; }
};
void choices_impl(Queue& queue, const Choices<float>& a) {
  // a row with NaN leaves some out
  cuda::for_elements(queue, a.y.rows, a.y.cols, ZeroEach{a.y}, "choices");
  cuda::for_elements(queue, a.logits.rows, a.logits.cols, ChoicesEach{a}, "choices");
}

struct MixExpertEach {
  MixExpert<float> a;
  const int32_t* rows;
  __device__ void operator()(int64_t i, int64_t c) const {
    const float weight = a.weights.row(rows[i])[a.expert];
    float& y = a.y.row(rows[i])[c];
    y = fmaf(weight, a.x.row(i)[c], y);
  }
};
void mix_expert_impl(Queue& queue, const MixExpert<float>& a) {
  const int32_t* rows = queue.upload(a.rows, a.x.rows);
  cuda::for_elements(queue, a.x.rows, a.x.cols, MixExpertEach{a, rows}, "mix_expert");
}

struct MixExpertBackwardRow {
  MixExpertBackward<float> a;
  const int32_t* rows;
  template <class Threads>
  __device__ void operator()(int64_t i, const Threads& threads) const {
    const float *x = a.x.row(i), *dy = a.dy.row(rows[i]);
    float* dx = a.dx.row(i);
    const float weight = a.weights.row(rows[i])[a.expert];
    float product = 0;
    for (int64_t c = threads.first; c < a.x.cols; c += threads.step) {
      product = fmaf(dy[c], x[c], product);
      dx[c] = weight * dy[c];
    }
    product = threads.sum(product);
    if (threads.first == 0) a.dweights.row(rows[i])[a.expert] = product;
  }
};
void mix_expert_backward_impl(Queue& queue, const MixExpertBackward<float>& a) {
  const int32_t* rows = queue.upload(a.rows, a.x.rows);
  cuda::for_rows(queue, a.x.rows, a.x.cols, MixExpertBackwardRow{a, rows}, "mix_expert_backward");
}

}  // namespace

DEFINE_CUDA_OP(route, Route)
DEFINE_CUDA_OP(route_backward, RouteBackward)
DEFINE_CUDA_OP(choices, Choices)
DEFINE_CUDA_OP(mix_expert, MixExpert)
DEFINE_CUDA_OP(mix_expert_backward, MixExpertBackward)

}  // namespace keyheads::ops
