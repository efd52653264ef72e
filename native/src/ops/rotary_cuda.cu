#include "cuda/rows.h"
#include "ops/rotary.h"

namespace keyheads::ops {
namespace {

using cuda::Queue;

// A thread a pair of dimensions of a head, or a dimension behind the pairs: y may be x.
struct RotaryEach {
  Rotary<float> a;
  const int32_t* positions;
  __device__ void operator()(int64_t m, int64_t e) const {
    const auto half = static_cast<uint32_t>(a.half), width = static_cast<uint32_t>(a.width);
    const uint32_t of_head = width - half;
    const uint32_t h = static_cast<uint32_t>(e) / of_head;
    const uint32_t i = static_cast<uint32_t>(e) - h * of_head;
    const float* x = a.x.row(m) + h * width;
    float* y = a.y.row(m) + h * width;
    if (i >= half) {
      y[half + i] = x[half + i];
      return;
    }
    const uint32_t first = a.adjacent ? 2 * i : i, second = a.adjacent ? first + 1 : i + half;
    const int64_t entry = positions[m] * a.half + i;
    const float cosine = a.cosines[entry], sine = static_cast<float>(a.sign) * a.sines[entry];
    const float x1 = x[first], x2 = x[second];
    y[first] = x1 * cosine - x2 * sine;
    y[second] = x2 * cosine + x1 * sine;
  }
};
void rotary_impl(Queue& queue, const Rotary<float>& a) {
  const int32_t* positions = queue.upload(a.positions, a.y.rows);
  cuda::for_elements(queue, a.y.rows, a.heads * (a.width - a.half), RotaryEach{a, positions},
                     "rotary");
}

}  // namespace

DEFINE_CUDA_OP(rotary, Rotary)

}  // namespace keyheads::ops
