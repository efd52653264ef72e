#include "cuda/rows.h"
#include "cuda/vectors.h"
#include "ops/loss.h"

namespace keyheads::ops {
namespace {

using cuda::Queue;

// exp(x - top) for x <= top, of -infinity 0 whatever the top.
__device__ __forceinline__ float exp_below(float x, float top) {
  return x == -INFINITY ? 0.0f : expf(x - top);
}

// In one pass: each thread sums relative to the largest number that it has seen. In groups, so that
// a long row's sum is one of short sums.
template <class Threads>
__device__ float log_sum_exp(const float* x, int64_t n, const Threads& threads) {
  const bool wide = cuda::are_wide(x);
  float top = -INFINITY, sum = 0;
  for (int64_t i = 4 * threads.first; i < n; i += 8 * threads.step) {
    const int64_t j = i + 4 * threads.step;
    const float4 one = cuda::four(x + i, n - i, wide, -INFINITY);
    const float4 two = cuda::four(x + j, n - j, wide, -INFINITY);
    const float v[] = {one.x, one.y, one.z, one.w, two.x, two.y, two.z, two.w};
    float largest = top, part = 0;
#pragma unroll
    for (int k = 0; k < 8; ++k) largest = v[k] > largest ? v[k] : largest;
#pragma unroll
    for (int k = 0; k < 8; ++k) part += exp_below(v[k], largest);
    sum = sum * exp_below(top, largest) + part;
    top = largest;
  }
  const float largest = threads.max(top);
  return largest + logf(threads.sum(sum * exp_below(top, largest)));
}

struct CrossEntropyRow {
  float* loss;
  Mat<float> dlogits;  // may be logits
  Mat<const float> logits;
  const int32_t* targets;
  const float* weights;
  template <class Threads>
  __device__ void operator()(int64_t r, const Threads& threads) const {
    const float* x = logits.row(r);
    const int64_t n = logits.cols, target = targets[r];
    const float total = log_sum_exp(x, n, threads);
    // by the thread that writes there next
    if (threads.first == target / 4 % threads.step) loss[r] = total - x[target];
    if (!dlogits.data) return;
    const float weight = weights[r];
    float* dx = dlogits.row(r);
    const bool wide = cuda::are_wide(x, dx);
    cuda::for_fours(threads, n, [&](int64_t i, int64_t left) {
      const float4 v = cuda::four(x + i, left, wide);
      const auto one = [&](float at, int64_t index) {
        const float d = weight * expf(at - total);
        return index == target ? d - weight : d;
      };
      cuda::put_four(dx + i,
                     make_float4(one(v.x, i), one(v.y, i + 1), one(v.z, i + 2), one(v.w, i + 3)),
                     left, wide);
    });
  }
};
void cross_entropy_impl(Queue& queue, const CrossEntropy<float>& a) {
  const int64_t rows = a.logits.rows;
  if (rows == 0) return;
  auto* loss = queue.scratch<float>(rows);
  const CrossEntropyRow each{loss, a.dlogits, a.logits, queue.upload(a.targets, rows),
                             a.dlogits.data ? queue.upload(a.weights, rows) : nullptr};
  cuda::for_rows(queue, rows, a.logits.cols, each, "cross_entropy");
  queue.download(a.loss, loss, rows);
}

// The largest number's lowest index; 0 where no number equals it (a row of NaN).
template <class Threads>
__device__ int32_t index_of_largest(const float* x, int64_t n, const Threads& threads) {
  constexpr int32_t kNone = INT32_MAX;
  float top = -INFINITY;
  int64_t index = 4 * threads.first < n ? 4 * threads.first : kNone;
  const bool wide = cuda::are_wide(x);
  cuda::for_fours(threads, n, [&](int64_t i, int64_t left) {
    const float4 v = cuda::four(x + i, left, wide, -INFINITY);
    const float of[] = {v.x, v.y, v.z, v.w};
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      if (!(of[k] > top)) continue;
      top = of[k];
      index = i + k;
    }
  });
  const bool best = top == threads.max(top);
  const int32_t lowest = -threads.max(best ? -static_cast<int32_t>(index) : -kNone);
  return lowest == kNone ? 0 : lowest;
}

struct RowSummaryRow {
  int32_t* argmax;
  float* logsumexp;
  Mat<const float> logits;
  template <class Threads>
  __device__ void operator()(int64_t r, const Threads& threads) const {
    const float* x = logits.row(r);
    const int32_t index = argmax ? index_of_largest(x, logits.cols, threads) : 0;
    const float total = logsumexp ? log_sum_exp(x, logits.cols, threads) : 0;
    if (threads.first != 0) return;
    if (argmax) argmax[r] = index;
    if (logsumexp) logsumexp[r] = total;
  }
};
void row_summary_impl(Queue& queue, const RowSummary<float>& a) {
  const int64_t rows = a.logits.rows;
  if (rows == 0) return;
  auto* argmax = a.argmax ? queue.scratch<int32_t>(rows) : nullptr;
  auto* logsumexp = a.logsumexp ? queue.scratch<float>(rows) : nullptr;
  cuda::for_rows(queue, rows, a.logits.cols, RowSummaryRow{argmax, logsumexp, a.logits},
                 "row_summary");
  if (argmax) queue.download(a.argmax, argmax, rows);
  if (logsumexp) queue.download(a.logsumexp, logsumexp, rows);
}

}  // namespace

DEFINE_CUDA_OP(cross_entropy, CrossEntropy)
DEFINE_CUDA_OP(row_summary, RowSummary)

}  // namespace keyheads::ops
