#include "cuda/groups.h"
#include "cuda/rows.h"
#include "ops/elementwise.h"

namespace keyheads::ops {
namespace {

using cuda::Queue;

struct AddEach {
  Mat<float> y;
  Mat<const float> a, b;
  __device__ void operator()(int64_t r, int64_t c) const {
    y.row(r)[c] = a.row(r)[c] + b.row(r)[c];
  }
};
void add_impl(Queue& queue, const Add<float>& a) {
  cuda::for_elements(queue, a.y.rows, a.y.cols, AddEach{a.y, a.a, a.b}, "add");
}

struct AddScaledEach {
  Mat<float> y;
  Mat<const float> x;
  float factor;
  __device__ void operator()(int64_t r, int64_t c) const {
    y.row(r)[c] = fmaf(factor, x.row(r)[c], y.row(r)[c]);
  }
};
void add_scaled_impl(Queue& queue, const AddScaled<float>& a) {
  cuda::for_elements(queue, a.y.rows, a.y.cols, AddScaledEach{a.y, a.x, a.factor}, "add_scaled");
}

struct GatherEach {
  Mat<float> y;
  Mat<const float> x;
  const int32_t* rows;
  __device__ void operator()(int64_t r, int64_t c) const { y.row(r)[c] = x.row(rows[r])[c]; }
};
void gather_rows_impl(Queue& queue, const GatherRows<float>& a) {
  const int32_t* rows = queue.upload(a.rows, a.y.rows);
  cuda::for_elements(queue, a.y.rows, a.y.cols, GatherEach{a.y, a.x, rows}, "gather_rows");
}

struct ScatterGroup {
  Mat<float> y;
  Mat<const float> x;
  cuda::Groups groups;
  __device__ void operator()(int64_t g, int64_t c) const {
    float* to = y.row(groups.places[g]) + c;
    float sum = *to;
    for (int32_t i = groups.starts[g]; i < groups.starts[g + 1]; ++i) {
      sum += x.row(groups.members[i])[c];
    }
    *to = sum;
  }
};
void scatter_rows_impl(Queue& queue, const ScatterRows<float>& a) {
  const cuda::Groups groups = cuda::group_rows(queue, a.rows, a.x.rows);
  cuda::for_elements(queue, groups.count, a.x.cols, ScatterGroup{a.y, a.x, groups}, "scatter_rows");
}

struct AssignEach {
  Mat<float> y;
  Mat<const float> x;
  const int32_t* rows;
  __device__ void operator()(int64_t r, int64_t c) const { y.row(rows[r])[c] = x.row(r)[c]; }
};
void assign_rows_impl(Queue& queue, const AssignRows<float>& a) {
  const int32_t* rows = queue.upload(a.rows, a.x.rows);
  cuda::for_elements(queue, a.x.rows, a.x.cols, AssignEach{a.y, a.x, rows}, "assign_rows");
}

struct AddRowEach {
  Mat<float> y;
  Mat<const float> x;
  const float* row;
  __device__ void operator()(int64_t r, int64_t c) const { y.row(r)[c] = x.row(r)[c] + row[c]; }
};
void add_row_impl(Queue& queue, const AddRow<float>& a) {
  cuda::for_elements(queue, a.y.rows, a.y.cols, AddRowEach{a.y, a.x, a.row}, "add_row");
}

struct EqualRowsEach {
  int32_t* equal;
  Mat<const float> x;
  const int32_t *a, *b;
  template <class Threads>
  __device__ void operator()(int64_t i, const Threads& threads) const {
    const auto* left = reinterpret_cast<const uint32_t*>(x.row(a[i]));
    const auto* right = reinterpret_cast<const uint32_t*>(x.row(b[i]));
    int differ = 0;
    for (int64_t c = threads.first; c < x.cols; c += threads.step) differ |= left[c] != right[c];
    differ = threads.max(differ);
    if (threads.first == 0) equal[i] = differ == 0;
  }
};
void equal_rows_impl(Queue& queue, const EqualRows<float>& a) {
  if (a.count == 0) return;
  auto* equal = queue.scratch<int32_t>(a.count);
  const EqualRowsEach each{equal, a.x, queue.upload(a.a, a.count), queue.upload(a.b, a.count)};
  cuda::for_rows(queue, a.count, a.x.cols, each, "equal_rows");
  queue.download(a.equal, equal, a.count);
}

}  // namespace

DEFINE_CUDA_OP(add, Add)
DEFINE_CUDA_OP(add_scaled, AddScaled)
DEFINE_CUDA_OP(gather_rows, GatherRows)
DEFINE_CUDA_OP(scatter_rows, ScatterRows)
DEFINE_CUDA_OP(assign_rows, AssignRows)
DEFINE_CUDA_OP(add_row, AddRow)
DEFINE_CUDA_OP(equal_rows, EqualRows)

}  // namespace keyheads::ops
