// A matrix that owns its memory (shared), row-major and contiguous: (rows, cols).
#pragma once
#include <cstring>
#include <memory>

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

  static Tensor zeros(int64_t rows, int64_t cols) {
    Tensor t(rows, cols);
    if (!MemoryPlan::active())
      std::memset(t.m.data, 0, static_cast<size_t>(rows * cols) * sizeof(T));
    return t;
  }
  static Tensor copy_of(const Tensor& other) {
    Tensor t(other.m.rows, other.m.cols);
    if (!MemoryPlan::active())
      std::memcpy(t.m.data, other.m.data, static_cast<size_t>(t.size()) * sizeof(T));
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
  explicit operator bool() const { return m.data != nullptr; }
};

}  // namespace keyheads
