// A linear map of heads: each reads a copy of its own, so only its own rows of the weight.
#include <algorithm>

#include "model/graph.h"
#include "ops/blocks.h"
#include "ops/linear.h"

namespace keyheads {
namespace {

// Rows [first - before, first + count) of a weight, as a weight: the CPU's are packed in panels,
// so that one begins at a whole panel, `before` rows early.
template <class T>
struct HeadRows {
  Weight<T> w;
  int64_t before;
};

template <class T>
HeadRows<T> head_rows(const Context& ctx, const Weight<T>& w, int64_t first, int64_t count) {
  const int64_t before = ctx.device ? 0 : first % kPanel;
  const Weight<T> above{w.data, first - before, w.k, w.storage};
  Weight<T> rows{w.data, before + count, w.k, w.storage};
  if (!ctx.planning) rows.data = static_cast<char*>(w.data) + stored_bytes(ctx, above);
  return {rows, before};
}

// Block h of every row.
template <class T>
Mat<T> block_of(const Mat<T>& x, int64_t h, int64_t width) {
  return {x.data + h * width, x.rows, width, x.stride};
}

}  // namespace

template <class T>
Var<T> Graph<T>::linear_of_heads(const Var<T>& x, const Parameter<T>& w, const Parameter<T>* bias,
                                 int64_t heads) {
  if (w.low_rank || slices_of(&w) || slices_of(bias)) {
    // the gradients of weights are those of whole matrices: all heads of every copy are computed
    const Var<T> each = reshape(x, x.rows() * heads, x.cols() / heads);
    return collect_heads(linear(each, w, bias), heads);
  }
  const int64_t width = w.n() / heads, m = x.rows();
  const Weight<T>& weight = w.weight(ctx_);
  Tensor<T> value(m, w.n());
  Tensor<T> wide;  // a head's product with the rows before
  for (int64_t h = 0; h < heads; ++h) {
    const auto [rows, before] = head_rows(ctx_, weight, h * width, width);
    const Mat<T> to = block_of(value.m, h, width);
    if (before > 0) wide = Tensor<T>(m, rows.n);
    ops::linear(ctx_, ops::Linear<T>{.y = before > 0 ? wide.m : to,
                                     .x = block_of<const T>(x.m(), h, w.k()),
                                     .w = rows,
                                     .bias = bias ? bias->vector() + h * width - before : nullptr});
    if (before > 0) {
      ops::copy_rows<T>(ctx_, to, {wide.data() + before, m, width, rows.n});
    }
  }
  Var<T> y = result(std::move(value), x.grad != nullptr);
  if (!y.grad) return y;
  tape_->record([this, x = x.shape(), y = y.shape(), &w, heads, width] {
    if (!y.grad->tensor) return;
    bool accumulate;
    const Mat<T> dx = x.grad->target(x.rows(), x.cols(), accumulate);
    const Weight<T>& weight = w.weight(ctx_);
    for (int64_t h = 0; h < heads; ++h) {
      const auto [rows, before] = head_rows(ctx_, weight, h * width, width);
      Mat<const T> dy = block_of<const T>(y.grad->tensor.m, h, width);
      Tensor<T> wide;
      if (before > 0) {
        wide = Tensor<T>::zeros(ctx_, x.rows(), rows.n);
        ops::copy_rows<T>(ctx_, {wide.data() + before, x.rows(), width, rows.n}, dy);
        dy = wide.m;
      }
      ops::linear_input_grad(
          ctx_, ops::LinearInputGrad<T>{
                    .dx = block_of(dx, h, w.k()), .dy = dy, .w = rows, .accumulate = accumulate});
    }
  });
  return y;
}

template Var<float> Graph<float>::linear_of_heads(const Var<float>&, const Parameter<float>&,
                                                  const Parameter<float>*, int64_t);
template Var<double> Graph<double>::linear_of_heads(const Var<double>&, const Parameter<double>&,
                                                    const Parameter<double>*, int64_t);

}  // namespace keyheads
