#include "cuda/groups.h"
#include "cuda/rows.h"
#include "cuda/weight.h"
#include "ops/embed.h"

namespace keyheads::ops {
namespace {

using cuda::Queue;

template <class E>
struct EmbedEach {
  Mat<float> y;
  Mat<E> w;
  const int32_t* ids;
  float factor;
  __device__ void operator()(int64_t m, int64_t c) const {
    y.row(m)[c] = factor * cuda::load(w.row(ids[m])[c]);
  }
};
void embed_impl(Queue& queue, const Embed<float>& a) {
  const int32_t* ids = queue.upload(a.ids, a.y.rows);
  cuda::visit_matrix(a.w, [&]<class E>(const Mat<E>& w) {
    cuda::for_elements(queue, a.y.rows, a.y.cols, EmbedEach<E>{a.y, w, ids, a.factor}, "embed");
  });
}

// A place is an id; its rows are those of dy.
struct EmbedGradient {
  Mat<float> dw;
  Mat<const float> dy;
  cuda::Groups groups;
  int64_t n0, k0;
  float factor;
  __device__ void operator()(int64_t g, int64_t c) const {
    float* to = dw.row(groups.places[g] - n0) + c;
    float sum = *to;
    for (int32_t i = groups.starts[g]; i < groups.starts[g + 1]; ++i) {
      sum = fmaf(factor, dy.row(groups.members[i])[k0 + c], sum);
    }
    *to = sum;
  }
};
void embed_backward_impl(Queue& queue, const EmbedBackward<float>& a) {
  const cuda::Groups groups = cuda::group_rows(queue, a.ids, a.dy.rows, a.n0, a.n0 + a.dw.rows);
  cuda::for_elements(queue, groups.count, a.dw.cols,
                     EmbedGradient{a.dw, a.dy, groups, a.n0, a.k0, a.factor}, "embed_backward");
}

}  // namespace

DEFINE_CUDA_OP(embed, Embed)
DEFINE_CUDA_OP(embed_backward, EmbedBackward)

}  // namespace keyheads::ops
