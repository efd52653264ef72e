// A matrix that owns its memory (shared), row-major and contiguous: (rows, cols).
#pragma once
#include <memory>

#include "base/device.h"
#include "base/memory.h"
#include "base/view.h"

namespace keyheads {

template <class T>
struct Tensor {
  std::shared_ptr<void> hold;
  Mat<T> m;

  Tensor() = default;
  Tensor(std::shared_ptr<void> held, Mat<T> view) : hold(std::move(held)), m(view) {}
  Tensor(int64_t rows, int64_t cols)
      : hold(allocate(static_cast<size_t>(rows * cols) * sizeof(T), Purpose::work)),
        m{static_cast<T*>(hold.get()), rows, cols, cols} {}

  static Tensor zeros(Context& ctx, int64_t rows, int64_t cols) {
    Tensor t(rows, cols);
    zero_bytes(ctx, t.data(), t.bytes());
    return t;
  }
  // The same memory with another shape of equal size.
  Tensor reshaped(int64_t rows, int64_t cols) const {
    Tensor t = *this;
    t.m = {m.data, rows, cols, cols};
    return t;
  }

  T* data() const { return m.data; }
  int64_t rows() const { return m.rows; }
  int64_t cols() const { return m.cols; }
  int64_t size() const { return m.rows * m.cols; }
  size_t bytes() const { return static_cast<size_t>(size()) * sizeof(T); }
  explicit operator bool() const { return m.data != nullptr; }
};

// What a run computed, as the host sees it: the tensor itself, or a copy of it in host memory.
template <class T>
Tensor<T> to_host(Context& ctx, const Tensor<T>& t) {
  if (!ctx.device || !t) return t;
  const MemoryFrom host(host_memory());
  Tensor<T> copy(t.rows(), t.cols());
  bytes_to_host(ctx, copy.data(), t.data(), t.bytes());
  return copy;
}
// The other way: what a run can compute with.
template <class T>
Tensor<T> to_device(Context& ctx, const Tensor<T>& t) {
  if (!ctx.device || !t) return t;
  Tensor<T> copy(t.rows(), t.cols());
  bytes_from_host(ctx, copy.data(), t.data(), t.bytes());
  return copy;
}

// Has write(matrix) fill a matrix of the run, which `out`, contiguous on the host, becomes.
template <class T, class Write>
void write_to_host(Context& ctx, Mat<T> out, const Write& write) {
  if (!ctx.device) return write(out);
  const Tensor<T> there(out.rows, out.cols);
  write(there.m);
  bytes_to_host(ctx, out.data, there.data(), there.bytes());
}

}  // namespace keyheads
