#include "cuda/rows.h"
#include "ops/objective.h"

namespace keyheads::ops {
namespace {

using cuda::Queue;

struct WeighColumnsRow {
  double* sums;
  Mat<const float> x;
  const int32_t* ids;
  const float* weights;
  int64_t width;
  template <class Threads>
  __device__ void operator()(int64_t r, const Threads& threads) const {
    const float* row = x.row(r);
    double sum = 0;
    for (int64_t j = threads.first; j < width; j += threads.step) {
      const int64_t entry = r * width + j;
      const double value = row[ids ? ids[entry] : j];
      sum += static_cast<double>(weights[entry]) * value;
    }
    sum = threads.sum(sum);
    if (threads.first == 0) sums[r] = sum;
  }
};
void weigh_columns_impl(Queue& queue, const WeighColumns<float>& a) {
  const int64_t rows = a.x.rows, entries = rows * a.width;
  if (rows == 0) return;
  auto* sums = queue.scratch<double>(rows);
  const WeighColumnsRow each{sums, a.x, queue.upload(a.ids, entries),
                             queue.upload(a.weights, entries), a.width};
  cuda::for_rows(queue, rows, a.width, each, "weigh_columns");
  queue.download(a.sums, sums, rows);
}

// All columns of a row.
struct AddWeightsEach {
  Mat<float> dx;
  const float* weights;
  int64_t width;
  __device__ void operator()(int64_t r, int64_t j) const { dx.row(r)[j] += weights[r * width + j]; }
};
// A thread a row: ids of a row may repeat.
struct AddWeightsOfRow {
  Mat<float> dx;
  const int32_t* ids;
  const float* weights;
  int64_t width;
  __device__ void operator()(int64_t r) const {
    for (int64_t entry = r * width; entry < (r + 1) * width; ++entry) {
      dx.row(r)[ids[entry]] += weights[entry];
    }
  }
};
void weigh_columns_backward_impl(Queue& queue, const WeighColumnsBackward<float>& a) {
  const int64_t rows = a.dx.rows, entries = rows * a.width;
  const float* weights = queue.upload(a.weights, entries);
  if (a.ids) {
    const AddWeightsOfRow each{a.dx, queue.upload(a.ids, entries), weights, a.width};
    return cuda::for_each(queue, rows, each, "weigh_columns_backward");
  }
  cuda::for_elements(queue, rows, a.width, AddWeightsEach{a.dx, weights, a.width},
                     "weigh_columns_backward");
}

}  // namespace

DEFINE_CUDA_OP(weigh_columns, WeighColumns)
DEFINE_CUDA_OP(weigh_columns_backward, WeighColumnsBackward)

}  // namespace keyheads::ops
