#include "cuda/rows.h"
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
  constexpr int kGroup = 8;
  float top = -INFINITY, sum = 0;
  for (int64_t i = threads.first; i < n; i += kGroup * threads.step) {
    float v[kGroup], largest = top, part = 0;
    for (int j = 0; j < kGroup; ++j) {
      const int64_t at = i + j * threads.step;
      v[j] = at < n ? x[at] : -INFINITY;
      largest = v[j] > largest ? v[j] : largest;
    }
    for (int j = 0; j < kGroup; ++j) part += exp_below(v[j], largest);
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
    if (threads.first == target % threads.step) loss[r] = total - x[target];
    if (!dlogits.data) return;
    const float weight = weights[r];
    float* dx = dlogits.row(r);
    for (int64_t i = threads.first; i < n; i += threads.step) {
      const float d = weight * expf(x[i] - total);
      dx[i] = i == target ? d - weight : d;
    }
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
  int64_t index = threads.first < n ? threads.first : kNone;
  for (int64_t i = threads.first; i < n; i += threads.step) {
    if (!(x[i] > top)) continue;
    top = x[i];
    index = i;
  }
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
