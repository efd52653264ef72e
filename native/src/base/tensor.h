// A matrix that owns its memory (shared), row-major and contiguous: (rows, cols).
#pragma once
#include <memory>
#include <vector>

#include "base/device.h"
#include "base/memory.h"
#include "base/staging.h"
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
// The same for several, with one wait for all of them.
template <class T>
void to_host_all(Context& ctx, const std::vector<Tensor<T>*>& tensors) {
  if (!ctx.device) return;
  std::vector<Tensor<T>*> there;
  int64_t total = 0;
  for (Tensor<T>* t : tensors) {
    if (!*t) continue;
    there.push_back(t);
    total += static_cast<int64_t>(t->bytes());
  }
  if (there.size() == 1) *there[0] = to_host(ctx, *there[0]);
  if (there.size() < 2) return;
  // All of them stay until the last has been copied.
  std::vector<Tensor<T>> copies;
  const MemoryFrom host(host_memory());
  for (const Tensor<T>* t : there) copies.emplace_back(t->rows(), t->cols());
  if (!ctx.planning) {
    Collection collection(*ctx.device, Collection::buffer_for(total));
    for (size_t i = 0; i < there.size(); ++i) {
      collection.add(copies[i].data(), there[i]->data(), static_cast<int64_t>(copies[i].bytes()));
    }
    collection.finish();
  }
  for (size_t i = 0; i < there.size(); ++i) *there[i] = copies[i];
}
template <class T>
void to_host_all(Context& ctx, std::vector<Tensor<T>>& tensors) {
  std::vector<Tensor<T>*> all;
  for (Tensor<T>& t : tensors) all.push_back(&t);
  to_host_all(ctx, all);
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
