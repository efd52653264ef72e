// The chosen part of a value, as spans that are as large as they may be.
#pragma once
#include <cstdint>
#include <utility>
#include <vector>

#include "base/tensor.h"
#include "model/batch.h"
#include "ops/spans.h"

namespace keyheads {

struct Selection {
  std::vector<ops::Span> spans;
  int64_t size = 0;
  int64_t row = 0;  // numbers of one row, all chosen heads; 0 where rows differ in length

  // `length` more numbers, from `offset` of the value on.
  void add(int64_t offset, int64_t length);
  int64_t count() const { return static_cast<int64_t>(spans.size()); }
};

// [first, length] of consecutive numbers.
std::vector<std::pair<int64_t, int64_t>> runs_of(const std::vector<int32_t>& columns);

template <class T>
Tensor<T> copy_of(Context& ctx, const Tensor<T>& value);

// (1, size): what is selected, in order.
template <class T>
Tensor<T> gather(Context& ctx, const Selection& chosen, const Tensor<T>& value);

// y becomes what an edit makes of it where it is selected. `value` has as many numbers as are
// selected, those of one row, or one; none for operations without. Not for `call`.
template <class T>
void apply_edit(Context& ctx, const Selection& where, EditOp op, const std::vector<T>& value,
                T factor, const Tensor<T>& y);
// The gradient d of the edited value becomes that of the value before.
template <class T>
void apply_edit_gradient(Context& ctx, const Selection& where, EditOp op, T factor,
                         const Tensor<T>& d);

}  // namespace keyheads
