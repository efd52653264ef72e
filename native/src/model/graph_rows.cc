// Nodes that move rows and heads around without arithmetic of their own.
#include "model/graph.h"
#include "ops/blocks.h"
#include "ops/elementwise.h"

namespace keyheads {
namespace {

// (m, d) -> (m, heads * d)
template <class T>
Tensor<T> repeat_rows(Context& ctx, Mat<const T> x, int64_t heads) {
  Tensor<T> y(x.rows, heads * x.cols);
  ops::copy_blocks(ctx, ops::CopyBlocks<T>{.y = y.data(),
                                           .x = x.data,
                                           .rows = x.rows,
                                           .blocks = heads,
                                           .width = x.cols,
                                           .y_row = y.cols(),
                                           .y_block = x.cols,
                                           .x_row = x.stride,
                                           .x_block = 0});
  return y;
}

// (m, heads * d) -> (m, d), summed in ascending heads
template <class T>
Tensor<T> sum_rows(Context& ctx, Mat<const T> x, int64_t heads) {
  Tensor<T> y(x.rows, x.cols / heads);
  ops::sum_blocks(ctx, ops::SumBlocks<T>{.y = y.m, .x = x});
  return y;
}

// (m, heads * e) -> (m * heads, heads * e), block diagonal
template <class T>
Tensor<T> spread_rows(Context& ctx, Mat<const T> x, int64_t heads) {
  const int64_t e = x.cols / heads;
  Tensor<T> y = Tensor<T>::zeros(ctx, x.rows * heads, x.cols);
  ops::copy_blocks(ctx, ops::CopyBlocks<T>{.y = y.data(),
                                           .x = x.data,
                                           .rows = x.rows,
                                           .blocks = heads,
                                           .width = e,
                                           .y_row = heads * x.cols,
                                           .y_block = x.cols + e,
                                           .x_row = x.stride,
                                           .x_block = e});
  return y;
}

// (m * heads, heads * e) -> (m, heads * e), the diagonal blocks
template <class T>
Tensor<T> collect_rows(Context& ctx, Mat<const T> x, int64_t heads) {
  const int64_t e = x.cols / heads;
  Tensor<T> y(x.rows / heads, x.cols);
  ops::copy_blocks(ctx, ops::CopyBlocks<T>{.y = y.data(),
                                           .x = x.data,
                                           .rows = y.rows(),
                                           .blocks = heads,
                                           .width = e,
                                           .y_row = y.cols(),
                                           .y_block = e,
                                           .x_row = heads * x.stride,
                                           .x_block = x.stride + e});
  return y;
}

}  // namespace

template <class T>
Var<T> Graph<T>::moved(const Var<T>& x, int64_t heads, Move forward, Move backward) {
  Var<T> y = result(forward(ctx_, x.m(), heads), x.grad != nullptr);
  if (y.grad) {
    tape_->record([this, x = x.shape(), y = y.shape(), heads, backward] {
      if (!y.grad->tensor) return;
      contribute<T>(ctx_, x, backward(ctx_, y.grad->tensor.m, heads).m);
    });
  }
  return y;
}

template <class T>
Var<T> Graph<T>::repeat(const Var<T>& x, int64_t heads) {
  return moved(x, heads, &repeat_rows<T>, &sum_rows<T>);
}

template <class T>
Var<T> Graph<T>::sum_heads(const Var<T>& x, int64_t heads) {
  return moved(x, heads, &sum_rows<T>, &repeat_rows<T>);
}

template <class T>
Var<T> Graph<T>::spread_heads(const Var<T>& x, int64_t heads) {
  return moved(x, heads, &spread_rows<T>, &collect_rows<T>);
}

template <class T>
Var<T> Graph<T>::collect_heads(const Var<T>& x, int64_t heads) {
  return moved(x, heads, &collect_rows<T>, &spread_rows<T>);
}

template <class T>
Var<T> Graph<T>::reshape(const Var<T>& x, int64_t rows, int64_t cols) {
  Var<T> y = result(x.value.reshaped(rows, cols), x.grad != nullptr);
  if (y.grad) {
    tape_->record([this, x = x.shape(), y = y.shape()] {
      if (y.grad->tensor) {
        contribute<T>(ctx_, x, y.grad->tensor.reshaped(x.rows(), x.cols()).m);
      }
    });
  }
  return y;
}

template <class T>
Var<T> Graph<T>::alias(const Var<T>& x) {
  return reshape(x, x.rows(), x.cols());
}

template <class T>
Var<T> Graph<T>::gather_rows(const Var<T>& x, const std::vector<int32_t>& rows) {
  Tensor<T> value(static_cast<int64_t>(rows.size()), x.cols());
  ops::gather_rows(ctx_, ops::GatherRows<T>{.y = value.m, .x = x.m(), .rows = rows.data()});
  Var<T> y = result(std::move(value), x.grad != nullptr);
  if (y.grad) {
    tape_->record([this, x = x.shape(), y = y.shape(), rows] {
      if (!y.grad->tensor) return;
      Tensor<T> dx = Tensor<T>::zeros(ctx_, x.rows(), x.cols());
      ops::scatter_rows(ctx_,
                        ops::ScatterRows<T>{.y = dx.m, .x = y.grad->tensor.m, .rows = rows.data()});
      contribute<T>(ctx_, x, dx.m);
    });
  }
  return y;
}

template <class T>
Var<T> Graph<T>::add_bias(Var<T> x, const Parameter<T>* bias) {
  if (!bias) return x;
  Tensor<T> value(x.rows(), x.cols());
  ops::add_row(ctx_, ops::AddRow<T>{.y = value.m, .x = x.m(), .row = bias->vector()});
  const Slices* slices = slices_of(bias);
  Var<T> y = result(std::move(value), x.grad || slices);
  if (y.grad) {
    tape_->record([this, x = x.shape(), y = y.shape(), slices] {
      if (!y.grad->tensor) return;
      bias_backward(slices, y.grad->tensor.m);
      if (x.grad) contribute<T>(ctx_, x, y.grad->tensor.m);
    });
  }
  return y;
}

#define INSTANTIATE(T)                                                               \
  template Var<T> Graph<T>::moved(const Var<T>&, int64_t, Move, Move);               \
  template Var<T> Graph<T>::repeat(const Var<T>&, int64_t);                          \
  template Var<T> Graph<T>::sum_heads(const Var<T>&, int64_t);                       \
  template Var<T> Graph<T>::spread_heads(const Var<T>&, int64_t);                    \
  template Var<T> Graph<T>::collect_heads(const Var<T>&, int64_t);                   \
  template Var<T> Graph<T>::reshape(const Var<T>&, int64_t, int64_t);                \
  template Var<T> Graph<T>::alias(const Var<T>&);                                    \
  template Var<T> Graph<T>::gather_rows(const Var<T>&, const std::vector<int32_t>&); \
  template Var<T> Graph<T>::add_bias(Var<T>, const Parameter<T>*);
INSTANTIATE(float)
INSTANTIATE(double)
#undef INSTANTIATE

}  // namespace keyheads
