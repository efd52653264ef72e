#include "model/selection.h"

#include <algorithm>
#include <iterator>

#include "ops/blocks.h"

namespace keyheads {

void Selection::add(int64_t offset, int64_t length) {
  while (length > 0) {
    const bool joins = !spans.empty() && spans.back().offset + spans.back().length == offset &&
                       spans.back().length < ops::kLongestSpan;
    if (!joins) spans.push_back({offset, 0, size});
    const int64_t taken = std::min(length, ops::kLongestSpan - spans.back().length);
    spans.back().length += taken;
    offset += taken;
    length -= taken;
    size += taken;
  }
}

std::vector<std::pair<int64_t, int64_t>> runs_of(const std::vector<int32_t>& columns) {
  std::vector<std::pair<int64_t, int64_t>> runs;
  for (const int32_t column : columns) {
    if (!runs.empty() && runs.back().first + runs.back().second == column) {
      ++runs.back().second;
    } else {
      runs.push_back({column, 1});
    }
  }
  return runs;
}

template <class T>
Tensor<T> copy_of(Context& ctx, const Tensor<T>& value) {
  Tensor<T> copy(value.rows(), value.cols());
  ops::copy_rows<T>(ctx, copy.m, value.m);
  return copy;
}

template <class T>
Tensor<T> gather(Context& ctx, const Selection& chosen, const Tensor<T>& value) {
  Tensor<T> out(1, chosen.size);
  ops::gather_spans(ctx, ops::GatherSpans<T>{.y = out.data(),
                                             .x = value.data(),
                                             .spans = chosen.spans.data(),
                                             .count = chosen.count()});
  return out;
}

namespace {

template <class T>
void edit_spans(Context& ctx, const Selection& where, ops::SpanEdit edit,
                const std::vector<T>& values, T factor, const Tensor<T>& y) {
  ops::edit_spans(ctx, ops::EditSpans<T>{.y = y.data(),
                                         .spans = where.spans.data(),
                                         .count = where.count(),
                                         .edit = edit,
                                         .values = values.data(),
                                         .given = std::ssize(values),
                                         .factor = factor});
}

template <class T>
std::vector<T> mean_of(Context& ctx, const Selection& where, const Tensor<T>& x) {
  std::vector<T> mean(static_cast<size_t>(where.row));
  ops::mean_spans(ctx, ops::MeanSpans<T>{.mean = mean.data(),
                                         .x = x.data(),
                                         .spans = where.spans.data(),
                                         .count = where.count(),
                                         .row = where.row});
  return mean;
}

}  // namespace

template <class T>
void apply_edit(Context& ctx, const Selection& where, EditOp op, const std::vector<T>& value,
                T factor, const Tensor<T>& y) {
  if (where.size == 0) return;
  switch (op) {
    case EditOp::zero:
      return edit_spans(ctx, where, ops::SpanEdit::zero, {}, factor, y);
    case EditOp::set:
      return edit_spans(ctx, where, ops::SpanEdit::set, value, factor, y);
    case EditOp::add:
      return edit_spans(ctx, where, ops::SpanEdit::add, value, factor, y);
    case EditOp::scale:
      return edit_spans(ctx, where, ops::SpanEdit::scale, {}, factor, y);
    case EditOp::mean:
      return edit_spans(ctx, where, ops::SpanEdit::set, mean_of(ctx, where, y), factor, y);
    case EditOp::interpolate:
      return edit_spans(ctx, where, ops::SpanEdit::interpolate, value, factor, y);
    case EditOp::call:
      return;
  }
}

template <class T>
void apply_edit_gradient(Context& ctx, const Selection& where, EditOp op, T factor,
                         const Tensor<T>& d) {
  switch (op) {
    case EditOp::zero:
    case EditOp::set:
      return apply_edit(ctx, where, EditOp::zero, {}, factor, d);
    case EditOp::scale:
      return apply_edit(ctx, where, EditOp::scale, {}, factor, d);
    case EditOp::mean:
      return apply_edit(ctx, where, EditOp::mean, {}, factor, d);
    case EditOp::interpolate:
      return apply_edit(ctx, where, EditOp::scale, {}, 1 - factor, d);
    case EditOp::add:
    case EditOp::call:
      return;
  }
}

#define INSTANTIATE(T)                                                                   \
  template Tensor<T> copy_of(Context&, const Tensor<T>&);                                \
  template Tensor<T> gather(Context&, const Selection&, const Tensor<T>&);               \
  template void apply_edit(Context&, const Selection&, EditOp, const std::vector<T>&, T, \
                           const Tensor<T>&);                                            \
  template void apply_edit_gradient(Context&, const Selection&, EditOp, T, const Tensor<T>&);
INSTANTIATE(float)
INSTANTIATE(double)
#undef INSTANTIATE

}  // namespace keyheads
