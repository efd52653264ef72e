// Nodes that move rows and heads around without arithmetic of their own.
#include <cstring>

#include "model/graph.h"
#include "ops/elementwise.h"

namespace keyheads {
namespace {

template <class T>
void copy_row(const T* from, T* to, int64_t n) {
  std::memcpy(to, from, static_cast<size_t>(n) * sizeof(T));
}

// (m, d) -> (m, heads * d)
template <class T>
void repeat_rows(Mat<const T> x, Mat<T> y, int64_t heads) {
  for (int64_t r = 0; r < x.rows; ++r) {
    for (int64_t h = 0; h < heads; ++h) copy_row(x.row(r), y.row(r) + h * x.cols, x.cols);
  }
}

// (m, heads * d) -> (m, d), summed in ascending heads
template <class T>
void sum_rows(Mat<const T> x, Mat<T> y, int64_t heads) {
  for (int64_t r = 0; r < y.rows; ++r) {
    for (int64_t c = 0; c < y.cols; ++c) {
      T sum = x.row(r)[c];
      for (int64_t h = 1; h < heads; ++h) sum += x.row(r)[h * y.cols + c];
      y.row(r)[c] = sum;
    }
  }
}

// (m, heads * e) -> (m * heads, heads * e), block diagonal
template <class T>
void spread_rows(Mat<const T> x, Mat<T> y, int64_t heads) {
  const int64_t e = x.cols / heads;
  for (int64_t r = 0; r < y.rows; ++r) {
    const int64_t h = r % heads;
    std::memset(y.row(r), 0, static_cast<size_t>(y.cols) * sizeof(T));
    copy_row(x.row(r / heads) + h * e, y.row(r) + h * e, e);
  }
}

// (m * heads, heads * e) -> (m, heads * e), the diagonal blocks
template <class T>
void collect_rows(Mat<const T> x, Mat<T> y, int64_t heads) {
  const int64_t e = x.cols / heads;
  for (int64_t r = 0; r < x.rows; ++r) {
    const int64_t h = r % heads;
    copy_row(x.row(r) + h * e, y.row(r / heads) + h * e, e);
  }
}

}  // namespace

// Records dx += move(dy).
template <class T>
void Graph<T>::copy_backward(const Var<T>& x, const Var<T>& y, int64_t rows, int64_t cols,
                             void (*move)(Mat<const T>, Mat<T>, int64_t), int64_t heads) {
  if (!y.grad) return;
  tape_->record([this, x = x.shape(), y = y.shape(), rows, cols, move, heads] {
    if (!y.grad->tensor) return;
    Tensor<T> dx(rows, cols);
    if (!ctx_.planning) move(y.grad->tensor.m, dx.m, heads);
    contribute<T>(ctx_, x, dx.m);
  });
}

template <class T>
Var<T> Graph<T>::repeat(const Var<T>& x, int64_t heads) {
  Tensor<T> value(x.rows(), heads * x.cols());
  if (!ctx_.planning) repeat_rows<T>(x.m(), value.m, heads);
  Var<T> y = result(std::move(value), x.grad != nullptr);
  copy_backward(x, y, x.rows(), x.cols(), &sum_rows<T>, heads);
  return y;
}

template <class T>
Var<T> Graph<T>::sum_heads(const Var<T>& x, int64_t heads) {
  Tensor<T> value(x.rows(), x.cols() / heads);
  if (!ctx_.planning) sum_rows<T>(x.m(), value.m, heads);
  Var<T> y = result(std::move(value), x.grad != nullptr);
  copy_backward(x, y, x.rows(), x.cols(), &repeat_rows<T>, heads);
  return y;
}

template <class T>
Var<T> Graph<T>::spread_heads(const Var<T>& x, int64_t heads) {
  Tensor<T> value(x.rows() * heads, x.cols());
  if (!ctx_.planning) spread_rows<T>(x.m(), value.m, heads);
  Var<T> y = result(std::move(value), x.grad != nullptr);
  copy_backward(x, y, x.rows(), x.cols(), &collect_rows<T>, heads);
  return y;
}

template <class T>
Var<T> Graph<T>::collect_heads(const Var<T>& x, int64_t heads) {
  Tensor<T> value(x.rows() / heads, x.cols());
  if (!ctx_.planning) collect_rows<T>(x.m(), value.m, heads);
  Var<T> y = result(std::move(value), x.grad != nullptr);
  copy_backward(x, y, x.rows(), x.cols(), &spread_rows<T>, heads);
  return y;
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
      Tensor<T> dx = Tensor<T>::zeros(x.rows(), x.cols());
      ops::scatter_rows(ctx_,
                        ops::ScatterRows<T>{.y = dx.m, .x = y.grad->tensor.m, .rows = rows.data()});
      contribute<T>(ctx_, x, dx.m);
    });
  }
  return y;
}

template <class T>
Var<T> Graph<T>::add_bias(const Var<T>& x, const Parameter<T>* bias) {
  if (!bias) return x;
  Tensor<T> value(x.rows(), x.cols());
  for (int64_t r = 0; r < x.rows() && !ctx_.planning; ++r) {
    for (int64_t c = 0; c < x.cols(); ++c) {
      value.m.row(r)[c] = x.m().row(r)[c] + bias->vector()[c];
    }
  }
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

#define INSTANTIATE(T)                                                                     \
  template void Graph<T>::copy_backward(const Var<T>&, const Var<T>&, int64_t, int64_t,    \
                                        void (*)(Mat<const T>, Mat<T>, int64_t), int64_t); \
  template Var<T> Graph<T>::repeat(const Var<T>&, int64_t);                                \
  template Var<T> Graph<T>::sum_heads(const Var<T>&, int64_t);                             \
  template Var<T> Graph<T>::spread_heads(const Var<T>&, int64_t);                          \
  template Var<T> Graph<T>::collect_heads(const Var<T>&, int64_t);                         \
  template Var<T> Graph<T>::reshape(const Var<T>&, int64_t, int64_t);                      \
  template Var<T> Graph<T>::alias(const Var<T>&);                                          \
  template Var<T> Graph<T>::gather_rows(const Var<T>&, const std::vector<int32_t>&);       \
  template Var<T> Graph<T>::add_bias(const Var<T>&, const Parameter<T>*);
INSTANTIATE(float)
INSTANTIATE(double)
#undef INSTANTIATE

}  // namespace keyheads
