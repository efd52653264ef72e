#include "cuda/rows.h"
#include "cuda/weight.h"
#include "ops/slices.h"

namespace keyheads::ops {
namespace {

using cuda::Queue;

template <class E>
struct ReadSliceEach {
  Mat<float> out;
  Mat<E> w;
  int64_t n0, k0;
  const float* master;
  __device__ void operator()(int64_t i, int64_t j) const {
    const float stored = cuda::load(w.row(n0 + i)[k0 + j]);
    out.row(i)[j] = master ? master_value(stored, master[i * out.cols + j]) : stored;
  }
};
void read_slice_impl(Queue& queue, const ReadSlice<float>& a) {
  const float* master = a.w.storage == Storage::bf16 ? a.master : nullptr;
  cuda::visit_matrix(a.w, [&]<class E>(const Mat<E>& w) {
    cuda::for_elements(queue, a.out.rows, a.out.cols,
                       ReadSliceEach<E>{a.out, w, a.n0, a.k0, master}, "read_slice");
  });
}

template <class E>
struct WriteSliceEach {
  Mat<E> w;
  Mat<const float> values;
  int64_t n0, k0;
  __device__ void operator()(int64_t i, int64_t j) const {
    cuda::store(w.row(n0 + i)[k0 + j], values.row(i)[j]);
  }
};
void write_slice_impl(Queue& queue, const WriteSlice<float>& a) {
  cuda::visit_matrix(a.w, [&]<class E>(const Mat<E>& w) {
    cuda::for_elements(queue, a.values.rows, a.values.cols,
                       WriteSliceEach<E>{w, a.values, a.n0, a.k0}, "write_slice");
  });
}

}  // namespace

DEFINE_CUDA_OP(read_slice, ReadSlice)
DEFINE_CUDA_OP(write_slice, WriteSlice)

}  // namespace keyheads::ops
