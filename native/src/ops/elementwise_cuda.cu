#include "cuda/op.h"
#include "ops/elementwise.h"

namespace keyheads::ops {
namespace {

using cuda::Queue;

struct AddEach {
  Mat<float> y;
  Mat<const float> a, b;
  __device__ void operator()(int64_t i) const {
    const int64_t r = i / y.cols, c = i % y.cols;
    y.row(r)[c] = a.row(r)[c] + b.row(r)[c];
  }
};
void add_impl(Queue& queue, const Add<float>& a) {
  cuda::for_each(queue, a.y.rows * a.y.cols, AddEach{a.y, a.a, a.b}, "add");
}

struct AddScaledEach {
  Mat<float> y;
  Mat<const float> x;
  float factor;
  __device__ void operator()(int64_t i) const {
    const int64_t r = i / y.cols, c = i % y.cols;
    y.row(r)[c] = fmaf(factor, x.row(r)[c], y.row(r)[c]);
  }
};
void add_scaled_impl(Queue& queue, const AddScaled<float>& a) {
  cuda::for_each(queue, a.y.rows * a.y.cols, AddScaledEach{a.y, a.x, a.factor}, "add_scaled");
}

struct GatherEach {
  Mat<float> y;
  Mat<const float> x;
  const int32_t* rows;
  __device__ void operator()(int64_t i) const {
    const int64_t r = i / y.cols, c = i % y.cols;
    y.row(r)[c] = x.row(rows[r])[c];
  }
};
void gather_rows_impl(Queue& queue, const GatherRows<float>& a) {
  const int32_t* rows = queue.upload(a.rows, a.y.rows);
  cuda::for_each(queue, a.y.rows * a.y.cols, GatherEach{a.y, a.x, rows}, "gather_rows");
}

// A thread a column, so that rows that go to the same place are added in their order.
struct ScatterColumn {
  Mat<float> y;
  Mat<const float> x;
  const int32_t* rows;
  __device__ void operator()(int64_t c) const {
    for (int64_t r = 0; r < x.rows; ++r) y.row(rows[r])[c] += x.row(r)[c];
  }
};
void scatter_rows_impl(Queue& queue, const ScatterRows<float>& a) {
  const int32_t* rows = queue.upload(a.rows, a.x.rows);
  cuda::for_each(queue, a.x.cols, ScatterColumn{a.y, a.x, rows}, "scatter_rows");
}

}  // namespace

DEFINE_CUDA_OP(add, Add)
DEFINE_CUDA_OP(add_scaled, AddScaled)
DEFINE_CUDA_OP(gather_rows, GatherRows)
DEFINE_CUDA_OP(scatter_rows, ScatterRows)

}  // namespace keyheads::ops
