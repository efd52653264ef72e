#include "cuda/rows.h"
#include "ops/along.h"

namespace keyheads::ops {
namespace {

using cuda::Queue;

// Output o of all items, heads and values.
struct AlongEach {
  Mat<float> y;
  Mat<const float> g;
  Mat<const float> values;
  int64_t count, heads;
  const int32_t* starts;
  template <class Threads>
  __device__ void operator()(int64_t o, const Threads& threads) const {
    const int64_t v = o % count, h = o / count % heads, item = o / count / heads;
    const int64_t width = g.cols / heads;
    double sum = 0;
    for (int64_t r = starts[item]; r < starts[item + 1]; ++r) {
      const float* a = g.row(r) + h * width;
      const float* b = values.row(v * g.rows + r);
      float part = 0;
      for (int64_t c = threads.first; c < width; c += threads.step) part = fmaf(a[c], b[c], part);
      sum += part;
    }
    sum = threads.sum(sum);
    if (threads.first == 0) y.row(item)[h * count + v] = static_cast<float>(sum);
  }
};
void along_impl(Queue& queue, const Along<float>& a) {
  const int64_t outputs = a.y.rows * a.heads * a.count;
  if (outputs == 0) return;
  const AlongEach each{a.y, a.g, a.values, a.count, a.heads, queue.upload(a.starts, a.y.rows + 1)};
  cuda::for_rows(queue, outputs, a.g.cols / a.heads, each, "along");
}

}  // namespace

DEFINE_CUDA_OP(along, Along)

}  // namespace keyheads::ops
