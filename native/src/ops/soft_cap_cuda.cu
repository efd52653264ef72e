#include "cuda/rows.h"
#include "ops/soft_cap.h"
#include "ops/vector_math.h"

namespace keyheads::ops {
namespace {

using cuda::Queue;

struct SoftCapEach {
  SoftCap<float> a;
  __device__ void operator()(int64_t r, int64_t c) const {
    a.y.row(r)[c] = a.cap * tanh_of(a.x.row(r)[c] / a.cap);
  }
};
void soft_cap_impl(Queue& queue, const SoftCap<float>& a) {
  cuda::for_elements(queue, a.x.rows, a.x.cols, SoftCapEach{a}, "soft_cap");
}

struct SoftCapBackwardEach {
  SoftCapBackward<float> a;
  __device__ void operator()(int64_t r, int64_t c) const {
    const float t = a.y.row(r)[c] / a.cap;
    a.dx.row(r)[c] = a.dy.row(r)[c] * (1 - t * t);
  }
};
void soft_cap_backward_impl(Queue& queue, const SoftCapBackward<float>& a) {
  cuda::for_elements(queue, a.dy.rows, a.dy.cols, SoftCapBackwardEach{a}, "soft_cap_backward");
}

}  // namespace

DEFINE_CUDA_OP(soft_cap, SoftCap)
DEFINE_CUDA_OP(soft_cap_backward, SoftCapBackward)

}  // namespace keyheads::ops
