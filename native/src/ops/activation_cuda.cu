#include "cuda/rows.h"
#include "ops/activation.h"
#include "ops/vector_math.h"

namespace keyheads::ops {
namespace {

using cuda::Queue;

template <Activation kind>
struct ActivateEach {
  Activate<float> a;
  __device__ void operator()(int64_t r, int64_t c) const {
    const float y = activated<kind>(a.x.row(r)[c]).y;
    a.y.row(r)[c] = a.linear.data ? y * a.linear.row(r)[c] : y;
  }
};

template <Activation kind>
struct ActivateBackwardEach {
  ActivateBackward<float> a;
  __device__ void operator()(int64_t r, int64_t c) const {
    const float x = a.x.row(r)[c];
    const Activated<float> act = activated<kind>(x);
    const float slope = a.secant && x != 0 ? act.y / x : act.slope;
    float d = a.dy.row(r)[c];
    if (a.linear.data) {
      d *= a.secant ? 0.5f : 1.0f;
      a.dx.row(r)[c] = d * slope * a.linear.row(r)[c];
      a.dlinear.row(r)[c] = d * act.y;
    } else {
      a.dx.row(r)[c] = d * slope;
    }
  }
};

// Each<kind>{args} for all elements, with the kind of the args.
template <template <Activation> class Each, class Args>
void for_kind(Queue& queue, const Args& a, const char* op) {
  const auto run = [&](const auto& each) {
    cuda::for_elements(queue, a.x.rows, a.x.cols, each, op);
  };
  switch (a.kind) {
    case Activation::gelu:
      return run(Each<Activation::gelu>{a});
    case Activation::gelu_new:
      return run(Each<Activation::gelu_new>{a});
    case Activation::relu:
      return run(Each<Activation::relu>{a});
    case Activation::silu:
      return run(Each<Activation::silu>{a});
  }
}

void activate_impl(Queue& queue, const Activate<float>& a) {
  for_kind<ActivateEach>(queue, a, "activate");
}
void activate_backward_impl(Queue& queue, const ActivateBackward<float>& a) {
  for_kind<ActivateBackwardEach>(queue, a, "activate_backward");
}

}  // namespace

DEFINE_CUDA_OP(activate, Activate)
DEFINE_CUDA_OP(activate_backward, ActivateBackward)

}  // namespace keyheads::ops
