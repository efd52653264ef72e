#include <vector>

#include "cuda/rows.h"
#include "cuda/weight.h"
#include "ops/adamw.h"

namespace keyheads::ops {
namespace {

using cuda::Queue;

// A block a piece of the numbers; the host adds up what they find, in order.
struct SumPiece {
  static constexpr int64_t kPiece = 16384;
  double* sums;
  const float* x;
  int64_t count;
  template <class Threads>
  __device__ void operator()(int64_t piece, const Threads& threads) const {
    const int64_t end = min(count, (piece + 1) * kPiece);
    double sum = 0;
    for (int64_t i = piece * kPiece + threads.first; i < end; i += threads.step) {
      const double value = x[i];
      sum = fma(value, value, sum);
    }
    sum = threads.sum(sum);
    if (threads.first == 0) sums[piece] = sum;
  }
};
void sum_of_squares_impl(Queue& queue, const SumOfSquares<float>& a) {
  const int64_t pieces = (a.count + SumPiece::kPiece - 1) / SumPiece::kPiece;
  std::vector<double> host(static_cast<size_t>(pieces));
  if (pieces > 0) {
    auto* sums = queue.scratch<double>(pieces);
    cuda::for_rows(queue, pieces, SumPiece::kPiece, SumPiece{sums, a.x, a.count}, "sum_of_squares");
    queue.download(host.data(), sums, pieces);
  }
  a.out[0] = 0;
  for (const double sum : host) a.out[0] += sum;
}

template <class E>
struct AdamWEach {
  Mat<E> w;
  Mat<float> gradient;
  float *master, *m, *v;  // without master, w is the weight in full
  int64_t n0, k0;
  float factor, beta1, rest1, beta2, rest2, keep, step, root, eps;
  __device__ void operator()(int64_t r, int64_t c) const {
    const int64_t i = r * gradient.cols + c;
    const float g = factor * gradient.row(r)[c];
    gradient.row(r)[c] = 0;
    m[i] = beta1 * m[i] + rest1 * g;
    v[i] = beta2 * v[i] + rest2 * (g * g);
    E& to = w.row(n0 + r)[k0 + c];
    const float stored = cuda::load(to);
    const float before = master ? master_value(stored, master[i]) : stored;
    const float p = before * keep - step * m[i] / (sqrtf(v[i]) * root + eps);
    if (master) master[i] = p;
    cuda::store(to, p);
  }
};
void adamw_impl(Queue& queue, const AdamW<float>& a) {
  cuda::visit_matrix(a.w, [&]<class E>(const Mat<E>& w) {
    const AdamWEach<E> each{.w = w,
                            .gradient = a.gradient,
                            .master = a.w.storage == Storage::bf16 ? a.master : nullptr,
                            .m = a.m,
                            .v = a.v,
                            .n0 = a.n0,
                            .k0 = a.k0,
                            .factor = static_cast<float>(a.factor),
                            .beta1 = static_cast<float>(a.beta1),
                            .rest1 = static_cast<float>(1 - a.beta1),
                            .beta2 = static_cast<float>(a.beta2),
                            .rest2 = static_cast<float>(1 - a.beta2),
                            .keep = static_cast<float>(1 - a.lr * a.weight_decay),
                            .step = static_cast<float>(a.lr / a.correction1),
                            .root = static_cast<float>(1 / std::sqrt(a.correction2)),
                            .eps = static_cast<float>(a.eps)};
    cuda::for_elements(queue, a.gradient.rows, a.gradient.cols, each, "adamw");
  });
}

}  // namespace

DEFINE_CUDA_OP(sum_of_squares, SumOfSquares)
DEFINE_CUDA_OP(adamw, AdamW)

}  // namespace keyheads::ops
